# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: owners, admins, everybody, and those whom the settings keep out."""

import signal

import pytest

from harness import N_CPUS, RawClient, wait_until

API = "io.taskflow.v1."
KEPT_OUT = "keep you out (allow_users, deny_users)"


def reload(daemon, **settings):
    """SIGHUP, and until it has been heard."""
    daemon.write_settings(**settings)
    n = daemon.log_text().count("settings read again")
    daemon.proc.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log_text().count("settings read again") > n, "the settings are read again")


def is_kept_out(daemon, user, *args):
    done = daemon.run(*args, user=user, cwd="/")
    if done.returncode == 0:
        return False
    assert KEPT_OUT in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
    return True


LOOKS = [["ps"], ["status"], ["run", "-q", "true"], ["run", "-q", "--dry-run", "true"]]


@pytest.mark.parametrize("args", LOOKS, ids=" ".join)
def test_who_is_denied_is_refused_and_others_are_not(make_shared, users, args):
    shared = make_shared(settings={"deny_users": users[0].name})
    assert is_kept_out(shared.daemon, shared.alice, *args)
    assert not is_kept_out(shared.daemon, shared.bob, *args)


def test_only_those_who_are_allowed_are_let_in(make_shared, users):
    shared = make_shared(settings={"allow_users": f"@{users[1].name}"})
    assert is_kept_out(shared.daemon, shared.alice, "ps")
    assert not is_kept_out(shared.daemon, shared.bob, "run", "-q", "true")


def test_who_is_denied_is_not_let_in_by_a_group(make_shared, users):
    shared = make_shared(settings={"allow_users": f"@{users[0].name}", "deny_users": users[0].name})
    assert is_kept_out(shared.daemon, shared.alice, "ps")


def test_admins_are_never_kept_out(make_shared, users):
    shared = make_shared(settings={"admins": f"root,{users[1].name}", "deny_users": users[1].name, "allow_users": "4711"})
    assert not is_kept_out(shared.daemon, shared.bob, "ps")
    assert shared.daemon.run("status").returncode == 0


def test_who_is_kept_out_later_sees_his_tasks_to_their_end(shared):
    """The connections that are open hear of it, too: alice's agent would else queue for her for ever."""
    daemon, alice = shared.daemon, shared.alice
    proc, gate = daemon.start("t", user=alice, cwd="/")
    second, _ = daemon.start("u", user=alice, cwd="/", command="exec sleep 1000")
    reload(daemon, deny_users=alice.name)
    assert is_kept_out(daemon, alice, "run", "-q", "true")
    gate.open()
    assert proc.wait() == 0
    daemon.wait_state("t", "done")
    done = daemon.run("cancel", str(daemon.task("u")["id"]), user=alice)
    assert (done.returncode, done.stderr) == (0, "")
    assert second.wait() == -signal.SIGTERM
    reload(daemon)
    assert not is_kept_out(daemon, alice, "run", "-q", "true")


def test_an_open_connection_loses_and_gains_the_rights_of_admins(shared):
    daemon, bob = shared.daemon, shared.bob
    with RawClient(daemon.socket) as root:
        assert "error" not in root.call(API + "Drain")
        reload(daemon, admins=bob.name)
        assert root.call(API + "Undrain")["error"] == API + "NotPermitted"
        assert daemon.run("undrain", user=bob).returncode == 0
        reload(daemon)
        assert "error" not in root.call(API + "Undrain")
    assert daemon.run("drain", user=bob).returncode == 1


def test_an_admin_changes_the_priority_of_anybodys_task_and_nobody_else(shared):
    daemon = shared.daemon
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), user=shared.alice, cwd="/")
    procs = []
    for name in ("first", "second"):
        procs.append(daemon.popen("run", "-n", name, "-c", "1", "true", user=shared.alice, cwd="/"))
        daemon.wait_state(name, "pending")
    second = str(daemon.task("second")["id"])
    done = daemon.run("update", second, "-p", "high", user=shared.bob)
    assert done.returncode == 1 and "not yours" in done.stderr
    assert daemon.run("update", second, "-p", "high").returncode == 0
    assert daemon.show(int(second))["priority"] == 200
    assert [t["name"] for t in daemon.ps() if t["state"] == "pending"] == ["second", "first"]
    gate.open()
    assert [proc.wait() for proc in [filler, *procs]] == [0] * 3


# The log


def lines_of(daemon, word):
    return [line for line in daemon.log_text().splitlines() if word in line]


def test_what_an_admin_does_to_the_task_of_another_is_in_the_log(shared):
    daemon, alice = shared.daemon, shared.alice
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), user=alice, cwd="/")
    waiting = daemon.popen("run", "-n", "w", "-c", "1", "true", user=alice, cwd="/")
    daemon.wait_state("w", "pending")
    task_id = daemon.task("w")["id"]
    for command, *more in (["hold"], ["release"], ["update", "-p", "7"], ["cancel"]):
        assert daemon.run(command, str(task_id), *more).returncode == 0
        line = lines_of(daemon, f"{command.capitalize()} of task {task_id} of uid {alice.uid} by uid 0, pid ")
        assert len(line) == 1, daemon.log_text()
    assert waiting.wait() != 0
    gate.open()
    assert filler.wait() == 0


def test_what_people_do_to_their_own_tasks_is_not_in_the_log(shared):
    daemon, alice = shared.daemon, shared.alice
    proc, _ = daemon.start("t", user=alice, cwd="/", command="exec sleep 1000")
    assert daemon.run("cancel", str(daemon.task("t")["id"]), user=alice).returncode == 0
    assert proc.wait() == -signal.SIGTERM
    assert not lines_of(daemon, "by uid"), daemon.log_text()


def test_what_was_refused_is_in_the_log(make_shared, users):
    shared = make_shared(settings={"deny_users": users[2].name})
    daemon, alice, bob, carol = shared.daemon, shared.alice, shared.bob, users[2]
    filler, gate = daemon.start("t", "-c", str(N_CPUS), user=alice, cwd="/")
    task_id = daemon.task("t")["id"]
    for command, *more in (["hold"], ["update", "-p", "7"], ["cancel"]):
        assert daemon.run(command, str(task_id), *more, user=bob).returncode == 1
        word = f"refused: {command.capitalize()} of task {task_id} of uid {alice.uid} by uid {bob.uid}, pid "
        assert len(lines_of(daemon, word)) == 1, daemon.log_text()
    assert daemon.run("drain", user=bob).returncode == 1
    assert len(lines_of(daemon, f"refused: Drain by uid {bob.uid}, pid ")) == 1
    assert daemon.run("ps", user=carol).returncode == 1
    assert len(lines_of(daemon, f"refused: List by uid {carol.uid}, pid ")) == 1
    gate.open()
    assert filler.wait() == 0


def test_who_drained_and_undrained_is_in_the_log_and_cannot_forge_a_line(shared):
    daemon = shared.daemon
    assert daemon.run("drain", "one\ntaskflowd: two\033[31m").returncode == 0
    assert len(lines_of(daemon, "drained by uid 0, pid ")) == 1
    assert lines_of(daemon, "one?taskflowd: two?[31m")
    assert daemon.run("undrain").returncode == 0
    assert len(lines_of(daemon, "undrained by uid 0, pid ")) == 1


def test_refusals_do_not_fill_the_log(shared):
    daemon, alice = shared.daemon, shared.alice
    proc, gate = daemon.start("t", user=alice, cwd="/")
    ids = ",".join([str(daemon.task("t")["id"])] * 5000)
    call = '{"method":"io.taskflow.v1.Cancel","parameters":{"ids":[%s]}}' % ids
    code = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n" \
           "s.sendall(sys.stdin.buffer.read() + b'\\0')\nprint(len(s.recv(100)))"
    done = daemon.place.run(["/usr/bin/python3", "-c", code, daemon.socket], input=call, cwd="/",
                            **shared.bob.kwargs())
    assert done.stdout.strip() == "100", done.stderr
    assert 1 <= len(lines_of(daemon, "refused: Cancel")) <= 40
    gate.open()
    assert proc.wait() == 0
