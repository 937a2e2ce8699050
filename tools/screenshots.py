#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make screenshots: what README.md shows of a terminal, from a session that really takes place.

    screenshots.py BUILD FOLDER

Three people share a machine of their own (tests/e2e/machine.py; so this is root's) whose two GPUs the library of
tests/stand-in plays. They type their commands into shells on tmux's terminals; each picture is one of these screens as tmux
has it, drawn as SVG, character by character and colour by colour.
"""

import contextlib
import html
import os
import pathlib
import re
import shutil
import subprocess
import sys

BUILD, FOLDER = pathlib.Path(sys.argv[1]).absolute(), pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).parents[1]
os.environ.update(TASKFLOW=f"{BUILD}/taskflow", TASKFLOWD=f"{BUILD}/taskflowd", TASKFLOW_STAND_IN=f"{BUILD}/tests/stand-in")
sys.path.insert(0, os.fspath(ROOT / "tests/e2e"))
sys.dont_write_bytecode = True

import harness  # noqa: E402 - the lines above tell it where all is
from machine import Machine  # noqa: E402

COLUMNS, ROWS = 120, 40

# Taken for what an xterm has, on dark ground.
COLOURS = [
    "#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d8dee9",
    "#7f8896", "#ff7b86", "#b5e08f", "#f5d38f", "#7fc1ff", "#dc93f2", "#6fd3df", "#ffffff",
]  # fmt: skip
GROUND, FRAME, TEXT = "#1d2129", "#2b303b", "#d8dee9"
CELL_WIDTH, CELL_HEIGHT, MARGIN, BAR = 8.43, 18, 14, 34


class Style:
    """What SGR sequences have set."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.colour, self.bold, self.dim, self.underlined, self.inverse = TEXT, False, False, False, False

    def apply(self, numbers):
        while numbers:
            number = numbers.pop(0)
            if number == 0:
                self.reset()
            elif number in (1, 2, 4, 7):
                setattr(self, {1: "bold", 2: "dim", 4: "underlined", 7: "inverse"}[number], True)
            elif number == 22:
                self.bold = self.dim = False
            elif number in (24, 27):
                setattr(self, {24: "underlined", 27: "inverse"}[number], False)
            elif 30 <= number <= 37 or 90 <= number <= 97:
                self.colour = COLOURS[number - 30 if number < 90 else number - 82]
            elif number == 49:
                pass  # there are no backgrounds
            elif number == 39:
                self.colour = TEXT
            else:
                sys.exit(f"a colour that this does not know: {number}")

    def attributes(self):
        words = [f'fill="{GROUND if self.inverse else self.colour}"']
        if self.bold:
            words.append('font-weight="bold"')
        if self.dim:
            words.append('opacity="0.6"')
        if self.underlined:
            words.append('text-decoration="underline"')
        return " ".join(words)


def spans(line):
    """Parts of a line that look alike: column, text, style's attributes, background."""
    style, column, found = Style(), 0, []
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b"):
            style.apply([int(number or 0) for number in part[2:-1].split(";")])
        elif part:
            if part.strip() or style.inverse:
                found.append((column, part, style.attributes(), style.colour if style.inverse else None))
            column += len(part)
    return found


def draw(lines, title):
    while lines and not re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]).strip():
        lines.pop()
    width = COLUMNS * CELL_WIDTH + 2 * MARGIN
    height = BAR + len(lines) * CELL_HEIGHT + MARGIN + 6
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
        ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="{FRAME}"/>',
        f'<path d="M0 {BAR - 4}h{width:.0f}v{height - BAR - 4:.0f}q0 8 -8 8h-{width - 16:.0f}q-8 0 -8 -8z" fill="{GROUND}"/>',
    ]
    for i, colour in enumerate(("#e06c75", "#e5c07b", "#98c379")):
        out.append(f'<circle cx="{18 + 18 * i}" cy="{BAR / 2 - 2}" r="5.5" fill="{colour}"/>')
    out.append(f'<text x="{width / 2:.0f}" y="{BAR / 2 + 3}" fill="#7f8896" text-anchor="middle" font-size="13">{html.escape(title)}</text>')
    for row, line in enumerate(lines):
        y = BAR + 14 + row * CELL_HEIGHT
        for column, text, attributes, background in spans(line):
            x = MARGIN + column * CELL_WIDTH
            length = len(text) * CELL_WIDTH
            if background:
                out.append(f'<rect x="{x:.1f}" y="{y - 13}" width="{length:.1f}" height="{CELL_HEIGHT}" fill="{background}"/>')
            out.append(
                f'<text x="{x:.1f}" y="{y}" {attributes} textLength="{length:.1f}" xml:space="preserve">{html.escape(text, quote=False)}</text>'
            )
    return "\n".join(out + ["</svg>", ""])


class Screen:
    """Somebody's shell on a terminal of tmux."""

    def __init__(self, machine, tmux, user):
        self.tmux, self.name = tmux, user.name
        env = {
            **machine.env_of(user), "PATH": f"{machine.program.parent}:/usr/bin:/bin", "PS1": rf"\[\e[1;32m\]{user.name}\[\e[0m\]$ ",
            "USER": user.name, "HISTFILE": "/dev/null", "PROMPT_DIRTRIM": "1",
        }  # fmt: skip
        words = ["env", "-i", *(f"{key}={value}" for key, value in env.items()), "TERM=screen"]
        shell = machine.inside(user, [*words, "sh", "-c", "cd && exec bash --norc --noprofile -i"])
        self.call("new-session", "-d", "-s", user.name, "-x", str(COLUMNS), "-y", str(ROWS), *map(os.fspath, shell))
        self.expect(r"\$ *$")

    def call(self, *args):
        return subprocess.run([*self.tmux, *args], check=True, capture_output=True, text=True).stdout

    def text(self):
        return self.call("capture-pane", "-p", "-t", self.name).rstrip()

    def expect(self, pattern):
        harness.wait_until(lambda: re.search(pattern, self.text()), f"{self.name} sees {pattern!r}; what there is: {self.text()}")

    def type(self, line, until=None):
        """A line, and what must come of it; without that, the next prompt."""
        before = self.text().count(f"{self.name}$")
        self.call("send-keys", "-t", self.name, "-l", line)
        self.call("send-keys", "-t", self.name, "Enter")
        if until:
            self.expect(until)
        else:
            harness.wait_until(lambda: self.text().count(f"{self.name}$") > before, f"{self.name} is through with {line}")

    def save(self, path, title):
        path.write_text(draw(self.call("capture-pane", "-e", "-p", "-t", self.name).split("\n"), title))
        print(path)


def make_train(machine, user):
    """A program that takes memory of a GPU, and goes on until somebody ends it."""
    path = machine.homes[user] / "train"
    path.write_text(f"#!/bin/sh\nexec {machine.program.parent}/hold gpu ${{TASKFLOW_GPUS}} $1 stdin\n")
    path.chmod(0o755)


def holds(machine, name):
    """What was seen of its GPU's memory."""
    task = machine.task(name)
    return task["peak"]["gpus"][0]["bytes"] if task and task["peak"]["gpus"] else None


def session(machine, tmux):
    for user in (machine.alice, machine.bob, machine.chuck):
        make_train(machine, user)
    alice, bob, chuck = (Screen(machine, tmux, user) for user in (machine.alice, machine.bob, machine.chuck))
    alice.type("taskflow run --gpu 0:20G -n finetune ./train 18G", until="train 18G")
    harness.wait_until(lambda: holds(machine, "finetune") == 18 * harness.GIB, "it was seen to hold what it took")
    bob.type("taskflow run --gpu 0:12G -n evaluate ./train 10G", until=r"holds 18G")
    bob.save(FOLDER / "waiting.svg", "bob: a task that waits")
    chuck.type("taskflow run -D --gpu any:16G -n sweep ./train 12G </dev/null")
    harness.wait_until(lambda: holds(machine, "sweep") == 12 * harness.GIB, "it was seen to hold what it took")
    chuck.type("clear", until=r"^chuck\$$")
    for line in ("taskflow ps", "taskflow why 2", "taskflow status"):
        chuck.type(line)
    chuck.save(FOLDER / "queue.svg", "chuck: the machine and its queue")
    chuck.type("taskflow cancel 3")
    machine.wait_state("sweep", "cancelled")


def main():
    folder = harness.make_session_folder()
    programs = folder / "bin"
    programs.mkdir()
    for program in (harness.TASKFLOW, harness.TASKFLOWD, harness.AGENT, harness.HOLD):
        shutil.copy(program, programs)
    place = harness.Place(folder / "place")
    tmux = ["tmux", "-f", "/dev/null", "-S", os.fspath(folder / "tmux")]
    FOLDER.mkdir(exist_ok=True)
    try:
        machine = Machine(place, programs)
        gpus = harness.Gpus(place.folder)
        machine.env.update(gpus.env)
        machine.own_folder(machine.keeper)
        machine.start_daemon()
        harness.wait_until(lambda: machine.run("ps").returncode == 0, "the daemon answers")
        session(machine, tmux)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run([*tmux, "kill-server"], check=True, capture_output=True)
        complaints = place.clean()
        shutil.rmtree(folder)
    sys.exit("\n".join(complaints) or 0)


if __name__ == "__main__":
    main()
