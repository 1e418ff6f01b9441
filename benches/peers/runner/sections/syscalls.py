"""System calls for each message, counted by strace."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from .. import load, processes, servers, tables
from ..processes import TIMEOUT_SECONDS, Failed
from ..servers import FLOOR, TIDEGATE

TITLE = "System calls"
HOW = """\
Echo of 128 bytes, counted by `strace -c -f` on the server, handshakes included ({connections} connections). Reads are `recvfrom` and its
kin, writes `sendto` and its kin."""
CONNECTIONS = 20
# depth: messages, goal for reads and writes each.
WORK = {1: (40_000, 1.01), 16: (400_000, 0.15)}
KINDS = {
    "reads": {"read", "readv", "recvfrom", "recvmsg"},
    "writes": {"write", "writev", "sendto", "sendmsg"},
    "waits": {"epoll_wait", "epoll_pwait", "epoll_pwait2"},
}


def measure(bench):
    install_strace()
    rows = []
    for name in (TIDEGATE, FLOOR):
        with servers.running(bench, name, "echo") as target:
            for depth, (messages, _) in WORK.items():
                rows.append({"server": name, "depth": depth, **count(bench, target, depth, messages)})
    return rows


def count(bench, target, depth, messages):
    options = {"connections": CONNECTIONS, "depth": depth, "messages": messages, "seconds": 300, "warm-up": 0}
    with strace(target.pid) as counts:
        done = load.run(bench, "echo", target, options)["count_in_all"]
    row = {"messages": done}
    for kind, names in KINDS.items():
        row[kind] = sum(counts.get(call, 0) for call in names) / done
    known = set().union(*KINDS.values())
    row["others"] = sum(number for call, number in counts.items() if call not in known) / done
    return row


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
    with processes.scratch() as directory:
        summary = directory / "summary"
        command = ["strace", "-c", "-f", "-o", summary, "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})
        try:
            wait_attached(tracer, pid)
            yield counts
            tracer.send_signal(signal.SIGINT)
            tracer.wait(TIMEOUT_SECONDS)
        finally:
            processes.stop(tracer)
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


def write(data):
    body = []
    for row in data:
        figures = [f"{row[kind]:.4f}" for kind in (*KINDS, "others")]
        body.append([tables.label(row["server"]), str(row["depth"]), f"{row['messages']:,}", *figures])
    head = ["server", "depth", "messages", *KINDS, "others"]
    return tables.section("System calls a message", HOW.format(connections=CONNECTIONS), tables.table(head, body))


def goals(data):
    told = []
    for depth, (_, goal) in WORK.items():
        row = next(row for row in data if row["server"] == TIDEGATE and row["depth"] == depth)
        worst = max(row["reads"], row["writes"])
        text = f"at most {goal} reads and writes each"
        told.append(tables.Goal(f"system calls a message, 128 B, depth {depth}", text, f"{worst:.4f}", "", worst <= goal))
    return told


def bars(_):
    return []
