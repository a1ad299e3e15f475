#!/usr/bin/env python3
"""CPU per message: servers x scenarios, interleaved so that the machine's noise hits all servers alike.

One process per server lives for the whole run; every round runs every scenario against each server in turn."""
import argparse
import contextlib
import json
import os
import sys

from harness import BASE, OURS, POLLING_FLOOR, RESULTS, Server, available_cores, load, raise_open_files

# name: (sioload arguments, gate: the most that ours/socketioxide may be in server CPU per message)
SCENARIOS = {
    "rtt1": ("--mode echo --conns 1 --depth 1 --size 64", 0.96),
    "echo50": ("--mode echo --conns 50 --depth 1 --size 64", 0.90),
    "echo50x16": ("--mode echo --conns 50 --depth 16 --size 64", 0.30),
    "echo4k": ("--mode echo --conns 50 --depth 4 --size 4096", 0.70),
    "bin1k": ("--mode echo-bin --conns 50 --depth 4 --size 1024", 0.65),
    "ack": ("--mode ack --conns 50 --depth 4 --size 64", 0.55),
    "bcast100": ("--mode bcast --conns 100 --depth 2 --size 128", 1.00),
    "bcast1000": ("--mode bcast --conns 1000 --depth 2 --size 128", 0.85),
    "bcast1000x8": ("--mode bcast --conns 1000 --depth 8 --size 128", 0.75),
    "connect": ("--mode connect --conns 16", 0.90),
    "polling": ("--mode polling --conns 20 --depth 4 --size 64", 0.95),
}
DEFAULT_PEERS = [BASE, OURS, "raw-hand", POLLING_FLOOR]


def mode_of(scenario):
    return SCENARIOS[scenario][0].split()[1]


def turn(peers, rnd):
    """The order of one round: another one first each time, and every second round backwards, so that no server
    always follows the same one."""
    k = (rnd // 2) % len(peers)
    order = peers[k:] + peers[:k]
    return order[::-1] if rnd % 2 else order


def measure(peers, scenarios, rounds, secs, warmup=0.3, server_core=None, load_core=None, ours=None, out=None):
    """Runs the matrix and returns its rows; each is also appended to the file `out` as a line of JSON."""
    last = available_cores()[-1]
    server_core, load_core = (last if c is None else c for c in (server_core, load_core))
    raise_open_files(4096)
    rows = []
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(open(out, "w")) if out else None
        servers = [stack.enter_context(Server(p, ours if p == OURS else None, {server_core})) for p in peers]
        for rnd in range(rounds):
            for scenario in scenarios:
                args = SCENARIOS[scenario][0]
                mode = mode_of(scenario)
                for server in turn(servers, rnd):
                    if not server.can(mode):
                        continue
                    row = load(server, f"{args} --secs {secs} --warmup {warmup}", {load_core})
                    if row:
                        row.update(scen=scenario, round=rnd, same_core=server_core == load_core)
                        rows.append(row)
                        if sink:
                            print(json.dumps(row), file=sink, flush=True)
            print(f"matrix: round {rnd + 1} of {rounds} done", file=sys.stderr)
    return rows


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--peers", default=",".join(DEFAULT_PEERS))
    a.add_argument("--scen", default=",".join(SCENARIOS))
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--secs", type=float, default=1.2)
    a.add_argument("--warmup", type=float, default=0.3)
    a.add_argument("--server-core", type=int, help="default: the last available core")
    a.add_argument("--load-core", type=int, help="default: the last available core, shared with the server")
    a.add_argument("--ours", help="command of the server under test instead of the project's example (it gets PORT)")
    a.add_argument("--out", default=os.path.join(RESULTS, "matrix.jsonl"))
    o = a.parse_args()
    os.makedirs(os.path.dirname(os.path.abspath(o.out)), exist_ok=True)
    rows = measure(o.peers.split(","), o.scen.split(","), o.rounds, o.secs, o.warmup, o.server_core, o.load_core,
                   o.ours, o.out)
    import report
    print(report.ratios(rows, o.scen.split(","))[0])


if __name__ == "__main__":
    main()
