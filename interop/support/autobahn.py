"""Reads the reports of the Autobahn test suite, judges them, and writes docs/autobahn.md: see interop/autobahn."""

import collections
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and performance",
    "10": "miscellaneous",
    "12": "compression",
    "13": "compression, with parameters",
}


def results(folder):
    index = json.loads((folder / "index.json").read_text())
    (cases,) = index.values()
    return dict(sorted(cases.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def verdict(case):
    """The worse of how the case went and how the connection was closed."""
    order = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED"]
    found = [case["behavior"], case["behaviorClose"]]
    return max(found, key=lambda name: order.index(name) if name in order else len(order))


def table(roles):
    lines = ["| cases | | " + " | ".join(f"as a {role}" for role in roles) + " |"]
    lines.append("|---|---|" + "---|" * len(roles))
    for group, name in GROUPS.items():
        columns = []
        for cases in roles.values():
            of = [verdict(case) for number, case in cases.items() if number.split(".")[0] == group]
            counts = collections.Counter(of)
            columns.append(", ".join(f"{count} {what}" for what, count in counts.most_common()))
        lines.append(f"| {group}.* | {name} | " + " | ".join(columns) + " |")
    return "\n".join(lines)


def listed(others):
    """Each verdict with its cases."""
    lines = []
    for what, cases in others.items():
        names = [number if len(by) > 1 else f"{number} (as a {by[0]})" for number, by in cases.items()]
        lines.append(f"* {what}: {', '.join(names)}")
    return "\n".join(lines)


def failed(cases):
    """The names of the cases that have failed."""
    return [number for number, case in cases.items() if verdict(case) not in ("OK", "INFORMATIONAL")]


def main(reports, *names):
    if names[0] == "--failed":
        print("\n".join(failed(results(pathlib.Path(reports) / names[1]))))
        return
    roles = {name: results(pathlib.Path(reports) / name) for name in names}
    right = True
    others = collections.defaultdict(lambda: collections.defaultdict(list))
    for role, cases in roles.items():
        counts = collections.Counter(map(verdict, cases.values()))
        print(f"{role}: {len(cases)} cases, {dict(counts)}")
        for number, case in cases.items():
            what = verdict(case)
            if what == "OK":
                continue
            line = f"{number} as a {role}: {what}"
            print(f"  {line}")
            others[what][number].append(role)
        right &= not failed(cases)
    if os.environ.get("WRITE_REPORT"):
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, text=True).strip()
        text = (HERE / "support" / "autobahn.md").read_text()
        count = len(next(iter(roles.values())))
        text = text.replace("COMMIT", commit).replace("COUNT", str(count))
        text = text.replace("TABLE", table(roles)).replace("OTHERS", listed(others))
        (HERE.parent / "docs" / "autobahn.md").write_text(text)
    sys.exit(not right)


main(*sys.argv[1:])
