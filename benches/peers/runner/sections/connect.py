"""Handshake and close: CPU time a connection."""

from functools import partial

from .. import compare, servers, tables
from ..servers import FLOOR, PROFILED, TIDEGATE

TITLE = "Handshake and close"
HOW = """\
64 connections at a time are opened, shake hands, exchange Close frames and end. The bare floor (`examples/floor`, `accept`) accepts,
registers, reads, writes a constant 101, reads and closes: it answers the Close frame by ending the connection."""
ORDER = [FLOOR, TIDEGATE, PROFILED, "uws", "bun", "fastwebsockets", "tungstenite-4k", "ws"]
GOAL = 1.15


def measure(bench):
    wanted = [(name, "accept" if name == FLOOR else "echo") for name in ORDER if bench.takes_part(name)]
    with servers.all_running(bench, wanted) as targets:
        return compare.same_work(bench, "connect", "connect", targets, {"seconds": bench.seconds})


def write(data):
    table = tables.comparison(data, FLOOR, "connection")
    return tables.section("Handshake and close: CPU time a connection", HOW, table, tables.quiet(compare.others(data)))


def goals(data):
    return [tables.goal_of_builds(data, partial(goal, data))]


def goal(data, build):
    ours = compare.ratio(data, build, FLOOR)
    best = compare.best_peer(data)
    leads = best is None or compare.median(data, build) <= compare.median(data, best)
    text = f"at most {GOAL} of a bare accept, and below every peer"
    return tables.Goal("handshake and close", text, str(ours), tables.best_told(data, FLOOR), ours.middle <= GOAL and leads)


def bars(data):
    return [tables.Group("handshake and close", FLOOR, tables.bars(data, FLOOR))]
