# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that say what is not so: of another user's task, of another user, of what only the daemon says. Bob says it, alice is meant."""

import contextlib
import json
import os
import socket
import subprocess
import time

import pytest

from harness import N_CPUS, kill_quietly, proc_state, wait_until

API = "io.taskflow.v1."


def call(raw, method, parameters=None, **more):
    """The answer; what the daemon itself says meanwhile is passed over. None: it has ended the connection."""
    try:
        raw.send_json({"method": method if "." in method else API + method, "parameters": parameters or {}, **more})
        while True:
            answer = raw.receive()
            if "method" not in answer:
                return answer
    except (EOFError, BrokenPipeError):
        return None


def task_of(key, **more):
    return {"key": f"{key:032x}", "command": "x", "argv": ["x"], "cwd": "/", **more}


class Alice:
    """What she has, said by a runner and an agent that are scripted: one task that runs, one that waits, and the same of an agent."""

    def __init__(self, shared, stack):
        self.daemon = shared.daemon
        self.runner, self.agent = (stack.enter_context(shared.alice.connect(shared.daemon.socket)) for _ in range(2))
        # Not our child: that of a runner may be of any user.
        self.parent = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, **shared.alice.kwargs())
        stack.enter_context(self.parent)
        stack.callback(self.parent.kill)
        self.pid = int(self.parent.stdout.readline())
        stack.callback(kill_quietly, self.pid)
        reply = self.submit(self.runner, 1, needs={"cpus": N_CPUS})
        assert reply["granted"]
        self.database = reply["database"]
        self.running = reply["id"]
        self.started(self.runner, self.running)
        self.waiting = self.submit(self.runner, 2, needs={"cpus": 1})["id"]
        assert "error" not in call(self.agent, "Agent", more=True)
        self.later = self.submit(self.agent, 3, needs={"cpus": 1}, detached=True)["id"]
        self.detached = self.submit(self.agent, 4, detached=True)["id"]
        self.accept(self.agent, self.detached)
        self.started(self.agent, self.detached)
        self.over = self.submit(self.agent, 5, detached=True)["id"]
        self.accept(self.agent, self.over)
        ended = {"id": self.over, "state": "failed", "exit_status": 3, "ended_at_us": int(time.time() * 1e6)}
        assert "error" not in call(self.agent, "Ended", ended)
        self.ids = [self.running, self.waiting, self.later, self.detached, self.over]
        wait_until(lambda: all(self.daemon.show(i)["pid"] for i in (self.running, self.detached)), "both are known to run")
        self.before = self.look()

    @staticmethod
    def submit(raw, key, **more):
        answer = call(raw, "Submit", {"task": task_of(key, **more)})
        assert "error" not in answer, answer
        return answer["parameters"]

    def started(self, raw, task_id):
        pidfd = os.pidfd_open(self.pid)
        message = {"method": API + "Started", "parameters": {"id": task_id}, "oneway": True}
        socket.send_fds(raw.socket, [json.dumps(message).encode() + b"\0"], [pidfd])
        os.close(pidfd)

    @staticmethod
    def accept(raw, task_id):
        while True:
            offer = raw.receive()
            if offer.get("method") == API + "Offer" and offer["parameters"]["id"] == task_id:
                break
        assert "error" not in call(raw, "Accept", {"id": task_id, "offer": offer["parameters"]["offer"]})

    def look(self):
        def of(task):
            return {key: value for key, value in task.items() if key not in ("reason", "used")}

        return [of(self.daemon.show(task_id)) for task_id in self.ids]

    def check(self):
        assert self.look() == self.before
        for raw in (self.runner, self.agent):
            raw.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                heard = raw.receive()
                assert heard.get("method") == API + "Look", heard
            raw.socket.setblocking(True)
            assert "error" not in call(raw, "org.varlink.service.GetInfo"), "she is still there"
        assert proc_state(self.pid) == "S"
        assert self.daemon.proc.poll() is None


@pytest.fixture
def alice(shared):
    with contextlib.ExitStack() as stack:
        yield Alice(shared, stack)


@pytest.fixture(params=["runner", "agent"])
def bob(request, shared, alice):
    """A connection of his; as an agent it may say more."""
    with shared.bob.connect(shared.daemon.socket) as raw:
        if request.param == "agent":
            answer = call(raw, "Agent", more=True)
            assert "tasks" not in answer["parameters"], "none of them is his"
        yield raw


def spoken_for(task_id):
    """What the runner of a task might say of it."""
    return [
        ("Accept", {"id": task_id, "offer": 1}, False),
        ("Decline", {"id": task_id, "offer": 1}, True),
        ("Started", {"id": task_id}, True),
        ("Used", {"id": task_id, "memory_bytes": 1 << 40}, True),
        ("Away", {"id": task_id, "away": True}, True),
        ("Withdraw", {"id": task_id, "reason": "bob says so"}, False),
        ("Ended", {"id": task_id, "state": "done", "exit_status": 0, "ended_at_us": 1}, False),
        ("Ended", {"id": task_id, "attempt": 1, "state": "cancelled", "signal": 9, "ended_at_us": 1}, False),
        ("Resume", {"id": task_id, "attempt": 1, "running": True}, False),
        ("Resume", {"id": task_id, "attempt": 1}, False),
        ("Update", {"id": task_id, "priority": 200}, False),
    ]


def test_nobody_speaks_for_the_runner_of_another(alice, bob):
    for task_id in [*alice.ids, 4711, 2**39 - 1, f"{alice.later}_0"]:
        for method, parameters, oneway in spoken_for(task_id):
            if oneway:
                bob.send_json({"method": API + method, "parameters": parameters, "oneway": True})
                continue
            answer = call(bob, method, parameters)
            assert answer["error"] in (API + "NotPermitted", API + "NoSuchTask"), (method, task_id, answer)
    alice.check()


def test_ids_of_another_are_not_acted_on_in_any_company(alice, bob):
    own = Alice.submit(bob, 77, needs={"cpus": 1})["id"] if not is_agent(bob) else None
    for method in ("Hold", "Release", "Cancel"):
        answer = call(bob, method, {"ids": [*alice.ids, *([own] if own else [])]})
        outcomes = {result["id"]: result["outcome"] for result in answer["parameters"]["results"]}
        assert set(outcomes[i] for i in alice.ids[:-1]) == {"not-yours"}, outcomes
        assert outcomes[alice.over] == "wrong-state"
        assert all("pid" not in result for result in answer["parameters"]["results"]), "nobody is told whom to kill"
    alice.check()


def is_agent(raw):
    answer = call(raw, "Submit", {"task": task_of(99, detached=True, needs={"cpus": N_CPUS + 1})})
    return answer["error"] != API + "NotPermitted"


def granted_to(raw):
    """A task that runs, as far as the daemon knows, and has no process yet."""
    own = Alice.submit(raw, 9, **({"detached": True} if is_agent(raw) else {}))
    if not own.get("granted"):
        Alice.accept(raw, own["id"])
    return own["id"]


def test_attach_takes_no_task_of_another(alice, bob):
    """Also not with its key, should that have become known."""
    for task_id, key in zip(alice.ids[:-1], range(1, 5)):
        for started in (False, True):
            back = task_of(key, id=task_id, state="running" if started else "pending")
            answer = call(bob, "Attach", {"database": alice.database, "task": back, "started": started})
            assert answer["error"] == API + "NotPermitted", answer
    alice.check()


def test_a_key_of_another_is_a_task_of_ones_own(alice, bob, shared):
    answer = call(bob, "Submit", {"task": task_of(2, needs={"cpus": 1})})
    own = answer["parameters"]["id"]
    assert own not in alice.ids
    assert alice.daemon.show(own)["uid"] == shared.bob.uid
    alice.check()


FORGED = [
    ("Submit", {"task": task_of(9, uid=0)}),
    ("Submit", {"task": task_of(9, user="alice")}),
    ("Submit", {"task": task_of(9, id=1)}),
    ("Submit", {"task": task_of(9, pid=1)}),
    ("Submit", {"task": task_of(9, runner_pid=1)}),
    ("Submit", {"task": task_of(9, state="running")}),
    ("Submit", {"task": task_of(9, queued_boot_us=1)}),
    ("Submit", {"task": task_of(9), "uid": 0}),
    ("Submit", {"task": task_of(9, priority=201)}),
    ("Submit", {"task": task_of(9, priority=-1)}),
    ("Submit", {"task": task_of(9, needs={"gpus": [{"want": "0", "uuid": "GPU-x", "bytes": 1}]})}),
    ("Submit", {"task": task_of(9, needs={"memory_bytes": 2**63})}),
    ("Submit", {"task": {**task_of(9), "key": "../../../../../../../../../etc"}}),
    ("Submit", {"task": task_of(9, command="a\0b")}),
    ("SubmitMany", {"items": [{"task": task_of(9, uid=0)}]}),
    ("Attach", {"database": "x", "task": task_of(9, id=1, state="pending")}),
    ("Attach", {"database": "0" * 32, "task": task_of(9, id=1, state="pending", uid=0)}),
    ("Attach", {"database": "0" * 32, "task": task_of(9, id=1, state="pending", cancelled=True)}),
    ("Attach", {"database": "0" * 32, "task": task_of(9, id=0, state="pending")}),
    ("Attach", {"database": "0" * 32, "task": task_of(9, id=1, state="pending", pid=-1)}),
    ("Attach", {"database": "0" * 32, "task": task_of(9, id=1, state="running", gpus=[{"uuid": "$(x)", "index": 0, "bytes": 1}])}),
    ("Cancel", {"ids": [1], "uid": 0}),
    ("Cancel", {"ids": [1], "signal": 65}),
    ("Update", {"id": 1, "uid": 0}),
    ("Drain", {"reason": "x", "uid": 0}),
    ("List", {"uid": "0"}),
    ("Agent", {"uid": 0}),
    ("Started", {"id": 1, "pid": 1}),
    # what only the daemon says, or only an agent is told
    ("Offer", {"id": 1, "offer": 1}),
    ("End", {"id": 1}),
    ("Withdrawn", {"id": 1, "reason": None}),
    ("Look", {"interval_us": 1}),
    ("io.taskflow.agent.v1.Queue", {"items": []}),
    ("io.taskflow.agent.v1.Stop", {}),
    ("io.taskflow.agent.v1.Status", {}),
]


ONEWAY = {"Started", "Offer", "End", "Withdrawn", "Look"}


def test_what_nobody_may_say_is_refused_by_its_name(alice, shared):
    for method, parameters in FORGED:
        with shared.bob.connect(alice.daemon.socket) as raw:
            if method in ONEWAY:
                raw.send_json({"method": API + method, "parameters": parameters, "oneway": True})
                answer = call(raw, "org.varlink.service.GetInfo")
                assert answer is None or "error" not in answer or "BadRequest" in answer["error"], (method, answer)
                continue
            answer = call(raw, method, parameters)
            assert answer is None or answer["error"].rpartition(".")[2] in (
                "BadRequest", "MethodNotFound", "NotPermitted"), (method, parameters, answer)  # fmt: skip
    alice.check()


def test_a_process_of_another_is_not_taken_for_ones_own(alice, bob, shared):
    """By its pidfd, on a task that has been granted; and by its number."""
    own = granted_to(bob)
    alice_fd = os.pidfd_open(alice.pid)
    message = {"method": API + "Started", "parameters": {"id": own}, "oneway": True}
    socket.send_fds(bob.socket, [json.dumps(message).encode() + b"\0"], [alice_fd])
    os.close(alice_fd)
    assert "error" not in call(bob, "org.varlink.service.GetInfo")
    assert alice.daemon.show(own)["pid"] is None
    assert "left out" in alice.daemon.log_text()
    # An admin who ends it ends nobody else's.
    alice.daemon.run("cancel", "-s", "KILL", str(own))
    alice.check()


def test_descriptors_of_any_kind_are_no_process(alice, bob):
    own = granted_to(bob)
    pairs = socket.socketpair()
    read_end, write_end = os.pipe()
    for fd in (pairs[0].fileno(), read_end, os.open("/dev/null", os.O_RDWR), os.open("/proc/self/fdinfo/0", os.O_RDONLY),
               os.open("/", os.O_PATH)):
        message = {"method": API + "Started", "parameters": {"id": own}, "oneway": True}
        socket.send_fds(bob.socket, [json.dumps(message).encode() + b"\0"], [fd])
        assert "error" not in call(bob, "org.varlink.service.GetInfo")
        os.close(fd) if fd != pairs[0].fileno() else pairs[0].close()
    os.close(write_end)
    pairs[1].close()
    assert alice.daemon.show(own)["pid"] is None
    alice.check()
