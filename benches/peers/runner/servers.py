"""The servers that are compared: how each is started, and what it can do.

Kinds of work: `echo`, `deflate` (echo with permessage-deflate), `fanout` (what one connection sends goes to all, its sender
included), `accept` (the floor of a handshake and a close), `socketio` (events that are answered, and rooms, over Socket.IO). Every server listens on 127.0.0.1 and has one thread for its work,
but for Tidegate with two workers.
"""

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from . import processes

FLOOR = "floor"
TIDEGATE = "tidegate"
# The same sources, built as deploy/pgo/build does.
PROFILED = "tidegate-pgo"
# As the load wants to be answered that speaks Socket.IO.
TIDEGATE_SOCKETIO = "tidegate-socketio"
SOCKETIO = "socketio"


@dataclass(frozen=True)
class Server:
    """A server that can be started. `paths` has the kinds of work that it does, each with the path that it is found at."""

    name: str
    label: str
    paths: dict
    # (bench, kind, port, directory) -> arguments of the process
    command: object
    # What of benches/peers/install it needs; none for our own.
    part: str = ""
    scheme: str = "ws"
    dialect: str = "plain"
    environment: dict = field(default_factory=dict)
    # Settings that one kind of work needs besides.
    environment_of: dict = field(default_factory=dict)
    workers: int = 1

    @property
    def is_ours(self):
        return not self.part

    def path(self, kind):
        return self.paths[kind]


def _floor(bench, kind, port, _):
    return [bench.floor, kind, f"127.0.0.1:{port}"]


def _tidegate(bench, *_):
    return [bench.tidegate]


def _profiled(bench, *_):
    return [bench.profiled]


def _uws(program):
    return lambda bench, kind, port, _: [bench.installed / "uws" / program, kind, port]


def _rust(program, *more):
    return lambda bench, kind, port, _: [bench.installed / "rust/release" / program, kind, f"127.0.0.1:{port}", *more]


def _node(script):
    return lambda bench, kind, port, _: [shutil.which("node"), bench.installed / "node" / script, kind, port]


def _bun(bench, kind, port, _):
    modules = bench.installed / "node"
    return [modules / "node_modules/.bin/bun", modules / "bun.mjs", kind, port]


def _nchan(bench, _, port, directory):
    text = (bench.here / "nginx/nchan.conf").read_text()
    file = directory / "nginx.conf"
    file.write_text(text.replace("@PORT@", str(port)).replace("@DIRECTORY@", str(directory)))
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    return [program, "-e", "stderr", "-c", file]


ALL_OF_ECHO = {"echo": "/", "deflate": "/", "fanout": "/"}
TIDEGATE_PATHS = {"echo": "/ws", "deflate": "/ws", "fanout": "/broadcast"}
# As it is by default, but that short messages are compressed too: the other servers do so as well.
TIDEGATE_OF = {"deflate": {"COMPRESSION_THRESHOLD": "0"}}
LEVEL_6 = {"COMPRESSION_LEVEL": "6"}
# Answers what the protocol's test suite asks for: it has no program of its own that could answer.
CONFORMANCE = {"SOCKETIO_CONFORMANCE": "on"}
PRODUCTION = {"NODE_ENV": "production"}

SERVERS = [
    Server(FLOOR, "bare floor", {"echo": "/", "fanout": "/", "accept": "/"}, _floor, scheme="tcp"),
    Server(TIDEGATE, "Tidegate", TIDEGATE_PATHS, _tidegate, environment_of=TIDEGATE_OF),
    Server(PROFILED, "Tidegate, profile-guided build", TIDEGATE_PATHS, _profiled, environment_of=TIDEGATE_OF),
    Server("tidegate-2", "Tidegate, two workers", {"echo": "/ws"}, _tidegate, workers=2),
    Server("tidegate-6", "Tidegate, level 6", {"deflate": "/ws"}, _tidegate, environment_of=TIDEGATE_OF, environment=LEVEL_6),
    Server(TIDEGATE_SOCKETIO, "Tidegate", {"socketio": ""}, _tidegate, dialect="socketio", environment=CONFORMANCE),
    Server("uws", "uWebSockets (C++)", ALL_OF_ECHO, _uws("uws"), "uws"),
    Server("uws-libdeflate", "uWebSockets (C++), libdeflate", {"deflate": "/"}, _uws("uws-libdeflate"), "uws"),
    Server("bun", "Bun", ALL_OF_ECHO, _bun, "node"),
    Server("fastwebsockets", "fastwebsockets", {"echo": "/"}, _rust("fastwebsockets"), "rust"),
    Server("tungstenite", "tokio-tungstenite", {"echo": "/", "fanout": "/"}, _rust("tungstenite"), "rust"),
    Server("tungstenite-4k", "tokio-tungstenite, 4 KiB read buffer", {"echo": "/"}, _rust("tungstenite", 4096), "rust"),
    Server("ws", "ws (npm)", ALL_OF_ECHO, _node("ws.mjs"), "node", environment=PRODUCTION),
    Server(SOCKETIO, "Socket.IO", {"fanout": "", "socketio": ""}, _node("socketio.mjs"), "node", dialect="socketio", environment=PRODUCTION),
    Server("nchan", "nginx with Nchan", {"echo": "/own", "fanout": "/"}, _nchan, "nchan"),
]
BY_NAME = {server.name: server for server in SERVERS}
PEERS = [server.name for server in SERVERS if not server.is_ours]


@dataclass(frozen=True)
class Target:
    """A running server, as the load sees it."""

    server: Server
    url: str
    pid: int

    @property
    def pids(self):
        return ",".join(map(str, processes.family(self.pid)))


@contextmanager
def running(bench, name, kind):
    """Starts the server for that kind of work."""
    server = BY_NAME[name]
    with processes.scratch() as directory:
        port = processes.free_port(bench.ports)
        command = [str(part) for part in server.command(bench, kind, port, directory)]
        environment = {"PATH": os.environ["PATH"], **server.environment, **server.environment_of.get(kind, {})}
        if server.name.startswith(TIDEGATE):
            environment |= {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": str(server.workers)}
        cores = processes.server_cores(server.workers)
        with processes.running(command, port, environment, cores, directory) as pid:
            yield Target(server, f"{server.scheme}://127.0.0.1:{port}{server.path(kind)}", pid)


@contextmanager
def all_running(bench, wanted):
    """Starts each of (name, kind); gives {name: target}. A peer that does not start is left out, and `bench` is told why."""
    with ExitStack() as stack:
        targets = {}
        for name, kind in wanted:
            try:
                targets[name] = stack.enter_context(running(bench, name, kind))
            except processes.Failed as failed:
                if BY_NAME[name].is_ours:
                    raise
                bench.leave_out(name, str(failed))
        yield targets
