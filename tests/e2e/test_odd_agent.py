# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent that is not as it should be: what `run -D`, `submit`, `agent` and the commands that look make of it."""

import array
import contextlib
import json
import os
import socket
import threading

import pytest
from harness import wait_until


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


class Agent:
    """Listens where the agent of a daemon would; each connection's calls are answered by the next function of a list."""

    def __init__(self, daemon, *answers):
        self.folder = daemon.place.home / ".local/state/taskflow" / f"agent-named-{fnv1a(os.fsencode(daemon.socket)):08x}"
        self.folder.mkdir(parents=True, mode=0o700)
        self.answers = list(answers)
        self.calls = []
        self.bundles = []
        self.connections = []
        self.next_id = 100
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(os.fspath(self.folder / "sock"))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                self.converse(connection)
                connection.close()

    def converse(self, connection):
        data = b""
        while True:
            with contextlib.suppress(ConnectionResetError):
                more, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(16))
                for _, _, payload in ancillary:
                    fds = array.array("i")
                    fds.frombytes(payload[: len(payload) // 4 * 4])
                    self.bundles += fds
                if not more:
                    return
                data += more
            while b"\0" in data:
                message, _, data = data.partition(b"\0")
                call = json.loads(message)
                self.calls.append(call)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                reply = answer(self, call)
                if reply is None:
                    return
                connection.sendall(json.dumps(reply).encode() + b"\0")

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing it does not
        self.thread.join()
        self.listener.close()
        for connection in self.connections:
            connection.close()
        for fd in self.bundles:
            os.close(fd)


def queue(agent, call):
    tasks = call["parameters"]["tasks"]
    ids = list(range(agent.next_id, agent.next_id + len(tasks)))
    agent.next_id += len(tasks)
    return {"parameters": {"ids": ids}}


def queue_and_notice(agent, call):
    reply = queue(agent, call)
    reply["parameters"]["notices"] = ["the delay was cut to 10m", "a\033[2Jb"]
    return reply


def hang_up(_agent, _call):
    return None


def refuse(_agent, _call):
    return {"error": "io.taskflow.v1.Limit", "parameters": {"message": "you have 100000 waiting tasks already"}}


def too_few(_agent, _call):
    return {"parameters": {"ids": []}}


def status(agent, _call):
    return {"parameters": {"pid": 4711, "connected": True, "daemon": "/a/socket", "state_dir": os.fspath(agent.folder),
                           "lives": "detached", "text": None, "n_waiting": 3, "n_running": 2, "n_undelivered": 1}}


def disconnected(agent, call):
    reply = status(agent, call)
    reply["parameters"].update(connected=False, text="nobody listens")
    return reply


@pytest.fixture
def make_agent(daemon):
    made = []

    def make(*answers):
        made.append(Agent(daemon, *answers))
        return made[-1]

    yield make
    for agent in made:
        agent.end()


def test_a_task_is_handed_over_whole(daemon, make_agent, folder):
    agent = make_agent(queue)
    done = daemon.run("run", "-D", "-n", "a name", "-m", "5G", "-w", "10m", "-o", "log-{id}", "--retry", "2",
                      "--requeue", "--array", "0-9%3", "--after", "3,4", "--after-any", "5", "echo $HOME",
                      env={"SECRET": "do not tell"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "100\n", "")
    call, = agent.calls
    assert call["method"] == "io.taskflow.agent.v1.Queue"
    item, = call["parameters"]["tasks"]
    assert item["wait_us"] == 600 * 10**6
    assert not item.get("immediate")
    task = item["task"]
    assert (task["name"], task["command"], task["cwd"]) == ("a name", "echo $HOME", os.fspath(folder))
    assert task["output"] == os.fspath(folder / "log-{id}")
    assert (task["detached"], task["requeue"], task["retry_max"]) == (True, True, 2)
    assert task["array"] == {"waiting": "0-9", "limit": 3}
    assert [(after["id"], bool(after.get("any"))) for after in task["after"]] == [(3, False), (4, False), (5, True)]
    assert "do not tell" not in json.dumps(call)
    bundle, = agent.bundles
    with pytest.raises(OSError):
        os.write(bundle, b"x")
    content = os.pread(bundle, 1 << 20, 0)
    assert b"SECRET=do not tell\0" in content
    assert b"echo $HOME\0" in content


def test_now_or_not_at_all_is_said(daemon, make_agent):
    agent = make_agent(queue)
    assert daemon.run("run", "-D", "-w", "0", "true").returncode == 0
    assert agent.calls[0]["parameters"]["tasks"][0]["immediate"] is True


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_key(daemon, make_agent):
    agent = make_agent(hang_up, hang_up, queue)
    done = daemon.run("run", "-D", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "100\n", "")
    assert len(agent.calls) == 3
    assert agent.calls[0] == agent.calls[2]


def test_one_that_never_answers_is_given_up(daemon, make_agent):
    agent = make_agent(hang_up)
    done = daemon.run("run", "-D", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "lost your agent" in done.stderr
    assert len(agent.calls) == 5


def test_a_refusal_is_passed_on(daemon, make_agent):
    make_agent(refuse)
    done = daemon.run("run", "-D", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "taskflow: you have 100000 waiting tasks already\n"


def test_an_answer_without_the_id_is_none(daemon, make_agent):
    make_agent(too_few)
    done = daemon.run("run", "-D", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "0 ids for 1 tasks" in done.stderr


def test_notices_are_said_once_and_made_harmless(daemon, make_agent):
    agent = make_agent(queue_and_notice)
    done = daemon.run("submit", "-", input="true\n" * 600)
    assert done.returncode == 0
    assert done.stdout.split() == [str(n) for n in range(100, 700)]
    assert done.stderr == "taskflow: the delay was cut to 10m\ntaskflow: a^[[2Jb\n"
    assert [len(call["parameters"]["tasks"]) for call in agent.calls] == [250, 250, 100]
    assert daemon.run("run", "-D", "-q", "true").stderr == ""


def test_lines_are_told_that_are_not_queued(daemon, make_agent):
    make_agent(queue, refuse)
    done = daemon.run("submit", "-", input="# nothing\n" + "true\n" * 600)
    assert done.returncode == 125
    assert len(done.stdout.split()) == 250
    assert done.stderr == (
        "taskflow: you have 100000 waiting tasks already; the 250 tasks before line 252 were queued, and none from "
        "there on\n"
    )


def test_long_lines_go_in_smaller_parts(daemon, make_agent):
    agent = make_agent(queue)
    line = "echo " + "x" * 130000 + "\n"
    done = daemon.run("submit", "-", input=line * 20)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20
    assert all(len(call["parameters"]["tasks"]) <= 4 for call in agent.calls)
    command = agent.calls[0]["parameters"]["tasks"][0]["task"]["command"]
    assert len(command) <= 4096


def test_the_ids_come_as_soon_as_a_part_is_queued(daemon, make_agent):
    make_agent(queue)
    reader, writer = os.pipe()
    proc = daemon.popen("submit", "-", stdin=reader)
    os.close(reader)
    os.write(writer, b"true\n" * 300)
    wait_until(lambda: proc.out.count("\n") == 250, "the first part is queued")
    os.close(writer)
    assert proc.wait() == 0
    assert proc.out.count("\n") == 300


def test_its_status_is_shown(daemon, make_agent):
    agent = make_agent(status)
    done = daemon.run("agent", "status")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("process 4711", "beyond logout", "/a/socket", os.fspath(agent.folder), "3 waiting, 2 running", "1 end "):
        assert words in done.stdout, done.stdout


def test_it_says_that_it_has_no_daemon(daemon, make_agent):
    make_agent(disconnected)
    assert "/a/socket, not connected: nobody listens" in daemon.run("agent", "status").stdout


def test_looking_is_not_kept_by_an_agent_that_hangs(daemon, make_agent):
    agent = make_agent(hang_up)
    (agent.folder / "agent.db").touch()
    done = daemon.run("ps")
    assert (done.returncode, done.stderr) == (0, "")
    assert agent.calls == []


def test_what_cannot_be_shown_is_queued_all_the_same(daemon, make_agent):
    make_agent(queue)
    done = daemon.run("run", "-D", "--json", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "task 100 was queued, but cannot be shown" in done.stderr


def test_ids_that_do_not_reach_their_reader(daemon, make_agent):
    make_agent(queue)
    with open("/dev/full", "wb") as full:
        done = daemon.run("run", "-D", "true", stdout=full)
        assert done.returncode == 125
        assert "task 100 was queued" in done.stderr
        done = daemon.run("submit", "-", input="true\n" * 600, stdout=full)
    assert done.returncode == 125
    assert "before line 251 were queued" in done.stderr
