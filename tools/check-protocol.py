#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold docs/protocol.md against the tables that read and write messages.

Usage: check-protocol.py docs/protocol.md PRINT-PROTOCOL

Each method has a heading `### NAME` with a line "Called by WHO; HOW." and a table of its call and one of its reply;
each object has a heading `### NAME` and a table. The first three columns (key, type, needed) must be those of the
program, in its order; what a row means is for people. The errors are the table under `## Errors`.
"""

import difflib
import re
import subprocess
import sys

WHO = {
    "anyone": "anyone",
    "owner": "the task's owner or an admin",
    "admin": "an admin",
    "runner": "the task's runner",
    "late": "the task's runner, or, when it is over, an agent of its user",
    "daemon": "the daemon",
    "user": "a process of the agent's user",
}


def cells(line):
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


def of_document(path):
    """The lines that the program would print, as the document has them."""
    lines = []
    what = None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if heading := re.fullmatch(r"##+ (.*)", line):
            name = heading[1].strip("`")
            what = "member" if line.startswith("### ") and "." not in name else None
            if what:
                lines.append(f"object\t{name}")
            elif line.startswith("### "):
                lines.append(f"method\t{name}")
                what = "call"
            elif name == "Errors":
                what = "error"
        elif called := re.fullmatch(r"Called by (.*); (.*)\.", line):
            lines[-1] += f"\t{called[1]}\t{called[2]}"
        elif line in ("Call:", "Reply:"):
            what = line[:-1].lower()
        elif line.startswith("| `") and what == "error":
            lines.append(f"error\t{cells(line)[0]}")
        elif line.startswith("| `") and what:
            lines.append("\t".join([what, *cells(line)[:3]]))
    return lines


def of_program(program):
    lines = []
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        words = line.split("\t")
        if words[0] == "method":
            words[2] = WHO[words[2]]
        lines.append("\t".join(words))
    return lines


def blocks(lines):
    """By heading, so that the document may have them in the order that reads best."""
    found = {}
    block = None
    for line in lines:
        if line.startswith(("method\t", "object\t")):
            block = found.setdefault(line.split("\t")[1], [])
        elif line.startswith("error\t"):
            block = found.setdefault("Errors", [])
        block.append(line)
    return found


def main():
    document, program = blocks(of_document(sys.argv[1])), blocks(of_program(sys.argv[2]))
    bad = 0
    for name in sorted(document.keys() | program.keys()):
        have, want = document.get(name, []), program.get(name, [])
        if have == want:
            continue
        bad += 1
        print(f"{sys.argv[1]}: {name}: not as the program has it ('-' document, '+' program)")
        for line in difflib.unified_diff(have, want, lineterm="", n=0):
            if not line.startswith(("---", "+++", "@@")):
                print("  " + line.replace("\t", " | "))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
