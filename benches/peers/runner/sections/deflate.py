"""Echo with permessage-deflate, no context takeover: messages per CPU second."""

from functools import partial

from .. import compare, servers, tables
from ..servers import PROFILED, TIDEGATE

TITLE = "Echo with permessage-deflate"
HOW = """\
JSON text messages over 100 connections at depth 1, permessage-deflate without context takeover on either side; what comes back
is inflated and compared. Every server inflates and deflates every message: Tidegate runs with `COMPRESSION_THRESHOLD=0`, `ws`
with `threshold: 0`, uWebSockets and Bun with their shared compressor and decompressor. Levels are each server's own default,
which is 1 for Tidegate and 6 for most: what they make of a message differs in size, so Tidegate is there at level 6 as
well. uWebSockets is there built with zlib as its makefiles do, and with libdeflate, which it supports."""
ORDER = [TIDEGATE, PROFILED, "tidegate-6", "uws", "uws-libdeflate", "bun", "ws"]
WORK = {"JSON of 128 B": 128, "JSON of 16 KiB": 16 * 1024}
GOAL = 1.5
BYTES = {"bytes of an answer": lambda row: row["wire_bytes"]["received"]}


def measure(bench):
    data = {}
    with servers.all_running(bench, [(name, "deflate") for name in ORDER if bench.takes_part(name)]) as targets:
        for name, size in WORK.items():
            options = {"connections": 100, "size": size, "payload": "json", "compress": True, "seconds": bench.seconds}
            data[name] = compare.same_work(bench, f"deflate {name}", "echo", targets, options)
    return data


def write(data):
    parts = []
    for name in WORK:
        rows = data[name]
        parts += [f"### {name}", tables.comparison(rows, TIDEGATE, "message", BYTES), tables.quiet(compare.others(rows))]
    return tables.section("Echo with permessage-deflate: CPU time a message", HOW, *parts)


def goals(data):
    told = []
    for name in WORK:
        goal = partial(tables.times_the_best, f"deflate echo, {name}", data[name], GOAL, "messages")
        told.append(tables.goal_of_builds(data[name], goal))
    return told


def bars(data):
    return [tables.Group(f"deflate echo, {name}", TIDEGATE, tables.bars(data[name], TIDEGATE)) for name in WORK]
