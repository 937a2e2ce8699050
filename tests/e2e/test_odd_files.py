# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, FIFOs and other things in the place of each file that is opened: nothing hangs, and nobody is led to a file of somebody else's."""

import os
import shutil
import signal
import socket

import pytest

import harness
from harness import wait_until

KINDS = ["link", "dangling link", "fifo", "folder", "socket", "device"]


class Odd:
    """Puts something odd where a file was, and knows what may not have been touched."""

    def __init__(self, folder, user=None):
        self.folder = folder
        self.user = user
        self.canary = folder / "canary"
        self.outside = folder / "outside"

    def put(self, kind, path):
        self.canary.write_bytes(b"tweet " * 1000)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        if kind == "link":
            path.symlink_to(self.canary)
        elif kind == "dangling link":
            path.symlink_to(self.outside)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "socket":
            dir_fd = os.open(path.parent, os.O_PATH)
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(f"/proc/self/fd/{dir_fd}/{path.name}")  # the name itself may be too long
            os.close(dir_fd)
        if self.user:
            for mine in (self.canary, path):
                os.chown(mine, self.user.uid, self.user.gid, follow_symlinks=False)

    def check(self):
        assert self.canary.read_bytes() == b"tweet " * 1000
        assert not os.path.lexists(self.outside)


# The daemon


STATE_FILES = [
    "taskflow.db", "taskflow.db-wal", "taskflow.db-shm", "taskflow.db-journal", "taskflow.db.lock", "taskflow.ids", "lock",
]  # fmt: skip


def test_these_are_all_the_files_of_the_state(daemon):
    daemon.run("run", "true")
    daemon.wait_recorded()
    assert {path.name for path in daemon.state.iterdir()} <= set(STATE_FILES)


@pytest.mark.parametrize("name", STATE_FILES)
def test_something_odd_in_the_state_of_the_daemon(make_shared, users, name):
    """It serves all the same, or ends with a line that names it."""
    shared = make_shared()
    daemon = shared.daemon
    assert daemon.run("run", "-q", "true", user=shared.alice, cwd="/").returncode == 0
    daemon.stop()
    good = daemon.folder / "good"
    shutil.copytree(daemon.state, good)
    odd = Odd(daemon.folder, users[2])
    for kind in KINDS:
        shutil.rmtree(daemon.state)
        shutil.copytree(good, daemon.state)
        for path in [daemon.state, *daemon.state.iterdir()]:
            os.chown(path, users[2].uid, users[2].gid)
        odd.put(kind, daemon.state / name)
        before = len(daemon.log_text())
        proc = daemon.launch()
        wait_until(lambda: proc.poll() is not None or daemon.answers(), f"{name} as a {kind}: it serves, or has ended")
        if proc.poll() is None:
            assert daemon.run("run", "-q", "true", user=shared.bob, cwd="/").returncode == 0
            daemon.stop()
        else:
            said = daemon.log_text()[before:]
            assert proc.returncode == 1 and name in said, (kind, said)
        odd.check()


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_as_settings(make_shared, kind):
    """A start says what is wrong with them; a reload keeps what was."""
    shared = make_shared()
    daemon = shared.daemon
    Odd(daemon.folder).put(kind, daemon.config)
    before = len(daemon.log_text())
    daemon.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.log_text()) > before, "it has a word about them")
    assert daemon.run("run", "-q", "true", user=shared.bob, cwd="/").returncode == 0
    daemon.stop()
    before = len(daemon.log_text())
    proc = daemon.launch()
    wait_until(lambda: proc.poll() is not None or daemon.answers(), "it serves, or has ended")
    if proc.poll() is None:
        assert kind == "fifo", "nobody has written anything: all is as by default"
    else:
        assert proc.returncode == 1 and daemon.config.name in daemon.log_text()[before:]


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_where_the_socket_belongs(make_daemon, kind):
    """Only a socket is taken away for another; also not one that a link leads to."""
    daemon = make_daemon()
    daemon.stop()
    odd = Odd(daemon.folder)
    odd.put(kind, daemon.socket)
    proc = daemon.launch()
    wait_until(lambda: proc.poll() is not None or daemon.answers(), "it serves, or has ended")
    if kind == "socket":
        assert proc.poll() is None
    else:
        assert proc.returncode == 1
        assert "something that is not a socket" in daemon.log_text()
        assert os.path.lexists(daemon.socket)
    odd.check()


def test_a_link_to_the_socket_of_another_daemon_is_not_followed(make_daemon):
    victim, other = make_daemon(), make_daemon()
    other.stop()
    other.socket.symlink_to(victim.socket)
    assert other.launch().wait(harness.PATIENCE) == 1
    assert victim.socket.is_socket() and victim.run("run", "-q", "true").returncode == 0


# The agent, keepers, the foreground


AGENT_FILES = [
    *("agent.db", "agent.db-wal", "agent.db-shm", "agent.db-journal"),
    *("epoch", "lock", "sock", "agent.log", "logs", "run"),
]


def agent_folder(daemon):
    (folder,) = daemon.place.home.glob(".local/state/taskflow/agent-*")
    return folder


def end_agent(place):
    place.end_agents()
    wait_until(lambda: not place.agents(), "the agent has ended")


def test_these_are_all_the_files_of_an_agent(daemon):
    task_id = daemon.detach("true")
    assert daemon.run("wait", task_id).returncode == 0
    assert {path.name for path in agent_folder(daemon).iterdir()} <= set(AGENT_FILES)


@pytest.mark.parametrize("name", AGENT_FILES)
def test_something_odd_in_the_folder_of_an_agent(daemon, place, name):
    """The task is queued and runs, or `run -D` says in one line why not."""
    assert daemon.run("wait", daemon.detach("true")).returncode == 0
    end_agent(place)
    folder = agent_folder(daemon)
    good = place.folder / "good"
    shutil.copytree(folder, good, ignore=shutil.ignore_patterns("sock"))
    odd = Odd(place.folder)
    for kind in KINDS:
        shutil.rmtree(folder)
        shutil.copytree(good, folder)
        odd.put(kind, folder / name)
        done = daemon.run("run", "-D", "echo here", timeout=40)
        if done.returncode == 0:
            assert daemon.run("wait", done.stdout.strip()).returncode == 0, kind
            assert daemon.logs(done.stdout.strip()) == "here\n", kind
        else:
            assert (done.returncode, done.stdout) == (125, ""), (kind, done)
            assert done.stderr.count("\n") == 1, (kind, done.stderr)
        end_agent(place)
        odd.check()


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_where_the_log_of_a_task_belongs(daemon, place, kind):
    """Its name can be foreseen. The command does not run without its log, and no other task is held up."""
    first = daemon.detach("true")
    assert daemon.run("wait", first).returncode == 0
    odd = Odd(place.folder)
    odd.put(kind, agent_folder(daemon) / "logs" / f"{int(first) + 1}.log")
    task_id = daemon.detach(f"echo went > {place.folder}/went")
    assert int(task_id) == int(first) + 1
    assert daemon.run("wait", task_id).returncode == 125
    assert not (place.folder / "went").exists()
    assert daemon.run("wait", daemon.detach("true")).returncode == 0
    assert daemon.run("logs", task_id, timeout=5).returncode in (0, 1)
    odd.check()


def test_an_output_that_nobody_reads_holds_up_nobody(daemon, folder):
    os.mkfifo(folder / "pipe")
    task_id = daemon.detach("-o", folder / "pipe", "echo here")
    assert daemon.run("wait", task_id).returncode == 125
    done = daemon.run("logs", task_id)
    assert done.returncode == 1 or done.stdout == ""
    assert daemon.run("wait", daemon.detach("true")).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_among_the_records_of_ends(daemon, place, kind):
    """What a runner leaves for the next command to tell."""
    records = place.home / ".local/state/taskflow/ended"
    records.mkdir(parents=True)
    odd = Odd(place.folder)
    for name in ("1-" + "0" * 32, "nonsense"):
        odd.put(kind, records / name)
    assert daemon.run("run", "-q", "true").returncode == 0
    assert daemon.run("ps").returncode == 0
    odd.check()


@pytest.mark.parametrize("kind", KINDS)
def test_something_odd_as_the_name_of_the_machine(personal, place, kind):
    """Whose state it is cannot be read then: it is as if it were not there."""
    personal.state.mkdir(parents=True)
    odd = Odd(place.folder)
    odd.put(kind, personal.state / "machine-id")
    assert personal.run("run", "-q", "true").returncode == 0
    odd.check()
