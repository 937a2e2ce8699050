# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon's side of detached tasks: an agent that is scripted says what a real one might, and dies when it likes."""

import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from disks import fill, small_disk
from harness import N_CPUS, PATIENCE, RawClient, wait_until

PREFIX = "io.taskflow.v1."
SO_SNDBUFFORCE = 32  # asm-generic/socket.h


class Agent(RawClient):
    """Says Agent at once; `listed` is what the daemon has for it."""

    def __init__(self, daemon):
        super().__init__(daemon.socket)
        self.news = []
        self.listed = []
        self.send_json({"method": PREFIX + "Agent", "more": True})
        more = True
        while more:
            reply = self.reply()
            assert "error" not in reply, reply
            more = reply.get("continues", False)
            self.listed += reply["parameters"].get("tasks", [])
            self.settings = reply["parameters"]

    def reply(self):
        """The next reply; calls of the daemon's that come before it are kept."""
        while True:
            message = self.receive()
            if "method" not in message:
                return message
            self.news.append(message)

    def say(self, method, **parameters):
        self.send_json({"method": PREFIX + method, "parameters": parameters})
        return self.reply()

    def tell(self, method, fd=-1, **parameters):
        data = {"method": PREFIX + method, "parameters": parameters, "oneway": True}
        self.send_with_fd(data, fd)

    def send_with_fd(self, value, fd):
        data = json.dumps(value).encode() + b"\0"
        if fd < 0:
            self.send(data)
            return
        socket.send_fds(self.socket, [data], [fd])

    def next(self, method):
        """The next call of the daemon's of that kind."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for i, message in enumerate(self.news):
                if message["method"] == PREFIX + method:
                    return self.news.pop(i)["parameters"]
            message = self.receive()
            assert "method" in message, message
            self.news.append(message)
        raise AssertionError(f"no {method}")

    def submit(self, **more):
        reply = self.say("Submit", task=task(**more))
        assert "error" not in reply, reply
        return reply["parameters"]["id"]

    def accept(self, **wanted):
        offer = self.next("Offer")
        for key, value in wanted.items():
            assert offer.get(key) == value, offer
        if offer.get("granted"):
            assert offer["offer"] == 0, offer
            return offer
        reply = self.say("Accept", id=offer["id"], offer=offer["offer"])
        assert "error" not in reply, reply
        return offer

    def started(self, task_id, pid):
        fd = os.pidfd_open(pid)
        self.tell("Started", fd, id=task_id)
        os.close(fd)

    def resume(self, task_id, attempt, pid=None):
        fd = os.pidfd_open(pid) if pid else -1
        parameters = {"id": task_id, "attempt": attempt, "running": pid is not None}
        self.send_with_fd({"method": PREFIX + "Resume", "parameters": parameters}, fd)
        if fd >= 0:
            os.close(fd)
        return self.reply()

    def ended(self, task_id, state="done", status=0, **more):
        more = {"ended_at_us": int(time.time() * 1e6), **more}
        return self.say("Ended", id=task_id, state=state, exit_status=status, **more)

    def ended_soon(self, task_id, after_us=1000):
        """So long after its start, however long all this takes here."""
        started_at_us = self.say("Show", id=task_id)["parameters"]["tasks"][0]["task"]["started_at_us"]
        return self.ended(task_id, ended_at_us=started_at_us + after_us)


def call(method, **parameters):
    return json.dumps({"method": PREFIX + method, "parameters": parameters}).encode() + b"\0"


def task(**more):
    return {
        "key": secrets.token_hex(16), "command": "x", "argv": ["x"], "cwd": "/", "detached": True,
        "delay_us": 0, "time_limit_us": None, **more,
    }


@pytest.fixture
def sleeper():
    """Processes that can be said to be commands."""
    with contextlib.ExitStack() as stack:

        def start():
            proc = subprocess.Popen(["sleep", "1000"])
            stack.callback(proc.wait)
            stack.callback(proc.kill)
            return proc

        yield start


def state_of(daemon, task_id):
    return daemon.show(task_id)["state"]


def wait_state(daemon, task_id, *states, timeout=PATIENCE):
    return wait_until(
        lambda: (t := daemon.show(task_id)) and t["state"] in states and t, f"{task_id} is {states}", timeout
    )


def test_a_detached_task_goes_its_way(daemon, sleeper):
    with Agent(daemon) as agent:
        assert agent.listed == []
        assert agent.settings["log_limit_bytes"] == 2**30
        task_id = agent.submit(name="t")
        offer = agent.accept(id=task_id, attempt=1, name="t")
        assert offer["id"] == task_id
        proc = sleeper()
        agent.started(task_id, proc.pid)
        shown = wait_until(lambda: (t := daemon.show(task_id)) and t["pid"] and t, "the process is known")
        assert (shown["pid"], shown["state"], shown["detached"]) == (proc.pid, "running", True)
        assert "error" not in agent.ended(task_id, "failed", 3)
        shown = daemon.show(task_id)
        assert (shown["state"], shown["exit_status"]) == ("failed", 3)


def test_only_an_agent_may_submit_detached_tasks(daemon):
    with RawClient(daemon.socket) as client:
        assert client.call(PREFIX + "Submit", {"task": task()})["error"].endswith("NotPermitted")
        assert client.call(PREFIX + "SubmitMany", {"tasks": [{"task": task()}]})["error"].endswith("NotPermitted")


def test_an_id_is_given_out_after_its_commit(daemon):
    """The daemon is killed in the instant of the answer: the task is there again."""
    for _ in range(5):
        with Agent(daemon) as agent:
            task_id = agent.submit(needs={"cpus": N_CPUS})
            daemon.kill()
        daemon.start_daemon()
        assert daemon.show(task_id)["state"] == "pending"
        with Agent(daemon) as agent:
            assert task_id in [t["id"] for t in agent.listed]
            assert "error" not in agent.say("Withdraw", id=task_id)


def test_the_same_key_gives_the_same_id_also_after_a_restart(daemon):
    wanted = task()
    with Agent(daemon) as agent:
        first = agent.say("Submit", task=wanted)["parameters"]["id"]
        assert agent.say("Submit", task=wanted)["parameters"]["id"] == first
    daemon.restart()
    with Agent(daemon) as agent:
        assert agent.say("Submit", task=wanted)["parameters"]["id"] == first
        assert "error" not in agent.say("Withdraw", id=first)
        assert agent.say("Submit", task=wanted)["parameters"]["id"] == first, "also when it is over"


def test_many_are_queued_all_or_not_at_all(daemon):
    with Agent(daemon) as agent:
        good = [{"task": task(needs={"cpus": N_CPUS})} for _ in range(50)]
        bad = [*good[:3], {"task": task(needs={"cpus": 10000})}]
        reply = agent.say("SubmitMany", tasks=bad)
        assert "error" in reply
        assert daemon.ps() == []
        ids = agent.say("SubmitMany", tasks=good)["parameters"]["ids"]
        assert len(set(ids)) == 50 and ids == sorted(ids)
        assert agent.say("SubmitMany", tasks=good)["parameters"]["ids"] == ids


def test_the_end_of_an_agent_leaves_its_tasks_waiting_and_running(daemon, sleeper):
    proc = sleeper()
    with Agent(daemon) as agent:
        running = agent.submit(needs={"cpus": N_CPUS})
        agent.accept(id=running)
        agent.started(running, proc.pid)
        waiting = agent.submit(needs={"cpus": 1})
        wait_until(lambda: daemon.show(running)["pid"], "the process is known")
    wait_until(lambda: "does not answer" in daemon.why(waiting), "the daemon knows that the agent is gone")
    assert (state_of(daemon, running), state_of(daemon, waiting)) == ("running", "pending")
    with Agent(daemon) as agent:
        states = {t["id"]: (t["state"], t.get("attempt", 0)) for t in agent.listed}
        assert states == {running: ("running", 1), waiting: ("pending", 0)}
        assert "error" not in agent.resume(running, 1, proc.pid)
        assert "error" not in agent.ended(running)
        assert agent.next("Offer")["id"] == waiting


def test_the_end_of_the_daemon_and_of_the_agent(daemon, sleeper):
    proc = sleeper()
    with Agent(daemon) as agent:
        running = agent.submit()
        agent.accept(id=running)
        agent.started(running, proc.pid)
        waiting = agent.submit(needs={"cpus": N_CPUS})
        agent.accept(id=waiting)  # and nothing is started
        never = agent.submit(needs={"cpus": 1})
        daemon.kill()
    daemon.start_daemon()
    with Agent(daemon) as agent:
        states = {t["id"]: t["state"] for t in agent.listed}
        assert states == {running: "running", waiting: "running", never: "pending"}
        assert "error" not in agent.resume(running, 1, proc.pid)
        assert "error" not in agent.resume(waiting, 1)
        offer = agent.accept(id=waiting)
        assert offer["attempt"] == 2
        assert daemon.show(running)["pid"] == proc.pid


def test_a_pid_that_was_used_again_is_not_the_tasks(daemon, sleeper):
    """Whoever has the number of a command that is gone is neither waited for nor touched."""
    proc, other = sleeper(), sleeper()
    with Agent(daemon) as agent:
        task_id = agent.submit()
        agent.accept(id=task_id)
        agent.started(task_id, proc.pid)
        wait_until(lambda: daemon.show(task_id)["pid"], "the process is known")
    daemon.wait_recorded()
    daemon.kill()
    proc.kill()
    proc.wait()
    with contextlib.closing(sqlite3.connect(daemon.state / "taskflow.db", isolation_level=None)) as db:
        db.execute("UPDATE task SET pid = ?, pid_start_ticks = pid_start_ticks - 1 WHERE pid = ?", (other.pid, proc.pid))
        assert db.execute("SELECT count(*) FROM task WHERE pid = ?", (other.pid,)).fetchone() == (1,)
    daemon.start_daemon()
    with Agent(daemon) as agent:
        assert agent.resume(task_id, 1)["parameters"]["state"] == "lost"
        assert state_of(daemon, task_id) == "lost"
        assert daemon.run("cancel", str(task_id)).returncode == 1
    assert other.poll() is None


def test_a_resume_that_does_not_fit_is_refused(daemon, sleeper):
    proc = sleeper()
    with Agent(daemon) as agent:
        task_id = agent.submit(needs={"cpus": N_CPUS})
        other = agent.submit(needs={"cpus": N_CPUS})
        agent.accept(id=task_id)
        assert agent.resume(task_id, 2, proc.pid)["error"].endswith("WrongState")
        assert agent.resume(other, 1, proc.pid)["error"].endswith("WrongState")
        assert agent.resume(4711, 1)["error"].endswith("NoSuchTask")


def test_another_users_agent_gets_nothing(shared):
    daemon = shared.daemon
    path = daemon.socket

    def as_user(user, line):
        code = (
            "import socket,json,sys\n"
            f"s=socket.socket(socket.AF_UNIX); s.connect({os.fspath(path)!r})\n"
            f"s.sendall(json.dumps({line}).encode()+b'\\0')\n"
            "b=b''\n"
            "while b'\\0' not in b: b+=s.recv(65536)\n"
            "print(b.partition(b'\\0')[0].decode())\n"
        )
        return subprocess.run(
            ["/usr/bin/python3", "-c", code], user=user.uid, group=user.gid, extra_groups=[], capture_output=True,
            text=True, check=True,
        ).stdout

    with Agent(daemon) as agent:
        task_id = agent.submit(needs={"cpus": N_CPUS})
        answer = as_user(shared.alice, {"method": PREFIX + "Agent", "more": True})
        assert '"id"' not in answer
        answer = as_user(shared.alice, {"method": PREFIX + "Resume", "parameters": {"id": task_id, "attempt": 1}})
        assert "NotPermitted" in answer or "NoSuchTask" in answer


def test_a_second_agent_gets_nothing_while_the_first_is_there(daemon):
    with Agent(daemon) as first:
        task_id = first.submit(needs={"cpus": N_CPUS})
        first.next("Offer")
        with RawClient(daemon.socket) as second:
            answer = second.call(PREFIX + "Agent", more=True)
            assert answer["error"].endswith("WrongState")
            assert str(os.getpid()) in answer["parameters"]["message"]
    with Agent(daemon) as second:
        assert [t["id"] for t in second.listed] == [task_id]
        assert second.next("Offer")["id"] == task_id


def test_a_task_is_tried_again_as_often_as_was_asked_for(daemon):
    with Agent(daemon) as agent:
        task_id = agent.submit(retry_max=2)
        for attempt in (1, 2, 3):
            agent.accept(id=task_id, attempt=attempt)
            assert "error" not in agent.ended(task_id, "failed", attempt)
        shown = daemon.show(task_id)
        assert (shown["state"], shown["exit_status"]) == ("failed", 3)
        assert shown["retries"] == {"max": 2, "used": 2}


def test_after_waits_for_success_or_for_any_end(daemon):
    with Agent(daemon) as agent:
        first = agent.submit()
        on_success = agent.submit(after=[{"id": first, "any": False}])
        on_any = agent.submit(after=[{"id": first, "any": True}])
        agent.accept(id=first)
        assert str(first) in daemon.why(on_success)
        assert state_of(daemon, on_success) == "pending"
        agent.ended(first, "failed", 1)
        shown = wait_state(daemon, on_success, "cancelled")
        assert str(first) in shown["reason"]
        assert agent.next("Withdrawn")["id"] == on_success
        agent.accept(id=on_any)
        agent.ended(on_any)
        reply = agent.say("Submit", task=task(after=[{"id": first, "any": False}]))
        assert reply["error"].endswith("Impossible") and str(first) in reply["parameters"]["message"]
        reply = agent.say("Submit", task=task(after=[{"id": 999999, "any": True}]))
        assert reply["error"].endswith("NoSuchTask")
        free = agent.submit(after=[{"id": first, "any": True}, {"id": on_any, "any": False}])
        agent.accept(id=free)


def test_after_outlives_a_restart(daemon):
    with Agent(daemon) as agent:
        first = agent.submit(needs={"cpus": N_CPUS})
        second = agent.submit(after=[{"id": first, "any": False}])
        third = agent.submit(after=[{"id": second, "any": False}])
    daemon.kill()
    daemon.start_daemon()
    with Agent(daemon) as agent:
        agent.accept(id=first)
        agent.ended(first)
        agent.accept(id=second)
        agent.ended(second, "failed", 1)
        wait_state(daemon, third, "cancelled")


def test_an_array_is_one_task_with_many_elements(daemon):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-5", "limit": 2})
        after = agent.submit(after=[{"id": array, "any": True}])
        offers = [agent.accept(), agent.accept()]
        assert [offer["id"] for offer in offers] == [f"{array}_0", f"{array}_1"]
        tasks = {(t["id"], t["index"]): t["state"] for t in daemon.ps()}
        assert tasks == {
            (array, 0): "running", (array, 1): "running", (array, None): "pending", (after, None): "pending"
        }
        agent.ended(f"{array}_0")
        assert agent.accept()["id"] == f"{array}_2"
        agent.ended(f"{array}_1", "failed", 7)
        assert agent.accept()["id"] == f"{array}_3"
        assert daemon.run("cancel", f"{array}_5").returncode == 0
        agent.ended(f"{array}_2")
        assert agent.accept()["id"] == f"{array}_4"
        agent.ended(f"{array}_3")
        assert state_of(daemon, after) == "pending"
        agent.ended(f"{array}_4")
        shown = wait_state(daemon, array, "failed")
        assert (shown["array"]["done"], shown["array"]["failed"], shown["array"]["cancelled"]) == (4, 1, 1)
        agent.accept(id=after)
        ended = {t["index"]: t["state"] for t in daemon.ps() if t["id"] == array and t["index"] is not None}
        assert ended == {0: "done", 1: "failed", 2: "done", 3: "done", 4: "done", 5: "cancelled"}


def test_an_array_outlives_a_restart(daemon):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-3", "limit": 1})
        agent.accept(id=f"{array}_0")
        agent.ended(f"{array}_0")
        agent.accept(id=f"{array}_1")
    daemon.kill()
    daemon.start_daemon()
    with Agent(daemon) as agent:
        states = {t["id"]: t["state"] for t in agent.listed}
        assert states == {array: "pending", f"{array}_1": "running"}
        agent.resume(f"{array}_1", 1)
        agent.accept(id=f"{array}_1", attempt=2)
        agent.ended(f"{array}_1")
        for index in (2, 3):
            agent.accept(id=f"{array}_{index}")
            agent.ended(f"{array}_{index}")
        assert wait_state(daemon, array, "done")["array"]["done"] == 4


def test_cancelling_an_array_ends_all_of_it(daemon):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-9", "limit": 1})
        agent.accept(id=f"{array}_0")
        done = daemon.popen("cancel", str(array))
        assert agent.next("End")["id"] == f"{array}_0"
        agent.ended(f"{array}_0", "cancelled", None)
        assert done.wait() == 0
        assert wait_state(daemon, array, "cancelled")["array"]["cancelled"] == 10


def test_a_cancelled_array_is_so_whatever_its_elements_came_to(daemon):
    """The daemon is killed between the cancel and the last end."""
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-9", "limit": 1})
        after = agent.submit(after=[{"id": array}])
        for index, end in enumerate((("done", 0), ("failed", 3))):
            agent.accept(id=f"{array}_{index}")
            agent.ended(f"{array}_{index}", *end)
        agent.accept(id=f"{array}_2")
        results = agent.say("Cancel", ids=[array])["parameters"]["results"]
        assert [(r["id"], r["outcome"]) for r in results] == [(array, "done"), (f"{array}_2", "ending")]
        assert state_of(daemon, array) == "pending", "its last element still runs"
        daemon.kill()
    daemon.start_daemon()
    with Agent(daemon) as agent:
        waits = daemon.popen("wait", str(array))
        agent.ended(f"{array}_2")
        shown = wait_state(daemon, array, "cancelled")
        assert shown["reason"] == "cancelled; 1 of 10 was done, 1 failed"
        assert shown["exit_status"] is None
        assert [shown["array"][key] for key in ("done", "failed", "cancelled")] == [1, 1, 8]
        assert waits.wait() == 1
        reason = wait_state(daemon, after, "cancelled")["reason"]
        assert reason == f"task {array}, which it was to wait for, was cancelled"
        ended = {t["index"]: t["state"] for t in daemon.ps() if t["id"] == array}
        assert ended == {0: "done", 1: "failed", 2: "cancelled", None: "cancelled"}
    daemon.restart()
    assert state_of(daemon, array) == "cancelled"
    assert daemon.run("wait", str(array)).returncode == 1


def test_an_array_is_given_up_with_what_has_not_started(daemon):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-3", "limit": 1})
        agent.accept(id=f"{array}_0")
        assert "error" not in agent.say("Withdraw", id=array, reason="not started within 1s")
        agent.ended(f"{array}_0")
        assert wait_state(daemon, array, "cancelled")["reason"] == "not started within 1s; 1 of 4 was done"


def test_an_array_is_given_up_with_what_is_held(daemon):
    """Element 1 is held, and a task of its own; element 0 has failed, and is to be tried again."""
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-1", "limit": 1}, retry_max=1)
        agent.accept(id=f"{array}_0")
        assert daemon.run("hold", f"{array}_1").returncode == 0
        agent.ended(f"{array}_0", "failed", 1)
        assert "error" not in agent.say("Withdraw", id=array, reason="not started within 1s")
        held = daemon.show(f"{array}_1")
        assert (held["state"], held["reason"]) == ("cancelled", "not started within 1s")
        assert state_of(daemon, array) == "pending"
        agent.accept(id=f"{array}_0")
        agent.ended(f"{array}_0")
        assert wait_state(daemon, array, "cancelled")["reason"] == "not started within 1s; 1 of 2 was done"


def test_an_array_that_has_started_is_not_given_up(daemon):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-1"})
        for index in range(2):
            agent.accept(id=f"{array}_{index}")
        assert "error" not in agent.say("Withdraw", id=array, reason="not started within 1s")
        for index in range(2):
            agent.ended(f"{array}_{index}")
        shown = wait_state(daemon, array, "done")
        assert (shown["exit_status"], shown["reason"]) == (0, None)


def test_a_lost_task_gets_its_status_when_its_agent_comes_back(make_daemon):
    daemon = make_daemon()
    with Agent(daemon) as agent:
        task_id = agent.submit()
        agent.accept(id=task_id)
        proc = subprocess.Popen(["sleep", "1000"])
        agent.started(task_id, proc.pid)
        wait_until(lambda: daemon.show(task_id)["pid"], "the process is known")
    proc.kill()
    proc.wait()
    wait_state(daemon, task_id, "lost", timeout=45)
    with Agent(daemon) as agent:
        assert agent.listed == []
        assert "error" not in agent.ended(task_id, "failed", 9)
        shown = daemon.show(task_id)
        assert (shown["state"], shown["exit_status"]) == ("failed", 9)


def test_now_or_not_at_all(daemon):
    with Agent(daemon) as agent:
        first = agent.say("Submit", task=task(needs={"cpus": N_CPUS}), immediate=True)["parameters"]["id"]
        agent.accept(id=first)
        reply = agent.say("Submit", task=task(needs={"cpus": 1}), immediate=True)
        assert reply["error"].endswith("CannotStartNow")
        assert [t["id"] for t in daemon.ps()] == [first]


def test_a_waiting_task_that_is_cancelled_is_taken_from_its_agent(daemon):
    with Agent(daemon) as agent:
        filler = agent.submit(needs={"cpus": N_CPUS})
        agent.accept(id=filler)
        task_id = agent.submit(needs={"cpus": 1})
        assert daemon.run("cancel", str(task_id)).returncode == 0
        assert agent.next("Withdrawn")["id"] == task_id
        assert state_of(daemon, task_id) == "cancelled"


@pytest.mark.parametrize("state", ["done", "failed", "timeout"])
def test_one_that_was_told_to_end_is_cancelled_however_it_ended(daemon, sleeper, state):
    """It may have ended by itself in that very moment; it is not tried again either."""
    with Agent(daemon) as agent:
        task_id = agent.submit(retry_max=3)
        agent.accept(id=task_id)
        agent.started(task_id, sleeper().pid)
        wait_until(lambda: daemon.show(task_id)["pid"], "the process is known")
        cancel = daemon.popen("cancel", str(task_id))
        assert agent.next("End")["id"] == task_id
        assert "error" not in agent.ended(task_id, state, 0 if state == "done" else 1)
        assert cancel.wait() == 0
        assert state_of(daemon, task_id) == "cancelled"


@pytest.mark.parametrize("state", ["done", "failed", "lost"])
def test_one_that_was_told_to_end_is_cancelled_by_the_next_daemon_too(daemon, sleeper, state):
    """As soon as the cancel was answered, whoever dies then: no agent has heard of it."""
    proc = sleeper()
    with Agent(daemon) as agent:
        task_id = agent.submit(retry_max=3, requeue=True)
        agent.accept(id=task_id)
        agent.started(task_id, proc.pid)
        wait_until(lambda: daemon.show(task_id)["pid"], "the process is known")
    with RawClient(daemon.socket) as person:
        reply = person.call(PREFIX + "Cancel", {"ids": [task_id]})
    assert reply["parameters"]["results"][0]["state"] == "running", reply
    daemon.kill()
    daemon.start_daemon()
    with Agent(daemon) as agent:
        assert [(t["id"], t["state"]) for t in agent.listed] == [(task_id, "running")]
        assert agent.next("End")["id"] == task_id
        assert "error" not in agent.resume(task_id, 1, proc.pid)
        assert "error" not in agent.ended(task_id, state, None)
        shown = daemon.show(task_id)
        assert (shown["state"], shown["reason"]) == ("cancelled", "cancelled")


def test_one_that_is_cancelled_before_its_start_does_not_wait_again(daemon):
    with Agent(daemon) as agent:
        task_id = agent.submit()
        agent.accept(id=task_id)
    wait_state(daemon, task_id, "running")
    done = daemon.run("cancel", str(task_id))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"taskflow: task {task_id} has not ended, its process is not known: it ends as soon as its agent runs again, which "
        "'taskflow agent' of its user starts\n"
    )
    assert state_of(daemon, task_id) == "running"
    with Agent(daemon) as agent:
        assert "error" not in agent.resume(task_id, 1)
        assert agent.next("Withdrawn")["id"] == task_id
        assert state_of(daemon, task_id) == "cancelled"


def test_an_agent_that_asks_again_for_what_is_over_is_told_so(daemon):
    wanted = task()
    with Agent(daemon) as agent:
        task_id = agent.say("Submit", task=wanted)["parameters"]["id"]
        agent.accept(id=task_id)
        agent.ended(task_id)
    with Agent(daemon) as agent:
        assert agent.say("Submit", task=wanted)["parameters"]["id"] == task_id
        assert agent.next("Withdrawn")["id"] == task_id
        many = [{"task": wanted}, {"task": task(needs={"cpus": N_CPUS})}]
        assert agent.say("SubmitMany", tasks=many)["parameters"]["ids"][0] == task_id
        assert agent.next("Withdrawn")["id"] == task_id


def go_to_another_boot(daemon):
    """The daemon is not running; what it left is from before a reboot."""
    with contextlib.closing(sqlite3.connect(daemon.state / "taskflow.db")) as database:
        database.execute("UPDATE task SET boot_id = 'f0f0f0f0-0000-4000-8000-000000000000'")
        database.commit()


def test_all_elements_that_ran_when_the_machine_went_down_are_lost(daemon, sleeper):
    with Agent(daemon) as agent:
        array = agent.submit(array={"waiting": "0-2"})
        for index in range(3):
            agent.accept(id=f"{array}_{index}")
            agent.started(f"{array}_{index}", sleeper().pid)
        wait_until(lambda: all(t["pid"] for t in daemon.ps("-r")), "the processes are known")
    daemon.kill()
    go_to_another_boot(daemon)
    daemon.start_daemon()
    assert "makes no sense" not in daemon.log_text()
    shown = wait_state(daemon, array, "failed")
    assert shown["array"]["lost"] == 3
    for index in range(3):
        shown = daemon.show(f"{array}_{index}")
        assert (shown["state"], shown["reason"]) == ("lost", "the machine went down")


ALL = {"cpus": N_CPUS}


def test_the_next_start_comes_with_the_answer_to_an_end(daemon):
    with Agent(daemon) as agent:
        ids = [agent.submit(needs=ALL) for _ in range(3)]
        assert "granted" not in agent.accept(id=ids[0])
        agent.ended_soon(ids[0], 21000)  # too long for a row
        offer = agent.next("Offer")
        assert (offer["id"], offer["offer"], offer["granted"]) == (ids[1], 0, True)
        assert "behind" not in offer
        assert state_of(daemon, ids[1]) == "running"
        # who says that it was not started gets it again, and is asked then
        assert "error" not in agent.resume(ids[1], offer["attempt"])
        offer = agent.next("Offer")
        assert (offer["id"], offer["attempt"], "granted" in offer) == (ids[1], 2, False)


def test_what_could_not_be_written_was_never_there_although_it_was_granted(make_daemon):
    """In the turn in which it was queued, as another one had just ended: nothing of it stays, in whose room the next ones wait."""
    daemon = make_daemon(start=False)
    with small_disk(daemon.state, "16m") as disk:
        daemon.start_daemon()
        wanted = [{"task": task(needs=ALL, command="x" * 3000)} for _ in range(100)]  # more than is kept for the WAL
        with Agent(daemon) as agent:
            first = agent.submit(needs=ALL)
            agent.accept(id=first)
            fill(disk / "filler")
            agent.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2**20)
            os.kill(daemon.pid, signal.SIGSTOP)  # so that it hears both in one turn
            agent.send(
                call("SubmitMany", tasks=wanted)
                + call("Ended", id=first, state="done", exit_status=0, ended_at_us=int(time.time() * 1e6))
            )
            os.kill(daemon.pid, signal.SIGCONT)
            assert agent.receive_all() == []
        (disk / "filler").unlink()
        with Agent(daemon) as agent:
            assert agent.listed == []
            ids = agent.say("SubmitMany", tasks=wanted)["parameters"]["ids"]
            agent.accept(id=ids[0])
        daemon.restart()
        assert [t["id"] for t in daemon.ps() if t["state"] != "done"] == ids
        daemon.stop()


def test_short_ones_are_granted_in_a_row(daemon):
    with Agent(daemon) as agent:
        ids = [agent.submit(needs=ALL) for _ in range(50)]
        agent.accept(id=ids[0])
        agent.ended_soon(ids[0])
        row = [agent.next("Offer") for _ in range(5)]
        assert [offer["id"] for offer in row] == ids[1:6]
        assert all(offer["granted"] for offer in row)
        assert [offer.get("behind") for offer in row] == [None, *ids[1:5]]

        # what stands behind has not started, for all who look
        status = daemon.status()["tasks"]
        assert (status["running"], status["pending"]) == (1, 48)
        assert daemon.status()["cpus"]["promised"] == N_CPUS
        shown = daemon.show(ids[2])
        assert (shown["state"], shown["started_at"]) == ("pending", None)
        running = [t for t in daemon.ps() if t["state"] == "running"]
        assert [t["id"] for t in running] == [ids[1]]
        assert daemon.run("why", str(ids[2])).returncode == 0

        # each has the room of the one before
        agent.ended(ids[1])
        assert (state_of(daemon, ids[2]), state_of(daemon, ids[3])) == ("running", "pending")
        assert daemon.show(ids[2])["started_at"] is not None
        agent.ended(ids[2], "failed", 1)
        assert (state_of(daemon, ids[2]), state_of(daemon, ids[3])) == ("failed", "running")
        assert daemon.status()["cpus"]["promised"] == N_CPUS


def row_of_two(daemon, agent):
    """The first and second of a row, of four tasks."""
    ids = [agent.submit(needs=ALL) for _ in range(4)]
    agent.accept(id=ids[0])
    agent.ended_soon(ids[0])
    assert agent.next("Offer")["id"] == ids[1]
    assert agent.next("Offer")["behind"] == ids[1]
    return ids[1:]


def test_what_is_given_back_waits_in_its_place(daemon):
    with Agent(daemon) as agent:
        first, second, third = row_of_two(daemon, agent)
        agent.next("Offer")
        assert "error" not in agent.resume(second, 1)
        assert state_of(daemon, second) == "pending"
        agent.ended_soon(first)  # the third stood behind it from then on, and it is short: so it has one behind it again
        assert state_of(daemon, third) == "running"
        offer = agent.next("Offer")
        assert (offer["id"], offer["attempt"], offer.get("behind")) == (second, 2, third)


def test_one_in_a_row_is_cancelled_by_its_agent(daemon):
    with Agent(daemon) as agent:
        _, second, _ = row_of_two(daemon, agent)
        proc = daemon.popen("cancel", str(second))
        assert agent.next("End")["id"] == second
        assert "error" not in agent.resume(second, 1)
        assert proc.wait() == 0
        assert wait_state(daemon, second, "cancelled")["exit_status"] is None


def test_a_row_outlives_agent_and_daemon(daemon):
    with Agent(daemon) as agent:
        first, second, third = row_of_two(daemon, agent)
        agent.next("Offer")
    with Agent(daemon) as agent:
        assert {t["id"]: (t["state"], t.get("attempt")) for t in agent.listed} == {
            first: ("running", 1), second: ("running", 1), third: ("running", 1),
        }
    daemon.restart()
    with Agent(daemon) as agent:
        assert sorted(t["id"] for t in agent.listed) == [first, second, third]
        for task_id in (first, second, third):
            assert "error" not in agent.resume(task_id, 1)
        assert agent.accept()["id"] == first


def test_a_row_lets_nobody_else_wait(daemon):
    with Agent(daemon) as agent:
        ids = [agent.submit(needs=ALL) for _ in range(3)]
        agent.submit(needs=ALL, priority=50)
        agent.accept(id=ids[0])
        agent.ended_soon(ids[0])
        assert agent.next("Offer")["id"] == ids[1]
        assert state_of(daemon, ids[2]) == "pending"
        assert "error" not in agent.say("Show", id=ids[2])
        assert not any(call["method"] == PREFIX + "Offer" for call in agent.news)


def test_what_is_measured_stands_in_no_row(daemon):
    with Agent(daemon) as agent:
        ids = [agent.submit(needs={**ALL, "memory_bytes": 1 << 20}) for _ in range(3)]
        agent.accept(id=ids[0])
        agent.ended_soon(ids[0])
        offer = agent.next("Offer")
        assert (offer["id"], offer.get("behind")) == (ids[1], None)
        assert "error" not in agent.say("Show", id=ids[2])
        assert not any(call["method"] == PREFIX + "Offer" for call in agent.news)
