# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong around detached tasks: full disks, long logs, large and odd input, folders that go away."""

import os
import pathlib
import subprocess
import time

import harness
import pytest
from disks import fill, small_disk
from harness import is_alive, wait_until

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)


def test_a_full_disk_of_the_daemons_refuses_what_is_new_and_keeps_what_runs(place, make_daemon):
    daemon = make_daemon(start=False)
    with small_disk(daemon.state, "16m") as disk:
        daemon.start_daemon()
        gate = place.gate()
        running = daemon.detach(f"{gate.line}; exit 4")
        pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
        fill(disk / "filler")
        accepted = []

        def is_refused():
            done = daemon.run("run", "-D", "true # " + "x" * 3000)
            if done.returncode == 0:
                accepted.append(done.stdout.strip())
                return False
            return done

        done = wait_until(is_refused, "one is refused")
        assert done.returncode == 125
        assert "disk" in done.stderr or "space" in done.stderr, done.stderr
        gate.open()
        wait_until(lambda: not is_alive(pid), "it has ended while the disk is full")
        os.unlink(disk / "filler")
        assert daemon.wait_id(running, "failed", timeout=40)["exit_status"] == 4
        again = daemon.detach("exit 6")
        assert daemon.wait_id(again, "failed", timeout=40)["exit_status"] == 6
        for task_id in accepted:
            daemon.wait_id(task_id, "done", timeout=40)
        daemon.restart()
        states = {str(task["id"]): task["state"] for task in daemon.ps()}
        assert [states[task_id] for task_id in (running, again, *accepted)] == ["failed", "failed"] + ["done"] * len(accepted)
        place.end_agents()
        daemon.stop()


def test_a_disk_with_room_for_little_refuses_much_once_and_for_all(place, make_daemon):
    """Small records still fit: that is no reason to let the large batch be tried again and again."""
    daemon = make_daemon(start=False)
    with small_disk(daemon.state, "16m") as disk:
        daemon.start_daemon()
        gate = place.gate()
        running = daemon.detach(gate.line)
        daemon.wait_id(running, "running")
        fill(disk / "filler")
        os.truncate(disk / "filler", os.stat(disk / "filler").st_size - 64 * 1024)
        batch = place.folder / "batch"
        batch.write_text(("true # " + "x" * 3000 + "\n") * 300)
        done = daemon.run("submit", os.fspath(batch))
        assert done.returncode == 125
        assert "is the disk full?" in done.stderr
        assert [str(task["id"]) for task in daemon.ps()] == [running]
        gate.open()
        daemon.wait_id(running, "done")  # for that there is room
        assert daemon.run("run", "-D", "true").returncode == 125
        os.unlink(disk / "filler")
        again = wait_until(lambda: daemon.run("run", "-D", "true").stdout.strip(), "new ones are taken")
        daemon.wait_id(again, "done", timeout=40)
        place.end_agents()
        daemon.stop()


def test_on_a_full_disk_of_the_daemons_what_runs_can_be_cancelled(place, make_daemon):
    daemon = make_daemon(start=False)
    with small_disk(daemon.state, "16m") as disk:
        daemon.start_daemon()
        tasks = [daemon.detach("--retry", "3", "exec sleep 1000") for _ in range(2)]
        pids = [wait_until(lambda t=t: daemon.show(t)["pid"], "its command runs") for t in tasks]
        fill(disk / "filler")
        wait_until(lambda: daemon.run("run", "-D", "true # " + "x" * 3000).returncode != 0, "nothing is written any more")
        assert daemon.run("cancel", *tasks).returncode == 0
        assert not any(is_alive(pid) for pid in pids)
        os.unlink(disk / "filler")
        for task_id in tasks:
            daemon.wait_id(task_id, "cancelled", timeout=40)
        place.end_agents()
        daemon.stop()


def test_a_full_disk_of_the_agents_refuses_what_is_new_and_keeps_what_runs(place, daemon):
    folder = place.make_folder("state")
    env = {"XDG_STATE_HOME": os.fspath(folder)}
    with small_disk(folder, "4m") as disk:
        gate = place.gate()
        running = daemon.detach(f"{gate.line}; exit 4", env=env)
        pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
        fill(disk / "filler")
        accepted = []

        def is_refused():
            done = daemon.run("run", "-D", "true # " + "x" * 3000, env=env)
            if done.returncode == 0:
                accepted.append(done.stdout.strip())
                return False
            return done

        done = wait_until(is_refused, "one is refused")
        assert done.returncode == 125
        assert "disk" in done.stderr or "space" in done.stderr, done.stderr
        gate.open()
        assert daemon.wait_id(running, "failed")["exit_status"] == 4
        assert not is_alive(pid)
        os.unlink(disk / "filler")
        again = daemon.detach("exit 6", env=env)
        assert daemon.wait_id(again, "failed", timeout=40)["exit_status"] == 6
        for task_id in accepted:  # without room for its log, or its record, that is its end
            assert daemon.wait_id(task_id, "done", "failed", timeout=40)["exit_status"] in (0, 125)
        place.end_agents()


def test_a_full_disk_of_the_logs_is_said_and_costs_no_status(daemon, place):
    folder = place.make_folder("disk")
    with small_disk(folder, "64k") as disk:
        gate = place.gate()
        task = daemon.detach("-o", os.fspath(disk / "out"), f"echo begun; {gate.line}; cat /dev/zero; exit 3")
        daemon.wait_id(task, "running")
        gate.open()
        shown = daemon.wait_id(task, "failed", "done", timeout=40)
        assert shown["exit_status"] == 3
        assert "full" in shown["reason"]
        assert "full" in daemon.run("show", task).stdout
        place.end_agents()


def test_a_long_log_keeps_its_end(make_daemon, place):
    daemon = make_daemon(settings={"log_limit": "64K"})
    gate = place.gate()
    task = daemon.detach(f"seq 200000; {gate.line}; echo last")
    log = pathlib.Path(daemon.wait_id(task, "running")["output"])
    wait_until(lambda: log.exists() and log.stat().st_size > 1_000_000, "it has printed a lot")
    wait_until(lambda: log.stat().st_blocks * 512 < 200_000, "the front was let go", 40)
    gate.open()
    daemon.wait_id(task, "done")
    out = daemon.logs(task)
    assert "\0" not in out and out.endswith("199999\n200000\nlast\n")
    assert len(out) < 200_000


def test_a_file_of_ones_own_is_never_cut(make_daemon, place, folder):
    daemon = make_daemon(settings={"log_limit": "64K"})
    gate = place.gate()
    out = folder / "out"
    task = daemon.detach("-o", os.fspath(out), f"seq 100000; {gate.line}")
    other = daemon.detach(f"seq 100000; {place.gate().line}")
    log = pathlib.Path(daemon.wait_id(other, "running")["output"])
    wait_until(log.exists, "the other has begun")
    wait_until(lambda: log.stat().st_blocks * 512 < 200_000 < log.stat().st_size, "the other's log is cut", 40)
    assert out.stat().st_blocks * 512 > 500_000
    for task_id in (task, other):
        daemon.run("cancel", task_id)


def test_old_logs_go_and_others_stay(make_daemon, place):
    daemon = make_daemon(settings={"log_days": "2"})
    old, new, running = daemon.detach("echo old"), daemon.detach("echo new"), daemon.detach("echo begun; exec sleep 1000")
    for task_id in (old, new):
        daemon.wait_id(task_id, "done")
    daemon.wait_id(running, "running")
    paths = {task_id: pathlib.Path(daemon.show(task_id)["output"]) for task_id in (old, new, running)}
    wait_until(lambda: paths[running].exists() and paths[running].read_text() == "begun\n", "its log has begun")
    past = time.time() - 3 * 86400
    for task_id in (old, running):
        os.utime(paths[task_id], (past, past))
    assert daemon.run("agent", "stop").returncode == 0
    assert daemon.run("agent").returncode == 0
    wait_until(lambda: not paths[old].exists(), "the old one is gone")
    assert paths[new].exists() and paths[running].exists()
    done = daemon.run("logs", old)
    assert done.returncode == 1 and str(paths[old]) in done.stderr
    daemon.run("cancel", running)


def test_a_large_environment_and_a_long_command(daemon):
    """A value is at most 128 KiB for the kernel, all of it some MiB."""
    env = {f"LARGE{i}": "x" * 100_000 for i in range(10)}
    task = daemon.detach('echo "${#LARGE9}"', env=env)
    daemon.wait_id(task, "done")
    assert daemon.logs(task) == "100000\n"
    word = "y" * 100_000
    task = daemon.detach(f"echo {word}")
    daemon.wait_id(task, "done")
    assert daemon.logs(task) == word + "\n"
    assert len(daemon.show(task)["command"]) <= 4096


def test_bytes_that_are_no_text_reach_the_command(daemon):
    task = daemon.detach("--", "printf", "%s\n", b"\xff\xfe")
    daemon.wait_id(task, "done")
    done = subprocess.run([daemon.program, "logs", task], env=daemon.env, capture_output=True, check=True)
    assert done.stdout == b"\xff\xfe\n"
    assert "\ufffd" in daemon.show(task)["command"]


def test_a_folder_that_is_gone_before_the_start_is_named(daemon, place, folder):
    gone = folder / "gone"
    gone.mkdir()
    gate = place.gate()
    filler = daemon.detach("-c", str(harness.N_CPUS), gate.line)
    daemon.wait_id(filler, "running")
    task = daemon.detach("-c", "1", "true", cwd=gone)
    gone.rmdir()
    gate.open()
    shown = daemon.wait_id(task, "failed")
    assert shown["exit_status"] == 125
    assert "could not be started" in shown["reason"] and str(gone) in shown["reason"]


def test_a_state_folder_that_cannot_be_written_is_named(daemon, place):
    if os.geteuid() == 0:
        state = place.make_folder("sealed")
        (state / "taskflow").write_text("not a folder")
    else:
        state = place.make_folder("sealed", 0o555)
    done = daemon.run("run", "-D", "true", env={"XDG_STATE_HOME": os.fspath(state)})
    assert done.returncode == 125
    assert str(state) in done.stderr, done.stderr
    assert daemon.ps() == []
