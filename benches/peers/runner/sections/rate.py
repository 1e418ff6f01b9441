"""Open loop: latency at a steady rate."""

from .. import compare, servers, tables
from ..servers import BY_NAME, FLOOR, TIDEGATE

TITLE = "Open loop"
HOW = """\
{rate:,} messages of 128 bytes a second, evenly spread over {connections} connections, sent when they are due whether or not earlier ones
are back; latency counts from the time a message was due, so that a stall counts for every message it held up. Medians of
the rounds' windows of {seconds:g} s."""
ORDER = [FLOOR, TIDEGATE, "uws", "bun", "fastwebsockets", "tungstenite-4k", "ws"]
RATE = 20_000
CONNECTIONS = 500
WINDOW_SECONDS = 30
QUICK_SECONDS = 2
PERCENTILES = {"p50": "p50", "p99": "p99", "p99_9": "p99.9"}


def measure(bench):
    seconds = QUICK_SECONDS if bench.is_quick else WINDOW_SECONDS
    options = {"connections": CONNECTIONS, "rate": RATE, "size": 128, "seconds": seconds}
    with servers.all_running(bench, [(name, "echo") for name in ORDER if bench.takes_part(name)]) as targets:
        return {"seconds": seconds, "rows": compare.same_work(bench, "open loop", "rate", targets, options)}


def write(data):
    rows = data["rows"]
    body = [line(rows, name) for name in rows]
    head = ["server", *(f"{told} µs" for told in PERCENTILES.values()), "most µs", "µs of CPU a message", ""]
    how = HOW.format(rate=RATE, connections=CONNECTIONS, seconds=data["seconds"])
    return tables.section("Open loop: latency", how, tables.table(head, body), tables.quiet(compare.others(rows)))


def line(rows, name):
    reason = compare.failure(rows, name)
    if reason:
        return [tables.label(name), "", "", "", "", "", f"failed: {reason}"]
    figures = [f"{compare.median(rows, name, compare.latency(key)):,.0f}" for key in [*PERCENTILES, "max"]]
    late = sum(bool(row.get("generator_late")) for row in rows[name])
    note = f"the load was late in {late} of {len(rows[name])} windows" if late else ""
    return [tables.label(name), *figures, f"{compare.median(rows, name):.2f}", note]


def goals(data):
    rows = data["rows"]
    told = []
    for key, name in PERCENTILES.items():
        value = compare.latency(key)
        best = compare.best_peer(rows, value)
        ours = compare.median(rows, TIDEGATE, value)
        theirs = compare.median(rows, best, value) if best else None
        best_told = f"{BY_NAME[best].label} {theirs:,.0f} µs" if best else "none measured"
        text = f"{name} at or below the best peer's"
        told.append(tables.Goal(f"open loop {RATE:,}/s", text, f"{ours:,.0f} µs", best_told, best is None or ours <= theirs))
    return told


def bars(_):
    return []
