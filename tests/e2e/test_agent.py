# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's side of detached tasks, against a daemon that is scripted: what is said in which order, and what is said after the
agent was killed at each step. Each command leaves a line when it runs, so that a second start would be seen.
"""

import contextlib
import json
import os
import random
import signal
import sqlite3
import stat
import time

import harness
import pytest
from harness import PATIENCE, is_alive, kill_quietly, wait_until
from test_odd_daemon import DATABASE, INTERFACE, UUID, Connection, Odd, n_runs, touch

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)

LOST = "its command was lost with the agent's folder"


class AgentConnection(Connection):
    """One that has said Agent."""

    def list(self, *tasks, **settings):
        self.reply(
            **{
                "database": DATABASE,
                "look_interval_us": 10_000_000,
                "log_limit_bytes": 1 << 30,
                "log_keep_us": 30 * 86400 * 1_000_000,
                **settings,
                "tasks": list(tasks),
            }
        )

    def queued(self, task_id=12, **extra):
        """Takes a Submit; the task as it was said."""
        submit = self.expect("Submit")
        self.reply(id=task_id, database=DATABASE, delay_us=0, look_interval_us=10_000_000, **extra)
        return submit["task"]

    def offer(self, task_id=12, attempt=1, offer=1, **extra):
        self.call("Offer", id=task_id, offer=offer, attempt=attempt, **extra)

    def accepted(self, task_id=12, offer=1):
        accept = self.expect("Accept")
        assert (accept["id"], accept["offer"]) == (task_id, offer)
        self.reply()

    def run(self, task_id=12, attempt=1, **extra):
        """Offers it and sees it start."""
        self.offer(task_id, attempt, **extra)
        self.accepted(task_id)
        self.started(task_id)

    def started(self, task_id=12):
        """Sees it start; of one that is over at once only its end is said, which is left for over()."""
        message = self.receive()
        while message and message["method"] == INTERFACE + "Used":
            message = self.receive()
        assert message and message["method"] in (INTERFACE + "Started", INTERFACE + "Ended"), message
        assert message["parameters"]["id"] == task_id
        if message["method"] == INTERFACE + "Ended":
            self.data = json.dumps(message).encode() + b"\0" + self.data

    def over(self):
        """Answers an Ended."""
        ended = self.expect("Ended")
        self.reply()
        return ended

    def nothing(self, seconds=0.3):
        """Nothing but looks is said."""
        self.sock.settimeout(seconds)
        try:
            message = self.receive()
            assert message and message["method"] == INTERFACE + "Used", message
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(PATIENCE)


class AgentOdd(Odd):
    def __init__(self, place):
        super().__init__(place)
        self.env["TASKFLOW_AGENT_IDLE_MS"] = "300"

    @property
    def home(self):
        folders = list(self.place.home.glob(".local/state/taskflow/agent-named-*"))
        assert len(folders) == 1, folders
        return folders[0]

    def records(self):
        return sorted(path.name for path in (self.home / "run").iterdir() if path.name[0].isdigit())

    def n_kept(self):
        """Tasks in the spool, as the disk has it."""
        with sqlite3.connect(f"file:{self.home}/agent.db?mode=ro&immutable=0", uri=True) as db:
            return db.execute("SELECT count(*) FROM tasks").fetchone()[0]

    def accept_agent(self):
        """The next connection that says Agent; commands that only look whether there is a daemon are passed over."""
        while True:
            connection = AgentConnection(self.listener.accept()[0])
            message = connection.receive()
            if message is None:
                connection.close()
                continue
            assert message["method"] == INTERFACE + "Agent" and message["more"] is True, message
            self.connections.append(connection)
            return connection

    def agent_pid(self):
        """The one that there is, once those have ended that found another there."""

        def alone():
            pids = [pid for pid in self.place.agents() if harness.parent_of(pid) not in self.place.agents()]
            return pids if len(pids) == 1 else None

        return wait_until(alone, "there is one agent")[0]

    def kill_agent(self):
        pid = self.agent_pid()
        kill_quietly(pid)
        wait_until(lambda: not is_alive(pid), "it is dead")
        wait_until(lambda: not self.place.agents(), "what starts commands has gone with it")

    def start_agent(self):
        """Another one, by hand."""
        return self.place.start([harness.AGENT], env=self.env)

    def agent_is_gone(self):
        wait_until(lambda: not self.place.agents(), "the agent has ended")

    def detach(self, *args, **kwargs):
        """run -D, its connection, and what it submitted; it is told its id."""
        proc = self.popen("run", "-D", *args, **kwargs)
        connection = self.accept_agent()
        connection.list()
        task = connection.queued()
        assert proc.wait() == 0, proc.err
        assert proc.out == "12\n"
        return connection, task


@pytest.fixture
def odd(place):
    daemon = AgentOdd(place)
    yield daemon
    for connection in daemon.connections:
        connection.close()
    daemon.listener.close()


@pytest.fixture
def folder(place):
    return place.make_folder("work")


def listed(task, state, attempt=0, task_id=12):
    return {"id": task_id, "key": task["key"], "state": state, "attempt": attempt}


# A task from its queue to its end


def test_a_task_is_queued_offered_accepted_started_and_ended(odd, folder):
    gate = odd.place.gate()
    proc = odd.popen("run", "-D", "-n", "one", touch(folder) + f"; {gate.line}; exit 4")
    connection = odd.accept_agent()
    connection.list()
    submit = connection.expect("Submit")["task"]
    assert submit["detached"] is True and submit["name"] == "one"
    assert submit["output"] == f"{odd.home}/logs/{{id}}.log"
    assert proc.is_running(), "no id before the daemon has it"
    connection.reply(id=12, database=DATABASE, delay_us=0, look_interval_us=10_000_000)
    assert proc.wait() == 0 and proc.out == "12\n"

    connection.nothing()
    connection.offer()
    accept = connection.expect("Accept")
    assert accept == {"id": 12, "offer": 1}
    connection.nothing()
    assert n_runs(folder) == 0 and odd.records() == [], "nothing is started before the answer"
    connection.reply()
    connection.started()
    assert connection.fds, "with a pidfd"
    assert odd.records() == ["12.1"]
    gate.open()
    ended = connection.expect("Ended")
    assert (ended["id"], ended["state"], ended["exit_status"]) == (12, "failed", 4)
    assert odd.records() == ["12.1"], "until the daemon has it"
    connection.reply()
    resume = connection.expect("Resume")
    assert (resume["id"], resume.get("running", False)) == (12, False), "it may be tried again"
    connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()
    odd.agent_is_gone()
    assert n_runs(folder) == 1 and odd.records() == []
    assert not (odd.home / "agent.db").exists(), "which says that there is nothing to do"


def test_one_that_ended_well_is_not_asked_about(odd, folder):
    connection, _ = odd.detach(touch(folder))
    connection.run()
    assert connection.over()["state"] == "done"
    connection.expect_end()
    odd.agent_is_gone()


def test_what_is_kept_is_private(odd, folder):
    connection, _ = odd.detach("echo secret", env={"SECRET": "x"})
    connection.run()
    connection.over()
    for path in [odd.home, *odd.home.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    assert (odd.home / "logs" / "12.log").read_text() == "secret\n"


def test_the_grant_reaches_the_command(odd, folder):
    connection, _ = odd.detach("--gpu", "any:1G", "-t", "1000", "env | grep -e TASKFLOW_GPUS -e CUDA | sort")
    connection.run(gpus=[{"uuid": UUID, "index": 3, "bytes": 1 << 30}], pin=True)
    assert connection.over()["state"] == "done"
    text = (odd.home / "logs" / "12.log").read_text()
    assert text.split() == ["CUDA_DEVICE_ORDER=PCI_BUS_ID", f"CUDA_VISIBLE_DEVICES={UUID}", "TASKFLOW_GPUS=3"]


def test_what_is_refused_is_not_kept(odd):
    proc = odd.popen("run", "-D", "true")
    connection = odd.accept_agent()
    connection.list()
    connection.expect("Submit")
    connection.refuse("Impossible", "never on this machine")
    assert proc.wait() == 125
    assert "never on this machine" in proc.err and proc.out == ""
    connection.expect_end()
    odd.agent_is_gone()
    assert not (odd.home / "agent.db").exists()


def test_an_offer_that_was_taken_back_is_no_start(odd, folder):
    connection, _ = odd.detach(touch(folder))
    connection.offer()
    connection.expect("Accept")
    connection.refuse("WrongState", "taken back")
    connection.nothing()
    assert n_runs(folder) == 0
    connection.run(offer=1)
    connection.over()
    assert n_runs(folder) == 1


def test_gpus_that_make_no_sense_are_declined(odd, folder):
    connection, _ = odd.detach("--gpu", "any:1G", touch(folder))
    connection.offer(gpus=[{"uuid": "GPU../" + "-x/", "index": 0, "bytes": 1}])
    message = connection.receive()
    assert message["method"] in (INTERFACE + "Accept", INTERFACE + "Decline")


def test_a_try_more_is_a_start_of_its_own(odd, folder):
    connection, _ = odd.detach("--retry", "1", touch(folder) + "; exit 1")
    connection.run()
    connection.over()
    assert connection.expect("Resume")["attempt"] == 1
    connection.reply(state="pending")
    connection.run(attempt=2)
    connection.over()
    connection.expect("Resume")
    connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()
    assert n_runs(folder) == 2
    odd.agent_is_gone()


def test_elements_are_starts_of_their_own_until_the_array_is_over(odd, folder):
    proc = odd.popen("run", "-D", "--array", "3-4", f"echo $TASKFLOW_ARRAY_INDEX >>{folder}/ran")
    connection = odd.accept_agent()
    connection.list()
    task = connection.queued()
    assert task["array"]["waiting"] == "3-4"
    assert task["output"] == f"{odd.home}/logs/{{id}}_{{index}}.log"
    assert proc.wait() == 0
    connection.offer("12_3", offer=1)
    connection.accepted("12_3", 1)
    connection.started("12_3")
    assert connection.over()["id"] == "12_3"
    connection.nothing()
    connection.offer("12_4", offer=2)
    connection.accepted("12_4", 2)
    connection.started("12_4")
    assert connection.over()["id"] == "12_4"
    assert (folder / "ran").read_text() == "3\n4\n"
    connection.nothing(1)
    connection.call("Withdrawn", id=12)
    connection.expect_end()
    odd.agent_is_gone()


def test_what_a_start_was_claimed_for_goes_when_the_task_is_over(odd, folder):
    """The agent has nothing of it but the claim by which nobody starts it: it would stay for that."""
    connection, _ = odd.detach("sleep 1000")
    connection.offer(13, offer=0, granted=True)
    assert connection.expect("Resume")["id"] == 13
    assert odd.records() == ["13.1"]
    connection.reply(state="cancelled")
    wait_until(lambda: odd.records() == [], "the claim has gone")


def test_the_end_of_a_task_goes_to_its_keeper(odd, folder):
    connection, _ = odd.detach(touch(folder) + "; sleep 1000 & wait")
    connection.run()
    connection.call("End", id=12)
    ended = connection.over()
    assert ended["state"] == "cancelled"
    connection.expect_end()


def test_the_first_signal_of_an_end_is_the_one_that_was_asked_for(odd, folder):
    connection, _ = odd.detach("trap 'echo usr1; exit 7' USR1; echo up; while :; do sleep 0.05; done")
    connection.run()
    log = odd.home / "logs" / "12.log"
    wait_until(lambda: "up" in log.read_text(), "it has started")
    connection.call("End", id=12, signal=int(signal.SIGUSR1))
    ended = connection.over()
    assert (ended["state"], ended["exit_status"]) == ("cancelled", 7)
    assert "usr1" in log.read_text()


def test_looks_come_early_and_as_often_as_the_daemon_wants(odd):
    connection, _ = odd.detach("sleep 1000")
    connection.run()
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
    connection.call("End", id=12)
    connection.over()


def test_a_withdrawn_task_is_dropped(odd, folder):
    connection, _ = odd.detach(touch(folder))
    connection.call("Withdrawn", id=12)
    connection.expect_end()
    odd.agent_is_gone()
    assert n_runs(folder) == 0


def test_one_that_does_not_start_in_time_is_withdrawn(odd, folder):
    connection, _ = odd.detach("-w", "1", touch(folder))
    withdraw = connection.expect("Withdraw")
    assert withdraw == {"id": 12, "reason": "not started within 1s"}
    connection.reply()
    connection.expect_end()
    odd.agent_is_gone()


def test_one_that_starts_in_time_is_left_alone(odd, folder):
    connection, _ = odd.detach("-w", "1", "sleep 2")
    connection.run()
    assert connection.over()["state"] == "done"


def test_now_or_not_at_all_is_the_daemons_to_say(odd):
    proc = odd.popen("run", "-D", "-w", "0", "true")
    connection = odd.accept_agent()
    connection.list()
    assert connection.expect("Submit")["immediate"] is True
    connection.refuse("CannotStartNow", "it cannot start now")
    assert proc.wait() == 125


def test_several_commands_at_once_are_one_agent_and_one_connection(odd):
    procs = [odd.popen("run", "-D", "true") for _ in range(20)]
    connection = odd.accept_agent()
    connection.list()
    for i in range(20):
        connection.queued(100 + i)
    for proc in procs:
        assert proc.wait() == 0, proc.err
    assert sorted(int(proc.out) for proc in procs) == list(range(100, 120))
    assert odd.agent_pid()
    for i in range(20):
        connection.call("Withdrawn", id=100 + i)
    connection.expect_end()


def test_a_log_that_is_too_long_loses_its_front(odd, folder):
    gate = odd.place.gate()
    proc = odd.popen("run", "-D", f"head -c 3000000 /dev/zero | tr '\\0' x; echo end; {gate.line}")
    connection = odd.accept_agent()
    connection.list(log_limit_bytes=1 << 20, look_interval_us=200_000)
    connection.queued()
    assert proc.wait() == 0
    connection.run()
    log = odd.home / "logs" / "12.log"
    wait_until(lambda: log.exists() and log.stat().st_size > 3_000_000, "it has written")
    wait_until(lambda: log.stat().st_blocks * 512 < 2 << 20, "its front is gone")
    assert log.read_bytes().endswith(b"x\nend\n") or log.read_bytes().endswith(b"xend\n")
    gate.open()
    connection.over()


# The daemon goes, and comes again


def test_a_submit_without_an_answer_is_said_again_with_its_key(odd, folder):
    proc = odd.popen("run", "-D", touch(folder))
    connection = odd.accept_agent()
    connection.list()
    key = connection.expect("Submit")["task"]["key"]
    connection.close()
    connection = odd.accept_agent()
    connection.list()
    assert connection.queued(13)["key"] == key
    assert proc.wait() == 0 and proc.out == "13\n"


def test_after_a_reconnect_it_says_how_far_its_tasks_are(odd, folder):
    gate = odd.place.gate()
    connection, task = odd.detach(touch(folder) + f"; {gate.line}")
    connection.run()
    connection.close()
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    resume = connection.expect("Resume")
    assert (resume["id"], resume["attempt"], resume["running"]) == (12, 1, True)
    assert connection.fds, "with a pidfd"
    connection.reply(state="running")
    gate.open()
    assert connection.over()["state"] == "done"
    connection.expect_end()
    assert n_runs(folder) == 1


def test_an_accept_without_an_answer_is_no_start(odd, folder):
    connection, task = odd.detach(touch(folder))
    connection.offer()
    connection.expect("Accept")
    connection.close()
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    resume = connection.expect("Resume")
    assert (resume["id"], resume["attempt"], resume.get("running", False)) == (12, 1, False)
    connection.reply(state="pending")
    assert n_runs(folder) == 0
    connection.run(attempt=2)
    connection.over()
    assert n_runs(folder) == 1
    connection.expect_end()
    odd.agent_is_gone()
    assert odd.records() == []


def test_an_end_that_nobody_took_is_said_again(odd, folder):
    connection, task = odd.detach(touch(folder) + "; exit 5")
    connection.run()
    connection.expect("Ended")
    connection.close()
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    assert connection.over()["exit_status"] == 5
    connection.expect("Resume")
    connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()


def test_a_task_that_was_lost_meanwhile_is_corrected(odd, folder):
    connection, _ = odd.detach(touch(folder) + "; exit 5")
    connection.run()
    connection.expect("Ended")
    connection.close()
    connection = odd.accept_agent()
    connection.list()
    assert connection.over()["exit_status"] == 5
    connection.expect_end()
    odd.agent_is_gone()


def test_a_task_that_is_over_meanwhile_is_dropped(odd, folder):
    connection, _ = odd.detach(touch(folder))
    connection.close()
    connection = odd.accept_agent()
    connection.list()
    resume = connection.expect("Resume")
    assert (resume["id"], resume.get("running", False)) == (12, False)
    connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()
    odd.agent_is_gone()


def test_tasks_whose_commands_are_lost_are_withdrawn(odd, folder):
    _, task = odd.detach(touch(folder))
    odd.kill_agent()
    for path in odd.home.glob("agent.db*"):
        path.unlink()
    proc = odd.popen("run", "-D", touch(folder))
    connection = odd.accept_agent()
    connection.list(listed(task, "pending"))
    assert connection.expect("Withdraw") == {"id": 12, "reason": LOST}
    connection.reply()
    connection.queued(13)
    assert proc.wait() == 0


def test_another_database_has_other_tasks(odd, folder):
    connection, task = odd.detach(touch(folder))
    connection.close()
    connection = odd.accept_agent()
    connection.list(listed({"key": "0" * 32}, "pending"), database="f" * 32)
    assert connection.expect("Withdraw") == {"id": 12, "reason": LOST}
    connection.reply()
    connection.nothing()
    connection.close()
    connection = odd.accept_agent()
    connection.list(listed(task, "pending"))
    connection.run()
    connection.over()
    assert n_runs(folder) == 1


def test_a_daemon_that_is_gone_refuses_the_next_one_with_its_sentence(odd):
    odd.detach("sleep 1000")
    odd.go()
    done = odd.run("run", "-D", "true")
    assert done.returncode == 125 and "TASKFLOW_SOCKET" in done.stderr
    odd.listen()
    connection = odd.accept_agent()
    connection.list()
    connection.expect("Resume")
    connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()


# The agent is killed


@pytest.mark.parametrize("step", ["submitted", "queued", "accepting", "accepted", "started", "ended", "told"])
def test_killed_at_each_step_it_starts_once_and_tells_the_end(odd, folder, step):
    gate = odd.place.gate()
    proc = odd.popen("run", "-D", touch(folder) + f"; {gate.line}; exit 6")
    connection = odd.accept_agent()
    connection.list()
    task = connection.expect("Submit")["task"]
    now = []
    if step != "submitted":
        connection.reply(id=12, database=DATABASE, delay_us=0, look_interval_us=10_000_000)
        assert proc.wait() == 0
        now = [listed(task, "pending")]
    if step not in ("submitted", "queued"):
        connection.offer()
        connection.expect("Accept")
        now = [listed(task, "running", 1)]
    if step not in ("submitted", "queued", "accepting"):
        connection.reply()
    if step in ("started", "ended", "told"):
        connection.expect("Started")
    if step in ("ended", "told"):
        gate.open()
        connection.expect("Ended")
    if step == "told":
        connection.reply()
        now = []
    odd.kill_agent()

    odd.start_agent()
    if step == "submitted":
        # The command asks again, or nobody heard of an id: then it is as if it had not been.
        connection = odd.accept_agent()
        connection.list()
        assert connection.receive() is None or True
        assert n_runs(folder) == 0
        return
    connection = odd.accept_agent()
    connection.list(*now)
    if step == "queued":
        connection.run()
        gate.open()
        connection.over()
    elif step in ("ended", "told"):
        message = connection.receive()
        assert message["method"] == INTERFACE + ("Ended" if step == "ended" else message["method"][len(INTERFACE) :])
        if message["method"] == INTERFACE + "Ended":
            assert message["parameters"]["exit_status"] == 6
        connection.reply() if step == "ended" else connection.refuse("NoSuchTask", "it is over")
    else:
        resume = connection.expect("Resume")
        running = resume.get("running", False)
        connection.reply(state="running" if running else "pending")
        assert running or step in ("accepting", "accepted")
        if not running:
            assert n_runs(folder) == 0
            connection.run(attempt=2)
        gate.open()
        connection.over()
    wait_until(lambda: n_runs(folder) == 1, "it has run")
    if step != "told":
        connection.expect("Resume")
        connection.refuse("NoSuchTask", "it is over")
    connection.expect_end()
    odd.agent_is_gone()
    assert n_runs(folder) == 1 and odd.records() == []


def test_a_keeper_whose_command_ends_without_an_agent_starts_one(odd, folder):
    gate = odd.place.gate()
    connection, task = odd.detach(touch(folder) + f"; {gate.line}; exit 6")
    connection.run()
    odd.kill_agent()
    gate.open()
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    assert connection.over()["exit_status"] == 6


def test_a_stopped_agent_is_not_started_by_a_keeper(odd, folder):
    gate = odd.place.gate()
    connection, task = odd.detach(touch(folder) + f"; {gate.line}; exit 6")
    connection.run()
    assert odd.run("agent", "stop").returncode == 0
    odd.agent_is_gone()
    gate.open()
    wait_until(lambda: b"\0" in (odd.home / "run" / "12.1").read_bytes(), "it is there")
    wait_until(lambda: not odd.place.keepers(), "its keeper is through with it")
    assert not odd.place.agents()
    odd.start_agent()
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    assert connection.over()["exit_status"] == 6
    assert not (odd.home / "stopped").exists()


def stop(odd):
    """Has the agent begin to stop; what waits for its end."""
    proc = odd.popen("agent", "stop")
    wait_until((odd.home / "stopped").exists, "it has begun to stop")
    return proc


def is_stopped(odd, proc):
    assert not proc or proc.wait() == 0, proc.err
    odd.agent_is_gone()


def expect_not_started(connection, *ids):
    """They are given back; a slow answer may come when the agent waits no more."""
    resumes = [connection.expect("Resume") for _ in ids]
    assert sorted(resume["id"] for resume in resumes) == list(ids)
    assert {(resume["attempt"], resume.get("running", False)) for resume in resumes} == {(1, False)}
    with contextlib.suppress(OSError):
        for _ in ids:
            connection.reply(state="pending")


def test_a_stop_sees_a_start_through_that_was_accepted(odd, folder):
    """Else it would run, as far as the daemon knows, and have no process that anybody could end."""
    gate = odd.place.gate()
    connection, _ = odd.detach(f"{touch(folder)}; {gate.line}")
    connection.offer()
    connection.expect("Accept")
    stopping = stop(odd)
    connection.reply()
    assert connection.expect("Started")["id"] == 12
    connection.expect_end()
    is_stopped(odd, stopping)
    gate.open()
    wait_until(lambda: n_runs(folder) == 1, "it has run")


def test_a_stop_gives_back_what_is_granted_meanwhile(odd, folder):
    gate = odd.place.gate()
    connection, _ = odd.detach(gate.line)
    for task_id in (13, 14):
        proc = odd.popen("run", "-D", touch(folder))
        connection.queued(task_id)
        assert proc.wait() == 0, proc.err
    connection.run()
    gate.open()
    assert connection.expect("Ended")["id"] == 12
    stopping = stop(odd)
    connection.offer(14)  # goes back with the connection
    grant = {"method": INTERFACE + "Offer", "parameters": {"id": 13, "offer": 0, "attempt": 1, "granted": True}, "oneway": True}
    connection.send(b'{"parameters":{}}\0' + json.dumps(grant).encode())  # at once, as the daemon does
    expect_not_started(connection, 13)
    connection.expect_end()
    is_stopped(odd, stopping)
    assert n_runs(folder) == 0


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
def test_a_stop_gives_back_a_row(odd, folder, how):
    gate = odd.place.gate()
    connection = queue_row(odd, folder, gate.line, ":", ":")
    assert connection.expect("Started")["id"] == 12
    stopping = stop(odd) if how == "stop" else kill_quietly(odd.agent_pid(), signal.SIGTERM)
    expect_not_started(connection, 13, 14)
    connection.expect_end()
    is_stopped(odd, stopping)
    keepers = odd.place.keepers()
    gate.open()
    wait_until(lambda: "12 ended" in (folder / "ran").read_text(), "the first has ended")
    wait_until(lambda: not any(is_alive(pid) for pid in keepers), "nobody is left who had the row")
    assert (folder / "ran").read_text() == "12 began\n12 ended\n"


def test_a_stop_gives_back_what_nobody_takes(odd, folder):
    connection, _ = odd.detach(touch(folder))
    asleep = odd.place.stop_nurseries()
    connection.offer()
    connection.accepted()
    stopping = stop(odd)
    expect_not_started(connection, 12)
    for pid in asleep:
        kill_quietly(pid, signal.SIGCONT)
    connection.expect_end()
    is_stopped(odd, stopping)
    wait_until(lambda: not any(is_alive(pid) for pid in asleep), "nobody is left who could start it")
    assert n_runs(folder) == 0


def test_a_keeper_that_was_killed_is_lost_when_its_command_has_ended(odd, folder):
    gate = odd.place.gate()
    connection, task = odd.detach(touch(folder) + f"; echo $$ >{folder}/pid; {gate.line}")
    connection.run()
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip(), "it runs")
    pid = int((folder / "pid").read_text())
    kill_quietly(harness.parent_of(pid))
    connection.nothing(0.5)
    assert is_alive(pid), "the command goes on"
    gate.open()
    ended = connection.over()
    assert ended["state"] == "lost" and "keeper" in ended["reason"]
    assert n_runs(folder) == 1


def test_what_starts_tasks_may_be_killed(odd, folder):
    connection, task = odd.detach(touch(folder))
    agent = odd.agent_pid()
    for pid in harness.children_of(agent):
        kill_quietly(pid)
    connection = odd.accept_agent()
    connection.list(listed(task, "pending"))
    connection.run()
    connection.over()
    assert n_runs(folder) == 1


def test_what_starts_tasks_may_be_killed_with_all_that_it_has(odd, folder):
    """Then the end of their socket may be seen before the end of the process; and it keeps its name."""
    connection, task = odd.detach(touch(folder))
    agent = odd.agent_pid()
    kill_quietly(agent, signal.SIGSTOP)
    for pid in harness.children_of(agent):
        for keeper in harness.children_of(pid):
            kill_quietly(keeper)
        kill_quietly(pid)
    kill_quietly(agent, signal.SIGCONT)
    connection = odd.accept_agent()
    connection.list(listed(task, "pending"))
    assert odd.agent_pid() == agent
    connection.run()
    connection.over()
    assert n_runs(folder) == 1


def test_an_order_that_meets_a_nursery_that_was_just_killed_is_no_failure(odd, folder):
    connection, task = odd.detach(touch(folder))
    connection.offer()
    connection.expect("Accept")
    agent = odd.agent_pid()
    kill_quietly(agent, signal.SIGSTOP)
    wait_until(lambda: harness.proc_state(agent) == "T", "the agent has stopped")
    connection.reply()  # before, so that the agent hears this first
    nurseries = harness.children_of(agent)
    below = nurseries + [keeper for pid in nurseries for keeper in harness.children_of(pid)]
    for pid in below:
        kill_quietly(pid)
    wait_until(lambda: not any(is_alive(pid) for pid in below), "they are dead")
    kill_quietly(agent, signal.SIGCONT)

    connection.expect_end()  # and before that no word of an end of the task
    connection = odd.accept_agent()
    connection.list(listed(task, "running", 1))
    resume = connection.expect("Resume")
    assert (resume["id"], resume["attempt"], resume.get("running", False)) == (12, 1, False)
    connection.reply(state="pending")
    connection.run(attempt=2)
    assert connection.over()["state"] == "done"
    assert n_runs(folder) == 1


def test_a_command_that_asks_the_next_agent_is_waited_with(odd, folder):
    """The daemon is away too, but the first agent may have told it."""
    proc = odd.popen("run", "-D", touch(folder))
    connection = odd.accept_agent()
    connection.list()
    connection.expect("Submit")
    odd.go()
    odd.kill_agent()
    log = odd.home / "agent.log"
    wait_until(lambda: "there is no socket" in log.read_text(), "the next agent has looked for the daemon")
    odd.listen()
    connection = odd.accept_agent()
    connection.list()
    connection.queued()
    assert proc.wait() == 0 and proc.out == "12\n", proc.err
    connection.run()
    assert connection.over()["state"] == "done"
    assert n_runs(folder) == 1


def test_a_refusal_after_a_lost_agent_is_not_called_certain(odd, folder):
    proc = odd.popen("run", "-D", touch(folder))
    connection = odd.accept_agent()
    connection.list()
    connection.expect("Submit")
    odd.go()
    odd.kill_agent()
    for path in odd.home.glob("agent.db*"):
        path.unlink()
    assert proc.wait() == 125
    assert "there is no socket" in proc.err and "may have queued it or not" in proc.err


def kill_an_agent(place):
    """The one that there is, if there is one; not what it forked."""
    agents = place.agents()
    for pid in agents:
        if harness.parent_of(pid) not in agents:
            kill_quietly(pid)


def test_killed_at_random_moments_every_task_runs_once(daemon, folder):
    """With a real daemon. Commands that look start it again, and so do tasks that end."""
    n = 120
    lines = folder / "lines"
    lines.write_text("".join(f"echo {i} >>{folder}/ran\n" for i in range(n)))
    ids = daemon.run("submit", str(lines)).stdout.split()
    assert len(ids) == n
    rng = random.Random(7)
    for _ in range(25):
        time.sleep(rng.uniform(0, 0.06))
        kill_an_agent(daemon.place)
        daemon.run("ps")
    ended = ("done", "failed", "lost", "cancelled", "timeout")
    tasks = daemon.wait_for(lambda tasks: tasks if all(task["state"] in ended for task in tasks) else None, timeout=60)
    tasks = {task["id"]: task for task in tasks}.values()
    assert len(tasks) == n
    ran = [int(line) for line in (folder / "ran").read_text().split()]
    twice = {i: [place for place, each in enumerate(ran) if each == i] for i in ran if ran.count(i) > 1}
    assert not twice, f"where what ran twice stands: {twice}; {[daemon.show(ids[i]) for i in twice]}"
    done = {task["id"] for task in tasks if task["state"] == "done"}
    assert len(done) == len(ran) == n, [
        (task["id"], task["state"], task["reason"]) for task in tasks if task["state"] != "done"
    ]


ROW = "echo $0 began >>{folder}/ran; {do}; echo $0 ended >>{folder}/ran"


def queue_row(odd, folder, *commands):
    """Tasks 12, 13, ... of these commands, whose first was granted and which stand one behind the other."""
    connection = None
    for i, command in enumerate(commands):
        proc = odd.popen("run", "-D", "--", "sh", "-c", ROW.format(folder=folder, do=command), str(12 + i))
        if connection is None:
            connection = odd.accept_agent()
            connection.list()
        connection.queued(12 + i)
        assert proc.wait() == 0, proc.err
    for i in range(len(commands)):
        connection.offer(12 + i, offer=0, granted=True, **({"behind": 11 + i} if i else {}))
    return connection


def ends(connection, *ids):
    """The ends of these, in this order; starts of those that took a while are passed over."""
    for task_id in ids:
        while True:
            message = connection.receive()
            assert message and message["method"] in (INTERFACE + "Ended", INTERFACE + "Started", INTERFACE + "Used"), message
            if message["method"] == INTERFACE + "Ended":
                break
        assert message["parameters"]["id"] == task_id
        connection.reply()


def test_what_is_granted_needs_no_accept(odd, folder):
    connection, _ = odd.detach(touch(folder))
    connection.offer(offer=0, granted=True)
    connection.started()
    assert connection.over()["state"] == "done"
    connection.expect_end()
    assert n_runs(folder) == 1


def test_a_row_runs_one_after_the_other(odd, folder):
    connection = queue_row(odd, folder, ":", "sleep 0.01", ":", "false")
    ends(connection, 12, 13, 14, 15)
    connection.expect_end()
    lines = (folder / "ran").read_text().splitlines()
    assert lines == [f"{task_id} {what}" for task_id in (12, 13, 14, 15) for what in ("began", "ended")]


def test_who_stands_behind_a_long_one_is_given_back(odd, folder):
    connection = queue_row(odd, folder, "sleep 1000", ":", ":")
    assert connection.expect("Started")["id"] == 12
    given = [connection.expect("Resume") for _ in range(2)]
    assert sorted(resume["id"] for resume in given) == [13, 14]
    for resume in given:
        assert (resume["attempt"], resume.get("running", False)) == (1, False)
        connection.reply(state="pending")
    # what was given back starts when it is granted again, and only then
    connection.offer(13, attempt=2, offer=0, granted=True)
    ends(connection, 13)
    connection.call("End", id=12)
    ends(connection, 12)
    connection.call("Withdrawn", id=14)
    connection.expect_end()
    assert "14 began" not in (folder / "ran").read_text()


def test_one_in_a_row_is_not_started_when_it_is_to_end(odd, folder):
    connection = queue_row(odd, folder, "sleep 0.04", ":", ":")
    connection.call("End", id=13)
    resumed, over = [], []
    while len(resumed) + len(over) < 3:
        message = connection.receive()
        if message["method"] == INTERFACE + "Resume":
            resumed.append(message["parameters"]["id"])
            connection.reply(state="cancelled")
        elif message["method"] == INTERFACE + "Ended":
            over.append(message["parameters"]["id"])
            connection.reply()
    assert 13 in resumed and 12 in over
    assert "13 began" not in (folder / "ran").read_text()


def test_a_row_of_a_connection_that_is_lost_is_not_started(odd, folder):
    connection = queue_row(odd, folder, "sleep 0.3", ":", ":")
    connection.close()
    connection = odd.accept_agent()
    connection.list(*({"id": i, "key": "0" * 32, "state": "running", "attempt": 1} for i in (12, 13, 14)))
    resumed = {}
    while 12 not in resumed or len(resumed) < 3:
        message = connection.receive()
        if message["method"] == INTERFACE + "Resume":
            resumed[message["parameters"]["id"]] = message["parameters"].get("running", False)
            connection.reply(state="pending")
    assert resumed == {12: True, 13: False, 14: False}
    for task_id in (13, 14):
        connection.call("Withdrawn", id=task_id)
    ends(connection, 12)
    connection.expect_end()
