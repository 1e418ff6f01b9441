"""Tables in Markdown, and the verdicts on goals."""

from dataclasses import dataclass, replace

from . import compare
from .servers import BY_NAME, PROFILED, TIDEGATE

# Share of a core's time that somebody else may have: its ticks are coarse.
OTHERS_MAX = 0.03


PLURALS = {"message": "messages", "delivery": "deliveries", "connection": "connections"}


@dataclass(frozen=True)
class Goal:
    """One line of the list of goals."""

    work: str
    goal: str
    measured: str
    best_peer: str
    # None where the measurement cannot tell.
    is_reached: bool | None
    # The same of the profile-guided build; None where that was not measured.
    profiled: "Goal | None" = None

    @property
    def verdict(self):
        if self.is_reached is None:
            return "**undecided**"
        if self.is_reached:
            return "reached"
        return "reached by the profile-guided build" if self.profiled and self.profiled.is_reached else "**missed**"


def goal_of_builds(rows, goal_of):
    """The goal that `goal_of(server)` tells of, with that of the profile-guided build where it was measured."""
    return replace(goal_of(TIDEGATE), profiled=goal_of(PROFILED) if PROFILED in rows else None)


@dataclass(frozen=True)
class Group:
    """Bars of the plot that belong together: `{server: times as much as the base}`."""

    title: str
    base: str
    bars: dict


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(title, *parts):
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def label(name):
    told = BY_NAME[name].label
    return f"**{told}**" if name == TIDEGATE else told


def comparison(rows, base, unit, more=None):
    """A line for each server: CPU time of one unit, the ratio to the base, units a second, how busy its core was; `more` has
    further columns, each with the function that tells it from a row."""
    more = more or {}
    best = compare.best_peer(rows)
    body = []
    for name in rows:
        reason = compare.failure(rows, name)
        if reason:
            body.append([label(name), *[""] * (4 + len(more)), f"failed: {reason}"])
            continue
        body.append([
            label(name),
            f"{compare.median(rows, name):.3f}",
            "" if name == base else str(compare.ratio(rows, name, base)),
            f"{compare.median(rows, name, compare.per_second):,.0f}",
            f"{compare.median(rows, name, lambda row: row['server']['cpu_share']):.0%}",
            *(f"{compare.median(rows, name, value):,.0f}" for value in more.values()),
            "best peer" if name == best else "",
        ])
    head = ["server", f"µs a {unit}", f"ratio to {BY_NAME[base].label}", f"{PLURALS[unit]}/s", "its core busy", *more, ""]
    return table(head, body)


def best_told(rows, base):
    """The best peer and its ratio to the base."""
    best = compare.best_peer(rows)
    return f"{BY_NAME[best].label} {compare.ratio(rows, best, base).middle:.3f}" if best else "none measured"


def bars(rows, base):
    return {name: compare.ratio(rows, name, base).middle for name in rows if name != base and compare.is_there(rows, name)}


def quiet(share):
    """How much others were in the way, `share` being their largest part of a core."""
    told = f"Somebody else had the server's core or the load's for {share:.0%} of the time at most"
    return told + ("." if share < OTHERS_MAX else ": **the machine was not quiet, measure again.**")


def times_the_best(work, rows, goal, units, ours):
    """The goal of so many times the best peer's messages or deliveries for each second of CPU time."""
    best = compare.best_peer(rows)
    text = f"at least {goal} times the best peer's {units} a CPU second"
    if best is None:
        return Goal(work, text, "nothing to compare with", "none measured", False)
    times = compare.ratio(rows, best, ours)
    return Goal(work, text, f"{times} times", f"{BY_NAME[best].label} {compare.median(rows, best):.3f} µs", times.middle >= goal)
