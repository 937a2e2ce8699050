# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of AMD and Intel, and of several kinds: a test for each row of those tables in docs/gpu.md."""

import pathlib
import re
from typing import NamedTuple

import pytest

from harness import GIB, wait_until

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "gpu.md"
OK, UNKNOWN, LOST = "ok", "unknown", "lost"
A, B = "0000:03:00.0", "0000:43:00.0"
SCREEN = "0000:00:02.0"  # where Intel's processors have theirs
UUID = "e3f1a2b3c4d5e6f7"
ENV = "echo $TASKFLOW_GPUS $CUDA_VISIBLE_DEVICES/$ROCR_VISIBLE_DEVICES/$ZE_AFFINITY_MASK"


class Case(NamedTuple):
    """How it is from the start."""

    name: str  # as in docs/gpu.md
    make: object  # what makes the cards, of a Sysfs
    ids: list  # of the GPUs that are shown
    states: list
    nvidia: int = 0  # how many of them there are besides
    says: list = []  # `taskflow status`
    keys: dict = {}  # of the first GPU in JSON
    runs: list = []  # (what to ask for, status, what stderr says), now or never
    env: list = []  # (what to ask for, what the command sees when it is pinned)


def cards(*calls):
    """Makes cards: each call is a Sysfs method's name and what it is given."""

    def make(sysfs):
        for name, args, files in calls:
            getattr(sysfs, name)(*args, **files)

    return make


def call(name, *args, **files):
    return name, args, files


CASES = [
    Case("cards of AMD", cards(call("amd", A, unique_id=UUID, product_name="Radeon PRO"), call("amd", B, used=20 * GIB)),
         ["0", "1"], [OK, OK], says=["GPU 0 24G", "Radeon PRO", "GPU 1 24G 20G"],
         keys={"kind": "amd", "uuid": f"GPU-{UUID}", "total_bytes": 24 * GIB, "used_bytes": 0},
         runs=[("0:20G", 0, ""), ("1:10G", 125, "GPU 1"), ("2", 125, "there is no GPU '2'"), ("amd:0:1G", 0, ""), ("0:99G", 125, "24G in all")],
         env=[("0:1G", f"0 /GPU-{UUID}/")]),
    Case("a card without a unique id", cards(call("amd", A)), ["0"], [OK], keys={"uuid": "PCI-0000.03.00.0"},
         env=[("any:1G", "0 /0/")]),
    Case("no compute driver", cards(call("amd", A)), ["0"], [OK],
         says=["the driver does not tell what each program uses of it"], keys={"processes_known": False},
         runs=[("any:20G", 0, "")]),
    Case("memory that AMD's driver does not tell", cards(call("card", A, "0x1002", "amdgpu", mem_info_vram_total="odd")),
         ["0"], [UNKNOWN], says=["unknown: the driver does not tell its memory"], runs=[("0:1G", 125, "does not answer")]),
    Case("a card with another driver", cards(call("card", A, "0x1002", "vfio-pci")), [], [],
         runs=[("any", 125, "this machine has no GPU")]),
    Case("a card of AMD that is split (MI300)",
         cards(call("amd", A, total="192G", unique_id=UUID, current_compute_partition="DPX"), call("amd", B),
               call("node", 1, 11, A), call("node", 2, 12, A, part=1), call("node", 3, 13, B)),
         ["0", "1", "2"], [OK] * 3, says=["GPU 0 - - - -", "partition 2 of a GPU that is split by DPX", "GPU 2 24G"],
         keys={"whole_only": True, "total_bytes": None, "uuid": "PCI-0000.03.00.0-1"},
         runs=[("0", 0, ""), ("0:1G", 125, "it is given out whole ('--gpu 0')"), ("any:1G", 0, ""), ("2:20G", 0, "")],
         env=[("1", "1 /1/"), ("2:1G", "2 /2/")]),
    Case("a GPU in AMD's processor (APU)", cards(call("apu", A)), ["0"], [OK], says=["its memory is the machine's RAM"],
         keys={"shares_ram": True}, runs=[("0:1M", 0, ""), ("0:1P", 125, "which shares the machine's RAM"), ("0", 0, "")]),
    Case("a GPU in the processor beside a card", cards(call("amd", A), call("intel", SCREEN, "i915"), call("apu", B)),
         ["0"], [OK], keys={"uuid": "PCI-0000.03.00.0"}, runs=[("1", 125, "there is no GPU '1'")]),
    Case("cards of Intel", cards(call("intel", A), call("intel", B)), ["0", "1"], [OK, OK],
         says=["GPU 0 - - - -", "given out whole"], keys={"kind": "intel", "whole_only": True, "total_bytes": None, "free_bytes": None},
         runs=[("0", 0, ""), ("0:1G", 125, "it is given out whole ('--gpu 0')"), ("any:1G", 125, "none has that much"), ("any", 0, "")],
         env=[("1", "1 //1")]),
    Case("Intel's processor alone", cards(call("intel", SCREEN, "i915")), ["0"], [OK], runs=[("any", 0, "")]),
    Case("cards of several kinds", cards(call("amd", A), call("intel", B)), ["nvidia:0", "nvidia:1", "amd:0", "intel:0"],
         [OK] * 4, nvidia=2, says=["GPU nvidia:0 24G", "GPU amd:0 24G"], keys={"id": "nvidia:0", "kind": "nvidia", "index": 0},
         runs=[("amd:1", 125, "there is no GPU 'amd:1' here; there is GPU nvidia:0"), ("amd:0:99G", 125, "GPU amd:0"),
               ("intel:0:1G", 125, "('--gpu intel:0')")],
         env=[("1:1G", "nvidia:1 GPU-12b4e6a1-1f3e-4f6b-9d0a-0a6b7c8d9e01//"), ("amd:0:1G", "amd:0 /0/"),
              ("any", "nvidia:0 GPU-11d2a6c0-0f3e-4f6b-9d0a-0a6b7c8d9e00//"), ("amd:any:1G", "amd:0 /0/"),
              ("intel:any", "intel:0 //0")]),
]


@pytest.fixture
def make_machine(make_daemon, make_gpus, sysfs):
    """A daemon that sees these cards, and as many of NVIDIA."""

    def make(cards, nvidia=0):
        gpus = make_gpus(n=nvidia)
        cards(sysfs)
        daemon = make_daemon(env={**gpus.env, **sysfs.env})
        daemon.env.update(gpus.env)
        return daemon, gpus

    return make


def look(daemon):
    """Makes the daemon look at the GPUs: how they are then."""
    daemon.run("run", "--dry-run", "--gpu", "any", "true")
    return daemon.status()["gpus"]


def until(daemon, predicate, what):
    return wait_until(lambda: predicate(look(daemon)), what)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_there_is_from_the_start(make_machine, case):
    daemon, _ = make_machine(case.make, nvidia=case.nvidia)
    shown = look(daemon)
    assert [(gpu["id"], gpu["state"]) for gpu in shown] == list(zip(case.ids, case.states))
    if shown:
        assert {key: shown[0][key] for key in case.keys} == case.keys
    text = " ".join(daemon.run("status").stdout.split())
    for words in case.says:
        assert words in text
    for word, status, words in case.runs:
        done = daemon.run("run", "-w", "0", "--gpu", word, "true")
        assert (done.returncode, words in done.stderr) == (status, True), (word, done.stderr)
    for word, seen in case.env:
        done = daemon.run("run", "-d", "0", "--pin", "--gpu", word, ENV)
        assert (done.returncode, done.stdout.strip()) == (0, seen), (word, done.stderr)


CHANGES = {}


def change(name):
    """A test of what docs/gpu.md calls by that name."""

    def note(function):
        CHANGES[name] = function
        return function

    return note


@change("what each process has")
def test_memory_is_counted_as_its_task_s(make_machine, sysfs):
    daemon, _ = make_machine(cards(call("amd", A), call("node", 1, 4711, A)))
    proc, gate = daemon.start("t", "--gpu", "0:10G")
    sysfs.holds(daemon.task("t")["pid"], 4711, 7 * GIB)
    sysfs.say_of(A, mem_info_vram_used=7 * GIB)
    until(daemon, lambda gpus: daemon.task("t")["used"]["gpus"] == [{"index": 0, "bytes": 7 * GIB}], "it is seen")
    assert look(daemon)[0]["promised_bytes"] == 3 * GIB
    gate.open()
    assert proc.wait() == 0


@change("a program that only draws")
def test_what_draws_is_listed_as_well(make_machine, sysfs):
    daemon, _ = make_machine(cards(call("amd", A), call("node", 1, 4711, A)))
    proc, gate = daemon.start("t", "--gpu", "0:10G")
    sysfs.draws(1, A, 2 * GIB)
    sysfs.draws(daemon.task("t")["pid"], A, 3 * GIB)
    sysfs.say_of(A, mem_info_vram_used=5 * GIB)
    until(daemon, lambda gpus: daemon.task("t")["used"]["gpus"] == [{"index": 0, "bytes": 3 * GIB}], "it is seen")
    assert re.search(r"^GPU 0 +2G +\S+ +1 ", daemon.run("status").stdout, re.MULTILINE), "who else holds some"
    gate.open()
    assert proc.wait() == 0


@change("a card of AMD goes")
def test_a_card_that_goes_is_lost(make_machine, sysfs):
    daemon, _ = make_machine(cards(call("amd", A), call("amd", B)))
    assert [gpu["state"] for gpu in look(daemon)] == [OK, OK]
    sysfs.remove(B)
    until(daemon, lambda gpus: [gpu["state"] for gpu in gpus] == [OK, LOST], "it is lost")
    assert daemon.run("run", "-w", "0", "--gpu", "any:1G", "true").returncode == 0


@change("NVIDIA's driver fails beside a card of AMD")
def test_one_driver_that_fails_takes_no_other_with_it(make_machine):
    daemon, gpus = make_machine(cards(call("amd", A), call("intel", SCREEN)), nvidia=1)
    assert [gpu["id"] for gpu in look(daemon)] == ["nvidia:0", "amd:0"]
    gpus.say("error * 18", "init 18")
    until(daemon, lambda shown: [gpu["state"] for gpu in shown] == [UNKNOWN, OK], "it is unknown")
    assert "reboot or reload it" in daemon.run("status").stdout
    assert re.search(r"GPU nvidia:0 \(.*\) does not answer: .* reboot or reload it", daemon.run("doctor").stdout)
    assert daemon.run("run", "-w", "0", "--gpu", "amd:0:1G", "true").returncode == 0
    assert daemon.run("run", "-w", "0", "--gpu", "0:1G", "true").returncode == 125
    daemon.restart()
    shown = until(daemon, lambda shown: shown[0]["state"] == UNKNOWN and shown, "what it had is not forgotten")
    assert [gpu["id"] for gpu in shown] == ["nvidia:0", "amd:0"]


@change("a whole GPU of Intel is held")
def test_a_gpu_that_is_given_out_whole_has_one_task(make_machine):
    daemon, _ = make_machine(cards(call("intel", A)))
    proc, gate = daemon.start("t", "--gpu", "any")
    done = daemon.run("run", "-w", "0", "--gpu", "0", "true")
    assert (done.returncode, "task 1" in done.stderr) == (125, True), done.stderr
    assert "1, which answer; the memory of 1 can't be measured" in daemon.run("doctor").stdout
    gate.open()
    assert proc.wait() == 0


def test_a_slow_disk_makes_no_figures_old(make_daemon, make_gpus, sysfs, faults):
    """Its first task makes the daemon write down which ids are taken."""
    sysfs.amd(A)
    daemon = make_daemon(env={**make_gpus(n=0).env, **sysfs.env, **faults.env})
    look(daemon)
    faults.slow_syncs(200)
    done = daemon.run("run", "-w", "0", "--gpu", "any:1G", "true")
    assert done.returncode == 0, done.stderr


def test_the_tables_of_the_documentation_have_the_same_rows():
    text = DOCS.read_text().split("\n## AMD and Intel\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ", text, re.MULTILINE)
    assert sorted(row for row in rows if row != "case") == sorted([case.name for case in CASES] + list(CHANGES))
