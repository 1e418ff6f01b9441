"""The load: `tidegate bench` on a core of its own, and what it says."""

import json
import resource
import subprocess

from .processes import LOAD_CORE, SERVER_CORE, TIMEOUT_SECONDS, Failed, family, pinned, stop
from .quiet import Watch, process_seconds


def start(bench, command, target, options, is_background=False):
    """Starts `tidegate bench COMMAND`; `options` is a dictionary, a value of True being a flag alone."""
    arguments = [bench.load, "bench", command, target.url, "--json", "--pid", target.pids]
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", value]
    return subprocess.Popen(
        list(map(str, arguments)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=pinned({LOAD_CORE}, is_background),
    )


def finish(child, seconds):
    """What the load measured, which runs for `seconds`. Failed where it ended in an error."""
    try:
        output, errors = child.communicate(timeout=seconds + 2 * TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Failed("the load did not end in time") from late
    finally:
        stop(child)
    if child.returncode != 0:
        raise Failed((errors.strip() or f"the load ended with status {child.returncode}").splitlines()[-1])
    return json.loads(output)


def run(bench, command, target, options):
    """One measurement; `others` in it tells how much of either core somebody else had."""
    watches = {
        "server": Watch(SERVER_CORE, lambda: process_seconds(family(target.pid))),
        "load": Watch(LOAD_CORE, children_seconds),
    }
    row = finish(start(bench, command, target, options), float(options.get("seconds", 0)))
    return row | {"others": {name: watch.others() for name, watch in watches.items()}}


def children_seconds():
    """CPU time of the loads that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
