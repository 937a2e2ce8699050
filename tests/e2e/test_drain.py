# SPDX-License-Identifier: GPL-3.0-or-later
"""taskflow drain and undrain: nothing more starts, whoever asks, until an admin says so."""

import signal

import pytest

from harness import N_CPUS, RawClient, wait_until

API = "io.taskflow.v1."


def drain(daemon, *words, **kwargs):
    done = daemon.run("drain", *words, **kwargs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def undrain(daemon, **kwargs):
    done = daemon.run("undrain", **kwargs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_runs_goes_on_and_what_waits_starts_only_after_undrain(shared):
    daemon, alice = shared.daemon, shared.alice
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), user=alice, cwd="/")
    waiting = daemon.popen("run", "-n", "w", "-c", "1", "true", user=alice, cwd="/")
    daemon.wait_state("w", "pending")
    drain(daemon, "new", "kernel")
    gate.open()
    assert filler.wait() == 0
    daemon.wait_state("filler", "done")
    assert daemon.run("run", "-q", "-w", "0", "true", user=alice, cwd="/").returncode == 125
    assert daemon.task("w")["state"] == "pending", "a turn has passed since there is room"
    undrain(daemon)
    assert waiting.wait() == 0


def test_everybody_is_told_who_drained_the_machine_and_why(shared):
    daemon, bob = shared.daemon, shared.bob
    drain(daemon, "new", "kernel")
    status = daemon.run("status", user=bob).stdout
    assert "drained" in status and "by root, new kernel" in status
    drained = daemon.status(user=bob)["drained"]
    assert (drained["reason"], drained["uid"]) == ("new kernel", 0)
    assert drained["since"].endswith("Z")
    waiting = daemon.popen("run", "-n", "w", "true", user=bob, cwd="/")
    daemon.wait_state("w", "pending")
    sentence = "nothing starts: drained by root (new kernel)"
    wait_until(lambda: sentence in waiting.err, "the waiting line says so")
    assert sentence in daemon.why(daemon.task("w")["id"], user=bob)
    assert daemon.task("w")["reason"] == sentence
    done = daemon.run("run", "--dry-run", "true", user=bob, cwd="/")
    assert done.returncode == 1 and sentence in done.stdout + done.stderr
    undrain(daemon)
    assert waiting.wait() == 0
    assert daemon.status()["drained"] is None
    assert "drained" not in daemon.run("status").stdout


def test_a_detached_task_waits_too(shared):
    daemon = shared.daemon
    drain(daemon)
    task_id = daemon.detach("true")
    assert daemon.show(task_id)["reason"] == "nothing starts: drained by root"
    undrain(daemon)
    daemon.wait_id(task_id, "done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_outlives_the_daemon(shared, number):
    daemon = shared.daemon
    drain(daemon, "a new disk")
    waiting = daemon.popen("run", "-n", "w", "true", user=shared.alice, cwd="/")
    daemon.wait_state("w", "pending")
    daemon.kill(number)
    daemon.start_daemon()
    assert daemon.status()["drained"]["reason"] == "a new disk"
    daemon.wait_state("w", "pending")
    wait_until(lambda: daemon.task("w")["reason"] == "nothing starts: drained by root (a new disk)", "its runner is back")
    undrain(daemon)
    assert waiting.wait() == 0
    daemon.restart()
    assert daemon.status()["drained"] is None


@pytest.mark.parametrize("command", ["drain", "undrain"])
def test_only_admins_may(shared, command):
    daemon = shared.daemon
    if command == "undrain":
        drain(daemon)
    before = daemon.status()["drained"]
    done = daemon.run(command, user=shared.alice)
    assert done.returncode == 1
    assert "only an admin may do that" in done.stderr and done.stderr.count("\n") == 1
    assert daemon.status()["drained"] == before


def test_the_owner_of_a_personal_queue_may(make_daemon):
    daemon = make_daemon()
    drain(daemon, "x")
    drain(daemon, "y")
    assert daemon.status()["drained"]["reason"] == "y"
    undrain(daemon)
    undrain(daemon)
    assert daemon.run("run", "true").returncode == 0


def test_an_open_offer_is_taken_back(daemon):
    task = {"key": "ab" * 16, "command": "x", "cwd": "/", "needs": {"cpus": 1}}
    with RawClient(daemon.socket) as runner, RawClient(daemon.socket) as admin:
        filler, gate = daemon.start("filler", "-c", str(N_CPUS))
        answer = runner.call(API + "Submit", {"task": task})
        task_id = answer["parameters"]["id"]
        gate.open()
        assert filler.wait() == 0
        offer = runner.receive()
        assert offer["method"] == API + "Offer"
        assert "error" not in admin.call(API + "Drain", {"reason": None})
        answer = runner.call(API + "Accept", {"id": task_id, "offer": offer["parameters"]["offer"]})
        assert "error" in answer, answer
        assert daemon.show(task_id)["state"] == "pending"
        assert "error" not in admin.call(API + "Undrain")
        offer = runner.receive()
        answer = runner.call(API + "Accept", {"id": task_id, "offer": offer["parameters"]["offer"]})
        assert "error" not in answer, answer


def test_a_reason_that_is_too_long_is_refused(daemon):
    done = daemon.run("drain", "x" * 256)
    assert (done.returncode, "255 bytes" in done.stderr) == (2, True)
    drain(daemon, "x" * 255)
    assert daemon.status()["drained"]["reason"] == "x" * 255
    done = daemon.run("drain", b"\xff")
    assert (done.returncode, "UTF-8" in done.stderr) == (2, True)
    with RawClient(daemon.socket) as raw:
        assert raw.call(API + "Drain", {"reason": "x" * 256})["error"] == API + "BadRequest"
