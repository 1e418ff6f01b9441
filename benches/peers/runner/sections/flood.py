"""Latency of neighbours, alone and beside one connection that floods."""

import statistics
import time

from .. import compare, load, processes, servers, tables
from ..processes import Failed
from ..servers import TIDEGATE

TITLE = "Neighbours of a flood"
HOW = """\
Fifty neighbours of Tidegate send 128 bytes twenty times a second each, when they are due; latency counts from then. In each
round they are measured alone and then beside one connection that keeps many messages under way, as fast as the server takes
them. The flood is a process of its own on the load's core with the scheduling class SCHED_IDLE: it gets all time there
that the neighbours leave, and its wishes never make them late. The ratio is the median of the rounds' ratios of p99."""
NEIGHBOURS = {"connections": 50, "rate": 1000, "size": 128, "seconds": 3}
FLOODS = {
    "128 B, 4,096 under way": {"size": 128, "depth": 4096, "write-bytes-max": 16384},
    "64 KiB, 16 under way": {"size": 65536, "depth": 16, "write-bytes-max": 65544},
}
ALONE = "alone"
GOAL = 2
# For the flood to reach its pace before the neighbours are measured.
HEAD_START_SECONDS = 0.3


def measure(bench):
    rows = {ALONE: [], **{name: [] for name in FLOODS}}
    floods = {name: [] for name in FLOODS}
    with servers.running(bench, TIDEGATE, "echo") as target:
        for _ in range(bench.rounds):
            rows[ALONE].append(compare.kept(load.run(bench, "rate", target, NEIGHBOURS)))
            for name, options in FLOODS.items():
                beside, flood = measure_beside(bench, target, options)
                rows[name].append(compare.kept(beside))
                floods[name].append(compare.kept(flood))
            bench.tell("flood, p99: " + ", ".join(f"{name} {each[-1]['latency_us']['p99']:.0f} µs" for name, each in rows.items()))
    return {"rows": rows, "floods": floods}


def measure_beside(bench, target, options):
    seconds = NEIGHBOURS["seconds"] + 2
    flooder = load.start(bench, "echo", target, {"connections": 1, "seconds": seconds, **options}, is_background=True)
    try:
        time.sleep(HEAD_START_SECONDS)
        beside = load.run(bench, "rate", target, NEIGHBOURS)
        if flooder.poll() is not None:
            raise Failed("the flood ended before its neighbours")
    except BaseException:
        processes.stop(flooder)
        raise
    return beside, load.finish(flooder, seconds)


def write(data):
    rows, body = data["rows"], []
    for name, each in rows.items():
        latencies = [f"{statistics.median(row['latency_us'][key] for row in each):,.0f}" for key in ("p50", "p99")]
        if name == ALONE:
            body.append([name, *latencies, "", "", ""])
            continue
        flood = data["floods"][name]
        rate = statistics.median(row["per_second"] for row in flood)
        share = statistics.median(row["server"]["cpu_share"] for row in flood)
        body.append([f"flood of {name}", *latencies, str(ratio(rows, name)), f"{rate:,.0f}", f"{share:.0%}"])
    head = ["beside", "p50 µs", "p99 µs", "ratio of p99", "flood, messages/s", "server's core busy"]
    return tables.section(TITLE, HOW, tables.table(head, body), tables.quiet(compare.others(rows, ["server"])))


def ratio(rows, name):
    return compare.ratio(rows, name, ALONE, compare.latency("p99"))


def goals(data):
    told = []
    for name in FLOODS:
        ours = ratio(data["rows"], name)
        text = f"p99 at most {GOAL} times that of neighbours alone"
        told.append(tables.Goal(f"neighbours of a flood of {name}", text, str(ours), "", ours.middle <= GOAL))
    return told


def bars(_):
    return []
