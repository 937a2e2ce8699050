#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail when a manual page and the program's own --help name different commands or options.

    check-man.py MAN-FOLDER TASKFLOW [TASKFLOWD [TASKFLOW-AGENT [TASKFLOW-SIM]]]

Pages are man/taskflow.1.scd, man/taskflow-COMMAND.1.scd, man/taskflowd.8.scd, man/taskflow-agent.8.scd and
man/taskflow-sim.1.scd. In a page an option is documented by a paragraph that starts with it in bold, `*-m*, *--memory* _SIZE_`, and goes on indented.
"""

import itertools
import os
import pathlib
import re
import subprocess
import sys

OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
EVERYWHERE = {"-h", "--help"}
# Other programs, with the sections of their pages.
PROGRAMS = (("taskflowd", 8), ("taskflow-agent", 8), ("taskflow-sim", 1))


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if done.returncode != 0 or not done.stdout:
        sys.exit(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip() or 'printed nothing'}")
    return done.stdout


def section(text, title):
    """The indented lines below `title:`."""
    lines = text.splitlines()
    if f"{title}:" not in lines:
        return []
    below = lines[lines.index(f"{title}:") + 1 :]
    end = next((i for i, line in enumerate(below) if line and not line.startswith(" ")), len(below))
    return [line for line in below[:end] if line.strip()]


def commands_of(help_text):
    """The first word of each row; a longer indentation goes on with the row above."""
    return {line.split()[0] for line in section(help_text, "Commands") if re.match(r" {1,3}\S", line)}


def names_of_row(line):
    """`    -m, --memory SIZE   RAM it needs` without its explanation, which two spaces separate."""
    return re.split(r" {2,}", line.strip(), maxsplit=1)[0]


def options_of_help(text):
    """Those of the rows below `Options:`, or of all rows where there is no such heading."""
    found = set()
    for line in section(text, "Options") or text.splitlines():
        if re.match(r" +-", line):
            found.update(OPTION.findall(names_of_row(line)))
    return found - EVERYWHERE


def options_of_page(path):
    """Those of the paragraphs that begin with options, with what they mean indented below."""
    found = set()
    for paragraph in re.split(r"\n{2,}", path.read_text()):
        lines = paragraph.strip("\n").split("\n")
        terms = list(itertools.takewhile(lambda line: line.startswith("*-"), lines))
        if terms and len(terms) < len(lines) and lines[len(terms)].startswith("\t"):
            plain = re.sub(r"[*\\]|(?<!\w)_|_(?!\w)", "", " ".join(terms))
            found.update(OPTION.findall(plain))
    return found - EVERYWHERE


def compare(what, path, of_help):
    if not path.exists():
        return [f"{path} is missing: {what} has no page"]
    of_page = options_of_page(path)
    return [f"{path}: {option} is in the help of {what}, and not in the page" for option in sorted(of_help - of_page)] + [
        f"{path}: {option} is in the page, and not in the help of {what}" for option in sorted(of_page - of_help)
    ]


def check_taskflow(man, taskflow):
    wrong = []
    help_text = run(taskflow, "--help")
    commands = commands_of(help_text)
    if not commands:
        return [f"{taskflow} --help: there are no rows below 'Commands:'"]

    # Asked for even where there is no page yet: each command that is listed must be able to explain itself.
    helps = {command: run(taskflow, command, "--help") for command in sorted(commands)}
    if not list(man.glob("taskflow*.scd")):
        print(f"{man}: no pages yet; {len(helps)} commands explain themselves")
        return wrong

    wrong += compare("taskflow", man / "taskflow.1.scd", options_of_help(help_text))
    main_page = (man / "taskflow.1.scd").read_text() if (man / "taskflow.1.scd").exists() else ""
    for command, text in helps.items():
        wrong += compare(f"taskflow {command}", man / f"taskflow-{command}.1.scd", options_of_help(text))
        if not re.search(rf"\*(taskflow )?{command}\*|taskflow-{command}\b", main_page):
            wrong.append(f"{man / 'taskflow.1.scd'}: the command {command} is not named")
    for page in sorted(man.glob("taskflow-*.1.scd")):
        command = page.name[len("taskflow-") : -len(".1.scd")]
        if command not in commands and (f"taskflow-{command}", 1) not in PROGRAMS:
            wrong.append(f"{page}: there is no command {command}")
    return wrong


def main():
    man = pathlib.Path(sys.argv[1])
    wrong = check_taskflow(man, sys.argv[2])
    for (name, number), program in zip(PROGRAMS, sys.argv[3:]):
        page = man / f"{name}.{number}.scd"
        if os.path.exists(program) and page.exists():
            wrong += compare(name, page, options_of_help(run(program, "--help")))
    for line in wrong:
        print(line)
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
