# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said after a run of a request that was far off: by the daemon, and by `run` to one who is at a terminal."""

import secrets
import time

import pytest

from harness import GIB, TASKFLOW, RawClient
from test_odd_daemon import Odd


def end_of(daemon, minutes, used, state="done"):
    """The answer to the end of a task that asked for 4 MiB of RAM, took so much, and says that it ran for so long."""
    task = {"key": secrets.token_hex(16), "command": "x", "argv": ["x"], "cwd": "/", "needs": {"memory_bytes": 4 << 20}}
    with RawClient(daemon.socket) as raw:
        answer = raw.call("io.taskflow.v1.Submit", {"task": task})
        assert answer["parameters"]["granted"], answer
        task_id = answer["parameters"]["id"]
        raw.send_json({"method": "io.taskflow.v1.Used", "parameters": {"id": task_id, "memory_bytes": used}, "oneway": True})
        ended = {"id": task_id, "state": state, "exit_status": 0, "ended_at_us": int((time.time() + 60 * minutes) * 1e6)}
        return task_id, raw.call("io.taskflow.v1.Ended", ended)["parameters"]


def test_the_daemon_tells_how_far_off_a_request_was(daemon):
    task_id, answer = end_of(daemon, 2, 3 * GIB)
    assert answer["hint"] == f"task {task_id} asked 4M of RAM, took 3G at most"
    for minutes, used, state in ((0.5, 3 * GIB, "done"), (2, 3 * GIB, "failed"), (2, 5 << 20, "done")):
        assert end_of(daemon, minutes, used, state)[1].get("hint") is None, (minutes, used, state)


@pytest.fixture
def odd(place):
    odd = Odd(place)
    yield odd
    odd.go()


def serve(odd):
    connection = odd.accept()
    connection.grant()
    connection.expect("Started")
    connection.expect("Ended")
    connection.reply(hint="task 12 asked 20G on GPU 0, took 7.8G at most\x1b[2J")
    connection.expect_end()


def test_it_is_said_on_a_terminal(odd):
    terminal = odd.place.terminal(env=odd.env, argv=[TASKFLOW, "run", "true"])
    serve(odd)
    terminal.expect(r"^taskflow: task 12 asked 20G on GPU 0, took 7\.8G at most\^\[\[2J\r\n$")


def test_it_is_said_to_nobody_else(odd):
    proc = odd.popen("run", "true")
    serve(odd)
    assert (proc.wait(), proc.err) == (0, "")
    terminal = odd.place.terminal(env=odd.env, argv=[TASKFLOW, "run", "-q", "sh", "-c", "echo over"])
    serve(odd)
    terminal.expect("^over\r\n$")
    while terminal.is_open():
        terminal.pump(0.05)
    assert terminal.text == "over\r\n"
