# SPDX-License-Identifier: GPL-3.0-or-later
"""RAM: measured free, the ledger, delays.

The machine's RAM is real, and others use it meanwhile: requests are reckoned from what `status` says is free, with
margins that a few hundred MiB of noise do not reach on a large machine, nor a tenth of it on a small one.
"""

import os
import pwd
import re
import time

import pytest

from harness import GIB, HOLD, MIB, parse_time, size, wait_until

pytestmark = pytest.mark.usefixtures("ram")


def of_free(daemon, share):
    """A share of the free RAM, as a SIZE."""
    return size(daemon.free_ram() * share)


def overlap(one, other):
    """Whether two ended tasks ever ran at the same time."""
    later = max(one, other, key=lambda task: parse_time(task["started_at"]))
    earlier = one if later is other else other
    return parse_time(later["started_at"]) < parse_time(earlier["ended_at"])


# Measured


def kernel_available():
    """In bytes, now. On a virtual machine whose host takes and gives memory it alone says what became of a GiB that was taken."""
    return int(re.search(r"^MemAvailable:\s+(\d+) kB$", open("/proc/meminfo", encoding="ascii").read(), re.M).group(1)) * 1024


def test_status_agrees_with_the_kernel(daemon):
    memory = daemon.status()["memory"]
    meminfo = dict(re.findall(r"^(\w+):\s+(\d+) kB$", open("/proc/meminfo", encoding="ascii").read(), re.M))
    assert memory["total_bytes"] <= int(meminfo["MemTotal"]) * 1024
    assert memory["available_bytes"] <= memory["total_bytes"]
    assert memory["promised_bytes"] == 0
    assert memory["free_bytes"] == memory["available_bytes"] - 100 * MIB
    assert set(memory) >= {"total_bytes", "available_bytes", "promised_bytes", "free_bytes"}


def test_what_a_program_outside_takes_makes_a_task_wait_until_it_is_let_go(daemon, place):
    free, available = daemon.free_ram(), kernel_available()
    taken = min(GIB, free // 4)
    outside = place.hold_ram(taken)
    wait_until(
        lambda: abs((free - daemon.free_ram()) - (available - kernel_available())) < 100 * MIB,
        "status has lost as much as the kernel has",
    )
    asked = daemon.free_ram() + taken // 5
    proc = daemon.queue("t", "-m", size(asked))
    task = daemon.task("t")
    why = daemon.why(task["id"])
    assert re.search(r"\d(\.\d)?[GM].*(missing|free)", why), why
    assert "RAM" in why or "memory" in why, why
    for _ in range(3):  # each start comes after a look
        assert daemon.run("run", "-m", "1M", "true").returncode == 0
    assert daemon.task("t")["state"] == "pending"
    outside.end()
    ended = time.time()
    assert proc.wait() == 0
    started = parse_time(daemon.wait_state("t", "done")["started_at"])
    assert started - ended < 1.5


def test_what_a_task_itself_takes_is_not_counted_twice(daemon):
    """free = measured free - what running tasks still have to take."""
    taken = min(1 * GIB, daemon.free_ram() // 5)
    proc, _ = daemon.start("t", "-m", size(2 * taken), "-d", "0", command=f"exec {HOLD} ram {taken}")
    status = wait_until(
        lambda: (lambda s: s if s["memory"]["promised_bytes"] < 1.3 * taken else None)(look(daemon)),
        "it was seen to hold half of what it asked for",
    )
    assert abs(status["memory"]["promised_bytes"] - taken) < 0.1 * taken
    memory = status["memory"]
    assert abs(memory["available_bytes"] - kernel_available()) < 100 * MIB
    assert memory["free_bytes"] == memory["available_bytes"] - memory["promised_bytes"] - 100 * MIB
    task = daemon.task("t")
    assert abs(task["used"]["memory_bytes"] - taken) < 0.1 * taken
    assert abs(task["peak"]["memory_bytes"] - taken) < 0.1 * taken
    proc.end()
    daemon.wait_state("t", "failed")
    assert daemon.status()["memory"]["promised_bytes"] == 0


def look(daemon):
    """status, after a look at all running tasks that a waiting one has asked for."""
    waiting = daemon.task("looker")
    if not waiting:
        most = daemon.status()["memory"]["total_bytes"] - 101 * MIB
        daemon.popen("run", "-n", "looker", "-q", "-m", size(most), "true")
    return daemon.status()


def test_what_all_processes_of_a_task_take_counts_also_those_that_left_its_session(daemon):
    taken = min(600 * MIB, daemon.free_ram() // 6)
    line = f"setsid {HOLD} ram {taken // 2} & {HOLD} ram {taken // 2}; wait"
    proc, _ = daemon.start("t", "-m", size(taken * 2), "-d", "0", command=line)
    wait_until(
        lambda: look(daemon) and (daemon.task("t")["used"]["memory_bytes"] or 0) > 0.9 * taken,
        "both were seen",
    )
    assert daemon.run("cancel", str(daemon.task("t")["id"])).returncode == 0
    proc.wait()


# The ledger


def test_two_tasks_that_each_want_most_of_what_is_free_never_run_together(daemon):
    want = of_free(daemon, 0.6)
    first, first_gate = daemon.start("first", "-m", want, "-d", "0")
    assert daemon.run("run", "-m", want, "-w", "0", "true").returncode == 125
    second = daemon.queue("second", "-m", want, "-d", "0")
    why = daemon.why(daemon.task("second")["id"])
    assert str(daemon.task("first")["id"]) in why, why
    for _ in range(3):  # each start comes after a look
        assert daemon.run("run", "-m", "1M", "true").returncode == 0
    assert daemon.task("second")["state"] == "pending", "nothing was taken, but it was promised"
    first_gate.open()
    assert (first.wait(), second.wait()) == (0, 0)
    one, other = daemon.wait_state("first", "done"), daemon.wait_state("second", "done")
    assert not overlap(one, other)
    assert parse_time(other["started_at"]) - parse_time(one["ended_at"]) < 1.5


def test_many_at_once_never_get_more_than_there_is(daemon):
    want = of_free(daemon, 0.3)
    procs = [daemon.popen("run", "-n", f"t{i}", "-m", want, "-d", "0", "sleep 0.3") for i in range(9)]
    assert [proc.wait(40) for proc in procs] == [0] * 9
    tasks = daemon.ps()
    assert len(tasks) == 9
    events = []
    for task in tasks:
        events += [(parse_time(task["started_at"]), 1), (parse_time(task["ended_at"]), -1)]
    running = most = 0
    for _, step in sorted(events, key=lambda e: (e[0], e[1])):
        running += step
        most = max(most, running)
    assert most == 3


def test_promised_in_status_is_what_running_tasks_still_have_to_take(daemon):
    proc, gate = daemon.start("t", "-m", "200M", "-d", "0")
    memory = daemon.status()["memory"]
    assert 190 * MIB <= memory["promised_bytes"] <= 200 * MIB
    assert memory["free_bytes"] == memory["available_bytes"] - memory["promised_bytes"] - 100 * MIB
    gate.open()
    assert proc.wait() == 0
    assert daemon.status()["memory"]["promised_bytes"] == 0


def test_a_smaller_task_overtakes_one_that_does_not_fit(daemon):
    first, first_gate = daemon.start("first", "-m", of_free(daemon, 0.6), "-d", "0")
    big = daemon.queue("big", "-m", of_free(daemon, 1.2), "-d", "0")
    assert daemon.run("run", "-n", "small", "-m", of_free(daemon, 0.3), "-d", "0", "true").returncode == 0
    assert daemon.task("big")["state"] == "pending"
    first_gate.open()
    assert (first.wait(), big.wait()) == (0, 0)


def test_unfilled_delay_lets_go_of_what_was_not_taken(make_daemon):
    daemon = make_daemon(settings={"unfilled": "delay"})
    want = of_free(daemon, 0.6)
    first, first_gate = daemon.start("first", "-m", want, "-d", "2")
    second = daemon.queue("second", "-m", want)
    assert second.wait() == 0
    one, other = daemon.task("first"), daemon.wait_state("second", "done")
    assert 1.99 <= parse_time(other["started_at"]) - parse_time(one["started_at"]) < 4
    first_gate.open()
    assert first.wait() == 0


def test_reserved_memory_is_left_free(make_daemon):
    daemon = make_daemon(settings={"reserved_memory": "1G"})
    memory = daemon.status()["memory"]
    assert memory["free_bytes"] == max(0, memory["available_bytes"] - GIB)


# Delays


def started(daemon, name, timeout=20):
    return parse_time(daemon.wait_state(name, "running", "done", timeout=timeout)["started_at"])


def test_a_delay_holds_back_the_next_task_on_the_same_resource_for_that_long(daemon):
    first, gate = daemon.start("first", "-m", "150M", "-d", "2")
    second = daemon.queue("second", "-m", "10M")
    why = daemon.why(daemon.task("second")["id"])
    assert str(daemon.task("first")["id"]) in why, why
    assert second.wait() == 0
    waited = started(daemon, "second") - started(daemon, "first")
    assert 1.99 <= waited < 3.5
    assert first.is_running()
    gate.open()
    assert first.wait() == 0


def test_a_delay_does_not_touch_what_asks_for_other_resources_or_for_nothing(daemon):
    first, gate = daemon.start("first", "-m", "150M", "-d", "1h")
    assert daemon.run("run", "-w", "0", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "-c", "1", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "-d", "1h", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "-m", "10M", "true").returncode == 125
    gate.open()
    assert first.wait() == 0


def test_a_task_that_asks_for_nothing_holds_back_nobody(daemon):
    first, gate = daemon.start("first", "-d", "1h")
    assert daemon.run("run", "-w", "0", "-m", "10M", "true").returncode == 0
    gate.open()
    assert first.wait() == 0


def test_a_delay_ends_with_its_task(daemon):
    first, gate = daemon.start("first", "-m", "150M", "-d", "1h")
    second = daemon.queue("second", "-m", "10M")
    gate.open()
    assert (first.wait(), second.wait()) == (0, 0)
    assert started(daemon, "second") - parse_time(daemon.task("first")["ended_at"]) < 1.5


def test_a_delay_ends_when_the_task_was_seen_to_hold_what_it_asked_for(daemon):
    proc, _ = daemon.start("first", "-m", "100M", "-d", "1h", command=f"exec {HOLD} ram {120 * MIB}")
    second = daemon.popen("run", "-n", "second", "-m", "10M", "true")
    assert second.wait() == 0
    assert started(daemon, "second") - started(daemon, "first") < 5
    assert proc.is_running()
    proc.end()


def test_the_word_of_one_task_stands_against_all_later_ones_whatever_they_say(daemon):
    first, gate = daemon.start("first", "-m", "150M", "-d", "2")
    second = daemon.popen("run", "-n", "second", "-m", "10M", "-d", "0", "true")
    assert second.wait() == 0
    assert started(daemon, "second") - started(daemon, "first") >= 1.99
    gate.open()
    assert first.wait() == 0


def test_without_a_delay_of_its_own_a_task_lets_others_start_where_there_is_ample_room(daemon):
    first, gate = daemon.start("first", "-m", of_free(daemon, 0.2))
    assert daemon.run("run", "-w", "0", "-m", of_free(daemon, 0.4), "true").returncode == 0
    gate.open()
    assert first.wait() == 0


def test_without_ample_room_the_next_one_waits_for_the_default_delay(make_daemon):
    daemon = make_daemon(settings={"default_delay": "2s"})
    free = daemon.free_ram()
    first, gate = daemon.start("first", "-m", size(free * 0.2))
    second = daemon.popen("run", "-n", "second", "-m", size(free * 0.7), "true")
    third = daemon.popen("run", "-n", "third", "-m", size(daemon.status()["memory"]["total_bytes"] // 150), "true")
    assert third.wait() == 0
    assert started(daemon, "third") - started(daemon, "first") < 1.5, "under 1 % of all there is starts at once"
    assert second.wait() == 0
    assert 1.99 <= started(daemon, "second") - started(daemon, "first") < 3.5
    gate.open()
    assert first.wait() == 0


def test_the_ample_factor_is_a_setting(make_daemon):
    daemon = make_daemon(settings={"ample_factor": "3"})
    free = daemon.free_ram()
    first, gate = daemon.start("first", "-m", size(free * 0.2))
    assert daemon.run("run", "-w", "0", "-m", size(free * 0.5), "true").returncode == 125
    assert daemon.run("run", "-w", "0", "-m", size(free * 0.3), "true").returncode == 0
    gate.open()
    assert first.wait() == 0


def test_strict_mode_gives_every_task_a_delay_of_its_own(make_daemon):
    daemon = make_daemon(settings={"delay_mode": "strict", "default_delay": "2s"})
    first, gate = daemon.start("first", "-m", "150M")
    assert daemon.run("run", "-w", "0", "-m", "10M", "true").returncode == 125
    second = daemon.popen("run", "-n", "second", "-m", "10M", "true")
    assert second.wait() == 0
    assert 1.99 <= started(daemon, "second") - started(daemon, "first") < 3.5
    gate.open()
    assert first.wait() == 0


def test_delay_0_lets_the_next_one_start_at_once(daemon):
    free = daemon.free_ram()
    first, gate = daemon.start("first", "-m", size(free * 0.2), "-d", "0")
    assert daemon.run("run", "-w", "0", "-m", size(free * 0.7), "true").returncode == 0
    gate.open()
    assert first.wait() == 0


def test_many_with_a_delay_start_one_after_the_other(daemon):
    procs = [daemon.popen("run", "-n", f"t{i}", "-m", "150M", "-d", "1", "sleep 4") for i in range(4)]
    daemon.wait_for(lambda ts: len([t for t in ts if t["started_at"]]) == 4, "all have started")
    times = sorted(parse_time(task["started_at"]) for task in daemon.ps())
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert all(0.99 <= gap < 2.5 for gap in gaps), gaps
    assert [proc.wait() for proc in procs] == [0] * 4


def test_the_waiting_line_names_who_holds_what_is_missing(daemon):
    first, gate = daemon.start("first", "-m", of_free(daemon, 0.6), "-d", "0")
    second = daemon.queue("second", "-m", of_free(daemon, 1.3), "-d", "0")
    wait_until(lambda: str(daemon.task("first")["id"]) in second.err, "the line names the holder")
    assert pwd.getpwuid(os.getuid()).pw_name in second.err
    gate.open()
    assert (first.wait(), second.wait()) == (0, 0)
