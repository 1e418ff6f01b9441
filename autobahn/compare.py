#!/usr/bin/env python3
"""Merges the results of the groups and compares them with the committed expectation.

usage: compare.py [--write] server|client|nginx EXPECTED.json DIRECTORY

A case is [behavior, behaviorClose, remoteCloseCode]. Two things are asked, each on its own: the result passes strictly
(every case OK in both, but for three that can only be INFORMATIONAL), and it equals the expectation. nginx has the
expectation of the server, groups 1 to 10. Ends with 1 on any difference and where a case is missing.
"""

import collections
import glob
import json
import os
import sys

AGENT = "tidegate"
CASES = {"server": 517, "client": 517, "nginx": 301}
# Nobody can do better here: the suite itself only reports what it saw.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
FAULTS_SHOWN = 40


def order(case):
    return [int(part) for part in case.split(".")]


def merged(directory):
    """The results of all groups; wstest ends well and writes `{}` where nothing answered, so they are counted later."""
    results = {}
    for path in glob.glob(os.path.join(directory, "*", "index.json")):
        with open(path, encoding="utf-8") as file:
            for agent, cases in json.load(file).items():
                assert agent == AGENT, f"{path}: results of {agent}"
                for case, seen in cases.items():
                    assert case not in results, f"{case} came back twice"
                    results[case] = [seen["behavior"], seen["behaviorClose"], seen["remoteCloseCode"]]
    return results


def strict_faults(part, results):
    faults = []
    if len(results) != CASES[part]:
        faults.append(f"{len(results)} cases came back, {CASES[part]} were due")
    for case in sorted(results, key=order):
        due = "INFORMATIONAL" if case in INFORMATIONAL else "OK"
        if results[case][:2] != [due, due]:
            faults.append(f"{case}: {results[case]}, {due} is due")
    return faults


def differences(expected, results):
    for case in sorted(expected.keys() | results.keys(), key=order):
        if expected.get(case) != results.get(case):
            yield f"{case}: expected {expected.get(case)}, got {results.get(case)}"


def write(path, expectation):
    """One line a case, so that a change of one is a diff of one line."""
    parts = []
    for part, cases in sorted(expectation.items()):
        lines = [f'    "{case}": {json.dumps(cases[case])}' for case in sorted(cases, key=order)]
        parts.append(f'  "{part}": {{\n' + ",\n".join(lines) + "\n  }")
    with open(path, "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    arguments = sys.argv[1:]
    writing = arguments[0] == "--write"
    part, path, directory = arguments[writing:]
    results = merged(directory)
    faults = strict_faults(part, results)
    expectation = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            expectation = json.load(file)
    if writing and part != "nginx" and not faults:
        expectation[part] = results
        write(path, expectation)
    expected = expectation.get("server" if part == "nginx" else part, {})
    if part == "nginx":
        expected = {case: seen for case, seen in expected.items() if order(case)[0] <= 10}
    faults += [f"differs from {path}: {line}" for line in differences(expected, results)]
    for fault in faults[:FAULTS_SHOWN]:
        print(f"autobahn {part}: {fault}")
    if len(faults) > FAULTS_SHOWN:
        print(f"autobahn {part}: and {len(faults) - FAULTS_SHOWN} more")
    counts = collections.Counter(behavior for behavior, _, _ in results.values())
    summary = ", ".join(f"{count} {behavior}" for behavior, count in counts.most_common())
    verdict = f"{len(faults)} FAULTS" if faults else f"equal to {path}"
    print(f"autobahn {part}: {len(results)} cases: {summary or 'none'}; {verdict}")
    return 1 if faults else 0


sys.exit(main())
