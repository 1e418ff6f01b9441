"""CPU time a message while more and more connections are open beside the active ones."""

from .. import compare, servers, tables
from ..processes import CORES
from ..servers import BY_NAME, FLOOR, TIDEGATE
from .idle import connections

TITLE = "Many open connections"
HOW = """\
Echo of 128 bytes at depth 1 over 100 active connections, while others are open and silent. The ratio is to the same server's
own figure with 10 silent connections, of the same round. {cores}"""
ONE_CORE = "Two workers share the server's core here, because the load has the other one: it is their CPU time that counts."
MORE_CORES = "Two workers have two cores."
OURS = [TIDEGATE, "tidegate-2"]
ORDER = [FLOOR, *OURS, "uws", "bun"]
SILENT = [10, 1_000, 15_000]
GOAL = 1.05


def key(name, silent):
    return f"{name}@{silent}"


def measure(bench):
    silent = [min(number, connections(bench, number)) for number in SILENT]
    with servers.all_running(bench, [(name, "echo") for name in ORDER if bench.takes_part(name)]) as targets:
        runs = {}
        for name, target in targets.items():
            for number in silent:
                options = {"connections": 100, "size": 128, "idle": number, "seconds": bench.seconds}
                runs[key(name, number)] = ("echo", target, options)
        rows = compare.in_turn(bench, "many open", runs)
    return {"servers": list(targets), "silent": silent, "cores": len(CORES), "rows": rows}


def write(data):
    rows, body = data["rows"], []
    for name in data["servers"]:
        for number in data["silent"]:
            reason = compare.failure(rows, key(name, number)) or compare.failure(rows, key(name, data["silent"][0]))
            if reason:
                body.append([tables.label(name), f"{number:,}", "", "", f"failed: {reason}"])
                continue
            share = compare.ratio(rows, key(name, number), key(name, data["silent"][0]))
            figure = f"{compare.median(rows, key(name, number)):.3f}"
            body.append([tables.label(name), f"{number:,}", figure, "" if number == data["silent"][0] else str(share), ""])
    head = ["server", "silent connections", "µs a message", f"ratio to {data['silent'][0]}", ""]
    how = HOW.format(cores=ONE_CORE if data["cores"] < 3 else MORE_CORES)
    return tables.section(f"{TITLE}: CPU time a message", how, tables.table(head, body), tables.quiet(compare.others(rows)))


def steepest(data, name):
    first, *more = data["silent"]
    ratios = [compare.ratio(data["rows"], key(name, number), key(name, first)) for number in more]
    return max(ratios, key=lambda each: each.middle)


def goals(data):
    told = []
    peers = [name for name in data["servers"] if not BY_NAME[name].is_ours and all(compare.is_there(data["rows"], key(name, number)) for number in data["silent"])]
    best = min(peers, key=lambda name: steepest(data, name).middle, default=None)
    best_told = f"{BY_NAME[best].label} {steepest(data, best).middle:.3f}" if best else "none measured"
    for name in OURS:
        ours = steepest(data, name)
        work = f"10 to {data['silent'][-1]:,} open connections, {BY_NAME[name].workers} worker(s)"
        told.append(tables.Goal(work, "flat within 5 %", str(ours), best_told, ours.middle <= GOAL))
    return told


def bars(_):
    return []
