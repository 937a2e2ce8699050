# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task waits, as its user reads it: a row for each reason, in `why`, in `ps --json` and in what `run` says meanwhile.

The exact words are those of tests/unit/test-core-reasons.c; here it is that they arrive, with the names and figures of a machine. GPUs
are stand-ins, so that nothing depends on what else this machine does.
"""

import os
import pwd
import re
import signal
import time

import pytest

from harness import N_CPUS, Gpus, parse_time, wait_until

USER = pwd.getpwuid(os.geteuid()).pw_name
F = rf"task {{filler}} of {re.escape(USER)}"  # who is in the way

CORES = rf"needs 1 core: 0 of {N_CPUS} free, 1 missing \({F} has {N_CPUS}\); "


class Scene:
    """A daemon with two GPUs of 24 GiB, a task that runs (`filler`) and one that waits (`t`)."""

    def __init__(self, make_daemon, place, **settings):
        self.gpus = Gpus(place.folder, n=2)
        self.daemon = make_daemon(settings={"sample_interval": "200ms", "default_delay": "0", **settings}, env=self.gpus.env)
        self.filler = self.gate = self.proc = self.large = None

    def fill(self, *args):
        self.filler, self.gate = self.daemon.start("filler", *args)

    def queue(self, *args):
        self.proc = self.daemon.queue("t", *args)

    def id(self, name="t"):
        return self.daemon.task(name)["id"]

    def end(self):
        if self.proc:
            self.daemon.run("cancel", str(self.id()))
            self.proc.wait()
        if self.gate:
            self.gate.open()
            assert self.filler.wait() == 0


def behind(filler, waiting):
    """One in whose way another one is."""

    def happen(scene):
        scene.fill(*filler)
        scene.queue(*waiting)

    return happen


def short_of_ram(scene):
    most = str(scene.daemon.free_ram() // 5 * 3)
    scene.fill("-m", most)
    scene.queue("-m", most)


def held(scene):
    scene.fill("-c", str(N_CPUS))
    scene.queue("-c", "1")
    assert scene.daemon.run("hold", str(scene.id())).returncode == 0


def stopped(scene):
    scene.fill("-c", str(N_CPUS))
    scene.queue("-c", "1")
    scene.proc.signal(signal.SIGSTOP)
    scene.gate.open()
    assert scene.filler.wait() == 0
    scene.gate = None


def drained(scene):
    assert scene.daemon.run("drain", "a new disk").returncode == 0
    scene.queue()


def after(option):
    def happen(scene):
        scene.fill()
        scene.queue(option, str(scene.id("filler")))

    return happen


def gpu_changes(*lines):
    def happen(scene):
        scene.fill("-c", str(N_CPUS))
        scene.queue("-c", "1", "--gpu", "0:1G")
        scene.gpus.say_of(0, *lines)

    return happen


def driver_is_silent(scene):
    scene.fill("-c", str(N_CPUS))
    scene.queue("-c", "1", "--gpu", "0:1G")
    scene.gpus.say("crash *")


def gpu_is_kept_back(scene):
    scene.fill("--gpu", "0", "-c", str(N_CPUS))
    scene.queue("--gpu", "0:1G", "-c", "1")
    scene.daemon.settings(gpus="1")


def used_by_others(scene):
    scene.gpus.say_of(0, "used 6G", f"process {os.getpid()} 6G")
    scene.fill()
    scene.queue("--gpu", "0")


def exclusive(scene):
    scene.gpus.say_of(0, "mode 3")
    scene.fill("--gpu", "0:1G")
    scene.queue("--gpu", "0:1G")


def kept(filler, large, late):
    """Room is kept for `large`, in the way of a third one."""

    def happen(scene):
        scene.fill(*filler)
        scene.large = scene.daemon.queue("large", *large)
        wait_until(lambda: scene.daemon.status()["kept"], "room is kept")
        scene.queue(*late)
        listed = [task["name"] for task in scene.daemon.json("ps")["tasks"]]
        assert listed == ["filler", "large", "t"]

    return happen


CASES = {
    "memory": ({}, short_of_ram, rf"needs \S+ of RAM: \S+ free, \S+ missing \({F} .*may take \S+"),
    "gpu-memory": ({}, behind(["--gpu", "1:20G"], ["--gpu", "1:20G"]),
                   rf"needs 20G on GPU 1: 4G free, 16G missing \({F} may take 20G\)$"),
    "gpu-any": ({}, behind(["--gpu", "0:20G", "--gpu", "1"], ["--gpu", "any:20G"]),
                rf"needs 20G on a GPU: GPU 0 has 4G free, 16G missing \({F} may take 20G\); GPU 1: {F} has it alone$"),
    "gpu-shared": ({}, behind(["--gpu", "0:5G"], ["--gpu", "0"]),
                   rf"needs GPU 0 alone: it is in use \({F} may take 5G\); --gpu 0:SIZE would share it$"),
    "gpu-shared by others": ({}, used_by_others,
                             rf"needs GPU 0 alone: it is in use \(6G is used outside taskflow: 6G by process {os.getpid()} of "
                             rf"{re.escape(USER)}\), 4.8G more than whole_gpu_used allows; --gpu 0:SIZE would share it$"),
    "gpu-whole": ({}, behind(["--gpu", "0"], ["--gpu", "0:1G"]), rf"needs 1G on GPU 0: {F} has it alone$"),
    "gpu-unknown": ({}, driver_is_silent, CORES + r"needs 1G on GPU 0: the driver does not answer$"),
    "gpu-lost": ({}, gpu_changes("lost"), CORES + r"needs 1G on GPU 0: the driver says that it is gone$"),
    "gpu-kept": ({}, gpu_is_kept_back, CORES + r"needs 1G on GPU 0: the settings \(gpus\) no longer give it out$"),
    "gpu-exclusive": ({}, exclusive, rf"needs 1G on GPU 0: {F} has it, and its compute mode lets only one process use it$"),
    "gpu-prohibited": ({}, gpu_changes("mode 2"), CORES + r"needs 1G on GPU 0: its compute mode is 'prohibited'$"),
    "gpu-split": ({}, gpu_changes("mig", "instance 0", "uuid MIG-a", "total 10G"),
                  CORES + r"needs 1G on GPU 0: it was split into instances \(MIG\)$"),
    "cpus": ({}, behind(["-c", str(N_CPUS)], ["-c", "1"]),
             rf"needs 1 core: 0 of {N_CPUS} free, 1 missing \({F} has {N_CPUS}\)$"),
    "tokens": ({"tokens": {"matlab": 3}}, behind(["--token", "matlab:2"], ["--token", "matlab:2"]),
               rf"needs 2 tokens of matlab: 1 of 3 free, 1 missing \({F} has 2\)$"),
    "tokens-kept": ({"patience": "100ms", "tokens": {"matlab": 3}},
                    kept(["--token", "matlab"], ["--token", "matlab:3"], ["--token", "matlab"]),
                    r"needs 1 token of matlab: 2 of 3 free, but 3 kept for task {large} of \S+ \(at most \S+ more\), 1 missing$"),
    "delay": ({}, behind(["--gpu", "0:1G", "-d", "10m"], ["--gpu", "0:2G"]),
              rf"needs 2G on GPU 0: kept for {F} until it has taken what it asked for, at most \S+ more$"),
    "delay without end": ({}, behind(["--gpu", "0:1G", "-d", "inf"], ["--gpu", "0:2G"]),
                          rf"needs 2G on GPU 0: kept for {F} until it has taken what it asked for$"),
    "settling": ({"default_delay": "1h"}, behind(["--gpu", "0:10G"], ["--gpu", "0:10G"]),
                 rf"needs 10G on GPU 0: {F} just started and may take more than it asked for: 4G free beyond that, 6G missing, "
                 r"at most \S+ more$"),
    "held": ({}, held, r"held: it does not start before it is released$"),
    "away": ({}, stopped, r"its taskflow does not answer \(stopped\?\)$"),
    "after": ({}, after("--after"), r"waits for task {filler} to succeed$"),
    "after-any": ({}, after("--after-any"), r"waits for task {filler} to end$"),
    "drained": ({}, drained, rf"nothing starts: drained by {re.escape(USER)} \(a new disk\)$"),
    "room-kept": ({"patience": "100ms"},
                  kept(["--gpu", "0:10G", "-c", "1"], ["--gpu", "0:20G"], ["--gpu", "0:2G"]),
                  r"needs 2G on GPU 0: 14G free, but 20G kept for task {large} of \S+ \(at most \S+ more\), 2G missing$"),
    "short where room is kept": ({"patience": "100ms"},
                                 kept(["--gpu", "0:10G"], ["--gpu", "0:20G"], ["--gpu", "0:16G"]),
                                 rf"needs 16G on GPU 0: 14G free, 2G missing \({F} may take 10G\), and 20G is kept for task "
                                 r"{large} of \S+$"),
    "cpus-kept": ({"patience": "100ms"},
                  kept(["--gpu", "0"], ["--gpu", "0", "-c", str(N_CPUS)], ["-c", "1"]),
                  rf"needs 1 core: {N_CPUS} of {N_CPUS} free, but {N_CPUS} kept for task {{large}} of \S+ \(at most \S+ more\), "
                  r"1 missing$"),
    "max-running": ({"max_running_per_user": "1"}, behind([], []),
                    rf"1 task of {re.escape(USER)} runs or is about to, max_running_per_user allows 1 \(task {{filler}}\)$"),
    "max-memory": ({"max_memory_per_user": "200M"}, behind(["-m", "150M"], ["-m", "100M"]),
                   rf"needs 100M of RAM: max_memory_per_user allows {re.escape(USER)} 200M in all, 150M used, 50M missing "
                   r"\(task {filler} has 150M\)$"),
    "max-gpus": ({"max_gpus_per_user": "1"}, behind(["--gpu", "0:1G"], ["--gpu", "1:1G"]),
                 rf"needs 1 GPU: max_gpus_per_user allows {re.escape(USER)} 1 in all, 1 used, 1 missing \(task {{filler}} has 1\)$"),
    "max-gpu-memory": ({"max_gpu_memory_per_user": "30G"}, behind(["--gpu", "0:20G"], ["--gpu", "1:12G"]),
                       rf"needs 12G on GPUs: max_gpu_memory_per_user allows {re.escape(USER)} 30G in all, 20G used, 2G missing "
                       r"\(task {filler} has 20G\)$"),
}

# How `why` begins, where the sentence is not of the task.
LEADS = {"held": "is ", "away": "waits: ", "drained": "waits: ", "max-running": "waits: "}

# Nobody is at the terminal, or there is nothing that changes.
SILENT = {"away"}


def pattern_of(scene, text):
    ids = {task["name"]: task["id"] for task in scene.daemon.ps()}
    for name, task_id in ids.items():
        if name:
            text = text.replace("{" + name + "}", str(task_id))
    return re.compile(text)


def steady(text):
    """Without what is another figure a moment later."""
    return re.sub(r"\b\d+(\.\d+)?[KMGT]\b", "SIZE", re.sub(r"at most \S+ more", "at most so much more", text))


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_told_everywhere(make_daemon, place, case):
    settings, happen, text = CASES[case]
    scene = Scene(make_daemon, place, **settings)
    daemon = scene.daemon
    happen(scene)
    pattern, task_id = pattern_of(scene, text), scene.id()

    def sentence():
        line = daemon.why(task_id).split("\n")[0].removeprefix(f"task {task_id} ")
        lead = LEADS.get(case, "")
        return line.removeprefix(lead) if line.startswith(lead) else f"(not '{lead}') {line}"

    try:
        said = wait_until(lambda: (s := sentence()) and pattern.match(s) and s, f"why says {pattern.pattern}; it said {sentence()}")
    except AssertionError as error:
        raise AssertionError(f"{error}; at last it said {sentence()}") from None
    assert "resources" not in said
    assert steady(daemon.task("t")["reason"]) == steady(said)
    assert steady(daemon.show(task_id)["reason"]) == steady(said)
    if case not in SILENT:
        words = steady(said).removeprefix("waits ")
        wait_until(lambda: words in steady(scene.proc.err), f"run says {words}; it said {scene.proc.err}")
    scene.proc.signal(signal.SIGCONT)  # if it was stopped
    if scene.large:
        assert daemon.run("cancel", str(scene.id("large"))).returncode == 0
        scene.large.wait()
    scene.end()


def test_an_array_says_how_many_of_its_elements_run(make_daemon, place):
    scene = Scene(make_daemon, place)
    gate = place.gate()
    array = scene.daemon.detach("-n", "t", "--array", "0-3%1", gate.line)
    scene.daemon.wait_id(f"{array}_0", "running")
    assert f"task {array} waits: 1 element of the array runs, as many as --array allows" in scene.daemon.why(array)
    assert scene.daemon.run("cancel", str(array), f"{array}_0").returncode == 0
    scene.daemon.run("wait", str(array))


def test_a_machine_that_thrashes_says_how_much(make_daemon, faults):
    faults.set_pressure(45.67)
    daemon = make_daemon(settings={"pressure_limit": "30%"}, env=faults.env)
    proc = daemon.queue("t")
    assert "programs waited for memory in 45.6 % of the last 10 seconds, more than 30.0 % (pressure_limit)" in daemon.task("t")["reason"]
    faults.set_pressure(0)
    assert proc.wait() == 0


def test_a_time_limit_says_when_it_may_start_at_the_latest(make_daemon, place):
    scene = Scene(make_daemon, place)
    scene.fill("--gpu", "0", "-t", "90m")
    scene.queue("--gpu", "0")
    text = scene.daemon.why(scene.id())
    found = re.search(r"^  may start at (\d\d:\d\d)(?: on .*)? or before, if\n    task (\d+) of (\S+) ends when its time limit is over$",
                      text, re.M)
    assert found, text
    assert (int(found[2]), found[3]) == (scene.id("filler"), USER)
    started = parse_time(scene.daemon.task("filler")["started_at"])
    assert found[1] in {time.strftime("%H:%M", time.localtime(started + 5400 + more)) for more in (-1, 0, 1)}, text
    start = scene.daemon.show(scene.id())["start"]
    assert (start["early_at"], start["about_at"]) == (None, None)
    assert abs(parse_time(start["late_at"]) - started - 5400) < 2
    assert start["rests_on"] == [{"task": scene.id("filler"), "uid": os.geteuid(), "runs": 0, "of_same": False}]
    scene.end()


def test_runs_of_the_same_say_when_it_may_start(make_daemon, place):
    scene = Scene(make_daemon, place)
    gate = place.gate()
    runs = [scene.daemon.popen("run", "-n", "first", "-c", "1", gate.line)]
    scene.daemon.wait_started("first")
    gate.open()
    assert runs[0].wait() == 0
    scene.fill("--gpu", "0")
    scene.queue("--gpu", "0")
    text = scene.daemon.why(scene.id())
    assert re.search(r"^  may start about \d\d:\d\d", text, re.M), text
    assert f"    task {scene.id('filler')} of {USER} takes as long as the last run of " in text, text
    start = scene.daemon.show(scene.id())["start"]
    times = [parse_time(start[key]) for key in ("early_at", "about_at", "late_at")]
    assert times == sorted(times) and start["rests_on"][0]["runs"] == 1
    scene.end()


def test_where_nothing_is_known_no_start_is_told(make_daemon, place):
    scene = Scene(make_daemon, place)
    scene.fill("--gpu", "0")
    scene.queue("--gpu", "0")
    assert "may start" not in scene.daemon.why(scene.id())
    assert scene.daemon.show(scene.id())["start"] is None
    scene.end()
