# SPDX-License-Identifier: GPL-3.0-or-later
"""`taskflow history`: what has ended, for people, for other programs, and for taskflow-sim."""

import csv
import io
import json
import os
import pwd
import re
import subprocess

import pytest

from harness import GIB, MIB, SIM, TASK_KEYS, parse_time

NAMES = (
    "id,user,uid,state,exit_status,signal,priority,submitted_at,started_at,ended_at,memory_bytes,memory_peak_bytes,cpus,"
    "gpus,gpu_peaks,delay_seconds,delay_given,time_limit_seconds,detached,name,command,tokens"
).split(",")


def export(daemon, *args, **kwargs):
    """The rows of the CSV, as dicts; a reader that refuses what RFC 4180 does not allow."""
    done = daemon.run("history", "--export", *args, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.endswith("\n")
    reader = csv.DictReader(io.StringIO(done.stdout, newline=""), strict=True)
    rows = list(reader)
    assert reader.fieldnames == NAMES
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def run(daemon, *args):
    return daemon.run("run", *args).returncode


@pytest.fixture
def lived(daemon):
    """A daemon with one task that waits, and three that have ended."""
    assert run(daemon, "-n", "good", "-m", "64M", "-t", "1h", "true") == 0
    assert run(daemon, "-n", "bad", "-d", "5s", "-p", "low", "sh", "-c", "exit 3") == 3
    assert run(daemon, "-n", "shot", "sh", "-c", "kill -9 $$") == -9
    daemon.fill()
    daemon.queue("waits", "-c", "1")
    return daemon


def test_it_lists_what_has_ended_the_last_first(lived):
    done = lived.run("history")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ID", "USER", "STATE", "STATUS", "ENDED", "WAITED", "RAN", "NEEDS", "PEAK", "NAME/COMMAND"]
    assert [line.split()[-1] for line in lines[1:]] == ["shot", "bad", "good"]
    assert [line.split()[2] for line in lines[1:]] == ["failed", "failed", "done"]
    assert "\x1b" not in done.stdout
    assert len(lived.run("history", "-n", "2").stdout.splitlines()) == 3
    assert len(lived.run("history", "-n", "0").stdout.splitlines()) == 1
    assert len(lived.run("history", "-u", "nobody").stdout.splitlines()) == 1
    assert len(lived.run("history", "-u", pwd.getpwuid(os.getuid()).pw_name, "--since", "1h").stdout.splitlines()) == 4
    assert len(lived.run("history", "--since", "0").stdout.splitlines()) == 1


def test_csv_says_what_show_says(lived):
    rows = export(lived)
    assert [row["name"] for row in rows] == ["shot", "bad", "good"]
    for row in rows:
        task = lived.show(row["id"])
        assert (int(row["uid"]), row["user"], row["state"]) == (task["uid"], task["user"], task["state"])
        for key in ("submitted_at", "started_at", "ended_at", "command"):
            assert row[key] == task[key], key
        assert int(row["memory_bytes"]) == task["needs"]["memory_bytes"]
        assert float(row["delay_seconds"]) == task["delay_seconds"]
        assert parse_time(row["submitted_at"]) <= parse_time(row["started_at"]) <= parse_time(row["ended_at"])
    shot, bad, good = rows
    assert (good["exit_status"], good["signal"], good["memory_bytes"]) == ("0", "", str(64 * MIB))
    assert (good["time_limit_seconds"], good["delay_given"], good["priority"]) == ("3600.000", "0", "100")
    assert (bad["exit_status"], bad["delay_seconds"], bad["delay_given"], bad["priority"]) == ("3", "5.000", "1", "0")
    assert (shot["exit_status"], shot["signal"], shot["time_limit_seconds"]) == ("", "9", "inf")
    assert (good["gpus"], good["gpu_peaks"], good["cpus"], good["detached"]) == ("", "", "0", "0")


def test_json_is_a_line_for_each(lived):
    done = lived.run("history", "--export=json")
    assert done.returncode == 0
    tasks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [task["name"] for task in tasks] == ["shot", "bad", "good"]
    assert all(TASK_KEYS <= set(task) for task in tasks)


def test_any_command_is_one_line(daemon):
    nasty = 'a"b,c\n\x1b[31m;\r=1+1'
    assert run(daemon, "-n", nasty, "--", "sh", "-c", "true", nasty) == 0
    done = daemon.run("history", "--export")
    assert done.stdout.count("\n") == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout)
    (row,) = export(daemon)
    assert row["name"].startswith('a"b,c') and '"' in row["command"]


def test_gpus_are_told_as_they_were_asked_for(gpu_daemon):
    assert run(gpu_daemon, "--gpu", "any:10G", "--gpu", "1", "true") == 0
    (row,) = export(gpu_daemon)
    assert row["gpus"] == f"any:{10 * GIB} 1:all"
    assert len(row["gpu_peaks"].split(" ")) == 2


def test_each_element_of_an_array_is_a_row(daemon):
    task_id = daemon.detach("--array", "1-3", "true")
    assert daemon.run("wait", str(task_id)).returncode == 0
    assert sorted(row["id"] for row in export(daemon)) == [f"{task_id}_{i}" for i in (1, 2, 3)]
    assert {row["detached"] for row in export(daemon)} == {"1"}


def test_others_commands_are_hidden_where_the_settings_say_so(make_shared):
    shared = make_shared(settings={"show_commands": "owner"})
    assert shared.daemon.run("run", "-n", "mine", "true", user=shared.alice).returncode == 0
    (row,) = export(shared.daemon, user=shared.bob)
    assert (row["user"], row["name"], row["command"]) == (shared.alice.name, "", "")
    (row,) = export(shared.daemon, user=shared.alice)
    assert (row["name"], row["command"]) == ("mine", "true")


def test_what_is_exported_can_be_replayed(gpu_daemon):
    for i in range(5):
        assert run(gpu_daemon, "--gpu", f"any:{i + 1}G", "-m", "10M", "sleep", "0.01") == 0
    exported = gpu_daemon.run("history", "--export").stdout
    done = subprocess.run(
        [SIM, "-m", "64G", "-g", "2x24G", "--csv", "-"], input=exported, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["scheduler"], row["refused"], row["out_of_memory"]) == ("taskflow", "0", "0")
    assert 0 < float(row["makespan_seconds"]) < 120


def test_wrong_words_have_status_2(daemon):
    for args in (["--export=xml"], ["--since", "soon"], ["-n", "-1"], ["-u", "no-such-user-here"], ["more"]):
        done = daemon.run("history", *args)
        assert done.returncode == 2 and done.stdout == "", args


def test_without_a_daemon_it_is_status_3(daemon):
    daemon.stop()
    done = daemon.run("history")
    assert done.returncode == 3
    assert daemon.run("history", "--export").returncode == 3
