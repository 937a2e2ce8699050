#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail when a taskflow of an earlier version and this one would misread each other.

    check-compatible.py PRINT-PROTOCOL OLD.protocol...

An old protocol is what print-protocol printed then. Both directions count: an old client with this daemon, and this
client with an old daemon. What one side says and the other may refuse (a new method, a new key of a call) is no fault: the
client says then that the versions differ. A new version is kept by `build/tests/protocol/print-protocol
>tests/data/protocol/VERSION.protocol`.
"""

import re
import subprocess
import sys

# An unknown word reads as another one: see ROW_ENUM_OR_ELSE() in src/wire/fields.h.
OR_ELSE = {("Lack", "reason"), ("Gpu", "state")}

FROM_CLIENT, FROM_DAEMON = "said to the daemon", "said by the daemon"


class Protocol:
    def __init__(self, lines):
        self.methods = {}  # name: (who, how)
        self.rows = {}  # (thing, key): (type, needed); a thing is an object, or (method, "call" or "reply")
        self.errors = set()
        for line in lines:
            kind, *words = line.rstrip("\n").split("\t")
            if kind == "method":
                method = words[0]
                self.methods[method] = (words[1], words[2])
            elif kind == "object":
                thing = words[0]
            elif kind == "error":
                self.errors.add(words[0])
            else:
                owner = thing if kind == "member" else (method, kind)
                self.rows[owner, words[0]] = (words[1], words[2])

    def directions(self):
        """{thing: who says it}"""
        found = {}
        for method, (who, _) in self.methods.items():
            call = FROM_DAEMON if who == "daemon" else FROM_CLIENT
            self.spread(found, (method, "call"), call)
            self.spread(found, (method, "reply"), FROM_DAEMON if call == FROM_CLIENT else FROM_CLIENT)
        self.spread(found, "Any reply", FROM_DAEMON)
        return found

    def spread(self, found, thing, direction):
        if direction in found.setdefault(thing, set()):
            return
        found[thing].add(direction)
        for (owner, _), (kind, _) in self.rows.items():
            if owner == thing and (match := re.fullmatch(r"(?:list of )?([A-Z]\w+)(?: to \d+)?(?: or null)?", kind)):
                self.spread(found, match[1], direction)


def bounds(kind):
    """What is around the numbers of a type, its least and its largest one."""
    if match := re.fullmatch(r"number from (-?\d+)( or null)?", kind):
        return f"number{match[2] or ''}", int(match[1]), 1 << 63
    if match := re.fullmatch(r"number (-?\d+) to (\d+)( or null)?", kind):
        return f"number{match[3] or ''}", int(match[1]), int(match[2])
    if match := re.fullmatch(r"(.*) to (\d+)( bytes)?( or null)?", kind):
        return f"{match[1]}{match[3] or ''}{match[4] or ''}", 0, int(match[2])
    return None


def takes(reader, writer):
    """Whether who knows a key as `reader` takes all that one says who knows it as `writer`."""
    if reader == writer or reader == f"{writer} or null":
        return True
    of_reader, of_writer = bounds(reader), bounds(writer)
    if of_reader and of_writer:
        return of_reader[0] == of_writer[0] and of_reader[1] <= of_writer[1] and of_reader[2] >= of_writer[2]
    return set(writer.split(", ")) <= set(reader.split(", "))


def compare(old, new):
    wrong = [f"the method {name} is no more, or another" for name, what in old.methods.items() if new.methods.get(name) != what]
    wrong += [f"the error {name} is no more" for name in sorted(old.errors - new.errors)]
    directions = new.directions()
    for (thing, key), (kind, needed) in old.rows.items():
        name = f"{thing if isinstance(thing, str) else ' '.join(thing)}: '{key}'"
        if (thing, key) not in new.rows:
            wrong.append(f"{name} is no more: leave it in, and let it be left out")
            continue
        new_kind, new_needed = new.rows[thing, key]
        said_by = directions.get(thing, set())
        if not takes(new_kind, kind):
            wrong.append(f"{name} was {kind}, and this version takes {new_kind} alone")
        if FROM_DAEMON in said_by and (thing, key) not in OR_ELSE and not takes(kind, new_kind):
            wrong.append(f"{name} is {new_kind}, and an old client takes {kind} alone")
        if FROM_DAEMON in said_by and needed == "yes" and new_needed == "no":
            wrong.append(f"{name} may be left out, and an old client needs it")
    for (thing, key), (_, needed) in new.rows.items():
        was = old.rows.get((thing, key))
        known = isinstance(thing, str) and any(owner == thing for owner, _ in old.rows) or thing[0] in old.methods
        if needed == "yes" and known and (not was or was[1] == "no"):
            wrong.append(f"{thing}: '{key}' is needed, and an old version does not say it")
    return wrong


def main():
    printed = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout
    new = Protocol(printed.splitlines())
    bad = 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as lines:
            for line in compare(Protocol(lines), new):
                bad += 1
                print(f"{path}: {line}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
