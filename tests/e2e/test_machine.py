# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's own daemon at its usual places, with a user of its own and three people."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

import harness
from harness import N_CPUS, RawClient, proc_state, read_proc, wait_until
from machine import PASS_SOCKET, SOCKET

UNITS = pathlib.Path(harness.BUILD, "dist")
SYSVINIT = pathlib.Path(__file__).parents[2] / "dist/taskflowd.sysvinit"


class Notes:
    """Where a daemon says how far it is: sd_notify(3), and the journal's socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.fspath(path))
        os.chmod(path, 0o666)
        self.socket.settimeout(harness.PATIENCE)
        self.path = path

    def wait(self, words):
        """Until a message has them; that message."""
        while True:
            message = self.socket.recv(65536).decode()
            if words in message:
                return message


def no_privilege(pid):
    status = read_proc(pid, "status").decode()
    return [re.search(rf"^{name}:\s*(.*)$", status, re.M).group(1).split() for name in ("Uid", "CapEff", "CapPrm", "CapInh", "CapAmb")]


# One queue


def test_three_people_share_one_queue_that_nobody_named(machine):
    machine.start_by_hand()
    alice, gate = machine.start("alices", "-c", str(N_CPUS), user=machine.alice)
    bob = machine.popen("run", "-n", "bobs", "-c", "1", "id -u", user=machine.bob)
    machine.wait_state("bobs", "pending")
    tasks = {task["name"]: task for task in machine.ps(user=machine.chuck)}
    assert {name: task["user"] for name, task in tasks.items()} == {"alices": "alice", "bobs": "bob"}
    assert "alice" in machine.why(tasks["bobs"]["id"], user=machine.chuck)
    for task in tasks.values():
        done = machine.run("cancel", str(task["id"]), user=machine.chuck)
        assert (done.returncode, "not yours" in done.stderr) == (1, True), done.stderr
    gate.open()
    assert (alice.wait(), bob.wait()) == (0, 0)
    assert bob.out == f"{machine.bob.uid}\n"


def test_status_says_that_it_is_everybodys_and_who_serves_it(machine):
    machine.start_by_hand()
    text = machine.run("status", user=machine.alice).stdout
    assert "of all users" in text and "of user taskflow" in text
    assert f"{SOCKET}\n" in text


def test_it_has_no_privilege_and_its_files_are_its_own(machine):
    machine.start_by_hand()
    uids, *capabilities = no_privilege(machine.daemon.pid)
    assert uids == [str(machine.keeper.uid)] * 4
    assert capabilities == [["0000000000000000"]] * 4
    folder = os.stat(machine.root / "var/lib/taskflow")
    assert (folder.st_uid, folder.st_mode & 0o777) == (machine.keeper.uid, 0o700)
    assert (machine.root / "var/lib/taskflow/lock").exists()
    assert os.stat(os.fspath(machine.root) + SOCKET).st_mode & 0o777 == 0o666


def all_below(pid):
    return [child for pid in harness.children_of(pid) for child in [pid, *all_below(pid)]]


def test_it_has_no_child_but_the_probe_which_has_no_privilege_either(machine, gpus):
    """Whatever its users run, in front of them and detached."""
    machine.own_folder(machine.keeper)
    machine.start_daemon(env=gpus.env)
    wait_until(lambda: machine.run("ps").returncode == 0, "the daemon answers")
    gate = machine.place.gate()
    detached = machine.detach("-n", "detached", "--gpu", "0:1G", gate.line, user=machine.alice)
    machine.wait_started("detached")
    proc, proc_gate = machine.start("foreground", "--gpu", "1:1G", user=machine.bob)
    waiting = machine.queue("waiting", "--gpu", "0", "--gpu", "1", user=machine.chuck)
    machine.wait_state("waiting", "pending")
    (probe,) = all_below(machine.daemon.pid)
    assert "--gpu-probe" in harness.command_line(probe)
    uids, *capabilities = no_privilege(probe)
    assert (uids, capabilities) == ([str(machine.keeper.uid)] * 4, [["0000000000000000"]] * 4)
    gate.open()
    proc_gate.open()
    assert (proc.wait(), waiting.wait()) == (0, 0)
    machine.wait_id(detached, "done", user=machine.alice)
    assert all(probe == pid for pid in all_below(machine.daemon.pid))


# Who may serve


@pytest.mark.parametrize("who", ["root", "alice"])
def test_nobody_else_may_be_the_machines_daemon(machine, who):
    done = machine.taskflowd(user={"root": None, "alice": machine.alice}[who])
    assert done.returncode == 1
    assert ("runuser -u taskflow -- taskflowd" if who == "root" else "--state DIR") in done.stderr
    assert not os.path.lexists(os.fspath(machine.root) + SOCKET)


def test_without_its_folder_it_says_how_to_make_it(machine):
    (machine.root / "run/taskflow").rmdir()
    done = machine.taskflowd(user=machine.keeper)
    assert done.returncode == 1
    assert "install -d -o taskflow /run/taskflow" in done.stderr


def test_check_config_is_about_the_machines_settings(machine):
    done = machine.taskflowd("--check-config", user=machine.alice)
    assert (done.returncode, done.stdout) == (0, "the settings are right: /etc/taskflow/taskflow.conf\n"), done.stderr


def test_where_nobody_serves_there_is_no_queue_of_ones_own(machine):
    for args, status in ((["run", "true"], 125), (["run", "-D", "true"], 125), (["ps"], 3), (["status"], 3)):
        done = machine.run(*args, user=machine.alice)
        assert (done.returncode, done.stdout) == (status, ""), args
        assert "systemctl start taskflowd.socket" in done.stderr, args
    assert not machine.place.personal_daemons()


def test_a_stranger_at_its_socket_is_not_believed(machine):
    machine.own_folder(machine.bob)
    state = machine.homes[machine.bob] / "state"
    machine.place.start(
        machine.inside(machine.bob, [machine.daemon_program, "--socket", SOCKET, "--state", state]),
        env=machine.env_of(machine.bob),
    )
    wait_until(lambda: machine.run("ps", user=machine.bob).returncode == 0, "it answers its own user")
    for args, status in ((["run", "true"], 125), (["ps"], 3)):
        done = machine.run(*args, user=machine.alice)
        assert (done.returncode, done.stdout) == (status, "")
        assert f"uid {machine.bob.uid}" in done.stderr


# With a service manager


def test_a_restart_turns_nobody_away(machine):
    notes = Notes(machine.place.folder / "notify")
    env = {"NOTIFY_SOCKET": os.fspath(notes.path)}
    with machine.listen() as listening:
        first = machine.start_daemon(env, listening)
        notes.wait("READY=1")
        alice, gate = machine.start("alices", "-c", str(N_CPUS), user=machine.alice)
        bob = machine.popen("run", "-n", "bobs", "-c", "1", "echo went", user=machine.bob)
        machine.wait_state("bobs", "pending")
        before = {task["name"]: (task["id"], task["pid"]) for task in machine.ps()}

        first.signal(signal.SIGTERM)
        notes.wait("STOPPING=1")
        assert first.wait() == 0, first.err
        assert os.path.exists(os.fspath(machine.root) + SOCKET), "its name is the service manager's"
        between = machine.popen("ps", "--json", user=machine.chuck)
        newcomer = machine.popen("run", "-n", "chucks", "true", user=machine.chuck)
        machine.start_daemon(env, listening)
        notes.wait("READY=1")

        assert between.wait() == 0, between.err
        assert (newcomer.wait(), newcomer.err) == (0, "")
        seen = {task["name"]: task for task in json.loads(between.out)["tasks"]}
        assert seen["alices"]["state"] == "running"
        machine.wait_state("bobs", "pending")
        assert {task["name"]: (task["id"], task["pid"]) for task in machine.ps() if task["name"] in before} == before
        gate.open()
        assert (alice.wait(), alice.err) == (0, "")
        assert (bob.wait(), bob.out) == (0, "went\n")
        assert "daemon" not in bob.err, "a waiting one had nothing to notice"
        machine.daemon.signal(signal.SIGHUP)
        assert notes.wait("RELOADING=1") and notes.wait("READY=1")


def test_who_was_let_in_is_answered_before_it_ends(machine):
    """A question that had come, and was not read yet, ended with the daemon."""
    with machine.listen() as listening:
        machine.start_daemon(passed=listening)
        peers = [RawClient(os.fspath(machine.root) + SOCKET) for _ in range(50)]
        for peer in peers:
            assert "parameters" in peer.call("org.varlink.service.GetInfo")
        machine.daemon.signal(signal.SIGSTOP)
        wait_until(lambda: proc_state(machine.daemon.pid) == "T", "it is stopped")
        machine.daemon.signal(signal.SIGTERM)
        for peer in peers:
            peer.send_json({"method": "io.taskflow.v1.Status", "parameters": {}})
        late = RawClient(os.fspath(machine.root) + SOCKET)
        late.send_json({"method": "io.taskflow.v1.Status", "parameters": {}})
        machine.daemon.signal(signal.SIGCONT)
        assert all("parameters" in peer.receive() for peer in peers)
        assert machine.daemon.wait() == 0, machine.daemon.err
        machine.start_daemon(passed=listening)
        assert "parameters" in late.receive(), "the next one's"
        for peer in [*peers, late]:
            peer.close()


@pytest.mark.parametrize("what", ["two", "datagram"])
def test_a_socket_of_another_kind_is_refused(machine, what):
    kind = socket.SOCK_DGRAM if what == "datagram" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as passed:
        done = machine.place.run(
            [
                "/usr/bin/python3", "-c", PASS_SOCKET, str(passed.fileno()),
                machine.daemon_program, "--config", machine.config,
            ],
            env={**machine.env, "LISTEN_FDS": "2" if what == "two" else "1"},
            pass_fds=[passed.fileno()],
        )  # fmt: skip
    assert done.returncode == 1
    assert "ListenStream" in done.stderr


def test_what_the_journal_gets_of_a_task_has_its_id_and_user(machine):
    journal = Notes(machine.root / "run/systemd/journal/socket")
    said = machine.place.folder / "said"
    with machine.listen() as listening, open(said, "wb") as stderr:
        stream = os.fstat(stderr.fileno())
        machine.start_daemon({"JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}, listening, stderr=stderr)
        assert "PRIORITY=6\n" in journal.wait("listens on")
        # A process of somebody else's as that of a task of root's.
        proc, gate = machine.start("alices", user=machine.alice)
        pidfd = os.pidfd_open(machine.task("alices")["pid"])
        with RawClient(os.fspath(machine.root) + SOCKET) as raw:
            task = {"key": "0" * 31 + "1", "command": "x", "argv": ["x"], "cwd": "/", "needs": {}}
            answer = raw.call("io.taskflow.v1.Submit", {"task": task})
            assert answer["parameters"].get("granted"), answer
            started = {"method": "io.taskflow.v1.Started", "parameters": {"id": answer["parameters"]["id"]}, "oneway": True}
            socket.send_fds(raw.socket, [json.dumps(started).encode() + b"\0"], [pidfd])
            message = journal.wait("left out")
        os.close(pidfd)
        gate.open()
        assert proc.wait() == 0
    fields = dict(line.split("=", 1) for line in message.splitlines() if "=" in line)
    assert fields["TASKFLOW_TASK"] == str(answer["parameters"]["id"])
    assert (fields["TASKFLOW_UID"], fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("0", "4", "taskflowd")
    assert fields["MESSAGE"].startswith(f"task {fields['TASKFLOW_TASK']}: ")
    assert said.read_text() == ""


# Without one


def test_the_script_for_sysvinit_starts_and_stops_it(machine):
    if not shutil.which("start-stop-daemon"):
        pytest.skip("no start-stop-daemon here")

    def script(word):
        env = {**machine.env, "TASKFLOWD": os.fspath(machine.daemon_program)}
        return machine.place.run(machine.inside(None, ["sh", SYSVINIT, word]), env=env, stdout=subprocess.DEVNULL).returncode

    (machine.root / "run/taskflow").rmdir()
    (machine.root / "var/lib/taskflow").rmdir()
    assert script("status") != 0
    assert script("start") == 0
    wait_until(lambda: machine.run("ps", user=machine.alice).returncode == 0, "it answers")
    before = machine.run("run", "-n", "one", "true", user=machine.alice)
    assert (before.returncode, before.stderr) == (0, "")
    assert script("start") == 0, "it is there already"
    assert script("status") == 0
    assert script("reload") == 0
    assert script("restart") == 0
    wait_until(lambda: machine.run("ps", user=machine.alice).returncode == 0, "it answers again")
    assert machine.task("one")["state"] == "done"
    assert script("stop") == 0
    assert machine.run("ps", user=machine.alice).returncode == 3
    assert script("status") != 0


# The units


@pytest.fixture
def units(place):
    """As built, with a program that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    if not (UNITS / "taskflowd.service").exists():
        pytest.skip(f"no units in {UNITS}")
    folder = place.make_folder("units")
    shutil.copy(UNITS / "taskflowd.socket", folder)
    text = (UNITS / "taskflowd.service").read_text()
    (folder / "taskflowd.service").write_text(re.sub(r"(?m)^(Exec\w+=)\S+/taskflowd", rf"\1{harness.TASKFLOWD}", text))
    return folder


def test_its_sandbox_scores_a_1_5_or_better(place, units):
    done = place.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", units / "taskflowd.service"])
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()


def test_its_sandbox_hides_nothing_that_it_measures(units):
    text = (units / "taskflowd.service").read_text()
    for setting in ("PrivateUsers", "ProcSubset", "ProtectProc", "PrivateDevices", "DynamicUser", "WatchdogSec"):
        assert not re.search(rf"(?m)^{setting}=", text), setting
    assert re.search(r"(?m)^User=taskflow$", text)


def test_systemd_finds_no_fault_with_the_units(place, units):
    done = place.run(["systemd-analyze", "verify", "--man=no", units / "taskflowd.socket", units / "taskflowd.service"])
    assert (done.returncode, done.stderr) == (0, "")
