#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What detached tasks cost above their floors (floor.c), in one run, so that the machine's noise hits both alike.

 - one `run -D`, with nothing waiting and with many: against a client that asks once and writes 256 bytes to the disk (1.5)
 - a queue of /bin/true on two slots: against starting them directly, two at a time (0.7 of that rate)
 - the next start after an end: in milliseconds, above that of starting it directly (0.4)
 - many tasks with `submit`: in seconds, and what daemon and agent take for each (1 KiB)

    detached.py [--rounds N] [--drain N] [--many N] FLOOR TASKFLOW TASKFLOWD
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 10
SUBMIT_BUDGET = 1.5
SUBMIT_PLACES = 5
DRAIN_BUDGET = 0.7
NEXT_BUDGET_MS = 0.4
BYTES_BUDGET = 1024
NEW_FILE_US = 50
PLACES_MAX = 32


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--drain", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("floor")
    parser.add_argument("taskflow")
    parser.add_argument("taskflowd")
    return parser.parse_args()


class Place:
    """A folder on the disk of the build, with a daemon, an agent and the floor's server."""

    def __init__(self, args, folders, stack):
        self.args = args
        self.n_new = 0
        top = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=os.getcwd()))
        folders.callback(shutil.rmtree, top, ignore_errors=True)
        # Folders below one with this attribute lie far from each other on ext4, see measure_starts().
        subprocess.run(["chattr", "+T", top], stderr=subprocess.DEVNULL, check=False)
        self.folder = top / "place"
        self.folder.mkdir()
        self.env = {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": "",
            "TASKFLOW_SOCKET": str(self.folder / "taskflow.sock"),
            "SHELL": "/bin/sh",
        }
        self.env.pop("XDG_STATE_HOME", None)
        self.floor_socket = self.folder / "floor.sock"
        floor = subprocess.Popen([args.floor, "serve", self.floor_socket], stdin=subprocess.PIPE)
        stack.callback(self.end, floor)
        settings = self.folder / "taskflow.conf"
        settings.write_text("[taskflow]\nmax_pending_per_user = 1000000\nreserved_memory = 1M\n")
        self.daemon = subprocess.Popen(
            [args.taskflowd, "--config", settings, "--socket", self.env["TASKFLOW_SOCKET"], "--state", self.folder / "state"],
            env=self.env,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(self.end, self.daemon)
        stack.callback(self.stop_agent)
        for path in (self.floor_socket, pathlib.Path(self.env["TASKFLOW_SOCKET"])):
            self.wait_for(path.exists, f"{path} is there")

    @staticmethod
    def wait_for(predicate, what, seconds=120):
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                sys.exit(f"not so after {seconds} s: {what}")
            time.sleep(0.01)

    @staticmethod
    def end(process):
        if process.stdin:
            process.stdin.close()
        process.terminate()
        process.wait()

    def stop_agent(self):
        """Also where there is none any more."""
        for task in self.json("ps", "-r")["tasks"]:
            self.run("cancel", str(task["id"]), stderr=subprocess.DEVNULL)
        self.run("agent", "stop", stderr=subprocess.DEVNULL)

    def run(self, *argv, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run([self.args.taskflow, *argv], env=self.env, text=True, check=False, **kwargs)
        return done.stdout

    def json(self, *argv):
        return json.loads(self.run(argv[0], "--json", *argv[1:]))

    def seconds_of(self, argv):
        """One run from before its start to after its end."""
        null = os.open(os.devnull, os.O_WRONLY)
        begin = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, self.env, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - begin
        os.close(null)
        if status != 0:
            sys.exit(f"{' '.join(argv)}: status {os.waitstatus_to_exitcode(status)}")
        return took

    def new_file_us(self, n=200):
        """What a new file takes where the logs are."""
        folder = next((self.folder / ".local/state/taskflow").glob("agent-*/logs"))
        times = []
        for _ in range(n):
            self.n_new += 1
            begin = time.perf_counter()
            os.close(os.open(folder / f"new-{self.n_new}", os.O_CREAT | os.O_WRONLY, 0o600))
            times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1e6

    def agent_pid(self):
        return int(re.search(r"process (\d+)", self.run("agent", "status")).group(1))


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def measure_submit(place, rounds):
    """`run -D` of a task that waits (its folder's cores are all taken) and its floor; seconds, medians of them."""
    commands = {
        "floor": [place.args.floor, "queue", str(place.floor_socket), str(place.folder / "floor.data")],
        "run -D": [place.args.taskflow, "run", "-D", "-q", "-c", "1", "true"],
    }
    seconds = {name: [] for name in commands}
    for i in range(-WARM_UP, rounds):
        for name in random.sample(list(commands), len(commands)):
            took = place.seconds_of(commands[name])
            if i >= 0:
                seconds[name].append(took)
    return statistics.median(seconds["run -D"]), statistics.median(seconds["floor"])


def tell_submit(pairs, what):
    """The middle one of some places: where memory and files lie makes a few percent, and differs from daemon to daemon."""
    ours, floor = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
    every = ", ".join(f"{ours / floor:.2f}" for ours, floor in pairs)
    print(f"one run -D, {what}: {ours * 1e6:.0f} us, floor {floor * 1e6:.0f} us: {ours / floor:.2f} times (budget {SUBMIT_BUDGET}; of {every})")
    return ours / floor <= SUBMIT_BUDGET


def fill(place):
    """A task that has all cores, so that what asks for one waits; its id."""
    task_id = place.run("run", "-D", "-c", str(os.sysconf("SC_NPROCESSORS_ONLN")), "exec sleep 100000").strip()
    place.wait_for(lambda: place.json("show", task_id)["state"] == "running", "the cores are taken")
    return task_id


def end(place, filler):
    """Not by SIGTERM: a keeper waits for a moment whether that was a logout, which would be its own end too."""
    os.kill(place.json("show", filler)["pid"], signal.SIGKILL)


def measure_many(place, many):
    """Many tasks from one file; returns whether each takes less than a KiB in the daemon and in the agent."""
    lines = place.folder / "lines"
    lines.write_text("".join(f"true {i}\n" for i in range(many)))
    before = rss_bytes(place.daemon.pid), rss_bytes(place.agent_pid())
    begin = time.perf_counter()
    out = place.run("submit", "-c", "1", str(lines))
    took = time.perf_counter() - begin
    after = rss_bytes(place.daemon.pid), rss_bytes(place.agent_pid())
    n = len(out.split())
    each = [(b - a) / many for a, b in zip(before, after)]
    print(f"submit of {many} tasks: {took:.2f} s, {n} ids; {each[0]:.0f} bytes each in the daemon, {each[1]:.0f} in the agent (budget {BYTES_BUDGET})")
    return n == many and max(each) < BYTES_BUDGET


def measure_drain(place, n):
    """The rate of a queue on two slots, against the floor, in turns."""
    cores = os.sysconf("SC_NPROCESSORS_ONLN")
    need = str(max(1, cores // 2))
    lines = place.folder / "short"
    lines.write_text("/bin/true\n" * n)
    ratios, gaps = [], []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([place.args.floor, "drain", str(n), "2", "/bin/true"], check=True)
        floor = time.perf_counter() - begin
        filler = fill(place)
        ids = place.run("submit", "-c", need, str(lines)).split()
        begin = time.perf_counter()
        end(place, filler)
        place.run("wait", ids[-1], ids[-2])
        took = time.perf_counter() - begin
        ratios.append(floor / took)
        gaps.append(took / n * 2)
    ratio = statistics.median(ratios)
    line = f"{n} detached /bin/true on two slots: {ratio:.2f} of starting them directly (budget {DRAIN_BUDGET}); {statistics.median(gaps) * 1e3:.2f} ms each"
    return line, ratio >= DRAIN_BUDGET


def median_gap_ms(log):
    """Between the ends and the next starts that the commands wrote down themselves."""
    times = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    return statistics.median((after[0] - before[1]) / 1e6 for before, after in zip(times, times[1:]))


def measure_next(place, n=200):
    """What lies between an end and the next start, more than when one is started directly after the other."""
    log, bare = place.folder / "times", place.folder / "bare-times"
    filler = fill(place)
    cores = str(os.sysconf("SC_NPROCESSORS_ONLN"))
    lines = place.folder / "timed"
    lines.write_text(f"{place.args.floor} stamp {log}\n" * n)
    ids = place.run("submit", "-c", cores, str(lines)).split()
    subprocess.run([place.args.floor, "drain", str(n), "1", place.args.floor, "stamp", bare], check=True)
    end(place, filler)
    place.run("wait", ids[-1])
    ours, floor = median_gap_ms(log), median_gap_ms(bare)
    line = f"from an end to the next start: {ours:.2f} ms, directly {floor:.2f} ms: {ours - floor:.2f} ms more (budget {NEXT_BUDGET_MS})"
    return line, ours - floor <= NEXT_BUDGET_MS


def measure_starts(args, folders):
    """What starts and ends cost, where a new file is cheap from beginning to end, if there is such a place.

    Each task has a log. On ext4 a new file looks in turn at each that was deleted near by in the last minutes, which takes fifty times
    as long where a build or the tests have just been. For that nothing is deleted before all is measured.
    """
    for left in reversed(range(PLACES_MAX)):
        with contextlib.ExitStack() as stack:
            place = Place(args, folders, stack)
            fill(place)
            before_us = place.new_file_us()
            place.stop_agent()
            if before_us > NEW_FILE_US and left > 0:
                continue
            lines = [measure_next(place), measure_drain(place, args.drain)]
            after_us = place.new_file_us()
        if after_us <= NEW_FILE_US or left == 0:
            break
    print(f"a new file takes {before_us:.0f} us here, {after_us:.0f} at the end (more than {NEW_FILE_US} would be the disk's doing)")
    for line, _ in lines:
        print(line)
    return all(good for _, good in lines)


def main():
    args = arguments()
    good = True
    few, many = [], []
    with contextlib.ExitStack() as folders:
        for _ in range(SUBMIT_PLACES):
            with contextlib.ExitStack() as stack:
                place = Place(args, folders, stack)
                fill(place)
                few.append(measure_submit(place, args.rounds))
                good &= measure_many(place, args.many)
                many.append(measure_submit(place, args.rounds))
                place.run("cancel", *(str(task["id"]) for task in place.json("ps", "-r")["tasks"]))
        good &= tell_submit(few, "few waiting")
        good &= tell_submit(many, f"{args.many} waiting")
        good &= measure_starts(args, folders)
    sys.exit(0 if good else 1)


main()
