# SPDX-License-Identifier: GPL-3.0-or-later
"""Attach, as a runner that lies might say it."""

import pathlib
import time

from harness import N_CPUS, RawClient, parse_time, read_proc

API = "io.taskflow.v1."
KEY = "00112233445566778899aabbccddeeff"
SUBMIT = "io.taskflow.v1.Submit"
ATTACH = "io.taskflow.v1.Attach"


def wanted(n_gpus):
    return {"gpus": [{"want": str(i), "bytes": None} for i in range(n_gpus)]}


def test_a_task_cannot_come_back_with_fewer_gpus_than_it_asked_for(gpu_daemon):
    """The daemon believed the count of its own record, and read beyond the runner's list."""
    daemon = gpu_daemon
    proc, gate = daemon.start("holder", "--gpu", "0")
    task = {"key": KEY, "command": "x", "argv": ["x"], "cwd": "/", "needs": wanted(2)}
    with RawClient(daemon.socket) as runner, RawClient(daemon.socket) as liar:
        reply = runner.call(SUBMIT, {"task": task})["parameters"]
        assert not reply.get("granted")
        uuid = daemon.json("status")["gpus"][1]["uuid"]
        back = {
            **task,
            "id": reply["id"],
            "needs": {"gpus": [{"want": "1", "uuid": uuid, "bytes": None}]},
            "gpus": [{"uuid": uuid, "index": 1, "bytes": None}],
            "state": "running",
        }
        answer = liar.call(ATTACH, {"database": reply["database"], "task": back, "started": True})
        assert answer["error"] == "io.taskflow.v1.WrongState"
    assert daemon.run("run", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0


# Of a task that nobody here knows


def ended_task(shared):
    """One of alice's, and what its row says."""
    daemon = shared.daemon
    assert daemon.run("run", "-n", "alices", "true", user=shared.alice, cwd="/").returncode == 0
    return daemon.wait_state("alices", "done")


def database_of(raw):
    """Everybody learns it who submits anything."""
    answer = raw.call(SUBMIT, {"task": {"key": "f" * 32, "command": "x", "cwd": "/"}})
    return answer["parameters"]["database"]


def unknown(**more):
    return {"key": KEY, "command": "x", "argv": ["x"], "cwd": "/", "needs": {"cpus": 1}, "state": "pending", **more}


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def attach(raw, database, task, **more):
    answer = raw.call(ATTACH, {"database": database, "task": task, **more})
    assert "error" not in answer, answer
    return answer["parameters"]["id"]


def test_no_id_that_was_given_out_can_be_had_with_attach(shared):
    """The row of a task that is over was written over, and its id is a place in front of everybody."""
    daemon = shared.daemon
    over = ended_task(shared)
    filler, gate = daemon.fill()
    first = daemon.queue("first", "-c", "1", user=shared.alice, cwd="/")
    with shared.bob.connect(daemon.socket) as bob:
        database = database_of(bob)
        own = attach(bob, database, unknown(id=over["id"], queued_boot_us=1, submitted_at_us=1, boot_id=boot_id()))
        assert own > daemon.task("first")["id"]
        assert attach(bob, database, unknown(key="0" * 32, id=own + 1)) == own + 1, "as any new one"
        assert attach(bob, database, unknown(key="1" * 32, id=own + 500)) == own + 2, "not one that others will get"
        assert daemon.show(over["id"]) == over
        waiting = [task for task in daemon.ps() if task["state"] == "pending"]
        assert waiting[0]["name"] == "first"
        gate.open()
        assert (filler.wait(), first.wait()) == (0, 0)


def test_who_comes_back_to_a_daemon_that_forgot_him_has_his_id_again(shared):
    """As a crash leaves it: before the first commit of a task."""
    daemon = shared.daemon
    over = ended_task(shared)
    with shared.bob.connect(daemon.socket) as bob:
        database = database_of(bob)
    daemon.kill()
    daemon.start_daemon()
    with shared.bob.connect(daemon.socket) as bob:
        lost = over["id"] + 100
        assert attach(bob, database, unknown(id=lost)) == lost
        with shared.alice.connect(daemon.socket) as alice:
            own = attach(alice, database, unknown(key="0" * 32, id=lost))
            assert own > lost + 1, "who lies first has it, and nobody loses a task by that"


def test_what_it_says_of_itself_brings_it_no_more_than_a_submit(make_shared):
    shared = make_shared(settings={"max_delay": "1m"})
    daemon = shared.daemon
    over = ended_task(shared)
    victim, gate = daemon.start("victim", user=shared.alice, cwd="/")
    pid = daemon.task("victim")["pid"]
    ticks = int(read_proc(pid, "stat").rpartition(b")")[2].split()[19])
    ahead = int(time.time() * 1e6) + 3600 * 10**6
    with shared.bob.connect(daemon.socket) as bob:
        own = attach(
            bob,
            database_of(bob),
            unknown(id=over["id"], needs={"memory_bytes": 1 << 50, "cpus": 1000}, delay_us=None, delay_given=True,
                    boot_id=boot_id(), submitted_at_us=ahead, started_boot_us=1 << 60, pid=pid, pid_start_ticks=ticks),
            started=True,
        )  # fmt: skip
        task = daemon.show(own)
        assert (task["state"], task["delay_seconds"], task["pid"]) == ("running", 60, None)
        assert (task["needs"]["memory_bytes"], task["needs"]["cpus"]) == (0, 0)
        assert parse_time(task["submitted_at"]) <= time.time() + 1
        assert daemon.run("run", "-q", "-c", "1", "-m", "1M", "true", user=shared.alice, cwd="/").returncode == 0
        gate.open()
        assert victim.wait() == 0


def test_a_detached_task_is_its_agents(shared):
    daemon = shared.daemon
    with shared.bob.connect(daemon.socket) as bob:
        database = database_of(bob)
        answer = bob.call(ATTACH, {"database": database, "task": unknown(id=1, detached=True)})
        assert answer["error"] == "io.taskflow.v1.BadRequest"
    with shared.bob.connect(daemon.socket) as agent, shared.bob.connect(daemon.socket) as bob:
        agent.call(API + "Agent", more=True)
        task = {"key": KEY, "command": "x", "cwd": "/", "detached": True, "needs": {"cpus": N_CPUS}}
        reply = agent.call(SUBMIT, {"task": task})
        while "method" in reply:
            reply = agent.receive()
        answer = bob.call(ATTACH, {"database": database, "task": unknown(id=reply["parameters"]["id"])})
        assert answer["error"] == "io.taskflow.v1.NotPermitted"
