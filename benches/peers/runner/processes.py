"""Processes under test: pinned to a core, on a port of their own, stopped by their process id."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
LOAD_CORE = CORES[min(1, len(CORES) - 1)]
# Nothing here takes longer to start, to stop or to answer.
TIMEOUT_SECONDS = 60
# Below the ports that the kernel gives to clients: no connection of the load can hold one.
PORTS = range(20_000, 30_000)


class Failed(Exception):
    """Something under test did not do what it was started for."""


def prepare():
    """Refuses a machine that is too small, and allows as many files as there may be. What stops the program has it end like any
    error does: with everything stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    if len(CORES) < 2:
        raise Failed("two cores are needed, one for the server and one for the load")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(cores, is_background=False):
    """What a child does before it runs: stays on `cores`; in the background it gets only time that nobody else there wants."""

    def prepare():
        os.sched_setaffinity(0, cores)
        if is_background:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return prepare


def server_cores(workers):
    """One core for a server; where there are enough, a second one for a second worker."""
    return {SERVER_CORE, *CORES[2 : 1 + workers]}


def stop(child):
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port(taken):
    """A port that nobody listens on, and that is not in `taken`, which it joins."""
    for port in PORTS:
        if port in taken:
            continue
        taken.add(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise Failed("no port is free")


def family(pid):
    """The process and all that descend from it."""
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            pids.extend(map(int, children.read_text().split()))
    return pids


def spawn(command, environment, cores, directory, log):
    with log.open("wb") as output:
        try:
            return subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=pinned(cores),
            )
        except OSError as error:
            raise Failed(f"{command[0]} cannot be started: {error.strerror}") from error


@contextmanager
def running(command, port, environment, cores, directory):
    """Starts a server and waits until it takes connections; gives its process id."""
    log = directory / "log"
    child = spawn(command, environment, cores, directory, log)
    try:
        wait_until_listening(child, port, log)
        yield child.pid
    finally:
        stop(child)


def wait_until_listening(child, port, log):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed(f"{child.args[0]} does not listen:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def scratch():
    """A directory for one run of one server."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        path = Path(directory)
        # A worker of nginx gives up being root.
        path.chmod(0o755)
        yield path
