#!/usr/bin/env python3
"""Do replies ever overtake an earlier request of the same connection? Nothing is pinned, so that a server with
several worker threads has every opportunity."""
import argparse

from harness import BASE, OURS, Server, load

DEFAULT_PEERS = [BASE, OURS]
SHAPES = [(4, 32), (50, 16)]  # connections, messages in flight on each


def measure(peers, secs=3.0, ours=None):
    rows = []
    for name in peers:
        with Server(name, ours if name == OURS else None) as server:
            for conns, depth in SHAPES:
                rows.append(load(server, f"--mode echo --conns {conns} --depth {depth} --secs {secs}"))
    return [r for r in rows if r]


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--peers", default=",".join(DEFAULT_PEERS))
    a.add_argument("--secs", type=float, default=3.0)
    a.add_argument("--ours", help="command of the server under test instead of the project's example (it gets PORT)")
    o = a.parse_args()
    rows = measure(o.peers.split(","), o.secs, o.ours)
    import report
    print(report.order(rows)[0])


if __name__ == "__main__":
    main()
