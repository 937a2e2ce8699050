# SPDX-License-Identifier: GPL-3.0-or-later
"""With nothing waiting and nothing running the daemon is asleep: no timer, no wake-up, no probe."""

import math
import os
import re
import time

from harness import children_of, command_line, proc_state, read_proc, wait_until


def activity(pid):
    """(CPU ticks, times it was put to sleep of its own will, times it was interrupted)"""
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    status = read_proc(pid, "status").decode()
    switches = [int(n) for n in re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", status, re.M)]
    return (int(fields[11]) + int(fields[12]), switches[0])


def next_timer(pid):
    """Seconds until one of its timers goes off, as the kernel has them."""
    infos = [read_proc(pid, f"fdinfo/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    values = [re.search(rb"^it_value: \((\d+), (\d+)\)", info, re.M) for info in infos]
    return min((float(s) + float(ns) / 1e9 for s, ns in (v.groups() for v in values if v) if (s, ns) != (b"0", b"0")), default=math.inf)


def assert_asleep(pid):
    """Nothing of its own will wake it for a while, and nothing does it now: what was set going before may end."""

    def sleeps():
        return proc_state(pid) == "S" and next_timer(pid) > 15 and len({activity(pid) for _ in range(20)}) == 1

    wait_until(sleeps, "it sleeps, and has no timer that goes off soon")


def test_a_daemon_that_never_had_anything_to_do_sleeps(daemon):
    assert_asleep(daemon.pid)
    assert children_of(daemon.pid) == []


def test_after_its_last_task_it_sleeps_again(daemon):
    for _ in range(3):
        assert daemon.run("run", "-m", "10M", "-c", "1", "true").returncode == 0
    filler, gate = daemon.fill()
    waiting = daemon.queue("t", "-c", "1")
    gate.open()
    assert (filler.wait(), waiting.wait()) == (0, 0)
    assert daemon.run("ps", "-a").returncode == 0
    assert_asleep(daemon.pid)


def test_a_held_task_alone_does_not_keep_it_awake(daemon):
    filler, gate = daemon.fill()
    waiting = daemon.queue("t", "-c", "1")
    task_id = str(daemon.task("t")["id"])
    assert daemon.run("hold", task_id).returncode == 0
    gate.open()
    assert filler.wait() == 0
    daemon.wait_state("filler", "done")
    assert_asleep(daemon.pid)
    assert daemon.run("release", task_id).returncode == 0
    assert waiting.wait() == 0


def test_what_waits_on_a_drained_machine_does_not_keep_it_awake(gpu_daemon):
    daemon = gpu_daemon
    assert daemon.run("drain").returncode == 0
    waiting = daemon.queue("t", "--gpu", "0:1G", "-m", "1M")
    assert_asleep(daemon.pid)
    assert daemon.run("undrain").returncode == 0
    assert waiting.wait() == 0


def test_a_personal_daemon_sleeps_too(personal):
    assert personal.run("run", "-q", "true").returncode == 0
    assert_asleep(personal.daemon_pid())


def test_a_gpu_task_that_is_over_leaves_it_asleep_and_the_probe_too(gpu_daemon):
    assert gpu_daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    probes = [pid for pid in children_of(gpu_daemon.pid) if "--gpu-probe" in command_line(pid)]
    assert len(probes) <= 1
    assert_asleep(gpu_daemon.pid)
    for probe in probes:
        assert_asleep(probe)


def test_without_gpu_tasks_there_never_is_a_probe(gpu_daemon):
    filler, gate = gpu_daemon.fill()
    waiting = gpu_daemon.queue("t", "-c", "1", "-m", "1M")
    assert children_of(gpu_daemon.pid) == []
    gate.open()
    assert (filler.wait(), waiting.wait()) == (0, 0)
    assert children_of(gpu_daemon.pid) == []


def test_while_one_runs_and_nothing_waits_it_hardly_wakes_up(daemon):
    proc, gate = daemon.start("t", "-m", "10M", "-d", "0")

    def hardly_wakes_up():
        before = activity(daemon.pid)
        time.sleep(3)
        return activity(daemon.pid)[1] - before[1] <= 3

    wait_until(hardly_wakes_up, "what began with the task is done, and its runner looks every 10 s")
    gate.open()
    assert proc.wait() == 0
