# SPDX-License-Identifier: GPL-3.0-or-later
"""`taskflow run` against a daemon that is scripted: slow, silent, forgetful, or hostile.

What no real daemon does at will can be said here word by word: an answer that gets lost, an offer that is taken back, GPUs that
are none. The other half of the conversation is in src/runner/conversation.c.
"""

import json
import os
import signal
import socket
import time

import pytest

from harness import PATIENCE, Commands, children_of, is_alive, proc_state, read_proc, wait_asleep, wait_until

INTERFACE = "io.taskflow.v1."
DATABASE = "0123456789abcdef0123456789abcdef"
UUID = "GPU-8f0c2a3e-1b2c-3d4e-5f60-718293a4b5c6"


class Connection:
    """One taskflow that has come."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.data = b""
        self.fds = []

    def receive(self):
        """The next message; None if the other side has gone."""
        while b"\0" not in self.data:
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, 4)
            self.fds += fds
            if not data:
                return None
            self.data += data
        text, _, self.data = self.data.partition(b"\0")
        return json.loads(text)

    def expect(self, method):
        """Parameters of the next call, which is this one; calls for why and looks are passed over, but not for ever."""
        until = time.monotonic() + 2 * PATIENCE
        while True:
            message = self.receive()
            assert time.monotonic() < until, f"{method} does not come"
            assert message is not None, f"the connection has ended; {method} was expected"
            if message["method"] == INTERFACE + method:
                return message["parameters"]
            assert message["method"] in (INTERFACE + "Why", INTERFACE + "Used"), message
            if message["method"] == INTERFACE + "Why":
                self.reply(id=message["parameters"]["id"], state="pending")

    def expect_end(self):
        while True:
            message = self.receive()
            if message is None:
                return
            assert message["method"] == INTERFACE + "Used", message

    def send(self, message):
        self.sock.sendall((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\0")

    def reply(self, **parameters):
        self.send({"parameters": parameters})

    def refuse(self, name, message):
        self.send({"error": INTERFACE + name, "parameters": {"message": message}})

    def call(self, method, **parameters):
        self.send({"method": INTERFACE + method, "parameters": parameters, "oneway": True})

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.sock.close()

    # What is said often

    def queue(self, task_id=12, **extra):
        """Takes a Submit, and lets the task wait."""
        submit = self.expect("Submit")
        self.reply(id=task_id, database=DATABASE, delay_us=0, look_interval_us=10_000_000, **extra)
        return submit

    def grant(self, task_id=12, **extra):
        """Takes a Submit, and grants it at once."""
        return self.queue(task_id, granted=True, **extra)


class Odd(Commands):
    """A socket at which the test itself answers."""

    def __init__(self, place):
        self.place = place
        self.path = place.folder / "odd"
        self.env = place.env(TASKFLOW_SOCKET=self.path)
        self.connections = []
        self.listener = None
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(self.path))
        self.listener.listen(16)
        self.listener.settimeout(PATIENCE)

    def accept(self):
        connection = Connection(self.listener.accept()[0])
        self.connections.append(connection)
        return connection

    def go(self):
        """As if the daemon had died."""
        self.listener.close()
        self.path.unlink()
        for connection in self.connections:
            connection.close()
        self.connections = []


@pytest.fixture
def odd(place):
    daemon = Odd(place)
    yield daemon
    for connection in daemon.connections:
        connection.close()
    daemon.listener.close()


def touch(folder):
    """A command that leaves a line each time it runs."""
    return f"echo ran >>{folder}/ran"


def n_runs(folder):
    path = folder / "ran"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def folder(place):
    return place.make_folder("work")


# Before it is queued


def test_a_grant_in_the_answer_needs_no_accept(odd, folder):
    proc = odd.popen("run", touch(folder) + "; exit 4")
    connection = odd.accept()
    submit = connection.grant()
    assert submit["task"]["argv"] == [touch(folder) + "; exit 4"]
    connection.expect("Started")
    assert connection.fds, "with a pidfd"
    ended = connection.expect("Ended")
    assert (ended["id"], ended["state"], ended["exit_status"]) == (12, "failed", 4)
    assert proc.is_running(), "its status is returned once the daemon has it"
    connection.reply()
    assert proc.wait() == 4
    assert n_runs(folder) == 1


def test_a_submit_whose_answer_was_lost_is_said_again_with_its_key(odd, folder):
    proc = odd.popen("run", touch(folder))
    keys = []
    for _ in range(3):
        connection = odd.accept()
        keys.append(connection.expect("Submit")["task"]["key"])
        connection.close()
    connection = odd.accept()
    keys.append(connection.grant()["task"]["key"])
    assert len(set(keys)) == 1 and len(keys[0]) == 32
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply()
    assert proc.wait() == 0
    assert n_runs(folder) == 1


def test_two_tasks_have_two_keys(odd):
    keys = set()
    for _ in range(2):
        proc = odd.popen("run", "true")
        connection = odd.accept()
        keys.add(connection.grant()["task"]["key"])
        connection.expect("Started")
        connection.expect("Ended")
        connection.reply()
        assert proc.wait() == 0
    assert len(keys) == 2


def test_a_daemon_that_never_answers_is_given_up_with_125(odd, folder):
    proc = odd.popen("run", touch(folder))
    while proc.is_running():
        odd.listener.settimeout(1)
        try:
            connection = odd.accept()
        except TimeoutError:
            continue
        connection.close()
    assert proc.wait() == 125
    assert "without an answer" in proc.err
    assert n_runs(folder) == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage",
        b"{}",
        b'{"parameters":{}}',
        b'{"parameters":{"id":0,"database":"x"}}',
        b'{"parameters":{"id":"12"}}',
        b'{"error":"io.taskflow.v1.BadRequest","parameters":{"message":"no"}}',
        b"[" * 100_000,
    ],
    ids=["garbage", "empty", "no id", "id 0", "id text", "error", "brackets"],
)
def test_an_answer_that_makes_no_sense_is_125_and_starts_nothing(odd, folder, answer):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    connection.expect("Submit")
    connection.send(answer)
    assert proc.wait() == 125
    assert proc.err.startswith("taskflow: ")
    assert n_runs(folder) == 0


@pytest.mark.parametrize(
    "gpus",
    [
        [],
        [{"uuid": "GPU-1,GPU-2", "index": 0, "bytes": 1}],
        [{"uuid": "GPU 1", "index": 0, "bytes": 1}],
        [{"uuid": "x" * 81, "index": 0, "bytes": 1}],
        [{"uuid": UUID, "index": 0, "bytes": 1}, {"uuid": UUID, "index": 1, "bytes": 1}],
    ],
    ids=["none", "two in one", "blank", "long", "too many"],
)
def test_gpus_that_make_no_sense_start_nothing(odd, folder, gpus):
    proc = odd.popen("run", "--gpu", "0:1", touch(folder))
    odd.accept().grant(gpus=gpus, pin=True)
    assert proc.wait() == 125
    assert n_runs(folder) == 0


def test_what_the_daemon_says_cannot_write_to_the_terminal(odd):
    proc = odd.popen("run", "true")
    connection = odd.accept()
    connection.expect("Submit")
    connection.refuse("Limit", "no \x1b[2J\nmore")
    assert proc.wait() == 125
    assert proc.err == "taskflow: no ^[[2J^Jmore\n"


def test_notices_are_said_unless_quiet(odd):
    for quiet in (False, True):
        proc = odd.popen("run", *(["-q"] if quiet else []), "true")
        connection = odd.accept()
        connection.grant(notices=["the delay was cut"])
        connection.expect("Started")
        connection.expect("Ended")
        connection.reply()
        assert proc.wait() == 0
        assert proc.err == ("" if quiet else "taskflow: the delay was cut\n")


def test_a_question_needs_no_command(odd):
    proc = odd.popen("run", "--dry-run", "-m", "1G")
    connection = odd.accept()
    assert connection.expect("DryRun")["task"]["needs"] == {"memory_bytes": 1 << 30}
    connection.reply(could_start=True)
    assert proc.wait() == 0
    assert proc.out == "it could start now\n"


# While it waits


def test_an_offer_is_accepted_and_only_the_word_of_the_daemon_starts_it(odd, folder):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    connection.queue()
    connection.call("Offer", id=12, offer=3)
    accept = connection.expect("Accept")
    assert (accept["id"], accept["offer"]) == (12, 3)
    wait_asleep(proc.pid)
    assert children_of(proc.pid) == [] and n_runs(folder) == 0
    connection.reply()
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply()
    assert proc.wait() == 0
    assert n_runs(folder) == 1


def test_an_offer_that_was_taken_back_starts_nothing_and_the_next_one_does(odd, folder):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    connection.queue()
    connection.call("Offer", id=12, offer=1)
    connection.expect("Accept")
    connection.refuse("WrongState", "it was taken back")
    connection.call("Offer", id=13, offer=2)  # nobody's
    connection.call("Offer", id=12, offer=3)
    assert connection.expect("Accept")["offer"] == 3
    assert children_of(proc.pid) == [] and n_runs(folder) == 0
    connection.reply()
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply()
    assert proc.wait() == 0
    assert n_runs(folder) == 1


def test_a_connection_lost_behind_the_accept_is_no_start(odd, folder):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    submit = connection.queue()
    connection.call("Offer", id=12, offer=1)
    connection.expect("Accept")
    connection.close()

    connection = odd.accept()
    attach = connection.expect("Attach")
    assert attach["database"] == DATABASE and not attach.get("started")
    assert attach["task"]["key"] == submit["task"]["key"] and attach["task"]["id"] == 12
    assert n_runs(folder) == 0
    connection.reply(id=12, state="pending", look_interval_us=10_000_000)
    connection.call("Offer", id=12, offer=7)
    connection.expect("Accept")
    connection.reply()
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply()
    assert proc.wait() == 0
    assert n_runs(folder) == 1
    assert proc.err == "", "it was back at once: nothing to say"


def test_another_database_may_give_another_id(odd):
    proc = odd.popen("run", "echo $TASKFLOW_TASK_ID")
    connection = odd.accept()
    connection.queue()
    connection.close()
    connection = odd.accept()
    connection.expect("Attach")
    connection.reply(id=99, state="pending", look_interval_us=10_000_000)
    connection.call("Offer", id=99, offer=1)
    connection.expect("Accept")
    connection.reply()
    assert connection.expect("Started")["id"] == 99
    assert connection.expect("Ended")["id"] == 99
    connection.reply()
    assert proc.wait() == 0
    assert proc.out == "99\n"


def test_a_task_that_was_given_up_meanwhile_is_125(odd, folder):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    connection.queue()
    connection.close()
    connection = odd.accept()
    connection.expect("Attach")
    connection.reply(id=12, state="cancelled", look_interval_us=10_000_000)
    assert proc.wait() == 125
    assert n_runs(folder) == 0


def test_a_withdrawn_task_says_why(odd, folder):
    proc = odd.popen("run", touch(folder))
    connection = odd.accept()
    connection.queue()
    connection.call("Withdrawn", id=12, reason="cancelled by root")
    assert proc.wait() == 125
    assert "cancelled by root" in proc.err
    assert n_runs(folder) == 0


def test_a_signal_withdraws_and_does_not_wait_long_for_the_daemon(odd):
    proc = odd.popen("run", "true")
    connection = odd.accept()
    connection.queue()
    wait_asleep(proc.pid)  # it knows its id
    proc.signal(signal.SIGTERM)
    begin = time.monotonic()
    assert connection.expect("Withdraw")["id"] == 12
    assert proc.wait() == -signal.SIGTERM
    assert time.monotonic() - begin < 3


def test_what_needs_more_than_the_own_cgroup_has_left_declines_nothing_without_a_limit(odd):
    proc = odd.popen("run", "-m", "1M", "true")
    connection = odd.accept()
    connection.queue()
    connection.call("Offer", id=12, offer=1)
    connection.expect("Accept")
    connection.refuse("WrongState", "taken back")
    proc.signal(signal.SIGINT)
    connection.expect("Withdraw")
    connection.reply()
    assert proc.wait() == -signal.SIGINT


# While it runs


def run_gate(odd, *args, **kwargs):
    gate = odd.place.gate()
    proc = odd.popen("run", *args, gate.line + "; exit 5", **kwargs)
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    return proc, gate, connection


def test_looks_come_early_and_as_often_as_the_daemon_wants(odd):
    proc, gate, connection = run_gate(odd)
    begin = time.monotonic()
    for _ in range(2):
        used = connection.receive()
        assert used["method"] == INTERFACE + "Used" and used["parameters"]["memory_bytes"] > 0
    assert time.monotonic() - begin < 5, "the second one comes after a second"
    connection.call("Look", interval_us=200_000)
    begin = time.monotonic()
    for _ in range(3):
        assert connection.receive()["method"] == INTERFACE + "Used"
    assert time.monotonic() - begin < 5
    gate.open()
    connection.expect("Ended")
    connection.reply()
    assert proc.wait() == 5


def test_the_loss_of_the_daemon_is_not_said_and_it_attaches_with_a_pidfd(odd):
    proc, gate, connection = run_gate(odd)
    connection.close()
    connection = odd.accept()
    attach = connection.expect("Attach")
    assert attach["started"] is True and attach["task"]["id"] == 12
    assert connection.fds, "with a pidfd"
    pid = attach["task"]["pid"]
    assert is_alive(pid) and attach["task"]["pid_start_ticks"] > 0
    connection.reply(id=12, state="running", look_interval_us=10_000_000)
    gate.open()
    assert connection.expect("Ended")["exit_status"] == 5
    connection.reply()
    assert proc.wait() == 5
    assert proc.err == ""


def test_a_daemon_that_does_not_take_the_end_is_waited_for_5_seconds_and_told_by_the_next_command(odd):
    proc, gate, connection = run_gate(odd)
    gate.open()
    connection.expect("Ended")
    begin = time.monotonic()
    assert proc.wait() == 5
    assert 4 < time.monotonic() - begin < 9
    records = list(odd.place.home.rglob("ended/*"))
    assert len(records) == 1 and records[0].stat().st_mode & 0o777 == 0o600
    connection.close()

    proc = odd.popen("run", "true")
    connection = odd.accept()
    connection.grant(13)
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply()
    attach = connection.expect("Attach")
    assert attach["task"]["id"] == 12 and attach["started"] is True
    connection.reply(id=12, state="running", look_interval_us=10_000_000)
    ended = connection.expect("Ended")
    assert (ended["id"], ended["exit_status"]) == (12, 5)
    connection.reply()
    assert proc.wait() == 0
    assert not list(odd.place.home.rglob("ended/*"))


def test_who_does_not_want_to_wait_for_the_daemon_need_not(odd):
    proc, gate, connection = run_gate(odd)
    odd.go()
    gate.open()
    wait_until(lambda: not children_of(proc.pid), "its command has ended")
    begin = time.monotonic()
    proc.signal(signal.SIGINT)
    assert proc.wait() == 5
    assert time.monotonic() - begin < 2
    assert len(list(odd.place.home.rglob("ended/*"))) == 1


def test_a_daemon_that_comes_back_within_the_5_seconds_hears_of_the_end(odd):
    proc, gate, connection = run_gate(odd)
    odd.go()
    gate.open()
    wait_until(lambda: not children_of(proc.pid), "its command has ended")
    odd.listen()
    connection = odd.accept()
    attach = connection.expect("Attach")
    assert attach["started"] is True and not connection.fds, "there is no process any more"
    connection.reply(id=12, state="running", look_interval_us=10_000_000)
    assert connection.expect("Ended")["exit_status"] == 5
    connection.reply()
    assert proc.wait() == 5
    assert not list(odd.place.home.rglob("ended/*"))


def test_a_daemon_that_wants_nothing_of_a_running_task_leaves_it_alone(odd):
    proc, gate, connection = run_gate(odd)
    connection.close()
    for _ in range(2):
        connection = odd.accept()
        connection.expect("Attach")
        connection.refuse("NotPermitted", "task 12 is not yours")
    assert proc.is_running() and proc.err == ""
    gate.open()
    assert proc.wait(15) == 5


# Its end


def test_an_end_reaches_everything_the_command_started(odd, folder):
    line = f"setsid sleep 1000 & (sleep 1000 & echo $! >{folder}/orphan); echo $! >{folder}/session; wait"
    proc = odd.popen("run", line)
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    wait_until(lambda: (folder / "session").exists() and (folder / "session").read_text(), "it has started")
    connection.call("End", id=12)
    ended = connection.expect("Ended")
    assert ended["state"] == "cancelled" and ended["signal"] == signal.SIGTERM
    connection.reply()
    assert proc.wait() == -signal.SIGTERM
    for name in ("orphan", "session"):
        assert not is_alive(int((folder / name).read_text()))


def test_an_end_that_is_not_obeyed_becomes_a_kill_after_10_seconds(odd):
    proc = odd.popen("run", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    wait_until(lambda: "up" in proc.out, "it has started")
    begin = time.monotonic()
    connection.call("End", id=12)
    ended = connection.expect("Ended")
    assert ended["state"] == "cancelled" and ended["signal"] == signal.SIGKILL
    assert 9 < time.monotonic() - begin < 15
    connection.reply()
    assert proc.wait() == -signal.SIGKILL


def test_the_signal_of_an_end_comes_first_and_a_second_end_goes_further(odd):
    proc = odd.popen("run", "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done")
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    wait_until(lambda: "up" in proc.out, "it has started")
    connection.call("End", id=12, signal=int(signal.SIGUSR1))
    wait_until(lambda: "usr1" in proc.out, "it got the signal")
    connection.call("End", id=12, signal=int(signal.SIGKILL))
    ended = connection.expect("Ended")
    assert ended["state"] == "cancelled"
    connection.reply()
    assert proc.wait() == -signal.SIGKILL


def test_an_end_wakes_what_is_stopped(odd):
    proc = odd.popen("run", "echo up; kill -STOP $$; echo never")
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    pid = int(read_proc(proc.pid, f"task/{proc.pid}/children") or 0) or None
    wait_until(lambda: "up" in proc.out, "it has started")
    if pid:
        wait_until(lambda: proc_state(pid) == "T", "it has stopped")
    assert proc_state(proc.pid) != "T", "without job control nobody would wake us"
    connection.call("End", id=12)
    assert connection.expect("Ended")["state"] == "cancelled"
    connection.reply()
    assert proc.wait() == -signal.SIGTERM


def test_a_time_limit_says_so_in_the_record(odd):
    proc = odd.popen("run", "-t", "1", "sleep 1000")
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    ended = connection.expect("Ended")
    assert ended["state"] == "timeout" and "1s" in ended["reason"]
    connection.reply()
    assert proc.wait() == 124


def test_a_command_that_cannot_be_started_is_told(odd):
    proc = odd.popen("run", "/no/such/program", "x")
    connection = odd.accept()
    connection.grant()
    ended = connection.expect("Ended")
    assert ended["state"] == "failed" and "could not be started" in ended["reason"]
    connection.reply()
    assert proc.wait() == 127


def test_other_tasks_ends_are_not_ours(odd):
    proc, gate, connection = run_gate(odd)
    connection.call("End", id=13)
    connection.call("Withdrawn", id=12, reason="too late")
    wait_asleep(proc.pid)
    assert proc.is_running()
    gate.open()
    assert connection.expect("Ended")["state"] == "failed"
    connection.reply()
    assert proc.wait() == 5
