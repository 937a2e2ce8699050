# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that outlive their terminal, as their users see them."""

import json
import os
import signal
import stat
import time

import harness
import pytest
from harness import N_CPUS, TASKFLOW, is_alive, wait_until

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)


def ended(daemon, task_id, **kwargs):
    """The status that `wait` has for it."""
    return daemon.run("wait", str(task_id), **kwargs).returncode


def refused(daemon, *args, words=(), status=125, **kwargs):
    def states():
        return [(task["id"], task["state"]) for task in daemon.ps()]

    before = states()
    done = daemon.run(*args, **kwargs)
    assert done.returncode == status, (args, done)
    assert done.stdout == ""
    assert done.stderr.startswith("taskflow: ")
    for word in words:
        assert word in done.stderr, done.stderr
    assert states() == before


def test_it_prints_an_id_and_the_task_runs(daemon):
    done = daemon.run("run", "-D", "-n", "first", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stderr) == (0, "")
    task_id = done.stdout.strip()
    assert ended(daemon, task_id) == 3
    task = daemon.show(task_id)
    assert (task["state"], task["exit_status"], task["detached"], task["name"]) == ("failed", 3, True, "first")
    assert sorted(daemon.logs(task_id).split()) == ["err", "out"]


def test_it_runs_as_it_would_have_here(daemon, folder):
    below = folder / "a folder"
    below.mkdir()
    line = 'echo "$PWD|$MINE|$(umask)|$(ulimit -n)|$TASKFLOW_TASK_ID"; readlink /proc/self/fd/0'

    def limits():
        os.umask(0o027)
        harness.limit_descriptors(99)()

    task_id = daemon.detach("sh", "-c", line, cwd=below, env={"MINE": "a  b\nc"}, preexec_fn=limits)
    assert ended(daemon, task_id) == 0
    assert daemon.logs(task_id) == f"{below}|a  b\nc|0027|99|{task_id}\n/dev/null\n"


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["-m"], "the mounts"),
        (["-n"], "the network"),
        (["-p", "--fork"], "the process numbers"),
        (["-u"], "the host name"),
    ],
    ids=["mounts", "network", "processes", "host"],
)
def test_what_the_place_has_of_its_own_is_said(daemon, flags, what):
    """Also right after a command of the same shell to which nothing was to say."""
    line = 'hostname elsewhere; exec "$@"' if flags == ["-u"] else 'exec "$@"'
    front = ["unshare", *flags, "sh", "-c", line, "sh"]
    if daemon.place.run([*front, "true"]).returncode != 0:
        pytest.skip("no namespaces here")
    here = daemon.env  # the same environment, the same folder
    for _ in range(3):
        assert daemon.place.run([TASKFLOW, "run", "-D", "true"], env=here).stderr == ""
        done = daemon.place.run([*front, TASKFLOW, "run", "-D", "true"], env=here)
        assert done.returncode == 0
        assert done.stderr == (
            f"taskflow: the command will run without {what} of this place (another namespace): the agent, which starts it, has it "
            "not\n"
        )


def test_words_are_executed_as_they_are(daemon):
    task_id = daemon.detach("printf", "[%s]", "a  b", "$HOME", "")
    assert ended(daemon, task_id) == 0
    assert daemon.logs(task_id) == "[a  b][$HOME][]"


def test_what_cannot_be_found_says_so_in_the_log(daemon):
    task_id = daemon.detach("no-such-program", "x")
    assert ended(daemon, task_id) == 127
    assert "no-such-program" in daemon.logs(task_id)


def test_the_log_is_the_users_alone(daemon):
    task_id = daemon.detach("echo secret")
    assert ended(daemon, task_id) == 0
    path = daemon.show(task_id)["output"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_json_is_the_new_task(daemon):
    done = daemon.run("run", "-D", "--json", "-n", "a name", "-c", "1", "true")
    assert done.returncode == 0
    task = json.loads(done.stdout)
    assert set(task) >= harness.TASK_KEYS
    assert (task["name"], task["detached"], task["needs"]["cpus"]) == ("a name", True, 1)
    assert ended(daemon, task["id"]) == 0


def test_output_goes_where_it_was_said(daemon, folder):
    task_id = daemon.detach("-n", "a/b", "-o", "out-{id}-{name}.txt", "echo one")
    assert ended(daemon, task_id) == 0
    path = folder / f"out-{task_id}-a_b.txt"
    assert path.read_text() == "one\n"
    assert daemon.show(task_id)["output"] == os.fspath(path)
    assert daemon.logs(task_id) == "one\n"
    again = daemon.detach("-o", path, "echo two")
    assert ended(daemon, again) == 0
    assert path.read_text() == "one\ntwo\n"


def test_the_last_lines(daemon):
    task_id = daemon.detach("seq 100")
    assert ended(daemon, task_id) == 0
    assert daemon.logs(task_id, "-n", "2") == "99\n100\n"
    assert daemon.logs(task_id, "-n", "0") == ""
    assert daemon.logs(task_id, "-n", "1000").count("\n") == 100


def test_following_ends_with_the_task_and_misses_nothing(daemon, place):
    gate = place.gate()
    task_id = daemon.detach(f"echo one; {gate.line}; echo two; printf end")
    follow = daemon.popen("logs", "-f", task_id)
    wait_until(lambda: follow.out == "one\n", "what is there is printed")
    gate.open()
    assert follow.wait() == 0
    assert follow.out == "one\ntwo\nend"


def test_following_waits_for_the_start(daemon):
    filler, gate = daemon.fill()
    task_id = daemon.detach("-c", "1", "echo here")
    done = daemon.run("logs", task_id)
    assert done.returncode == 1 and "has not started yet" in done.stderr
    follow = daemon.popen("logs", "-f", task_id)
    gate.open()
    assert filler.wait() == 0
    assert follow.wait() == 0
    assert follow.out == "here\n"


def test_there_is_no_log_of_what_was_not_detached(daemon):
    proc, gate = daemon.start("here")
    task_id = str(daemon.task("here")["id"])
    done = daemon.run("logs", task_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert "in its own terminal" in done.stderr
    gate.open()
    assert proc.wait() == 0
    assert daemon.run("logs", "4000").returncode == 1


def test_a_log_that_cannot_be_read_is_named(daemon, folder):
    task_id = daemon.detach("-o", "gone", "true")
    assert ended(daemon, task_id) == 0
    os.unlink(folder / "gone")
    done = daemon.run("logs", task_id)
    assert done.returncode == 1
    assert os.fspath(folder / "gone") in done.stderr and "No such file" in done.stderr


def test_after_success_it_runs(daemon, place):
    gate = place.gate()
    first = daemon.detach(f"{gate.line}")
    second = daemon.detach("--after", first, "echo second")
    assert daemon.show(second)["state"] == "pending"
    assert first in daemon.show(second)["reason"]
    gate.open()
    assert ended(daemon, second) == 0
    assert daemon.show(second)["started_at"] >= daemon.show(first)["ended_at"]


def test_after_failure_it_is_cancelled_and_after_any_it_runs(daemon, place):
    gate = place.gate()
    first = daemon.detach(f"{gate.line}; exit 1")
    second = daemon.detach("--after", first, "true")
    third = daemon.detach("--after-any", first, "true")
    gate.open()
    assert ended(daemon, third) == 0
    task = daemon.wait_id(second, "cancelled")
    assert first in task["reason"]


def test_what_can_never_come_is_refused_at_once(daemon):
    failed = daemon.detach("false")
    assert ended(daemon, failed) == 1
    refused(daemon, "run", "-D", "--after", failed, "true", words=[failed])
    refused(daemon, "run", "-D", "--after", "4000", "true", words=["4000"])
    refused(daemon, "run", "--after", "4000", "true", words=["4000"])
    assert daemon.run("run", "--after-any", failed, "echo here").stdout == "here\n"


def test_one_in_the_foreground_waits_for_others_too(daemon, place):
    gate = place.gate()
    first = daemon.detach(gate.line)
    proc = daemon.popen("run", "-n", "here", "--after", first, "echo here")
    daemon.wait_state("here", "pending")
    wait_until(lambda: first in proc.err, "it says what it waits for")
    gate.open()
    assert proc.wait() == 0
    assert proc.out == "here\n"


def test_it_is_tried_again(daemon, folder):
    line = "echo try >>tries; test $(wc -l <tries) = 3"
    task_id = daemon.detach("--retry", "5", line)
    assert ended(daemon, task_id) == 0
    assert (folder / "tries").read_text() == "try\n" * 3
    assert daemon.show(task_id)["retries"] == {"max": 5, "used": 2}
    hopeless = daemon.detach("--retry", "1", "echo again; exit 7")
    assert ended(daemon, hopeless) == 7
    assert daemon.logs(hopeless) == "again\nagain\n"


def test_a_time_limit_ends_it(daemon):
    task_id = daemon.detach("-t", "200ms", "sleep 1000")
    assert ended(daemon, task_id) == 124
    assert daemon.show(task_id)["state"] == "timeout"


def test_it_gives_up_when_it_cannot_start_in_time(daemon):
    filler, gate = daemon.fill()
    here = daemon.run("run", "-w", "0", "-c", "1", "true").stderr
    assert here.startswith("taskflow: it cannot start now: needs 1 core: 0 of ")
    refused(daemon, "run", "-D", "-w", "0", "-c", "1", "true", words=[here])
    refused(daemon, "submit", "-w", "0", "-c", "1", "-", words=[here.rstrip()], input="true\n")
    task_id = daemon.detach("-w", "300ms", "-c", "1", "true")
    assert daemon.wait_id(task_id, "cancelled")["reason"]
    gate.open()
    assert filler.wait() == 0


def test_an_array_is_many(daemon, folder):
    task_id = daemon.detach("--array", "1-3,7%2", "-o", "out.{index}", "echo $TASKFLOW_ARRAY_INDEX $TASKFLOW_TASK_ID")
    assert ended(daemon, task_id) == 0
    for index in (1, 2, 3, 7):
        assert (folder / f"out.{index}").read_text() == f"{index} {task_id}\n"
    element = daemon.show(f"{task_id}_7")
    assert (element["id"], element["index"], element["state"]) == (int(task_id), 7, "done")
    assert daemon.logs(f"{task_id}_7") == f"7 {task_id}\n"
    done = daemon.run("logs", task_id)
    assert done.returncode == 1 and f"{task_id}_1" in done.stderr
    array = daemon.show(task_id)
    assert (array["state"], array["array"]["done"]) == ("done", 4)


def test_an_array_may_have_one_file_by_its_id(daemon, folder):
    task_id = daemon.detach("--array", "0-4", "-o", "all.{id}", "echo $TASKFLOW_ARRAY_INDEX")
    assert ended(daemon, task_id) == 0
    assert sorted((folder / f"all.{task_id}").read_text().split()) == ["0", "1", "2", "3", "4"]


def test_so_many_run_at_once_and_the_rest_is_one_line(daemon, place):
    gate = place.gate()
    task_id = daemon.detach("--array", "0-9%2", gate.line)
    daemon.wait_id(f"{task_id}_1", "running")
    lines = daemon.run("ps").stdout.splitlines()
    ids = [line.split()[0] for line in lines[1:]]
    assert ids == [f"{task_id}_0", f"{task_id}_1", f"{task_id}_[2-9%2]"]
    assert daemon.run("ps", "-q").stdout.split() == [f"{task_id}_0", f"{task_id}_1", task_id]

    done = daemon.run("update", f"{task_id}_9", "-p", "low")
    assert (done.returncode, done.stderr) == (
        1, f"taskflow: cannot update task {task_id}_9: it waits in an array, which is updated as a whole; name task {task_id}, "
        f"or hold {task_id}_9 first\n"
    )
    for args in (["hold", f"{task_id}_9"], ["update", f"{task_id}_9", "-p", "low"], ["update", task_id, "-p", "high"]):
        assert daemon.run(*args).returncode == 0, args
    assert [daemon.show(f"{task_id}_{i}")["priority"] for i in (8, 9)] == [200, 0]
    assert daemon.run("cancel", f"{task_id}_1").returncode == 0
    assert daemon.wait_id(f"{task_id}_1", "cancelled")
    daemon.wait_id(f"{task_id}_2", "running")
    assert daemon.run("cancel", f"{task_id}_9").returncode == 0
    assert daemon.show(f"{task_id}_0")["state"] == "running"

    assert daemon.run("cancel", task_id).returncode == 0
    assert ended(daemon, task_id) == 1
    assert daemon.ps("-r") == [] or all(task["state"] != "running" for task in daemon.ps())


def test_an_array_that_is_cancelled_with_some_done_is_cancelled(daemon, place):
    gate = place.gate()
    task_id = daemon.detach("--array", "0-3%1", f"test $TASKFLOW_ARRAY_INDEX = 0 || {gate.line}")
    daemon.wait_id(f"{task_id}_1", "running")
    assert daemon.run("cancel", task_id).returncode == 0
    assert ended(daemon, task_id) == 1
    array = daemon.show(task_id)
    assert (array["state"], array["reason"]) == ("cancelled", "cancelled; 1 of 4 was done")
    assert "cancelled; 1 of 4 was done" in daemon.run("show", task_id).stdout


def test_an_array_is_held_and_released_but_for_what_runs(daemon, place):
    gate = place.gate()
    task_id = daemon.detach("--array", "0-3%1", f"test $TASKFLOW_ARRAY_INDEX != 0 || {gate.line}")
    daemon.wait_id(f"{task_id}_0", "running")
    assert daemon.run("hold", f"{task_id}_3").returncode == 0
    for verb in ("hold", "release"):
        done = daemon.run(verb, task_id)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), verb
    assert daemon.show(f"{task_id}_3")["state"] == "pending"
    done = daemon.run("release", task_id)
    assert (done.returncode, done.stderr) == (1, f"taskflow: cannot release task {task_id}: it is pending\n")
    done = daemon.run("hold", f"{task_id}_0")
    assert (done.returncode, done.stderr) == (1, f"taskflow: cannot hold task {task_id}_0: it is running\n")
    gate.open()
    assert ended(daemon, task_id) == 0


def test_an_array_is_given_up_in_time_and_what_has_started_goes_on(daemon, place):
    """Element 0 runs, 1 is held and 2 waits; 0 fails when that is over, and is tried again."""
    gate = place.gate()
    again = place.folder / "again"
    line = f"test -e {again} && exit; touch {again}; {gate.line}; false"
    task_id = daemon.detach("--array", "0-2%1", "-w", "6", "--retry", "1", line)
    daemon.wait_id(f"{task_id}_0", "running")
    assert daemon.run("hold", f"{task_id}_1").returncode == 0
    daemon.wait_id(f"{task_id}_1", "cancelled")
    gate.open()
    assert ended(daemon, task_id) == 1
    array, first = daemon.show(task_id), daemon.show(f"{task_id}_0")
    assert (array["state"], array["reason"]) == ("cancelled", "not started within 6s; 1 of 3 was done")
    assert (first["state"], first["retries"]["used"]) == ("done", 1)
    wait_until(lambda: "0 waiting, 0 running" in daemon.run("agent", "status").stdout, "its command is forgotten")


def test_an_array_that_has_failures_has_failed(daemon):
    task_id = daemon.detach("--array", "0-3", "test $TASKFLOW_ARRAY_INDEX != 2")
    assert ended(daemon, task_id) == 1
    assert ended(daemon, f"{task_id}_2") == 1
    assert ended(daemon, f"{task_id}_3") == 0
    array = daemon.show(task_id)["array"]
    assert (array["done"], array["failed"]) == (3, 1)
    refused(daemon, "run", "-D", "--after", f"{task_id}_2", "true", words=[f"--after {task_id}"])
    assert ended(daemon, daemon.detach("--after-any", task_id, "true")) == 0


def test_a_file_of_lines_is_submitted(daemon, folder):
    lines = "# comment\n\necho one >>got-1\necho 'a  b' >>got-2\n   # no\necho $((1 + 2)) >>got-3"
    done = daemon.run("submit", "-n", "many", "-", input=lines)
    assert (done.returncode, done.stderr) == (0, "")
    ids = done.stdout.split()
    assert len(ids) == 3 and ids == sorted(ids, key=int)
    assert daemon.run("wait", *ids).returncode == 0
    assert [(folder / f"got-{i}").read_text() for i in (1, 2, 3)] == ["one\n", "a  b\n", "3\n"]
    (folder / "jobs").write_text("exit 4\n")
    done = daemon.run("submit", "jobs")
    assert ended(daemon, done.stdout.strip()) == 4


def test_more_lines_than_one_message_holds(daemon):
    done = daemon.run("submit", "-w", "inf", "-m", "1", "-", input="true\n" * 600, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    ids = done.stdout.split()
    assert len(set(ids)) == 600
    assert daemon.run("wait", *ids, timeout=120).returncode == 0


def test_a_bad_line_is_named_and_what_was_queued_said(daemon):
    done = daemon.run("submit", "-", input=b"true\n" * 260 + b"tr\0ue\n", text=False)
    assert done.returncode == 125
    assert len(done.stdout.split()) == 250
    assert b"line 261 of '-' has a NUL byte" in done.stderr
    assert b"250 tasks before line 251 were queued" in done.stderr
    done = daemon.run("submit", "-", input="true\n" + "x" * 131072 + "\n")
    assert (done.returncode, done.stdout) == (125, "")
    assert "line 2 of" in done.stderr and "nothing was queued" in done.stderr
    assert daemon.run("wait").returncode == 0


def test_a_running_one_is_cancelled_with_all_its_processes(daemon, folder):
    task_id = daemon.detach("setsid sleep 1000 & echo $! >child; sleep 1000")
    child = int(wait_until(lambda: (folder / "child").exists() and (folder / "child").read_text(), "it runs"))
    daemon.wait_id(task_id, "running")
    assert daemon.run("cancel", task_id).returncode == 0
    assert daemon.show(task_id)["state"] == "cancelled"
    assert not is_alive(child)


def test_a_waiting_one_is_held_updated_and_cancelled(daemon):
    filler, gate = daemon.fill()
    task_id = daemon.detach("-c", "1", "echo never")
    assert daemon.run("hold", task_id).returncode == 0
    assert daemon.run("update", task_id, "-p", "high", "-n", "new").returncode == 0
    task = daemon.show(task_id)
    assert (task["state"], task["priority"], task["name"]) == ("held", 200, "new")
    assert daemon.run("cancel", task_id).returncode == 0
    assert ended(daemon, task_id) == 125
    done = daemon.run("logs", task_id)
    assert done.returncode == 1 and "never started" in done.stderr
    gate.open()
    assert filler.wait() == 0


def test_the_agent_says_how_it_is_and_stops(daemon, place):
    done = daemon.run("agent", "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no agent is running" in done.stderr

    gate = place.gate()
    running = daemon.detach(gate.line)
    daemon.wait_id(running, "running")
    done = daemon.run("agent", "status")
    assert done.returncode == 0
    assert "1 running" in done.stdout and os.fspath(daemon.socket) in done.stdout

    assert daemon.run("agent", "stop").returncode == 0
    assert daemon.run("agent", "status").returncode == 1
    gate.open()
    wait_until(lambda: daemon.run("agent").returncode == 0, "it is started again")
    assert ended(daemon, running) == 0
    wait_until(lambda: not place.keepers(), "its keeper has ended")


def test_an_agent_that_is_stopped_with_nothing_to_do_leaves_nothing_to_wait_for(daemon):
    assert ended(daemon, daemon.detach("true")) == 0
    assert daemon.run("agent", "stop").returncode == 0
    checks = {check["check"]: check["text"] for check in daemon.json("doctor")["checks"]}
    assert checks["agent"].startswith("none runs"), checks
    assert ended(daemon, daemon.detach("true")) == 0, "and the next one begins anew"


def test_a_task_ends_well_without_its_agent(daemon, place):
    gate = place.gate()
    running = daemon.detach(f"{gate.line}; exit 5")
    daemon.wait_id(running, "running")
    for pid in place.agents():
        os.kill(pid, signal.SIGKILL)
    gate.open()
    assert ended(daemon, running) == 5
    wait_until(lambda: not place.keepers(), "its keeper has seen that there is an agent")


def test_one_without_an_agent_can_be_cancelled(daemon, place):
    running = daemon.detach("sleep 1000")
    wait_until(lambda: daemon.show(running)["pid"], "its process is known")
    assert daemon.run("agent", "stop").returncode == 0
    assert daemon.run("cancel", running).returncode == 0
    assert daemon.wait_id(running, "cancelled")


def test_one_whose_agent_died_before_it_could_start_can_be_cancelled(daemon, place, folder):
    """The daemon has granted it: it runs, and has no process yet."""
    daemon.detach("true")
    asleep = place.stop_nurseries()
    task_id = daemon.detach(f"echo ran >{folder}/ran")
    assert daemon.wait_id(task_id, "running")["pid"] is None
    for pid in place.agents() + asleep:
        harness.kill_quietly(pid)
    done = daemon.run("cancel", task_id)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert daemon.show(task_id)["state"] == "cancelled"
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("command, state", [("cancel", "cancelled"), ("hold", "held")])
def test_what_is_done_to_a_waiting_one_comes_before_an_agent_that_would_start_it(daemon, place, folder, command, state):
    filler, gate = daemon.fill()
    task_id = daemon.detach("-c", "1", f"echo ran >{folder}/ran")
    for pid in place.agents():
        harness.kill_quietly(pid)
    wait_until(lambda: not place.agents(), "it is gone")
    gate.open()
    assert filler.wait() == 0
    done = daemon.run(command, task_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.show(task_id)["state"] == state
    assert not (folder / "ran").exists()


def test_an_admin_is_told_what_only_the_agent_can_end(make_shared, users, place):
    """Not allowed to end another user's processes; the agent does it when it comes back."""
    shared = make_shared(settings={"admins": users[1].name})
    daemon, home = shared.daemon, place.make_folder("alice")
    os.chown(home, shared.alice.uid, shared.alice.gid)
    alice = {"env": {"HOME": home}, "user": shared.alice, "cwd": "/"}
    task_id = daemon.detach("sleep 1000", **alice)
    wait_until(lambda: daemon.show(task_id)["pid"], "its process is known")
    assert daemon.run("agent", "stop", **alice).returncode == 0
    done = daemon.run("cancel", task_id, user=shared.bob, cwd="/")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"task {task_id} has not ended, process" in done.stderr and "as soon as its agent runs again" in done.stderr
    assert daemon.show(task_id)["state"] == "running"
    assert daemon.run("agent", **alice).returncode == 0
    daemon.wait_id(task_id, "cancelled")


def test_root_ends_what_has_no_agent(shared, place):
    """At once, and as an agent would: a command that minds SIGTERM can tidy up."""
    daemon, home = shared.daemon, place.make_folder("alice")
    os.chown(home, shared.alice.uid, shared.alice.gid)
    alice = {"env": {"HOME": home}, "user": shared.alice, "cwd": "/"}
    task_id = daemon.detach("trap 'echo tidy; exit 3' TERM; echo began; while :; do sleep 0.05; done", **alice)
    wait_until(lambda: daemon.run("logs", task_id, **alice).stdout == "began\n", "it minds the signal")
    assert daemon.run("agent", "stop", **alice).returncode == 0
    done = daemon.run("cancel", task_id, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.logs(task_id, **alice).endswith("tidy\n")
    assert daemon.run("agent", **alice).returncode == 0
    daemon.wait_id(task_id, "cancelled")


def test_without_systemd_there_is_nothing_to_enable(daemon):
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("this machine runs systemd")
    done = daemon.run("agent", "enable")
    assert (done.returncode, done.stdout) == (1, "")
    assert "systemd" in done.stderr


@pytest.mark.parametrize(
    "args, words",
    [
        (["-o", "file", "true"], ["-o needs -D"]),
        (["--json", "true"], ["--json needs -D"]),
        (["--array", "0-9", "true"], ["--array needs -D"]),
        (["--retry", "1", "true"], ["--retry needs -D"]),
        (["--requeue", "true"], ["--requeue needs -D"]),
        (["-D", "--array", "0-9", "-o", "file", "true"], ["{index}"]),
        (["-D", "--retry", "1", "-o", "file", "true"], ["{id}"]),
        (["-D", "-o", "log-{jobid}", "true"], ["'{jobid}'", "{id}, {index} or {name}"]),
        (["-D", "--array", "0-9", "-o", "log-{index}-{x}", "true"], ["'{x}'"]),
        (["-D", "--array", "9-0", "true"], ["--array", "9-0"]),
        (["-D", "--retry", "1001", "true"], ["--retry", "1001"]),
        (["-D", "--after", "1_2", "true"], ["--after 1"]),
        (["-D", "-m", "1000T", "true"], []),
    ],
)
def test_what_makes_no_sense_is_refused(daemon, args, words):
    refused(daemon, "run", *args, words=words)


def test_a_task_file_knows_the_options(daemon, folder):
    (folder / "task.ini").write_text("[task]\ndetach = yes\noutput = out.{id}\nretry = 2\nname = from-file\n")
    done = daemon.run("run", "-f", "task.ini", "echo here")
    task_id = done.stdout.strip()
    assert ended(daemon, task_id) == 0
    assert (folder / f"out.{task_id}").read_text() == "here\n"
    assert daemon.show(task_id)["name"] == "from-file"
    assert daemon.run("run", "-s", "saved.ini", "--requeue", "--after", "1,2").returncode == 0
    assert "requeue = yes" in (folder / "saved.ini").read_text()
    assert "after = 1,2" in (folder / "saved.ini").read_text()


def test_nobody_reads_the_output_of_another(shared, place):
    daemon, alice, bob = shared.daemon, shared.alice, shared.bob
    homes = {}
    for user in (alice, bob):
        homes[user] = place.make_folder(f"home-{user.name}", 0o755)
        os.chown(homes[user], user.uid, user.gid)

    def of(user):
        return {"user": user, "cwd": "/", "env": {"HOME": homes[user]}}

    task_id = daemon.detach("echo secret", **of(alice))
    assert ended(daemon, task_id, **of(alice)) == 0
    assert daemon.logs(task_id, **of(alice)) == "secret\n"
    done = daemon.run("logs", task_id, **of(bob))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Permission denied" in done.stderr
    agent, = (homes[alice] / ".local/state/taskflow").glob("agent-*")
    assert stat.S_IMODE(agent.stat().st_mode) == 0o700


def test_a_personal_queue_has_detached_tasks_too(personal):
    task_id = personal.detach("-q", "echo mine")
    assert personal.run("wait", task_id).returncode == 0
    assert personal.logs(task_id) == "mine\n"


def test_quiet_is_quiet(personal):
    done = personal.run("run", "-D", "-q", "true")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_there_when_the_daemon_comes_back(daemon):
    filler, gate = daemon.fill()
    task_id = daemon.detach("-c", str(N_CPUS), "echo survived")
    daemon.kill()
    daemon.start_daemon()
    gate.open()
    assert filler.wait() == 0
    assert ended(daemon, task_id) == 0
    assert daemon.logs(task_id) == "survived\n"
    assert time.time() - harness.parse_time(daemon.show(task_id)["submitted_at"]) < 600
