"""The servers under test, the load generator, and how both are built, started and stopped."""
import json
import os
import resource
import shlex
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RESULTS = os.path.join(HERE, "results")

BASE = "socketioxide"
OURS = "ours"
POLLING_FLOOR = "raw-hyper"
# The server under test by default: the project's own example that keeps the contract.
OURS_ARGS = "--ping-interval 25000 --ping-timeout 20000"

ALL = {"echo", "echo-bin", "ack", "connect", "bcast", "polling", "idle"}
# name: (binary, sioload modes that it can serve). raw-* are floors, the last of them that of long-polling alone.
PEERS = {
    BASE: ("peer-socketioxide", ALL),
    "raw-hand": ("raw-hand", ALL - {"polling"}),
    "raw-tungstenite": ("raw-tungstenite", ALL - {"polling"}),
    POLLING_FLOOR: ("raw-hyper", {"polling"}),
}


def target_dir(manifest_dir):
    """Where cargo puts what is built from this manifest; CARGO_TARGET_DIR and cargo's settings are honoured."""
    out = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=manifest_dir, check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)["target_directory"]


def build(ours=True):
    """Builds generator and peers and, if `ours`, the project's example."""
    try:
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=HERE, check=True)
        if ours:
            subprocess.run(["cargo", "build", "--release", "-p", "sansocket-tokio", "--example", "conformance"],
                           cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise SetupError(f"the build failed: {e}") from None


def modes_of(name):
    """The sioload modes that a server can serve."""
    return PEERS[name][1] if name in PEERS else ALL


def available_cores():
    return sorted(os.sched_getaffinity(0))


def raise_open_files(wanted):
    """Lets this process and its children open `wanted` files, or as many as the system allows; returns that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return limit
    return wanted if soft == resource.RLIM_INFINITY else max(soft, limit)


class SetupError(Exception):
    """Nothing can be measured: the message says what to do about it."""


class Server:
    """A running server process; use as a context manager.

    `command` replaces the built-in command of `name`; `{port}` in it is its port, which it also finds in the environment
    as PORT, beside `env`. `cores` are the cores it may run on, None for all.
    """

    # Below the range from which the system takes the ports of outgoing connections.
    _next_port = 21000

    def __init__(self, name, command=None, cores=None, env=None):
        self.name = name
        self.modes = modes_of(name)
        self.command = shlex.split(command) if command else default_command(name)
        self.cores = cores
        self.env = env or {}

    def can(self, mode):
        return mode in self.modes

    def __enter__(self):
        self.port = Server._free_port()
        os.makedirs(RESULTS, exist_ok=True)
        with open(os.path.join(RESULTS, f"{self.name}.stderr"), "w") as errors:
            try:
                self.process = subprocess.Popen(
                    [part.replace("{port}", str(self.port)) for part in self.command],
                    env={**os.environ, **self.env, "PORT": str(self.port)}, stdout=subprocess.DEVNULL,
                    stderr=errors, preexec_fn=pin(self.cores))
            except OSError as e:
                raise SetupError(f"{self.name} cannot be started, build it first: {e}") from None
        for _ in range(100):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise SetupError(f"{self.name} did not come up; see results/{self.name}.stderr")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @staticmethod
    def _free_port():
        while True:
            Server._next_port += 1
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", Server._next_port))
                    return Server._next_port
                except OSError:
                    continue


_binaries = {}


def default_command(name):
    if name == OURS:
        folder = _binaries.get(ROOT) or _binaries.setdefault(ROOT, target_dir(ROOT))
        return [os.path.join(folder, "release/examples/conformance")] + shlex.split(OURS_ARGS)
    return [bench_binary(PEERS[name][0])]


def bench_binary(name):
    folder = _binaries.get(HERE) or _binaries.setdefault(HERE, target_dir(HERE))
    return os.path.join(folder, "release", name)


def pin(cores):
    """Runs in the child before it becomes the server, so that its runtime counts its worker threads from it."""
    return (lambda: os.sched_setaffinity(0, cores)) if cores else None


def load(server, args, cores=None, limit=120):
    """One run of the generator: its JSON as a dict, or None after a message when it could not measure."""
    args = shlex.split(args) if isinstance(args, str) else list(args)
    command = [bench_binary("sioload"), "--url", f"http://127.0.0.1:{server.port}", "--pid", str(server.process.pid),
               "--label", server.name] + args
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, preexec_fn=pin(cores))
    except OSError as e:
        raise SetupError(f"the load generator cannot be started, build it first: {e}") from None
    except subprocess.TimeoutExpired:
        print(f"! {server.name} {' '.join(args)}: no end after {limit} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"! {server.name} {' '.join(args)}: {done.stderr.strip()}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])
