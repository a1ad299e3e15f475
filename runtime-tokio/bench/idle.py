#!/usr/bin/env python3
"""Memory and CPU of idle connections: a fresh server for every measurement, servers interleaved."""
import argparse
import json
import os
import sys

from harness import BASE, OURS, RESULTS, Server, available_cores, load, modes_of, raise_open_files

DEFAULT_PEERS = [BASE, OURS, "raw-hand"]


def measure(peers, rounds, conns=5000, hold=3.0, touch=True, size=64, ours=None, out=None):
    """Opens `conns` connections, with `touch` sends one echo on each, lets them rest and reads the server's
    memory. Returns the rows; they are also written to the file `out`."""
    core = {available_cores()[-1]}
    # Both ends hold a descriptor per connection, each in its own process.
    conns = min(conns, raise_open_files(conns + 200) - 200)
    peers = [name for name in peers if "idle" in modes_of(name)]
    rows = []
    for rnd in range(rounds):
        for name in peers:
            with Server(name, ours if name == OURS else None, core) as server:
                # What the server allocates once must be there before its memory is read for the first time.
                load(server, "--mode echo --conns 20 --secs 0.3 --warmup 0.2", core)
                load(server, "--mode connect --conns 8 --secs 0.5 --warmup 0.1", core)
                row = load(server, f"--mode idle --conns {conns} --secs {hold} --touch {int(touch)} --size {size}",
                           core)
            if row:
                rows.append({**row, "round": rnd})
        print(f"idle: round {rnd + 1} of {rounds} done", file=sys.stderr)
    if out:
        with open(out, "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
    return rows


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--peers", default=",".join(DEFAULT_PEERS))
    a.add_argument("--conns", type=int, default=5000)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--hold", type=float, default=3.0, help="seconds over which idle CPU is counted")
    a.add_argument("--touch", type=int, choices=(0, 1), default=1, help="1: one echo per connection first")
    a.add_argument("--size", type=int, default=64, help="payload bytes of that echo")
    a.add_argument("--ours", help="command of the server under test instead of the project's example (it gets PORT)")
    a.add_argument("--out", default=os.path.join(RESULTS, "idle.jsonl"))
    o = a.parse_args()
    rows = measure(o.peers.split(","), o.rounds, o.conns, o.hold, bool(o.touch), o.size, o.ours, o.out)
    import report
    print(report.idle(rows)[0])


if __name__ == "__main__":
    main()
