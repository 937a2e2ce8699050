#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make gpu-check: whether taskflow sees a real GPU as it is.

    gpu-check.py [--patience SECONDS] [BUILD]

It starts a taskflowd of its own, holds and frees GPU memory through CUDA's driver (tests/gpu/cuda-hold.c), and looks at what
taskflow makes of that. The GPU should have 1 GiB to spare, and nobody else should take or free memory there meanwhile. What it
starts and writes is gone at its end. Status: 0 all is as it should be, 1 something is not, 77 nothing could be checked here.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOTHING_CHECKED = 77

MIB = 1024 * 1024
GIB = 1024 * MIB

INTERVAL_S = 1.0  # between two looks of our taskflowd while something waits
DEADLINE_S = 60.0  # a driver may be slow to begin
ALL_S = 600  # and may hang: then no answer is waited for longer
END_S = 15  # `taskflow run` gives its command 10
TAKEN_BYTES_MAX = 2 * GIB
TAKEN_BYTES_MIN = 256 * MIB
CONTEXT_BYTES_MAX = 2 * GIB  # of a program on the GPU, before it takes any memory
N_LOOKS = 200
FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of Linux: its inode


class NothingToCheck(Exception):
    """With why, for people."""


class Failed(Exception):
    """With what is not as it should be."""


def until(predicate, what, timeout=DEADLINE_S):
    """What predicate returns as soon as that is true, and how many seconds it took."""
    start = time.monotonic()
    while True:
        value = predicate()
        took = time.monotonic() - start
        if value:
            return value, took
        if took > timeout:
            raise Failed(f"not so after {timeout:.0f} s: {what}")
        time.sleep(0.01)


def mib(n_bytes):
    return f"{n_bytes / MIB:.0f} MiB"


def end(popen):
    """Its status, SIGTERM or not."""
    popen.terminate()
    try:
        return popen.wait(END_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        return popen.wait()


def is_contained():
    """Whether pids are others here than those of the machine, which the driver tells."""
    return os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE


class Ending:
    """By a signal; but not while a process is started that nobody could end yet."""

    def __init__(self):
        self.is_put_off = False
        self.number = None
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, self.take)

    def take(self, number, _):
        self.number = number
        if not self.is_put_off:
            self.end()

    def end(self):
        sys.exit(f"gpu-check: ended by {signal.Signals(self.number).name}")

    @contextlib.contextmanager
    def put_off(self):
        self.is_put_off = True
        try:
            yield
        finally:
            self.is_put_off = False
            if self.number is not None:
                self.end()


class Holder:
    """cuda-hold, as it is or as a task."""

    def __init__(self, popen):
        self.popen = popen
        self.sees = self._answer("sees").split()[1:]

    def _answer(self, word):
        line = self.popen.stdout.readline()
        if not line.startswith(word):
            raise Failed(f"cuda-hold says {line!r} instead of '{word}', and ends with {end(self.popen)}")
        return line

    def take(self, n_bytes):
        self.popen.stdin.write(f"take {n_bytes}\n")
        self._answer("taken")

    def give(self):
        self.popen.stdin.write("give\n")
        self._answer("given")

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.popen.stdout.close()
        return self.popen.wait()


class Check:
    def __init__(self, build, folder, patience, ending):
        self.build = build
        self.folder = folder
        self.patience = patience
        self.hold = [os.fspath(build / "tests/gpu/cuda-hold")]
        self.ending = ending
        self.processes = []  # those that live, and some that have ended; the daemon first
        self.n_failed = 0
        self.figures = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("TASKFLOW_") or k.startswith("TASKFLOW_TEST_")}
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
            self.env.pop(name, None)
        self.env["TASKFLOW_SOCKET"] = os.fspath(folder / "socket")

    # What is started, and ended

    def start(self, argv, **how):
        with self.ending.put_off():
            self.processes.append(subprocess.Popen(argv, env=self.env, **how))
        return self.processes[-1]

    def run(self, argv):
        popen = self.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = popen.communicate()
        self.processes.remove(popen)
        return subprocess.CompletedProcess(argv, popen.returncode, out, err)

    def start_daemon(self):
        config = self.folder / "taskflow.conf"
        config.write_text(f"[taskflow]\nsample_interval = {INTERVAL_S:g}s\n")
        with open(self.folder / "log", "wb") as log:
            self.start(
                [self.build / "taskflowd", "--config", config, "--socket", self.env["TASKFLOW_SOCKET"],
                 "--state", self.folder / "state"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        until(lambda: self.taskflow("status").returncode == 0, "taskflowd answers")

    def end(self):
        for popen in reversed(self.processes):
            end(popen)

    def taskflow(self, *args):
        return self.run([self.build / "taskflow", *args])

    def start_holder(self, argv):
        return Holder(self.start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1))

    def hold_outside(self):
        return self.start_holder(self.hold)

    def hold_as_task(self, *args):
        argv = [os.fspath(self.build / "taskflow"), "run", "-q", "-d", "0", "-w", "60s", *args, "--", *self.hold]
        return self.start_holder(argv)

    # What taskflow says

    def json(self, *args):
        done = self.taskflow(*args, "--json")
        if done.returncode != 0:
            raise Failed(f"taskflow {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def gpu(self, uuid):
        found = [gpu for gpu in self.json("status")["gpus"] if gpu["uuid"] == uuid]
        if not found or found[0]["state"] != "ok":
            raise Failed(f"{uuid} is not 'ok' any more")
        return found[0]

    def task(self, name):
        return next((task for task in self.json("ps", "-a")["tasks"] if task["name"] == name), None)

    # Checks

    def say(self, ok, what):
        print(f"{'ok' if ok else 'NOT OK'}: {what}", flush=True)
        self.n_failed += not ok

    def in_time(self, took, what):
        limit = INTERVAL_S + self.patience
        self.say(took <= limit, f"{what} after {took:.2f} s, at most {limit:.2f} s")

    def check_selection(self, gpus):
        for gpu in gpus:
            holder = self.hold_as_task("--pin", "--gpu", f"{gpu['uuid']}:1M")
            self.say(
                len(holder.sees) == 1 and gpu["uuid"].endswith(holder.sees[0]),
                f"a task that is pinned to GPU {gpu['index']} ({gpu['uuid']}) sees {' '.join(holder.sees)}",
            )
            holder.end()

    def check_following(self, gpu, n_bytes):
        """Measured free follows what a task and a program outside take and free; the latter is returned, both go on."""
        task = self.hold_as_task("-n", "follow", "--pin", "--gpu", f"{gpu['uuid']}:1M")
        outside = self.hold_outside_of(gpu)
        waiting = self.queue(gpu, "never", gpu["total_bytes"] - 64 * MIB)  # so that it looks at each interval
        for holder, who in ((task, "a task"), (outside, "a program outside taskflow")):
            used = self.gpu(gpu["uuid"])["used_bytes"]
            holder.take(n_bytes)
            _, took = until(
                lambda used=used: self.gpu(gpu["uuid"])["used_bytes"] >= used + n_bytes, f"{who} took {mib(n_bytes)}"
            )
            self.in_time(took, f"it is seen that {who} took {mib(n_bytes)}")
        self.check_attribution(gpu, n_bytes, outside)
        for holder, who in ((task, "a task"), (outside, "a program outside taskflow")):
            used = self.gpu(gpu["uuid"])["used_bytes"]
            holder.give()
            _, took = until(
                lambda used=used: self.gpu(gpu["uuid"])["used_bytes"] <= used - n_bytes, f"{who} gave {mib(n_bytes)} back",
                INTERVAL_S + self.patience + 5,
            )
            self.in_time(took, f"it is seen that {who} gave {mib(n_bytes)} back")
        end(waiting)
        return outside

    def hold_outside_of(self, gpu):
        before = self.env.get("CUDA_VISIBLE_DEVICES")
        self.env["CUDA_VISIBLE_DEVICES"] = gpu["uuid"]
        try:
            return self.hold_outside()
        finally:
            self.env.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                self.env["CUDA_VISIBLE_DEVICES"] = before

    def attribution(self, gpu, n_bytes, outside):
        """What it has to be, each with whether it is."""
        now = self.gpu(gpu["uuid"])
        task = self.task("follow")
        used = task["used"]["gpus"][0]["bytes"] or 0
        ours = [other for other in now["outside"] or [] if other["pid"] == outside.popen.pid]
        held = (ours[0]["bytes"] or 0) if ours else 0
        return [
            (
                n_bytes <= used <= n_bytes + min(n_bytes, CONTEXT_BYTES_MAX),
                f"of a task that took {mib(n_bytes)} {mib(used)} are seen, with what CUDA itself takes",
            ),
            (
                len(ours) == 1 and ours[0]["uid"] == os.getuid() and held >= n_bytes,
                f"process {outside.popen.pid} outside taskflow is named with {mib(held)}",
            ),
            (
                task["id"] in [more["task"] for more in now["excess"]],
                "it is said of the task that it takes more than it asked for",
            ),
        ]

    def check_attribution(self, gpu, n_bytes, outside):
        if not self.gpu(gpu["uuid"])["processes_known"]:
            print("   (the driver does not tell here what a process uses: attribution was not checked)")
            return
        deadline = time.monotonic() + INTERVAL_S + self.patience
        found = self.attribution(gpu, n_bytes, outside)
        while not all(ok for ok, _ in found) and time.monotonic() < deadline:
            time.sleep(0.01)  # a look asks for processes first, and then for memory
            found = self.attribution(gpu, n_bytes, outside)
        if is_contained() and not any(ok for ok, _ in found):
            print("   (in a container the driver does not tell processes by their numbers there: attribution was not checked)")
            return
        for ok, what in found:
            self.say(ok, what)

    def queue(self, gpu, name, n_bytes):
        popen = self.start(
            [self.build / "taskflow", "run", "-q", "-n", name, "-d", "0", "--gpu", f"{gpu['uuid']}:{n_bytes}", "--", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )
        until(lambda: self.task(name), f"task {name} is there")
        return popen

    def check_waiting(self, gpu, n_bytes, outside):
        """A task that waits for memory starts when a program outside frees it."""
        outside.take(n_bytes)
        used = gpu["used_bytes"] + n_bytes
        until(lambda: self.gpu(gpu["uuid"])["used_bytes"] >= used, "it is seen that memory was taken")
        waiting = self.queue(gpu, "wait", self.gpu(gpu["uuid"])["free_bytes"] + n_bytes // 2)
        state = self.task("wait")["state"]
        self.say(state == "pending", f"a task that asks for more than is free is {state}")
        outside.give()
        _, took = until(
            lambda: self.task("wait")["state"] == "running", "the task started", INTERVAL_S + self.patience + 5
        )
        self.in_time(took, "memory was freed, and the task that waited runs")
        waiting.stdin.close()
        status = waiting.wait()
        self.say(status == 0, f"it ends with {status}")

    def check_cost(self):
        done = self.run([self.build / "tests/gpu/probe-cost", self.build / "taskflowd", str(N_LOOKS)])
        if done.returncode != 0:
            self.say(False, f"what a look costs: {done.stderr.strip()}")
            return
        words = done.stdout.split()
        first, median, most = (int(words[i]) for i in (1, 3, 5))
        self.say(
            median < INTERVAL_S * 1000000,
            f"of {N_LOOKS} looks the first, with the driver's start, took {first} us, the others {median} us (median), {most} us at most",
        )
        self.figures.append(f"look: first {first} us, median {median} us, most {most} us")


def nothing_to_check(hold, env):
    """Why CUDA cannot be used here, or None."""
    done = subprocess.run(hold, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode == NOTHING_CHECKED else None


def choose(gpus):
    """The GPU with most free memory, and how much of it to take."""
    ready = [gpu for gpu in gpus if gpu["state"] == "ok" and gpu["use"] == "shared" and not gpu["shares_ram"]]
    if not ready:
        raise NothingToCheck("no GPU that several programs may share and that has memory of its own is 'ok'")
    gpu = max(ready, key=lambda gpu: gpu["free_bytes"])
    n_bytes = min(gpu["free_bytes"] // 4, TAKEN_BYTES_MAX) // (2 * MIB) * 2 * MIB
    if n_bytes < TAKEN_BYTES_MIN:
        raise NothingToCheck(f"GPU {gpu['index']} has only {mib(gpu['free_bytes'])} free")
    return ready, gpu, n_bytes


def driver_version():
    for path in ("/sys/module/nvidia/version", "/proc/driver/nvidia/version"):
        with contextlib.suppress(OSError):
            return pathlib.Path(path).read_text(encoding="utf-8").splitlines()[0]
    return "unknown"


def check(build, folder, patience, ending):
    checks = Check(build, folder, patience, ending)
    why = nothing_to_check(checks.hold, checks.env)
    if why:
        raise NothingToCheck(why)
    try:
        checks.start_daemon()
        status = checks.json("status")
        checks.say(bool(status["gpus"]) and status["gpus_known"], f"CUDA has a GPU, and taskflow sees {len(status['gpus'])}")
        if checks.n_failed:
            print(f"   {status['gpus_message']}")
            return 1
        ready, gpu, n_bytes = choose(status["gpus"])
        checks.check_selection(ready)
        outside = checks.check_following(gpu, n_bytes)
        checks.check_waiting(checks.gpu(gpu["uuid"]), n_bytes, outside)
        checks.check_cost()
    except Failed as failure:
        checks.say(False, str(failure))
        print((folder / "log").read_text(encoding="utf-8", errors="replace"), end="")
    finally:
        checks.end()
    today = datetime.date.today().isoformat()
    print(f"driver {driver_version()}; {', '.join(gpu['name'] for gpu in status['gpus'])}; {'; '.join(checks.figures)}; {today}")
    return 1 if checks.n_failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patience", type=float, default=1.0, help="how much later than an interval is in time, in seconds")
    parser.add_argument("build", nargs="?", default="build", type=pathlib.Path)
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-gpu-check."))
    ending = Ending()
    signal.alarm(ALL_S)
    try:
        status = check(args.build.resolve(), folder, args.patience, ending)
    except NothingToCheck as nothing:
        print(f"gpu-check: nothing was checked: {nothing}")
        status = NOTHING_CHECKED
    finally:
        shutil.rmtree(folder)
    sys.exit(status)


main()
