# SPDX-License-Identifier: GPL-3.0-or-later
"""`taskflow metrics`, read by a strict reader of Prometheus' text format and held against its naming conventions."""

import os
import pathlib
import re
import subprocess
import time

from harness import GIB, N_CPUS, TASKFLOW, wait_until
from test_doctor import STATUS, Answering

ROOT = pathlib.Path(__file__).parents[2]
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
VALUE = re.compile(r"[0-9]+(\.[0-9]+)?")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, text
        assert match[1] not in labels and not match[1].startswith("__"), text
        labels[match[1]] = re.sub(r"\\.", lambda m: UNESCAPED[m[0]], match[2])
        at = match.end()
        if at < len(text):
            assert text[at] == ",", text
            at += 1
    return labels


def parse(text):
    """{name: (type, help, {labels: value})}; refuses all that a scrape would refuse, and what promtool complains of."""
    assert text.endswith("\n") and "\r" not in text
    metrics, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current, words = line[7:].split(" ", 1)
            assert NAME.fullmatch(current) and current not in metrics, line
            assert words and words.endswith("."), line
            metrics[current] = [None, words, {}]
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and metrics[name][0] is None and not metrics[name][2], line
            assert kind in ("gauge", "counter")
            metrics[name][0] = kind
        else:
            match = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? ([^ ]+)", line)
            assert match and match[1] == current, f"{line!r} stands below {current}"
            assert VALUE.fullmatch(match[3]), line
            labels = tuple(sorted(parse_labels(match[2] or "").items()))
            assert metrics[current][0] and labels not in metrics[current][2], line
            metrics[current][2][labels] = float(match[3])
    for name, (kind, _, samples) in metrics.items():
        assert (kind == "counter") == name.endswith("_total"), name
        assert name.startswith("taskflow_") and name == name.lower()
        assert not re.search(r"_(us|ms|mb|kb|kib|mib|pct|percent|gauge|counter|count|milliseconds)(_|$)", name), name
        assert len({tuple(key for key, _ in labels) for labels in samples}) <= 1, name
    return metrics


def metrics_of(commands, status=0):
    done = commands.run("metrics")
    assert done.returncode == status, done.stderr
    return parse(done.stdout)


def value(metrics, metric, **labels):
    return metrics["taskflow_" + metric][2].get(tuple(sorted(labels.items())))


def test_what_is_printed_is_what_status_says(daemon):
    filler, gate = daemon.fill()
    daemon.queue("waiting", "-c", "1")
    daemon.queue("kept", "-c", "1")
    daemon.run("hold", str(daemon.task("kept")["id"]))
    metrics, status = metrics_of(daemon), daemon.status()
    assert value(metrics, "up") == 1
    assert value(metrics, "build_info", version=status["daemon"]["version"]) == 1
    assert value(metrics, "memory_total_bytes") == status["memory"]["total_bytes"]
    assert value(metrics, "memory_free_bytes") <= value(metrics, "memory_available_bytes")
    assert [value(metrics, "tasks", state=state) for state in ("running", "pending", "held")] == [1, 1, 1]
    assert (value(metrics, "cpus"), value(metrics, "cpus_promised")) == (N_CPUS, N_CPUS)
    assert value(metrics, "connections") >= 4
    assert abs(value(metrics, "start_time_seconds") - time.time()) < 600
    assert 0 < value(metrics, "state_filesystem_avail_bytes") <= value(metrics, "state_filesystem_size_bytes")
    assert [value(metrics, name) for name in ("settings_valid", "state_writable", "state_damaged_records")] == [1, 1, 0]
    assert not [name for name in metrics if "gpu" in name]
    gate.open()
    assert filler.wait() == 0


def test_counts_go_up_by_what_happens(daemon):
    before = metrics_of(daemon)
    assert value(before, "tasks_started_total") == 0
    assert daemon.run("run", "true").returncode == 0
    assert daemon.run("run", "-c", "1", "exit 3").returncode == 3
    assert daemon.run("run", "-t", "1", "-q", "sleep 60").returncode == 124
    ids = [daemon.detach("--array", "0-2", "true"), daemon.detach("true")]
    assert daemon.run("wait", *ids).returncode == 0
    filler, gate = daemon.fill()
    daemon.queue("waiting", "-c", "1")
    assert daemon.run("cancel", str(daemon.task("waiting")["id"])).returncode == 0
    gate.open()
    assert filler.wait() == 0

    def look():
        after = metrics_of(daemon)
        ended = {state: value(after, "tasks_ended_total", state=state)
                 for state in ("done", "failed", "cancelled", "timeout", "lost")}
        return after if ended == {"done": 6, "failed": 1, "cancelled": 1, "timeout": 1, "lost": 0} else None

    after = wait_until(look, "all ends are counted")
    assert value(after, "tasks_submitted_total") == 7
    assert value(after, "tasks_started_total") == 8


def test_gpus_have_their_index_and_uuid_and_one_that_is_lost_no_figures(make_daemon, gpus):
    daemon = make_daemon(env=gpus.env)
    gpus.say_of(0, "used 10G")
    metrics = metrics_of(daemon)
    first, second = ({"gpu": str(i), "uuid": gpus.UUIDS[i]} for i in (0, 1))
    assert value(metrics, "gpu_driver_up") == 1
    assert value(metrics, "gpu_info", name="Stand-In 1", **second) == 1
    assert value(metrics, "gpu_memory_total_bytes", **first) == 24 * GIB
    assert value(metrics, "gpu_memory_used_bytes", **first) == 10 * GIB
    assert value(metrics, "gpu_up", **second) == 1
    gpus.say_of(1, "lost")
    daemon.restart()
    metrics = metrics_of(daemon)
    assert (value(metrics, "gpu_up", **first), value(metrics, "gpu_up", **second)) == (1, 0)
    assert value(metrics, "gpu_memory_used_bytes", **second) is None
    gpus.say("error nvmlInit_v2 18")
    daemon.restart()
    metrics = metrics_of(daemon)
    assert value(metrics, "gpu_driver_up") == 0
    assert value(metrics, "gpu_up", **first) == 0


def test_names_are_escaped(make_daemon, gpus):
    gpus.say_of(0, 'name a "GPU" of \\ Co')
    metrics = metrics_of(make_daemon(env=gpus.env))
    assert value(metrics, "gpu_info", gpu="0", uuid=gpus.UUIDS[0], name='a "GPU" of \\ Co') == 1


def test_what_a_hostile_daemon_says_is_escaped_too(place):
    path = place.folder / "s"
    answering = Answering(path, {**STATUS, "version": '\x1b[2J\n"} 1\\'})
    try:
        done = place.run([TASKFLOW, "metrics"], env=place.env(TASKFLOW_SOCKET=path))
    finally:
        answering.close()
    metrics = parse(done.stdout)
    assert done.returncode == 0
    assert value(metrics, "build_info", version='^[[2J^J"} 1\\') == 1
    assert "taskflow_connections" not in metrics, "an old daemon does not say it"


def test_without_a_daemon_it_is_down(place):
    done = place.run([TASKFLOW, "metrics"], env=place.env(TASKFLOW_SOCKET=place.folder / "none"))
    assert done.returncode == 3 and "TASKFLOW_SOCKET" in done.stderr
    assert list(parse(done.stdout)) == ["taskflow_up"]
    assert value(parse(done.stdout), "up") == 0


def test_a_queue_of_ones_own_that_nobody_serves_is_not_started_for_it(personal):
    metrics = metrics_of(personal)
    assert value(metrics, "up") == 0
    assert personal.daemon_pids() == []


def test_room_that_is_kept_is_told(make_daemon, gpus):
    daemon = make_daemon(settings={"patience": "100ms", "sample_interval": "200ms"}, env=gpus.env)
    first, second = ({"gpu": str(i), "uuid": gpus.UUIDS[i]} for i in (0, 1))
    filler, gate = daemon.start("filler", "--gpu", "0", "--gpu", "1:1G", "-d", "0")
    metrics = metrics_of(daemon)
    assert [value(metrics, name) for name in ("memory_kept_bytes", "cpus_kept")] == [0, 0]
    assert value(metrics, "gpu_memory_kept_bytes", **first) == 0
    large = daemon.queue("large", "--gpu", "0", "--gpu", "1:2G", "-m", "3M", "-c", "1", "-d", "0")
    wait_until(lambda: daemon.status()["kept"], "room is kept")
    metrics = metrics_of(daemon)
    assert [value(metrics, name) for name in ("memory_kept_bytes", "cpus_kept")] == [3 << 20, 1]
    assert value(metrics, "gpu_memory_kept_bytes", **first) == 24 * GIB
    assert value(metrics, "gpu_memory_kept_bytes", **second) == 2 * GIB
    assert re.search(r"^kept: +3M of RAM, 1 core, GPU 0, 2G on GPU 1 for task .*, at most \S+ more$",
                     daemon.run("status").stdout, re.M), daemon.run("status").stdout
    gate.open()
    assert (filler.wait(), large.wait()) == (0, 0)


def test_pressure_is_told_where_the_kernel_tells_it(make_daemon, faults):
    faults.set_pressure(12.34)
    daemon = make_daemon(settings={"pressure_limit": "30%"}, env=faults.env)
    metrics = metrics_of(daemon)
    assert value(metrics, "memory_pressure_ratio") == 0.1234
    assert value(metrics, "memory_pressure_limit_ratio") == 0.3
    memory = daemon.status()["memory"]
    assert (memory["pressure_percent"], memory["pressure_limit_percent"]) == (12.34, 30)
    assert "pressure" not in daemon.run("status").stdout
    faults.set_pressure(45.67)
    text = wait_until(lambda: "pressure" in (text := daemon.run("status").stdout) and text, "status says so")
    assert "programs waited for memory in 45.6 % of the last 10 seconds, more than 30.0 % (pressure_limit)" in text
    (faults.folder / "pressure").write_text("nothing of the kind")
    wait_until(lambda: daemon.status()["memory"]["pressure_percent"] is None, "it is not known any more")
    assert "taskflow_memory_pressure_ratio" not in metrics_of(daemon)


def test_the_manual_has_every_metric(make_daemon, gpus, faults):
    faults.set_pressure(0)
    page = (ROOT / "man/taskflow-metrics.1.scd").read_text()
    of_page = set(re.findall(r"^\*(taskflow_[a-z_]+)\*", page, re.M))
    metrics = metrics_of(make_daemon(settings={"tokens": {"matlab": 3}}, env={**gpus.env, **faults.env}))
    assert of_page == set(metrics)


def test_as_the_manual_says_for_the_node_exporter(daemon):
    """The line for cron: what the collector reads is whole, and is there also when the daemon is not."""
    folder = daemon.place.make_folder("collector")
    line = f"{TASKFLOW} metrics >{folder}/taskflow.prom.$$; mv {folder}/taskflow.prom.$$ {folder}/taskflow.prom"
    subprocess.run(["sh", "-c", line], env=daemon.env, check=True, capture_output=True)
    assert value(parse((folder / "taskflow.prom").read_text()), "up") == 1
    daemon.stop()
    subprocess.run(["sh", "-c", line], env=daemon.env, check=True, capture_output=True)
    assert value(parse((folder / "taskflow.prom").read_text()), "up") == 0
    assert os.listdir(folder) == ["taskflow.prom"]
