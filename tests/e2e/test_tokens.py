# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens: things that can only be counted, and that people wait for."""

import csv
import io
import json

import pytest

from harness import N_CPUS, TASKFLOWD, wait_until

FOUND = {"matlab": 3, "ansys": 1}


@pytest.fixture
def tokens(make_daemon):
    return make_daemon(settings={"tokens": FOUND})


def taken(daemon, name):
    (view,) = [view for view in daemon.status()["tokens"] if view["name"] == name]
    return view["taken"]


def test_two_people_share_them(make_shared):
    shared = make_shared(settings={"tokens": FOUND})
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    first, gate = daemon.start("first", "--token", "matlab:2", user=alice, cwd="/")
    second = daemon.popen("run", "-n", "second", "--token", "matlab:2", "--token", "ansys", "true", user=bob, cwd="/")
    task = daemon.wait_state("second", "pending")
    assert task["needs"]["tokens"] == [{"name": "ansys", "count": 1}, {"name": "matlab", "count": 2}]
    holder = f"task {daemon.task('first')['id']} of {alice.name} has 2"
    assert task["reason"] == f"needs 2 tokens of matlab: 1 of 3 free, 1 missing ({holder})"
    why = daemon.why(task["id"], user=bob)
    assert task["reason"] in why
    assert "  tokens of matlab  asked 2  free 1  missing 1  total 3\n" in why
    assert f"of {alice.name}  has 2\n" in why

    # one that needs fewer goes ahead; nothing else is in its way
    assert daemon.run("run", "--token", "matlab", "true", user=bob, cwd="/").returncode == 0
    assert daemon.status()["tokens"] == [
        {"name": "matlab", "total": 3, "taken": 2, "free": 1},
        {"name": "ansys", "total": 1, "taken": 0, "free": 1},
    ]
    gate.open()
    assert (first.wait(), second.wait()) == (0, 0)
    assert [view["taken"] for view in daemon.status()["tokens"]] == [0, 0]


def test_what_there_is_not_is_refused_with_what_there_is(tokens):
    done = tokens.run("run", "--token", "mathlab", "true")
    assert done.returncode == 125
    assert "there are no tokens 'mathlab' here; there are matlab (3), ansys (1)" in done.stderr
    done = tokens.run("run", "--token", "matlab:4", "true")
    assert done.returncode == 125
    assert "it asks for 4 tokens of 'matlab', but there are 3" in done.stderr
    assert tokens.run("run", "--dry-run", "--token", "matlab:4", "true").returncode == 125
    assert tokens.run("run", "--dry-run", "--token", "matlab:3", "true").returncode == 0
    for words in (["--token", "matlab:0"], ["--token", "matlab", "--token", "matlab:2"], ["--token", ""]):
        assert tokens.run("run", *words, "true").returncode == 125
    assert tokens.ps() == []


def test_without_any_in_the_settings_that_is_said(daemon):
    done = daemon.run("run", "--token", "matlab", "true")
    assert done.returncode == 125
    assert "the settings name none" in done.stderr
    assert daemon.status()["tokens"] == []


def test_they_are_shown_everywhere(tokens):
    filler, gate = tokens.start("filler", "--token", "matlab:2", "-c", "1")
    task = tokens.task("filler")
    assert "matlab:2" in tokens.run("ps").stdout
    assert "2 tokens of matlab" in tokens.run("show", str(task["id"])).stdout
    status = tokens.run("status").stdout
    assert "matlab: 3, 2 of them taken" in status and "ansys: 1, 0 of them taken" in status
    metrics = tokens.run("metrics").stdout
    assert 'taskflow_tokens{name="matlab"} 3\n' in metrics
    assert 'taskflow_tokens_taken{name="matlab"} 2\n' in metrics
    gate.open()
    assert filler.wait() == 0
    rows = list(csv.DictReader(io.StringIO(tokens.run("history", "--export").stdout)))
    assert [row["tokens"] for row in rows] == ["matlab:2"]


def test_a_detached_task_keeps_what_it_asks_for_through_everything(tokens, place):
    filler, gate = tokens.start("filler", "--token", "ansys")
    tries = place.folder / "tries"
    line = f"echo x >>{tries}; test $(wc -l <{tries}) = 2"
    task_id = tokens.detach("--token", "ansys", "--retry", "1", "-o", place.folder / "out-{id}", line)
    tokens.wait_id(task_id, "pending")
    array = tokens.detach("--token", "matlab:2", "--array", "0-3", "-o", place.folder / "out-{id}-{index}", "true")
    for element in range(4):
        tokens.wait_id(f"{array}_{element}", "done")
    tokens.kill()
    tokens.start_daemon()
    task = tokens.show(task_id)
    assert (task["state"], task["needs"]["tokens"]) == ("pending", [{"name": "ansys", "count": 1}])
    wait_until(lambda: taken(tokens, "ansys") == 1, "what runs has come back")
    gate.open()
    assert filler.wait() == 0
    task = tokens.wait_id(task_id, "done")
    assert task["retries"]["used"] == 1
    assert taken(tokens, "ansys") == 0 and taken(tokens, "matlab") == 0


def test_a_waiting_task_can_ask_for_others(tokens):
    filler, gate = tokens.start("filler", "--token", "ansys")
    waiting = tokens.queue("waiting", "--token", "ansys", "--token", "matlab")
    task_id = str(tokens.task("waiting")["id"])
    done = tokens.run("update", task_id, "--token", "nothing")
    assert done.returncode == 1 and "there are no tokens 'nothing' here" in done.stderr
    assert tokens.run("update", task_id, "--token", "none", "--token", "matlab").returncode == 2
    assert tokens.run("update", task_id, "--token", "matlab:3").returncode == 0
    assert waiting.wait() == 0
    assert tokens.show(task_id)["needs"]["tokens"] == [{"name": "matlab", "count": 3}]

    waiting = tokens.queue("again", "--token", "ansys")
    assert tokens.run("update", str(tokens.task("again")["id"]), "--token", "none").returncode == 0
    assert waiting.wait() == 0
    gate.open()
    assert filler.wait() == 0


def test_with_fewer_what_runs_goes_on_and_what_waits_is_told(tokens):
    filler, gate = tokens.start("filler", "--token", "matlab:2")
    small = tokens.queue("small", "--token", "matlab:2")
    large = tokens.queue("large", "--token", "matlab:3")
    tokens.settings(tokens={"matlab": 2})
    reason = tokens.task("large")["reason"]
    assert "the settings have only 2 now, and it can't start before they have 1 more" in reason
    assert "0 of 2 free, 2 missing" in tokens.task("small")["reason"]
    tokens.settings(tokens={"matlab": 1})
    assert tokens.status()["tokens"] == [{"name": "matlab", "total": 1, "taken": 2, "free": 0}]
    assert filler.is_running()
    gate.open()
    assert filler.wait() == 0
    assert tokens.run("run", "--token", "matlab", "true").returncode == 0
    assert tokens.task("small")["state"] == "pending"

    tokens.settings(tokens=None)
    assert "the settings have none any more" in tokens.task("small")["reason"]
    tokens.settings(tokens={"matlab": 3})
    assert (small.wait(), large.wait()) == (0, 0)


def test_a_reload_with_an_error_keeps_what_was(tokens):
    tokens.settings(tokens={"matlab": 1, "gpu": 2})
    assert "'gpu' is no name of tokens: it means something else" in tokens.log_text()
    assert [view["total"] for view in tokens.status()["tokens"]] == [3, 1]


@pytest.mark.parametrize("text, says", [
    ("[tokens]\nmatlab = x\n", "line 2: matlab: "),
    ("[taskflow]\n[tokens]\n\nmatlab = -1\n", "line 4"),
    ("[tokens]\na = 1\n[tokens]\nb = 1\n", "line 3"),
    ("[tokens]\n1a = 1\n", "'1a' is no name of tokens"),
])
def test_what_is_wrong_is_named_with_its_line(place, text, says):
    config = place.folder / "bad.conf"
    config.write_text(text)
    done = place.run([TASKFLOWD, "--config", config, "--check-config"])
    assert done.returncode != 0 and says in done.stderr, done.stderr


def test_after_patience_they_are_kept_for_who_needs_many(make_daemon):
    daemon = make_daemon(settings={"tokens": FOUND, "patience": "1s"})
    filler, gate = daemon.start("filler", "--token", "matlab")
    large = daemon.queue("large", "--token", "matlab:3")
    task_id = daemon.task("large")["id"]
    kept = wait_until(lambda: daemon.status()["kept"], "room is kept")
    assert kept["task"] == task_id and kept["tokens"] == [{"name": "matlab", "count": 3}]
    assert f"3 tokens of matlab for task {task_id} of" in daemon.run("status").stdout
    small = daemon.queue("small", "--token", "matlab")
    assert f"2 of 3 free, but 3 kept for task {task_id} of" in daemon.task("small")["reason"]
    assert daemon.run("run", "-c", str(N_CPUS), "true").returncode == 0
    gate.open()
    assert (filler.wait(), large.wait(), small.wait()) == (0, 0, 0)


def test_a_task_file_has_them(tokens, place):
    path = place.folder / "task"
    assert tokens.run("run", "--token", "matlab:2", "--token", "ansys", "-s", path).returncode == 0
    assert "token = matlab:2\ntoken = ansys\n" in path.read_text()
    done = tokens.run("run", "-D", "--json", "-o", place.folder / "out", "-f", path, "true")
    assert json.loads(done.stdout)["needs"]["tokens"] == [{"name": "ansys", "count": 1}, {"name": "matlab", "count": 2}]
    tokens.wait_id(json.loads(done.stdout)["id"], "done")
