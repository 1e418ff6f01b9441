"""Memory of an idle connection."""

import resource

from .. import compare, servers, tables
from ..servers import BY_NAME, FLOOR, TIDEGATE

TITLE = "Memory of an idle connection"
HOW = """\
RSS and PSS of the server's processes (`/proc/PID/smaps_rollup`) with {connections:,} idle connections, less what it had before the
first, divided by their number; each round on a freshly started server. Kernel memory is not part of it. Negative figures mean
that a server gave memory back meanwhile."""
ORDER = [FLOOR, TIDEGATE, "uws", "bun", "fastwebsockets", "tungstenite-4k", "tungstenite", "ws", "nchan"]
CONNECTIONS = 15_000
QUICK_CONNECTIONS = 2_000
# Descriptors that server and load need besides.
RESERVE = 300
# More than this says nothing new of memory.
ROUNDS_MAX = 3
GOAL = 256
STATES = {"each_connected": "after the handshake", "each_spoken": "after one message"}


def connections(bench, wanted):
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(QUICK_CONNECTIONS if bench.is_quick else wanted, limit - RESERVE)


def measure(bench):
    options = {"connections": connections(bench, CONNECTIONS)}
    rows = {name: [] for name in ORDER if bench.takes_part(name)}
    for _ in range(min(bench.rounds, ROUNDS_MAX)):
        for name in list(rows):
            with servers.all_running(bench, [(name, "echo")]) as targets:
                rows[name] += [compare.one(bench, "idle", target, options) for target in targets.values()]
            if not rows[name]:
                del rows[name]
    bench.tell("idle: " + ", ".join(f"{name} {told(rows, name)}" for name in rows))
    return {"connections": options["connections"], "rows": rows}


def told(rows, name):
    return compare.failure(rows, name) or f"{worst(rows, name):.0f} B"


def figure(state, kind):
    return lambda row: row[state][kind]


def worst(rows, name):
    """The largest of the four figures, bytes."""
    return max(compare.median(rows, name, figure(state, kind)) for state in STATES for kind in ("rss", "pss"))


def best_peer(rows):
    peers = [name for name in rows if not BY_NAME[name].is_ours and compare.is_there(rows, name)]
    return min(peers, key=lambda name: worst(rows, name), default=None)


def write(data):
    rows = data["rows"]
    best = best_peer(rows)
    body = []
    for name in rows:
        reason = compare.failure(rows, name)
        if reason:
            body.append([tables.label(name), "", "", "", "", "", f"failed: {reason}"])
            continue
        each = [f"{compare.median(rows, name, figure(state, kind)):,.0f}" for state in STATES for kind in ("rss", "pss")]
        before = compare.median(rows, name, figure("before", "rss")) / 2**20
        body.append([tables.label(name), f"{before:.1f} MiB", *each, "best peer" if name == best else ""])
    figures = [f"{kind} {state}, bytes each" for state in STATES.values() for kind in ("RSS", "PSS")]
    head = ["server", "RSS before", *figures, ""]
    return tables.section(TITLE, HOW.format(connections=data["connections"]), tables.table(head, body))


def goals(data):
    rows = data["rows"]
    best = best_peer(rows)
    best_told = f"{BY_NAME[best].label} {worst(rows, best):,.0f} bytes" if best else "none measured"
    ours = worst(rows, TIDEGATE)
    work = f"idle connection of {data['connections']:,}, before and after one message"
    return [tables.Goal(work, f"at most {GOAL} bytes", f"{ours:.0f} bytes", best_told, ours <= GOAL)]


def bars(data):
    rows = data["rows"]
    ours = worst(rows, TIDEGATE)
    if ours <= 0:
        return []
    there = [name for name in rows if name != FLOOR and compare.is_there(rows, name) and worst(rows, name) > 0]
    return [tables.Group("memory of an idle connection", TIDEGATE, {name: worst(rows, name) / ours for name in there if name != TIDEGATE})]
