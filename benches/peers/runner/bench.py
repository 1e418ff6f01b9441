"""One run of the runner: its binaries, how long it measures, and who takes part."""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from . import servers
from .servers import PROFILED

# Characters of why a peer is not there.
REASON_MAX = 200


@dataclass
class Bench:
    """What every section needs to know."""

    root: Path
    rounds: int
    seconds: float
    # Peers that were asked for.
    peers: list
    # Fewer connections and shorter windows: to see that everything works.
    is_quick: bool
    # The server under test, where it is not the one that is built here.
    other_tidegate: Path | None = None
    # Peers that are not there, each with the reason.
    absent: dict = field(default_factory=dict)
    # Ports given to servers so far.
    ports: set = field(default_factory=set)

    @property
    def here(self):
        return self.root / "benches/peers"

    @property
    def installed(self):
        return self.root / ".peers/bench"

    @property
    def load(self):
        return self.root / "target/release/tidegate"

    @property
    def tidegate(self):
        return self.other_tidegate or self.load

    @property
    def profiled(self):
        return self.root / "target/pgo/release/tidegate"

    @property
    def floor(self):
        return self.root / "target/release/examples/floor"

    def tell(self, text):
        print(text, file=sys.stderr, flush=True)

    def leave_out(self, name, reason):
        self.tell(f"{name} is left out: {reason}")
        self.absent[name] = self.presentable(reason)

    def presentable(self, reason):
        """One line for the report, without what belongs to this machine alone: paths and addresses of mirrors."""
        lines = reason.strip().splitlines() or ["no reason given"]
        line = lines[0] if lines[0] == lines[-1] else f"{lines[0]} {lines[-1]}"
        line = re.sub(r"\b[a-z+]+://\S+", "URL", line.replace(f"{self.root}/", ""))
        return re.sub(r"(?<![\w.])/[\w.+-]+/\S+", "PATH", line)[:REASON_MAX]

    def takes_part(self, name):
        return name not in self.absent and (servers.BY_NAME[name].is_ours or name in self.peers)

    def build(self):
        command = ["cargo", "build", "--release", "--locked", "--bin", "tidegate", "--example", "floor"]
        subprocess.run(command, cwd=self.root, check=True)

    def build_profiled(self):
        """The profile-guided build, which needs a tool that not everybody has."""
        self.tell("== profile-guided build")
        done = subprocess.run([self.root / "deploy/pgo/build"], capture_output=True, text=True)
        if done.returncode != 0:
            self.tell(done.stderr)
            self.leave_out(PROFILED, f"not built: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}")

    def install(self):
        """Installs what the peers need; those whose part fails are left out."""
        for part in sorted({servers.BY_NAME[name].part for name in self.peers}):
            self.tell(f"== install {part}")
            done = subprocess.run([self.here / "install", part], capture_output=True, text=True)
            if done.returncode != 0:
                self.tell(done.stdout + done.stderr)
                last = (done.stderr.strip() or "no reason given").splitlines()[-1]
                for name in self.peers:
                    if servers.BY_NAME[name].part == part:
                        self.leave_out(name, f"not installed: {last}")
