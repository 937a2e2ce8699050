# SPDX-License-Identifier: GPL-3.0-or-later
"""taskflow-sim: what it prints of a workload, and what it says of files that are none."""

import csv
import datetime
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from harness import SIM

JOBS = pathlib.Path(__file__).parents[1] / "data" / "traces" / "tiresias-60.csv"
SCHEDULERS = ["taskflow", "fcfs", "first-fit", "easy", "sjf"]

# One holds a GPU for 10 minutes, one needs both, one of five and one of thirty minutes need one; a minute from one to the next.
WIDE = """job_id,num_gpu,submit_time,iterations,duration
0,1,0,1,600
1,2,60,1,600
2,1,120,1,300
3,1,180,1,1800
"""


def sim(*args, stdin=None, **kwargs):
    return subprocess.run(
        [SIM, *map(os.fspath, args)], input=stdin, capture_output=True, text=True, timeout=300, check=False, **kwargs
    )


def rows(*args, **kwargs):
    """What --csv prints, a dict for each run."""
    done = sim("--csv", *args, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout), strict=True))


def test_each_scheduler_decides_in_its_own_way():
    by_name = {row["scheduler"]: row for row in rows("-g", "2x10G", "-s", "all", "--estimates", "1", "-", stdin=WIDE)}
    assert list(by_name) == SCHEDULERS
    minutes = {name: round(float(row["wait_mean_seconds"]) * 4 / 60) for name, row in by_name.items()}
    # Nobody overtakes: 0, 9, 18 and 17 minutes. EASY lets the short one go ahead: 0, 9, 0, 17.
    assert minutes["fcfs"] == 44
    assert minutes["easy"] == 26
    # First fit, without room kept: 0, 36, 0 and 4. The longest run is from 7:00 to 37:00, and the wide one comes last.
    assert minutes["first-fit"] == 40
    assert round(float(by_name["fcfs"]["makespan_seconds"])) == 50 * 60
    assert float(by_name["fcfs"]["gpus_used"]) == pytest.approx(65 / 100)
    assert {row["out_of_memory"] for row in by_name.values()} == {"0"}


def test_a_seed_gives_the_same_once_more():
    args = ("-g", "4x24G", "--jitter", "10m", "--error", "50%", "--outside", "20", "--seeds", "3", "-s", "all", JOBS)

    def figures():
        found = rows(*args)
        assert [(row["scheduler"], row["seed"]) for row in found] == [
            (name, seed) for seed in "123" for name in SCHEDULERS
        ]
        return [{key: value for key, value in row.items() if not key.startswith("decision")} for row in found]

    first = figures()
    assert figures() == first
    assert len({row["wait_mean_seconds"] for row in first if row["scheduler"] == "fcfs"}) == 3


def test_settings_are_compared(tmp_path):
    """A second task on a GPU has to wait until the first has taken what it asked for, or for its delay."""
    short, long = tmp_path / "short.conf", tmp_path / "long.conf"
    short.write_text("[taskflow]\ndefault_delay = 1m\n")
    long.write_text("[taskflow]\ndefault_delay = 20m\n")
    trace = (
        "cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n"
        "1000,1024,1,400,0,7200,0\n"
        "1000,1024,1,400,0,7200,0\n"
    )
    found = rows("-g", "24G", "--ramp", "1h", "--seed", "3", "--config", short, "--config", long, "-", stdin=trace)
    assert [row["scheduler"] for row in found] == ["short.conf", "long.conf"]
    # The look that ends the wait is up to a second late.
    waits = [float(row["wait_max_seconds"]) for row in found]
    assert 60 <= waits[0] <= 62 and 600 < waits[1] <= 1202


def test_settings_that_are_wrong_are_refused(tmp_path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text("[taskflow]\npatienc = 1m\n")
    done = sim("-g", "24G", "--config", wrong, JOBS)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"taskflow-sim: '{wrong}' line 2: unknown key 'patienc'"), done.stderr
    done = sim("-g", "24G", "--config", tmp_path / "none.conf", JOBS)
    assert done.returncode == 1 and "none.conf" in done.stderr


# What changes how a busy day goes, and to what; and what the simulation has no use for.
PLANNING = {
    "default_delay": "5m",
    "delay_mode": "strict",
    "ample_factor": "1",
    "unfilled": "delay",
    "reserved_memory": "20G",
    "reserved_gpu_memory": "5G",
    "sample_interval": "30s",
    "order": "fifo",
    "share_half_life": "10m",
    "weights": "12:5, 13:0.2",
    "patience": "never",
    "keep_max": "1m",
    "priority_limit": "0",
    "priority_age": "1m",
    "max_delay": "1s",
    "whole_gpu_used": "60%",
    "gpus": "0",
    "gpu_pick": "pack",
    "max_pending_per_user": "3",
    "max_running_per_user": "1",
    "max_memory_per_user": "10G, 12:none",
    "max_gpus_per_user": "1",
    "max_gpu_memory_per_user": "12G",
    "max_time": "2h",
}
OTHER = {
    "pressure_limit": "1%",
    "idle_exit": "1m",
    "pin_gpus": "never",
    "nvml_library": "none.so",
    "admins": "root, 0",
    "allow_users": "root",
    "deny_users": "11",
    "client_timeout": "5s",
    "show_commands": "owner",
    "history_days": "1",
    "log_limit": "1M",
    "log_days": "1",
}


@pytest.fixture(scope="module", name="busy_day")
def fixture_busy_day(tmp_path_factory):
    """A history of tasks of each kind, of four users, and its figures with the settings as they are."""
    trace = tmp_path_factory.mktemp("busy") / "day.csv"
    columns = "submitted_at started_at ended_at uid priority memory_bytes gpus delay_seconds delay_given time_limit_seconds"
    lines = [columns.replace(" ", ",")]
    gib = 1 << 30
    kinds = ["any:{0}", "any:all", "", "{1}:{2}", "any:all any:all"]
    for i in range(160):
        begin, took = i * 150, 300 + i * 7919 % 2700
        came, gone = (datetime.datetime(2026, 1, 5) + datetime.timedelta(seconds=at) for at in (begin, begin + took))
        came, gone = (f"{at:%Y-%m-%dT%H:%M:%S}.000Z" for at in (came, gone))
        gpus = kinds[0 if i % 3 else i // 3 % 5].format((3 + i % 9) * gib, i % 2, 8 * gib)
        delay = (240, 1) if i % 10 == 0 else (60, 0)
        limit = "" if i % 2 else took + 600
        row = [came, came, gone, 11 + i % 7 % 4, 90 + i % 11 // 9 * 10, (2 + i % 13) * gib, gpus, *delay, limit]
        lines.append(",".join(map(str, row)))
    trace.write_text("\n".join(lines) + "\n")
    return trace


def busy_figures(trace, folder, text):
    config = folder / "tried.conf"
    config.write_text(f"[taskflow]\n{text}\n")
    args = ("-m", "64G", "-g", "2x20G", "--ramp", "5m", "--outside", "15", "--error", "30")
    (row,) = rows(*args, "--config", config, trace)
    return {key: value for key, value in row.items() if not key.startswith("decision")}


@pytest.mark.parametrize("key", PLANNING)
def test_a_setting_that_decides_who_may_start_acts(key, busy_day, tmp_path):
    as_it_is = busy_figures(busy_day, tmp_path, "")
    assert as_it_is["refused"] == "0"
    assert busy_figures(busy_day, tmp_path, f"{key} = {PLANNING[key]}") != as_it_is


def test_other_settings_are_taken_and_change_nothing(busy_day, tmp_path):
    as_it_is = busy_figures(busy_day, tmp_path, "")
    assert busy_figures(busy_day, tmp_path, "\n".join(f"{key} = {value}" for key, value in OTHER.items())) == as_it_is


def test_of_each_setting_it_is_known_whether_it_acts():
    example = pathlib.Path(__file__).parents[2] / "dist" / "taskflow.conf"
    keys = re.findall(r"^#([a-z_]+) = ", example.read_text().split("#[tokens]")[0], re.M)
    assert sorted(keys) == sorted([*PLANNING, *OTHER])


def test_the_table_is_for_people():
    done = sim("-g", "8x24G", "-s", "taskflow,fcfs", "--seeds", "3", "--jitter", "1m", JOBS)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"tiresias-60\.csv: 60 tasks of 10 users, load \d\.\d\d, 3 seeds", lines[0])
    assert lines[2].split() == ["taskflow", "fcfs"]
    for label in ("wait, mean", "slowdown, mean", "GPUs used", "makespan", "fairness (Jain)", "ran out of memory"):
        assert any(line.startswith(label) for line in lines), label
    # Below each figure, the least and the most.
    assert re.fullmatch(r" +\S+\.\.\S+ +\S+\.\.\S+", lines[4]), lines[4]


def test_a_chart_is_a_script_of_gnuplot(tmp_path):
    chart = tmp_path / "it's.gp"
    done = sim("-g", "2x10G", "-s", "fcfs", "--gantt", chart, "-", stdin=WIDE)
    assert (done.returncode, done.stderr) == (0, "")
    text = chart.read_text()
    bars = re.search(r"\$tasks << EOD\n(.*?)EOD\n", text, re.S)[1].splitlines()
    assert sorted(int(bar.split()[0]) for bar in bars) == [0, 1, 1, 2, 3]
    assert '"GPU 1" 2.5' in text
    if shutil.which("gnuplot"):
        drawn = subprocess.run(
            ["gnuplot", "-e", "set terminal svg", chart], capture_output=True, text=True, timeout=60, check=False
        )
        assert drawn.returncode == 0 and "</svg>" in drawn.stdout, drawn.stderr


def test_a_chart_is_of_one_run(tmp_path):
    for more in (["--seeds", "2"], ["-s", "fcfs,sjf"]):
        done = sim("-g", "2x10G", "--gantt", tmp_path / "chart", *more, JOBS)
        assert done.returncode == 2 and "one run" in done.stderr
    done = sim("-g", "8x10G", "--gantt", tmp_path / "none" / "chart", JOBS)
    assert done.returncode == 1 and "No such file" in done.stderr


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "'-' is empty"),
        ("name,age\nx,1\n", "'-' is no trace: neither of taskflow's history, nor of openb, Tiresias or SWF"),
        ('num_gpu,submit_time,iterations,duration\n1,0,1,"5\n', "'-' line 2: a quote is not closed"),
        ("num_gpu,submit_time,iterations,duration\n1,0,1,-5\n", "'-' line 2: '-5' is no time in seconds"),
        ("num_gpu,submit_time,iterations,duration\n1,0,1,1e9\n", "'-' line 2: '1e9' is no time in seconds"),
        ("num_gpu,submit_time,iterations,duration\n99999999999,0,1,5\n", "'-' line 2: '99999999999' is no number of GPUs"),
        ("num_gpu,submit_time,iterations\n1,0,1\n", "'-' has no column 'duration'"),
        ("num_gpu,submit_time,iterations,duration\n", "'-' has no task that ran, or none that is left"),
        ("1 2 3\n", "'-' line 1: there are 3 numbers, not 18"),
        ("submitted_at,started_at,ended_at\nnow,now,now\n", "'-' line 2: 'now' is no time, such as 2026-01-31T10:00:00.123Z"),
        ("\x1b]0;evil\x07,gpu_milli\n", "'-' has no column 'cpu_milli'"),
    ],
)
def test_what_is_no_trace_is_refused(text, why):
    done = sim("-g", "2x10G", "-", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"taskflow-sim: {why}\n")


def test_what_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        done = sim("-g", "2x10G", path)
        assert done.returncode == 1
        assert done.stderr.startswith(f"taskflow-sim: cannot read '{path}': "), done.stderr


def test_an_escape_in_a_trace_does_not_reach_the_terminal():
    done = sim("-g", "2x10G", "-", stdin="num_gpu,submit_time,iterations,duration\n1,0,1,\x1b[31m\n")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a", "b"],
        ["--load", "0", "x"],
        ["--load", "-1", "x"],
        ["--error", "101", "x"],
        ["-g", "65x10G", "x"],
        ["-g", "0x10G", "x"],
        ["-g", "4xlarge", "x"],
        ["-m", "0", "x"],
        ["-s", "lottery", "x"],
        ["--format", "xml", "x"],
        ["--estimates", "0.5", "x"],
        ["--seeds", "0", "x"],
        ["--completion", "tcsh"],
        ["--nonsense"],
    ],
)
def test_a_wrong_command_line_has_status_2(args):
    done = sim(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("taskflow-sim: ") and done.stderr.count("\n") == 1


def test_a_machine_without_gpus_is_told_of_those_that_are_wanted():
    done = sim(JOBS)
    assert done.returncode == 1 and "--gpus 4x24G" in done.stderr


def test_nowhere_to_print_to_is_a_failure():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SIM, "-g", "8x24G", JOBS], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert b"cannot write all of it to stdout" in done.stderr


def test_help_and_version():
    assert sim("--help").stdout.startswith("Usage: taskflow-sim ")
    assert re.fullmatch(r"taskflow-sim \d+\.\d+\.\d+.*\n", sim("-V").stdout)


def test_its_completion_knows_the_options(tmp_path):
    script = tmp_path / "sim.bash"
    script.write_text(sim("--completion", "bash").stdout)
    ask = 'source "$1"; COMP_WORDS=(taskflow-sim "$2" "$3"); COMP_CWORD=2; _taskflow_sim; echo "${COMPREPLY[@]}"'

    def words(before, start):
        done = subprocess.run(
            ["bash", "-c", ask, "bash", script, before, start], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    assert words("-n", "--sche") == []
    assert words("x", "--sche") == ["--scheduler"]
    assert words("--scheduler", "f") == ["fcfs", "first-fit"]
    assert words("--format", "") == ["history", "openb", "tiresias", "swf"]
    for shell in ("zsh", "fish"):
        text = sim("--completion", shell).stdout
        assert "scheduler" in text
        if shutil.which(shell):
            assert subprocess.run([shell, "-n"], input=text, text=True, timeout=60, check=False).returncode == 0


def test_a_month_of_openb_goes_better_than_with_easy():
    """docs/scheduling.md has all of it; here it is one seed, so that nobody makes it worse unawares."""
    args = ("-m", "512G", "-g", "8x24G", "--load", "0.9", "--jitter", "10m", "--with-time", "100", "-s", "taskflow,easy")
    ours, easy = rows(*args, JOBS.with_name("openb-gpu.csv"))
    assert ours["out_of_memory"] == "0"
    for column in ("wait_mean_seconds", "slowdown_mean"):
        assert float(ours[column]) <= float(easy[column]), column


def test_the_tables_of_the_manual_are_made(tmp_path):
    tool = pathlib.Path(__file__).parents[2] / "tools" / "sched-table.py"
    build = tmp_path / "build"
    build.mkdir()
    (build / "taskflow-sim").symlink_to(SIM)
    command = [sys.executable, "-B", tool, "--seeds", "2", "--workload", "tiresias", "--workload", "sweep"]

    def make(*more):
        return subprocess.run([*command, *more, build], capture_output=True, text=True, timeout=300, check=False)

    done = make()
    assert done.returncode == 0 and "72 of 72 runs, " in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith(("Tiresias; ", "A sweep ")) for line in lines) == 6
    body = [line.split(" | ") for line in lines if line.startswith(("| taskflow, ", "| FCFS |", "| SJF |"))]
    assert len(body) == 24 and {len(row) for row in body} == {8}
    assert sum("seed by seed: waits are " in line for line in lines) == 6

    # What one run printed is not made again, and what another program printed is not taken.
    runs = sorted((build / "sched-table").glob("*.csv"))
    assert len(runs) == 73  # and the sweep
    runs[0].unlink()
    made = {path: path.stat().st_mtime_ns for path in runs[1:] if path.name != "sweep.csv"}
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- made by make sched-table -->\nold\n<!-- the end of what make sched-table has made -->\nz\n")
    done = make("--into", page)
    assert done.returncode == 0 and done.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in made} == made and runs[0].exists()
    written = page.read_text()
    assert written.startswith("a\n<!-- made") and written.endswith("made -->\nz\n") and "old" not in written
    assert "\n".join(lines) in written
