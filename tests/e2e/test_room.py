# SPDX-License-Identifier: GPL-3.0-or-later
"""Room that is kept: large tasks among small ones.

GPUs are stand-ins, so that what is free does not depend on what else this machine does.
"""

import subprocess
import time

import pytest

from harness import HOLD, N_CPUS, Gpus, parse_time, wait_until

PATIENCE_S = 2


@pytest.fixture
def make_keeping(place, make_daemon):
    """A factory of daemons that keep room after two seconds, with one GPU."""

    def make(**settings):
        gpus = Gpus(place.folder, n=1)
        settings = {"patience": f"{PATIENCE_S}s", "sample_interval": "200ms", **settings}
        return make_daemon(settings=settings, env=gpus.env)

    return make


def is_kept_for(daemon, task):
    kept = daemon.status()["kept"]
    return kept is not None and kept["task"] == task["id"]


def test_room_is_kept_and_shown_and_others_wait_for_it(make_keeping):
    daemon = make_keeping()
    filler, gate = daemon.start("filler", "--gpu", "0:10G", "-d", "0")
    large = daemon.queue("large", "--gpu", "0", "-c", str(N_CPUS), "-d", "0")
    task = daemon.task("large")
    wait_until(lambda: is_kept_for(daemon, task), "room is kept for the large task")
    kept = daemon.status()["kept"]
    assert kept["cpus"] == N_CPUS and kept["memory_bytes"] == 0 and kept["left_seconds"] > 80000
    assert [(gpu["index"], gpu["bytes"]) for gpu in kept["gpus"]] == [(0, None)]
    assert f"GPU 0 for task {task['id']} of" in daemon.run("status").stdout
    why = daemon.why(task["id"])
    assert "room is kept for it" in why and "task" in why, why

    second = daemon.queue("second", "--gpu", "0:2G", "-d", "0")
    why = daemon.why(daemon.task("second")["id"])
    assert f"kept for task {task['id']} of" in why, why
    cores = daemon.queue("cores", "-c", "1", "-d", "0")
    assert f"kept for task {task['id']} of" in daemon.task("cores")["reason"]

    gate.open()
    for proc in filler, large, second, cores:
        assert proc.wait() == 0
    assert daemon.status()["kept"] is None
    started = {task["name"]: parse_time(task["started_at"]) for task in daemon.ps("-a")}
    assert started["large"] <= min(started["second"], started["cores"])


def test_until_its_patience_is_over_others_overtake_it(make_keeping):
    daemon = make_keeping(patience="1h")
    filler, gate = daemon.start("filler", "--gpu", "0:10G", "-d", "0")
    large = daemon.queue("large", "--gpu", "0", "-d", "0")
    assert "others may overtake it for 59m" in daemon.why(daemon.task("large")["id"])
    assert daemon.run("run", "--gpu", "0:2G", "-d", "0", "true").returncode == 0
    assert daemon.status()["kept"] is None
    gate.open()
    for proc in filler, large:
        assert proc.wait() == 0


def test_who_will_have_ended_before_overtakes(make_keeping):
    daemon = make_keeping()
    filler, gate = daemon.start("filler", "--gpu", "0:10G", "-d", "0", "-t", "1h")
    large = daemon.queue("large", "--gpu", "0", "-d", "0")
    wait_until(lambda: is_kept_for(daemon, daemon.task("large")), "room is kept for the large task")
    late = daemon.queue("late", "--gpu", "0:2G", "-d", "0", "-t", "2h")
    assert daemon.run("run", "--gpu", "0:2G", "-d", "0", "-t", "30m", "true").returncode == 0
    gate.open()
    for proc in filler, large, late:
        assert proc.wait() == 0


def test_whose_runs_took_less_before_overtakes(make_keeping):
    daemon = make_keeping(patience="8s")
    assert daemon.run("run", "--gpu", "0:2G", "-d", "0", "true").returncode == 0
    filler, gate = daemon.start("filler", "--gpu", "0:10G", "-d", "0", "-t", "1h")
    large = daemon.queue("large", "--gpu", "0", "-d", "0")
    wait_until(lambda: is_kept_for(daemon, daemon.task("large")), "room is kept for the large task")
    assert daemon.run("run", "--gpu", "0:2G", "-d", "0", "true").returncode == 0
    assert daemon.task("large")["state"] == "pending"
    gate.open()
    for proc in filler, large:
        assert proc.wait() == 0


def take_so_long(daemon, faults, seconds, *command):
    """A run of what ends with its input, that by its clock takes so long."""
    faults.set_clock(0)
    proc = daemon.popen("run", "-n", "run", "-d", "0", "--", *command, stdin=subprocess.PIPE, env=faults.env)
    daemon.wait_started("run")
    faults.set_clock(seconds)
    proc.popen.stdin.close()
    assert proc.wait() == 0


def test_how_long_runs_took_outlives_the_daemon(make_keeping, faults):
    daemon = make_keeping(patience="8s")
    long, short = [HOLD, "stdin", "exit", "0"], ["cat", "-"]
    take_so_long(daemon, faults, 36000, *long)
    take_so_long(daemon, faults, 60, *short)
    daemon.restart()

    filler = daemon.popen("run", "-n", "filler", "--gpu", "0:10G", "-d", "0", "--", *long, stdin=subprocess.PIPE)
    daemon.wait_started("filler")
    large = daemon.queue("large", "--gpu", "0", "-d", "0")
    wait_until(lambda: is_kept_for(daemon, daemon.task("large")), "room is kept for the large task")
    late = daemon.popen("run", "-n", "late", "--gpu", "0:3G", "-d", "0", "--", *long, stdin=subprocess.PIPE)
    daemon.wait_state("late", "pending")
    assert daemon.run("run", "--gpu", "0:2G", "-d", "0", "--", *short, input="").returncode == 0
    assert [daemon.task(name)["state"] for name in ("large", "late")] == ["pending", "pending"]
    for proc in filler, late:
        proc.popen.stdin.close()
    for proc in filler, large, late:
        assert proc.wait() == 0


@pytest.mark.parametrize("delay", ["60s", "0"])
def test_a_stream_of_small_ones_does_not_keep_a_large_one_waiting(place, make_keeping, delay):
    daemon = make_keeping(default_delay=delay)
    stop = place.folder / "stop"
    line = f'while ! test -e {stop}; do "$0" run -n small -q --gpu 0:3G "sleep 0.4" || exit 1; done'
    lanes = [daemon.place.start(["sh", "-c", line, daemon.program], env=daemon.env) for _ in range(4)]
    wait_until(lambda: len([t for t in daemon.ps("-r") if t["name"] == "small"]) >= 2, "small ones run side by side")

    large = daemon.popen("run", "-n", "large", "--gpu", "0", "-d", "0", "true")
    before = time.monotonic()
    assert large.wait(timeout=PATIENCE_S + 20) == 0
    waited = time.monotonic() - before
    stop.touch()
    for lane in lanes:
        assert lane.wait() == 0
    # patience, the rest of a small one, and what a busy machine of two cores takes for it
    assert waited < PATIENCE_S + 0.4 + 10
