# SPDX-License-Identifier: GPL-3.0-or-later
"""`-m auto` and `--gpu WHICH:auto`: the next run asks for what the last ones took."""

import subprocess

from harness import GIB, HOLD, MIB, wait_until
from test_gpu_use import refresh


def learn(daemon, faults, mib, gib, *args):
    """A run that is seen to hold so much, and by its clock takes a minute."""
    faults.set_clock(0)
    words = [HOLD, "ram", f"{mib}M", "gpu", "0", f"{gib}G", "stdin", "exit", "0"]
    proc = daemon.popen("run", "-n", "seen", "-d", "0", *args, "--", *words, stdin=subprocess.PIPE, env=faults.env)
    daemon.wait_started("seen")
    # While one waits for the GPU, those that run are looked at five times a second.
    waiting = daemon.popen("run", "-n", "waiting", "--gpu", "0", "true")

    def is_seen():
        refresh(daemon)
        peak = daemon.task("seen")["peak"]
        return (peak["memory_bytes"] or 0) >= mib * MIB and peak["gpus"] and peak["gpus"][0]["bytes"] == gib * GIB

    wait_until(is_seen, "what it holds is seen")
    faults.set_clock(60)
    proc.popen.stdin.close()
    assert (proc.wait(), waiting.wait()) == (0, 0)
    return daemon.task("seen")


def slept(daemon, faults, *args, **kwargs):
    """A run of cat that by its clock takes a minute."""
    faults.set_clock(0)
    proc = daemon.popen("run", "-n", "sleeper", *args, "cat", "-", stdin=subprocess.PIPE, env=faults.env, **kwargs)
    daemon.wait_started("sleeper")
    faults.set_clock(60)
    proc.popen.stdin.close()
    assert proc.wait() == 0


def next_run(daemon, *args):
    return daemon.run("run", "-n", "next", *args, "--", HOLD, "ram", "1M", "exit", "0")


def test_the_next_run_asks_for_a_fifth_more_than_was_taken(gpu_daemon, faults):
    daemon = gpu_daemon
    task = learn(daemon, faults, 40, 5, "--gpu", "0:20G", "-m", "500M")
    done = next_run(daemon, "-m", "auto", "--gpu", "any:auto")
    assert done.returncode == 0
    needs = daemon.task("next")["needs"]
    assert needs["gpus"] == [{"want": "any", "bytes": 6 * GIB}]
    peak = task["peak"]["memory_bytes"]
    assert 40 * MIB <= peak <= 60 * MIB
    assert needs["memory_bytes"] == -(-peak * 6 // 5 // MIB) * MIB
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("taskflow: -m auto: ") and lines[0].endswith(" at most")
    assert lines[1] == "taskflow: --gpu any:auto: 6G, because the last run of 'hold ram' took 5G at most"
    assert next_run(daemon, "-q", "-m", "auto").stderr == ""


def test_the_largest_of_the_last_runs_counts(gpu_daemon, faults):
    daemon = gpu_daemon
    learn(daemon, faults, 4, 5, "--gpu", "0:6G")
    learn(daemon, faults, 4, 2, "--gpu", "0:auto")
    done = next_run(daemon, "--dry-run", "--gpu", "0:auto")
    assert done.returncode == 0
    assert done.stderr == "taskflow: --gpu 0:auto: 6G, because the last 2 runs of 'hold ram' took 5G at most\n"


def test_detached_ones_learn_and_are_queued_with_sizes(gpu_daemon, faults, place):
    daemon = gpu_daemon
    learn(daemon, faults, 4, 5, "--gpu", "0:6G")
    task_id = daemon.detach("--gpu", "0:auto", HOLD, "ram", "1M", "exit", "0")
    assert daemon.show(task_id)["needs"]["gpus"] == [{"want": "0", "bytes": 6 * GIB}]
    lines = place.folder / "lines"
    lines.write_text(f"{HOLD} ram 1M exit 0\n{HOLD} ram 2M exit 0\n")
    done = daemon.run("submit", "--gpu", "0:auto", lines)
    assert done.returncode == 0, done.stderr
    for word in done.stdout.split():
        assert daemon.show(word)["needs"]["gpus"] == [{"want": "0", "bytes": 6 * GIB}]
    lines.write_text(f"{HOLD} ram 1M exit 0\nnever-seen\n")
    done = daemon.run("submit", "-q", "--gpu", "0:auto", lines)
    assert done.returncode == 125 and "line 2: auto: no run of 'never-seen' is remembered" in done.stderr


def test_without_a_history_it_is_refused(gpu_daemon, faults):
    daemon = gpu_daemon
    for args in (["-m", "auto"], ["--gpu", "any:auto"], ["-D", "-m", "auto"], ["--dry-run", "-m", "auto"]):
        done = daemon.run("run", *args, "true")
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr == (
            "taskflow: run: auto: no run of 'true' is remembered that succeeded and took 30 s or more; "
            "say a SIZE this time\n"
        )
    # One that was never on a GPU says nothing of what it takes there.
    slept(daemon, faults)
    done = daemon.run("run", "--gpu", "0:auto", "cat", "-")
    assert done.returncode == 125
    assert "--gpu 0:auto: it is not known of the last run of 'cat' what it took there" in done.stderr
    assert daemon.status()["tasks"]["pending"] == 0


def test_another_users_runs_are_not_mine(make_shared, faults):
    shared = make_shared()
    slept(shared.daemon, faults, "-m", "1M", user=shared.alice)
    done = shared.daemon.run("run", "-m", "auto", "cat", "-", user=shared.bob)
    assert done.returncode == 125 and "no run of 'cat' is remembered" in done.stderr
    done = shared.daemon.run("run", "-m", "auto", "cat", "-", user=shared.alice)
    assert "no run of" not in done.stderr and "the last run of 'cat'" in done.stderr


def test_a_task_file_may_say_auto(gpu_daemon, place):
    daemon = gpu_daemon
    path = place.folder / "t.task"
    assert daemon.run("run", "-m", "auto", "--gpu", "any:auto", "-s", path).returncode == 0
    assert "memory = auto\n" in path.read_text() and "gpu = any:auto\n" in path.read_text()
    done = daemon.run("run", "-f", path, "true")
    assert done.returncode == 125 and "no run of 'true'" in done.stderr


def test_an_update_needs_a_size(gpu_daemon):
    done = gpu_daemon.run("update", "1", "-m", "auto")
    assert done.returncode == 2 and "auto" in done.stderr
