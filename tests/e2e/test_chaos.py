# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once, at random: what is promised must hold whatever dies, and whenever."""

import random
import signal
import time

import pytest

from harness import N_CPUS, is_alive, proc_state, wait_until

SECONDS = 6
WAITING_MAX = 12


class Crowd:
    """Commands that write down when they start and end, and what they hold meanwhile."""

    def __init__(self, daemon, random_):
        self.daemon = daemon
        self.random = random_
        self.log = daemon.place.folder / "journal"
        self.log.touch()
        self.procs = {}
        self.cancelled = set()

    def submit(self):
        number = len(self.procs)
        cpus = self.random.randint(1, N_CPUS)
        status = self.random.choice([0, 0, 3])
        length = self.random.choice([0, 0.02, 0.1, 0.3])
        line = (
            f"echo start {number} {cpus} $$ >>{self.log}; sleep {length}; "
            f"echo end {number} {cpus} $$ >>{self.log}; exit {status}"
        )
        args = ["-q", "-n", f"t{number}", "-c", str(cpus), "-p", str(self.random.choice([0, 100, 200]))]
        self.procs[number] = (self.daemon.popen("run", *args, line), status)

    def random_waiting(self):
        """One that has not started yet (it may start just now)."""
        started = {line.split()[1] for line in self.log.read_text().splitlines()}
        waiting = [n for n, (proc, _) in self.procs.items() if proc.is_running() and str(n) not in started]
        return self.random.choice(waiting) if waiting else None

    def act(self):
        what = self.random.choice(["submit"] * 6 + ["kill daemon", "stop", "hold", "cancel", "ps"])
        if what == "submit":
            if sum(proc.is_running() for proc, _ in self.procs.values()) < WAITING_MAX:
                self.submit()
        elif what == "kill daemon":
            self.daemon.kill()
            self.daemon.start_daemon()
        elif what == "ps":
            self.daemon.run("ps", "-v")
        else:
            number = self.random_waiting()
            if number is None:
                return
            proc, _ = self.procs[number]
            if what == "stop":
                proc.signal(signal.SIGSTOP)
                wait_until(lambda: proc_state(proc.pid) in ("T", "Z", "X", ""), "it has stopped, or ended")
                self.daemon.run("ps")
                proc.signal(signal.SIGCONT)
                return
            task = self.daemon.task(f"t{number}")
            if task and what == "cancel":
                self.cancelled.add(number)
                self.daemon.run("cancel", str(task["id"]), timeout=40)
            elif task:
                self.daemon.run("hold", str(task["id"]))
                self.daemon.run("release", str(task["id"]))

    def check(self):
        """The journal against what was promised."""
        starts, held = {}, {}
        for line in self.log.read_text().splitlines():
            word, number, cpus, pid = line.split()
            if word == "end":
                held.pop(number, None)
                continue
            assert number not in starts, f"task t{number} ran twice"
            starts[number] = pid
            if int(number) not in self.cancelled:  # whose end is not written down
                held[number] = int(cpus)
            assert sum(held.values()) <= N_CPUS, f"too much at once: {held}"
        return starts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_happens_nothing_is_lost_run_twice_or_started_without_room(daemon, seed):
    crowd = Crowd(daemon, random.Random(seed))
    stop = time.monotonic() + SECONDS
    while time.monotonic() < stop:
        crowd.act()
    refused = set()
    for number, (proc, status) in crowd.procs.items():
        got = proc.wait(60)
        if got == 125 and "nobody listens" in proc.err:
            refused.add(number)
        elif number not in crowd.cancelled:
            assert got == status, f"t{number}: {got}, and not {status}: {proc.err}"
    starts = crowd.check()
    for number in crowd.procs:
        if number not in crowd.cancelled:
            assert (number in refused) != (str(number) in starts), f"t{number}"
    names = [task["name"] for task in daemon.ps()]
    assert sorted(names) == sorted(f"t{n}" for n in crowd.procs if n not in refused), "each is on record, and once"
    daemon.wait_for(lambda ts: all(t["state"] in ("done", "failed", "cancelled") for t in ts), "all are over")
    states = {int(task["name"][1:]): task for task in daemon.ps()}
    for number, (_, status) in crowd.procs.items():
        if number not in crowd.cancelled | refused:
            assert states[number]["exit_status"] == status
    assert daemon.status()["tasks"] == {"pending": 0, "running": 0, "held": 0}
    assert daemon.run("run", "-c", str(N_CPUS), "-w", "0", "true").returncode == 0
    for pid in starts.values():
        wait_until(lambda pid=pid: not is_alive(int(pid)), "no command is left")
