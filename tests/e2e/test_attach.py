# SPDX-License-Identifier: GPL-3.0-or-later
"""Attach, as a runner that lies might say it."""

from harness import RawClient

KEY = "00112233445566778899aabbccddeeff"
SUBMIT = "io.taskflow.v1.Submit"
ATTACH = "io.taskflow.v1.Attach"


def wanted(n_gpus):
    return {"gpus": [{"want": str(i), "bytes": None} for i in range(n_gpus)]}


def test_a_task_cannot_come_back_with_fewer_gpus_than_it_asked_for(gpu_daemon):
    """The daemon believed the count of its own record, and read beyond the runner's list."""
    daemon = gpu_daemon
    proc, gate = daemon.start("holder", "--gpu", "0")
    task = {"key": KEY, "command": "x", "argv": ["x"], "cwd": "/", "needs": wanted(2)}
    with RawClient(daemon.socket) as runner, RawClient(daemon.socket) as liar:
        reply = runner.call(SUBMIT, {"task": task})["parameters"]
        assert not reply.get("granted")
        uuid = daemon.json("status")["gpus"][1]["uuid"]
        back = {
            **task,
            "id": reply["id"],
            "needs": {"gpus": [{"want": "1", "uuid": uuid, "bytes": None}]},
            "gpus": [{"uuid": uuid, "index": 1, "bytes": None}],
            "state": "running",
        }
        answer = liar.call(ATTACH, {"database": reply["database"], "task": back, "started": True})
        assert answer["error"] == "io.taskflow.v1.WrongState"
    assert daemon.run("run", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0
