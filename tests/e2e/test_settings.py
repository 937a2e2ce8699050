# SPDX-License-Identifier: GPL-3.0-or-later
"""taskflowd: its settings, its options, its state on the disk."""

import os
import re
import signal
import sqlite3
import time

import pytest

from disks import fill, small_disk
from harness import GIB, MIB, TASKFLOWD, wait_until

BAD = [
    ("no_such_key = 1\n", 2, "no_such_key"),
    ("default_delay = soon\n", 2, "soon"),
    ("default_delay = -1\n", 2, "-1"),
    ("delay_mode = sometimes\n", 2, "sometimes"),
    ("ample_factor = many\n", 2, "many"),
    ("unfilled = never\n", 2, "never"),
    ("reserved_memory = 1X\n", 2, "1X"),
    ("\n\nreserved_memory =\n", 4, "reserved_memory"),
    ("sample_interval = 0\n", 2, "sample_interval"),
    ("priority_limit = 201\n", 2, "201"),
    ("whole_gpu_used = 101%\n", 2, "101"),
    ("gpu_pick = best\n", 2, "best"),
    ("pin_gpus = maybe\n", 2, "maybe"),
    ("max_pending_per_user = -5\n", 2, "-5"),
    ("show_commands = nobody\n", 2, "nobody"),
    ("admins = no-such-user-here\n", 2, "no-such-user-here"),
    ("admins = @no-such-group-here\n", 2, "no-such-group-here"),
    ("history_days = x\n", 2, "x"),
    ("idle_exit = x\n", 2, "x"),
    ("default_delay = 5s\ndefault_delay = 6s\n", 3, "default_delay"),
    ("nonsense\n", 2, ""),
]


@pytest.mark.parametrize("text, line, word", BAD)
def test_a_bad_setting_stops_the_start_with_file_line_and_word(place, text, line, word):
    config = place.folder / "bad.conf"
    config.write_text("[taskflow]\n" + text)
    for more in ([], ["--check-config"]):
        done = place.run(
            [TASKFLOWD, "--config", config, "--socket", place.folder / "s", "--state", place.folder / "state", *more]
        )
        assert done.returncode != 0
        assert "bad.conf" in done.stderr
        assert re.search(rf"\b{line}\b", done.stderr), done.stderr
        assert word in done.stderr
    assert not (place.folder / "s").exists()


def test_a_section_that_is_none_of_ours_is_refused(place):
    config = place.folder / "bad.conf"
    config.write_text("[other]\ndefault_delay = 5s\n")
    done = place.run([TASKFLOWD, "--config", config, "--check-config"])
    assert done.returncode != 0
    assert "other" in done.stderr


def test_check_config_says_whether_a_file_is_good_and_starts_nothing(place):
    config = place.folder / "good.conf"
    config.write_text(
        "# a comment\n; another\n[taskflow]\ndefault_delay = 1h30m\ndelay_mode = strict\nample_factor = 2.5\n"
        "unfilled = delay\nreserved_memory = 1G\nreserved_gpu_memory = 512M\nsample_interval = 500ms\n"
        "priority_limit = 50\npriority_age = inf\nmax_delay = 1d\nwhole_gpu_used = 10%\nidle_exit = inf\n"
        "gpus = 0, GPU-12ab\ngpu_pick = pack\npin_gpus = always\nnvml_library = libnvidia-ml.so.1\n"
        "admins = root, @root\n"
        "allow_users = all\ndeny_users = none\nclient_timeout = 5s\n"
        "max_pending_per_user = 10\nshow_commands = owner\nhistory_days = 7\n"
    )
    done = place.run([TASKFLOWD, "--config", config, "--check-config", "--state", place.folder / "state"])
    assert done.returncode == 0, done.stderr
    assert not (place.folder / "state").exists()


def test_a_file_that_was_named_must_be_there(place):
    here = place.folder
    done = place.run([TASKFLOWD, "--config", here / "none", "--socket", here / "s", "--state", here / "x"])
    assert done.returncode != 0
    assert "none" in done.stderr


@pytest.mark.parametrize("args", [["--no-such"], ["word"], ["--config"]])
def test_a_wrong_option_of_taskflowd_is_refused(place, args):
    done = place.run([TASKFLOWD, *args])
    assert done.returncode == 2
    assert done.stdout == ""


def test_help_and_version_of_taskflowd(place):
    done = place.run([TASKFLOWD, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--config", "--socket", "--state", "--check-config", "--version"):
        assert option in done.stdout
    done = place.run([TASKFLOWD, "--version"])
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


def test_sighup_reads_the_settings_again(daemon):
    memory = daemon.status()["memory"]
    assert memory["free_bytes"] == memory["available_bytes"] - 100 * MIB
    daemon.settings(reserved_memory="1G")
    memory = daemon.status()["memory"]
    assert memory["free_bytes"] == memory["available_bytes"] - GIB


def test_a_reload_with_an_error_keeps_what_was_and_says_so(daemon):
    daemon.settings(reserved_memory="1G")
    daemon.settings(reserved_memory="2G", default_delay="soon")
    assert "soon" in daemon.log_text()
    memory = daemon.status()["memory"]
    assert memory["free_bytes"] == memory["available_bytes"] - GIB
    assert daemon.run("run", "true").returncode == 0


def test_a_reload_keeps_what_waits_and_runs(daemon):
    filler, gate = daemon.fill()
    proc = daemon.queue("t", "-c", "1")
    before = [(t["id"], t["state"]) for t in daemon.ps()]
    daemon.settings(reserved_memory="200M")
    assert [(t["id"], t["state"]) for t in daemon.ps()] == before
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)


def test_a_reload_that_frees_room_starts_what_waits(make_daemon):
    daemon = make_daemon(settings={"reserved_memory": "900M"})
    total = daemon.status()["memory"]["total_bytes"]
    free = daemon.free_ram()
    proc = daemon.queue("t", "-m", str(min(free + 400 * MIB, total - 901 * MIB)))
    daemon.settings(reserved_memory="0")
    assert proc.wait() == 0


# The state on the disk


def database(daemon):
    (found,) = [path for path in daemon.state.rglob("*.db")]
    return found


def test_history_survives_restarts(daemon):
    daemon.run("run", "-n", "t", "exit 3")
    before = daemon.wait_state("t", "failed")
    daemon.kill()
    daemon.start_daemon()
    assert daemon.ps() == [before]
    daemon.restart()
    assert daemon.show(before["id"]) == before


def test_ended_tasks_are_forgotten_after_history_days(make_daemon):
    daemon = make_daemon(settings={"history_days": "2"})
    for name in ("old", "new"):
        daemon.run("run", "-n", name, "true")
        daemon.wait_state(name, "done")
    daemon.stop()
    connection = sqlite3.connect(database(daemon))
    columns = [row[1] for row in connection.execute("PRAGMA table_info(task)")]
    for column in (name for name in columns if name in ("ended_at_us", "over_at_us")):
        connection.execute(f"UPDATE task SET {column} = {column} - 3*86400*1000000 WHERE name = 'old'")
    connection.commit()
    connection.close()
    daemon.start_daemon()
    wait_until(lambda: [task["name"] for task in daemon.ps()] == ["new"], "the old one is forgotten")


def test_a_damaged_database_is_set_aside_and_the_start_refused(daemon):
    daemon.run("run", "-n", "t", "true")
    daemon.wait_state("t", "done")
    daemon.stop()
    path = database(daemon)
    path.write_bytes(b"this is no database at all, and was one once\n" * 500)
    daemon.launch()
    assert daemon.proc.wait(10) != 0
    log = daemon.log_text()
    assert "damaged" in log and "--recover" in log, log
    aside = [p for p in daemon.state.iterdir() if "damaged" in p.name]
    assert aside and aside[0].read_bytes().startswith(b"this is no database")
    daemon.start_daemon()
    assert daemon.run("run", "true").returncode == 0


def test_recover_takes_over_what_can_be_read(daemon):
    for i in range(30):
        daemon.run("run", "-n", f"t{i}", "true")
    daemon.wait_for(lambda ts: len([t for t in ts if t["state"] == "done"]) == 30)
    last = max(task["id"] for task in daemon.ps())
    daemon.stop()
    path = database(daemon)
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    assert len(data) >= 4 * page
    data[-page : -page + 64] = b"\xff" * 64  # one page in the middle of things
    path.write_bytes(data)
    for extra in daemon.state.glob(path.name + "-*"):
        extra.unlink()
    daemon.start_daemon("--recover")
    assert daemon.run("run", "-n", "after", "true").returncode == 0
    assert daemon.task("after")["id"] > last, "no id is given out twice"
    if "damaged" in daemon.log_text():
        assert [p for p in daemon.state.iterdir() if "damaged" in p.name]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(daemon):
    daemon.run("run", "true")
    daemon.stop()
    path = database(daemon)
    connection = sqlite3.connect(path)
    before = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {before + 1}")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    data = path.read_bytes()
    daemon.launch()
    assert daemon.proc.wait(10) != 0
    assert "newer" in daemon.log_text()
    assert path.read_bytes() == data


def test_a_second_daemon_on_the_same_state_is_refused(daemon, place):
    done = place.run(
        [TASKFLOWD, "--config", daemon.config, "--socket", place.folder / "other", "--state", daemon.state], timeout=20
    )
    assert done.returncode != 0
    assert done.stderr.strip()
    assert daemon.run("run", "true").returncode == 0


def test_a_socket_that_is_in_the_way_of_a_dead_one_is_replaced(daemon):
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start_daemon()
    assert daemon.run("run", "true").returncode == 0


def test_a_file_that_is_no_socket_is_not_removed(make_daemon):
    daemon = make_daemon(start=False)
    daemon.socket.write_text("precious")
    daemon.launch()
    assert daemon.proc.wait(10) != 0
    assert daemon.socket.read_text() == "precious"


def test_sigterm_ends_it_with_0_and_takes_the_socket_away(daemon):
    assert daemon.kill(signal.SIGTERM) == 0
    assert not daemon.socket.exists()


def test_a_state_folder_that_cannot_be_written_is_a_clear_error(place, users, programs):
    state = place.make_folder("sealed", 0o555)
    done = place.run(
        [programs / "taskflowd", "--socket", place.folder / "s", "--state", state], cwd="/", **users[0].kwargs()
    )
    assert done.returncode != 0
    assert str(state) in done.stderr


def test_a_full_disk_refuses_what_is_new_and_keeps_what_runs(place, make_daemon):
    """The state on a file system of a few MiB."""
    daemon = make_daemon(start=False)
    with small_disk(daemon.state, "16m") as disk:
        daemon.start_daemon()
        proc, gate = daemon.start("before")
        fill(disk / "filler")
        start = time.monotonic()
        statuses = {daemon.run("run", "-q", "true # " + "x" * 3000).returncode for _ in range(20)}
        assert statuses <= {0, 125}
        assert time.monotonic() - start < 15
        assert daemon.run("ps").returncode == 0
        gate.open()
        assert proc.wait() == 0
        os.unlink(disk / "filler")
        wait_until(lambda: (daemon.task("before") or {}).get("state") == "done", "its status is kept", 20)
        wait_until(lambda: daemon.run("run", "-q", "true").returncode == 0, "it takes tasks again")
        daemon.restart()
        assert daemon.task("before")["state"] == "done", "and it is on the disk"
        daemon.stop()
