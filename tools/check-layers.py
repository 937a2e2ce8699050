#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail when a layer includes what it may not know about: check-layers.py SRC."""

import pathlib
import re
import sys

# The arrows of docs/architecture.md.
MAY_INCLUDE = {
    "util": set(),
    "core": {"util"},
    "wire": {"core", "util"},
    "probe": {"core", "util"},
    "store": {"core", "util"},
    "settings": {"core", "util"},
    "client": {"wire", "core", "util"},
    "runner": {"client", "wire", "probe", "core", "util"},
    "daemon": {"settings", "store", "probe", "wire", "core", "util"},
    "agent": {"store", "client", "runner", "wire", "probe", "core", "util"},
    "sim": {"cli", "settings", "core", "util"},
    "cli": {"client", "runner", "wire", "probe", "core", "util"},
}

# A library is known to as few as possible: who may include headers that start so.
LIBRARIES = {
    "cmocka": [],  # tests only
    "curses": [],
    "dlfcn": ["probe/", "cli/table.c"],
    "ini.h": ["util/"],
    "jansson": ["wire/", "cli/"],
    "libsmartcols": ["cli/table.c"],
    "ncurses": [],
    "nvml": [],  # declared by ourselves, opened at run time
    "sqlite3": ["store/"],
    "systemd/": ["daemon/", "agent/"],
}

# The core does no I/O and reads no clock: this is all of libc that it may know.
CORE_HEADERS = {
    "assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "sys/queue.h", "sys/types.h",
    "uthash.h", "utarray.h", "utlist.h",
}  # fmt: skip
CORE_NOT_OF_UTIL = {"util/clock.h", "util/fd.h", "util/ini-file.h"}
CORE_NOT_CALLED = re.compile(
    r"\b(FILE|fopen|fdopen|freopen|fread|fgets|getline|getdelim|f?printf|vf?printf|puts|putchar|fputs|perror|"
    r"time|getenv|secure_getenv|setenv|rand|random|srand|system|popen|exit|_exit|abort|atexit)\b\s*[(*]"
)

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', re.S)


def check_ours(layer, header):
    other = header.split("/")[0]
    if "/" not in header:
        return None if header == "config.h" else f"may not include '{header}': name it from src/, with its folder"
    if other not in MAY_INCLUDE:
        return f"may not include '{header}': there is no layer '{other}'"
    if other != layer and other not in MAY_INCLUDE[layer]:
        return f"may not include {other}/"
    if layer == "core" and header in CORE_NOT_OF_UTIL:
        return f"may not include '{header}': the core does no I/O and reads no clock"
    return None


def check_system(layer, name, header):
    if layer == "core" and header not in CORE_HEADERS:
        return f"may not include <{header}>: the core does no I/O and reads no clock"
    for library, users in LIBRARIES.items():
        if header.startswith(library) and not any(name.startswith(user) for user in users):
            return f"may not include <{header}>: that is for {', '.join(users) or 'nobody in src/'}"
    return None


def complaints(src):
    for path in sorted(src.rglob("*.[ch]")):
        name = path.relative_to(src).as_posix()
        layer = name.split("/")[0]
        if layer not in MAY_INCLUDE:
            yield f"{path}: there is no layer '{layer}'"
            continue
        text = path.read_text()
        for kind, header in INCLUDE.findall(text):
            wrong = check_ours(layer, header) if kind == '"' else check_system(layer, name, header)
            if wrong:
                yield f"{path}: {layer}/ {wrong}"
        if layer == "core":
            for call in CORE_NOT_CALLED.finditer(COMMENT_OR_STRING.sub(" ", text)):
                yield f"{path}: core/ may not use {call.group(1)}: it does no I/O and reads no clock"


def main():
    found = list(complaints(pathlib.Path(sys.argv[1])))
    for line in found:
        print(line)
    sys.exit(len(found) > 0)


if __name__ == "__main__":
    main()
