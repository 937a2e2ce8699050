# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on which things go wrong: its disk fails, its clock is set, its descriptors are few."""

import contextlib
import os
import pathlib
import resource
import sqlite3
import time

import harness
import pytest
from harness import is_alive, wait_until

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)


def start_agent(place, daemon, env=None, **kwargs):
    """By hand: one that taskflow starts has a clean environment."""
    proc = place.start([harness.AGENT, "--ready"], env={**daemon.env, **place.env(**(env or {}))}, **kwargs)
    wait_until(lambda: proc.out == "ready\n", "the agent is ready")
    return proc


# -- a disk that fails --


def test_a_daemon_whose_disk_has_failed_ends_and_the_next_one_goes_on(place, make_daemon, faults):
    """Nothing that was answered is lost, and what runs is not disturbed."""
    daemon = make_daemon(env=faults.env)
    gate = place.gate()
    running = daemon.detach("--retry", "2", f"{gate.line}; exit 4")
    pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
    waiting = daemon.detach("-c", str(harness.N_CPUS), "--after", running, "true")
    faults.fail_syncs("taskflow.db")
    new = daemon.popen("run", "-D", "exit 5")
    assert daemon.proc.wait(harness.PATIENCE) == 1
    assert "may not be on the disk" in daemon.log_text()
    assert is_alive(pid)
    daemon.launch()
    assert daemon.proc.wait(harness.PATIENCE) == 1
    assert "to the disk: Input/output error" in daemon.log_text()
    faults.mend_disk()
    daemon.start_daemon()
    status = new.wait()
    if status == 0:
        assert daemon.wait_id(new.out.strip(), "failed")["exit_status"] == 5
    else:
        assert status == 125 and new.out == ""
    assert daemon.show(running)["pid"] == pid
    assert daemon.show(waiting)["state"] == "pending"
    assert daemon.run("cancel", running).returncode == 0
    assert daemon.wait_id(waiting, "cancelled")["reason"]


def test_an_agent_whose_disk_has_failed_ends_and_the_next_one_goes_on(place, daemon, faults):
    """The command that was about to queue something has the next one, whose disk is good again, do it."""
    agent = start_agent(place, daemon, faults.env)
    gate = place.gate()
    running = daemon.detach(f"{gate.line}; exit 4")
    pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
    waiting = daemon.detach("--after-any", running, "exit 6")
    faults.fail_syncs("agent.db")
    new = daemon.detach("exit 5")
    assert agent.wait() == 1
    assert "may not be on the disk" in agent.err and "Input/output error" in agent.err
    assert is_alive(pid)
    assert daemon.wait_id(new, "failed")["exit_status"] == 5
    gate.open()
    assert daemon.wait_id(running, "failed")["exit_status"] == 4
    assert daemon.wait_id(waiting, "failed")["exit_status"] == 6


# -- descriptors --


def cpu_seconds(pid):
    fields = harness.read_proc(pid, "stat").rsplit(b")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_agent_without_descriptors_keeps_its_tasks_and_does_not_spin(place, daemon):
    """Nobody new is let in; what it has goes on, up to the start of what waits."""
    agent = start_agent(place, daemon)
    gates = [place.gate() for _ in range(2)]
    tasks = [daemon.detach("--retry", "1", f"{gate.line}; exit 4") for gate in gates]
    waiting = daemon.detach("--after-any", tasks[0], "exit 6")
    large = daemon.detach("--after-any", waiting, "exit 7", env={f"LARGE{i}": "x" * 100_000 for i in range(3)})
    for task_id in tasks:
        wait_until(lambda t=task_id: daemon.show(t)["pid"], "its command runs")
    before = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (4, resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)[1]))
    new = daemon.popen("run", "-D", "exit 5")
    wait_until(lambda: "new connections wait: Too many open files" in agent.err, "it says why")
    spent, slept = cpu_seconds(agent.pid), harness.n_sleeps(agent.pid)
    wait_until(lambda: harness.n_sleeps(agent.pid) >= slept + 5, "it rests between one try and the next")
    assert cpu_seconds(agent.pid) - spent < 0.3
    assert agent.err.count("\n") < 10, agent.err
    gates[0].open()
    wait_until(lambda: daemon.show(tasks[0])["retries"]["used"] == 1, "it is tried again")
    gates[0].open()
    assert daemon.wait_id(tasks[0], "failed")["exit_status"] == 4
    assert daemon.wait_id(waiting, "failed")["exit_status"] == 6
    assert daemon.run("cancel", tasks[1]).returncode == 0
    assert daemon.show(tasks[1])["state"] == "cancelled"
    assert agent.is_running()
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, before)
    assert daemon.wait_id(large, "failed")["exit_status"] == 7
    assert new.wait() == 0 and daemon.wait_id(new.out.strip(), "failed")["exit_status"] == 5


def test_no_task_is_lost_to_an_agent_that_can_have_fewer_descriptors_than_tasks(place, daemon):
    go, n = place.folder / "go", 45

    def start():
        return start_agent(place, daemon, preexec_fn=harness.limit_descriptors(40))

    agent = start()
    tasks = [daemon.detach("-d", "0", f"until [ -e {go} ]; do sleep 0.3; done; exit {i}") for i in range(1, n + 1)]
    for task_id in tasks:
        wait_until(lambda t=task_id: daemon.show(t)["pid"], "its command runs")
    agent.signal(9)
    agent.wait()
    agent = start()
    wait_until(lambda: daemon.run("agent").returncode == 0, "it has looked at all of them")
    assert [daemon.show(t)["state"] for t in tasks] == ["running"] * n
    assert daemon.run("cancel", tasks[0], tasks[-1]).returncode == 0
    go.touch()
    for i in range(1, n - 1):
        assert daemon.wait_id(tasks[i], "failed")["exit_status"] == i + 1
    assert [daemon.show(t)["state"] for t in (tasks[0], tasks[-1])] == ["cancelled"] * 2
    assert agent.is_running()


# -- a clock that somebody sets --

JUMPS = [-2 * 3600, 2 * 86400]


@pytest.fixture
def clocked(place, make_daemon, faults):
    """A daemon and an agent whose clock can be set."""
    daemon = make_daemon(env=faults.env, settings={"history_days": "1", "log_days": "1"})
    daemon.agent = start_agent(place, daemon, faults.env)
    return daemon


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_ends_nothing_early_and_nothing_late(place, clocked, faults, jump):
    """Time limits and waits that have an end go by how long they last."""
    daemon = clocked
    gate = place.gate()
    filler = daemon.detach("-c", str(harness.N_CPUS), "-t", "1h", gate.line)
    daemon.wait_id(filler, "running")
    patient = daemon.detach("-c", "1", "-w", "1h", "true")
    limited = daemon.detach("-t", "3s", "exec sleep 1000")
    daemon.wait_id(limited, "running")
    hasty = daemon.detach("-c", "1", "-w", "3s", "true")
    begin = time.monotonic()
    faults.set_clock(jump)
    assert "not started within 3s" in daemon.wait_id(hasty, "cancelled")["reason"]
    daemon.wait_id(limited, "timeout")
    assert 2 < time.monotonic() - begin < 10
    late = daemon.detach("-c", "1", "-w", "1s", "true")
    daemon.wait_id(late, "cancelled")
    assert daemon.show(filler)["state"] == "running" and daemon.show(patient)["state"] == "pending"
    gate.open()
    for task_id in (filler, patient):
        daemon.wait_id(task_id, "done")


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_changes_no_order(place, clocked, faults, jump):
    """Of ids, of what waits, of what runs; and tries go on."""
    daemon = clocked
    gates = [place.gate() for _ in range(2)]
    first = daemon.detach("-c", str(harness.N_CPUS), gates[0].line)
    daemon.wait_id(first, "running")
    waiting = [daemon.detach("-c", str(harness.N_CPUS), "--retry", "1", f"{gates[1].line}; exit 3")]
    faults.set_clock(jump)
    second = daemon.detach(place.gate().line)
    daemon.wait_id(second, "running")
    waiting += [daemon.detach("-c", str(harness.N_CPUS), "true") for _ in range(2)]
    ids = [first, *waiting[:1], second, *waiting[1:]]
    assert [int(i) for i in ids] == list(range(int(first), int(first) + len(ids)))
    listed = [str(t["id"]) for t in daemon.ps()]
    assert listed == [first, second, *waiting]
    row = daemon.run("ps", "-r").stdout.splitlines()[1].split()
    assert row[0] == first and row[3].endswith("s") and "h" not in row[3] and "d" not in row[3], row
    gates[0].open()
    gates[1].open()
    wait_until(lambda: daemon.show(waiting[0])["retries"]["used"] == 1, "it is tried again")
    gates[1].open()
    for task_id in waiting[1:]:
        daemon.wait_id(task_id, "done")
    assert daemon.show(waiting[0])["state"] == "failed"
    daemon.run("cancel", second)


def test_the_next_agent_goes_by_the_same_clock(place, clocked, faults):
    """It does not give up what was to wait for an hour, because two days seem to have passed."""
    daemon = clocked
    gate = place.gate()
    filler = daemon.detach("-c", str(harness.N_CPUS), gate.line)
    daemon.wait_id(filler, "running")
    patient = daemon.detach("-c", "1", "-w", "1h", "true")
    daemon.agent.signal(9)
    daemon.agent.wait()
    faults.set_clock(2 * 86400)
    start_agent(place, daemon, faults.env)
    hasty = daemon.detach("-c", "1", "-w", "1s", "true")
    daemon.wait_id(hasty, "cancelled")
    assert daemon.show(patient)["state"] == "pending"
    gate.open()
    daemon.wait_id(patient, "done")


def test_a_clock_that_is_set_makes_nothing_old(place, clocked, faults):
    """Neither history nor logs; what is really old goes."""
    daemon = clocked
    tasks = [daemon.detach("echo kept") for _ in range(3)]
    for task_id in tasks:
        daemon.wait_id(task_id, "done")
    logs = [pathlib.Path(daemon.show(task_id)["output"]) for task_id in tasks]
    daemon.stop()
    past = time.time() - 2 * 86400
    os.utime(logs[0], (past, past))
    with contextlib.closing(sqlite3.connect(daemon.state / "taskflow.db", isolation_level=None)) as db:
        db.execute("UPDATE task SET over_at_us = ? WHERE id = ? << 24", (int(past * 1e6), int(tasks[0])))
    faults.set_clock(2 * 86400)
    daemon.start_daemon()
    wait_until(lambda: daemon.run("show", tasks[0]).returncode == 1, "the old one is forgotten")
    wait_until(lambda: daemon.run("agent").returncode == 0 and not logs[0].exists(), "the old log is gone")
    for task_id, log in zip(tasks[1:], logs[1:]):
        assert daemon.show(task_id)["state"] == "done"
        assert log.exists()
