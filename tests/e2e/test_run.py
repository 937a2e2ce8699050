# SPDX-License-Identifier: GPL-3.0-or-later
"""taskflow run: statuses, the shell, what the command keeps of its surroundings, options."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from harness import N_CPUS, TASK_KEYS, TASKFLOW, children_of, is_alive, n_sleeps, parse_time, read_proc, wait_asleep, wait_until


# Statuses


@pytest.mark.parametrize("line, status", [("true", 0), ("false", 1), ("exit 7", 7), ("exit 255", 255)])
def test_the_status_is_the_commands_own(daemon, line, status):
    done = daemon.run("run", line)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_the_status_of_a_command_is_recorded(daemon):
    daemon.run("run", "-n", "good", "true")
    daemon.run("run", "-n", "bad", "exit 7")
    good, bad = daemon.wait_state("good", "done"), daemon.wait_state("bad", "failed")
    assert (good["exit_status"], good["signal"]) == (0, None)
    assert (bad["exit_status"], bad["signal"]) == (7, None)
    for task in (good, bad):
        assert parse_time(task["submitted_at"]) <= parse_time(task["started_at"]) <= parse_time(task["ended_at"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGUSR1", "SIGPIPE"])
def test_if_a_signal_ends_the_command_taskflow_dies_of_it_too(daemon, name):
    number = getattr(signal, name)
    done = daemon.run("run", "-n", "t", f"kill -{int(number)} $$")
    assert done.returncode == -number, done.stderr
    task = daemon.wait_state("t", "failed")
    assert (task["exit_status"], task["signal"]) == (None, number)


def test_a_shell_sees_128_plus_the_signal(daemon, place):
    done = place.run(["/bin/sh", "-c", f"{TASKFLOW} run 'kill -TERM $$'; echo $?"], env=daemon.env)
    assert done.stdout == "143\n"


def test_dying_of_a_signal_leaves_no_core_of_taskflows(daemon, folder):
    def unlimited():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    where = folder / "core"
    where.mkdir()
    done = daemon.run("run", "ulimit -c 0; kill -SEGV $$", cwd=where, preexec_fn=unlimited)
    assert done.returncode == -signal.SIGSEGV
    assert os.listdir(where) == []


def test_a_time_limit_ends_the_command_with_124(daemon):
    start = time.monotonic()
    done = daemon.run("run", "-n", "t", "-t", "1s", "sleep", "1000")
    assert done.returncode == 124
    assert 0.9 < time.monotonic() - start < 5
    assert daemon.wait_state("t", "timeout")


def test_a_time_limit_counts_from_the_start_of_the_command_and_not_from_the_submission(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", "-t", "1s", command="sleep 0.2; echo ended")
    assert daemon.run("run", "-q", "-t", "1s", "sleep", "1000").returncode == 124, "the limit is over, of one that runs"
    assert daemon.task("t")["state"] == "pending"
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "ended\n"
    assert filler.wait() == 0


def test_what_ignores_sigterm_at_the_time_limit_is_killed_10_seconds_later(daemon):
    start = time.monotonic()
    done = daemon.run("run", "-t", "1", "trap '' TERM; while :; do sleep 0.5; done", timeout=30)
    assert done.returncode == 124
    assert 10.5 < time.monotonic() - start < 15


def test_a_command_that_ends_in_time_is_not_touched_by_its_limit(daemon):
    assert daemon.run("run", "-t", "1h", "exit 3").returncode == 3


@pytest.mark.parametrize(
    "args, words",
    [
        (["--no-such-option", "true"], ["no-such-option"]),
        (["-m", "5X", "true"], ["5X"]),
        (["-m", "-5G", "true"], ["-5G"]),
        (["-m", "5G5", "true"], ["5G5"]),
        (["-m", "99999999999999P", "true"], ["99999999999999P"]),
        (["-m"], ["-m"]),
        (["-t", "1x", "true"], ["1x"]),
        (["-w", "soon", "true"], ["soon"]),
        (["-p", "201", "true"], ["201"]),
        (["-p", "urgent", "true"], ["urgent"]),
        (["-c", "-1", "true"], ["-1"]),
        (["-c", "many", "true"], ["many"]),
        (["--gpu", "0:", "true"], []),
        (["--gpu", "0:5X", "true"], ["5X"]),
        (["--gpu", "", "true"], []),
        (["-f", "/nonexistent/file", "true"], ["/nonexistent/file"]),
        ([], []),
    ],
)
def test_a_wrong_command_line_is_125_with_the_word_in_the_message(daemon, args, words):
    done = daemon.run("run", *args)
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr.startswith("taskflow"), done.stderr
    assert done.stderr.count("\n") == 1, "one line, and no help text after it"
    for word in words:
        assert word in done.stderr
    assert daemon.ps() == []


def test_a_request_that_the_machine_can_never_meet_is_refused_with_the_numbers(daemon):
    done = daemon.run("run", "-m", "900T", "true")
    assert done.returncode == 125
    assert "900T" in done.stderr
    total = daemon.status()["memory"]["total_bytes"]
    figures = re.findall(r"(\d+(?:\.\d+)?)([MGT])", done.stderr)
    factors = {"M": 2**20, "G": 2**30, "T": 2**40}
    assert any(abs(float(n) * factors[unit] - total) < total * 0.03 for n, unit in figures), done.stderr
    done = daemon.run("run", "-c", str(N_CPUS + 1), "true")
    assert done.returncode == 125
    assert str(N_CPUS + 1) in done.stderr and re.search(rf"\b{N_CPUS}\b", done.stderr), done.stderr
    assert daemon.ps() == []


def test_more_than_total_less_the_reserve_is_refused_and_as_much_is_not(make_daemon):
    daemon = make_daemon(settings={"reserved_memory": "300M"})
    total = daemon.status()["memory"]["total_bytes"]
    assert daemon.run("run", "--dry-run", "-m", str(total - 299 * 2**20), "true").returncode == 125
    assert daemon.run("run", "--dry-run", "-m", str(total - 300 * 2**20), "true").returncode == 1


def test_nobody_at_the_named_socket_is_125_at_once_with_what_to_do(place):
    start = time.monotonic()
    env = place.env(TASKFLOW_SOCKET=place.folder / "nobody")
    done = place.run([TASKFLOW, "run", "true"], env=env)
    assert done.returncode == 125
    assert time.monotonic() - start < 2
    assert str(place.folder / "nobody") in done.stderr
    assert not place.personal_daemons(), "no daemon is started for a named socket"
    assert place.run([TASKFLOW, "ps"], env=env).returncode == 3
    assert place.run([TASKFLOW, "wait", "1"], env=env).returncode == 3
    assert place.run([TASKFLOW, "cancel", "1"], env=env).returncode == 3


def test_found_but_not_executable_is_126(daemon, folder):
    (folder / "no-program").write_text("echo no\n")
    done = daemon.run("run", "./no-program", "word")
    assert done.returncode == 126
    assert "./no-program" in done.stderr
    assert daemon.run("run", str(folder), "word").returncode == 126
    path = f"{folder}:{daemon.env['PATH']}"
    assert daemon.run("run", "no-program", "word", env={"PATH": path}).returncode == 126


def test_not_found_is_127(daemon):
    done = daemon.run("run", "-n", "t", "no-such-command-here", "word")
    assert done.returncode == 127
    assert "no-such-command-here" in done.stderr
    assert daemon.run("run", "./no/such/file", "word").returncode == 127
    assert daemon.run("run", "no-such-command-here word").returncode == 127, "the shell says so itself"
    task = daemon.wait_state("t", "failed")
    assert task["exit_status"] == 127


# The shell


def test_several_words_are_run_as_they_are(daemon, place):
    words = ["a  b", "$HOME", "*", "'", '"', "", "\\", "new\nline", "-n", "--", "ä"]
    done = daemon.run("run", "--", "printf", "<%s>", *words)
    assert done.stdout == "".join(f"<{word}>" for word in words)
    assert done.returncode == 0


def test_words_that_are_not_utf8_arrive_as_they_are(daemon):
    done = daemon.run("run", "printf", "%s", b"\xff\xfe\x80", text=False)
    assert done.stdout == b"\xff\xfe\x80"


def test_one_word_is_a_line_for_the_shell(daemon):
    done = daemon.run("run", 'for i in 1 2; do echo "$i  $VALUE"; done | cat; exit 3', env={"VALUE": "a  b"})
    assert (done.returncode, done.stdout) == (3, "1  a  b\n2  a  b\n")


def test_options_end_at_the_first_word_that_is_none(daemon):
    assert daemon.run("run", "echo", "-n", "-q", "--dry-run").stdout == "-q --dry-run"
    assert daemon.run("run", "-q", "--", "echo", "--", "-m").stdout == "-- -m\n"


def test_the_line_goes_to_the_users_own_shell(daemon, folder):
    shell = folder / "my shell"
    shell.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    shell.chmod(0o755)
    done = daemon.run("run", "a  line", env={"SHELL": os.fspath(shell)})
    assert done.stdout == "<-c><a  line>"
    assert daemon.run("run", "echo $BASH_VERSION", env={"SHELL": "/bin/bash"}).stdout.strip() != ""


@pytest.mark.parametrize("shell", [None, "", "/nonexistent/shell", "/etc/passwd", "/tmp"])
def test_without_a_usable_shell_it_is_bin_sh(daemon, shell):
    env = dict(daemon.env)
    env.pop("SHELL")
    if shell is not None:
        env["SHELL"] = shell
    done = daemon.place.run([TASKFLOW, "run", "echo one; echo two"], env=env)
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr


# What the command keeps


def environment(daemon, args, env):
    done = daemon.place.run([*args, "env", "-0"], env=env, text=False)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.split(b"\0"))


def test_the_environment_gains_the_task_id_and_nothing_else(daemon):
    env = {**daemon.env, "LINES_": "a\nb", "EMPTY": "", "PYTHONPATH": "x", "lower": "ä", "LD_PRELOAD": ""}
    plain = environment(daemon, [], env)
    ours = environment(daemon, [TASKFLOW, "run"], env)
    assert [entry for entry in plain if entry not in ours] == []
    gained = [entry for entry in ours if entry not in plain]
    assert gained == [b"TASKFLOW_TASK_ID=%d" % daemon.ps()[0]["id"]]
    assert len(ours) == len(plain) + 1


def test_the_environment_may_hold_bytes_that_are_not_utf8(daemon):
    env = {**{os.fsencode(k): os.fsencode(v) for k, v in daemon.env.items()}, b"BYTES": b"\xff\x80"}
    assert b"BYTES=\xff\x80" in environment(daemon, [TASKFLOW, "run"], env)


def test_a_task_id_that_was_there_is_replaced(daemon):
    entries = environment(daemon, [TASKFLOW, "run"], {**daemon.env, "TASKFLOW_TASK_ID": "999999"})
    ids = [entry for entry in entries if entry.startswith(b"TASKFLOW_TASK_ID=")]
    assert ids == [b"TASKFLOW_TASK_ID=%d" % daemon.ps()[0]["id"]]


def test_a_task_may_run_another_inside_itself(daemon):
    done = daemon.run("run", f"echo $TASKFLOW_TASK_ID; exec {TASKFLOW} run 'echo $TASKFLOW_TASK_ID; exit 5'")
    assert done.returncode == 5
    outer, inner = map(int, done.stdout.split())
    assert outer < inner


def test_the_folder_is_kept_also_one_that_has_gone(daemon, folder):
    here = folder / "a folder"
    here.mkdir()
    assert daemon.run("run", "-n", "t", "pwd", cwd=here).stdout == f"{here}\n"
    assert daemon.task("t")["cwd"] == os.fspath(here)
    done = daemon.place.run(
        ["/bin/sh", "-c", f"cd '{here}' && rmdir '{here}' && exec {TASKFLOW} run 'echo went'"], env=daemon.env
    )
    assert (done.returncode, done.stdout) == (0, "went\n"), done.stderr


def test_umask_limits_and_niceness_are_kept(daemon):
    def mine():
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, 99))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_STACK, (4 * 2**20, 5 * 2**20))

    line = "umask; ulimit -Sn; ulimit -Hn; ulimit -c; nice; cat /proc/self/limits"
    plain = daemon.place.run(["/bin/sh", "-c", line], preexec_fn=mine)
    ours = daemon.run("run", line, preexec_fn=mine)
    assert plain.stdout.startswith(f"0027\n77\n99\n0\n{os.nice(0) + 3}\n")
    assert ours.stdout == plain.stdout


def test_descriptors_reach_the_command_and_none_of_taskflows_own_does(daemon, folder):
    def fds(done):
        assert done.returncode == 0, done.stderr
        return [re.sub(r"\d{4,}", "N", line) for line in re.findall(r"\d+ -> .*", done.stdout)]

    with open(folder / "extra", "w+", encoding="ascii") as extra:
        fd = extra.fileno()
        plain = daemon.place.run(["ls", "-l", "/proc/self/fd"], pass_fds=[fd])
        ours = daemon.run("run", "ls", "-l", "/proc/self/fd", pass_fds=[fd])
        assert fds(ours) == fds(plain)
        assert any(line.startswith(f"{fd} -> ") and line.endswith("/extra") for line in fds(ours))
        done = daemon.run("run", f"echo x >&{fd}", pass_fds=[fd], env={"SHELL": "/bin/bash"})
        assert done.returncode == 0, done.stderr
        extra.seek(0)
        assert extra.read() == "x\n"


def test_closed_standard_descriptors_stay_closed(daemon, folder):
    where = folder / "fds"
    for close in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        line = f"ls /proc/$$/fd >{where}"
        plain = daemon.place.run(["/bin/sh", "-c", f"/bin/sh -c '{line}' {close}"], env=daemon.env)
        assert plain.returncode == 0
        expected = where.read_text()
        where.unlink()
        ours = daemon.place.run(["/bin/sh", "-c", f"{TASKFLOW} run '{line}' {close}"], env=daemon.env)
        assert ours.returncode == 0, close
        assert where.read_text() == expected, close
        where.unlink()


def test_ignored_signals_and_the_mask_reach_the_command(daemon):
    def mine():
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM})

    def signals(done):
        return re.findall(r"^(Sig(?:Blk|Ign|Cgt)):\s*(\w+)$", done.stdout, re.M)

    for prepare in (None, mine):
        plain = daemon.place.run(["cat", "/proc/self/status"], preexec_fn=prepare, restore_signals=False)
        ours = daemon.run("run", "cat", "/proc/self/status", preexec_fn=prepare, restore_signals=False)
        assert ours.returncode == 0, ours.stderr
        assert len(signals(plain)) == 3
        assert signals(ours) == signals(plain)


def test_nothing_of_stdin_is_taken(daemon):
    filler, gate = daemon.fill()
    data = b"".join(b"line %d\n" % i for i in range(50000))
    proc = daemon.popen("run", "-n", "t", "-c", "1", "cat", stdin=subprocess.PIPE)
    daemon.wait_state("t", "pending")
    proc.popen.stdin.write(b"early\n")
    proc.popen.stdin.flush()
    gate.open()
    proc.popen.stdin.write(data)
    proc.popen.stdin.close()
    assert proc.wait() == 0
    assert proc.out_path.read_bytes() == b"early\n" + data
    assert filler.wait() == 0


def test_stdout_belongs_to_the_command_alone_even_after_a_wait(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo out; echo err >&2")
    wait_until(lambda: proc.err, "it says why it waits")
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "out\n"
    lines = proc.err.splitlines()
    assert lines[-1] == "err"
    assert all(line.startswith("taskflow: ") for line in lines[:-1])
    assert filler.wait() == 0


def test_a_command_that_need_not_wait_starts_without_a_word(daemon):
    done = daemon.run("run", "-m", "1M", "-c", "1", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_quiet_means_no_message_of_taskflows_own(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-q", "-c", "1", command="echo out; echo err >&2")
    gate.open()
    assert proc.wait() == 0
    assert (proc.out, proc.err) == ("out\n", "err\n")
    assert filler.wait() == 0


def test_without_a_terminal_there_is_one_line_until_the_reason_changes(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    wait_until(lambda: proc.err.endswith("\n"), "the reason is there")
    before = proc.err
    wait_asleep(proc.pid)
    slept = n_sleeps(proc.pid)
    wait_until(lambda: n_sleeps(proc.pid) >= slept + 2, "it has asked again, and been answered")
    assert proc.err == before
    assert "\r" not in before and "\x1b" not in before
    assert before.count("\n") == 1
    gate.open()
    assert proc.wait() == 0
    assert filler.wait() == 0


# Signals to taskflow itself, without a terminal


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_waiting_withdraws_the_task_and_taskflow_dies_of_it(daemon, name):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo started")
    proc.signal(getattr(signal, name))
    assert proc.wait() == -getattr(signal, name)
    task = daemon.wait_state("t", "cancelled")
    assert task["started_at"] is None
    assert proc.out == ""
    gate.open()
    assert filler.wait() == 0


@pytest.mark.parametrize("short", ["TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "CONT"])
def test_a_signal_sent_to_taskflow_is_passed_on_to_the_command(daemon, short):
    line = f"trap 'echo got {short}; exit 9' {short}; echo ready; while :; do sleep 0.05; done"
    proc = daemon.popen("run", "-n", "t", line, env={"SHELL": "/bin/bash"})
    wait_until(lambda: proc.out == "ready\n", "the command has its trap")
    proc.signal(getattr(signal, f"SIG{short}"))
    assert proc.wait() == 9
    assert proc.out == f"ready\ngot {short}\n"


def test_a_command_that_ends_well_at_sigterm_gives_its_own_status(daemon):
    proc, _ = daemon.start("t", command="trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: proc.out, "the command has its trap")
    proc.signal(signal.SIGTERM)
    assert proc.wait() == 0
    assert daemon.wait_state("t", "done")


def test_sigterm_to_taskflow_ends_a_command_that_does_not_catch_it(daemon):
    proc, _ = daemon.start("t", command="exec sleep 1000")
    proc.signal(signal.SIGTERM)
    assert proc.wait() == -signal.SIGTERM
    assert daemon.wait_state("t", "failed")["signal"] == signal.SIGTERM


def test_nohup_lets_it_wait_through_a_hangup(daemon):
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", command="echo went", preexec_fn=ignore)
    proc.signal(signal.SIGHUP)
    assert daemon.task("t")["state"] == "pending"
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "went\n"
    assert filler.wait() == 0


def test_processes_that_outlive_the_command_are_left_alone(daemon, folder):
    """As without taskflow: a command may leave something behind on purpose."""
    gate = daemon.place.gate()
    done = daemon.run("run", f"(read x <{gate.path}; echo late >{folder}/late) >/dev/null 2>&1 & echo left")
    assert (done.returncode, done.stdout) == (0, "left\n")
    gate.open()
    wait_until(lambda: (folder / "late").exists(), "the one left behind went on")


# Options


def test_a_name_is_shown(daemon):
    daemon.run("run", "-n", "a name with  spaces", "true")
    task = daemon.wait_state("a name with  spaces", "done")
    assert set(task) >= TASK_KEYS


@pytest.mark.parametrize(
    "word, number", [("low", 0), ("medium", 100), ("high", 200), ("17", 17), ("0", 0), ("200", 200)]
)
def test_priorities_have_names_and_numbers(daemon, word, number):
    assert daemon.run("run", "-n", "t", "-p", word, "true").returncode == 0
    assert daemon.task("t")["priority"] == number


def test_what_was_asked_for_is_in_the_record(daemon):
    daemon.run("run", "-n", "t", "-m", "5M", "-c", "1", "-d", "90", "echo", "a b")
    task = daemon.wait_state("t", "done")
    assert task["needs"] == {"memory_bytes": 5 * 2**20, "cpus": 1, "gpus": []}
    assert task["delay_seconds"] == 90
    assert task["argv"] == ["echo", "a b"]
    assert task["detached"] is False
    assert task["uid"] == os.getuid()
    assert task["priority"] == 100
    assert task["gpus"] == []
    assert task["output"] is None
    daemon.run("run", "-n", "inf", "-m", "5M", "-d", "inf", "true")
    assert daemon.task("inf")["delay_seconds"] is None


@pytest.mark.parametrize(
    "word, n",
    [
        ("5M", 5 * 2**20), ("5MiB", 5 * 2**20), ("5m", 5 * 2**20), ("5MB", 5000000), ("1.5M", 3 * 2**19),
        ("12345", 12345),
    ],
)
def test_sizes_are_read_as_people_write_them(daemon, word, n):
    assert daemon.run("run", "-n", "t", "-m", word, "true").returncode == 0
    assert daemon.task("t")["needs"]["memory_bytes"] == n


def test_wait_0_is_now_or_not_at_all(daemon):
    filler, gate = daemon.fill()
    start = time.monotonic()
    done = daemon.run("run", "-n", "t", "-c", "1", "-w", "0", "echo started")
    assert done.returncode == 125
    assert time.monotonic() - start < 3
    assert done.stdout == ""
    assert "core" in done.stderr, done.stderr
    assert not [task for task in daemon.ps() if task["state"] == "pending"]
    gate.open()
    assert filler.wait() == 0
    assert daemon.run("run", "-c", "1", "-m", "1M", "-w", "0", "echo started").stdout == "started\n"


def test_wait_gives_up_with_125_after_its_time(daemon):
    filler, gate = daemon.fill()
    start = time.monotonic()
    done = daemon.run("run", "-n", "t", "-c", "1", "-w", "1s", "echo started")
    assert done.returncode == 125
    assert 0.9 < time.monotonic() - start < 4
    assert done.stdout == ""
    task = daemon.wait_state("t", "cancelled")
    assert "1s" in task["reason"]
    gate.open()
    assert filler.wait() == 0


def test_a_wait_that_was_long_enough_changes_nothing(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1", "-w", "1m", command="sleep 0.3; exit 4")
    gate.open()
    assert proc.wait() == 4
    assert filler.wait() == 0


def test_dry_run_says_whether_it_could_start_and_runs_nothing(daemon, folder):
    touch = f"touch {folder}/ran"
    done = daemon.run("run", "--dry-run", "-c", "1", "-m", "1M", touch)
    assert done.returncode == 0 and (done.stdout + done.stderr).strip()
    filler, gate = daemon.fill()
    done = daemon.run("run", "--dry-run", "-c", "1", touch)
    assert done.returncode == 1
    assert "core" in done.stdout + done.stderr
    done = daemon.run("run", "--dry-run", "-m", "900T", touch)
    assert done.returncode == 125
    assert "900T" in done.stderr
    assert not (folder / "ran").exists()
    assert [task["name"] for task in daemon.ps()] == ["filler"]
    gate.open()
    assert filler.wait() == 0


def test_options_are_saved_to_a_file_and_read_from_it(daemon, folder):
    saved = folder / "task.ini"
    args = ["-m", "5M", "-c", "1", "-d", "7s", "-p", "high", "-n", "from a file", "-t", "1h", "-w", "10m"]
    done = daemon.run("run", *args, "--no-pin", "-q", "-s", saved, "exit 3")
    assert done.returncode in (0, 3), done.stderr
    text = saved.read_text()
    assert text.lstrip().startswith("[task]") or "\n[task]" in text
    for key in ("memory", "cpus", "delay", "priority", "name", "time", "wait"):
        assert re.search(rf"^{key} *= *\S", text, re.M), text
    assert "save" not in re.findall(r"^(\w+) *=", text, re.M)
    before = len(daemon.ps())
    assert daemon.run("run", "-f", saved, "exit 5").returncode == 5
    task = max(daemon.ps(), key=lambda t: t["id"])
    assert len(daemon.ps()) == before + 1
    assert task["name"] == "from a file"
    assert task["needs"] == {"memory_bytes": 5 * 2**20, "cpus": 1, "gpus": []}
    assert task["delay_seconds"] == 7
    assert task["priority"] == 200


def test_the_command_line_wins_over_the_file(daemon, folder):
    file = folder / "task.ini"
    file.write_text("[task]\nmemory = 5M\nname = file\npriority = low\n")
    for args in (["-m", "6M", "-f", file], ["-f", file, "-m", "6M"]):
        assert daemon.run("run", *args, "true").returncode == 0
        task = max(daemon.ps(), key=lambda t: t["id"])
        assert (task["needs"]["memory_bytes"], task["name"], task["priority"]) == (6 * 2**20, "file", 0)


@pytest.mark.parametrize(
    "text, words",
    [
        ("[task]\nmemory = much\n", ["line 2", "much"]),
        ("[task]\n\nno-such = 5\n", ["line 3", "no-such"]),
        ("[other]\nmemory = 5M\n", ["other"]),
        ("nonsense\n", ["line 1"]),
        ("[task]\nafter = x\n", ["line 2", "x"]),
    ],
)
def test_a_bad_file_is_refused_with_file_and_line(daemon, folder, text, words):
    file = folder / "bad.ini"
    file.write_text(text)
    done = daemon.run("run", "-f", file, "true")
    assert done.returncode == 125
    assert "bad.ini" in done.stderr
    for word in words:
        assert word in done.stderr
    assert daemon.ps() == []


def test_a_delay_that_is_none_asks_whether_detach_was_meant(daemon):
    done = daemon.run("run", "-d", "python", "train.py")
    assert done.returncode == 125
    assert "did you mean -D" in done.stderr


def test_a_command_that_is_not_there_yet_is_refused_by_name(daemon):
    done = daemon.run("top", "1")
    assert done.returncode in (1, 2)
    assert "not available yet" in done.stderr
    assert "top" in done.stderr


def test_help_and_version_go_to_stdout(daemon):
    for line in ("--help", "help", "run --help", "help run", "ps --help", "--version", "version"):
        args = line.split()
        done = daemon.run(*args)
        assert (done.returncode, done.stderr) == (0, ""), args
        assert done.stdout.strip(), args
    assert "--gpu" in daemon.run("run", "--help").stdout
    for command in ("run", "ps", "show", "why", "status", "cancel", "hold", "release", "update", "wait"):
        assert re.search(rf"^\s+(taskflow )?{command}\b", daemon.run("--help").stdout, re.M), command


@pytest.mark.parametrize("line", ["no-such-command", "ps --no-such", "show", "show x", "cancel", "why -1"])
def test_a_wrong_command_line_of_the_others_is_2(daemon, line):
    done = daemon.run(*line.split())
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_the_command_is_a_child_in_the_same_group_and_session(daemon):
    proc, _ = daemon.start("t", command="exec sleep 1000")
    task = daemon.wait_for(lambda ts: next((t for t in ts if t["name"] == "t" and t["pid"]), None))
    assert os.getpgid(task["pid"]) == os.getpgid(proc.pid)
    assert os.getsid(task["pid"]) == os.getsid(proc.pid)
    assert children_of(proc.pid) == [task["pid"]]
    assert read_proc(task["pid"], "comm") == b"sleep\n"
    proc.signal(signal.SIGTERM)
    assert proc.wait() == -signal.SIGTERM
    assert not is_alive(task["pid"])


def test_xargs_runs_many_at_a_time(daemon, place):
    line = f"seq 40 | xargs -P 8 -I {{}} {TASKFLOW} run -q -c 1 'echo {{}}'"
    done = place.run(["/bin/sh", "-c", line], env=daemon.env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(map(int, done.stdout.split())) == list(range(1, 41))


def test_make_runs_many_at_a_time(daemon, place, folder):
    """make hands its job server down by descriptors."""
    if not shutil.which("make"):
        pytest.skip("no make here")
    rule = f"t%:\n\t+@{TASKFLOW} run -q -c 1 '$(MAKE) -s --no-print-directory -f {folder}/inner.mk $@'\n"
    (folder / "Makefile").write_text("all: " + " ".join(f"t{i}" for i in range(8)) + "\n" + rule)
    (folder / "inner.mk").write_text("t%:\n\t@echo $@\n")
    done = place.run(["make", "-s", "-j4", "-C", folder], env=daemon.env, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == [f"t{i}" for i in range(8)]


def test_timeout_and_taskflow_in_either_order(daemon, place):
    done = place.run(["timeout", "0.5", TASKFLOW, "run", "exec sleep 1000"], env=daemon.env)
    assert done.returncode == 124
    assert daemon.run("run", "timeout", "0.5", "sleep", "1000").returncode == 124
    daemon.wait_for(lambda ts: all(t["state"] == "failed" for t in ts))


def test_starting_costs_hardly_more_than_fork_and_exec(daemon):
    """Not a benchmark: that nothing waits for a timer on the way."""
    start = time.monotonic()
    for _ in range(10):
        assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0
    assert time.monotonic() - start < 3


def test_json_of_ps_is_one_object_with_a_schema(daemon):
    daemon.run("run", "true")
    done = daemon.run("ps", "-a", "--json")
    answer = json.loads(done.stdout)
    assert set(answer) == {"schema", "tasks"}
    assert pathlib.Path(answer["tasks"][0]["cwd"]).is_absolute()
