# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a GPU: tasks beyond their word, and programs outside taskflow."""

import getpass
import os
import re
import subprocess

import pytest

from harness import GIB, HOLD, MIB, Gpus, wait_until


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
    task = seen(daemon, "t", lambda task: task["excess"] and task["used"]["gpus"][0]["bytes"], "both are seen")
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


# Programs outside taskflow


@pytest.fixture
def me():
    return getpass.getuser()


def hold_outside(daemon, gpus, *takes):
    """The same outside taskflow, with the environment of the stand-in."""
    proc = daemon.place.start([HOLD, *takes, "stdin", "exit", "0"], stdin=subprocess.PIPE, env=daemon.place.env(**gpus.env))
    wait_until(lambda: (gpus.taken / str(proc.pid)).exists(), "it has taken them")
    return proc


def outside(daemon, index, predicate, what):
    """The list of that GPU as soon as predicate is true of it."""

    def look():
        found = gpu_status(daemon)[index]["outside"]
        return found if predicate(found) else None

    return wait_until(look, what)


def test_who_holds_gpu_memory_outside_taskflow_is_named(gpu_daemon, gpus, me):
    daemon = gpu_daemon
    a = hold_outside(daemon, gpus, "gpu", "1", "5G")
    b = hold_outside(daemon, gpus, "gpu", "1", "7G", "gpu", "0", "1G")
    task = hold(daemon, "t", "--gpu", "1:2G", "-d", "0", takes=["gpu", "1", "2G"])

    def look():
        now = gpu_status(daemon)
        have = [(gpu["outside_bytes"], len(gpu["outside"])) for gpu in now]
        return now if have == [(GIB, 1), (12 * GIB, 2)] else None

    found = wait_until(look, "both are seen, and the task is none of them")
    who = {"uid": os.getuid(), "user": me, "program": "hold"}
    assert found[1]["outside"] == [
        {"pid": b.pid, **who, "bytes": 7 * GIB},
        {"pid": a.pid, **who, "bytes": 5 * GIB},
    ]
    assert found[0]["outside"] == [{"pid": b.pid, **who, "bytes": GIB}]
    text = daemon.run("status").stdout
    for gpu, size, proc in (("GPU 1", "7G", b), ("GPU 1", "5G", a), ("GPU 0", "1G", b)):
        assert re.search(rf"^{gpu} +{size} +{me} +{proc.pid} +hold$", text, re.M), text
    end(task)
    end(a)
    outside(daemon, 1, lambda found: [each["pid"] for each in found] == [b.pid], "one of them has ended")


def sleepers(place, gpus, n, index, which):
    """What each of so many processes holds of that GPU, by the driver's list of that kind."""
    sizes = {}
    for i in range(n):
        pid = place.start(["sleep", "1000"]).pid
        sizes[pid] = (i + 1) * MIB
        (gpus.taken / str(pid)).write_text(f"{index} {i + 1}M {which}\n", encoding="ascii")
    return sizes


@pytest.mark.parametrize("which", ["", "graphics", "mps"])
def test_every_list_of_the_driver_is_read_right(gpu_daemon, gpus, place, which):
    """How large an entry of it is differs between drivers: a wrong size shows from the second one on."""
    sizes = sleepers(place, gpus, 4, 0, which)
    found = outside(gpu_daemon, 0, lambda found: len(found) == len(sizes), "all are seen")
    assert {each["pid"]: each["bytes"] for each in found} == sizes


def test_a_list_that_is_longer_than_what_is_first_asked_for_is_read_whole(gpu_daemon, gpus, place):
    """The last ones hold most, and are those that are named."""
    sizes = sleepers(place, gpus, 150, 1, "")
    largest = dict(list(sizes.items())[-8:])
    outside(gpu_daemon, 1, lambda found: {each["pid"]: each["bytes"] for each in found} == largest, "they are named")


def test_who_waits_for_them_is_told_which_they_are(gpu_daemon, gpus, me):
    daemon = gpu_daemon
    proc = hold_outside(daemon, gpus, "gpu", "1", "20G")
    waiting = daemon.queue("waiting", "--gpu", "1:10G")
    task_id = daemon.task("waiting")["id"]
    wait_until(lambda: f"process {proc.pid} (hold) of {me}  uses 20G" in daemon.why(task_id), "it is named")
    assert "outside taskflow  uses 20G" in daemon.why(task_id)
    assert f"20G is used outside taskflow: 20G by process {proc.pid} of {me}" in daemon.task("waiting")["reason"]
    wait_until(lambda: str(proc.pid) in waiting.err, "who waits is told by itself")


def test_a_process_of_which_the_driver_does_not_tell_what_it_holds_is_named(gpu_daemon, gpus, me):
    gpus.say_of(0, "processes n/a")
    proc = hold_outside(gpu_daemon, gpus, "gpu", "0", "5G")
    found = outside(gpu_daemon, 0, bool, "it is seen")
    assert found == [{"pid": proc.pid, "uid": os.getuid(), "user": me, "program": "hold", "bytes": None}]
    text = gpu_daemon.run("status").stdout
    assert re.search(rf"^GPU 0 +- +{me} +{proc.pid} +hold$", text, re.M), text
    assert re.search(r"^GPU 0 +5G +.*does not tell which processes", text, re.M), text


def test_memory_that_nobody_is_seen_to_hold_is_a_line_of_its_own(gpu_daemon, gpus):
    gpus.say_of(0, "used 10G")
    gpus.say_of(1, "used 300M")

    def look():
        return [(gpu["outside_bytes"], gpu["outside"]) for gpu in gpu_status(gpu_daemon)]

    wait_until(lambda: look() == [(10 * GIB, []), (300 * MIB, [])], "it is seen")
    text = gpu_daemon.run("status").stdout
    assert re.search(r"^GPU 0 +10G +- +- +\(of no process that the driver shows here", text, re.M), text
    assert not re.search(r"^GPU 1 +300M", text, re.M), text


def test_a_program_whose_pid_another_one_has_is_not_named(gpu_daemon, gpus):
    """A driver may still have one that has ended; here it has one that is none of this machine's."""
    gpus.say_of(0, "used 10G", "process 1 3G", "process 2147483000 7G")
    found = outside(gpu_daemon, 0, bool, "it is seen")
    assert [(each["pid"], each["uid"], each["bytes"]) for each in found] == [(1, os.stat("/proc/1").st_uid, 3 * GIB)]


def test_who_holds_ram_outside_taskflow_is_named_and_no_task_is(daemon, me):
    proc = daemon.place.hold_ram(300 * MIB)
    n_bytes = 0.98 * 300 * MIB  # as hold_ram() waits for
    task = daemon.popen("run", "-n", "t", "-m", "400M", "-d", "0", "--", HOLD, "ram", "400M", "stdin", stdin=subprocess.PIPE)
    wait_until(lambda: (daemon.task("t") or {}).get("used", {}).get("memory_bytes", 0) or task.popen.poll(), "it has its RAM")
    found = daemon.status()["memory"]["outside"]
    assert daemon.task("t")["pid"] not in [each["pid"] for each in found]
    assert [each["bytes"] for each in found] == sorted((each["bytes"] for each in found), reverse=True)
    ours = [each for each in found if each["pid"] == proc.pid]
    if not ours:  # so many others hold more
        assert len(found) == 8 and found[-1]["bytes"] >= n_bytes
        return
    assert ours[0]["bytes"] >= n_bytes
    assert {**ours[0], "bytes": 0} == {"pid": proc.pid, "uid": os.getuid(), "user": me, "program": "hold", "bytes": 0}
