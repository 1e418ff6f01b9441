"""Socket.IO beside Node's own server: what an event, a delivery and an idle connection cost."""

from contextlib import contextmanager
from dataclasses import dataclass

from . import compare, machine, report, servers, tables
from .processes import LOAD_CORE, SERVER_CORE, Failed
from .servers import BY_NAME, FLOOR, SOCKETIO, TIDEGATE_SOCKETIO

FILE = "SOCKETIO.md"
TOP = """\
# Socket.IO beside Node

Written by `make bench-socketio` (`benches/peers/socketio`). Node's server is `socket.io` on `ws` with its native addon
(`benches/peers/node/socketio.mjs`), set up to be fast: WebSocket alone, no compression, `NODE_ENV=production`, one process. Tidegate has one worker,
its own defaults, and `SOCKETIO_CONFORMANCE=on`, so that it answers the event of the echo. Both get the same bytes from
`tidegate bench` with `--dialect socketio` ([docs/bench.md](../docs/bench.md#over-socketio) tells which), run side by side, each idle while the
other is measured, in turns A B C, C B A; servers on core {server}, the load on core {load}. CPU time is that of all threads of the
server, user and system (`/proc/PID/task/*/schedstat`); figures are medians of the rounds, ratios the median of the rounds'
ratios with the lowest and the highest."""
KERNEL = """\
The bare floor is a TCP server that looks at no byte, and is sent as many messages of plain WebSocket (128 bytes and their header). It tells
what the kernel takes of the time: where one message is read and written at a time that is most of it, for any server, and
bounds the ratio; where several travel in one read and one write the servers' own work shows."""
ECHO_HOW = "An event with a text of 128 bytes comes back as another event, to the client that sent it. The depth is the number under way on each connection."
FANOUT_HOW = """\
One client publishes an event with a text of 128 bytes to a room of 1,000 (`io.to(room).emit`), and every client there gets it, it
included: a delivery each. The window is the number of publications under way. The clients have spoken before (`register`, `join`), and those of
the floor have not: the kernel of a client that has spoken holds its acknowledgements back (`net.ipv4.tcp_pingpong_thresh`), and then does
them when the next message comes, on the server's core. With that off a delivery of window 4 costs Tidegate a quarter less, as much as one of
its `/broadcast`."""
IDLE_HOW = """\
Memory of the server's process (`/proc/PID/smaps_rollup`) with {connections:,} clients in the main namespace, less what it had before the first,
divided by their number; each round on a freshly started server."""
STATES = {"each_connected": "after the handshake", "each_spoken": "after one event"}
KINDS = ("rss", "pss")
PAYLOAD = 128
RECEIVERS = 1000
CONNECTIONS = 10_000
QUICK_CONNECTIONS = 500
IDLE_ROUNDS_MAX = 3
ECHO_GOAL = 8
FANOUT_GOAL = 10
IDLE_GOAL = 10


@dataclass(frozen=True)
class Work:
    """One row of measurements: `command` of `tidegate bench`, and what it is told."""

    name: str
    command: str
    options: dict
    unit: str
    # Times Node's messages or deliveries for each second of CPU time.
    goal: int


def echo(connections, depth):
    options = {"connections": connections, "depth": depth, "size": PAYLOAD}
    return Work(f"echo, {connections:,} connections, depth {depth}", "echo", options, "message", ECHO_GOAL)


def fanout(window):
    options = {"receivers": RECEIVERS, "window": window, "size": PAYLOAD}
    return Work(f"broadcast to {RECEIVERS:,}, window {window}", "fanout", options, "delivery", FANOUT_GOAL)


ECHOES = [echo(100, 1), echo(1000, 1), echo(100, 4), echo(100, 16)]
FANOUTS = [fanout(1), fanout(4), fanout(16)]


def measure(bench):
    data = {}
    for kind, works in (("echo", ECHOES), ("fanout", FANOUTS)):
        wanted = [(FLOOR, kind), (TIDEGATE_SOCKETIO, "socketio"), (SOCKETIO, "socketio")]
        with both_running(bench, wanted) as targets:
            for work in works:
                options = work.options | {"seconds": bench.seconds}
                data[work.name] = compare.same_work(bench, work.name, work.command, targets, options)
    return data | {"idle": measure_idle(bench)}


@contextmanager
def both_running(bench, wanted):
    """Without either there is nothing to compare."""
    with servers.all_running(bench, wanted) as targets:
        for name, reason in bench.absent.items():
            raise Failed(f"{BY_NAME[name].label} is not there: {reason}")
        yield targets


def measure_idle(bench):
    connections = QUICK_CONNECTIONS if bench.is_quick else CONNECTIONS
    rows = {TIDEGATE_SOCKETIO: [], SOCKETIO: []}
    for _ in range(min(bench.rounds, IDLE_ROUNDS_MAX)):
        for name in rows:
            with both_running(bench, [(name, "socketio")]) as targets:
                rows[name].append(compare.one(bench, "idle", targets[name], {"connections": connections}))
    bench.tell("idle: " + ", ".join(f"{name} {idle_told(rows, name)}" for name in rows))
    return {"connections": connections, "rows": rows}


def idle_told(rows, name):
    return compare.failure(rows, name) or f"{compare.median(rows, name, each('each_spoken', 'rss')):,.0f} B"


def each(state, kind):
    """What a row says that a connection takes."""
    return lambda row: row[state][kind]


def write(bench, data, about):
    """SOCKETIO.md."""
    parts = [TOP.format(server=SERVER_CORE, load=LOAD_CORE), report.listed(machine.facts() | versions(bench)), goals(data)]
    parts.append(tables.section("Echo of an event", ECHO_HOW, KERNEL, *(part for work in ECHOES for part in told(work, data))))
    parts.append(tables.section("Broadcast to a room", FANOUT_HOW, *(part for work in FANOUTS for part in told(work, data))))
    parts += [idle(data["idle"]), report.how_measured(about)]
    return "\n\n".join(parts) + "\n"


def versions(bench):
    return {"Socket.IO": machine.versions(bench)[SOCKETIO]}


def told(work, data):
    rows = data[work.name]
    body = []
    for name in rows:
        reason = compare.failure(rows, name)
        if reason:
            body.append([label(name), "", "", "", f"failed: {reason}"])
            continue
        cpu = compare.median(rows, name)
        body.append([
            label(name),
            f"{cpu:.3f}",
            f"{1e6 / cpu:,.0f}",
            f"{compare.median(rows, name, compare.per_second):,.0f}",
            f"{compare.median(rows, name, lambda row: row['server']['cpu_share']):.0%}",
        ])
    units = tables.PLURALS[work.unit]
    head = ["server", f"µs a {work.unit}", f"{units} a CPU second", f"{units} a second", "its core busy"]
    return [f"### {work.name[0].upper()}{work.name[1:]}", tables.table(head, body), tables.quiet(compare.others(rows))]


def label(name):
    told = BY_NAME[name].label
    return f"**{told}**" if name == TIDEGATE_SOCKETIO else told


def times(rows, value=compare.cpu):
    """How many times Node's cost is ours; None where one of the two has failed."""
    if not (compare.is_there(rows, SOCKETIO) and compare.is_there(rows, TIDEGATE_SOCKETIO)):
        return None
    return compare.ratio(rows, SOCKETIO, TIDEGATE_SOCKETIO, value)


def bound(rows):
    """The same of a server that costs nothing but what the kernel takes."""
    is_there = compare.is_there(rows, SOCKETIO) and compare.is_there(rows, FLOOR)
    return f"{compare.ratio(rows, SOCKETIO, FLOOR).middle:.1f}" if is_there else ""


def goals(data):
    """Every goal, also where the kernel leaves no room for it."""
    body = []
    for work in [*ECHOES, *FANOUTS]:
        rows = data[work.name]
        units = tables.PLURALS[work.unit]
        body.append(goal(f"{work.name}: {units} a CPU second", times(rows), work.goal, bound(rows)))
    rows = data["idle"]["rows"]
    for state, when in STATES.items():
        body.append(goal(f"memory of an idle connection {when}", times(rows, each(state, "rss")), IDLE_GOAL, ""))
    head = ["what", "times better than Node's", "goal", "the bare floor", ""]
    return tables.section("Goals", tables.table(head, body))


def goal(what, measured, wanted, floor):
    if measured is None:
        return [what, "", f"{wanted} times", floor, "**undecided**"]
    verdict = "reached" if measured.middle >= wanted else "**missed**"
    return [what, f"{measured.middle:.1f} ({measured.lowest:.1f} to {measured.highest:.1f})", f"{wanted} times", floor, verdict]


def idle(data):
    rows = data["rows"]
    body = []
    for name in rows:
        reason = compare.failure(rows, name)
        if reason:
            body.append([label(name), *[""] * 4, f"failed: {reason}"])
            continue
        before = compare.median(rows, name, each("before", "rss")) / 2**20
        figures = [f"{compare.median(rows, name, each(state, kind)):,.0f}" for state in STATES for kind in KINDS]
        body.append([label(name), f"{before:.1f} MiB", *figures])
    heads = [f"{kind.upper()} {when}, bytes each" for when in STATES.values() for kind in KINDS]
    how = IDLE_HOW.format(connections=data["connections"])
    return tables.section("Memory of an idle connection", how, tables.table(["server", "RSS before", *heads], body))
