"""Writes what was measured as RESULTS.md."""

from . import machine, tables
from .processes import LOAD_CORE, SERVER_CORE
from .servers import BY_NAME, PROFILED

PLOT = "results.svg"
TOP = """\
# Results

Written by `make bench` (`benches/peers/run`), which repeats them; `benches/README.md` tells how to read them. Release builds;
each server on core {server} with one worker and its own defaults, the load (`tidegate bench`) on core {load}; what a server
logs goes to a file. CPU time is that of all threads of the server, system calls included (`/proc/PID/task/*/schedstat`),
divided by what came back meanwhile. All servers of a table run side by side, each idle while another is measured, in
rounds A B C, C B A. A ratio is the median of the rounds' ratios, with the lowest and the highest; other figures are the
rounds' medians."""


def write(bench, sections, results):
    """RESULTS.md, from `{section: result}`."""
    parts = [
        TOP.format(server=SERVER_CORE, load=LOAD_CORE),
        listed(machine.facts()),
        f"![CPU time against the bare floor]({PLOT})",
        goals(sections, results),
        peers(bench, results),
    ]
    for name, section in sections.items():
        if name in results:
            parts += [section.write(results[name]["data"]), how_measured(results[name])]
        else:
            parts.append(f"## {section.TITLE}\n\nNot measured.")
    return "\n\n".join(parts) + "\n"


def listed(facts):
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def goals(sections, results):
    body = []
    for name, result in results.items():
        for goal in sections[name].goals(result["data"]):
            profiled = goal.profiled.measured if goal.profiled else ""
            body.append([goal.work, goal.goal, goal.measured, profiled, goal.best_peer, goal.verdict])
    head = ["work", "goal", "Tidegate", "profile-guided build", "best peer", ""]
    return tables.section("Goals", tables.table(head, body))


def peers(bench, results):
    """Who was there, in which version, and who was not."""
    lines = {}
    builds = {PROFILED: "`deploy/pgo/build`, the recipe for releases; Tidegate without more words is `cargo build --release`"}
    for name, version in {**builds, **machine.versions(bench)}.items():
        missed = {section: result["absent"][name] for section, result in results.items() if name in result["absent"]}
        reason = "; ".join(sorted(set(missed.values())))
        if not missed:
            lines[BY_NAME[name].label] = version
        elif len(missed) == len(results):
            lines[BY_NAME[name].label] = f"**not measured**: {reason}"
        else:
            lines[BY_NAME[name].label] = f"{version}; **not measured** in {', '.join(missed)}: {reason}"
    return tables.section("Peers", listed(lines))


def how_measured(result):
    where = f"Measured on {result['date']} at commit {result['commit']}"
    seconds = f"{result['rounds']} rounds, {result['seconds']:g} s each where nothing else is said"
    return f"{where}: {seconds}; load average before {result['load_average']}. `{result['command']}`"
