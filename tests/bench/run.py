#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `taskflow run` costs above the floor (floor.c): asking a server once, and running a program.

Both run the same program in turns, in an order that changes from round to round, so that whatever else the machine does
hits both alike. Printed are the medians and their ratio, which is to stay within 1.3.

    run.py [--rounds N] [--budget RATIO] [--shell SHELL] FLOOR TASKFLOW TASKFLOWD
"""

import argparse
import contextlib
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 400
WARM_UP = 20
BUDGET = 1.3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--shell", default="/bin/sh", help="as SHELL for taskflow run: bash takes three times as long to start")
    parser.add_argument("floor")
    parser.add_argument("taskflow")
    parser.add_argument("taskflowd")
    return parser.parse_args()


def wait_for(path, server):
    deadline = time.monotonic() + 10
    while not path.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"{server.args[0]} did not make {path}")
        time.sleep(0.01)


@contextlib.contextmanager
def running(argv, socket, **kwargs):
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **kwargs)
    try:
        wait_for(socket, server)
        yield
    finally:
        server.stdin.close()
        server.terminate()
        server.wait()


def seconds_of(argv, environment):
    """One run from before its start to after its end."""
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, environment)
    _, status = os.waitpid(pid, 0)
    end = time.perf_counter()
    if status != 0:
        sys.exit(f"{' '.join(argv)}: status {os.waitstatus_to_exitcode(status)}")
    return end - begin


def measure(commands, environment, rounds):
    """Seconds of each command in each round."""
    seconds = {name: [] for name in commands}
    for i in range(-WARM_UP, rounds):
        for name in random.sample(list(commands), len(commands)):
            took = seconds_of(commands[name], environment)
            if i >= 0:
                seconds[name].append(took)
    return seconds


def report(seconds, budget):
    floor = statistics.median(seconds["floor"])
    for name, values in seconds.items():
        median = statistics.median(values)
        tenth = statistics.quantiles(values, n=10)[0]
        print(f"{name:<28} {median * 1e6:8.0f} us   fastest tenth {tenth * 1e6:8.0f} us   {median / floor:5.2f} x floor")
    ratio = statistics.median(seconds["taskflow run true"]) / floor
    print(f"taskflow run true costs {ratio:.2f} times the floor (budget {budget})")
    return ratio <= budget


def main():
    args = arguments()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskflow-bench-")))
        environment = {
            **os.environ,
            "HOME": str(folder),
            "TASKFLOW_SOCKET": str(folder / "taskflow.sock"),
            "SHELL": args.shell,
        }
        stack.enter_context(running([args.floor, "serve", folder / "floor.sock"], folder / "floor.sock"))
        daemon = [args.taskflowd, "--socket", folder / "taskflow.sock", "--state", folder / "state"]
        stack.enter_context(
            running(daemon, folder / "taskflow.sock", env=environment, stderr=subprocess.DEVNULL)
        )
        floor = [args.floor, "run", str(folder / "floor.sock")]
        commands = {
            "floor": [*floor, "/bin/true"],
            "floor, with a shell": [*floor, args.shell, "-c", "true"],
            "taskflow run true": [args.taskflow, "run", "true"],
            "taskflow run /bin/true x y": [args.taskflow, "run", "/bin/true", "x", "y"],
        }
        seconds = measure(commands, environment, args.rounds)
    sys.exit(0 if report(seconds, args.budget) else 1)


main()
