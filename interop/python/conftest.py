"""Starts the server program under test; see interop/README.md for the variables."""

import os
import pathlib
import random
import shlex
import socket
import subprocess
import sys
import time

import pytest
from engineio.payload import Payload

# This client gives up on a poll of more than 16 packets, and the reference
# answers a poll with everything that waits. The documented way out:
Payload.max_decode_packets = 1000

INTEROP = pathlib.Path(__file__).resolve().parent.parent
WORKSPACE = INTEROP.parent
SUT = os.environ.get("SUT", "sansocket")


def command():
    given = os.environ.get("SANSOCKET_CONFORMANCE")
    if given:
        return shlex.split(given), INTEROP
    if SUT == "reference":
        return ["node", str(INTEROP / "reference" / "server.js")], INTEROP
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))
    built = target / "interop" / "examples" / "conformance"
    if built.exists():
        return [str(built)], WORKSPACE
    cargo = "cargo run --profile interop -q -p sansocket-tokio --example conformance --"
    return cargo.split(), WORKSPACE


def free_port():
    """A free port below those of outgoing connections: a server that is stopped and started again finds it free."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Server:
    def __init__(self, flags=None):
        self.flags = [text for name, value in (flags or {}).items() for text in (f"--{name}", value)]
        self.port = None
        self.process = None

    def start(self):
        """Starts it; a second time on the port that it had."""
        if self.port is not None:
            return self._start(self.port)
        for left in range(5, -1, -1):
            try:
                return self._start(free_port())
            except RuntimeError:
                # Another program may have been quicker to take the port.
                if left == 0:
                    raise

    def _start(self, port):
        program, folder = command()
        # Integral seconds: this client reads the numbers, and some servers truncate them. Time to join and to answer
        # pings on a machine that stands still for some seconds.
        patience = ["--connect-timeout", "60000", "--ping-timeout", "20000"]
        flags = ["--port", str(port), "--ping-interval", "1000", *patience, *self.flags]
        self.process = subprocess.Popen(
            program + flags, cwd=folder, stdout=subprocess.DEVNULL, stderr=sys.stderr
        )
        deadline = time.monotonic() + (600 if program[0] == "cargo" else 60)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                answered = True
            except OSError:
                answered = False
            alive = self.process.poll() is None
            if answered and alive:
                self.port = port
                self.url = f"http://127.0.0.1:{port}"
                return self
            if not alive or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{program} does not accept connections")
            time.sleep(0.02)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def server():
    running = Server().start()
    yield running
    assert running.process.poll() is None, "the server died during the tests"
    running.kill()


@pytest.fixture
def own_server():
    """A server for one test, to be killed and started again."""
    running = Server().start()
    yield running
    running.kill()
