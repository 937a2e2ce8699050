# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a GPU: tasks beyond their word, and programs outside taskflow."""

import subprocess

import pytest

from harness import GIB, HOLD, Gpus, wait_until


def refresh(daemon):
    """Makes the daemon look at the GPUs."""
    assert daemon.run("run", "--dry-run", "--gpu", "any:1M", "true").returncode in (0, 1)


def gpu_status(daemon):
    refresh(daemon)
    return daemon.status()["gpus"]


def hold(daemon, name, *args, takes, then="stdin", **kwargs):
    """A task that holds GPU memory until the test ends its stdin; it is seen when this returns."""
    proc = daemon.popen("run", "-n", name, *args, "--", HOLD, *takes, then, "exit", "0", stdin=subprocess.PIPE, **kwargs)
    daemon.wait_started(name)
    return proc


def seen(daemon, name, predicate, what):
    def look():
        refresh(daemon)
        task = daemon.task(name)
        return task if predicate(task) else None

    return wait_until(look, what)


def end(proc):
    proc.popen.stdin.close()
    assert proc.wait() == 0


# Tasks beyond their word


def test_a_task_that_takes_more_than_twice_what_it_asked_for_is_told_so_at_its_end(gpu_daemon):
    daemon = gpu_daemon
    proc = hold(daemon, "t", "--gpu", "0:2G", "-d", "0", takes=["gpu", "0", "9G"])
    task = seen(daemon, "t", lambda task: task["excess"], "it is seen")
    more = {"index": 0, "uuid": Gpus.UUIDS[0], "asked_bytes": 2 * GIB, "used_bytes": 9 * GIB, "peak_bytes": 9 * GIB}
    assert task["excess"] == [more]
    assert daemon.status()["gpus"][0]["excess"] == [
        {"task": task["id"], "uid": task["uid"], "asked_bytes": 2 * GIB, "used_bytes": 9 * GIB}
    ]
    words = "9G on GPU 0, where it asked for 2G"
    assert f"holds {words}" in daemon.run("show", str(task["id"])).stdout
    status = daemon.run("status").stdout
    assert f"task {task['id']} of {task['user']} holds {words}" in status
    assert proc.err == ""
    end(proc)
    assert proc.err == f"taskflow: task {task['id']} took up to {words}\n"
    assert daemon.task("t")["excess"][0]["peak_bytes"] == 9 * GIB
    assert f"held up to {words}" in daemon.run("show", str(task["id"])).stdout


def test_a_task_on_a_gpu_that_it_did_not_ask_for_is_told_so_and_named_to_who_waits(gpu_daemon):
    daemon = gpu_daemon
    proc = hold(daemon, "t", "--gpu", "0:2G", "-d", "0", takes=["gpu", "1", "20G", "gpu", "0", "1G"])
    task = seen(daemon, "t", lambda task: task["excess"], "it is seen")
    assert task["excess"] == [
        {"index": 1, "uuid": Gpus.UUIDS[1], "asked_bytes": 0, "used_bytes": 20 * GIB, "peak_bytes": 20 * GIB}
    ]
    assert task["used"]["gpus"] == [{"index": 0, "bytes": GIB}]
    assert "gpu0:1G,gpu1:20G" in daemon.run("ps", "-v").stdout
    words = "20G on GPU 1, which it did not ask for"
    assert words in daemon.run("show", str(task["id"])).stdout
    assert words in daemon.run("status").stdout
    daemon.queue("waiting", "--gpu", "1:10G")
    why = daemon.why(daemon.task("waiting")["id"])
    assert f"task {task['id']} of {task['user']} holds 20G" in why
    assert "outside" not in why
    end(proc)
    assert proc.err == f"taskflow: task {task['id']} took up to {words}\n"


def test_a_task_without_a_gpu_that_uses_one_is_seen_while_the_gpus_are_looked_at(gpu_daemon):
    daemon = gpu_daemon
    proc = hold(daemon, "t", "-c", "1", takes=["gpu", "1", "3G"])
    seen(daemon, "t", lambda task: task["excess"], "it is seen")
    end(proc)
    assert "3G on GPU 1, which it did not ask for" in proc.err


def test_several_are_said_in_one_line(gpu_daemon):
    daemon = gpu_daemon
    proc = hold(daemon, "t", "--gpu", "0:1G", "-d", "0", takes=["gpu", "0", "5G", "gpu", "1", "3G"])
    seen(daemon, "t", lambda task: len(task["excess"]) == 2, "both are seen")
    end(proc)
    assert proc.err.count("\n") == 1
    assert proc.err.endswith("5G on GPU 0, where it asked for 1G; 3G on GPU 1, which it did not ask for\n")


@pytest.mark.parametrize("amount, args", [("4G", ["--gpu", "0:2G"]), ("20G", ["--gpu", "0"])])
def test_twice_of_it_and_all_of_a_whole_gpu_are_no_news(gpu_daemon, amount, args):
    daemon = gpu_daemon
    proc = hold(daemon, "t", *args, "-d", "0", takes=["gpu", "0", amount])
    seen(daemon, "t", lambda task: task["peak"]["gpus"][0]["bytes"], "it is seen")
    assert daemon.task("t")["excess"] == []
    assert daemon.status()["gpus"][0]["excess"] == []
    end(proc)
    assert proc.err == ""


def test_quiet_says_nothing_of_it(gpu_daemon):
    proc = hold(gpu_daemon, "t", "-q", "--gpu", "0:1G", "-d", "0", takes=["gpu", "0", "9G"])
    seen(gpu_daemon, "t", lambda task: task["excess"], "it is seen")
    end(proc)
    assert proc.err == ""


def test_what_cannot_be_measured_is_not_judged(gpu_daemon, gpus):
    gpus.say_of(0, "processes n/a")
    proc = hold(gpu_daemon, "t", "--gpu", "0:1G", "-d", "0", takes=["gpu", "0", "9G"])
    wait_until(lambda: gpu_status(gpu_daemon)[0]["used_bytes"] == 9 * GIB, "it is used")
    assert gpu_daemon.task("t")["excess"] == []
    end(proc)
    assert proc.err == ""


def test_of_a_detached_one_show_tells_it_and_not_its_log(gpu_daemon, gpus):
    daemon = gpu_daemon
    gate = daemon.place.gate()
    task_id = daemon.detach(
        "--gpu", "0:1G", "-d", "0", f"{HOLD} gpu 0 9G until {daemon.place.folder}/over exit 0; {gate.line}",
        env=gpus.env,
    )
    daemon.wait_id(task_id, "running")

    def is_seen():
        refresh(daemon)
        return daemon.show(task_id)["excess"]

    wait_until(is_seen, "it is seen")
    assert "holds 9G on GPU 0, where it asked for 1G" in daemon.run("show", task_id).stdout
    (daemon.place.folder / "over").touch()
    gate.open()
    daemon.wait_id(task_id, "done")
    assert "held up to 9G on GPU 0, where it asked for 1G" in daemon.run("show", task_id).stdout
    assert daemon.logs(task_id) == ""
