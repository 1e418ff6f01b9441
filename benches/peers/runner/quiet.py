"""Whether a core was left to the one process that was to have it."""

import os
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def core_seconds(core):
    """Time for which the core was not idle, what the hypervisor took from it included."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def process_seconds(pids):
    """CPU time of processes, system calls included."""
    total = 0
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(file.read_text().split()[0])
    return total / 1e9


class Watch:
    """Measures the share of the time that others had a core which was meant for `process_time` alone."""

    def __init__(self, core, process_time):
        self.core = core
        self.process_time = process_time
        self.began = self.now()

    def now(self):
        return time.monotonic(), core_seconds(self.core), self.process_time()

    def others(self):
        elapsed, busy, own = (after - before for after, before in zip(self.now(), self.began))
        return max(busy - own, 0) / elapsed
