"""Tests of the runner, without a measurement: the arithmetic, the report, the plot, and what happens when things are missing."""

import argparse
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from runner import compare, machine, plot, processes, quiet, report, servers, socketio, tables  # noqa: E402
from runner.bench import Bench  # noqa: E402
from runner.sections import ALL, deflate, echo, fanout, flat, flood, idle, rate, syscalls  # noqa: E402
from runner.servers import FLOOR, PROFILED, TIDEGATE  # noqa: E402
from runner.store import Store  # noqa: E402


def load_run():
    loader = importlib.machinery.SourceFileLoader("run", str(HERE / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    loader.exec_module(module)
    return module


def bench(root=HERE.parent.parent, peers=servers.PEERS):
    made = Bench(root, rounds=2, seconds=0.1, peers=peers, is_quick=True)
    made.tell = lambda text: None
    return made


def row(cpu, others=0.0, latency=10.0, memory=200.0):
    each = {"rss": memory, "pss": memory}
    return {
        "per_second": 1e6 / cpu,
        "count": 1000,
        "latency_us": {key: latency for key in ("p50", "p99", "p99_9", "max")},
        "server": {"cpu_us_each": cpu, "cpu_share": 0.99, "wait_share": 0.0},
        "others": {"server": others, "load": 0.0},
        "wire_bytes": {"sent": 100, "received": 90},
        "before": each,
        "each_connected": each,
        "each_spoken": each,
    }


def rows(names, ours=1.02, peers=2.0, profiled=1.0):
    costs = {FLOOR: 1.0, TIDEGATE: ours, "tidegate-2": ours, "tidegate-6": ours, PROFILED: profiled}
    return {name: [row(costs.get(name.split("@")[0], peers))] * 2 for name in names}


def invented(ours=1.02):
    """Data of every section."""
    keys = [flat.key(name, number) for name in flat.ORDER for number in flat.SILENT]
    calls = [{"depth": depth, "messages": 100, "reads": 1 / depth, "writes": 1 / depth, "waits": 0.1, "others": 0.0} for depth in syscalls.WORK]
    return {
        "echo": {work.name: rows(echo.ORDER, ours) for work in echo.WORK},
        "deflate": {name: rows(deflate.ORDER, ours) for name in deflate.WORK},
        "fanout": {name: rows(fanout.ORDER, ours) for name, _, _ in fanout.work()},
        "rate": {"seconds": 2, "rows": rows(rate.ORDER, ours)},
        "idle": {"connections": 2000, "rows": rows(idle.ORDER, ours)},
        "connect": rows(ALL["connect"].ORDER, ours),
        "flat": {"servers": flat.ORDER, "silent": flat.SILENT, "cores": 2, "rows": rows(keys, ours)},
        "syscalls": [{"server": name, **each} for name in (TIDEGATE, FLOOR) for each in calls],
        "flood": {"rows": rows([flood.ALONE, *flood.FLOODS]), "floods": rows(flood.FLOODS)},
    }


def results(ours=1.02):
    about = {"date": "2026-01-01", "commit": "abc", "rounds": 2, "seconds": 1.0, "load_average": "0.1", "command": "run", "absent": {}}
    return {name: about | {"data": data} for name, data in invented(ours).items()}


class Arithmetic(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_ratios(self):
        measured = {TIDEGATE: [row(2.0), row(9.0), row(3.0)], FLOOR: [row(1.0), row(3.0), row(2.0)]}
        ratio = compare.ratio(measured, TIDEGATE, FLOOR)
        self.assertEqual((ratio.middle, ratio.lowest, ratio.highest), (2.0, 1.5, 3.0))

    def test_the_best_peer_is_neither_ours_nor_one_that_failed(self):
        measured = rows([FLOOR, TIDEGATE, "bun", "ws"]) | {"uws": [row(0.5), {"failed": "gone"}]}
        measured["ws"] = [row(5.0)] * 2
        self.assertEqual(compare.best_peer(measured), "bun")
        self.assertIsNone(compare.best_peer(rows([FLOOR, TIDEGATE])))

    def test_rounds_go_forth_and_back(self):
        asked = []
        targets = {name: name for name in "ABC"}
        with mock.patch.object(compare, "one", lambda bench, command, target, options: asked.append(target) or row(1.0)):
            measured = compare.same_work(bench(), "title", "echo", targets, {})
        self.assertEqual("".join(asked), "ABCCBA")
        self.assertEqual([len(each) for each in measured.values()], [2, 2, 2])

    def test_a_core_that_somebody_else_had_is_told(self):
        self.assertEqual(compare.others({TIDEGATE: [row(1.0, 0.1), row(1.0, 0.2)], "ws": [{"failed": "gone"}]}), 0.2)
        self.assertNotIn("measure again", tables.quiet(0.02))
        self.assertIn("measure again", tables.quiet(0.2))

    def test_what_others_have_of_a_core_is_what_its_process_does_not(self):
        watch = quiet.Watch(processes.SERVER_CORE, lambda: quiet.process_seconds([os.getpid()]))
        watch.began = tuple(before - more for before, more in zip(watch.now(), (10.0, 4.0, 1.0)))
        self.assertAlmostEqual(watch.others(), 0.3, delta=0.01)

    def test_strace_summaries_are_read(self):
        text = "% time seconds usecs/call calls errors syscall\n 90.00 0.1 2 1234 7 recvfrom\n 10.00 0.1 2 5 sendto\n100.00 0.2 1239 7 total\n"
        self.assertEqual(syscalls.parse_summary(text), {"recvfrom": 1234, "sendto": 5})


class Goals(unittest.TestCase):
    def told(self, ours):
        return {goal.work: goal for name, result in results(ours).items() for goal in ALL[name].goals(result["data"])}

    def test_what_is_good_enough_is_reached(self):
        missed = [work for work, goal in self.told(1.0).items() if not goal.is_reached]
        self.assertEqual(missed, [])

    def test_what_is_not_is_missed(self):
        told = self.told(1.9)
        for work in ("echo 16 B, 100 connections, depth 1", "deflate echo, JSON of 128 B", "handshake and close"):
            self.assertFalse(told[work].is_reached, work)
        self.assertFalse(told[f"fan-out {fanout.name_of(1000, 1)}"].is_reached)
        self.assertFalse(told[f"fan-out {fanout.name_of(1000, 16)}"].is_reached)

    def test_a_load_that_was_late_decides_nothing(self):
        measured = rows(rate.ORDER)
        self.assertTrue(all(goal.is_reached for goal in rate.goals({"rows": measured})))
        measured[TIDEGATE] = [row(1.0) | {"generator_late": True}] * 2
        self.assertEqual({goal.verdict for goal in rate.goals({"rows": measured})}, {"**undecided**"})

    def test_a_peer_below_us_misses_the_goal_that_forbids_it(self):
        work = echo.WORK[0]
        measured = rows(echo.ORDER) | {"uws": [row(1.01)] * 2}
        self.assertFalse(echo.goal(work, measured, TIDEGATE).is_reached)
        self.assertTrue(echo.goal(work, rows(echo.ORDER), TIDEGATE).is_reached)

    def test_a_goal_tells_which_build_reaches_it(self):
        def verdict(ours, profiled):
            data = rows(ALL["connect"].ORDER, ours=ours, profiled=profiled)
            return ALL["connect"].goals(data)[0].verdict

        self.assertEqual(verdict(1.0, 1.0), "reached")
        self.assertEqual(verdict(1.3, 1.0), "reached by the profile-guided build")
        self.assertEqual(verdict(1.3, 1.3), "**missed**")
        alone = rows([FLOOR, TIDEGATE, "uws"], ours=1.3)
        self.assertEqual(ALL["connect"].goals(alone)[0].verdict, "**missed**")


class Report(unittest.TestCase):
    def test_everything_that_was_measured_is_told(self):
        text = report.write(bench(), ALL, results())
        for name, section in ALL.items():
            self.assertIn(section.TITLE, text, name)
        self.assertNotIn("Not measured", text)
        self.assertEqual(text.count("| reached |") + text.count("| **missed** |") + text.count("| reached by the profile-guided build |"), 23)

    def test_what_was_not_measured_is_told_as_well(self):
        version = machine.versions(bench())["bun"]
        some = results()
        del some["rate"]
        some["echo"]["absent"] = {"bun": "not installed: no network"}
        for result in some.values():
            result["absent"] = result["absent"] | {"nchan": "no Debian here"}
        some["echo"]["data"][echo.WORK[0].name]["ws"] = [{"failed": "the server went away"}] * 2
        text = report.write(bench(), ALL, some)
        self.assertIn("Open loop\n\nNot measured.", text)
        self.assertIn(f"Bun: {version}; **not measured** in echo: not installed: no network", text)
        self.assertIn("nginx with Nchan: **not measured**: no Debian here", text)
        self.assertIn("failed: the server went away", text)

    def test_the_plot_is_well_formed_and_has_every_bar(self):
        groups = [group for name, result in results().items() for group in ALL[name].bars(result["data"])]
        drawn = xml.fromstring(plot.draw(groups))
        bars = drawn.findall("{http://www.w3.org/2000/svg}rect[@fill]")
        self.assertEqual(len(bars), sum(len(group.bars) for group in groups))
        self.assertGreater(len(bars), 60)
        self.assertTrue(all(float(bar.get("width")) > 0 for bar in bars))
        xml.fromstring(plot.draw([]))

    def test_a_shortened_run_replaces_nothing_and_other_formats_are_not_there(self):
        with tempfile.TemporaryDirectory() as root:
            Store(Path(root), is_complete=True).save("echo", {"complete": True})
            Store(Path(root), is_complete=False).save("echo", {"complete": False})
            kept = Store(Path(root), is_complete=True)
            self.assertIs(kept.load(ALL)["echo"]["complete"], True)
            kept.write("echo.json", '{"format": 0}')
            self.assertEqual(kept.load(ALL), {})


class BesideNode(unittest.TestCase):
    ORDER = [FLOOR, servers.TIDEGATE_SOCKETIO, servers.SOCKETIO]
    ABOUT = {"date": "2026-01-01", "commit": "abc", "rounds": 2, "seconds": 1.0, "load_average": "0.1", "command": "socketio"}

    def measured(self, nodes=9.0):
        costs = {servers.SOCKETIO: nodes}
        works = [*socketio.ECHOES, *socketio.FANOUTS]
        data = {work.name: {name: [row(costs.get(name, 1.0))] * 2 for name in self.ORDER} for work in works}
        idle = {name: [row(1.0, memory=200.0 * costs.get(name, 1.0))] * 2 for name in self.ORDER[1:]}
        return data | {"idle": {"connections": 500, "rows": idle}}

    def test_everything_that_was_measured_is_told(self):
        text = socketio.write(bench(), self.measured(), self.ABOUT)
        for work in [*socketio.ECHOES, *socketio.FANOUTS]:
            self.assertIn(work.name[1:], text)
        self.assertIn("| 9.0 (9.0 to 9.0) | 8 times | 9.0 | reached |", text)
        self.assertIn("| 9.0 (9.0 to 9.0) | 10 times | 9.0 | **missed** |", text)
        self.assertIn("9.0 (9.0 to 9.0) | 10 times |  | **missed** |", text)
        self.assertEqual(socketio.write(bench(), self.measured(11.0), self.ABOUT).count("| reached |"), 9)

    def test_a_server_that_failed_decides_nothing(self):
        data = self.measured()
        data[socketio.ECHOES[0].name][servers.SOCKETIO] = [{"failed": "the server went away"}] * 2
        data["idle"]["rows"][servers.SOCKETIO] = [{"failed": "too many files"}] * 2
        text = socketio.write(bench(), data, self.ABOUT)
        self.assertEqual(text.count("**undecided**"), 3)
        for reason in ("failed: the server went away", "failed: too many files"):
            self.assertIn(reason, text)

    def test_without_node_nothing_is_measured(self):
        with tempfile.TemporaryDirectory() as root, self.assertRaisesRegex(processes.Failed, "Socket.IO is not there"):
            with socketio.both_running(bench(Path(root)), [(servers.SOCKETIO, "socketio")]):
                self.fail("it does not run")


class Builds(unittest.TestCase):
    def left_out(self, root, **options):
        made, run = bench(Path(root)), load_run()
        chosen = {"quick": False, "tidegate": None, "no_build": True}
        run.prepare_profiled(made, argparse.Namespace(**chosen | options))
        self.assertEqual(made.takes_part(PROFILED), PROFILED not in made.absent)
        return made.absent.get(PROFILED)

    def test_a_profile_guided_build_that_is_not_there_is_left_out_and_told(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertIn("nothing was to be built", self.left_out(root))
            built = Path(root) / "target/pgo/release/tidegate"
            built.parent.mkdir(parents=True)
            built.touch()
            self.assertIsNone(self.left_out(root))
            self.assertIn("quick", self.left_out(root, quick=True))
            recipe = Path(root) / "deploy/pgo/build"
            recipe.parent.mkdir(parents=True)
            recipe.write_text("#!/bin/sh\necho no tool >&2\nexit 1\n")
            recipe.chmod(0o755)
            self.assertEqual(self.left_out(root, no_build=False), "not built: no tool")


class Processes(unittest.TestCase):
    def test_a_server_is_started_and_stopped(self):
        script = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))\ntime.sleep(60)"
        port = processes.free_port(set())
        with processes.scratch() as directory:
            command = [sys.executable, "-c", script, str(port)]
            with processes.running(command, port, {}, {processes.SERVER_CORE}, directory) as pid:
                self.assertEqual(processes.family(pid), [pid])
            self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_a_server_that_does_not_listen_says_why(self):
        with processes.scratch() as directory, self.assertRaisesRegex(processes.Failed, "no such thing"):
            command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
            with processes.running(command, processes.free_port(set()), {}, {processes.SERVER_CORE}, directory):
                self.fail("it does not run")

    def test_a_peer_that_is_not_there_is_left_out_and_told(self):
        with tempfile.TemporaryDirectory() as root:
            made = bench(Path(root))
            with servers.all_running(made, [("uws", "echo")]) as targets:
                self.assertEqual(targets, {})
        self.assertIn("cannot be started", made.absent["uws"])
        self.assertFalse(made.takes_part("uws"))

    def test_what_belongs_to_this_machine_stays_out_of_the_report(self):
        made = bench(Path("/home/me/tidegate"))
        told = made.presentable("/home/me/tidegate/.peers/x does not listen:\nmore\nGET https://mirror.example/npm/ws failed in /home/me/.npm/_logs\n")
        self.assertEqual(told, ".peers/x does not listen: GET URL failed in PATH")

    def test_a_port_is_given_once(self):
        taken = set()
        self.assertEqual(len({processes.free_port(taken) for _ in range(5)}), 5)


class CommandLine(unittest.TestCase):
    def test_names_are_checked(self):
        run = load_run()
        self.assertEqual(run.names(ALL)("rate,echo"), ["echo", "rate"])
        self.assertEqual(run.names(servers.PEERS)("none"), [])
        with self.assertRaisesRegex(run.argparse.ArgumentTypeError, "no such name: nonsense"):
            run.names(ALL)("nonsense")

    def test_every_server_of_a_section_does_its_work(self):
        for section, kind in ((echo, "echo"), (deflate, "deflate"), (fanout, "fanout"), (rate, "echo"), (idle, "echo"), (flat, "echo")):
            for name in section.ORDER:
                self.assertIn(kind, servers.BY_NAME[name].paths, f"{section.__name__}: {name}")


if __name__ == "__main__":
    unittest.main()
