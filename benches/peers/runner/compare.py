"""Servers measured in turn, and the ratios between them.

The rows of a comparison are `{server: [row of each round]}`; a row is what `tidegate bench --json` said, or
`{"failed": reason}`.
"""

import statistics
from dataclasses import dataclass

from . import load
from .processes import Failed
from .servers import BY_NAME

# What is kept of a row: the rest can be had again.
KEPT = (
    *("per_second", "count", "latency_us", "server", "load", "others", "wire_bytes", "generator_late"),
    *("before", "connected", "spoken", "each_connected", "each_spoken"),
)


def kept(row):
    return {key: row[key] for key in KEPT if key in row}


def one(bench, command, target, options):
    """One measurement. A peer may fail, we may not."""
    if target.server.dialect != "plain":
        options = options | {"dialect": target.server.dialect}
    try:
        return kept(load.run(bench, command, target, options))
    except Failed as failed:
        if target.server.is_ours:
            raise Failed(f"{target.server.label}: {failed}") from failed
        return {"failed": str(failed)}


def in_turn(bench, title, runs):
    """Rounds A B C, C B A, A B C: a machine that gets slower meanwhile favours nobody. `runs` is `{key: (command, target, options)}`."""
    rows = {key: [] for key in runs}
    for number in range(bench.rounds):
        order = list(runs) if number % 2 == 0 else list(reversed(runs))
        for key in order:
            rows[key].append(one(bench, *runs[key]))
        bench.tell(f"{title}: " + ", ".join(f"{key} {tell(rows[key][-1])}" for key in runs))
    return rows


def same_work(bench, title, command, targets, options):
    """The same work for all targets, in turn."""
    return in_turn(bench, title, {name: (command, target, options) for name, target in targets.items()})


def tell(row):
    if "failed" in row:
        return f"failed ({row['failed']})"
    return f"{cpu(row):.3f}"


def cpu(row):
    """CPU time of the server for each message, delivery or connection, microseconds."""
    return row["server"]["cpu_us_each"]


def latency(percentile):
    return lambda row: row["latency_us"][percentile]


def per_second(row):
    return row["per_second"]


def failure(rows, name):
    """Why there is no figure; None where there is one."""
    failed = [row["failed"] for row in rows[name] if "failed" in row]
    return failed[0] if failed else None


def is_there(rows, name):
    return name in rows and failure(rows, name) is None


def median(rows, name, value=cpu):
    return statistics.median(value(row) for row in rows[name])


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, with the lowest and the highest."""

    middle: float
    lowest: float
    highest: float

    def __str__(self):
        return f"{self.middle:.3f} ({self.lowest:.3f} to {self.highest:.3f})"


def ratio(rows, name, base, value=cpu):
    each = sorted(value(a) / value(b) for a, b in zip(rows[name], rows[base]))
    return Ratio(statistics.median(each), each[0], each[-1])


def best_peer(rows, value=cpu):
    """The peer with the least; None where there is none."""
    peers = [name for name in rows if not BY_NAME[name].is_ours and is_there(rows, name)]
    return min(peers, key=lambda name: median(rows, name, value), default=None)


def others(rows, cores=("server", "load")):
    """The largest share of the time that somebody else had the server's core, or the load's."""
    return max(row["others"][core] for each in rows.values() for row in each if "others" in row for core in cores)
