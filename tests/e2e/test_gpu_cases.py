# SPDX-License-Identifier: GPL-3.0-or-later
"""What NVIDIA's drivers do in the field, and what people see then: a row here for each row of docs/gpu.md."""

import os
import pathlib
import re
from typing import NamedTuple

import pytest

from harness import GIB, HOLD, STAND_IN, Gpus, children_of, is_alive, kill_quietly, proc_state, wait_until

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "gpu.md"
OK, UNKNOWN, LOST = "ok", "unknown", "lost"


class Case(NamedTuple):
    """How it is from the start."""

    name: str  # as in docs/gpu.md
    states: list  # of the GPUs that are shown, by their order
    gpus: list = [[], []]  # what the script says of each
    first: list = []  # and of the driver
    library: str = "libnvidia-ml.so.1"
    says: list = []  # `taskflow status`
    keys: dict = {}  # of the first GPU in JSON
    runs: list = []  # (what to ask for, status, what stderr says), now or never


CASES = [
    Case("418 and before: no v2 of memory, no MIG, 16 bytes an entry", [OK, OK], [["used 7G", "reserved 1G"], []],
         library="libnvidia-ml-r418.so.1", keys={"total_bytes": 23 * GIB, "used_bytes": 6 * GIB}),
    Case("450 and 460: 24 bytes an entry, also of MPS's unversioned list", [OK, OK], [["used 7G", "reserved 1G"], []],
         library="libnvidia-ml-r450.so.1", keys={"total_bytes": 23 * GIB, "used_bytes": 6 * GIB}),
    Case("470: 24 bytes an entry", [OK, OK], [["used 7G", "reserved 1G"], []],
         library="libnvidia-ml-r470.so.1", keys={"total_bytes": 23 * GIB, "used_bytes": 6 * GIB}),
    Case("535.43 to 535.86: 32 bytes an entry", [OK, OK], [["used 7G", "reserved 1G"], []],
         library="libnvidia-ml-r535.so.1", keys={"used_bytes": 7 * GIB}),
    Case("550 and later", [OK, OK], [["used 7G", "reserved 1G"], []], keys={"used_bytes": 7 * GIB}),
    Case("v2 of memory fails", [OK, OK], [["used 7G", "error nvmlDeviceGetMemoryInfo_v2 999"], []],
         keys={"used_bytes": 7 * GIB}),
    Case("the list grows while it is read", [OK, OK], [["race 3", "process self 1G"], []],
         keys={"processes_known": True}),
    Case("no memory by process (WSL)", [OK, OK], [["processes n/a", "process self 2G", "used 2G"], []],
         says=["the driver does not tell what each program uses of it"],
         keys={"processes_known": False, "used_bytes": 2 * GIB}, runs=[("0:21G", 0, ""), ("0:23G", 125, "")]),
    Case("a list that can't be true", [OK, OK], [["process self 1G", "process 1 99G"], []],
         says=["its list of processes makes no sense"], keys={"processes_known": False}, runs=[("0:1G", 0, "")]),
    Case("no memory of its own (GB10, Jetson, Grace)", [OK, OK], [["unified"], []],
         says=["its memory is the machine's RAM"], keys={"shares_ram": True},
         runs=[("0:1M", 0, ""), ("0:1P", 125, "which shares the machine's RAM"), ("0", 0, "")]),
    Case("memory of nothing in all", [OK, OK], [["total 0"], []], says=["its memory is the machine's RAM"],
         keys={"shares_ram": True}),
    Case("split into instances (MIG)", [OK, OK, OK, OK],
         [["mig", "instance 0", "total 10G", "instance 2", "total 20G", "used 5G"], []],
         says=["split into the instances below", "GPU 0.1 20G"], keys={"use": "split"},
         runs=[("0:1G", 125, "is split into instances (MIG), which are asked for one by one; there is GPU 0.0 ("), ("0.0:9G", 0, ""),
               ("0.1:16G", 125, ""), ("0.1:14G", 0, ""), ("0.2:1G", 125, "there is no GPU '0.2'"),
               ("MIG-00000000-0000-0000-0002:1G", 0, ""), ("any:23G", 0, "")]),
    Case("exclusive process", [OK, OK], [["mode 3"], []], says=["one task at a time"], keys={"use": "exclusive"},
         runs=[("0:1G", 0, "")]),
    Case("exclusive process, and a program has it", [OK, OK], [["mode 3", "process 1 1G", "used 1G"], []],
         runs=[("0:1G", 125, "a program outside taskflow (1G by process 1 of "), ("any:1G", 0, "")]),
    Case("prohibited", [OK, OK], [["mode 2"], []], says=["compute mode 'prohibited': no task"],
         keys={"use": "prohibited"}, runs=[("0:1G", 125, "nvidia-smi -c DEFAULT"), ("any:1G", 0, "")]),
    Case("a GPU we have no permission for", [OK], [["error * 4"], []],
         says=["GPU 0: Insufficient Permissions (NVML error 4)"], runs=[("0:1G", 125, "there is no GPU '0'"), ("1:1G", 0, "")]),
    Case("no UUID", [OK], [["error nvmlDeviceGetUUID 999"], []], says=["GPU 0: Unknown Error (NVML error 999)"],
         runs=[("any:1G", 0, "")]),
    Case("memory that is not told", [UNKNOWN, OK],
         [["error nvmlDeviceGetMemoryInfo_v2 999", "error nvmlDeviceGetMemoryInfo 999"], []],
         says=["unknown: Unknown Error (NVML error 999)"], runs=[("0:1G", 125, "does not answer"), ("any:1G", 0, "")]),
    Case("a name without an end", [OK, OK], [["unterminated name"], []], runs=[("0:1G", 0, "")]),
    Case("a UUID without an end", [OK], [["unterminated"], []], says=["GPU 0: Unknown Error (NVML error 999)"],
         runs=[("any:1G", 0, "")]),
    Case("the driver is not loaded", [], first=["init 9"], says=["modprobe nvidia"],
         runs=[("any:1G", 125, "modprobe nvidia")]),
    Case("no permission for the driver", [], first=["init 4"], says=["/dev/nvidiactl"],
         runs=[("any:1G", 125, "/dev/nvidiactl")]),
    Case("a driver that the system keeps from us", [], first=["init 17"], says=["not given its devices"],
         runs=[("any:1G", 125, "not given its devices")]),
    Case("the driver was upgraded under the running system", [], first=["init 18"], says=["reboot or reload it"],
         runs=[("any:1G", 125, "reboot or reload it")]),
    Case("the library lacks what every driver has", [], library="libm.so.6", says=["libm.so.6 has no nvmlInit_v2"],
         runs=[("any:1G", 125, "libm.so.6 has no nvmlInit_v2")]),
    Case("no library", [], library="libnvidia-ml-no.so.1", says=["there is no library"],
         runs=[("any:1G", 125, "there is no library")]),
]


def look(daemon):
    """Makes the daemon look at the GPUs: how they are then."""
    daemon.run("run", "--dry-run", "--gpu", "any:1M", "true")
    return daemon.status()["gpus"]


def state_of(daemon, index):
    return look(daemon)[index]["state"]


def ram_tasks_start(daemon):
    assert daemon.run("run", "-m", "1M", "-d", "0", "true").returncode == 0


def held_task(daemon, name, *args):
    """A running task that ends when its gate opens; (proc, gate)."""
    return daemon.start(name, *args)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_there_is_from_the_start(make_daemon, make_gpus, case):
    gpus = make_gpus(n=len(case.gpus))
    if gpus.library and case.library != Case._field_defaults["library"]:
        pytest.skip("it is about another library")
    for index, lines in enumerate(case.gpus):
        gpus.say_of(index, *lines)
    gpus.say(*case.first)
    daemon = make_daemon(settings={"nvml_library": case.library}, env=gpus.env)
    shown = look(daemon)
    assert [gpu["state"] for gpu in shown] == case.states
    if shown:
        assert {key: shown[0][key] for key in case.keys} == case.keys
    text = " ".join(daemon.run("status").stdout.split())
    for words in case.says:
        assert words in text
    for word, status, words in case.runs:
        done = daemon.run("run", "-w", "0", "--gpu", word, "true")
        assert (done.returncode, words in done.stderr) == (status, True), (word, done.stderr)
    ram_tasks_start(daemon)


# What changes

CHANGES = {}


def change(name):
    """A test of what docs/gpu.md calls by that name."""

    def note(function):
        CHANGES[name] = function
        return function

    return note


@change("a driver that tells memory by process")
@pytest.mark.parametrize("library", ["libnvidia-ml-r418.so.1", "libnvidia-ml-r450.so.1", "libnvidia-ml-r470.so.1",
                                     "libnvidia-ml-r535.so.1", "libnvidia-ml.so.1"])
def test_what_a_task_uses_is_its_own_with_every_driver(make_daemon, gpus, library):
    daemon = make_daemon(settings={"nvml_library": library}, env=gpus.env)
    daemon.env.update(gpus.env)
    proc, _ = daemon.start("t", "--gpu", "0:10G", "-d", "0", command=f"exec {HOLD} fork 2 gpu 0 1G")
    wait_until(
        lambda: look(daemon) and daemon.task("t")["used"]["gpus"][0]["bytes"] == 3 * GIB,
        "what its three processes use is seen as its own",
    )
    assert daemon.run("cancel", str(daemon.task("t")["id"])).returncode == 0
    proc.wait()


@change("a container without its devices")
def test_a_driver_that_is_loaded_is_not_called_not_loaded(make_daemon, gpus, folder):
    version = folder / "proc" / "driver" / "nvidia" / "version"
    version.parent.mkdir(parents=True)
    version.touch()
    gpus.say("init 9")
    daemon = make_daemon(env={**gpus.env, "TASKFLOW_TEST_PROC": os.fspath(folder / "proc")})
    done = daemon.run("run", "-w", "0", "--gpu", "any:1G", "true")
    assert done.returncode == 125
    assert "the NVIDIA driver is loaded, but /dev/nvidiactl cannot be opened: is this a container, or a unit" in done.stderr
    assert "modprobe" not in done.stderr
    assert "was not given its devices" in " ".join(daemon.run("status").stdout.split())
    ram_tasks_start(daemon)


@pytest.fixture
def wsl(make_gpus, faults, folder):
    """A GPU, and the environment in which its library is only where WSL has it; a distribution's own one does not work."""
    library = os.path.join(STAND_IN, "libnvidia-ml.so.1")
    gpus = make_gpus(n=1)
    faults.be_wsl(library)
    own = folder / "distribution"
    own.mkdir()
    (own / "libnvidia-ml.so.1").symlink_to(os.path.join(STAND_IN, "libcuda.so.1"))
    return gpus, {**gpus.env, **faults.env, "LD_LIBRARY_PATH": os.fspath(own)}


@change("Windows' library (WSL)")
def test_on_wsl_the_library_is_where_windows_puts_it(make_daemon, wsl):
    gpus, env = wsl
    gpus.say_of(0, "process 1 2G", "used 2G")
    daemon = make_daemon(env=env)
    (gpu,) = look(daemon)
    assert (gpu["state"], gpu["used_bytes"], gpu["processes_known"]) == (OK, 2 * GIB, False)
    assert "the driver does not tell what each program uses of it" in " ".join(daemon.run("status").stdout.split())
    assert "1, which answer" in daemon.run("doctor").stdout
    assert daemon.run("run", "-w", "0", "--gpu", "0:21G", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "--gpu", "0:23G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", "0", "true").returncode == 125, "somebody has some of it"


@change("WSL, and Windows has no driver")
def test_on_wsl_it_is_windows_that_lacks_a_driver(make_daemon, wsl):
    gpus, env = wsl
    gpus.say("init 9")
    daemon = make_daemon(env=env)
    daemon.env.update(env)
    done = daemon.run("run", "--gpu", "any", "true")
    assert (done.returncode, "Windows has no NVIDIA driver" in done.stderr) == (125, True), done.stderr
    assert "Windows has no NVIDIA driver" in daemon.run("status").stdout
    assert re.search("the GPUs do not answer: .*Windows has no NVIDIA driver", daemon.run("doctor").stdout)


INSTANCES = ["mig", "instance 0", "uuid MIG-a", "total 10G", "instance 1", "uuid MIG-b", "total 10G"]


@change("a task on an instance")
def test_a_task_sees_its_instance_alone(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, *INSTANCES)
    daemon = make_daemon(env=gpus.env)
    daemon.env.update(gpus.env)
    done = daemon.run("run", "--gpu", "0.1:5G", "--pin", 'echo "$TASKFLOW_GPUS $CUDA_VISIBLE_DEVICES"')
    assert done.stdout == "0.1 MIG-b\n"
    hint = "taskflow: the command sees all GPUs; --pin shows it GPU 0.1 alone\n"
    assert daemon.run("run", "--gpu", "0.1:5G", "true").stderr == hint
    assert daemon.run("run", "--gpu", "0.0:5G", "true").stderr == "", "that one it takes by itself"
    daemon.start("t", "--gpu", "any", "-d", "0", command=f"exec {HOLD} gpu 0.0 2G gpu 0.1 2G")
    wait_until(lambda: look(daemon) and daemon.task("t")["used"]["gpus"][0]["bytes"] == 2 * GIB, "it is seen there")
    index, uuid = daemon.task("t")["gpus"][0]["index"], daemon.task("t")["gpus"][0]["uuid"]
    assert index == 0 and uuid in ("MIG-a", "MIG-b")
    assert daemon.run("run", "-w", "0", "--gpu", f"{uuid}:1G", "true").returncode == 125


@change("a task that asks for two instances")
def test_a_task_gets_one_instance(gpu_daemon, gpus):
    gpus.say_of(0, *INSTANCES)
    done = gpu_daemon.run("run", "--gpu", "0.0:1G", "--gpu", "0.1:1G", "true")
    assert done.returncode == 125 and "of which a program can use one alone" in done.stderr
    assert gpu_daemon.run("run", "--gpu", "any:1G", "--gpu", "any:1G", "true").returncode == 125
    gpus.lines.append([])
    gpus.write()
    line = 'echo "$TASKFLOW_GPUS"'
    done = wait_until(
        lambda: (run := gpu_daemon.run("run", "--gpu", "any:1G", "--gpu", "any:1G", line)).returncode == 0 and run,
        "there are two whole ones",
    )
    assert sorted(done.stdout.strip().split(",")) == ["1", "2"]


@change("instances are made and destroyed")
def test_instances_come_and_go(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, *INSTANCES)
    daemon = make_daemon(env=gpus.env)
    proc, gate = held_task(daemon, "t", "--gpu", "0.0:5G", "-d", "0")
    gpus.say_of(0, "mig", "instance 3", "uuid MIG-c", "total 20G")
    wait_until(lambda: [g["state"] for g in look(daemon) if g["uuid"] in ("MIG-a", "MIG-c")] in ([OK, LOST], [LOST, OK]),
               "what it has is gone")
    assert daemon.task("t")["state"] == "running"
    assert daemon.run("run", "-w", "0", "--gpu", "MIG-c:19G", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0
    wait_until(lambda: [g["uuid"] for g in look(daemon)][1:] == ["MIG-c"], "nobody has what is gone")


def test_instances_that_are_all_made_anew_are_found(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, "mig", *(line for i in range(7) for line in (f"instance {i}", "total 5G")))
    daemon = make_daemon(env=gpus.env)
    assert len(look(daemon)) == 8
    gpus.say_of(0, "mig", "instance 7", "uuid MIG-new", "total 20G")
    wait_until(lambda: [g["uuid"] for g in look(daemon)][1:] == ["MIG-new"], "the new one is there, and no other")
    assert daemon.run("run", "-w", "0", "--gpu", "MIG-new:19G", "true").returncode == 0


def test_what_a_task_has_of_an_instance_stays_when_its_number_changes(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, *INSTANCES)
    daemon = make_daemon(env=gpus.env)
    proc, gate = held_task(daemon, "t", "--gpu", "0.1:9G", "-d", "0")
    gpus.lines.append([])  # now NVML is initialised anew, and counts anew
    gpus.say_of(0, "mig", *INSTANCES[INSTANCES.index("instance 1"):])
    wait_until(lambda: [g["uuid"] for g in look(daemon)][1:2] == ["MIG-b"], "the second one is the first")
    assert daemon.run("run", "-w", "0", "--gpu", "0.0:2G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", "0.0:500M", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0
    assert daemon.run("run", "-w", "0", "--gpu", "0.0:9G", "true").returncode == 0


@change("a GPU is split while a task waits for it")
def test_a_task_waits_for_a_gpu_that_was_split(gpu_daemon, gpus):
    daemon = gpu_daemon
    first, gate = held_task(daemon, "first", "--gpu", "0", "-d", "0")
    second = daemon.queue("second", "--gpu", "0")
    gpus.say_of(0, *INSTANCES)
    gate.open()
    assert first.wait() == 0
    wait_until(lambda: "it was split into instances (MIG)" in daemon.why(daemon.task("second")["id"]), "it says so")
    gpus.say_of(0)
    assert second.wait() == 0


@change("exclusive process, and a task has it")
def test_an_exclusive_gpu_is_given_to_one_task_after_the_other(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, "mode 3")
    daemon = make_daemon(env=gpus.env)
    first, gate = held_task(daemon, "first", "--gpu", "0:1G", "-d", "0")
    second = daemon.queue("second", "--gpu", "any:1G")
    assert "lets only one process use it" in daemon.why(daemon.task("second")["id"])
    gate.open()
    assert (first.wait(), second.wait()) == (0, 0)


@change("the compute mode is changed while a task waits")
def test_a_task_that_waits_for_a_prohibited_gpu_says_so_and_starts_when_it_may(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert state_of(daemon, 0) == OK
    first, gate = held_task(daemon, "first", "--gpu", "0", "-d", "0")
    second = daemon.queue("second", "--gpu", "0")
    gpus.say_of(0, "mode 2")
    gate.open()
    assert first.wait() == 0
    wait_until(lambda: "its compute mode is 'prohibited'" in daemon.why(daemon.task("second")["id"]), "it says so")
    gpus.say_of(0)
    assert second.wait() == 0


@change("one pool with RAM")
def test_what_is_asked_for_on_a_gpu_without_memory_is_missing_to_ram_tasks(make_daemon, make_gpus):
    gpus = make_gpus(n=1)
    gpus.say_of(0, "unified")
    daemon = make_daemon(env=gpus.env)
    assert look(daemon)[0]["shares_ram"]
    memory = daemon.status()["memory"]
    asked = memory["free_bytes"] * 2 // 3
    proc, gate = held_task(daemon, "first", "--gpu", f"0:{asked}", "-d", "0")
    status = daemon.status()
    assert status["memory"]["promised_bytes"] == status["gpus"][0]["promised_bytes"] == asked
    assert status["gpus"][0]["total_bytes"] == status["memory"]["total_bytes"]
    assert daemon.run("run", "-w", "0", "-m", str(asked), "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", f"any:{asked}", "true").returncode == 125
    second = daemon.queue("second", "-m", str(asked // 2), "--gpu", f"any:{asked // 2}")
    gate.open()
    assert (proc.wait(), second.wait()) == (0, 0)


@change("a GPU is lost")
def test_a_lost_gpu_leaves_the_others_and_its_task(gpu_daemon, gpus):
    daemon = gpu_daemon
    proc, gate = held_task(daemon, "t", "--gpu", "0:1G", "-d", "0")
    gpus.say_of(0, "lost")
    wait_until(lambda: state_of(daemon, 0) == LOST, "it is lost")
    assert "lost: GPU is lost (NVML error 15)" in " ".join(daemon.run("status").stdout.split())
    assert daemon.task("t")["state"] == "running"
    assert daemon.run("run", "-w", "0", "--gpu", "0:1G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0
    waiting = daemon.queue("waiting", "--gpu", "0:1G")
    gpus.say_of(0)
    assert waiting.wait() == 0
    gate.open()
    assert proc.wait() == 0


@change("a GPU goes")
def test_a_gpu_that_is_gone_is_waited_for(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert state_of(daemon, 1) == OK
    lines = gpus.lines
    gpus.lines = lines[:1]
    gpus.write()
    wait_until(lambda: state_of(daemon, 1) == LOST, "it is gone")
    proc = daemon.queue("t", "--gpu", f"{Gpus.UUIDS[1]}:1G")
    assert daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0
    gpus.lines = lines
    gpus.write()
    assert proc.wait() == 0


@change("a GPU comes")
def test_a_gpu_that_comes_is_given_out(gpu_daemon, gpus):
    assert len(look(gpu_daemon)) == 2
    gpus.lines.append([])
    gpus.write()
    wait_until(lambda: gpu_daemon.run("run", "-w", "0", "--gpu", "2:20G", "true").returncode == 0, "it is given out")
    assert len(gpu_daemon.status()["gpus"]) == 3


@change("the first GPU comes")
def test_the_first_gpu_that_comes_is_given_out(make_daemon, make_gpus):
    gpus = make_gpus(n=0)
    daemon = make_daemon(env=gpus.env)
    assert "has no GPU" in daemon.run("run", "--gpu", "any:1G", "true").stderr
    gpus.lines.append([])
    gpus.write()
    wait_until(lambda: daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0, "it is given out")


@change("indices are given anew")
def test_what_a_task_holds_stays_on_its_gpu_when_the_indices_change(gpu_daemon, gpus, monkeypatch):
    daemon = gpu_daemon
    proc, gate = held_task(daemon, "t", "--gpu", "0:20G", "-d", "0")
    first, second, new = Gpus.UUIDS[:3]
    monkeypatch.setattr(Gpus, "UUIDS", [new, first, second])  # one has come, before the others
    gpus.lines.append([])
    gpus.write()
    wait_until(lambda: look(daemon)[0]["uuid"] == new, "they have changed")
    held = {gpu["uuid"]: gpu["promised_bytes"] for gpu in look(daemon)}
    assert held == {new: 0, first: 20 * GIB, second: 0}
    assert daemon.run("run", "-w", "0", "--gpu", "1:10G", "true").returncode == 125
    assert daemon.run("run", "-w", "0", "--gpu", "0:10G", "true").returncode == 0
    gate.open()
    assert proc.wait() == 0


@change("the driver is reloaded")
def test_a_driver_that_is_reloaded_is_opened_anew(gpu_daemon, gpus):
    daemon = gpu_daemon
    proc, gate = held_task(daemon, "t", "--gpu", "0:1G", "-d", "0")
    gpus.say("init 9", "error nvmlDeviceGetCount_v2 1")
    wait_until(lambda: state_of(daemon, 0) == UNKNOWN, "it is not there")
    assert "modprobe nvidia" in daemon.run("status").stdout
    waiting = daemon.queue("waiting", "--gpu", "0:1G")
    ram_tasks_start(daemon)
    assert daemon.task("t")["state"] == "running"
    gpus.say()
    assert waiting.wait() == 0
    gate.open()
    assert proc.wait() == 0


@change("the driver is upgraded under a waiting task")
def test_a_task_waits_until_an_upgraded_driver_is_reloaded(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert state_of(daemon, 0) == OK
    gpus.say("init 18", "error nvmlDeviceGetCount_v2 1")
    wait_until(lambda: state_of(daemon, 0) == UNKNOWN, "it does not start")
    assert "reboot or reload it" in daemon.run("status").stdout
    proc = daemon.queue("t", "--gpu", "0:1G")
    gpus.say()
    assert proc.wait() == 0


CALLS = [
    "dlopen",
    "nvmlInit_v2",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetComputeRunningProcesses_v2",
    "nvmlDeviceGetMemoryInfo_v2",
]


def zombies(daemon):
    return [pid for pid in children_of(daemon.pid) if proc_state(pid) == "Z"]


@change("the library hangs in any call")
@pytest.mark.parametrize("call", CALLS)
def test_while_a_call_hangs_ram_tasks_start_and_with_it_back_gpus_are_ok(gpu_daemon, gpus, call):
    daemon = gpu_daemon
    gpus.say(f"hang {call}")
    proc = daemon.popen("run", "-n", "t", "--gpu", "0:1G", "true")
    wait_until(lambda: children_of(daemon.pid), "the driver is asked")
    for _ in range(3):
        ram_tasks_start(daemon)
    assert proc.is_running(), "nothing has answered"
    gpus.say()
    assert proc.wait() == 0
    assert state_of(daemon, 0) == OK
    wait_until(lambda: not zombies(daemon), "no zombie is left")


@change("the library hangs for ever when it is first opened")
@pytest.mark.parametrize("call", ["dlopen", "nvmlInit_v2", "nvmlDeviceGetMemoryInfo_v2"])
def test_a_driver_that_hung_from_the_start_is_found_to_be_back(gpu_daemon, gpus, call):
    daemon = gpu_daemon
    gpus.say(f"hang {call} for-ever")
    proc = daemon.popen("run", "-n", "t", "--gpu", "0:1G", "true")
    (first,) = wait_until(lambda: children_of(daemon.pid), "the driver is asked")
    wait_until(lambda: len(children_of(daemon.pid)) == 2, "another one is tried beside it")
    for _ in range(3):
        ram_tasks_start(daemon)
    assert is_alive(first) and proc.is_running(), "nothing has answered, and it may be slow"
    gpus.say()
    assert proc.wait(30) == 0
    assert state_of(daemon, 0) == OK
    wait_until(lambda: not is_alive(first) and not zombies(daemon), "what hung is gone")


@change("the library hangs for ever, later")
def test_a_probe_that_hangs_for_ever_is_replaced(gpu_daemon, gpus):
    daemon = gpu_daemon
    assert state_of(daemon, 0) == OK
    (probe,) = children_of(daemon.pid)
    gpus.say("hang nvmlDeviceGetMemoryInfo_v2 for-ever")
    wait_until(lambda: state_of(daemon, 0) == UNKNOWN, "the GPUs are unknown")
    proc = daemon.queue("t", "--gpu", "0:1G")
    ram_tasks_start(daemon)
    assert "has not answered" in daemon.run("status").stdout
    gpus.say()
    assert proc.wait(30) == 0
    assert not is_alive(probe)
    wait_until(lambda: not zombies(daemon), "no zombie is left")


@change("the library hangs when it is closed")
def test_a_library_that_hangs_when_it_is_closed_holds_nobody_up(gpu_daemon, gpus):
    daemon = gpu_daemon
    gpus.say("hang nvmlShutdown for-ever")
    assert daemon.run("run", "--gpu", "0:1G", "true").returncode == 0
    (probe,) = children_of(daemon.pid)
    daemon.stop()
    wait_until(lambda: not is_alive(probe), "the probe has ended")


@change("the library crashes")
@pytest.mark.parametrize("call", ["nvmlInit_v2", "nvmlDeviceGetMemoryInfo_v2"])
def test_a_library_that_crashes_is_loaded_again(gpu_daemon, gpus, call):
    daemon = gpu_daemon
    assert state_of(daemon, 0) == OK
    gpus.say(f"crash {call}", *([] if call != "nvmlInit_v2" else ["crash nvmlDeviceGetCount_v2"]))
    wait_until(lambda: state_of(daemon, 0) == UNKNOWN, "the GPUs are unknown")
    proc = daemon.queue("t", "--gpu", "0:1G")
    assert "SIGSEGV" in daemon.run("status").stdout
    ram_tasks_start(daemon)
    gpus.say()
    assert proc.wait(30) == 0
    wait_until(lambda: not zombies(daemon), "no zombie is left")


@change("nonsense in every answer")
def test_nonsense_reaches_nothing_but_the_probe(make_daemon, place, gpus):
    seed = place.folder / "seed"
    seed.write_text("0")
    env = {**gpus.env, "TASKFLOW_TEST_NVML": os.fspath(seed)}
    library = os.path.join(STAND_IN, "libnvidia-ml-nonsense.so.1")
    daemon = make_daemon(settings={"nvml_library": library}, env=env)
    for n in range(1, 21):
        seed.write_text(str(n))
        look(daemon)
        ram_tasks_start(daemon)
        status = daemon.status()
        assert status["memory"]["promised_bytes"] == 0
        for gpu in status["gpus"]:
            assert re.fullmatch(r"[A-Za-z0-9./-]{1,80}", gpu["uuid"])
            if gpu["used_bytes"] is not None:
                assert 0 <= gpu["used_bytes"] <= gpu["total_bytes"]
            assert gpu["promised_bytes"] == 0 and gpu["tasks"] == []
        for probe in children_of(daemon.pid):
            kill_quietly(probe)
    seed.write_text(gpus.path.read_text())
    daemon.settings(nvml_library="libnvidia-ml.so.1")
    wait_until(lambda: Gpus.UUIDS[0] in [gpu["uuid"] for gpu in look(daemon) if gpu["state"] == OK], "it makes sense")
    assert daemon.run("run", "-w", "0", "--gpu", f"{Gpus.UUIDS[0]}:20G", "true").returncode == 0


@change("two that do not fit together")
@pytest.mark.parametrize("lines", [[], ["processes n/a"]], ids=["memory by process", "without it"])
def test_two_tasks_of_60_percent_of_a_gpu_never_run_together(make_daemon, make_gpus, lines):
    gpus = make_gpus(n=1)
    gpus.say_of(0, *lines)
    daemon = make_daemon(env=gpus.env)
    daemon.env.update(gpus.env)
    size = 24 * GIB * 6 // 10
    # Each takes its memory at another time after its start, and all are there at once.
    procs = [
        daemon.popen("run", "-n", f"t{n}", "--gpu", f"any:{size}",
                     f"exec {HOLD} wait 0.{3 * n} gpu 0 {size} wait 0.2 exit 0")
        for n in range(4)
    ]
    for proc in procs:
        assert proc.wait(60) == 0
    spans = sorted((task["started_at"], task["ended_at"]) for task in daemon.json("ps", "-a")["tasks"])
    assert len(spans) == 4
    for (_, ended), (started, _) in zip(spans, spans[1:]):
        assert ended <= started


def test_the_manual_has_the_same_cases():
    rows = re.findall(r"^\| ([^|]*?) \|", DOCS.read_text(encoding="utf-8").split("## NVIDIA")[1].split("\n## ")[0], re.M)
    names = [row for row in rows if row not in ("case", "---")]
    assert sorted(names) == sorted([case.name for case in CASES] + list(CHANGES))
