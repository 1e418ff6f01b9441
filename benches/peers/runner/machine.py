"""Where and of what the numbers are."""

import json
import os
import platform
import shutil
import subprocess
import tomllib
from pathlib import Path


def output(*command, root=None):
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return (done.stdout.strip() or done.stderr.strip()) if done.returncode == 0 else "unknown"


def commit(root):
    changed = output("git", "status", "--porcelain", "--untracked-files=no", "--", ":!benches", root=root)
    return output("git", "rev-parse", "--short", "HEAD", root=root) + (" with local changes" if changed else "")


def load_average():
    return f"{os.getloadavg()[0]:.2f}"


def facts():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "congestion control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "rustc": output("rustc", "--version"),
    }


def locked(file, names):
    """Versions of packages in a Cargo.lock."""
    packages = {package["name"]: package["version"] for package in tomllib.loads(file.read_text())["package"]}
    return {name: packages[name] for name in names}


def versions(bench):
    """The version of each peer, as the files that pin them or the programs themselves tell it."""
    rust = locked(bench.here / "rust/Cargo.lock", ["tokio-tungstenite", "fastwebsockets", "tokio"])
    crate = locked(bench.here / "uws/Cargo.lock", ["libuwebsockets-sys"])["libuwebsockets-sys"]
    npm = json.loads((bench.here / "node/package.json").read_text())["dependencies"]
    uws = f"the C++ sources in the crate libuwebsockets-sys {crate}, {output('c++', '--version').splitlines()[0]}, epoll"
    node = output("node", "--version") if shutil.which("node") else "missing"
    tungstenite = f"{rust['tokio-tungstenite']}, tokio {rust['tokio']}, current-thread runtime"
    nginx = output(shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx", "-v") if has_nginx() else "missing"
    return {
        "uws": uws,
        "uws-libdeflate": f"the same with Debian's libdeflate {debian('libdeflate-dev')}",
        "bun": npm["bun"],
        "fastwebsockets": f"{rust['fastwebsockets']} behind hyper, tokio {rust['tokio']}, current-thread runtime",
        "tungstenite": tungstenite,
        "tungstenite-4k": tungstenite,
        "ws": f"{npm['ws']} with bufferutil {npm['bufferutil']}, node {node}",
        "socketio": f"{npm['socket.io']} over ws {npm['ws']} with bufferutil {npm['bufferutil']}, WebSocket transport, node {node}",
        "nchan": f"{nginx.removeprefix('nginx version: ')}, libnginx-mod-nchan {debian('libnginx-mod-nchan')}, one worker",
    }


def has_nginx():
    return shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") is not None


def debian(package):
    return output("dpkg-query", "-W", "-f", "${Version}", package) if shutil.which("dpkg-query") else "unknown"
