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
