# SPDX-License-Identifier: GPL-3.0-or-later
"""What one client sends cannot stop, slow down or fool the daemon for the others; and no daemon can fool a client."""

import contextlib
import json
import os
import pathlib
import random
import resource
import socket
import subprocess
import threading
import time

import pytest

from harness import N_CPUS, TASKFLOW, RawClient, children_of, limit_descriptors, n_sleeps, read_proc, wait_until

INFO = {"method": "org.varlink.service.GetInfo", "parameters": {}}


def cpu_ticks(pid):
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def assert_responsive(daemon):
    start = time.monotonic()
    assert daemon.run("run", "-q", "-w", "5", "true").returncode == 0
    assert daemon.run("ps").returncode == 0
    assert time.monotonic() - start < 2
    assert daemon.proc.poll() is None


# Messages


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"nonsense\0",
        b"{\0",
        b"[]\0",
        b"null\0",
        b'"text"\0',
        b"{}\0",
        b'{"method":5}\0',
        b'{"method":null,"parameters":{}}\0',
        b'{"method":"io.taskflow.v1.Status","parameters":[]}\0',
        b'{"method":"io.taskflow.v1.Status","parameters":{},"unknown":1}\0',
        b'{"method":"io.taskflow.v1.Status","parameters":{"unknown":1}}\0',
        b'{"method":"io.taskflow.v1.Status","method":"io.taskflow.v1.Status","parameters":{}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{"id":1,"id":2}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{"id":"1"}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{"id":-1}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{"id":1.5}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{"id":99999999999999999999999}}\0',
        b'{"method":"io.taskflow.v1.Show","parameters":{}}\0',
        b'{"method":"io.taskflow.v1.Cancel","parameters":{"ids":[' + b"1," * 20000 + b"1]}}\0",
        b'{"method":"io.taskflow.v1.Status","parameters":{}} trailing\0',
        b'{"method":"io.taskflow.v1.\xff\xfe","parameters":{}}\0',
        b'{"method":"io.taskflow.v1.\\u0000Status","parameters":{}}\0',
        b"[" * 100000 + b"\0",
        b'{"a":' * 50000 + b"\0",
        b'{"method":"io.taskflow.v1.Submit","parameters":{}}\0',
        b'{"method":"io.taskflow.v1.Offer","parameters":{}}\0',
        b'{"error":"io.taskflow.v1.Refused","parameters":{}}\0',
        b'{"parameters":{}}\0',
    ],
    ids=lambda data: data[:60].decode("latin-1") + f" ({len(data)})",
)
def test_a_message_that_makes_no_sense_is_refused_on_that_connection_alone(daemon, data):
    with RawClient(daemon.socket) as good, RawClient(daemon.socket) as bad:
        bad.send(data)
        answers = []
        with contextlib.suppress(EOFError):
            answers.append(bad.receive())
        for answer in answers:
            assert "error" in answer, answer
            assert isinstance(answer.get("parameters", {}).get("message", ""), str)
        assert "parameters" in good.call(INFO["method"])
    assert_responsive(daemon)


def test_an_unknown_method_is_said_to_be_unknown_and_the_connection_goes_on(daemon):
    with RawClient(daemon.socket) as raw:
        answer = raw.call("io.taskflow.v1.FromTheFuture")
        assert answer["error"] == "org.varlink.service.MethodNotFound"
        assert "error" not in raw.call(INFO["method"])


def test_an_over_long_message_ends_its_connection(daemon):
    with RawClient(daemon.socket, 5) as raw:
        with contextlib.suppress(OSError):
            for _ in range(40):
                raw.send(b"x" * 65536)
        answers = raw.receive_all()
        assert all("error" in answer for answer in answers)
    assert_responsive(daemon)
    assert int(read_proc(daemon.pid, "status").decode().split("VmRSS:")[1].split()[0]) < 100 * 1024


def test_a_message_just_short_enough_is_read(daemon):
    with RawClient(daemon.socket) as raw:
        call = json.dumps({"method": "io.taskflow.v1.Status", "parameters": {}}).encode()
        raw.send(b" " * (1024 * 1024 - 1 - len(call)) + call + b"\0")
        answer = raw.receive()
        assert "error" not in answer, answer


def test_half_a_message_waits_for_the_other_half_and_holds_up_nobody(daemon):
    call = json.dumps(INFO).encode()
    with RawClient(daemon.socket) as raw:
        raw.send(call[:10])
        assert_responsive(daemon)
        raw.send(call[10:])
        assert_responsive(daemon)
        raw.send(b"\0")
        assert "error" not in raw.receive()


def test_many_messages_at_once_are_answered_in_their_order(daemon):
    filler, gate = daemon.fill()
    task_id = daemon.task("filler")["id"]
    with RawClient(daemon.socket) as raw:
        calls = []
        for i in range(300):
            calls.append(INFO if i % 2 else {"method": "io.taskflow.v1.Show", "parameters": {"id": task_id}})
        raw.send(b"".join(json.dumps(call).encode() + b"\0" for call in calls))
        answers = [raw.receive() for _ in calls]
    assert ["version" in json.dumps(answer) for answer in answers[1::2]] == [True] * 150
    assert all("error" not in answer for answer in answers)
    gate.open()
    assert filler.wait() == 0


def test_a_client_that_never_reads_is_cut_and_costs_nothing(daemon):
    filler, gate = daemon.fill()
    procs = [daemon.popen("run", "-q", "-c", "1", "true #" + "x" * 3900) for _ in range(30)]
    daemon.wait_for(lambda ts: len(ts) == 31, "all are in the queue", timeout=40)
    with RawClient(daemon.socket, 3) as raw:
        call = {"method": "io.taskflow.v1.List", "parameters": {"ended": True}, "more": True}
        with contextlib.suppress(OSError):
            for _ in range(2000):
                raw.send_json(call)
        assert_responsive(daemon)
        assert int(read_proc(daemon.pid, "status").decode().split("VmRSS:")[1].split()[0]) < 200 * 1024
    gate.open()
    assert filler.wait() == 0
    assert [proc.wait(60) for proc in procs] == [0] * 30


def test_random_bytes(daemon):
    random_ = random.Random(4711)
    for _ in range(60):
        with RawClient(daemon.socket, 2) as raw, contextlib.suppress(OSError):
            raw.send(random_.randbytes(random_.randrange(1, 3000)))
            if random_.random() < 0.5:
                raw.send(b"\0")
    assert_responsive(daemon)


def test_mutated_messages(daemon):
    """Good calls with a byte changed here and there."""
    random_ = random.Random(1701)
    calls = [
        {"method": "io.taskflow.v1.List", "parameters": {"ended": True}, "more": True},
        {"method": "io.taskflow.v1.Cancel", "parameters": {"ids": [4711, 4712]}},
        {"method": "io.taskflow.v1.Wait", "parameters": {"ids": [4711]}},
        {"method": "io.taskflow.v1.Update", "parameters": {"id": 4711, "priority": 3}},
    ]
    for _ in range(200):
        data = bytearray(json.dumps(random_.choice(calls)).encode())
        for _ in range(random_.randrange(1, 4)):
            data[random_.randrange(len(data))] = random_.randrange(1, 256)
        with RawClient(daemon.socket, 2) as raw, contextlib.suppress(OSError):
            raw.send(bytes(data) + b"\0")
            raw.send(json.dumps(INFO).encode() + b"\0")
    assert_responsive(daemon)


def test_descriptors_that_nobody_asked_for_are_closed(daemon):
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for _ in range(20):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw, contextlib.suppress(OSError):
            raw.connect(os.fspath(daemon.socket))
            for _ in range(5):
                socket.send_fds(raw, [json.dumps(INFO).encode() + b"\0"], [0, 0, 0, 0])
    assert_responsive(daemon)
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before, "none of them is left open")


def test_a_pidfd_of_another_users_process_is_not_taken_for_a_tasks(daemon):
    """Started with the descriptor of process 1, on a task that does not exist and on one of another connection."""
    proc, gate = daemon.start("t")
    task = daemon.wait_for(lambda ts: ts[0] if ts[0]["pid"] else None)
    pidfd = os.pidfd_open(1)
    try:
        for task_id in (task["id"], 4711):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw, contextlib.suppress(OSError):
                raw.settimeout(2)
                raw.connect(os.fspath(daemon.socket))
                call = {"method": "io.taskflow.v1.Started", "parameters": {"id": task_id}, "oneway": True}
                socket.send_fds(raw, [json.dumps(call).encode() + b"\0"], [pidfd])
                raw.send(json.dumps(INFO).encode() + b"\0")
                raw.recv(4096)
    finally:
        os.close(pidfd)
    assert daemon.show(task["id"])["pid"] == task["pid"]
    gate.open()
    assert proc.wait() == 0


# Connections


def test_thousands_of_idle_connections_do_not_hinder_anybody_and_have_a_limit(make_shared, many_descriptors):
    shared = make_shared()
    daemon = shared.daemon
    if many_descriptors < 6000:
        pytest.skip(f"only {many_descriptors} descriptors here")
    limits = read_proc(daemon.pid, "limits").decode()
    if int(limits.split("Max open files")[1].split()[0]) < 6000:
        pytest.skip("the daemon has too few descriptors")
    code = """
import socket, sys, time
held = []
refusal = b""
for i in range(4300):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect(sys.argv[1])
    except OSError as e:
        print("connect", i, e, flush=True)
        break
    held.append(s)
print("connected", len(held), flush=True)
for s in held[4096:]:
    try:
        data = s.recv(4096)
    except OSError:
        data = b""
    if data:
        refusal = data
        break
print("refusal", refusal.decode(), flush=True)
sys.stdin.read()
"""
    proc = daemon.place.start(
        ["/usr/bin/python3", "-c", code, daemon.socket], cwd="/", stdin=subprocess.PIPE, **shared.alice.kwargs(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (6000, 6000)),
    )
    wait_until(lambda: "refusal" in proc.out, "it has them all", 40)
    assert "4096" in proc.out.split("refusal")[1], f"the refusal names the limit: {proc.out}"
    done = daemon.run("ps", user=shared.bob, timeout=5)
    assert done.returncode == 0, "others are not hindered"
    assert daemon.run("run", "true", user=shared.bob, cwd="/", timeout=5).returncode == 0
    done = daemon.run("ps", user=shared.alice, timeout=5)
    assert done.returncode != 0 and "4096" in done.stderr, done.stderr
    done = daemon.run("run", "true", user=shared.alice, cwd="/", timeout=5)
    assert done.returncode == 125 and "4096" in done.stderr, done.stderr
    proc.popen.stdin.close()
    proc.wait()
    wait_until(lambda: daemon.run("ps", user=shared.alice).returncode == 0, "alice is served again")


def flood(daemon, n=120):
    """Connections that stay, until no more are taken."""
    held = []
    with contextlib.suppress(OSError):
        for _ in range(n):
            held.append(RawClient(daemon.socket, 2))
    return held


def test_running_out_of_descriptors_heals_by_itself(make_daemon):
    daemon = make_daemon(preexec_fn=limit_descriptors(48))
    proc, gate = daemon.start("t")
    daemon.wait_for(lambda ts: ts[0]["pid"], "its process is known")
    held = flood(daemon)
    before, slept = cpu_ticks(daemon.pid), n_sleeps(daemon.pid)
    wait_until(lambda: n_sleeps(daemon.pid) >= slept + 5, "it rests between one try and the next")
    spent = (cpu_ticks(daemon.pid) - before) / os.sysconf("SC_CLK_TCK")
    assert spent < 0.5, f"it spins: {spent} s of CPU in 5 tries"
    for raw in held:
        raw.close()
    assert_responsive(daemon)
    assert daemon.log_text().count("\n") < 30
    gate.open()
    assert proc.wait() == 0
    daemon.wait_state("t", "done")


@pytest.mark.parametrize("memory", ["0", "10M"])
def test_a_task_that_starts_with_the_last_descriptor_is_not_forgotten(make_daemon, memory):
    """Its process comes as a descriptor, for which there is none left; and RAM is read through one."""
    limit = 64
    daemon = make_daemon(preexec_fn=limit_descriptors(limit))

    def n_open():
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    held = []
    with contextlib.suppress(AssertionError):  # it may keep some back for itself
        while n_open() < limit - 1:
            before = n_open()
            held.append(RawClient(daemon.socket, 2))
            wait_until(lambda n=before: n_open() > n, "it is let in", 1)
    gate = daemon.place.gate()
    proc = daemon.popen("run", "-n", "t", "-m", memory, f"read x <{gate.path}; exit 5")
    with contextlib.suppress(AssertionError):
        wait_until(lambda: children_of(proc.pid), "its command runs", 2)
    for raw in held:
        raw.close()
    assert daemon.wait_state("t", "running", timeout=8)
    gate.open()
    assert proc.wait() == 5
    assert daemon.wait_state("t", "failed")["exit_status"] == 5


def test_connections_that_come_and_go_leave_nothing_behind(daemon):
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    stop = time.monotonic() + 2

    def storm():
        while time.monotonic() < stop:
            with contextlib.suppress(OSError, EOFError), RawClient(daemon.socket, 2) as raw:
                if random.random() < 0.5:
                    raw.call(INFO["method"])

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert_responsive(daemon)
    for thread in threads:
        thread.join()
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before, "all are closed")
    assert_responsive(daemon)


def test_many_waiting_for_tasks_cost_nothing(daemon):
    proc, gate = daemon.start("t")
    task_id = str(daemon.task("t")["id"])
    waiters = [daemon.popen("wait", task_id) for _ in range(20)]
    assert_responsive(daemon)
    gate.open()
    assert proc.wait() == 0
    assert [waiter.wait() for waiter in waiters] == [0] * 20


# A daemon that is none


class Impostor:
    """Answers each request as it was told to."""

    def __init__(self, path, answer):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(path))
        self.listener.listen()
        self.answer = answer
        self.heard = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while True:
                while b"\0" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                message, _, data = data.partition(b"\0")
                self.heard.append(json.loads(message))
                answer = self.answer(self.heard[-1])
                if answer is None:
                    return
                connection.sendall(answer)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def impostor(place):
    made = []

    def make(answer):
        made.append(Impostor(place.folder / "impostor", answer))
        return place.env(TASKFLOW_SOCKET=place.folder / "impostor")

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\0", b"nonsense\0", b"[]\0", b"{}\0", b'{"parameters":{}}\0', b'{"parameters":{"id":-1}}\0',
        b'{"parameters":{"id":1,"granted":true}}\0', b"x" * (2 * 1024 * 1024) + b"\0", b"[" * 100000 + b"\0",
        b'{"error":5}\0', b'{"error":"io.taskflow.v1.Refused"}\0',
        b'{"method":"io.taskflow.v1.Offer","parameters":{}}\0',
    ],
    ids=lambda data: data[:40].decode() + f" ({len(data)})",
)
def test_an_answer_that_makes_no_sense_runs_nothing(place, impostor, data):
    env = impostor(lambda _: data)
    done = place.run([TASKFLOW, "run", "-w", "3", "echo started"], env=env)
    assert (done.returncode, done.stdout) == (125, ""), done
    assert done.stderr.count("\n") <= 2
    for args in (["ps"], ["status"], ["show", "1"], ["cancel", "1"], ["why", "1"]):
        done = place.run([TASKFLOW, *args], env=env, timeout=5)
        assert done.returncode in (1, 3) or b"parameters" in data, args
        assert done.stderr.count("\n") <= 1, args


@pytest.mark.parametrize("data", [b"nonsense\0", b"{}\0", b"x" * (2 << 20) + b"\0"], ids=["nonsense", "empty", "long"])
def test_wait_does_not_ask_for_ever_whoever_answers_nonsense(place, impostor, data):
    env = impostor(lambda _: data)
    assert place.run([TASKFLOW, "wait", "1"], env=env, timeout=8).returncode in (1, 3)


def test_a_text_of_the_daemons_cannot_write_to_the_terminal(place, impostor):
    text = "evil \x1b]0;title\x07 \x9b2J \r\n end"
    answer = {"error": "io.taskflow.v1.Failed", "parameters": {"message": text}}
    env = impostor(lambda _: json.dumps(answer).encode() + b"\0")
    for args in (["run", "true"], ["ps"], ["status"], ["show", "1"], ["cancel", "1"], ["hold", "1"], ["wait", "1"]):
        done = place.run([TASKFLOW, *args], env=env)
        assert done.returncode != 0
        for bad in ("\x1b", "\x07", "\x9b", "\r"):
            assert bad not in done.stdout + done.stderr, args
        assert done.stderr.count("\n") <= 2


def test_a_daemon_that_closes_at_once_runs_nothing(place, impostor):
    env = impostor(lambda _: None)
    done = place.run([TASKFLOW, "run", "-w", "2", "echo started"], env=env)
    assert (done.returncode, done.stdout) == (125, "")
    assert place.run([TASKFLOW, "ps"], env=env).returncode in (1, 3)


def test_a_real_answer_with_a_wrong_gpu_uuid_is_not_put_into_the_environment(place, impostor, gpu_daemon):
    """The grant of a real daemon on its way through somebody who changes the UUID."""
    real = RawClient(gpu_daemon.socket)

    def pass_on(message):
        real.send_json(message)
        if message.get("oneway"):
            return b""
        text = json.dumps(real.receive())
        return text.replace("GPU-11d2", "GPU-\\n$(x);").replace("GPU-12b4", "GPU-\\n$(x);").encode() + b"\0"

    line = 'echo started; echo "$CUDA_VISIBLE_DEVICES"'
    done = place.run([TASKFLOW, "run", "--gpu", "any:1G", line], env=impostor(pass_on), timeout=30)
    real.close()
    assert "$(x)" not in done.stdout
    assert (done.returncode, done.stdout) == (125, ""), done


def test_ps_with_a_fake_list_shows_control_characters_visibly(place, impostor, daemon):
    """The list of a real daemon on its way through somebody who writes escapes into it."""
    daemon.run("run", "-n", "placeholder", "true")
    real = RawClient(daemon.socket)

    def pass_on(message):
        real.send_json(message)
        out = b""
        while True:
            answer = real.receive()
            out += json.dumps(answer).replace("placeholder", "evil\\u001b]0;x\\u0007\\n\\u009b").encode() + b"\0"
            if not answer.get("continues"):
                return out

    env = impostor(pass_on)
    for args in (["ps", "-a"], ["show", str(daemon.ps()[0]["id"])]):
        done = place.run([TASKFLOW, *args], env=env)
        assert done.returncode == 0, done.stderr
        assert "evil" in done.stdout
        for bad in ("\x1b", "\x07", "\x9b"):
            assert bad not in done.stdout
    real.close()


def test_other_file_types_at_the_socket_are_a_clear_error(place):
    for name, make in (("file", lambda p: p.write_text("")), ("folder", lambda p: p.mkdir()), ("fifo", os.mkfifo)):
        path = pathlib.Path(place.folder / name)
        make(path)
        done = place.run([TASKFLOW, "run", "true"], env=place.env(TASKFLOW_SOCKET=path))
        assert done.returncode == 125
        assert str(path) in done.stderr
    done = place.run([TASKFLOW, "run", "true"], env=place.env(TASKFLOW_SOCKET="/" + "x" * 200))
    assert done.returncode == 125
    done = place.run([TASKFLOW, "run", "true"], env=place.env(TASKFLOW_SOCKET=""))
    assert done.returncode in (0, 125)


def test_one_who_fills_the_queue_does_not_slow_down_the_others(make_shared):
    shared = make_shared()
    daemon = shared.daemon
    filler, gate = daemon.start("filler", "-c", str(N_CPUS), user=shared.alice, cwd="/")
    procs = [daemon.popen("run", "-q", "-c", "1", "true", user=shared.alice, cwd="/") for _ in range(60)]
    daemon.wait_for(lambda ts: len(ts) == 61, "the queue is full", timeout=40)
    start = time.monotonic()
    for _ in range(5):
        assert daemon.run("run", "-m", "1M", "-d", "0", "true", user=shared.bob, cwd="/").returncode == 0
    assert time.monotonic() - start < 3
    gate.open()
    assert filler.wait() == 0
    assert [proc.wait(60) for proc in procs] == [0] * 60
