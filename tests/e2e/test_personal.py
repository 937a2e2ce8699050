# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nothing is set up: the first command starts a daemon of one's own."""

import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import time

import pytest

from harness import N_CPUS, TASKFLOW, TASKFLOWD, is_alive, kill_quietly, proc_state, read_proc, wait_asleep, wait_until


def mode(path):
    return stat.S_IMODE(os.stat(path, follow_symlinks=False).st_mode)


def test_the_first_run_works_and_says_in_one_line_that_a_daemon_was_started(personal):
    done = personal.run("run", "echo went")
    assert (done.returncode, done.stdout) == (0, "went\n"), done.stderr
    assert done.stderr.count("\n") == 1
    assert "yours alone" in done.stderr
    assert personal.daemon_pid()
    assert personal.run("run", "echo again").stderr == "", "only the first time"


def test_quiet_keeps_that_line_back(personal):
    done = personal.run("run", "-q", "true")
    assert (done.returncode, done.stderr) == (0, "")


def test_twenty_at_once_start_exactly_one(personal):
    procs = [personal.popen("run", "-q", "-n", f"t{i}", f"echo {i}") for i in range(20)]
    assert [proc.wait(40) for proc in procs] == [0] * 20, [proc.err for proc in procs]
    assert [proc.out for proc in procs] == [f"{i}\n" for i in range(20)]
    personal.daemon_pid()
    assert sorted(task["name"] for task in personal.ps()) == sorted(f"t{i}" for i in range(20))
    assert {task["state"] for task in personal.ps()} == {"done"}


def test_it_ends_itself_when_there_is_nothing_to_do_and_comes_again(make_personal):
    personal = make_personal(settings={"idle_exit": "1s"})
    assert personal.run("run", "-q", "-n", "one", "true").returncode == 0
    first = personal.daemon_pid()
    wait_until(lambda: not is_alive(first), "it has ended itself", 10)
    assert personal.run("run", "-q", "-n", "two", "true").returncode == 0
    assert personal.daemon_pid() != first
    assert {task["name"] for task in personal.ps()} == {"one", "two"}


def test_it_does_not_end_while_anything_waits_or_runs(make_personal):
    personal = make_personal(settings={"idle_exit": "1s"})
    filler, gate = personal.fill()
    waiting = personal.queue("t", "-c", "1")
    first = personal.daemon_pid()
    other = make_personal(home="other", settings={"idle_exit": "1s"})
    for _ in range(2):  # it comes and goes meanwhile
        assert other.run("run", "-q", "true").returncode == 0
        wait_until(lambda: not other.daemon_pids(), "one that has nothing to do has ended")
    assert personal.daemon_pid() == first
    gate.open()
    assert (filler.wait(), waiting.wait()) == (0, 0)


def test_a_command_that_comes_when_the_daemon_has_just_gone_succeeds(make_personal):
    personal = make_personal(settings={"idle_exit": "1s"})
    socket_path = personal.runtime / "taskflow/taskflowd.sock"
    for i in range(5):
        assert personal.run("run", "-q", "-n", f"t{i}", f"exit {i}").returncode == i
        wait_until(lambda: not socket_path.exists(), "it is about to end", interval=0)
    assert {task["name"] for task in personal.ps()} == {f"t{i}" for i in range(5)}


def test_a_command_that_comes_in_the_moment_of_its_end_succeeds(make_personal):
    """The time is over and somebody has come: the daemon, which was stopped meanwhile, learns of both at once."""
    personal = make_personal(settings={"idle_exit": "1s"})
    for i in range(5):
        assert personal.run("run", "-q", "-n", f"a{i}", "true").returncode == 0
        pids = personal.daemon_pids()
        for pid in pids:
            kill_quietly(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            wait_until(lambda: time.monotonic() > stopped_at + 1.1, "it was idle for long enough")
            proc = personal.popen("run", "-q", "-n", f"b{i}", "exit 3")
            wait_asleep(proc.pid)
        finally:
            for pid in pids:
                kill_quietly(pid, signal.SIGCONT)
        assert proc.wait() == 3, proc.err
    wait_until(lambda: len(personal.ps()) == 10, "all are recorded")


def test_nobody_else_can_look_into_it(personal):
    assert personal.run("run", "-q", "true").returncode == 0
    for folder in (personal.state, personal.state / "run", personal.runtime / "taskflow"):
        assert mode(folder) == 0o700, folder
    sockets = [personal.state / "run/taskflowd.sock", personal.runtime / "taskflow/taskflowd.sock"]
    for path in sockets:
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        assert mode(path) == 0o600
    for path in personal.state.rglob("*"):
        assert mode(path) & 0o077 == 0, path


def test_without_xdg_runtime_dir_it_lives_in_the_home(make_personal):
    personal = make_personal(runtime=False)
    assert personal.run("run", "-q", "echo went").stdout == "went\n"
    assert personal.daemon_pid()
    assert stat.S_ISSOCK(os.stat(personal.state / "run/taskflowd.sock").st_mode)
    assert len(personal.ps()) == 1


def test_with_and_without_xdg_runtime_dir_it_is_the_same_daemon(personal):
    """ssh has the variable, cron has it not."""
    assert personal.run("run", "-q", "-n", "ssh", "true").returncode == 0
    env = {name: value for name, value in personal.env.items() if name != "XDG_RUNTIME_DIR"}
    done = personal.place.run([TASKFLOW, "run", "-q", "-n", "cron", "true"], env=env)
    assert done.returncode == 0, done.stderr
    personal.daemon_pid()
    assert {task["name"] for task in personal.ps()} == {"ssh", "cron"}


def test_a_runtime_folder_that_vanished_is_made_again_or_done_without(personal):
    """A logout removes it; the daemon may have outlived that."""
    filler, gate = personal.start("filler")
    shutil.rmtree(personal.runtime / "taskflow")
    assert personal.run("run", "-q", "-n", "second", "true").returncode == 0
    personal.daemon_pid()
    assert {task["name"] for task in personal.ps()} == {"filler", "second"}
    gate.open()
    assert filler.wait() == 0


def test_a_home_with_spaces_and_strange_letters(make_personal):
    personal = make_personal(home="my höme 'dir'", runtime=False)
    done = personal.run("run", "-q", "pwd; echo $HOME", cwd=personal.home)
    assert (done.returncode, done.stdout) == (0, f"{personal.home}\n{personal.home}\n"), done.stderr
    assert len(personal.ps()) == 1


def test_a_home_whose_name_is_too_long_for_a_socket_is_served_or_refused_clearly(make_personal):
    personal = make_personal(home="h" * 120, runtime=False)
    done = personal.run("run", "-q", "echo went")
    if done.returncode == 0:
        assert done.stdout == "went\n"
    else:
        assert done.returncode == 125
        assert done.stderr.count("\n") == 1 and "socket" in done.stderr


def test_a_home_that_cannot_be_written_is_a_clear_error(place, users, programs):
    if os.path.isdir("/run/taskflow"):
        pytest.skip("this machine has a daemon")
    home = place.make_folder("sealed", 0o555)
    for home, word in ((home, str(home)), (pathlib.Path("/nonexistent"), "/nonexistent")):
        env = place.env(HOME=home)
        done = place.run([programs / "taskflow", "run", "true"], env=env, cwd="/", **users[0].kwargs())
        assert done.returncode == 125
        assert word in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1


def test_no_home_at_all_is_a_clear_error_or_found_in_the_password_file(place, users, programs):
    if os.path.isdir("/run/taskflow"):
        pytest.skip("this machine has a daemon")
    done = place.run([programs / "taskflow", "run", "true"], env=place.env(HOME=None), cwd="/", **users[0].kwargs())
    assert done.returncode == 125
    assert "HOME" in done.stderr or "home" in done.stderr or "/nonexistent" in done.stderr


def test_it_starts_clean(personal, folder):
    """Nothing of the shell that happened to be first sticks to it (decisions.md 11)."""

    def mine():
        os.umask(0o002)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    with open(folder / "inherited", "w", encoding="ascii") as file:
        os.set_inheritable(file.fileno(), True)
        done = personal.run(
            "run", "-q", "true", env={"SECRET": "password", "LD_PRELOAD": "", "LC_ALL": "C"}, preexec_fn=mine,
            pass_fds=[file.fileno()], restore_signals=False,
        )
        assert done.returncode == 0, done.stderr
    pid = personal.daemon_pid()
    environ = read_proc(pid, "environ").decode()
    assert "SECRET" not in environ and "LD_PRELOAD" not in environ
    assert f"HOME={personal.home}" in environ
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.getsid(pid) == pid or os.getsid(pid) != os.getsid(0)
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not any("inherited" in link for link in links)
    status = read_proc(pid, "status").decode()
    assert re.search(r"^Umask:\s+0077$", status, re.M)
    assert int(re.search(r"^SigIgn:\s+(\w+)$", status, re.M).group(1), 16) & 1 == 0, "SIGHUP is not ignored"
    assert len(os.sched_getaffinity(pid)) == len(os.sched_getaffinity(1))
    soft, hard = re.search(r"^Max open files\s+(\d+)\s+(\d+)", read_proc(pid, "limits").decode(), re.M).groups()
    assert soft == hard


def test_it_outlives_the_terminal_that_started_it(personal):
    terminal = personal.place.terminal(env=personal.env)
    terminal.do(f"{TASKFLOW} run -q true")
    pid = personal.daemon_pid()
    terminal.close()
    assert len(personal.ps()) == 1  # of a daemon that has had all signals that there were
    assert personal.daemon_pid() == pid


def test_it_is_nobodys_zombie_and_has_none(personal):
    for _ in range(3):
        assert personal.run("run", "-q", "true").returncode == 0
    pid = personal.daemon_pid()
    assert proc_state(pid) in "SR"
    assert read_proc(pid, "status").decode().split("PPid:")[1].split()[0] != str(os.getpid())


def test_a_stale_socket_is_no_hindrance(personal):
    assert personal.run("run", "-q", "true").returncode == 0
    personal.kill_daemon()
    assert (personal.state / "run/taskflowd.sock").exists()
    assert personal.run("run", "-q", "echo went").stdout == "went\n"


def test_ps_without_a_daemon_needs_none_to_have_run_before(personal):
    done = personal.run("ps")
    assert done.returncode in (0, 3)
    assert personal.run("ps", "-q").stdout == ""


def test_bad_settings_of_ones_own_are_said_with_file_and_line(make_personal):
    personal = make_personal(settings={"sample_interval": "soon"})
    done = personal.run("run", "true")
    assert done.returncode == 125
    assert "taskflow.conf" in done.stderr and "line 2" in done.stderr and "soon" in done.stderr, done.stderr


def test_a_second_daemon_on_the_same_state_is_refused(personal):
    assert personal.run("run", "-q", "true").returncode == 0
    pid = personal.daemon_pid()
    done = personal.place.run([TASKFLOWD, "--state", personal.state, "--socket", personal.place.folder / "other"])
    assert done.returncode != 0
    assert done.stderr.strip()
    assert personal.daemon_pid() == pid
    assert personal.run("run", "-q", "true").returncode == 0


def test_status_says_whose_queue_it_is(personal):
    personal.run("run", "-q", "true")
    text = personal.run("status").stdout
    assert re.search(r"queue:.*\balone\b", text), text


def test_the_state_of_another_machine_is_left_alone(make_personal):
    """A home on NFS: the folder names the machine that uses it."""
    personal = make_personal(runtime=False)
    assert personal.run("run", "-q", "-n", "here", "true").returncode == 0
    personal.kill_daemon(signal.SIGTERM)
    machine_id = pathlib.Path("/etc/machine-id")
    if not machine_id.exists() or not machine_id.read_text().strip():
        pytest.skip("this machine has no id")
    own = machine_id.read_text().strip()
    marked = [p for p in personal.state.iterdir() if p.is_file() and own in p.read_text(errors="replace")]
    assert marked, "the state names the machine"
    for path in marked:
        path.write_text(path.read_text().replace(own, "0" * 32))
    assert personal.run("run", "-q", "-n", "elsewhere", "true").returncode == 0
    assert [task["name"] for task in personal.ps()] == ["elsewhere"]
    assert (personal.state / socket.gethostname()).is_dir()


def test_a_socket_that_somebody_else_listens_at_is_not_trusted(make_personal, users):
    """In the place of one's own daemon sits a stranger: he learns nothing and starts nothing."""
    personal = make_personal(runtime=False)
    stranger = users[1]
    run = personal.state / "run"
    run.mkdir(parents=True)
    os.chmod(personal.place.folder, 0o777)
    code = (
        "import socket,sys,os\n"
        "s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); os.chmod(sys.argv[1],0o777)\n"
        "print('ready',flush=True)\n"
        "while 1:\n"
        " c,_=s.accept(); d=c.recv(65536); print('HEARD' if d else 'nothing',flush=True)\n"
    )
    os.chmod(personal.home, 0o777)
    for folder in (personal.home / ".local", personal.home / ".local/state", personal.state, run):
        os.chmod(folder, 0o777)
    listener = personal.place.start(
        ["/usr/bin/python3", "-c", code, run / "taskflowd.sock"], cwd="/", **stranger.kwargs()
    )
    wait_until(lambda: "ready" in listener.out, "the stranger listens")
    done = personal.run("run", "-q", "echo went")
    assert "HEARD" not in listener.out
    assert (done.returncode, done.stdout) in ((0, "went\n"), (125, "")), done.stderr


def test_a_machine_daemon_that_is_not_there_is_not_replaced_by_one_of_ones_own(place):
    """/run/taskflow exists and nobody listens: 125, with what to do (decisions.md 28)."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root, and unshare, for a /run of its own")

    def on_such_a_machine(*args):
        line = 'mount -t tmpfs tmpfs /run && mkdir /run/taskflow && exec "$@"'
        return place.run(["unshare", "-m", "sh", "-c", line, "sh", TASKFLOW, *args])

    if on_such_a_machine("--version").returncode != 0:
        pytest.skip("no mount namespaces here")
    done = on_such_a_machine("run", "true")
    assert done.returncode == 125
    assert "/run/taskflow" in done.stderr and "systemctl" in done.stderr, done.stderr
    assert on_such_a_machine("ps").returncode == 3
    assert place.personal_daemons() == []


def test_the_personal_defaults(personal):
    filler, gate = personal.fill()
    for name, priority in (("a", "medium"), ("b", "high")):
        personal.queue(name, "-c", str(N_CPUS), "-p", priority)
    assert [t["name"] for t in personal.ps() if t["state"] == "pending"] == ["b", "a"]
    done = personal.run("run", "-w", "0", "-d", "2d", "-m", "1M", "true")
    assert (done.returncode, done.stderr) == (0, ""), "max_delay is inf"
    gate.open()
    assert filler.wait() == 0
