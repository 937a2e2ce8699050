# SPDX-License-Identifier: GPL-3.0-or-later
"""A flood of strangers: everything at once that they may send. What it costs the others in time, `make bench` says (tests/bench/flood.py);
here nobody's answer is lost, and the daemon's memory stays within what docs/security.md computes.
"""

import resource
import subprocess

import pytest

from harness import N_CPUS, SANITIZED, read_proc, wait_until

MIB = 1 << 20
# docs/security.md: the daemon, the message that is read; and of each user connections, messages that are not whole, what waits to be read,
# tasks, and one more message of them.
BOUND = (16 + 22) * MIB
BOUND_A_USER = (8 + 16 + 64 + 256 + 24) * MIB

# 1,000 connections that send messages of 100 MB, and come again when they are ended; tasks as fast as they are answered, 5,000 at least.
# It says how far it is, and goes on until its stdin ends.
FLOOD = """
import contextlib, json, os, select, socket, sys

path, n_cpus = sys.argv[1], int(sys.argv[2])
os.nice(19)
piece = b" " * (1 << 16)
connections = {}
poller = select.poll()
n_ended = n_tasks = n_refused = 0
said = False


def connect():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.setblocking(False)
    return connection


def come_again():
    with contextlib.suppress(OSError):
        while len(connections) < 1000:
            connection = connect()
            connections[connection.fileno()] = [connection, 100_000_000]
            poller.register(connection, select.POLLOUT)


def send_more(fd):
    entry = connections[fd]
    try:
        entry[1] -= entry[0].send(piece)
    except BlockingIOError:
        return False
    except OSError:
        entry[1] = 0
    if entry[1] <= 0:
        poller.unregister(fd)
        connections.pop(fd)[0].close()
        return True
    return False


def submit(n):
    calls = b""
    for _ in range(n):
        task = {"key": os.urandom(16).hex(), "command": "x" * 200, "cwd": "/", "needs": {"cpus": n_cpus}}
        calls += json.dumps({"method": "io.taskflow.v1.Submit", "parameters": {"task": task}}).encode() + b"\\0"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(calls)
        answers = b""
        while answers.count(b"\\0") < n:
            more = connection.recv(1 << 20)
            if not more:
                break
            answers += more
        return answers.count(b'"id"')
    return 0


while not select.select([sys.stdin], [], [], 0)[0]:
    come_again()
    for fd, _ in poller.poll(0):
        n_ended += send_more(fd)
    n_tasks += submit(100)
    if not said and n_ended >= 1000 and n_tasks >= 5000:
        said = True
        print("under way", flush=True)
print("ended", n_ended, "tasks", n_tasks, flush=True)
"""


def most_memory(pid):
    return int(read_proc(pid, "status").decode().split("VmHWM:")[1].split()[0]) * 1024


def flood(daemon, user):
    def many():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1100, 1100))

    return daemon.place.start(["/usr/bin/python3", "-c", FLOOD, daemon.socket, str(N_CPUS)], cwd="/", stdin=subprocess.PIPE,
                              preexec_fn=many, **user.kwargs())


def end(proc):
    proc.popen.stdin.close()
    assert proc.wait(60) == 0, proc.err


def test_nobody_elses_answer_is_lost_in_a_flood(make_shared, many_descriptors):
    if many_descriptors < 2000:
        pytest.skip(f"only {many_descriptors} descriptors here")
    shared = make_shared()
    daemon = shared.daemon
    proc = flood(daemon, shared.alice)
    with shared.bob.connect(daemon.socket, 60) as early:
        n_calls = 0
        while "under way" not in proc.out:
            assert proc.popen.poll() is None, proc.err
            assert "error" not in early.call("org.varlink.service.GetInfo")
            n_calls += 1
        for i in range(10):
            done = daemon.run("ps", "-u", user=shared.bob, timeout=60)
            assert (done.returncode, done.stderr) == (0, ""), done
            done = daemon.run("run", "-q", "-m", "1M", "-d", "0", f"echo {i}", user=shared.bob, cwd="/", timeout=60)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{i}\n", ""), done
            assert "error" not in early.call("org.varlink.service.GetInfo")
    assert n_calls > 0
    assert f"connection of uid {shared.bob.uid}," not in daemon.log_text()
    if not SANITIZED:
        assert most_memory(daemon.pid) < BOUND + BOUND_A_USER
    end(proc)
    assert daemon.proc.poll() is None
    # What waited with a connection is gone with it; bob is there before and after.
    wait_until(lambda: daemon.status()["tasks"]["pending"] == 0, "what the flood submitted is gone with it", 60)
    assert daemon.run("run", "-q", "true", user=shared.bob, cwd="/").returncode == 0
