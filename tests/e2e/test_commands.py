# SPDX-License-Identifier: GPL-3.0-or-later
"""ps, show, why, status, cancel, hold, release, update, wait."""

import json
import os
import pathlib
import pwd
import re
import signal
import time

import pytest

from harness import N_CPUS, TASK_KEYS, is_alive, parse_time, wait_until

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J‮txt.exe\r\n\b"


def me():
    return pwd.getpwuid(os.getuid()).pw_name


def ids_of(done):
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


# ps


def test_ps_shows_running_ones_first_and_then_waiting_ones_in_their_order(daemon):
    daemon.run("run", "-n", "over", "true")
    filler, gate = daemon.fill()
    daemon.queue("normal", "-c", "1")
    daemon.queue("urgent", "-c", "1", "-p", "high")
    daemon.queue("later", "-c", "1")
    daemon.queue("idle", "-c", "1", "-p", "low")
    done = daemon.run("ps")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ID", "USER", "STATE", "TIME", "NEEDS", "NAME/COMMAND"]
    assert [line.split()[-1] for line in lines[1:]] == ["filler", "urgent", "normal", "later", "idle"]
    assert "over" not in done.stdout
    assert "\x1b" not in done.stdout, "no colour into a pipe"
    assert [line.split()[2] for line in lines[1:]] == ["running"] + ["pending"] * 4
    assert all(line.split()[1] == me() for line in lines[1:]), done.stdout
    assert "over" in daemon.run("ps", "-a").stdout
    gate.open()
    assert filler.wait() == 0


def test_ps_options_choose(daemon):
    daemon.run("run", "-n", "over", "true")
    filler, gate = daemon.fill()
    daemon.queue("waiting", "-c", "1")
    daemon.queue("kept", "-c", "1")
    ids = {task["name"]: task["id"] for task in daemon.ps()}
    assert daemon.run("hold", str(ids["kept"])).returncode == 0
    assert ids_of(daemon.run("ps", "-r", "-q")) == [ids["filler"]]
    assert ids_of(daemon.run("ps", "-p", "-q"))[0] == ids["waiting"]
    assert ids["filler"] not in ids_of(daemon.run("ps", "-pq"))
    assert ids_of(daemon.run("ps", "-q")) == [ids["filler"], ids["waiting"], ids["kept"]]
    assert set(ids_of(daemon.run("ps", "-a", "-q"))) == set(ids.values())
    assert ids_of(daemon.run("ps", "-u", "-q")) == [ids["filler"], ids["waiting"], ids["kept"]]
    assert ids_of(daemon.run("ps", f"-u{me()}", "-q")) == [ids["filler"], ids["waiting"], ids["kept"]]
    assert ids_of(daemon.run("ps", "-q", "-u", me())) == [ids["filler"], ids["waiting"], ids["kept"]]
    assert ids_of(daemon.run("ps", "-unobody", "-q")) == []
    assert ids_of(daemon.run("ps", "-q", "-u", "nobody")) == []
    done = daemon.run("ps", "-uno-such-user-here")
    assert done.returncode in (1, 2) and "no-such-user-here" in done.stderr
    assert {t["id"] for t in json.loads(daemon.run("ps", "-r", "--json").stdout)["tasks"]} == {ids["filler"]}
    assert len(daemon.run("ps", "-v").stdout.splitlines()[0].split()) > 6
    gate.open()
    assert filler.wait() == 0


def test_ps_of_an_empty_queue(daemon):
    done = daemon.run("ps")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.run("ps", "-q").stdout == ""
    assert daemon.run("ps", "--json").stdout.strip() and daemon.ps() == []


def test_ps_shows_what_is_needed_and_the_command(daemon):
    gate = daemon.place.gate()
    proc = daemon.popen("run", "-m", "64M", "-c", "1", f"echo a command; read x <{gate.path}")
    daemon.wait_for(lambda ts: ts and ts[0]["state"] == "running")
    line = daemon.run("ps").stdout.splitlines()[1]
    assert "64M" in line
    assert "echo a command" in line
    gate.open()
    assert proc.wait() == 0


def test_many_tasks_are_all_listed(daemon):
    """More than fit into one message, with commands as long as they are kept."""
    filler, gate = daemon.fill()
    long = "true #" + "x" * 3900
    procs = [daemon.popen("run", "-q", "-c", "1", long) for _ in range(120)]
    daemon.wait_for(lambda ts: len(ts) == 121, "all are in the queue", timeout=60)
    assert len(ids_of(daemon.run("ps", "-q"))) == 121
    gate.open()
    assert filler.wait() == 0
    assert [proc.wait(90) for proc in procs] == [0] * 120
    assert len(daemon.ps()) == 121
    assert len(ids_of(daemon.run("ps", "-a", "-q"))) == 121


# JSON


def test_the_json_of_a_task_has_the_keys_of_the_interface(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("waiting", "-c", "1", "-m", "10M")
    for name in ("filler", "waiting"):
        task = daemon.task(name)
        assert set(task) >= TASK_KEYS, "fields may be added, never renamed"
        assert set(task["needs"]) == {"memory_bytes", "cpus", "gpus"}
        assert set(daemon.show(task["id"])) == set(task)
    running, waiting = daemon.task("filler"), daemon.task("waiting")
    assert set(running["used"]) == {"memory_bytes", "gpus"}
    assert set(running["peak"]) == {"memory_bytes", "gpus"}
    assert running["state"] == "running" and isinstance(running["pid"], int)
    assert running["ended_at"] is None and running["reason"] is None
    assert running["user"] == me() and running["uid"] == os.getuid()
    assert waiting["pid"] is None and waiting["started_at"] is None
    assert isinstance(waiting["reason"], str) and waiting["reason"]
    why = daemon.why(waiting["id"])
    assert waiting["reason"][:20] in why
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)
    ended = daemon.wait_state("waiting", "done")
    assert set(ended) == set(waiting)
    assert (ended["exit_status"], ended["signal"], ended["reason"]) == (0, None, None)
    parse_time(ended["ended_at"])


def test_the_json_of_status_has_the_keys_of_the_interface(daemon):
    status = daemon.status()
    assert set(status) >= {"schema", "memory", "gpus", "tasks", "drained"}
    assert set(status["memory"]) >= {"total_bytes", "available_bytes", "promised_bytes", "free_bytes"}
    assert set(status["tasks"]) >= {"pending", "running", "held"}
    assert status["drained"] is None
    assert status["gpus"] == []
    assert status["tasks"] == {"pending": 0, "running": 0, "held": 0}


def test_status_counts(daemon):
    filler, gate = daemon.fill()
    daemon.queue("waiting", "-c", "1")
    daemon.queue("kept", "-c", "1")
    daemon.run("hold", str(daemon.task("kept")["id"]))
    counts = daemon.status()["tasks"]
    assert counts == {"pending": 1, "running": 1, "held": 1}
    text = daemon.run("status").stdout
    assert "RAM" in text or "memory" in text.lower()
    assert "\x1b" not in text
    gate.open()
    assert filler.wait() == 0


def test_show_and_why_say_in_words_what_there_is_to_know(daemon, folder):
    filler, gate = daemon.fill()
    daemon.queue("waiting", "-c", "1", "-m", "10M", command="echo a command")
    task_id = daemon.task("waiting")["id"]
    text = daemon.run("show", str(task_id)).stdout
    for word in (str(task_id), me(), "pending", "10M", "echo a command", "waiting", os.fspath(folder)):
        assert word in text, word
    why = daemon.why(task_id)
    assert "core" in why and str(daemon.task("filler")["id"]) in why and me() in why, why
    assert daemon.why(daemon.task("filler")["id"]).strip(), "a running one has an answer too"
    gate.open()
    assert filler.wait() == 0


@pytest.mark.parametrize("command", ["show", "why", "cancel", "hold", "release", "wait"])
def test_a_task_that_is_none_is_1_with_its_number(daemon, command):
    done = daemon.run(command, "4711")
    assert done.returncode == 1
    assert "4711" in done.stderr
    assert done.stderr.count("\n") == 1


def test_escape_sequences_of_others_never_reach_the_output(daemon, folder):
    filler, gate = daemon.fill()
    where = folder / ("dir" + ESCAPES.replace("\r\n", ""))
    where.mkdir()
    command = "true " + ESCAPES
    proc = daemon.popen("run", "-n", "n" + ESCAPES, "-c", "1", command, cwd=where)
    daemon.wait_for(lambda ts: len(ts) == 2)
    task_id = max(task["id"] for task in daemon.ps())
    outputs = [daemon.run(*args) for args in (["ps"], ["ps", "-v"], ["show", str(task_id)], ["why", str(task_id)])]
    for done in outputs:
        assert done.returncode == 0
        for bad in ("\x1b", "\x07", "\x9b", "‮", "\r", "\b"):
            assert bad not in done.stdout, (bad, done.args)
    raw = daemon.run("ps", "--json").stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", raw), "JSON escapes control characters"
    assert json.loads(raw)["tasks"][1]["name"] == "n" + ESCAPES
    rows = outputs[0].stdout.splitlines()
    assert len(rows) == 3, "a newline makes no row of its own"
    gate.open()
    assert filler.wait() == 0
    proc.end()


def test_bytes_that_are_not_utf8_become_replacement_characters(daemon):
    daemon.run("run", "-n", b"n\xff", "printf", "%s", b"\xfe", text=False)
    task = daemon.ps()[0]
    assert task["name"] == "n�"
    assert task["argv"] == ["printf", "%s", "�"]


def test_a_very_long_command_is_cut_to_be_shown_and_run_whole(daemon):
    word = "y" * 100000
    done = daemon.run("run", "printf", "%s", word)
    assert done.stdout == word
    task = daemon.ps()[0]
    assert len(task["command"].encode()) <= 4096


# cancel


def test_a_cancelled_waiting_task_never_starts_and_its_run_ends(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo started")
    done = daemon.run("cancel", str(daemon.task("t")["id"]))
    assert (done.returncode, done.stderr) == (0, "")
    status = proc.wait()
    assert status != 0
    assert "cancel" in proc.err
    assert proc.out == ""
    task = daemon.wait_state("t", "cancelled")
    assert task["started_at"] is None and task["ended_at"]
    gate.open()
    assert filler.wait() == 0


def test_cancel_ends_a_running_task_with_all_its_processes_also_those_that_left_its_session(daemon, folder):
    line = (
        f"setsid sh -c 'echo $$ >{folder}/a; exec sleep 1000' & "
        f"(setsid setsid sh -c 'echo $$ >{folder}/b; exec sleep 1000' & ) ; "
        f"nohup sh -c 'echo $$ >{folder}/c; exec sleep 1000' >/dev/null 2>&1 & sleep 1000"
    )
    proc, _ = daemon.start("t", command=line)

    def started():
        texts = [(folder / name).read_text().strip() for name in "abc" if (folder / name).exists()]
        return [int(text) for text in texts] if len(texts) == 3 and all(texts) else None

    pids = wait_until(started, "all three have started")
    done = daemon.run("cancel", str(daemon.task("t")["id"]), timeout=30)
    assert done.returncode == 0, done.stderr
    proc.wait()
    for pid in pids:
        wait_until(lambda: not is_alive(pid), f"process {pid} of the task has ended", 15)
    assert daemon.wait_state("t", "cancelled")


def test_the_state_is_cancelled_whatever_status_the_command_leaves_with(daemon):
    proc, _ = daemon.start("t", command="trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: proc.out, "the command has its trap")
    assert daemon.run("cancel", str(daemon.task("t")["id"])).returncode == 0
    assert proc.wait() == 0
    assert daemon.wait_state("t", "cancelled")["exit_status"] == 0


def test_cancel_kills_what_ignores_sigterm_10_seconds_later(daemon):
    proc, _ = daemon.start("t", command="trap '' TERM; echo ready; while :; do sleep 0.1; done")
    wait_until(lambda: proc.out, "the command has its trap")
    start = time.monotonic()
    assert daemon.run("cancel", str(daemon.task("t")["id"]), timeout=30).returncode == 0
    assert proc.wait(30) == -signal.SIGKILL
    assert 9 < time.monotonic() - start < 14
    assert daemon.wait_state("t", "cancelled")


def test_cancel_begins_with_the_signal_that_was_named(daemon):
    proc, _ = daemon.start("t", command="trap 'exit 17' INT; echo ready; while :; do sleep 0.05; done",
                           env={"SHELL": "/bin/bash"})
    wait_until(lambda: proc.out, "the command has its trap")
    assert daemon.run("cancel", "-s", "INT", str(daemon.task("t")["id"])).returncode == 0
    assert proc.wait() == 17
    assert daemon.wait_state("t", "cancelled")


def test_cancel_leaves_the_rest_of_a_pipeline_alone(daemon, place):
    line = f"{daemon.program} run -n t 'echo first; exec sleep 1000' | (cat; echo rest went on)"
    proc = place.start(["/bin/sh", "-c", line], env=daemon.env)
    daemon.wait_state("t", "running")
    wait_until(lambda: "first" in proc.out, "the first line is through")
    assert daemon.run("cancel", str(daemon.task("t")["id"])).returncode == 0
    assert proc.wait() == 0
    assert proc.out == "first\nrest went on\n"


def test_a_task_may_cancel_itself(daemon):
    proc = daemon.popen("run", "-n", "t", f"{daemon.program} cancel $TASKFLOW_TASK_ID; sleep 1000")
    assert proc.wait() == -signal.SIGTERM
    assert daemon.wait_state("t", "cancelled")


def test_cancel_right_after_the_submission_always_holds(daemon):
    """Whichever comes first, the start or the end: the task is cancelled, and no process of it stays."""
    for i in range(20):
        proc = daemon.popen("run", "-q", "-n", f"t{i}", "-m", "1M", "-d", "0", "exec sleep 1000")
        task = daemon.wait_for(lambda ts, i=i: next((t for t in ts if t["name"] == f"t{i}"), None))
        done = daemon.run("cancel", str(task["id"]))
        assert done.returncode == 0, done.stderr
        assert proc.wait() != 0
        daemon.wait_state(f"t{i}", "cancelled")


def test_cancel_takes_several_and_says_which_could_not_be(daemon):
    filler, gate = daemon.fill()
    one, two = daemon.queue("one", "-c", "1"), daemon.queue("two", "-c", "1")
    ids = [str(daemon.task(name)["id"]) for name in ("one", "two")]
    done = daemon.run("cancel", ids[0], "4711", ids[1])
    assert done.returncode == 1
    assert "4711" in done.stderr
    daemon.wait_state("one", "cancelled")
    daemon.wait_state("two", "cancelled")
    assert one.wait() != 0 and two.wait() != 0
    assert daemon.run("cancel", ids[0]).returncode == 1, "it is over already"
    gate.open()
    assert filler.wait() == 0


@pytest.mark.parametrize(
    "command", ["show", "why", "wait", "logs", "cancel", "hold", "release", "update -p low", "run --after", "run -D --after"]
)
def test_a_task_that_is_not_there_reads_alike_everywhere(daemon, command):
    command, *options = command.split()
    runs = command == "run"
    done = daemon.run(command, *options, "4711", *(["true"] if runs else []))
    to_wait_for = " to wait for" if runs else ""
    assert (done.returncode, done.stdout) == (125 if runs else 1, "")
    assert done.stderr == f"taskflow: there is no task 4711{to_wait_for}; 'taskflow ps -a' shows all\n"


@pytest.mark.parametrize("command", ["cancel", "hold", "release", "update -p low"])
def test_a_task_in_the_wrong_state_reads_alike_everywhere(daemon, command):
    command, *options = command.split()
    more = ", and only a waiting one can be changed" if command == "update" else ""
    assert daemon.run("run", "false").returncode == 1
    states = {"failed": daemon.ps()[0]["id"]}
    proc, gate = daemon.start("t")
    if command != "cancel":
        states["running"] = daemon.task("t")["id"]
    for state, task_id in states.items():
        done = daemon.run(command, *options, str(task_id))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"taskflow: cannot {command} task {task_id}: it is {state}{more}\n"
    gate.open()
    assert proc.wait() == 0


def test_what_can_never_start_reads_alike_here_and_detached(daemon, folder):
    assert daemon.run("run", "false").returncode == 1
    task_id = daemon.ps()[0]["id"]
    (folder / "lines").write_text("true\n")
    for options, said in (
        (["-c", str(N_CPUS + 1)], f"it asks for {N_CPUS + 1} cores, but this machine has {N_CPUS}"),
        (["--after", str(task_id)], f"it can never start: task {task_id}, which it is to wait for, failed"),
    ):
        for done in (daemon.run("run", *options, "true"), daemon.run("run", "-D", *options, "true")):
            assert (done.returncode, done.stderr) == (125, f"taskflow: {said}\n")
        done = daemon.run("submit", *options, "lines")
        assert (done.returncode, done.stderr) == (125, f"taskflow: {said}; nothing was queued\n")


# hold, release, update


def test_a_held_task_does_not_start_until_it_is_released(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo went")
    task_id = str(daemon.task("t")["id"])
    assert daemon.run("hold", task_id).returncode == 0
    assert daemon.task("t")["state"] == "held"
    assert "held" in daemon.why(task_id)
    gate.open()
    assert filler.wait() == 0
    assert daemon.run("run", "-c", str(N_CPUS), "-w", "0", "true").returncode == 0, "it keeps no room"
    assert daemon.task("t")["state"] == "held"
    assert daemon.run("release", task_id).returncode == 0
    assert proc.wait() == 0
    assert proc.out == "went\n"


def test_hold_and_release_of_what_does_not_wait_are_refused(daemon):
    proc, gate = daemon.start("t")
    task_id = str(daemon.task("t")["id"])
    done = daemon.run("hold", task_id)
    assert done.returncode == 1 and task_id in done.stderr
    assert daemon.run("release", task_id).returncode == 1
    gate.open()
    assert proc.wait() == 0
    daemon.wait_state("t", "done")
    assert daemon.run("hold", task_id).returncode == 1


def test_hold_outlives_the_daemon(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    task_id = str(daemon.task("t")["id"])
    assert daemon.run("hold", task_id).returncode == 0
    daemon.kill()
    daemon.start_daemon()
    gate.open()
    assert filler.wait() == 0
    daemon.wait_state("t", "held")
    assert daemon.run("release", task_id).returncode == 0
    assert proc.wait() == 0


def test_update_changes_what_a_waiting_task_asks_for(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", "-m", "10M", command="echo went")
    task_id = str(daemon.task("t")["id"])
    assert daemon.run("update", task_id, "-m", "20M", "-n", "new", "-p", "high", "-t", "1h").returncode == 0
    task = daemon.task("new")
    assert task["id"] == int(task_id)
    assert (task["needs"]["memory_bytes"], task["needs"]["cpus"], task["priority"]) == (20 * 2**20, 1, 200)
    assert daemon.run("update", task_id, "-c", "0").returncode == 0
    assert proc.wait() == 0, "it asks for no core any more and starts at once"
    assert proc.out == "went\n"
    assert filler.is_running()
    gate.open()
    assert filler.wait() == 0


def test_update_to_the_impossible_is_refused_and_changes_nothing(daemon):
    filler, gate = daemon.fill()
    daemon.queue("t", "-c", "1", "-m", "10M")
    task_id = str(daemon.task("t")["id"])
    done = daemon.run("update", task_id, "-m", "900T")
    assert done.returncode == 1 and "900T" in done.stderr
    assert daemon.task("t")["needs"]["memory_bytes"] == 10 * 2**20
    done = daemon.run("update", str(daemon.task("filler")["id"]), "-p", "high")
    assert done.returncode == 1, "it runs already"
    assert daemon.run("update", task_id).returncode == 2, "nothing to change"
    assert daemon.run("update", "4711", "-p", "high").returncode == 1
    assert daemon.run("update", task_id, "-p", "urgent").returncode == 2
    gate.open()
    assert filler.wait() == 0


def test_update_to_a_gpu_that_is_not_there_says_so(daemon):
    """Nobody has asked for one before, so that this is the first look."""
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    done = daemon.run("update", str(daemon.task("t")["id"]), "--gpu", "0")
    assert done.returncode == 1 and "no GPU is known on this machine" in done.stderr
    assert daemon.task("t")["needs"]["gpus"] == []
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)


def test_an_updated_time_limit_counts(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="exec sleep 1000")
    assert daemon.run("update", str(daemon.task("t")["id"]), "-t", "1s").returncode == 0
    gate.open()
    assert filler.wait() == 0
    assert proc.wait() == 124
    assert daemon.wait_state("t", "timeout")


def assert_started_in_order(daemon, *names):
    """Two may have started in the same millisecond."""
    started = [daemon.task(name)["started_at"] for name in names]
    assert started == sorted(started), started


def test_an_updated_priority_changes_the_order(daemon):
    filler, gate = daemon.fill()
    for name in ("a", "b", "c"):
        daemon.queue(name, "-c", str(N_CPUS))
    assert daemon.run("update", str(daemon.task("c")["id"]), "-p", "high").returncode == 0
    assert [t["name"] for t in daemon.ps() if t["state"] == "pending"] == ["c", "a", "b"]
    gate.open()
    assert filler.wait() == 0
    daemon.wait_for(lambda ts: all(t["state"] == "done" for t in ts))
    assert_started_in_order(daemon, "filler", "c", "a", "b")


def test_tasks_start_in_order_of_priority_and_then_of_submission(daemon):
    filler, gate = daemon.fill()
    for name, priority in (("low", "low"), ("first", "medium"), ("second", "100"), ("high", "high"), ("101", "101")):
        daemon.queue(name, "-c", str(N_CPUS), "-p", priority)
    gate.open()
    assert filler.wait() == 0
    daemon.wait_for(lambda ts: all(t["state"] == "done" for t in ts))
    assert_started_in_order(daemon, "filler", "high", "101", "first", "second", "low")


# wait


def test_wait_returns_the_status_of_the_last_one_named(daemon):
    one, gate_one = daemon.start("one", command=None)
    gate_two = daemon.place.gate()
    two = daemon.popen("run", "-n", "two", f"read x <{gate_two.path}; exit 7")
    daemon.wait_state("two", "running")
    ids = [str(daemon.task(name)["id"]) for name in ("one", "two")]
    both, reverse = daemon.popen("wait", *ids), daemon.popen("wait", *reversed(ids))
    gate_two.open()
    assert two.wait() == 7
    daemon.wait_state("two", "failed")
    assert both.is_running() and reverse.is_running()
    gate_one.open()
    assert one.wait() == 0
    assert (both.wait(), reverse.wait()) == (7, 0)
    assert daemon.run("wait", *ids).returncode == 7, "of those that ended before, too"


def test_wait_any_returns_the_first_to_end(daemon):
    one, gate_one = daemon.start("one")
    gate_two = daemon.place.gate()
    two = daemon.popen("run", "-n", "two", f"read x <{gate_two.path}; exit 7")
    daemon.wait_state("two", "running")
    ids = [str(daemon.task(name)["id"]) for name in ("one", "two")]
    waiter = daemon.popen("wait", "--any", *ids)
    gate_two.open()
    assert waiter.wait() == 7
    assert two.wait() == 7
    assert one.is_running()
    gate_one.open()
    assert one.wait() == 0


def test_wait_without_ids_waits_for_all_of_ones_own(daemon):
    assert daemon.run("wait").returncode == 0, "there is nothing to wait for"
    one, gate_one = daemon.start("one")
    two, gate_two = daemon.start("two")
    waiter = daemon.popen("wait")
    gate_one.open()
    assert one.wait() == 0
    daemon.wait_state("one", "done")
    assert waiter.is_running()
    gate_two.open()
    assert two.wait() == 0
    assert waiter.wait() == 0


def test_wait_gives_up_with_124(daemon):
    proc, gate = daemon.start("t")
    start = time.monotonic()
    assert daemon.run("wait", "-t", "1s", str(daemon.task("t")["id"])).returncode == 124
    assert 0.9 < time.monotonic() - start < 3
    assert daemon.run("wait", "-t", "0", str(daemon.task("t")["id"])).returncode == 124
    gate.open()
    assert proc.wait() == 0
    daemon.wait_state("t", "done")
    assert daemon.run("wait", "-t", "0", str(daemon.task("t")["id"])).returncode == 0


def test_wait_for_one_that_a_signal_ended_or_that_never_started(daemon):
    proc, _ = daemon.start("t", command="exec sleep 1000")
    waiter = daemon.popen("wait", str(daemon.task("t")["id"]))
    proc.signal(signal.SIGTERM)
    proc.wait()
    assert waiter.wait() == 128 + signal.SIGTERM
    filler, gate = daemon.fill()
    daemon.queue("never", "-c", "1")
    waiter = daemon.popen("wait", str(daemon.task("never")["id"]))
    daemon.run("cancel", str(daemon.task("never")["id"]))
    assert waiter.wait() not in (0, 124)
    gate.open()
    assert filler.wait() == 0


def test_wait_lives_through_a_restart_of_the_daemon_or_says_that_it_was_lost(daemon):
    proc, gate = daemon.start("t")
    waiter = daemon.popen("wait", str(daemon.task("t")["id"]))
    daemon.restart()
    daemon.wait_state("t", "running")
    gate.open()
    assert proc.wait() == 0
    assert waiter.wait() in (0, 3)


def test_output_into_a_closed_pipe_is_no_crash(daemon, place):
    filler, gate = daemon.fill()
    done = place.run(["/bin/bash", "-c", f"{daemon.program} ps -v | true; echo ${{PIPESTATUS[0]}}"], env=daemon.env)
    assert int(done.stdout) in (0, 1, 141)
    done = daemon.run("ps", stdout=pathlib.Path("/dev/full").open("w", encoding="ascii"))
    assert done.returncode == 1, "a full disk is no success"
    gate.open()
    assert filler.wait() == 0
