#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the flood of strangers costs somebody else: 1,000 connections of one that send messages without an end, and up to 5,000
tasks a second of another (of one and the same they would be in each other's way).

 - one `ps` of another user: its median against that on a quiet machine (5 times)
 - one start of another user: how much later its median and its worst are (one sample_interval, 1 s)
 - the daemon's memory, against what docs/security.md allows for two users' connections and waiting tasks

The flood has the lowest priority of the machine's scheduler: what is measured is the daemon, and not how two programs share a
core. It needs root, to be three users.

    flood.py [--rounds N] TASKFLOW TASKFLOWD
"""

import argparse
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ALICE = 64_001
BOB = 64_002
CAROL = 64_003
PS_BUDGET = 5
START_BUDGET_S = 1.0
MEMORY_BUDGET = (16 + 22 + 2 * (8 + 16 + 64 + 256 + 24)) << 20
N_CONNECTIONS = 1000
TASKS_A_SECOND = 5000
SKIPPED = 77


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("taskflow")
    parser.add_argument("taskflowd")
    return parser.parse_args()


def connect(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def send_without_end(path):
    """Each connection sends bytes until it is refused, and comes again: with a message of 1 MiB, or 100, that is not whole."""
    piece = b" " * (1 << 16)
    poller = select.poll()
    connections = {}
    while True:
        with contextlib.suppress(OSError):
            while len(connections) < N_CONNECTIONS:
                connection = connect(path)
                connection.setblocking(False)
                connections[connection.fileno()] = connection
                poller.register(connection, select.POLLOUT)
        for fd, _ in poller.poll(1000):
            try:
                connections[fd].send(piece)
            except BlockingIOError:
                pass
            except OSError:
                poller.unregister(fd)
                connections.pop(fd).close()


def submit_without_end(path):
    """So many tasks a second, which wait; at max_pending_per_user they go on being refused."""
    while True:
        with contextlib.suppress(OSError), connect(path) as connection:
            start, n = time.monotonic(), 0
            while True:
                calls = b""
                for _ in range(50):
                    task = {"key": os.urandom(16).hex(), "command": "x" * 200, "cwd": "/", "needs": {"cpus": os.cpu_count()}}
                    calls += json.dumps({"method": "io.taskflow.v1.Submit", "parameters": {"task": task}}).encode() + b"\0"
                connection.sendall(calls)
                n_answered = 0
                while n_answered < 50:
                    answer = connection.recv(1 << 20)
                    if not answer:
                        raise OSError("the daemon has ended it")
                    n_answered += answer.count(b"\0")
                n += 50
                time.sleep(max(0, start + n / TASKS_A_SECOND - time.monotonic()))


def flood(place, uid, what):
    """A process that goes on until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os.nice(19)
        what(place.socket)
    finally:
        os._exit(1)


class Place:
    def __init__(self, args, stack):
        self.args = args
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-flood-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)
        for program in (args.taskflow, args.taskflowd):
            shutil.copy(program, self.folder)
        self.socket = str(self.folder / "socket")
        self.daemon = subprocess.Popen(
            [self.folder / "taskflowd", "--socket", self.socket, "--state", self.folder / "state"], stderr=subprocess.DEVNULL)
        stack.callback(self.end, self.daemon)
        self.wait_for(lambda: os.path.exists(self.socket), "the daemon listens")

    @staticmethod
    def wait_for(predicate, what, seconds=120):
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                sys.exit(f"not so after {seconds} s: {what}")
            time.sleep(0.01)

    @staticmethod
    def end(process):
        process.send_signal(signal.SIGTERM)
        process.wait()

    def time_of(self, *words):
        """Seconds that bob waits for a command."""
        start = time.monotonic()
        done = subprocess.run(
            [self.folder / "taskflow", *words], env={"TASKFLOW_SOCKET": self.socket, "PATH": os.environ["PATH"]}, cwd="/",
            user=BOB, group=BOB, extra_groups=[], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit(f"taskflow {' '.join(words)}: status {done.returncode}: {done.stderr.decode()}")
        return time.monotonic() - start

    def memory_bytes(self):
        for line in pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        sys.exit("the daemon is gone")

    def n_connections(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def n_pending(self):
        done = subprocess.run([self.folder / "taskflow", "status", "--json"], env={"TASKFLOW_SOCKET": self.socket},
                              stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["tasks"]["pending"]

    def measure(self, rounds):
        looks = [self.time_of("ps", "-u") for _ in range(rounds)]
        starts = [self.time_of("run", "-q", "-m", "1M", "-d", "0", "true") for _ in range(rounds // 3)]
        return looks, starts


def say(what, value, budget, good):
    print(f"{what:<44} {value:>14} {budget:>14}  {'good' if good else 'OVER'}")
    return good


def main():
    args = arguments()
    if os.geteuid() != 0:
        print("skipped: only root can be several users")
        sys.exit(SKIPPED)
    with contextlib.ExitStack() as stack:
        place = Place(args, stack)
        quiet_looks, quiet_starts = place.measure(args.rounds)
        pids = [flood(place, ALICE, send_without_end), flood(place, CAROL, submit_without_end)]
        for pid in pids:
            stack.callback(os.waitpid, pid, 0)
            stack.callback(os.kill, pid, signal.SIGKILL)
        start = time.monotonic()
        place.wait_for(lambda: place.n_connections() > N_CONNECTIONS, "all connections are there")
        place.wait_for(lambda: place.n_pending() > TASKS_A_SECOND, "thousands of tasks are queued")
        looks, starts = place.measure(args.rounds)
        memory = place.memory_bytes()
        n_tasks, seconds = place.n_pending(), time.monotonic() - start
    ps = statistics.median(looks) / statistics.median(quiet_looks)
    late = statistics.median(starts) - statistics.median(quiet_starts)
    worst = max(starts) - statistics.median(quiet_starts)
    print(f"quiet: ps {statistics.median(quiet_looks) * 1000:.1f} ms, start {statistics.median(quiet_starts) * 1000:.1f} ms")
    print(f"flood: {N_CONNECTIONS} connections, {n_tasks / seconds:.0f} tasks a second beside them")
    good = say("ps of another user, times as long", f"{ps:.2f}", PS_BUDGET, ps < PS_BUDGET)
    say("  its worst, ms", f"{max(looks) * 1000:.1f}", "", True)
    good &= say("start of another user, ms later", f"{late * 1000:.1f}", START_BUDGET_S * 1000, late < START_BUDGET_S)
    good &= say("  its worst, ms later", f"{worst * 1000:.1f}", START_BUDGET_S * 1000, worst < START_BUDGET_S)
    good &= say("most memory of the daemon, MiB", f"{memory / 2**20:.0f}", MEMORY_BUDGET >> 20, memory < MEMORY_BUDGET)
    sys.exit(0 if good else 1)


main()
