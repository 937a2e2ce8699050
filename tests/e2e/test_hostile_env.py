# SPDX-License-Identifier: GPL-3.0-or-later
"""HOME, PATH, TMPDIR, LD_PRELOAD, XDG_RUNTIME_DIR and TASKFLOW_SOCKET as somebody may have set them who means harm, or did not know better."""

import json
import os
import shutil

import pytest

from harness import TASKFLOW, read_proc, wait_until

# Variables that make a program do what it would not, and what nobody may hand to it with them.
POISON = {
    "LD_PRELOAD": "/nonexistent/evil.so",
    "LD_AUDIT": "/nonexistent/evil.so",
    "TMPDIR": "/nonexistent/tmp",
    "SQLITE_TMPDIR": "/nonexistent/tmp",
    "GCONV_PATH": "/nonexistent/gconv",
    "LISTEN_FDS": "3",
    "LISTEN_PID": "1",
    "NOTIFY_SOCKET": "/nonexistent/notify",
    "JOURNAL_STREAM": "1:1",
    "BASH_ENV": "/nonexistent/rc",
    "MALLOC_CHECK_": "3",
    "TZ": ":/nonexistent/zone",
}


def environ_of(pid):
    return dict(word.split("=", 1) for word in read_proc(pid, "environ").decode().split("\0") if "=" in word)


def test_what_is_started_on_demand_has_nothing_of_it_and_the_command_has_all(personal, place):
    done = personal.run("run", "-q", "env", env=POISON)
    assert done.returncode == 0, done.stderr
    assert {f"{name}={value}" for name, value in POISON.items()} <= set(done.stdout.splitlines())
    task_id = personal.detach("env", env=POISON)
    assert personal.run("wait", task_id).returncode == 0
    assert {f"{name}={value}" for name, value in POISON.items()} <= set(personal.logs(task_id).splitlines())
    for pid in [*personal.daemon_pids(), *place.agents()]:
        assert not set(environ_of(pid)) & set(POISON), pid


def test_the_environment_of_who_asks_does_not_reach_the_daemon_of_all(shared):
    done = shared.daemon.run("run", "-q", "true", user=shared.alice, cwd="/", env=POISON)
    assert (done.returncode, done.stdout) == (0, "")
    assert not set(environ_of(shared.daemon.pid)) & set(POISON)


def test_programs_of_others_in_path_are_not_taken(personal, place):
    """Those beside taskflow are its own; of a relative folder none is."""
    evil = place.make_folder("evil")
    for name in ("taskflowd", "taskflow-agent", "taskflow-keeper", "systemd-run", "loginctl", "systemctl", "sh"):
        (evil / name).write_text(f"#!/bin/sh\necho $0 >>{place.folder}/called\n")
        (evil / name).chmod(0o755)
    env = {"PATH": f"{evil}:.:{os.environ['PATH']}"}
    assert personal.run("run", "-q", "true", env=env).returncode == 0
    task_id = personal.detach("true", env=env)
    assert personal.run("wait", task_id, env=env).returncode == 0
    assert not (place.folder / "called").exists(), (place.folder / "called").read_text()


def test_no_program_is_taken_from_a_relative_path(place):
    """taskflow alone, as nobody installs it: what it would start must come from somewhere."""
    lonely = place.make_folder("lonely")
    shutil.copy(TASKFLOW, lonely)
    here = place.make_folder("here")
    (here / "taskflowd").write_text(f"#!/bin/sh\ntouch {place.folder}/called\n")
    (here / "taskflowd").chmod(0o755)
    for path in (".", "", ":", "../here", ".:"):
        done = place.run([lonely / "taskflow", "run", "true"], env=place.env(PATH=path), cwd=here)
        assert (done.returncode, "install it" in done.stderr) == (125, True), done
    assert not (place.folder / "called").exists()


# Whose home it is


def test_what_root_would_run_is_not_looked_for_in_the_home_of_another(daemon, users):
    """As `sudo` without -H, or `su`, leaves it: whoever has the home could put a task there."""
    alice = users[0]
    home = daemon.place.make_folder("alices")
    os.chown(home, alice.uid, alice.gid)
    for args in (["run", "-D", "true"], ["agent", "status"], ["agent", "stop"]):
        done = daemon.run(*args, env={"HOME": home})
        assert done.returncode in (1, 3, 125) and done.stdout == "", done
        assert f"belongs to another user (uid {alice.uid}): set HOME or XDG_STATE_HOME" in done.stderr, done
    assert list(home.iterdir()) == []
    done = daemon.run("run", "echo went", env={"HOME": home})
    assert (done.returncode, done.stdout) == (0, "went\n"), "a terminal's own task needs nothing there"
    own = daemon.place.make_folder("own")
    task_id = daemon.detach("true", env={"HOME": home, "XDG_STATE_HOME": own})
    assert daemon.run("wait", task_id).returncode == 0


@pytest.mark.parametrize("home", ["/dev/null", "/proc", "/sys", "/nonexistent/x", "relative", "", "/dev/full"])
def test_a_home_that_is_none(shared, home):
    """A terminal's task runs; a detached one cannot be kept, and that is said."""
    daemon = shared.daemon
    done = daemon.run("run", "echo went", env={"HOME": home}, user=shared.alice, cwd="/")
    assert (done.returncode, done.stdout) == (0, "went\n"), done.stderr
    done = daemon.run("run", "-D", "true", env={"HOME": home}, user=shared.alice, cwd="/")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1), done


# Whose socket it is


LISTENER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
os.chmod(sys.argv[1], 0o777)
print("ready", flush=True)
while True:
    c, _ = s.accept()
    print("HEARD" if c.recv(65536) else "nothing", flush=True)
"""


def stranger_at(place, user, path):
    """Somebody else who listens there, and says what he hears."""
    proc = place.start(["/usr/bin/python3", "-c", LISTENER, path], cwd="/", **user.kwargs())
    wait_until(lambda: "ready" in proc.out, "the stranger listens")
    return proc


def test_a_runtime_folder_that_others_may_write_to_is_not_used(make_personal, users):
    """XDG_RUNTIME_DIR=/tmp: anybody may be there first."""
    personal = make_personal()
    os.chmod(personal.runtime, 0o1777)
    folder = personal.runtime / "taskflow"
    folder.mkdir()
    folder.chmod(0o777)
    stranger = stranger_at(personal.place, users[1], folder / "taskflowd.sock")
    done = personal.run("run", "echo went")
    assert (done.returncode, done.stdout) == (0, "went\n"), done.stderr
    assert personal.run("ps").returncode == 0
    assert "HEARD" not in stranger.out


def test_the_runtime_folder_of_another_is_not_used(make_personal, users):
    personal = make_personal()
    folder = personal.runtime / "taskflow"
    folder.mkdir()
    os.chown(personal.runtime, users[1].uid, users[1].gid)
    os.chown(folder, users[1].uid, users[1].gid)
    os.chmod(personal.place.folder, 0o755)
    stranger = stranger_at(personal.place, users[1], folder / "taskflowd.sock")
    done = personal.run("run", "echo went")
    assert (done.returncode, done.stdout) == (0, "went\n"), done.stderr
    assert "HEARD" not in stranger.out


def test_the_machines_folder_is_nobodys_who_is_not_its_user(machine):
    """Who has taken its socket hears nothing, and nobody gets a queue of his own beside it (decisions.md 28, 31)."""
    machine.own_folder(machine.bob)
    path = machine.root / "run/taskflow/taskflowd.sock"
    stranger = machine.place.start(
        machine.inside(machine.bob, ["/usr/bin/python3", "-c", LISTENER, "/run/taskflow/taskflowd.sock"]), cwd="/")
    wait_until(lambda: "ready" in stranger.out, "the stranger listens")
    assert path.is_socket()
    for args, status in ((["run", "true"], 125), (["run", "-D", "true"], 125), (["ps"], 3), (["cancel", "1"], 3)):
        done = machine.run(*args, user=machine.alice)
        assert (done.returncode, done.stdout) == (status, ""), (args, done)
        assert f"uid {machine.bob.uid}" in done.stderr, (args, done.stderr)
    assert "HEARD" not in stranger.out
    assert not machine.place.personal_daemons()
    stranger.end()
    assert machine.taskflowd(user=machine.keeper).returncode == 1, "a socket of another's in a folder of another's"


def test_a_socket_that_is_named_is_ones_own_choice_and_runs_nothing_else(place, users):
    """The stranger at TASKFLOW_SOCKET may refuse, and that is all."""
    os.chmod(place.folder, 0o777)
    answer = json.dumps({"error": "io.taskflow.v1.Failed", "parameters": {"message": "no"}})
    code = LISTENER.replace('print("HEARD" if c.recv(65536) else "nothing", flush=True)',
                            f"c.recv(65536); c.sendall({answer!r}.encode() + b'\\0')")
    proc = place.start(["/usr/bin/python3", "-c", code, place.folder / "s"], cwd="/", **users[1].kwargs())
    wait_until(lambda: "ready" in proc.out, "the stranger listens")
    done = place.run([TASKFLOW, "run", "echo went"], env=place.env(TASKFLOW_SOCKET=place.folder / "s"))
    assert (done.returncode, done.stdout) == (125, ""), done
