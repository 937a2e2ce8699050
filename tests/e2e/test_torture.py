# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of `make torture`: two rounds whose seeds are always the same. And that its judge sees what is wrong."""

import os
import pathlib
import signal
import subprocess
import sys

import harness
import pytest

TORTURE = pathlib.Path(__file__).resolve().parents[1] / "torture" / "torture.py"
sys.path.append(os.fspath(TORTURE.parent))
from judge import Journal, Judge, Wanted  # noqa: E402  # pylint: disable=wrong-import-position

DEADLINE = 300

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)


def test_whatever_dies_each_detached_task_runs_once_or_is_lost_with_a_reason():
    """One round with a personal daemon, and one with another one and two reboots."""
    env = {**os.environ, "TASKFLOW": harness.TASKFLOW, "TASKFLOWD": harness.TASKFLOWD}
    torture = subprocess.Popen(
        [sys.executable, TORTURE, "--seed", "7", "--seeds", "2", "--jobs", "2", "--acts", "70"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
        start_new_session=True,
    )
    try:
        out, _ = torture.communicate(timeout=DEADLINE)
    finally:
        if torture.poll() is None:
            os.killpg(torture.pid, signal.SIGTERM)
            torture.wait()
    assert torture.returncode == 0, out
    assert out.endswith("seeds 7 to 8:\n2 passed, 0 failed\n"), out


# The judge


def wanted(name, ids, accepted, **options):
    options = {"cpus": 2, "priority": 100, "requeue": False, **options}
    return Wanted(name, options, ids=ids, submitted=accepted - 1, accepted=accepted, after=options.pop("after", []))


SUBMITTED = "2026-01-01T00:00:00.000Z"


def task(task_id, name, state="done", status=0, index=None, reason=None, started=SUBMITTED):
    return {
        "id": task_id, "index": index, "state": state, "exit_status": status, "signal": None, "reason": reason,
        "command": f"/x/work.sh /j {name} 0 0 0", "retries": {"max": 0, "used": 0}, "submitted_at": SUBMITTED,
        "started_at": started, "array": None,
    }


FIRST = ["* submit s1", "* accepted s1 1", "* submit s2", "* accepted s2 2"]
GOOD = [*FIRST, "begin s1 1 50 40", "end s1 1 50 0", "begin s2 2 51 40", "end s2 2 51 0"]


def judge(lines, tasks=None, arrays=None, **more):
    asked = more.get("asked") or [wanted("s1", [1], 2), wanted("s2", [2], 4)]
    tasks = tasks or [task(1, "s1"), task(2, "s2")]
    return " / ".join(Judge(Journal(lines), {w.name: w for w in asked}, tasks, arrays or {}, 2).judge())


def test_the_judge_has_nothing_against_what_is_right():
    assert judge(GOOD) == ""


@pytest.mark.parametrize(
    "lines, tasks, words",
    [
        (GOOD + ["begin s1 1 60 40", "end s1 1 60 0"], None, "ran 2 times"),
        (GOOD, [task(1, "s1")], "not on record"),
        (FIRST, None, "did not run to its end"),
        (GOOD, [task(1, "s1", "failed", 3), task(2, "s2")], "its command said 0"),
        (GOOD, [task(1, "s1", "running"), task(2, "s2")], "is not over"),
        (GOOD, [task(1, "s1", "lost", None, reason="x"), task(2, "s2")], "0 keepers were killed"),
        (GOOD, [task(1, "s1", "cancelled"), task(2, "s2")], "without a reason"),
        (GOOD, [task(1, "s1"), task(2, "s2"), task(3, "s2")], "submitted once"),
        (FIRST + ["* cancel 1", "* cancelled 1"] + GOOD[4:], None, "says more in lines"),
        (GOOD[:4] + GOOD[6:] + GOOD[4:6], None, "behind"),
        (FIRST + [GOOD[4], GOOD[6], GOOD[5], GOOD[7]], None, "tasks with 4 cores run at once"),
        (GOOD + ["begin s1"], None, "strange"),
    ],
)
def test_the_judge_sees(lines, tasks, words):
    lines = [*lines[:4], "begin s0 9 1 1", "end s0 9 1 0", *lines[4:]] if words == "behind" else lines
    asked = [wanted("s0", [9], 2)] if words == "behind" else []
    tasks = (tasks or [task(1, "s1"), task(2, "s2")]) + [task(9, "s0")] * bool(asked)
    asked += [wanted("s1", [1], 2), wanted("s2", [2], 4)]
    assert words in judge(lines, tasks, asked=asked)


def test_the_judge_sees_ids_that_fall():
    assert "and is 1" in judge(GOOD, asked=[wanted("s1", [2], 2), wanted("s2", [1], 4)])


def test_the_judge_sees_a_start_before_its_time():
    asked = [wanted("s1", [1], 2), wanted("s2", [2], 4, after=[(1, False)])]
    assert judge(GOOD, asked=asked) == ""
    assert "before 1 had ended" in judge(FIRST + GOOD[6:] + GOOD[4:6], asked=asked)
    assert "after success of 1" in judge(
        [line.replace("1 50 0", "1 50 3") for line in GOOD], [task(1, "s1", "failed", 3), task(2, "s2")], asked=asked
    )


@pytest.mark.parametrize(
    "cpus, started, words",
    [
        (1, [10, 20, 30], ""),
        (1, [50, 10, 40], ""),  # it stood in a row, next to which two were started
        (2, [50, 10, 60], "task 2 was started 40 ms before 1"),  # where there is only one row
        (1, [900, 10, 400], "task 3 was started 500 ms before 1"),
    ],
)
def test_the_judge_sees_who_is_overtaken(cpus, started, words):
    names = ("s1", "s2", "s3")
    lines = [f"{what} {name} {i} 5{i} {last}" for i, name in enumerate(names, 1) for what, last in (("begin", 40), ("end", 0))]
    asked = [wanted(name, [i], 2 * i, cpus=cpus) for i, name in enumerate(names, 1)]
    tasks = [task(i, name, started=f"2026-01-01T00:00:00.{started[i - 1]:03}Z") for i, name in enumerate(names, 1)]
    assert judge(lines, tasks, asked=asked) == words


@pytest.mark.parametrize(
    "priorities, started, words",
    [
        ((100, 100, 200), 34, ""),  # the second stood in a row behind the first when the third came
        ((100, 100, 200), 300, "task 3 (priority 200) began in line 5, behind 2 (100) in line 3"),
        ((150, 100, 200), 34, "task 3 (priority 200) began in line 5, behind 2 (100) in line 3"),
    ],
)
def test_the_judge_sees_who_is_more_urgent(priorities, started, words):
    names = ("s1", "s2", "s3")
    lines = [f"{what} {name} {i} 5{i} {last}" for i, name in enumerate(names, 1) for what, last in (("begin", 40), ("end", 0))]
    asked = [wanted(name, [i], 0.1 * i, priority=p) for i, (name, p) in enumerate(zip(names, priorities), 1)]
    at = [f"2026-01-01T00:00:00.{ms:03}Z" for ms in (0, started, started + 10)]
    tasks = [task(i, name, started=at[i - 1]) for i, name in enumerate(names, 1)]
    assert judge(lines, tasks, asked=asked) == words


def test_the_judge_counts_the_elements_that_run():
    counts = {"done": 2, "failed": 0, "cancelled": 0, "timeout": 0, "lost": 0}
    asked = [wanted("s1", [1], 2, cpus=1, first=0, last=1, limit=1)]
    tasks = [task(1, "s1", index=0), task(1, "s1", index=1)]
    arrays = {"1": {"state": "done", "array": counts}}
    lines = ["begin s1 1_0 50 40", "end s1 1_0 50 0", "begin s1 1_1 51 40", "end s1 1_1 51 0"]
    assert judge(FIRST[:2] + lines, tasks, arrays, asked=asked) == ""
    swapped = [lines[0], lines[2], lines[1], lines[3]]
    assert "2 elements of array 1 run at once" in judge(FIRST[:2] + swapped, tasks, arrays, asked=asked)
    counts["done"] = 1
    assert "has 2 elements" in judge(FIRST[:2] + lines, tasks, arrays, asked=asked)
