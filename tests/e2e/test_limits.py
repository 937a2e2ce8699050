# SPDX-License-Identifier: GPL-3.0-or-later
"""What one user may take of the daemon: each limit is reached, named, and nobody else's trouble (docs/security.md)."""

import itertools
import json
import os
import resource
import select
import subprocess
import time

import pytest

from harness import N_CPUS, SANITIZED, RawClient, read_proc, wait_until

API = "io.taskflow.v1."
MIB = 1 << 20


def rss_bytes(pid):
    return int(read_proc(pid, "status").decode().split("VmRSS:")[1].split()[0]) * 1024


def lines_of(daemon, word):
    return [line for line in daemon.log_text().splitlines() if word in line]


def is_served(daemon, user=None):
    return daemon.run("ps", user=user, timeout=10).returncode == 0


def last_words(raw):
    """What a connection was told before it was ended."""
    answer = raw.receive()
    assert answer["error"] == API + "Limit", answer
    with pytest.raises(EOFError):
        raw.receive()
    return answer["parameters"]["message"]


# Time


@pytest.fixture
def hasty(make_daemon):
    return make_daemon(settings={"client_timeout": "1s"})


def test_half_a_message_is_waited_for_only_so_long(hasty):
    with RawClient(hasty.socket) as raw:
        raw.send(b'{"method":')
        assert "half a message" in last_words(raw)
    assert len(lines_of(hasty, "ended: half a message came, and no more of it within 1s")) == 1


def test_a_message_that_trickles_in_is_not_waited_for_longer(hasty):
    with RawClient(hasty.socket) as raw:
        raw.send(b"{")
        deadline = time.monotonic() + 20
        while not select.select([raw.socket], [], [], 0.05)[0]:
            assert time.monotonic() < deadline, "it goes on for ever"
            raw.send(b" ")
        assert "half a message" in last_words(raw)


def test_who_says_nothing_is_sent_away(hasty):
    with RawClient(hasty.socket) as silent, RawClient(hasty.socket) as once:
        assert "error" not in once.call("org.varlink.service.GetInfo")
        assert "nothing was said for 1s" in last_words(silent)
        assert "nothing was said for 1s" in last_words(once)


def test_runners_agents_and_who_waits_may_be_silent(hasty):
    filler, gate = hasty.fill()
    waiting = hasty.queue("w", "-c", "1")
    task_id = hasty.detach("-c", "1", "true")
    waiter = hasty.popen("wait", str(task_id))
    for _ in range(2):
        with RawClient(hasty.socket) as silent:
            last_words(silent)
    assert len(lines_of(hasty, "ended: nothing was said")) == 2, hasty.log_text()
    gate.open()
    assert (filler.wait(), waiting.wait(), waiter.wait()) == (0, 0, 0)


def submit_long(raw, n=4096):
    """A task that waits, and whose description is long: each byte takes six in JSON. Its id."""
    text = "\1" * n
    task = {"key": os.urandom(16).hex(), "command": text, "name": text, "cwd": text, "needs": {"cpus": N_CPUS}}
    return raw.call(API + "Submit", {"task": task})["parameters"]["id"]


def test_who_does_not_read_is_not_served_and_then_cut(hasty):
    filler, gate = hasty.fill()
    with RawClient(hasty.socket) as runner, RawClient(hasty.socket) as deaf:
        call = json.dumps({"method": API + "Show", "parameters": {"id": submit_long(runner)}}).encode() + b"\0"
        before = rss_bytes(hasty.pid)
        deaf.send(call * 2000)
        wait_until(lambda: lines_of(hasty, "ended: it has read nothing of what it asked for within 1s"), "it is cut")
        assert rss_bytes(hasty.pid) - before < 4 * MIB
        answers = deaf.receive_all()
        assert 0 < len(answers) < 20, "the others were never made"
    gate.open()
    assert filler.wait() == 0
    assert is_served(hasty)


def test_who_reads_slowly_gets_it_all(hasty):
    """Nobody is cut who still reads, however long it takes him."""
    filler, gate = hasty.fill()
    with RawClient(hasty.socket) as runner, RawClient(hasty.socket) as slow:
        call = json.dumps({"method": API + "Show", "parameters": {"id": submit_long(runner)}}).encode() + b"\0"
        slow.send(call * 60)
        for _ in range(60):
            assert "error" not in slow.receive()
            time.sleep(0.05)  # this is what it is about: 3 s in all, where 1 s is allowed for nothing
    gate.open()
    assert filler.wait() == 0


# Memory


def test_messages_that_are_not_whole_have_a_limit_by_user(make_shared):
    """Most of a message on each of many connections."""
    shared = make_shared()
    daemon = shared.daemon
    before = rss_bytes(daemon.pid)
    code = """
import socket, sys
held = []
for i in range(40):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    try:
        s.sendall(b" " * 900000)
    except OSError:
        pass
    held.append(s)
refused = 0
for s in held:
    s.setblocking(False)
    try:
        refused += b"not whole" in s.recv(4096)
    except BlockingIOError:
        pass
    except OSError:
        refused += 1
print("refused", refused, flush=True)
sys.stdin.read()
"""
    proc = daemon.place.start(["/usr/bin/python3", "-c", code, daemon.socket], cwd="/", stdin=subprocess.PIPE,
                              **shared.alice.kwargs())
    wait_until(lambda: "refused" in proc.out, "all were sent")
    assert 15 < int(proc.out.split()[1]) < 40, proc.out
    assert rss_bytes(daemon.pid) - before < 40 * MIB
    assert lines_of(daemon, "ended: too much of its user's messages is not whole")
    assert is_served(daemon, shared.bob)
    proc.popen.stdin.close()
    proc.wait()
    wait_until(lambda: is_served(daemon, shared.alice), "alice is served again")


def test_what_waits_to_be_read_has_a_limit_by_user(make_shared, many_descriptors):
    """Each of these connections is within its own limit."""
    if many_descriptors < 2000:
        pytest.skip(f"only {many_descriptors} descriptors here")
    shared = make_shared()
    daemon = shared.daemon
    filler, gate = daemon.fill()
    before = rss_bytes(daemon.pid)
    code = """
import json, socket, sys
held = []
call = json.dumps({"method": "io.taskflow.v1.Show", "parameters": {"id": int(sys.argv[2])}}).encode() + b"\\0"
for i in range(900):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    s.sendall(call * 20)
    held.append(s)
print("sent", flush=True)
sys.stdin.read()
"""
    with RawClient(daemon.socket) as runner:
        proc = daemon.place.start(
            ["/usr/bin/python3", "-c", code, daemon.socket, str(submit_long(runner))], cwd="/", stdin=subprocess.PIPE,
            **shared.alice.kwargs(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000)))
        wait_until(lambda: "sent" in proc.out, "all have asked", 40)
        wait_until(lambda: lines_of(daemon, "ended: of its user more than 64M waits to be read"), "some were cut", 40)
        assert is_served(daemon, shared.bob)
        assert SANITIZED or rss_bytes(daemon.pid) - before < 96 * MIB
        proc.popen.stdin.close()
        proc.wait()
    gate.open()
    assert filler.wait() == 0


# Of each of many users as much as he may have; it says how much of that was ended.
MANY_USERS = """
import os, socket, sys
held = []
for uid in range(64200, 64212):
    os.seteuid(0)
    os.seteuid(uid)
    for _ in range(14):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(sys.argv[1])
        try:
            s.sendall(b" " * 900000)
        except OSError:
            pass
        held.append(s)
print("sent", flush=True)
sys.stdin.read()
"""


def test_messages_that_are_not_whole_have_a_limit_of_all_users_that_the_greediest_meet(make_shared):
    """Each of them is within his own; and who has just one such message under way is not the one who must go."""
    shared = make_shared()
    daemon = shared.daemon
    before = rss_bytes(daemon.pid)
    call = json.dumps({"method": "org.varlink.service.GetInfo"}).encode() + b"\0"
    with shared.bob.connect(daemon.socket) as bob, shared.alice.connect(daemon.socket) as alice:
        bob.send(b" " * 700000)
        proc = daemon.place.start(["/usr/bin/python3", "-c", MANY_USERS, daemon.socket], cwd="/", stdin=subprocess.PIPE)
        wait_until(lambda: "sent" in proc.out, "all were sent", 60)
        wait_until(lambda: lines_of(daemon, "ended: too much of all users' messages is not whole"), "some were ended")
        alice.send(b" " * 700000)
        for raw in (bob, alice):
            raw.send(call)
            assert "error" not in raw.receive()
        assert SANITIZED or rss_bytes(daemon.pid) - before < (128 + 22) * MIB
        assert not lines_of(daemon, "too much of its user's")
        ended = lines_of(daemon, "ended: ")
        assert all(f"connection of uid {uid}," not in line for line in ended for uid in (shared.alice.uid, shared.bob.uid))
        proc.popen.stdin.close()
        assert proc.wait() == 0, proc.err


# Tasks


def test_elements_that_are_held_count_like_tasks(make_shared):
    shared = make_shared(settings={"max_pending_per_user": "3"})
    daemon = shared.daemon
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), user=shared.alice, cwd="/")
    array = daemon.detach("--array", "0-9", "-c", "1", "true")
    done = daemon.run("hold", *[f"{array}_{i}" for i in range(4)])
    assert done.returncode == 1
    assert done.stderr.count("as many waiting tasks as max_pending_per_user allows") == 2, done.stderr
    assert daemon.run("cancel", f"{array}_9").returncode == 0, "what is over at once takes no room"
    assert daemon.run("cancel", str(array)).returncode == 0
    gate.open()
    assert filler.wait() == 0


# Turns


def test_one_call_of_another_user_does_not_wait_for_a_flood(make_shared):
    """Of hundreds of calls that each take milliseconds only a few are served before the one of somebody else."""
    shared = make_shared()
    daemon = shared.daemon
    code = """
import json, select, socket, sys
call = json.dumps({"method": "io.taskflow.v1.Cancel", "parameters": {"ids": list(range(100000, 105000))}}).encode() + b"\\0"
flood = []
for i in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(call)
    flood.append(s)
print("sent", flush=True)
for _ in sys.stdin:
    print("answered", len(select.select(flood, [], [], 0)[0]), flush=True)
for s in flood:
    assert s.recv(100)
print("all", flush=True)
"""
    proc = daemon.place.start(["/usr/bin/python3", "-c", code, daemon.socket], cwd="/", stdin=subprocess.PIPE,
                              **shared.alice.kwargs())

    def n_answered(n_asked=itertools.count(1)):
        n = next(n_asked)
        proc.popen.stdin.write(b"?\n")
        proc.popen.stdin.flush()
        wait_until(lambda: proc.out.count("answered") == n, "it says how many were answered", interval=0.001)
        return int(proc.out.split()[-1])

    with RawClient(daemon.socket, 30) as bob:
        wait_until(lambda: "sent" in proc.out, "the flood is there", interval=0.001)
        before = n_answered()
        assert "error" not in bob.call("org.varlink.service.GetInfo")
        assert n_answered() - before < 60
    proc.popen.stdin.close()
    assert proc.wait(60) == 0
    assert "all" in proc.out
