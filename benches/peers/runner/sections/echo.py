"""Echo, closed loop: CPU time a message."""

from dataclasses import dataclass
from functools import partial

from .. import compare, servers, tables
from ..servers import FLOOR, PROFILED, TIDEGATE

TITLE = "Echo"
HOW = """\
A closed loop: each connection keeps a number of messages under way (the depth), and sends as many as came back in one write.
Masked text frames that were prepared before, no compression; every byte that comes back is compared. The bare floor
(`examples/floor`, `echo`) gets the same bytes and looks at none of them. At depth 1 the load makes the same system calls as a
server, so it may be the limit of the messages per second: compare CPU time."""
ORDER = [FLOOR, TIDEGATE, PROFILED, "uws", "bun", "fastwebsockets", "tungstenite-4k", "tungstenite", "ws"]


@dataclass(frozen=True)
class Work:
    name: str
    size: int
    connections: int
    depth: int
    # For the ratio to the bare floor.
    goal: float | None = None
    # Whether no peer may cost less.
    is_lead_wanted: bool = False


WORK = [
    Work("16 B, 100 connections, depth 1", 16, 100, 1, 1.03, True),
    Work("128 B, 100 connections, depth 1", 128, 100, 1),
    Work("128 B, 1,000 connections, depth 1", 128, 1000, 1, 1.03, True),
    Work("128 B, 100 connections, depth 16", 128, 100, 16, 1.05),
    Work("16 KiB, 100 connections, depth 4", 16 * 1024, 100, 4, 1.10),
    Work("512 KiB, 10 connections, depth 1", 512 * 1024, 10, 1, 1.25),
]


def measure(bench):
    data = {}
    with servers.all_running(bench, [(name, "echo") for name in ORDER if bench.takes_part(name)]) as targets:
        for work in WORK:
            options = {"connections": work.connections, "depth": work.depth, "size": work.size, "seconds": bench.seconds}
            data[work.name] = compare.same_work(bench, work.name, "echo", targets, options)
    return data


def write(data):
    parts = []
    for work in WORK:
        rows = data[work.name]
        parts += [f"### {work.name}", tables.comparison(rows, FLOOR, "message"), tables.quiet(compare.others(rows))]
    return tables.section("Echo: CPU time a message", HOW, *parts)


def goals(data):
    wanted = [(work, data[work.name]) for work in WORK if work.goal]
    return [tables.goal_of_builds(rows, partial(goal, work, rows)) for work, rows in wanted]


def goal(work, rows, build):
    ours = compare.ratio(rows, build, FLOOR)
    best = compare.best_peer(rows)
    leads = best is None or ours.middle <= compare.ratio(rows, best, FLOOR).middle
    text = f"at most {work.goal:.2f} of the bare echo" + (", and no peer below" if work.is_lead_wanted else "")
    is_reached = ours.middle <= work.goal and (leads or not work.is_lead_wanted)
    return tables.Goal(f"echo {work.name}", text, str(ours), tables.best_told(rows, FLOOR), is_reached)


def bars(data):
    return [tables.Group(f"echo {work.name}", FLOOR, tables.bars(data[work.name], FLOOR)) for work in WORK]
