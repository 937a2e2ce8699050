#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make sched-table: taskflow beside other schedulers, for docs/scheduling.md.

    sched-table.py [--jobs N] [--seeds N] [--workload NAME]... [--variant NAME]... [--into FILE] BUILD

Runs BUILD/taskflow-sim for each workload of tests/data/traces and one that is made here, with requests that are exact, that
are off, and with people who use the machine without taskflow; one run for each scheduler and seed, some side by side.
Prints Markdown, or puts it into FILE between the two comments that name this program. All chance is drawn from the seeds,
so that the same program prints the same tables.

What a run printed is kept in BUILD/sched-table, by the program that made it: ended half-way, it goes on where it was.
"""

import argparse
import concurrent.futures
import csv
import datetime
import hashlib
import itertools
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
TRACES = ROOT / "tests" / "data" / "traces"
MACHINE = ["--memory", "512G", "--gpus", "8x24G"]
GIB = 1 << 30

# Name, title, the trace (None: made here), options of taskflow-sim, seeds.
WORKLOADS = [
    ("openb-0.7", "openb, load 0.7", "openb-gpu.csv", ["--load", "0.7", "--jitter", "10m"], 10),
    ("openb-0.9", "openb, load 0.9", "openb-gpu.csv", ["--load", "0.9", "--jitter", "10m"], 20),
    ("tiresias", "Tiresias", "tiresias-60.csv", ["--jitter", "1m"], 20),
    ("sweep", "A sweep and one big task", None, ["--jitter", "1m"], 20),
]
# Name, what it is called, options.
VARIANTS = [
    ("exact", "requests are exact", []),
    ("error", "requests are off by up to half", ["--error", "50%"]),
    ("outside", "a fifth of the GPUs is taken by people without taskflow", ["--outside", "20%"]),
]
# A row's title, its scheduler, more options, seeds at most. SJF is last: nobody can have it.
ROWS = [
    ("taskflow, all with `-t`", "taskflow", ["--with-time", "100"], 20),
    ("taskflow, nobody with `-t`", "taskflow", [], 5),
    ("FCFS", "fcfs", [], 20),
    ("first-fit", "first-fit", [], 20),
    ("EASY", "easy", [], 20),
    ("SJF", "sjf", [], 20),
]


def seconds(value):
    """Two units at most: 3d04h, 2h05m, 7m30s."""
    value = round(value)
    for unit, name, below, digits in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if value >= unit:
            return f"{value // unit}{name}{value % unit // below:02}{digits}"
    return f"{value}s"


def factor(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


COLUMNS = [
    ("wait_mean_seconds", "wait", seconds),
    ("slowdown_mean", "slowdown", factor),
    ("wide_wait_mean_seconds", "wait for all GPUs", seconds),
    ("out_of_memory", "out of memory", lambda value: f"{value:.0f}"),
    ("given_up", "given up", lambda value: f"{value:.0f}"),
    ("gpus_used", "GPUs used", lambda value: f"{100 * value:.0f} %"),
    ("jain", "Jain", factor),
]
# What taskflow is measured by: column, the row of another one, how to say it.
RATIOS = [
    ("wait_mean_seconds", "EASY", "waits are {} times EASY's"),
    ("slowdown_mean", "EASY", "slowdowns {} times"),
    ("wide_wait_mean_seconds", "FCFS", "waits for all GPUs {} times FCFS's"),
    ("out_of_memory", "first-fit", "out of memory is {} times as frequent as with first-fit"),
]


def make_sweep(path):
    """One user queues 300 training runs at once, another one that needs the whole machine half an hour later; two more
    go on with what they do on any day: small ones all the time, and now and then one on two GPUs."""
    chance = random.Random(1)
    tasks = [(60 + i / 20, 1001, chance.uniform(300, 1500), 12, ["all"], 0.7) for i in range(300)]
    tasks.append((1800, 1002, 7200, 200, ["all"] * 8, 0.7))
    at = 0.0
    while at < 36000:
        tasks.append((at, 1003, min(20 + chance.expovariate(1 / 500), 3600), 4, [chance.randint(2, 6) * GIB], 0.85))
        at += chance.expovariate(1 / 210)
    tasks += [(3600 + 5400 * i, 1004, chance.uniform(2400, 4000), 32, ["all"] * 2, 0.7) for i in range(6)]

    def instant(at):
        begin = datetime.datetime(2026, 1, 5, 9)
        return (begin + datetime.timedelta(seconds=at)).isoformat(timespec="milliseconds") + "Z"

    with open(path, "w", encoding="ascii", newline="") as out:
        writer = csv.writer(out)
        writer.writerow("uid submitted_at started_at ended_at memory_bytes memory_peak_bytes gpus gpu_peaks".split())
        for at, uid, took, memory, sizes, fill in sorted(tasks):
            peaks = [round((24 * GIB if size == "all" else size) * fill) for size in sizes]
            writer.writerow([
                uid, instant(at), instant(at), instant(at + took), memory * GIB, round(memory * GIB * 0.8),
                " ".join(f"any:{size}" for size in sizes), " ".join(map(str, peaks)),
            ])  # fmt: skip


class Simulator:
    """taskflow-sim, and what it has printed before."""

    def __init__(self, build):
        self.program = build / "taskflow-sim"
        self.kept = build / "sched-table"
        self.kept.mkdir(exist_ok=True)
        self.version = hashlib.sha256(self.program.read_bytes()).hexdigest()
        self.sweep = self.kept / "sweep.csv"
        make_sweep(self.sweep)

    def command(self, workload, variant, row, seed):
        _, _, trace, options, _ = workload
        path = TRACES / trace if trace else self.sweep
        return [*MACHINE, *options, *variant[2], "--scheduler", row[1], *row[2], "--seed", str(seed), "--csv", path]

    def run(self, *what):
        """{column: value}, and how many seconds of a core it took, if it was run now."""
        command = self.command(*what)
        trace = hashlib.sha256(command[-1].read_bytes()).hexdigest()
        key = hashlib.sha256("\0".join([self.version, trace, *command[:-1]]).encode()).hexdigest()
        path = self.kept / f"{key[:24]}.csv"
        took = 0
        if not path.exists():
            text, took = self.simulate(command)
            path.with_suffix(".new").write_text(text, encoding="ascii")
            path.with_suffix(".new").replace(path)
        (row,) = csv.DictReader(path.read_text(encoding="ascii").splitlines())
        return {column: float(row[column]) for column, _, _ in COLUMNS if row[column]}, took

    def simulate(self, command):
        with subprocess.Popen([self.program, *command], stdout=subprocess.PIPE, text=True) as process:
            text = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"taskflow-sim {' '.join(map(str, command))} has failed")
        return text, usage.ru_utime + usage.ru_stime


def cell(values, show):
    if not values:
        return "-"
    median, least, most = (show(f(values)) for f in (statistics.median_low, min, max))
    return median if least == most else f"{median} ({least} to {most})"


def compare(figures):
    """Seed by seed, of the first row; what nobody has any of is left out."""
    for column, other, words in RATIOS:
        pairs = zip(figures[ROWS[0][0]][column], figures[other][column])
        ratios = [ours / theirs for ours, theirs in pairs if theirs > 0]
        if ratios:
            yield words.format(cell(ratios, factor))


def table(figures):
    yield "| | " + " | ".join(title for _, title, _ in COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name, *_ in ROWS:
        n = len(figures[name][COLUMNS[0][0]])
        words = name if n == len(figures[ROWS[0][0]][COLUMNS[0][0]]) else f"{name}; {n} seeds"
        yield f"| {words} | " + " | ".join(cell(figures[name][column], show) for column, _, show in COLUMNS) + " |"
    yield f"\nTaskflow, all with `-t`, seed by seed: {', '.join(compare(figures))}."


def run_all(simulator, jobs, cases):
    """What each came to. Says on stderr how far it is, and what it took."""
    begin, spent, found = time.monotonic(), 0, {}
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    waiting = {pool.submit(simulator.run, *what): what for what in cases}
    try:
        for n, future in enumerate(concurrent.futures.as_completed(waiting), 1):
            workload, variant, row, seed = waiting[future]
            found[workload[0], variant[0], row[0], seed], took = future.result()
            spent += took
            if sys.stderr.isatty() or n == len(cases):
                print(f"{n} of {len(cases)} runs, {seconds(time.monotonic() - begin)}, "
                      f"{seconds(spent)} of a core", end="\n" if n == len(cases) else "\r", file=sys.stderr)  # fmt: skip
    except BaseException as error:
        print(f"{error or 'it was ended'}; {len(found)} of {len(cases)} runs are kept", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)  # what still runs is not waited for
    return found


def source():
    """What they were made of, as git names it."""

    def git(*args):
        return subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=False).stdout.strip()

    tree = git("rev-parse", "--short=12", "HEAD:src")
    if not tree:
        return "a tree that git does not know"
    return f"`{tree}`" + (", with changes," if git("status", "--porcelain", "src") else "")


def tables(simulator, jobs, seeds, workloads, variants):
    def seeds_of(workload, row):
        return range(1, (seeds or min(workload[4], row[3])) + 1)

    kinds = list(itertools.product(workloads, variants))
    cases = [(*kind, row, seed) for kind in kinds for row in ROWS for seed in seeds_of(kind[0], row)]
    found = run_all(simulator, jobs, cases)
    yield f"\nMade of {source()} (`git rev-parse HEAD:src`)."
    for workload, (variant, words, _) in kinds:
        name, title = workload[:2]
        yield f"\n{title}; {words}; {len(seeds_of(workload, ROWS[0]))} seeds:\n"
        runs = {row[0]: [found[name, variant, row[0], seed] for seed in seeds_of(workload, row)] for row in ROWS}
        yield from table({
            row: {column: [run[column] for run in runs[row] if column in run] for column, _, _ in COLUMNS}
            for row in runs
        })  # fmt: skip


def put_into(path, text):
    begin, end = "<!-- made by make sched-table -->\n", "<!-- the end of what make sched-table has made -->\n"
    old = path.read_text(encoding="utf-8")
    new, n = re.subn(
        f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}{text}\n{end}", old, flags=re.DOTALL
    )
    if n != 1:
        sys.exit(f"{path} has no place for the tables: a line {begin.strip()}, and {end.strip()}")
    path.write_text(new, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=0, help="how many runs at a time; 0: one a core")
    parser.add_argument("--seeds", type=int, help="in place of 10 to 20")
    parser.add_argument("--workload", action="append", choices=[workload[0] for workload in WORKLOADS])
    parser.add_argument("--variant", action="append", choices=[variant[0] for variant in VARIANTS])
    parser.add_argument("--into", type=pathlib.Path)
    parser.add_argument("build", type=pathlib.Path)
    args = parser.parse_args()

    workloads = [workload for workload in WORKLOADS if not args.workload or workload[0] in args.workload]
    variants = [variant for variant in VARIANTS if not args.variant or variant[0] in args.variant]
    text = "\n".join(tables(Simulator(args.build), args.jobs or os.cpu_count(), args.seeds, workloads, variants)) + "\n"
    if args.into:
        put_into(args.into, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
