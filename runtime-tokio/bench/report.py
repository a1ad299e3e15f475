#!/usr/bin/env python3
"""Tables in Markdown from the rows of matrix.py, idle.py and order.py; as a program: from results/matrix.jsonl."""
import argparse
import json
import os
from statistics import median

from harness import BASE, OURS, POLLING_FLOOR, RESULTS
from matrix import SCENARIOS, mode_of
from order import SHAPES

IDLE_GATE_KIB = 8.5


def spread(values, digits=2):
    """Median and, in brackets, the extremes."""
    if not values:
        return "-"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def verdict(ok):
    return "pass" if ok else "**FAIL**"


def table(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head)] + lines)


def by_round(rows, scenario, label):
    """round -> server CPU per message of a server in a scenario; runs that moved nothing are left out."""
    return {r["round"]: r["server_us_per_msg"] for r in rows
            if r["scen"] == scenario and r["label"] == label and r["server_us_per_msg"]}


def paired(one, other):
    """Ratios within the same round, where both have a figure."""
    return [one[k] / other[k] for k in sorted(one) if k in other]


def ratios(rows, scenarios):
    """CPU per message against socketioxide, with the gates. Returns the table and whether all gates hold."""
    labels = {r["label"] for r in rows}
    # The floor of long-polling stands in the columns of the others, which have none of their own.
    floors = sorted(labels - {BASE, OURS, POLLING_FLOOR}) or sorted(labels & {POLLING_FLOOR})
    floor_of = lambda floor, scenario: POLLING_FLOOR if mode_of(scenario) == "polling" else floor
    lines, good = [], True
    for s in scenarios:
        gate = SCENARIOS[s][1]
        base, ours = by_round(rows, s, BASE), by_round(rows, s, OURS)
        ratio = paired(ours, base)
        mine = [r for r in rows if r["scen"] == s and r["label"] == OURS]
        errors, reordered = (sum(r[k] for r in mine) for k in ("errors", "reordered"))
        # A run that could not be measured leaves no row, so the counts are compared too.
        whole = len(ratio) == len(mine) == sum(r["scen"] == s and r["label"] == BASE for r in rows)
        ok = bool(ratio) and whole and median(ratio) <= gate and errors == 0 and reordered == 0
        good &= ok
        lines.append([s, spread(list(base.values())), spread(list(ours.values())), spread(ratio, 3), f"{gate:.2f}",
                      verdict(ok), str(errors), str(reordered)]
                     + [spread(paired(by_round(rows, s, floor_of(f, s)), base), 3) for f in floors])
    head = ["scenario", f"{BASE} us/msg", "ours us/msg", "ratio", "gate", "", "errors", "reordered"]
    return table(head + [f"{f} ratio" for f in floors], lines), good


def idle(rows):
    """Memory per idle connection. Returns the table and whether the gate holds."""
    labels = list(dict.fromkeys(r["label"] for r in rows))
    rounds = len({r["round"] for r in rows})
    lines, good = [], False
    for label in labels:
        mine = [r for r in rows if r["label"] == label]
        kib = [r["bytes_per_conn"] / 1024 for r in mine]
        gate = check = ""
        if label == OURS:
            good = median(kib) <= IDLE_GATE_KIB and len(mine) == rounds and not any(r["errors"] for r in mine)
            gate, check = f"{IDLE_GATE_KIB}", verdict(good)
        lines.append([label, spread(kib, 1), gate, check, spread([r["open_cpu_us_per_conn"] for r in mine], 0),
                      spread([r["cpu_us_per_conn_per_s"] for r in mine])])
    if OURS not in labels:
        lines.append([OURS, "-", f"{IDLE_GATE_KIB}", verdict(False), "-", "-"])
    return table(["server", "KiB per connection", "gate", "", "CPU us to open one", "idle CPU us per second each"],
                 lines), good


def order(rows):
    """Replies that overtook an earlier request. Returns the table and whether there were none of ours."""
    lines = []
    for r in rows:
        ours = r["label"] == OURS
        lines.append([r["label"], f"{r['conns']} x {r['depth']}", f"{r['msgs']:,}", f"{r['reordered']:,}",
                      str(r["errors"]), verdict(in_order(r)) if ours else ""])
    mine = [r for r in rows if r["label"] == OURS]
    return (table(["server", "connections x in flight", "replies", "reordered", "errors", ""], lines),
            len(mine) == len(SHAPES) and all(map(in_order, mine)))


def in_order(row):
    return row["msgs"] > 0 and row["reordered"] == 0 and row["errors"] == 0


def detail(rows):
    """Everything the generator saw, one table per scenario."""
    parts = []
    for s in dict.fromkeys(r["scen"] for r in rows):
        base = by_round(rows, s, BASE)
        lines = []
        for label in dict.fromkeys(r["label"] for r in rows if r["scen"] == s):
            mine = [r for r in rows if r["scen"] == s and r["label"] == label]
            own = by_round(rows, s, label)
            mid = lambda k: median(r[k] for r in mine)
            lines.append([label, str(len(mine)), f"{mid('per_s'):,.0f}", spread(list(own.values())),
                          spread(paired(own, base), 3), f"{mid('p50_us'):.0f}", f"{mid('p99_us'):.0f}",
                          f"{mid('p999_us'):.0f}", f"{mid('client_us_per_msg'):.2f}",
                          str(sum(r["errors"] for r in mine))])
        lines.sort(key=lambda line: line[0] != OURS)
        parts.append(f"**{s}**: `{SCENARIOS[s][0]}`\n\n" + table(
            ["server", "runs", "msgs/s", "server us/msg", "ratio", "p50 us", "p99 us", "p99.9 us",
             "generator us/msg", "errors"], lines))
    return "\n\n".join(parts)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("file", nargs="?", default=os.path.join(RESULTS, "matrix.jsonl"))
    a.add_argument("--detail", action="store_true", help="one table per scenario with throughput and latencies")
    o = a.parse_args()
    with open(o.file) as f:
        rows = [json.loads(line) for line in f]
    print(detail(rows) if o.detail else ratios(rows, list(dict.fromkeys(r["scen"] for r in rows)))[0])


if __name__ == "__main__":
    main()
