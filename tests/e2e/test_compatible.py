# SPDX-License-Identifier: GPL-3.0-or-later
"""An older client and agent with this daemon, and this client and agent with an older daemon.

tests/data/protocol/VERSION.json is what was said then (recording.py). Once the clients' side of it is said to this daemon,
and once this client is answered with the daemon's side. How the two protocols differ is another test (`compatible`).
"""

import contextlib
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import threading

import pytest

import harness
from harness import PATIENCE, wait_until
from recording import ANY_TIME, PLAYS, Steps, count

DATA = pathlib.Path(__file__).parents[1] / "data/protocol"
VERSIONS = sorted(path.stem for path in DATA.glob("*.json"))
LOOK = "io.taskflow.v1.Look"

# What `status` and `why` ask beside what they asked then: every daemon knows it, the recordings have no answer to it, and who
# cannot do without one ends with another status.
ASKED_SINCE = {"io.taskflow.v1.List"}

# What depends on time or on the machine: there in one run, left out in another.
MAY_BE_LEFT_OUT = {
    "used_bytes", "peak_bytes", "memory", "known", "gpu_text", "gpu_age_us", "gpus", "explain", "boot_us",
    "pid_start_ticks", "pid", "boot_id", "runner_pid", "holders", "place", "started_boot_us",
}
SAME = {"state", "outcome", "error", "exit_status", "signal", "id", "granted", "name", "priority", "database"}


def load(version, name):
    return json.loads((DATA / f"{version}.json").read_text())[name]


def compare(old, new, path=""):
    """An old client finds in the answer what it found then."""
    assert type(old) is type(new), f"{path}: {old!r} then, {new!r} now"
    if isinstance(old, dict):
        for key in old:
            if key in new:
                compare(old[key], new[key], f"{path}.{key}")
            else:
                assert key in MAY_BE_LEFT_OUT, f"{path}.{key} was {old[key]!r}, and is not there"
    elif isinstance(old, list):
        for i, (a, b) in enumerate(zip(old, new)):
            compare(a, b, f"{path}[{i}]")
    elif path.rpartition(".")[2] in SAME:
        assert old == new, f"{path}: {old!r} then, {new!r} now"


class OldClient:
    """One connection of a recording, said again."""

    def __init__(self, path):
        self.raw = harness.RawClient(path)
        self.fds = []

    def say(self, message, n_fds, database):
        if "database" in message.get("parameters", {}):
            message["parameters"]["database"] = database
        data = json.dumps(message).encode() + b"\0"
        if not n_fds:
            self.raw.send(data)
            return
        proc = subprocess.Popen(["sleep", "1000"])
        self.fds.append(proc)
        fd = os.pidfd_open(proc.pid)
        socket.send_fds(self.raw.socket, [data], [fd])
        os.close(fd)

    def hear(self):
        while True:
            message = self.raw.receive()
            if message.get("method") != LOOK:
                return message

    def close(self):
        self.raw.close()
        for proc in self.fds:
            proc.kill()
            proc.wait()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", PLAYS)
def test_what_an_old_client_said_is_answered_as_it_was(daemon, version, name):
    clients = {}
    database = {}

    def client(number):
        if number not in clients:
            clients[number] = OldClient(daemon.socket)
        return clients[number]

    try:
        for event in load(version, name)["events"]:
            message = event.get("message", {})
            if event.get("restart"):
                daemon.restart()
            elif event.get("closed"):
                if event["from"] == "client":
                    client(event["connection"]).close()
            elif event["from"] == "client":
                client(event["connection"]).say(message, event["fds"], database.get("id"))
            elif message.get("method") != LOOK:
                got = client(event["connection"]).hear()
                if "database" in got.get("parameters", {}) and "parameters" in message:
                    database.setdefault("id", got["parameters"]["database"])
                    assert got["parameters"]["database"] == database["id"]
                    message["parameters"]["database"] = database["id"]
                assert got.get("method") == message.get("method")
                compare(message, got)
    finally:
        for each in clients.values():
            each.close()


class OldConnection:
    """The daemon's side of one: what it answered to each call, and what it said of itself then."""

    def __init__(self, events):
        self.first = events[0]["message"]["method"]
        self.calls = []  # [message, [replies], [the daemon's own calls behind it]]
        awaited = []
        steady = None
        for event in events:
            message = event.get("message", {})
            if event.get("closed"):
                break
            if event["from"] == "client":
                call = [message, [], []]
                self.calls.append(call)
                if not message.get("oneway"):
                    awaited.append(call)
                if message["method"] not in ANY_TIME:
                    steady = call
            elif "method" in message:
                steady[2].append(message)
            else:
                for result in message.get("parameters", {}).get("results", []):
                    if result.pop("pid", None):  # of then: whoever looks at it is shown a process that lives
                        result["runner_pid"] = os.getpid()
                awaited[0][1].append(message)
                if not message.get("continues"):
                    awaited.pop(0)

    def take(self, message):
        """The call of then that this one is."""

        def is_same(call):
            then, now = call[0].get("parameters", {}), message.get("parameters", {})
            return call[0]["method"] == message["method"] and then.get("id") == now.get("id")

        found = next((call for call in self.calls if is_same(call)), None)
        if found and message["method"] not in ANY_TIME:
            self.calls.remove(found)
        return found


class OldDaemon:
    """Answers as a daemon of then did. What it would have refused is a fault, too."""

    def __init__(self, path, events, keys):
        by_number = {}
        for event in events:
            by_number.setdefault(event["connection"], []).append(event)
        self.old = [OldConnection(each) for each in by_number.values() if "message" in each[0]]
        self.keys = keys
        self.events = []  # as a Proxy has them
        self.faults = []
        self.lock = threading.Lock()
        self.threads = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(path))
        self.listener.listen(64)
        self.threads.append(threading.Thread(target=self.listen))
        self.threads[0].start()

    def listen(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def serve(self, sock):
        connection, data = None, b""
        with sock:
            while True:
                try:
                    piece, fds, _, _ = socket.recv_fds(sock, 1 << 20, 4)
                except OSError:
                    return
                for fd in fds:
                    os.close(fd)
                if not piece:
                    return
                data += piece
                while b"\0" in data:
                    text, _, data = data.partition(b"\0")
                    message = json.loads(text)
                    with self.lock:
                        connection = connection or self.find(message["method"])
                        answers = self.answers(connection, message)
                        self.events.append({"from": "client", "message": message})
                    with contextlib.suppress(OSError):
                        sock.sendall(b"".join(json.dumps(answer).encode() + b"\0" for answer in answers))

    def find(self, method):
        found = next((each for each in self.old if each.first == method), None)
        if found:
            self.old.remove(found)
        return found

    def answers(self, connection, message):
        self.check_keys(message)
        call = connection.take(message) if connection else None
        if call:
            return [*call[1], *call[2]]
        if message["method"] not in ANY_TIME and message["method"] not in ASKED_SINCE:
            self.faults.append(f"nobody said this then: {message}")
        if message.get("oneway"):
            return []
        return [{"error": "io.taskflow.v1.NoSuchTask", "parameters": {"message": "not then"}}]

    def check_keys(self, message):
        """A daemon of then refuses keys that it does not know."""
        unknown = [key for key in message.get("parameters", {}) if (message["method"], key) not in self.keys]
        task = message.get("parameters", {}).get("task", {})
        unknown += [key for key in task if (("SubmittedTask", key) not in self.keys and ("AttachedTask", key) not in self.keys)]
        if unknown:
            self.faults.append(f"{message['method']} says what was not known then: {unknown}")

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(PATIENCE)


def keys_of(version):
    """{(method or object, key)} of calls."""
    keys, thing = set(), None
    for line in (DATA / f"{version}.protocol").read_text().splitlines():
        kind, *words = line.split("\t")
        if kind in ("method", "object"):
            thing = words[0]
        elif kind in ("call", "member"):
            keys.add((thing, words[0]))
    return keys


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name in PLAYS if name != "restart"])
def test_with_what_an_old_daemon_answered_commands_end_as_they_did(place, version, name):
    recorded = load(version, name)
    path = place.folder / "then"
    old = OldDaemon(path, recorded["events"], keys_of(version))
    steps = Steps(place, path)
    try:
        PLAYS[name](steps, count(old.events), None)
    finally:
        place.end_agents()
        for proc in place.procs:
            proc.end()
        wait_until(lambda: not place.agents(), "the agent has ended")
        old.close()
    assert [status for _, status in steps.statuses] == [status for _, status in recorded["commands"]]
    assert not old.faults


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_old_daemon_stored_is_read(make_daemon, version):
    """After a reboot, as it were: what ran then is lost."""
    daemon = make_daemon(start=False)
    with contextlib.closing(sqlite3.connect(daemon.state / "taskflow.db")) as db:
        db.executescript((DATA / f"{version}.sql").read_text())
    daemon.start_daemon()
    then = {task["id"]: task for task in json.loads((DATA / f"{version}.tasks").read_text())["tasks"]}
    now = {task["id"]: task for task in daemon.ps()}
    assert now.keys() == then.keys()
    for task_id, task in then.items():
        for key in ("used", "peak", "reason", "user", "after"):  # of the moment, and of the machine
            task.pop(key), now[task_id].pop(key)
        if task["state"] == "running":
            assert now[task_id]["state"] == "lost"
            continue
        assert {key: now[task_id][key] for key in task} == task
    assert daemon.run("run", "true").returncode == 0
    assert max(task["id"] for task in daemon.ps()) > max(then), "ids never repeat"


# What one of them does not know


def test_a_call_that_an_old_daemon_refuses_is_said_to_be_a_matter_of_versions(place):
    """A key, or a method, that is newer than it."""
    from test_doctor import Answering

    for error in ("io.taskflow.v1.BadRequest", "org.varlink.service.MethodNotFound"):
        path = place.folder / error
        answer = json.dumps({"error": error, "parameters": {"message": "unknown key 'new'"}}).encode() + b"\0"
        answering = Answering(path, answer)
        try:
            for args, status in ((("run", "true"), 125), (("ps",), 1), (("status",), 1), (("cancel", "1"), 1)):
                done = place.run([harness.TASKFLOW, *args], env=place.env(TASKFLOW_SOCKET=path))
                assert done.returncode == status, done
                assert "unknown key 'new'" in done.stderr
                assert "different versions: 'taskflow doctor'" in done.stderr
        finally:
            answering.close()


def test_a_call_that_this_daemon_does_not_know_is_refused_by_its_name(daemon):
    with harness.RawClient(daemon.socket) as raw:
        answer = raw.call("io.taskflow.v1.Applaud", {"how": 1})
        assert answer["error"] == "org.varlink.service.MethodNotFound" and "Applaud" in answer["parameters"]["message"]
        assert "parameters" in raw.call("io.taskflow.v1.Status"), "the connection goes on"
        answer = raw.call("io.taskflow.v1.Show", {"id": 1, "colour": "red"})
        assert answer["error"] == "io.taskflow.v1.BadRequest" and "colour" in answer["parameters"]["message"]


def test_an_agent_that_the_daemon_is_too_old_for_says_so(place):
    from test_doctor import Answering

    path = place.folder / "s"
    error = {"error": "org.varlink.service.MethodNotFound", "parameters": {"message": "no method 'io.taskflow.v1.Agent'"}}
    answering = Answering(path, json.dumps(error).encode() + b"\0")
    try:
        done = place.run([harness.TASKFLOW, "run", "-D", "-w", "5", "true"], env=place.env(TASKFLOW_SOCKET=path))
        assert done.returncode == 125
        assert "'taskflow doctor'" in done.stderr, done.stderr
    finally:
        place.end_agents()
        wait_until(lambda: not place.agents(), "the agent has ended")
        answering.close()
