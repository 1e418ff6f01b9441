"""Writes what benches/run measured as benches/RESULTS.md."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

# Beyond it somebody else was busy on the server's core.
WAIT_SHARE_MAX = 0.02

ECHO_HOW = """\
CPU time of the whole process (`/proc/PID/task/*/schedstat`, system calls included) divided by the messages that came back.
Both servers run side by side on core 0, each idle while the other is measured, the load on core 1; {rounds} rounds A B A B of
{seconds:g} s after a warm-up of 0.3 s. The ratio is the median of the rounds' ratios, with the lowest and the highest. The load is
`tidegate bench echo`: a closed loop with prepared masked text frames over connections without compression, which compares every
byte that comes back. The
bare echo (`examples/tcp_echo.rs`) gets the same bytes and looks at none of them. At depth 1 the load makes the same system
calls as a server, so it may be the limit of the messages per second: compare CPU time."""

SYSCALLS_HOW = """\
Counted by `strace -c -f` on the server, handshakes included ({connections} connections). Reads are `recvfrom` and its kin, writes
`sendto` and its kin."""

IDLE_HOW = """\
RSS and PSS of the server (`/proc/PID/smaps_rollup`) with {connections:,} idle WebSocket connections, less what it had before the
first, divided by their number. Kernel memory is not part of it."""

FLOOD_HOW = """\
Fifty neighbours send 128 bytes twenty times a second each, at evenly spread times whether or not the last echo is back;
latency is from when a message was due (`tidegate bench rate`) to the read of its echo. In each of {rounds} rounds they are measured alone and then beside
one connection that keeps many messages under way, as fast as the server takes them. The flood is a process of its own on
the load's core with the scheduling class SCHED_IDLE: it gets all time there that the neighbours leave, and its wishes never
make them late. The ratio is the median of the rounds' ratios of p99."""


def machine(root):
    """Where and of what the numbers are."""

    def output(*command):
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    changed = " with local changes" if output("git", "status", "--porcelain", "--untracked-files=no", "--", ":!benches/RESULTS.md") else ""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{model}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "rustc": output("rustc", "--version"),
        "commit": output("git", "rev-parse", "--short", "HEAD") + changed,
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def disturbance(shares):
    """How much others were in the way: a server that waits for its core was not alone there."""
    worst = max(shares)
    told = f"While it was measured the server was ready to run and others had its core for {worst:.1%} of the time at most"
    return told + ("." if worst < WAIT_SHARE_MAX else ": **the machine was not quiet, measure again.**")


def verdict(value, goal, form):
    if goal is None:
        return ""
    return f"at most {form.format(goal)}: " + ("reached" if value <= goal else "**missed**")


def echo(rows, results):
    body = []
    for row in rows:
        ours, floor = row["tidegate"], row["floor"]
        body.append([
            row["name"],
            f"{ours['cpu_us_per_message']:.3f}",
            f"{floor['cpu_us_per_message']:.3f}",
            f"**{row['ratio']:.3f}** ({row['lowest']:.3f} to {row['highest']:.3f})",
            f"{ours['per_second']:,.0f} / {floor['per_second']:,.0f}",
            f"{ours['cpu_share']:.0%} / {floor['cpu_share']:.0%}",
            verdict(row["ratio"], row["goal"], "{}"),
        ])
    head = ["work", "µs a message", "bare echo", "ratio", "messages/s, bare echo's", "core busy, bare echo's", "goal"]
    waits = [row[side]["wait_share"] for row in rows for side in ("tidegate", "floor")]
    return "\n\n".join(["## Echo: CPU time a message", ECHO_HOW.format(**results), table(head, body), disturbance(waits)])


def syscalls(rows, _):
    from measure import SYSCALL_CONNECTIONS

    body = []
    for row in rows:
        is_ours = row["server"] == "tidegate"
        worst = max(row["reads"], row["writes"])
        body.append([
            "Tidegate" if is_ours else "bare echo",
            row["name"],
            f"{row['messages']:,}",
            *(f"{row[kind]:.4f}" for kind in ("reads", "writes", "waits", "others")),
            verdict(worst, row["goal"], "{} of each") if is_ours else "",
        ])
    head = ["server", "work", "messages", "reads", "writes", "waits", "others", "goal"]
    how = SYSCALLS_HOW.format(connections=SYSCALL_CONNECTIONS)
    return "\n\n".join(["## System calls a message, 128 B", how, table(head, body)])


def idle(row, _):
    body = []
    for name, key in (("after the handshake", "connected"), ("after one message on each", "spoken")):
        each = row[f"each_{key}"]
        body.append([
            name,
            f"{row[key]['rss'] / 2**20:.1f} MiB",
            f"**{each['rss']:.0f}**",
            f"{each['pss']:.0f}",
            verdict(max(each["rss"], each["pss"]), 600, "{} bytes"),
        ])
    head = ["state", "RSS", "RSS, bytes a connection", "PSS, bytes a connection", "goal"]
    how = IDLE_HOW.format(connections=row["connections"])
    before = f"Before the first connection: {row['before']['rss'] / 2**20:.1f} MiB."
    return "\n\n".join(["## Memory of an idle connection", f"{how} {before}", table(head, body)])


def flood(row, results):
    body = [["alone", f"{row['p50_us']:.0f}", f"{row['p99_us']:.0f}", "", "", "", ""]]
    for one in row["floods"]:
        body.append([
            f"flood of {one['name']}",
            f"{one['p50_us']:.0f}",
            f"{one['p99_us']:.0f}",
            f"**{one['ratio']:.2f}** ({one['lowest']:.2f} to {one['highest']:.2f})",
            f"{one['flood_messages_per_second']:,.0f}",
            f"{one['flood_cpu_share']:.0%}",
            verdict(one["ratio"], 2, "{}"),
        ])
    head = ["beside", "p50 µs", "p99 µs", "ratio of p99", "flood, messages/s", "server's core busy", "goal"]
    waits = [one["flood_wait_share"] for one in row["floods"]]
    return "\n\n".join(["## Neighbours of a flood", FLOOD_HOW.format(**results), table(head, body), disturbance(waits)])


def write(results):
    told = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    parts = [
        "# Results\n\nWritten by `make bench` (`benches/run`), which repeats them. Release build, one worker; the server on core 0, the load on core 1.",
        told,
    ]
    for name, part in (("echo", echo), ("syscalls", syscalls), ("idle", idle), ("flood", flood)):
        if name in results:
            parts.append(part(results[name], results))
    return "\n\n".join(parts) + "\n"
