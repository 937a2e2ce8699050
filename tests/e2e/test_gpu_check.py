# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/gpu-check.py, which `make gpu-check` runs, with stand-ins for the driver."""

import os
import pathlib
import re
import signal

import pytest

from harness import BUILD, HOLD, is_alive, pids_that_mention, wait_until

GPU_CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools" / "gpu-check.py"

NOTHING_CHECKED = 77
FIRST_PID_NAMESPACE = 0xEFFFFFFC

EARLY_SIGNAL = """
import os, signal, subprocess

really = subprocess.Popen._execute_child

def execute_child(self, args, *more):
    really(self, args, *more)
    if "taskflowd" in os.path.basename(args[0]):
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen._execute_child = execute_child
"""

pytestmark = pytest.mark.skipif(
    not HOLD.startswith(BUILD) or not GPU_CHECK.exists(), reason="it needs a whole build folder, and the sources"
)


@pytest.fixture
def check(place, gpus):
    """Runs it to its end, patiently: how late something is depends on who else works here."""

    def run(patience=30, within=(), **env):
        tmp = place.folder / "tmp"
        tmp.mkdir(exist_ok=True)
        argv = [*within, "/usr/bin/python3", "-B", GPU_CHECK, "--patience", str(patience), BUILD]
        return place.run(argv, env=place.env(**gpus.env, TMPDIR=tmp, **env), timeout=300)

    return run


def test_all_is_well_with_a_driver_that_is_well(check, place):
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT OK" not in done.stdout and done.stderr == ""
    for what in (
        "taskflow sees 2",
        "pinned to GPU 0",
        "pinned to GPU 1",
        "it is seen that a task took 2048 MiB",
        "it is seen that a program outside taskflow gave 2048 MiB back",
        "of a task that took 2048 MiB 2348 MiB are seen",
        "outside taskflow is named with 2348 MiB",
        "takes more than it asked for",
        "a task that asks for more than is free is pending",
        "memory was freed, and the task that waited runs after",
    ):
        assert what in done.stdout, done.stdout
    assert re.search(r"^driver .*; Stand-In 0, Stand-In 1; look: first \d+ us, median \d+ us, most \d+ us; \d{4}-", done.stdout, re.M)
    assert list((place.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("deaf", r"NOT OK: a task that is pinned to GPU 0 \(\S+\) sees \S+ \S+$"),
        ("leaky", r"NOT OK: not so after \d+ s: a task gave 2048 MiB back"),
    ],
)
def test_a_driver_that_does_otherwise_is_found_out(check, place, how, what):
    done = check(patience=3, TASKFLOW_TEST_CUDA=how)  # a driver that gives nothing back is waited for that long
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(what, done.stdout, re.M), done.stdout
    assert list((place.folder / "tmp").iterdir()) == []


def test_what_the_driver_does_not_tell_is_not_checked(check, gpus):
    for index in (0, 1):
        gpus.say_of(index, "processes n/a")
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attribution was not checked" in done.stdout


def test_in_a_container_processes_that_are_not_told_are_not_checked(check, gpus):
    for index in (0, 1):
        gpus.say_of(index, "processes hidden")
    if os.stat("/proc/self/ns/pid").st_ino == FIRST_PID_NAMESPACE:
        done = check(patience=3)
        assert done.returncode == 1, "on the machine itself that is a fault"
        assert "NOT OK: process " in done.stdout, done.stdout
    if os.geteuid() != 0:
        pytest.skip("only root can be in a container")
    done = check(patience=3, within=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in a container" in done.stdout and "attribution was not checked" in done.stdout


def test_gpus_that_taskflow_does_not_see_are_a_fault(check, gpus):
    gpus.say("error nvmlInit_v2 18")
    done = check()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT OK: CUDA has a GPU, and taskflow sees 0" in done.stdout


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["error cuInit 100"], "CUDA has no GPU here: CUDA_ERROR_NO_DEVICE"),
        (["gpu 0", "mode 3", "gpu 1", "used 23900M"], "GPU 1 has only 675 MiB free"),
        (["gpu 0", "lost", "gpu 1", "mode 2"], "no GPU that several programs may share"),
    ],
)
def test_where_there_is_nothing_to_check_it_says_so(check, gpus, place, lines, why):
    place_of = {"gpu 0": 0, "gpu 1": 1}
    at, said = None, {}
    for line in lines:
        at = place_of.get(line, at)
        if line not in place_of:
            said.setdefault(at, []).append(line)
    for index, words in said.items():
        gpus.say(*words) if index is None else gpus.say_of(index, *words)
    done = check()
    assert done.returncode == NOTHING_CHECKED, done.stdout + done.stderr
    assert f"gpu-check: nothing was checked: {why}" in done.stdout.replace("cuda-hold: ", "")
    assert list((place.folder / "tmp").iterdir()) == []


def test_without_a_driver_it_says_so(place):
    """Also where there is one: what the loader finds first is none."""
    library = place.make_folder("library") / "libcuda.so.1"
    library.write_text("this is no library\n" * 8)
    done = place.run(["/usr/bin/python3", "-B", GPU_CHECK, BUILD], env=place.env(LD_LIBRARY_PATH=library.parent), timeout=60)
    assert done.returncode == NOTHING_CHECKED, done.stdout + done.stderr
    assert f"nothing was checked: cuda-hold: there is no CUDA: {library}: " in done.stdout


def test_interrupted_it_leaves_nothing(place, gpus):
    tmp = place.make_folder("tmp")
    gpus.say("hang nvmlDeviceGetMemoryInfo_v2")
    proc = place.start(["/usr/bin/python3", "-B", GPU_CHECK, BUILD], env=place.env(**gpus.env, TMPDIR=tmp))

    def daemons():
        return [pid for pid in pids_that_mention(tmp) if pid != proc.pid]

    found = wait_until(daemons, "it has started a taskflowd")
    proc.signal(signal.SIGTERM)
    assert proc.wait() == 1
    assert "ended by SIGTERM" in proc.err
    wait_until(lambda: not any(map(is_alive, found)), "its taskflowd has ended")
    assert list(tmp.iterdir()) == []


def test_a_signal_while_it_starts_a_process_leaves_nothing(place, gpus):
    """As if it came between the fork and the moment when it knows of its taskflowd."""
    tmp = place.make_folder("tmp")
    python = place.make_folder("python")
    (python / "sitecustomize.py").write_text(EARLY_SIGNAL)
    env = place.env(**gpus.env, TMPDIR=tmp, PYTHONPATH=python)
    done = place.run(["/usr/bin/python3", "-B", GPU_CHECK, BUILD], env=env, timeout=60)
    assert (done.returncode, done.stderr) == (1, "gpu-check: ended by SIGTERM\n")
    assert pids_that_mention(tmp) == []
    assert list(tmp.iterdir()) == []
