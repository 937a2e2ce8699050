# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever dies, and whenever: nothing is lost, nothing runs twice, nothing that runs is disturbed."""

import json
import os
import secrets
import signal
import socket
import time

import pytest

from harness import (
    N_CPUS,
    TASKFLOW,
    RawClient,
    children_of,
    is_alive,
    kill_quietly,
    n_sleeps,
    parse_time,
    proc_state,
    size,
    wait_until,
)


def command_pid(daemon, name):
    """Of the running command."""

    def look():
        task = daemon.task(name)
        return task["pid"] if task and task["state"] == "running" and task["pid"] else None

    return wait_until(look, f"the process of {name} is known")


# The daemon dies


def test_a_running_task_outlives_a_killed_daemon_and_its_status_is_recorded(daemon):
    proc, gate = daemon.start("t", command=None)
    task = daemon.task("t")
    pid = command_pid(daemon, "t")
    daemon.kill()
    assert is_alive(pid)
    daemon.start_daemon()
    again = daemon.wait_state("t", "running")
    assert (again["id"], again["pid"]) == (task["id"], pid)
    assert abs(parse_time(again["started_at"]) - parse_time(task["started_at"])) < 0.1
    gate.open()
    assert proc.wait() == 0
    ended = daemon.wait_state("t", "done")
    assert (ended["id"], ended["exit_status"]) == (task["id"], 0)
    assert len(daemon.ps()) == 1


def test_a_waiting_task_keeps_its_id_over_the_end_of_the_daemon_and_starts_after_it(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo went")
    task_id = daemon.task("t")["id"]
    daemon.kill()
    daemon.start_daemon()
    daemon.wait_state("filler", "running")
    task = daemon.wait_state("t", "pending")
    assert task["id"] == task_id
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "went\n"
    assert filler.wait() == 0
    assert daemon.wait_state("t", "done")["id"] == task_id
    assert sorted(t["name"] for t in daemon.ps()) == ["filler", "t"]


def test_the_loss_of_the_daemon_is_said_once_and_not_while_a_command_runs_well(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    wait_until(lambda: proc.err, "it says why it waits")
    before = proc.err
    daemon.kill()
    wait_until(lambda: proc.err != before, "it says that the daemon has gone")
    said = proc.err[len(before) :]
    slept = n_sleeps(proc.pid)
    wait_until(lambda: n_sleeps(proc.pid) >= slept + 6, "it has tried for longer than it took to say so")
    assert proc.err[len(before) :] == said
    assert said.count("\n") == 1
    daemon.start_daemon()
    gate.open()
    assert proc.wait() == 0
    assert filler.wait() == 0


def test_the_order_of_waiting_tasks_survives_a_restart(daemon):
    filler, gate = daemon.fill()
    for i in range(5):
        daemon.queue(f"t{i}", "-c", "1", "-p", "high" if i == 3 else "medium")
    order = ["filler", "t3", "t0", "t1", "t2", "t4"]
    assert [t["name"] for t in daemon.ps()] == order
    daemon.kill()
    daemon.start_daemon()
    daemon.wait_for(lambda ts: [t["name"] for t in ts] == order, "all are back in their order")
    gate.open()
    assert filler.wait() == 0


def test_ids_never_repeat(daemon):
    ids = []
    for _ in range(4):
        daemon.run("run", "true")
        daemon.run("run", "true")
        daemon.kill()
        daemon.start_daemon()
        ids = [task["id"] for task in daemon.ps()]
    assert len(set(ids)) == len(ids)
    daemon.run("run", "-n", "last", "true")
    assert daemon.task("last")["id"] > max(ids)


def test_what_ended_while_there_was_no_daemon_is_delivered_by_the_runner_that_still_waits(daemon):
    """A runner whose command ended keeps trying for 5 s."""
    proc, gate = daemon.start("t", command=None)
    daemon.kill()
    gate.open()
    wait_until(lambda: not children_of(proc.pid), "the command has ended")
    assert proc.is_running()
    daemon.start_daemon()
    assert proc.wait() == 0
    assert daemon.wait_state("t", "done")["exit_status"] == 0


def test_what_ended_without_any_daemon_returns_its_status_and_the_next_command_delivers_it(daemon):
    gate = daemon.place.gate()
    proc = daemon.popen("run", "-n", "t", f"read x <{gate.path}; exit 7")
    daemon.wait_state("t", "running")
    daemon.kill()
    gate.open()
    start = time.monotonic()
    assert proc.wait() == 7
    assert 3 < time.monotonic() - start < 8, "5 s without a daemon"
    daemon.start_daemon()
    task = daemon.wait_state("t", "failed")
    assert task["exit_status"] == 7
    left = [p for p in daemon.place.home.rglob("*") if p.is_file()]
    assert left == [], "the record is gone once it was delivered"


def test_the_ledger_keeps_the_part_of_a_task_that_ran_through_a_restart(daemon):
    proc, gate = daemon.start("t", "-m", "300M", "-d", "0")
    daemon.kill()
    daemon.start_daemon()
    daemon.wait_state("t", "running")
    assert daemon.status()["memory"]["promised_bytes"] > 250 * 2**20
    gate.open()
    assert proc.wait() == 0


def test_nothing_starts_beside_a_running_task_that_has_not_attached_yet(daemon):
    """Right after the restart nobody has said what runs; the filler still has all cores."""
    filler, gate = daemon.fill()
    daemon.wait_recorded()
    filler.signal(signal.SIGSTOP)  # its runner can't attach
    daemon.kill()
    daemon.start_daemon()
    assert daemon.run("run", "-c", "1", "-w", "0", "true").returncode == 125
    filler.signal(signal.SIGCONT)
    gate.open()
    assert filler.wait() == 0
    assert daemon.run("run", "-c", "1", "-w", "5", "true").returncode == 0


def test_a_daemon_killed_right_after_an_end_has_written_it_down(daemon):
    """A runner that was told that its end is known may go; nobody else could bring it again."""
    for i in range(20):
        procs = [daemon.popen("run", "-q", "-n", f"t{i}-{k}", "exit 3") for k in range(6)]
        os.waitid(os.P_PID, procs[i % 6].pid, os.WEXITED | os.WNOWAIT)
        daemon.kill()
        daemon.start_daemon()
        assert {proc.wait() for proc in procs} <= {3, 125}
    daemon.wait_for(lambda ts: all(t["state"] == "failed" for t in ts), "all are recorded", 8)


def test_a_daemon_killed_right_after_a_start_starts_nothing_beside_it(daemon):
    for i in range(5):
        gate = daemon.place.gate()
        filler = daemon.popen("run", "-n", f"filler{i}", "-c", str(N_CPUS), f"echo ready; read x <{gate.path}")
        wait_until(lambda proc=filler: proc.out, "the command runs")
        daemon.kill()
        daemon.start_daemon()
        assert daemon.run("run", "-c", "1", "-w", "0", "true").returncode == 125
        gate.open()
        assert filler.wait() == 0
        daemon.wait_state(f"filler{i}", "done")


def test_sigterm_to_the_daemon_is_no_different(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="exit 4")
    daemon.restart()
    gate.open()
    assert proc.wait() == 4
    assert filler.wait() == 0


@pytest.mark.parametrize("round_", range(3))
def test_a_daemon_killed_at_any_moment_runs_nothing_twice(daemon, folder, round_):
    """A crowd of short tasks; the daemon dies again and again under them."""
    log = folder / "log"
    procs = [daemon.popen("run", "-q", "-c", "1", f"echo {i} >>{log}; sleep 0.05") for i in range(20)]
    for _ in range(4):
        time.sleep(0.12 + 0.07 * round_)
        daemon.kill()
        daemon.start_daemon()
    statuses = [proc.wait(60) for proc in procs]
    ran = sorted(int(line) for line in log.read_text().split())
    assert len(ran) == len(set(ran)), "none ran twice"
    # One whose first request met no daemon is told so (125) and did not run; all others ran.
    assert all(status in (0, 125) for status in statuses), statuses
    assert ran == [i for i, status in enumerate(statuses) if status == 0]
    assert statuses.count(0) >= 15
    daemon.wait_for(lambda ts: all(t["state"] == "done" for t in ts), "all are recorded")


# The runner dies


def test_a_killed_waiting_runner_withdraws_its_task(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    proc.signal(signal.SIGKILL)
    proc.wait()
    assert daemon.wait_state("t", "cancelled")["started_at"] is None
    gate.open()
    assert filler.wait() == 0


def test_the_part_of_a_killed_runners_task_is_kept_until_its_processes_are_gone_then_it_is_lost(daemon):
    proc, _ = daemon.start("t", "-c", "1", "-m", "200M", "-d", "0", command="exec sleep 1000")
    pid = command_pid(daemon, "t")
    proc.signal(signal.SIGKILL)
    proc.wait()
    assert is_alive(pid)
    gone, _ = daemon.start("gone", command="exec sleep 1000")
    gone_pid = command_pid(daemon, "gone")
    gone.signal(signal.SIGKILL)
    gone.wait()
    os.kill(gone_pid, signal.SIGTERM)
    daemon.wait_state("gone", "lost", timeout=30)  # as this one would be by now, if it were only for its runner
    task = daemon.task("t")
    assert task["state"] == "running"
    assert daemon.status()["memory"]["promised_bytes"] > 150 * 2**20
    os.kill(pid, signal.SIGTERM)
    assert daemon.wait_state("t", "lost", timeout=30)["exit_status"] is None
    assert daemon.status()["memory"]["promised_bytes"] == 0


def test_cancel_ends_the_command_of_a_killed_runner(daemon):
    proc, _ = daemon.start("t", command="exec sleep 1000")
    pid = command_pid(daemon, "t")
    proc.signal(signal.SIGKILL)
    proc.wait()
    done = daemon.run("cancel", str(daemon.task("t")["id"]))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not is_alive(pid), "the command was ended")
    daemon.wait_state("t", "cancelled", "lost", timeout=30)


def test_cancel_ends_the_command_of_a_stopped_runner(daemon):
    proc, _ = daemon.start("t", command="exec sleep 1000")
    pid = command_pid(daemon, "t")
    proc.signal(signal.SIGSTOP)
    wait_until(lambda: proc_state(proc.pid) == "T", "it is stopped")
    done = daemon.run("cancel", str(daemon.task("t")["id"]), timeout=30)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not is_alive(pid), "the command was ended")
    proc.wait()
    daemon.wait_state("t", "cancelled", timeout=30)


def test_a_stopped_waiting_runner_is_passed_over_and_goes_on_when_it_is_back(daemon):
    filler, gate = daemon.fill()
    first = daemon.queue("first", "-c", str(min(2, N_CPUS)), command="echo went")
    second = daemon.queue("second", "-c", "1", command="echo went")
    first.signal(signal.SIGSTOP)
    wait_until(lambda: proc_state(first.pid) == "T", "it is stopped")
    gate.open()
    assert filler.wait() == 0
    assert second.wait() == 0, "the one behind it starts, after the offer has run out"
    task = daemon.task("first")
    assert task["state"] in ("pending", "held")
    assert "stopped" in daemon.why(task["id"])
    first.signal(signal.SIGCONT)
    assert first.wait() == 0
    assert first.out == "went\n"
    daemon.wait_state("first", "done")


def test_a_task_whose_runner_and_daemon_were_both_killed_keeps_its_part_until_it_ends(daemon):
    """The next daemon finds it again by its process, and judges it when its runner has not come back for 30 s."""
    proc, _ = daemon.start("t", "-c", str(N_CPUS), "-m", "200M", "-d", "0", command="exec sleep 1000")
    pid = command_pid(daemon, "t")
    daemon.wait_recorded()
    daemon.kill()
    proc.signal(signal.SIGKILL)
    proc.wait()
    daemon.start_daemon()
    assert daemon.task("t")["state"] == "running"
    assert daemon.status()["memory"]["promised_bytes"] > 150 * 2**20
    assert daemon.run("run", "-c", "1", "-w", "3", "true").returncode == 125
    kill_quietly(pid)
    assert daemon.run("run", "-c", "1", "-w", "40", "true", timeout=50).returncode == 0
    assert daemon.task("t")["state"] == "lost"


def test_a_connection_that_ends_between_grant_and_start_gives_the_part_back(daemon):
    """A client that takes the grant and goes away without a word."""
    parameters = submit_parameters(daemon, secrets.token_hex(16), cpus=N_CPUS)
    with RawClient(daemon.socket) as raw:
        answer = raw.call("io.taskflow.v1.Submit", parameters)
        assert "error" not in answer, answer
    daemon.wait_for(lambda ts: ts and all(t["state"] not in ("pending", "running") for t in ts), "it was given back")
    assert daemon.run("run", "-c", "1", "-w", "0", "true").returncode == 0


def submit_parameters(daemon, key, cpus):
    """What taskflow itself sends, caught by a listener that never answers, with another key and another need."""
    path = daemon.folder / "catch"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        listener.settimeout(10)
        proc = daemon.place.start(
            [TASKFLOW, "run", "-n", "caught", "-c", "1", "true"], env={**daemon.env, "TASKFLOW_SOCKET": os.fspath(path)}
        )
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            data = b""
            while b"\0" not in data:
                data += connection.recv(65536)
            proc.signal(signal.SIGKILL)
            proc.wait()
    parameters = json.loads(data.partition(b"\0")[0])["parameters"]

    def change(value):
        if isinstance(value, dict):
            for name, old in value.items():
                value[name] = {"key": key, "cpus": cpus}.get(name) or change(old)
        return value

    return change(parameters)


# The personal daemon


def test_a_waiting_run_starts_a_personal_daemon_that_died(personal):
    filler, gate = personal.fill()
    proc = personal.queue("t", "-c", "1", command="exit 6")
    before = personal.task("t")["id"]
    first = personal.kill_daemon()
    wait_until(personal.daemon_pids, "somebody started another one")
    assert personal.daemon_pid() != first
    gate.open()
    assert proc.wait() == 6
    assert filler.wait() == 0
    task = personal.wait_state("t", "failed")
    assert (task["id"], task["exit_status"]) == (before, 6)
    assert personal.wait_state("filler", "done")


def test_only_the_waiting_one_can_start_the_personal_daemon_again(personal):
    """No other command is called: the waiting run is all that is left."""
    gate = personal.place.gate()
    filler = personal.popen("run", "-n", "filler", "-c", str(N_CPUS), f"read x <{gate.path}; exit 2")
    personal.wait_state("filler", "running")
    proc = personal.queue("t", "-c", "1", command="echo went")
    personal.kill_daemon()
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "went\n"
    assert filler.wait() == 2
    assert personal.wait_state("filler", "failed")["exit_status"] == 2


def test_what_ended_while_there_was_no_personal_daemon_is_recorded_by_the_next_command(personal):
    gate = personal.place.gate()
    proc = personal.popen("run", "-n", "t", f"read x <{gate.path}; exit 3")
    personal.wait_state("t", "running")
    personal.kill_daemon()
    gate.open()
    assert proc.wait() == 3
    task = personal.wait_state("t", "failed")
    assert task["exit_status"] == 3
    assert parse_time(task["ended_at"]) >= parse_time(task["started_at"])


def test_no_process_of_taskflows_is_left_when_a_task_has_ended(daemon):
    proc, gate = daemon.start("t", "-m", size(10 * 2**20))
    pid = command_pid(daemon, "t")
    gate.open()
    assert proc.wait() == 0
    assert not is_alive(pid)
    assert [c for c in children_of(daemon.pid) if proc_state(c) == "Z"] == []
