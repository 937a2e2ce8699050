# SPDX-License-Identifier: GPL-3.0-or-later
"""Several people and one queue; the daemon has a user of its own and no privilege."""

import os
import re
import signal
import time

from harness import N_CPUS, TASK_KEYS, RawClient, is_alive, parent_of, wait_until


def start_of(shared, user, name, *args, command=None):
    """A running task of somebody; (proc, gate)."""
    return shared.daemon.start(name, *args, command=command, user=user, cwd="/")


def test_everybody_sees_the_tasks_of_everybody(shared):
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    one, gate_one = start_of(shared, alice, "alices")
    two, gate_two = start_of(shared, bob, "bobs")
    tasks = {task["name"]: task for task in daemon.ps(user=bob)}
    assert (tasks["alices"]["user"], tasks["alices"]["uid"]) == (alice.name, alice.uid)
    assert (tasks["bobs"]["user"], tasks["bobs"]["uid"]) == (bob.name, bob.uid)
    text = daemon.run("ps", user=bob).stdout
    assert "alices" in text and alice.name[:8] in text
    assert daemon.show(tasks["alices"]["id"], user=bob)["command"].startswith("read x")
    done = daemon.run("ps", "-q", "-u", user=bob)
    assert done.stdout.split() == [str(tasks["bobs"]["id"])]
    done = daemon.run("ps", "-q", f"-u{alice.name}", user=bob)
    assert done.stdout.split() == [str(tasks["alices"]["id"])]
    gate_one.open()
    gate_two.open()
    assert (one.wait(), two.wait()) == (0, 0)


def test_the_command_runs_as_the_one_who_asked(shared):
    done = shared.daemon.run("run", "id -u; id -g; id -G", user=shared.alice, cwd="/")
    assert done.stdout.split() == [str(shared.alice.uid), str(shared.alice.gid), str(shared.alice.gid)]


def test_nobody_may_act_on_the_tasks_of_another(shared):
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    filler, gate = start_of(shared, alice, "running", "-c", str(N_CPUS))
    waiting = daemon.popen("run", "-n", "waiting", "-c", "1", "true", user=alice, cwd="/")
    daemon.wait_state("waiting", "pending")
    before = {task["name"]: task for task in daemon.ps()}
    for name in ("running", "waiting"):
        task_id = str(before[name]["id"])
        for args in (["cancel", task_id], ["cancel", "-s", "KILL", task_id], ["hold", task_id], ["release", task_id],
                     ["update", task_id, "-p", "0"]):
            done = daemon.run(*args, user=bob)
            assert done.returncode == 1, args
            assert task_id in done.stderr, args
            assert done.stderr.count("\n") == 1
    after = {task["name"]: task for task in daemon.ps()}
    for name, task in before.items():
        assert after[name]["state"] == task["state"]
        assert after[name]["priority"] == task["priority"]
    assert filler.is_running() and waiting.is_running()
    gate.open()
    assert (filler.wait(), waiting.wait()) == (0, 0)


def test_one_may_wait_for_the_tasks_of_another(shared):
    proc, gate = start_of(shared, shared.alice, "t")
    waiter = shared.daemon.popen("wait", str(shared.daemon.task("t")["id"]), user=shared.bob)
    gate.open()
    assert (proc.wait(), waiter.wait()) == (0, 0)


def test_an_admin_may_act_on_everybodys_tasks(shared):
    filler, gate = start_of(shared, shared.alice, "filler", "-c", str(N_CPUS))
    daemon = shared.daemon
    proc = daemon.popen("run", "-n", "t", "-c", "1", "true", user=shared.alice, cwd="/")
    daemon.wait_state("t", "pending")
    task_id = str(daemon.task("t")["id"])
    assert daemon.run("hold", task_id).returncode == 0, "root is one by default"
    assert daemon.run("cancel", task_id).returncode == 0
    assert proc.wait() != 0
    assert daemon.run("cancel", str(daemon.task("filler")["id"])).returncode == 0
    assert filler.wait() == -signal.SIGTERM
    assert gate.path.exists()


def test_admins_are_a_setting(make_shared, users):
    shared = make_shared(settings={"admins": users[1].name})
    proc, _ = start_of(shared, shared.alice, "t", command="exec sleep 1000")
    assert shared.daemon.run("cancel", str(shared.daemon.task("t")["id"]), user=shared.bob).returncode == 0
    assert proc.wait() == -signal.SIGTERM
    shared.daemon.wait_state("t", "cancelled")


def test_a_group_of_admins(make_shared, users):
    shared = make_shared(settings={"admins": f"@{users[1].name}"})
    proc, _ = start_of(shared, shared.alice, "t", command="exec sleep 1000")
    assert shared.daemon.run("cancel", str(shared.daemon.task("t")["id"]), user=shared.bob).returncode == 0
    assert proc.wait() == -signal.SIGTERM


def test_why_names_who_holds_what_is_missing(shared):
    filler, gate = start_of(shared, shared.alice, "filler", "-c", str(N_CPUS))
    proc = shared.daemon.popen("run", "-n", "t", "-c", "1", "true", user=shared.bob, cwd="/")
    shared.daemon.wait_state("t", "pending")
    wait_until(lambda: shared.alice.name in proc.err, "the waiting line names alice")
    assert shared.alice.name in shared.daemon.why(shared.daemon.task("t")["id"], user=shared.bob)
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)


def test_show_commands_owner_hides_command_folder_and_name_from_others(make_shared):
    shared = make_shared(settings={"show_commands": "owner"})
    daemon = shared.daemon
    proc, gate = start_of(shared, shared.alice, "secret-name")
    task_id = daemon.ps(user=shared.alice)[0]["id"]
    seen = daemon.show(task_id, user=shared.bob)
    assert set(seen) >= TASK_KEYS
    assert (seen["command"], seen["argv"], seen["cwd"], seen["name"]) == ("", [], "", None)
    assert seen["user"] == shared.alice.name
    for args in (["ps"], ["ps", "-v"], ["show", str(task_id)], ["ps", "--json"]):
        text = daemon.run(*args, user=shared.bob).stdout
        assert "secret-name" not in text and "read x" not in text, args
    assert daemon.show(task_id, user=shared.alice)["name"] == "secret-name"
    assert daemon.show(task_id)["name"] == "secret-name", "an admin sees it"
    gate.open()
    assert proc.wait() == 0


def test_priority_counts_among_users_only_up_to_the_limit(make_shared):
    shared = make_shared(settings={"priority_limit": "100", "order": "fifo"})
    daemon = shared.daemon
    filler, gate = start_of(shared, shared.alice, "filler", "-c", str(N_CPUS))
    for name, user, priority in (("a", shared.alice, "medium"), ("b", shared.bob, "high"), ("low", shared.bob, "low")):
        daemon.popen("run", "-q", "-n", name, "-c", str(N_CPUS), "-p", priority, "true", user=user, cwd="/")
        daemon.wait_state(name, "pending")
    assert [t["name"] for t in daemon.ps() if t["state"] == "pending"] == ["a", "b", "low"]
    gate.open()
    assert filler.wait() == 0
    daemon.wait_for(lambda ts: all(t["state"] == "done" for t in ts))


def test_who_comes_after_two_hundred_of_another_is_among_the_next_two(shared, place):
    """Turns between users: `order = fair` is the default."""
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    home = place.make_folder("home-alice", 0o755)
    os.chown(home, alice.uid, alice.gid)
    filler, gate = start_of(shared, alice, "filler", "-c", str(N_CPUS))
    done = daemon.run("submit", "-c", str(N_CPUS), "-", input="true\n" * 200, user=alice, cwd="/", env={"HOME": home})
    assert (done.returncode, len(done.stdout.split())) == (0, 200), done.stderr
    proc = daemon.popen("run", "-n", "one", "-c", str(N_CPUS), "true", user=bob, cwd="/")
    daemon.wait_state("one", "pending")
    gate.open()
    assert (filler.wait(), proc.wait()) == (0, 0)
    daemon.wait_for(lambda tasks: all(task["state"] == "done" for task in tasks))
    one = daemon.task("one")
    before = [task for task in daemon.ps() if task["name"] != "filler" and task["started_at"] < one["started_at"]]
    assert len(before) <= 1, before


def test_what_a_user_had_outlives_the_daemon(make_shared):
    shared = make_shared(settings={"share_half_life": "1h"})
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    assert daemon.run("run", "-c", str(N_CPUS), "sleep 0.5", user=alice, cwd="/").returncode == 0
    daemon.stop()
    daemon.start_daemon()
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), cwd="/")
    procs = []
    for name, user in (("first", alice), ("second", bob)):
        procs.append(daemon.popen("run", "-n", name, "-c", str(N_CPUS), "true", user=user, cwd="/"))
        daemon.wait_state(name, "pending")
    assert [task["name"] for task in daemon.ps() if task["state"] == "pending"] == ["second", "first"]
    gate.open()
    assert [proc.wait() for proc in (filler, *procs)] == [0, 0, 0]


def test_weights_count_by_user_and_group(make_shared, users):
    """Both have had as much; who weighs more comes first, whoever asked first."""
    alice, bob, _ = users
    shared = make_shared(settings={"weights": f"@{bob.gid}:4, {alice.uid}:2", "share_half_life": "1h"})
    daemon = shared.daemon
    running = [daemon.start(f"of-{user.name}", "-c", "1", user=user, cwd="/") for user in (alice, bob)]
    filler, gate = daemon.start("filler", "-c", str(N_CPUS - 2), cwd="/") if N_CPUS > 2 else (None, None)
    procs = []
    for name, user in (("first", alice), ("second", bob)):
        procs.append(daemon.popen("run", "-n", name, "-c", str(N_CPUS), "true", user=user, cwd="/"))
        daemon.wait_state(name, "pending")
    assert [task["name"] for task in daemon.ps() if task["state"] == "pending"] == ["second", "first"]
    for proc, its_gate in [*running, (filler, gate)]:
        if proc:
            its_gate.open()
            assert proc.wait() == 0
    assert [proc.wait() for proc in procs] == [0, 0]


def test_shares_are_shown(make_shared, users):
    alice, bob, _ = users
    shared = make_shared(settings={"weights": f"{alice.uid}:2"})
    daemon = shared.daemon
    proc, gate = start_of(shared, alice, "alices", "-c", str(N_CPUS))
    shown = {user["uid"]: user for user in daemon.json("status", "--json")["users"]}
    assert set(shown) == {alice.uid}
    one = shown[alice.uid]
    assert (one["user"], one["weight"], one["held"]) == (alice.name, 2, 1)
    assert (one["running"], one["waiting"]) == (1, 0)
    assert abs(one["share"] - (one["past"] + one["held"]) / 2) < 0.00001
    lines = daemon.run("ps", "-v", user=bob).stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "USER", "SHARE"]
    assert re.fullmatch(r"50\.\d%", lines[1].split()[2]), lines
    gate.open()
    assert proc.wait() == 0


def test_a_longer_delay_than_allowed_is_cut_and_run_says_so(make_shared):
    shared = make_shared(settings={"max_delay": "1m"})
    done = shared.daemon.run("run", "-n", "t", "-m", "1M", "-d", "1h", "true", user=shared.alice, cwd="/")
    assert done.returncode == 0
    assert "1m" in done.stderr, done.stderr
    assert shared.daemon.task("t")["delay_seconds"] == 60
    done = shared.daemon.run("run", "-n", "r", "-m", "1M", "-d", "1h", "true")
    assert (done.returncode, done.stderr) == (0, ""), "an admin's is not"


def test_what_one_user_may_have_at_once_is_limited(make_shared, users):
    alice, bob, _ = users
    shared = make_shared(settings={"max_running_per_user": f"@{alice.gid}:1", "max_time": f"1h, {bob.uid}:none"})
    daemon = shared.daemon
    first, gate = start_of(shared, alice, "first", "-t", "10m")
    second = daemon.popen("run", "-n", "second", "-t", "1h", "true", user=alice, cwd="/")
    daemon.wait_state("second", "pending")
    done = daemon.run("why", str(daemon.task("second")["id"]), user=alice)
    assert "max_running_per_user" in done.stdout, done.stdout
    assert daemon.run("run", "true", user=bob, cwd="/").returncode == 0, "not of her groups, and may run for ever"
    for args in (["-t", "61m"], []):
        done = daemon.run("run", *args, "true", user=alice, cwd="/")
        assert done.returncode == 125 and "max_time is 1h" in done.stderr, done.stderr
        done = daemon.run("run", "--dry-run", *args, "true", user=alice, cwd="/")
        assert done.returncode == 125 and "max_time is 1h" in done.stderr + done.stdout, done
    done = daemon.run("update", str(daemon.task("second")["id"]), "-t", "2h", user=alice)
    assert done.returncode == 1 and "max_time is 1h" in done.stderr, done.stderr
    gate.open()
    assert (first.wait(), second.wait()) == (0, 0)


def test_a_limit_is_lifted_by_a_reload(make_shared, users):
    alice = users[0]
    shared = make_shared(settings={"max_memory_per_user": "20M"})
    daemon = shared.daemon
    first, gate = start_of(shared, alice, "first", "-m", "15M", "-d", "0")
    done = daemon.run("run", "-m", "21M", "true", user=alice, cwd="/")
    assert done.returncode == 125 and "max_memory_per_user is 20M" in done.stderr, done.stderr
    second = daemon.popen("run", "-n", "second", "-m", "15M", "-d", "0", "true", user=alice, cwd="/")
    daemon.wait_state("second", "pending")
    assert "max_memory_per_user" in daemon.task("second")["reason"]
    daemon.settings(max_memory_per_user="40M")
    assert second.wait() == 0
    gate.open()
    assert first.wait() == 0


def test_the_number_of_waiting_tasks_has_a_limit_per_user(make_shared):
    shared = make_shared(settings={"max_pending_per_user": "3"})
    daemon = shared.daemon
    filler, gate = start_of(shared, shared.alice, "filler", "-c", str(N_CPUS))
    procs = []
    for i in range(3):
        procs.append(daemon.popen("run", "-n", f"t{i}", "-c", "1", "true", user=shared.alice, cwd="/"))
        daemon.wait_state(f"t{i}", "pending")
    done = daemon.run("run", "-c", "1", "true", user=shared.alice, cwd="/")
    assert done.returncode == 125
    assert "3" in done.stderr and ("max_pending_per_user" in done.stderr or "limit" in done.stderr), done.stderr
    other = daemon.popen("run", "-n", "bobs", "-c", "1", "true", user=shared.bob, cwd="/")
    daemon.wait_state("bobs", "pending")
    gate.open()
    assert [proc.wait() for proc in [filler, *procs, other]] == [0] * 5


def test_the_runner_of_one_user_cannot_speak_for_the_task_of_another(shared):
    """Each method that a runner uses, on a connection that does not own the task."""
    proc, _ = start_of(shared, shared.alice, "t", "-m", "100M", "-d", "0", command="exec sleep 1000")
    daemon = shared.daemon
    task = daemon.wait_for(lambda ts: ts[0] if ts[0]["pid"] else None)
    attempts = [
        ("Ended", {"id": task["id"], "state": "done", "exit_status": 0, "ended_at_us": 1}),
        ("Used", {"id": task["id"], "memory_bytes": 100 * 2**20}),
        ("Withdraw", {"id": task["id"], "reason": None}),
        ("Accept", {"id": task["id"], "offer": 1}),
        ("Away", {"id": task["id"], "away": True}),
        ("Decline", {"id": task["id"], "offer": 1}),
        ("Started", {"id": task["id"]}),
    ]
    for method, parameters in attempts:
        try:
            with RawClient(daemon.socket, 3) as raw:
                raw.send_json({"method": f"io.taskflow.v1.{method}", "parameters": parameters})
                raw.send_json({"method": "org.varlink.service.GetInfo", "parameters": {}})
                raw.receive()
        except (EOFError, OSError):
            pass
        now = daemon.show(task["id"])
        assert (now["state"], now["pid"]) == ("running", task["pid"])
        assert (now["peak"]["memory_bytes"] or 0) < 50 * 2**20
    assert is_alive(task["pid"])
    proc.end()


def test_the_socket_serves_everybody_and_the_state_nobody(shared):
    daemon = shared.daemon
    assert oct(os.stat(daemon.socket).st_mode & 0o777) == "0o666"
    for path in daemon.state.rglob("*"):
        if path.is_file():
            assert os.stat(path).st_mode & 0o077 == 0, path


def test_the_daemon_runs_without_privilege_and_no_command_of_anybodys(shared):
    proc, gate = start_of(shared, shared.alice, "t", command=None)
    daemon = shared.daemon
    task = daemon.wait_for(lambda ts: ts[0] if ts[0]["pid"] else None)
    status = open(f"/proc/{daemon.pid}/status", encoding="ascii").read()
    assert re.search(rf"^Uid:\s+{daemon.user.uid}\s+{daemon.user.uid}", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert parent_of(task["pid"]) == proc.pid
    gate.open()
    assert proc.wait() == 0


def test_what_one_users_task_takes_is_measured_for_the_others(shared, ram, programs):
    daemon = shared.daemon
    proc, _ = start_of(shared, shared.alice, "t", "-m", "200M", "-d", "0", command=f"exec {programs}/hold ram 150M")
    waiting = daemon.popen("run", "-n", "w", "-m", str(daemon.status()["memory"]["total_bytes"] - 101 * 2**20), "true",
                           user=shared.bob, cwd="/")
    wait_until(lambda: (daemon.task("t")["used"]["memory_bytes"] or 0) > 140 * 2**20, "it was measured")
    assert daemon.status()["memory"]["promised_bytes"] < 60 * 2**20
    proc.end()
    waiting.end()


def test_what_one_users_task_takes_of_a_gpu_is_known_to_be_its_own(make_shared, gpus, programs):
    shared = make_shared(env=gpus.env)
    daemon = shared.daemon
    daemon.env.update(gpus.env)
    proc, _ = start_of(shared, shared.alice, "t", "--gpu", "0:10G", "-d", "0", command=f"exec {programs}/hold gpu 0 4G")
    waiting = daemon.popen("run", "-n", "w", "--gpu", "0:20G", "true", user=shared.bob, cwd="/")
    wait_until(lambda: daemon.task("t")["used"]["gpus"] == [{"index": 0, "bytes": 4 << 30}], "it is seen as its own")
    why = daemon.why(daemon.task("w")["id"], user=shared.bob)
    assert re.search(rf"{shared.alice.name} holds 4G and may take 6G more", why), why
    proc.end()
    assert waiting.wait() == 0


def test_a_gpu_process_of_somebody_else_is_told_apart_from_the_tasks(make_shared, gpus, programs):
    shared = make_shared(env=gpus.env)
    daemon = shared.daemon
    daemon.env.update(gpus.env)
    daemon.place.start([programs / "hold", "gpu", "0", "9G"], env=daemon.env, cwd="/", **shared.alice.kwargs())
    proc = daemon.popen("run", "-n", "w", "--gpu", "0:20G", "true", user=shared.bob, cwd="/")
    daemon.wait_state("w", "pending")
    wait_until(lambda: "outside" in daemon.why(daemon.task("w")["id"], user=shared.bob), "it is called outside")
    assert "9G" in daemon.why(daemon.task("w")["id"], user=shared.bob)
    proc.end()


def test_a_crowd_of_short_tasks_of_two_users_all_end(shared):
    daemon = shared.daemon
    start = time.monotonic()
    procs = [
        daemon.popen("run", "-q", "-c", "1", "true", user=user, cwd="/")
        for user in (shared.alice, shared.bob) * 15
    ]
    assert [proc.wait(60) for proc in procs] == [0] * 30
    assert time.monotonic() - start < 60
    assert len([t for t in daemon.ps() if t["state"] == "done"]) == 30
