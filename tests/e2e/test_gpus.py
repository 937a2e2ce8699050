# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs: which one, how much, the whole of it; a driver that hangs or dies."""

import os
import pwd
import re
import time

import pytest

from harness import (
    GIB,
    HOLD,
    MIB,
    Gpus,
    RawClient,
    children_of,
    command_line,
    is_alive,
    parse_time,
    proc_state,
    wait_until,
)

LINE = 'echo "$TASKFLOW_GPUS|$CUDA_VISIBLE_DEVICES|$CUDA_DEVICE_ORDER"'


def shown(daemon, *args, **kwargs):
    """What a task sees in its environment: [TASKFLOW_GPUS, CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER]."""
    done = daemon.run("run", *args, LINE, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n").split("|")


def gpu_task(daemon, name, *args, **kwargs):
    """A running task that says which GPUs it has; (proc, gate, fields)."""
    gate = daemon.place.gate()
    proc = daemon.popen("run", "-n", name, *args, f"{LINE}; read x <{gate.path}", **kwargs)
    wait_until(lambda: proc.out.endswith("\n"), f"{name} has started")
    return proc, gate, proc.out.strip().split("|")


def takes(daemon, index, amount):
    """A program outside taskflow that holds memory on a GPU."""
    proc = daemon.place.start([HOLD, "gpu", str(index), amount], env=daemon.env)
    wait_until(lambda: daemon.status()["gpus"][index]["used_bytes"] > 0 or refresh(daemon), "it is seen")
    return proc


def refresh(daemon):
    """Makes the daemon look at the GPUs."""
    daemon.run("run", "--dry-run", "--gpu", "any:1M", "true")


def gpu_status(daemon):
    refresh(daemon)
    return daemon.status()["gpus"]


# The scene of the README: two GPUs of 24 GiB and three tasks of 20


def test_of_three_tasks_of_20g_two_start_on_different_gpus_and_the_third_when_one_ends(gpu_daemon):
    daemon = gpu_daemon
    one, gate_one, fields_one = gpu_task(daemon, "one", "--gpu", "any:20G")
    two, gate_two, fields_two = gpu_task(daemon, "two", "--gpu", "any:20G")
    assert {fields_one[0], fields_two[0]} == {"0", "1"}
    for index, uuid, order in (fields_one, fields_two):
        assert uuid == Gpus.UUIDS[int(index)]
        assert order == "PCI_BUS_ID"
    three = daemon.queue("three", "--gpu", "any:20G", command=LINE)
    ids = {task["name"]: task["id"] for task in daemon.ps()}
    why = daemon.why(ids["three"])
    for index in (0, 1):
        assert re.search(rf"GPU {index}\b", why), why
    for name in ("one", "two"):
        assert re.search(rf"\b{ids[name]}\b", why), why
    assert "16G missing" in why or "16.0G" in why or re.search(r"\b1[56](\.\d)?G\b", why), why
    assert pwd.getpwuid(os.getuid()).pw_name in why
    gate_two.open()
    assert two.wait() == 0
    assert three.wait() == 0
    assert three.out.startswith(fields_two[0] + "|")
    ended = parse_time(daemon.wait_state("two", "done")["ended_at"])
    started = parse_time(daemon.wait_state("three", "done")["started_at"])
    assert 0 <= started - ended < 1.5
    gate_one.open()
    assert one.wait() == 0


def test_the_record_says_which_gpu_it_was_and_how_much(gpu_daemon):
    proc, gate, _ = gpu_task(gpu_daemon, "t", "--gpu", "GPU-12:10G", "-m", "1M")
    task = gpu_daemon.task("t")
    assert task["needs"]["gpus"] == [{"want": "GPU-12", "bytes": 10 * GIB}]
    assert task["gpus"] == [{"index": 1, "uuid": Gpus.UUIDS[1], "bytes": 10 * GIB}]
    gpu = gpu_daemon.status()["gpus"][1]
    assert set(gpu) >= {
        "index", "uuid", "name", "state", "total_bytes", "used_bytes", "promised_bytes", "free_bytes", "tasks",
    }
    assert (gpu["index"], gpu["uuid"], gpu["name"], gpu["state"]) == (1, Gpus.UUIDS[1], "Stand-In 1", "ok")
    assert (gpu["total_bytes"], gpu["used_bytes"], gpu["promised_bytes"]) == (24 * GIB, 0, 10 * GIB)
    assert gpu["free_bytes"] == 14 * GIB - MIB
    assert gpu["tasks"] == [task["id"]]
    text = gpu_daemon.run("status").stdout
    assert "Stand-In 1" in text and "24G" in text
    gate.open()
    assert proc.wait() == 0


# Which


@pytest.mark.parametrize(
    "words, index", [(["0"], 0), (["1"], 1), ([Gpus.UUIDS[1]], 1), (["GPU-11"], 0), (["GPU-12b4"], 1)]
)
def test_a_gpu_is_named_by_its_index_its_uuid_or_the_beginning_of_it(gpu_daemon, words, index):
    assert shown(gpu_daemon, "--gpu", f"{words[0]}:1G")[0] == str(index)


def test_several_gpus_are_different_ones(gpu_daemon):
    assert shown(gpu_daemon, "--gpu", "any:1G", "--gpu", "any:1G")[0] in ("0,1", "1,0")
    assert shown(gpu_daemon, "--gpu", "1:1G", "--gpu", "any:2G", "--pin") == [
        "1,0", f"{Gpus.UUIDS[1]},{Gpus.UUIDS[0]}", "PCI_BUS_ID",
    ]
    assert shown(gpu_daemon, "--gpu", "any:1G", "--gpu", "0:2G")[0] == "1,0"


@pytest.mark.parametrize(
    "args, words",
    [
        (["--gpu", "0:1G", "--gpu", "0:2G"], ["0"]),
        (["--gpu", "0:1G", "--gpu", "GPU-11:2G"], ["0", "twice"]),
        (["--gpu", "2:1G"], ["2", "0", "1"]),
        (["--gpu", "GPU-99:1G"], ["GPU-99"]),
        (["--gpu", "GPU-1:1G"], ["GPU-1"]),
        (["--gpu", "0:25G"], ["25G", "24G"]),
        (["--gpu", "any:30G"], ["30G"]),
        (["--gpu", "any:1G", "--gpu", "any:1G", "--gpu", "any:1G"], ["3", "GPU 0", "GPU 1"]),
        (["--gpu", "0:1G", "--gpu", "1:1G", "--gpu", "any:1G"], ["3", "GPU 0", "GPU 1"]),
    ],
)
def test_what_can_never_be_is_refused_with_what_there_is(gpu_daemon, args, words):
    done = gpu_daemon.run("run", *args, "true")
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1
    for word in words:
        assert re.search(rf"(?<!\d){re.escape(word)}(?!\d)", done.stderr), (word, done.stderr)
    assert gpu_daemon.ps() == []
    assert gpu_daemon.run("run", "--dry-run", *args, "true").returncode == 125


def test_a_gpu_that_has_come_is_looked_for_before_it_is_refused(gpu_daemon, gpus):
    assert gpu_daemon.run("run", "--gpu", "2:1G", "true").returncode == 125
    gpus.lines.append([])
    gpus.write()
    wait_until(lambda: gpu_daemon.run("run", "-w", "0", "--gpu", "2:1G", "true").returncode == 0, "it is there", 20)


def test_on_a_machine_without_gpus_a_gpu_is_refused(daemon):
    start = time.monotonic()
    done = daemon.run("run", "--gpu", "any:1G", "true")
    assert done.returncode == 125
    assert "GPU" in done.stderr
    assert time.monotonic() - start < 5
    assert daemon.run("run", "--gpu", "0", "-w", "0", "true").returncode == 125


def test_spread_takes_the_gpu_with_most_free_memory_and_pack_the_one_with_least(make_daemon, gpus):
    gpus.say_of(0, "used 6G")
    for settings, index in (({}, "1"), ({"gpu_pick": "spread"}, "1"), ({"gpu_pick": "pack"}, "0")):
        daemon = make_daemon(settings=settings, env=gpus.env)
        assert shown(daemon, "--gpu", "any:10G")[0] == index
        assert shown(daemon, "--gpu", "any:20G")[0] == "1"
        daemon.stop()


def test_pack_leaves_a_gpu_free_for_a_large_task(make_daemon, gpus):
    daemon = make_daemon(settings={"gpu_pick": "pack"}, env=gpus.env)
    one, gate_one, first = gpu_task(daemon, "one", "--gpu", "any:5G", "-d", "0")
    two, gate_two, second = gpu_task(daemon, "two", "--gpu", "any:5G", "-d", "0")
    assert first[0] == second[0]
    gate_one.open()
    gate_two.open()
    assert (one.wait(), two.wait()) == (0, 0)


@pytest.mark.parametrize("word", ["1", Gpus.UUIDS[1], "GPU-12"])
def test_only_gpus_that_the_settings_allow_are_given_out(make_daemon, gpus, word):
    daemon = make_daemon(settings={"gpus": word}, env=gpus.env)
    assert shown(daemon, "--gpu", "any:1G")[0] == "1"
    done = daemon.run("run", "--gpu", "0:1G", "true")
    assert done.returncode == 125
    assert "0" in done.stderr
    assert daemon.run("run", "--gpu", "any:1G", "--gpu", "any:1G", "true").returncode == 125


# What the command sees of them


def test_any_is_pinned_and_a_named_one_is_not(gpu_daemon):
    index, uuid, order = shown(gpu_daemon, "--gpu", "any:1G")
    assert (uuid, order) == (Gpus.UUIDS[int(index)], "PCI_BUS_ID")
    assert shown(gpu_daemon, "--gpu", "0:1G") == ["0", "", ""]
    assert shown(gpu_daemon, "--gpu", "0:1G", "--pin") == ["0", Gpus.UUIDS[0], "PCI_BUS_ID"]
    index, uuid, order = shown(gpu_daemon, "--gpu", "any:1G", "--no-pin")
    assert (uuid, order) == ("", "") and index in "01"


@pytest.mark.parametrize("setting, any_pinned, named_pinned", [("any", 1, 0), ("always", 1, 1), ("never", 0, 0)])
def test_pin_gpus_is_a_setting(make_daemon, gpus, setting, any_pinned, named_pinned):
    daemon = make_daemon(settings={"pin_gpus": setting}, env=gpus.env)
    assert bool(shown(daemon, "--gpu", "any:1G")[1]) == bool(any_pinned)
    assert bool(shown(daemon, "--gpu", "0:1G")[1]) == bool(named_pinned)
    assert shown(daemon, "--gpu", "0:1G", "--pin")[1]
    assert not shown(daemon, "--gpu", "any:1G", "--no-pin")[1]


def test_a_pin_replaces_what_was_there_and_no_pin_leaves_it(gpu_daemon):
    env = {"CUDA_VISIBLE_DEVICES": "7", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert shown(gpu_daemon, "--gpu", "0:1G", "--pin", env=env)[1:] == [Gpus.UUIDS[0], "PCI_BUS_ID"]
    assert shown(gpu_daemon, "--gpu", "1:1G", env=env)[1:] == ["7", "FASTEST_FIRST"]


def test_an_unpinned_task_whose_first_gpu_is_not_0_gets_one_line(gpu_daemon):
    done = gpu_daemon.run("run", "--gpu", "1:1G", "true")
    assert done.stderr.count("\n") == 1
    assert "--pin" in done.stderr and "GPU 1" in done.stderr
    assert gpu_daemon.run("run", "--gpu", "0:1G", "true").stderr == ""
    assert gpu_daemon.run("run", "--gpu", "1:1G", "--pin", "true").stderr == ""
    assert gpu_daemon.run("run", "-q", "--gpu", "1:1G", "true").stderr == ""
    assert gpu_daemon.run("run", "--gpu", "1:1G", "true", env={"CUDA_VISIBLE_DEVICES": "1"}).stderr == ""


def test_gpus_are_saved_to_a_file_and_read_from_it(gpu_daemon, folder):
    saved = folder / "task.ini"
    args = ["--gpu", "1:2G", "--gpu", "any", "--pin"]
    assert gpu_daemon.run("run", *args, "-s", saved, "true").returncode == 0
    assert [line.split("=")[0].strip() for line in saved.read_text().splitlines()].count("gpu") == 2
    assert gpu_daemon.run("run", "-n", "t", "-f", saved, LINE).stdout.startswith("1,0|GPU-")
    assert gpu_daemon.task("t")["needs"]["gpus"] == [{"want": "1", "bytes": 2 * GIB}, {"want": "any", "bytes": None}]


def test_a_task_without_gpus_gains_no_variable_of_them(gpu_daemon):
    assert shown(gpu_daemon, "-m", "1M") == ["", "", ""]


# Whole GPUs


@pytest.mark.parametrize("word", ["0", "0:all", "0:24G", "0:24.5G"])
def test_no_size_all_and_about_the_whole_of_it_mean_the_whole_gpu(gpu_daemon, word):
    proc, gate, _ = gpu_task(gpu_daemon, "t", "--gpu", word)
    task = gpu_daemon.task("t")
    assert task["gpus"] == [{"index": 0, "uuid": Gpus.UUIDS[0], "bytes": None}]
    if "24" in word:
        assert proc.err.count("\n") == 1 and "whole" in proc.err
    else:
        assert task["needs"]["gpus"] == [{"want": "0", "bytes": None}]
        assert proc.err == ""
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:1M", "true").returncode == 125, "nothing else starts there"
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 125
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0, "the other one is free"
    gate.open()
    assert proc.wait() == 0


def test_a_whole_gpu_is_not_given_while_a_task_has_some_of_it(gpu_daemon):
    part, gate, _ = gpu_task(gpu_daemon, "part", "--gpu", "0:1G", "-d", "0")
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 125
    whole = gpu_daemon.queue("whole", "--gpu", "0")
    why = gpu_daemon.why(gpu_daemon.task("whole")["id"])
    assert str(gpu_daemon.task("part")["id"]) in why and "--gpu 0:" in why, why
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "any", "true").returncode == 0, "any takes the other one"
    gate.open()
    assert (part.wait(), whole.wait()) == (0, 0)


def test_a_whole_gpu_is_given_when_hardly_anything_of_it_is_used(make_daemon, gpus):
    gpus.say_of(0, "used 6G", "process 1 6G")
    daemon = make_daemon(env=gpus.env)
    assert daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 125
    gpus.say_of(0, "used 1G", "process 1 1G")  # 4 %
    wait_until(lambda: gpu_status(daemon)[0]["used_bytes"] == GIB, "it is seen")
    assert daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 0
    daemon.settings(whole_gpu_used="2%")
    assert daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 125


def test_an_update_is_the_first_to_ask_for_a_gpu(gpu_daemon):
    filler, gate = gpu_daemon.fill()
    proc = gpu_daemon.queue("t", "-c", "1", command="echo $TASKFLOW_GPUS")
    task_id = str(gpu_daemon.task("t")["id"])
    assert gpu_daemon.run("update", task_id, "--gpu", "0:900T").returncode == 1
    done = gpu_daemon.run("update", task_id, "--gpu", "1:1G")
    assert (done.returncode, done.stderr) == (0, "")
    assert gpu_daemon.task("t")["needs"]["gpus"] == [{"want": "1", "bytes": GIB}]
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)
    assert [gpu["index"] for gpu in gpu_daemon.wait_state("t", "done")["gpus"]] == [1]
    assert proc.out == "1\n", "the taskflow that runs it takes what it never asked for"


@pytest.mark.parametrize("update, wanted", [(["none"], ""), (["any:1G", "any:1G"], "0,1"), (["1:1G"], "1")], ids=str)
def test_an_update_changes_the_gpus_of_a_task_that_waits_at_its_terminal(gpu_daemon, update, wanted):
    filler, gate = gpu_daemon.fill()
    proc = gpu_daemon.queue("t", "-c", "1", "--gpu", "0:1G", command="echo $TASKFLOW_GPUS")
    words = [word for which in update for word in ("--gpu", which)]
    done = gpu_daemon.run("update", str(gpu_daemon.task("t")["id"]), *words)
    assert (done.returncode, done.stderr) == (0, "")
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)
    assert ",".join(sorted(proc.out.strip().split(","))) == wanted


# Measured


def test_what_a_program_outside_takes_of_a_gpu_makes_a_task_wait_by_exactly_so_much(gpu_daemon):
    outside = takes(gpu_daemon, 0, "5G")
    assert gpu_status(gpu_daemon)[0]["free_bytes"] == 19 * GIB - MIB
    most = 19 * GIB - MIB
    assert gpu_daemon.run("run", "-w", "0", "--gpu", f"0:{most}", "true").returncode == 0
    assert gpu_daemon.run("run", "-w", "0", "--gpu", f"0:{most + 1}", "true").returncode == 125
    proc = gpu_daemon.queue("t", "--gpu", f"0:{most + 1}")
    for _ in range(3):  # each start comes after a look
        assert gpu_daemon.run("run", "--gpu", "0:1M", "true").returncode == 0
    assert gpu_daemon.task("t")["state"] == "pending"
    outside.end()
    ended = time.time()
    assert proc.wait() == 0
    assert parse_time(gpu_daemon.wait_state("t", "done")["started_at"]) - ended < 1.5


def test_what_a_task_takes_of_its_gpu_is_its_own_and_not_counted_twice(gpu_daemon):
    daemon = gpu_daemon
    daemon.start("t", "--gpu", "0:10G", "-d", "0", command=f"exec {HOLD} gpu 0 4G")
    wait_until(lambda: gpu_status(daemon)[0]["used_bytes"] == 4 * GIB, "it has 4 of its 10")
    wait_until(lambda: daemon.task("t")["used"]["gpus"] == [{"index": 0, "bytes": 4 * GIB}], "they are seen as its own")
    gpu = gpu_status(daemon)[0]
    assert (gpu["promised_bytes"], gpu["free_bytes"]) == (6 * GIB, 14 * GIB - MIB)
    assert daemon.task("t")["peak"]["gpus"] == [{"index": 0, "bytes": 4 * GIB}]


def test_what_a_task_takes_beyond_its_word_is_missing_to_others(gpu_daemon):
    gpu_daemon.start("t", "--gpu", "0:2G", "-d", "0", command=f"exec {HOLD} gpu 0 20G")
    wait_until(lambda: gpu_status(gpu_daemon)[0]["used_bytes"] == 20 * GIB, "it has 20")
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:5G", "true").returncode == 125
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:3G", "true").returncode == 0


def test_the_delay_on_a_gpu_is_of_that_gpu_alone_and_ends_when_it_is_filled(gpu_daemon):
    daemon = gpu_daemon
    proc, gate, _ = gpu_task(daemon, "first", "--gpu", "0:10G", "-d", "1h")
    assert daemon.run("run", "-w", "0", "--gpu", "0:1G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", "1:1G", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "-m", "1M", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0
    second, _ = daemon.start("second", "--gpu", "0:10G", "-d", "1h", command=f"exec {HOLD} wait 0.5 gpu 0 10G")
    third = daemon.queue("third", "--gpu", "0:5G")
    assert third.wait() == 0
    assert parse_time(daemon.task("third")["started_at"]) - parse_time(daemon.task("second")["started_at"]) < 3
    second.end()


def test_ample_room_on_a_gpu(gpu_daemon):
    proc, gate, _ = gpu_task(gpu_daemon, "first", "--gpu", "0:8G")
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:7G", "true").returncode == 0
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:9G", "true").returncode == 125
    assert gpu_daemon.run("run", "-w", "0", "--gpu", "0:200M", "true").returncode == 0, "under 1 %"
    gate.open()
    assert proc.wait() == 0


def test_reserved_gpu_memory_is_left_free(make_daemon, gpus):
    daemon = make_daemon(settings={"reserved_gpu_memory": "2G"}, env=gpus.env)
    assert gpu_status(daemon)[0]["free_bytes"] == 22 * GIB
    assert daemon.run("run", "-w", "0", "--gpu", "0:22G", "true").returncode == 0


@pytest.mark.parametrize("library", ["libnvidia-ml-r470.so.1", "libnvidia-ml-r535.so.1", "libnvidia-ml.so.1"])
def test_every_generation_of_the_driver_is_read_right(make_daemon, gpus, library):
    gpus.say_of(1, "used 7G", "process 1 7G")
    daemon = make_daemon(settings={"nvml_library": library}, env=gpus.env)
    status = gpu_status(daemon)
    assert [gpu["total_bytes"] for gpu in status] == [24 * GIB] * 2
    assert [gpu["used_bytes"] for gpu in status] == [0, 7 * GIB]
    daemon.env.update(gpus.env)
    daemon.start("t", "--gpu", "0:10G", "-d", "0", command=f"exec {HOLD} gpu 0 4G")
    wait_until(
        lambda: gpu_status(daemon) and daemon.task("t")["used"]["gpus"] == [{"index": 0, "bytes": 4 * GIB}],
        "what it uses is seen as its own",
    )


# A driver that hangs or dies


def probes(daemon):
    return [pid for pid in children_of(daemon.pid) if proc_state(pid) != "Z"]


def zombies(daemon):
    return [pid for pid in children_of(daemon.pid) if proc_state(pid) == "Z"]


def test_while_the_driver_hangs_gpu_tasks_wait_and_all_others_start_and_then_all_is_well_again(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    gpus.say("hang nvmlDeviceGetMemoryInfo_v2", "hang nvmlDeviceGetMemoryInfo")
    proc = daemon.popen("run", "-n", "gpu", "--gpu", "0:1G", "true")
    daemon.wait_state("gpu", "pending")
    for _ in range(5):
        assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0
        assert daemon.run("ps").returncode == 0
    assert proc.is_running(), "nothing has answered"
    wait_until(lambda: daemon.status()["gpus"][0]["state"] == "unknown", "the GPUs are unknown", 30)
    assert "GPU" in daemon.why(daemon.task("gpu")["id"])
    assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0
    gpus.say()
    assert proc.wait(30) == 0
    assert daemon.status()["gpus"][0]["state"] == "ok"
    wait_until(lambda: not zombies(daemon), "no zombie is left", 5)
    assert len(probes(daemon)) <= 1


def test_a_driver_that_crashes_is_the_same(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    gpus.say("crash *")
    proc = daemon.popen("run", "-n", "gpu", "--gpu", "0:1G", "true")
    wait_until(lambda: daemon.status()["gpus"][0]["state"] == "unknown", "the GPUs are unknown")
    assert daemon.task("gpu")["state"] == "pending"
    assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0
    gpus.say()
    assert proc.wait(30) == 0
    wait_until(lambda: not zombies(daemon), "no zombie is left", 5)


def test_a_probe_that_somebody_kills_is_replaced(gpu_daemon):
    daemon = gpu_daemon
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    (probe,) = probes(daemon)
    os.kill(probe, 9)
    assert daemon.run("run", "--gpu", "0:1G", "true", timeout=30).returncode == 0
    assert not is_alive(probe)
    wait_until(lambda: not zombies(daemon), "no zombie is left", 5)


def test_a_lost_gpu_is_waited_for_and_the_other_one_is_used(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    gpus.say_of(0, "lost")
    wait_until(lambda: gpu_status(daemon)[0]["state"] == "lost", "it is lost")
    assert daemon.run("run", "--gpu", "0:1G", "-w", "0", "true").returncode == 125
    assert shown(daemon, "--gpu", "any:1G")[0] == "1"
    proc = daemon.queue("t", "--gpu", "0:1G")
    assert "gone" in daemon.why(daemon.task("t")["id"])
    gpus.say_of(0)
    assert proc.wait() == 0


def test_a_gpu_that_was_seen_before_a_restart_is_waited_for_and_not_refused(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    gpus.say("error nvmlInit_v2 18")
    daemon.restart()
    done = daemon.run("run", "--gpu", "0:1G", "-w", "1", "true")
    assert done.returncode == 125
    proc = daemon.queue("t", "--gpu", "0:1G")
    assert daemon.run("run", "--gpu", "7:1G", "true").returncode == 125
    gpus.say()
    assert proc.wait(40) == 0


def test_a_slow_first_answer_is_waited_for(make_daemon, gpus):
    gpus.say("slow nvmlInit_v2 3000")
    daemon = make_daemon(env=gpus.env)
    start = time.monotonic()
    assert daemon.run("run", "--dry-run", "--gpu", "0:1G", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "--gpu", "0:1G", "true").returncode == 0
    assert time.monotonic() - start > 2.5


def test_while_the_first_answer_is_waited_for_everything_else_goes_on(make_daemon, gpus):
    gpus.say("hang nvmlInit_v2")
    daemon = make_daemon(env=gpus.env)
    proc = daemon.popen("run", "-n", "gpu", "--gpu", "0:1G", "true")
    for _ in range(5):
        assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0
        assert daemon.run("ps").returncode == 0
    assert proc.is_running(), "nothing has answered"
    assert daemon.run("status").returncode == 0
    gpus.say()
    assert proc.wait(30) == 0


def test_the_daemon_itself_loads_no_driver(gpu_daemon):
    assert gpu_daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    maps = open(f"/proc/{gpu_daemon.pid}/maps", encoding="utf-8").read()
    assert "nvidia-ml" not in maps
    (probe,) = probes(gpu_daemon)
    assert "--gpu-probe" in command_line(probe)
    with RawClient(gpu_daemon.socket) as raw:
        assert "parameters" in raw.call("org.varlink.service.GetInfo")


def test_a_running_gpu_task_is_found_again_after_a_restart(gpu_daemon):
    daemon = gpu_daemon
    proc, gate, fields = gpu_task(daemon, "t", "--gpu", "any:20G")
    daemon.kill()
    daemon.start_daemon()
    daemon.wait_state("t", "running")
    index = int(fields[0])
    assert daemon.run("run", "-w", "0", "--gpu", f"{index}:10G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", f"{1 - index}:10G", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0
