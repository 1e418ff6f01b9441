"""The measurements of benches/run: starts servers and loads, and gives numbers."""

import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
# Nothing here takes longer to start, to stop or to answer.
TIMEOUT_SECONDS = 60

# name, connections, depth, payload bytes, goal for the ratio.
ECHO_WORK = [
    ("128 B, 100 connections, depth 1", 100, 1, 128, 1.15),
    ("128 B, 1,000 connections, depth 1", 1000, 1, 128, 1.15),
    ("128 B, 100 connections, depth 16", 100, 16, 128, None),
    ("16 KiB, 100 connections, depth 4", 100, 4, 16384, None),
]
# name, depth, messages, goal for reads and writes each.
SYSCALL_WORK = [("depth 1", 1, 40_000, 1.01), ("depth 16", 16, 400_000, 0.15)]
SYSCALL_CONNECTIONS = 20
READS = {"read", "readv", "recvfrom", "recvmsg"}
WRITES = {"write", "writev", "sendto", "sendmsg"}
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}

IDLE_CONNECTIONS = 15_000
# Descriptors that server and load need besides.
IDLE_RESERVE = 200

# Fifty neighbours, each of which speaks twenty times a second.
NEIGHBOURS = ["--connections", "50", "--rate", "1000", "--warm-up", "0.3"]
PACE_SECONDS = 3.0
# name, arguments of the load that floods over one connection.
FLOODS = [
    ("128 B, 4,096 under way", ["--size", "128", "--depth", "4096", "--write-bytes-max", "16384"]),
    ("64 KiB, 16 under way", ["--size", "65536", "--depth", "16", "--write-bytes-max", "65544"]),
]


class Failed(Exception):
    """Something under test did not do what it was started for."""


def pinned(core, is_background=False):
    """What a child does before it runs: stays on `core`; in the background it gets only time that nobody else there wants."""

    def prepare():
        os.sched_setaffinity(0, {core})
        if is_background:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return prepare


def stop(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Setup:
    """Binaries, and how long to measure."""

    def __init__(self, root, rounds, seconds):
        self.server = root / "target/release/tidegate"
        self.floor = root / "target/release/examples/tcp_echo"
        self.load = [self.server, "bench"]
        self.rounds = rounds
        self.seconds = seconds


class Target:
    """A running server, as the load sees it."""

    def __init__(self, child, address, is_bare):
        self.pid = child.pid
        self.url = f"tcp://{address}" if is_bare else f"ws://{address}/ws"


@contextmanager
def running(command, environment, is_bare):
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=pinned(SERVER_CORE),
            )
        try:
            yield Target(child, wait_for_address(child, log), is_bare)
        finally:
            stop(child)


def wait_for_address(child, log):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        for line in log.read_text().splitlines():
            _, found, rest = line.partition("listening on ")
            if found and rest:
                return rest.split()[0].removeprefix("http://").rstrip("/")
        time.sleep(0.02)
    raise Failed(f"the server does not listen:\n{log.read_text()}")


def tidegate(setup):
    """One worker; every other setting as it is by default."""
    environment = {"HOST": "127.0.0.1", "PORT": "0", "WORKERS": "1"}
    return running([setup.server], environment, is_bare=False)


def bare_echo(setup):
    return running([setup.floor, "127.0.0.1:0"], {}, is_bare=True)


def start_load(setup, mode, target, arguments, is_background=False):
    return subprocess.Popen(
        [*setup.load, mode, target.url, "--json", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pinned(LOAD_CORE, is_background),
    )


def finish_load(child):
    try:
        output, _ = child.communicate(timeout=TIMEOUT_SECONDS * 5)
    finally:
        stop(child)
    if child.returncode != 0:
        raise Failed(f"the load ended with status {child.returncode}")
    return flat(json.loads(output))


def flat(measured):
    """What `tidegate bench` says, with the few figures in front that are compared here."""
    server, latency = measured.get("server", {}), measured.get("latency_us", {})
    return {
        **measured,
        "cpu_us_per_message": server.get("cpu_us_each"),
        "cpu_share": server.get("cpu_share"),
        "wait_share": server.get("wait_share"),
        "p50_us": latency.get("p50"),
        "p99_us": latency.get("p99"),
    }


def load(setup, mode, target, arguments):
    return finish_load(start_load(setup, mode, target, arguments))


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def echo(setup):
    """CPU time of the server for each message, its own and the bare echo's in turn."""
    results = []
    with tidegate(setup) as ours, bare_echo(setup) as floor:
        for name, connections, depth, size, goal in ECHO_WORK:
            work = ["--connections", connections, "--depth", depth, "--size", size, "--seconds", setup.seconds, "--warm-up", 0.3]
            pairs = []
            for _ in range(setup.rounds):
                pair = [load(setup, "echo", target, [*work, "--pid", target.pid]) for target in (ours, floor)]
                pairs.append(pair)
                print(f"{name}: {pair[0]['cpu_us_per_message']:.3f} / {pair[1]['cpu_us_per_message']:.3f}", file=sys.stderr)
            results.append({"name": name, "goal": goal, **compare(pairs)})
    return results


def compare(pairs):
    ratios = sorted(a["cpu_us_per_message"] / b["cpu_us_per_message"] for a, b in pairs)
    sides = {}
    for side, rows in zip(("tidegate", "floor"), zip(*pairs)):
        keys = ("cpu_us_per_message", "cpu_share", "wait_share", "per_second")
        sides[side] = {key: median(rows, key) for key in keys}
    return {"ratio": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1], **sides}


def syscalls(setup):
    """System calls of the server for each message, counted by strace."""
    install_strace()
    results = []
    for start in (tidegate, bare_echo):
        with start(setup) as target:
            for name, depth, messages, goal in SYSCALL_WORK:
                with strace(target.pid) as counts:
                    work = ["--connections", SYSCALL_CONNECTIONS, "--depth", depth, "--messages", messages, "--seconds", 300]
                    done = load(setup, "echo", target, [*work, "--warm-up", 0])["count_in_all"]
                row = {"name": name, "goal": goal, "server": start.__name__, "messages": done}
                for kind, names in (("reads", READS), ("writes", WRITES), ("waits", WAITS)):
                    row[kind] = sum(counts.get(call, 0) for call in names) / done
                known = READS | WRITES | WAITS
                row["others"] = sum(count for call, count in counts.items() if call not in known) / done
                results.append(row)
    return results


def install_strace():
    if shutil.which("strace"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise Failed("strace is missing; install it (Debian: apt-get install strace)")
    subprocess.run(["apt-get", "install", "-y", "-q", "strace"], check=True, stdout=sys.stderr)


@contextmanager
def strace(pid):
    """Counts the calls of all threads of `pid`; the counts are there when the block has been left."""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        summary = Path(directory) / "summary"
        tracer = subprocess.Popen(
            ["strace", "-c", "-f", "-o", summary, "-p", str(pid)], stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"}
        )
        try:
            wait_attached(tracer, pid)
            yield counts
            tracer.send_signal(signal.SIGINT)
            tracer.wait(TIMEOUT_SECONDS)
        finally:
            stop(tracer)
        counts.update(parse_summary(summary.read_text()))


def wait_attached(tracer, pid):
    """Until strace holds every thread."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and tracer.poll() is None:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        if all(is_traced(task) for task in tasks):
            return
        time.sleep(0.02)
    raise Failed("strace could not attach; may this user trace other processes?")


def is_traced(task):
    lines = (task / "status").read_text().splitlines()
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in lines)


def parse_summary(text):
    """Lines of `strace -c`: share, seconds, microseconds a call, calls, errors where there were any, name."""
    counts = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
            counts[fields[-1]] = int(fields[3])
    return counts


def idle(setup):
    """Memory of the server for each idle connection."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = min(IDLE_CONNECTIONS, limit - IDLE_RESERVE)
    with tidegate(setup) as target:
        return load(setup, "idle", target, ["--connections", connections, "--pid", target.pid])


def flood(setup):
    """Latency of fifty neighbours, alone and beside one connection that floods, in turn."""
    results = {"quiet": [], "floods": [{"name": name, "with": [], "rate": []} for name, _ in FLOODS]}
    with tidegate(setup) as target:
        for _ in range(setup.rounds):
            results["quiet"].append(pace(setup, target))
            for (_, arguments), row in zip(FLOODS, results["floods"]):
                measured, flooded = pace_beside(setup, target, arguments)
                row["with"].append(measured)
                row["rate"].append(flooded)
            told = [results["quiet"][-1], *(row["with"][-1] for row in results["floods"])]
            print("p99 alone / floods: " + " / ".join(f"{row['p99_us']:.0f} us" for row in told), file=sys.stderr)
    return summarize_flood(results)


def pace(setup, target):
    return load(setup, "rate", target, [*NEIGHBOURS, "--seconds", PACE_SECONDS])


def pace_beside(setup, target, arguments):
    # In the background of its core: the neighbours' clock is never late because the flood wants the core as well.
    flooding = ["--connections", 1, "--seconds", PACE_SECONDS + 1, "--pid", target.pid, *arguments]
    flooder = start_load(setup, "echo", target, flooding, is_background=True)
    try:
        time.sleep(0.3)
        measured = pace(setup, target)
        if flooder.poll() is not None:
            raise Failed("the flood ended before its neighbours")
    except BaseException:
        stop(flooder)
        raise
    return measured, finish_load(flooder)


def summarize_flood(results):
    quiet = results["quiet"]
    rows = []
    for row in results["floods"]:
        ratios = sorted(beside["p99_us"] / alone["p99_us"] for alone, beside in zip(quiet, row["with"]))
        rows.append({
            "name": row["name"],
            "p50_us": median(row["with"], "p50_us"),
            "p99_us": median(row["with"], "p99_us"),
            "ratio": statistics.median(ratios),
            "lowest": ratios[0],
            "highest": ratios[-1],
            "flood_messages_per_second": median(row["rate"], "per_second"),
            "flood_cpu_share": median(row["rate"], "cpu_share"),
            "flood_wait_share": median(row["rate"], "wait_share"),
        })
    return {"p50_us": median(quiet, "p50_us"), "p99_us": median(quiet, "p99_us"), "floods": rows}
