"""Fan-out: CPU time a delivery."""

from functools import partial

from .. import compare, servers, tables
from ..servers import FLOOR, PROFILED, TIDEGATE

TITLE = "Fan-out"
HOW = """\
One of the connections publishes 128 bytes, and every connection, it included, gets them: a delivery each. The window is the
number of publications under way; as many as have reached all receivers are published again in one write. The bare floor
(`examples/floor`, `fanout`) sends whatever one read gave to every connection in one write each, from where it lies.
Socket.IO gets the same bytes in its own packets, from a room that all have joined."""
ORDER = [FLOOR, TIDEGATE, PROFILED, "uws", "bun", "tungstenite", "ws", "socketio", "nchan"]
RECEIVERS = [1000, 5000]
WINDOWS = [1, 16]
GOAL_BARE = 1.03
GOAL_TIMES = 2


def name_of(receivers, window):
    return f"128 B to {receivers:,}, window {window}"


def work():
    return [(name_of(receivers, window), receivers, window) for window in WINDOWS for receivers in RECEIVERS]


def measure(bench):
    data = {}
    with servers.all_running(bench, [(name, "fanout") for name in ORDER if bench.takes_part(name)]) as targets:
        for name, receivers, window in work():
            options = {"receivers": receivers, "window": window, "size": 128, "seconds": bench.seconds}
            data[name] = compare.same_work(bench, f"fan-out {name}", "fanout", targets, options)
    return data


def write(data):
    parts = []
    for name, _, _ in work():
        rows = data[name]
        parts += [f"### {name}", tables.comparison(rows, FLOOR, "delivery"), tables.quiet(compare.others(rows))]
    return tables.section("Fan-out: CPU time a delivery", HOW, *parts)


def goals(data):
    told = []
    for name, _, window in work():
        rows = data[name]
        if window == 1:
            goal = partial(against_the_floor, f"fan-out {name}", rows)
        else:
            goal = partial(tables.times_the_best, f"fan-out {name}", rows, GOAL_TIMES, "deliveries")
        told.append(tables.goal_of_builds(rows, goal))
    return told


def against_the_floor(work, rows, build):
    ours = compare.ratio(rows, build, FLOOR)
    text = f"at most {GOAL_BARE} of a bare send loop"
    return tables.Goal(work, text, str(ours), tables.best_told(rows, FLOOR), ours.middle <= GOAL_BARE)


def bars(data):
    return [tables.Group(f"fan-out {name}", FLOOR, tables.bars(data[name], FLOOR)) for name, _, _ in work()]
