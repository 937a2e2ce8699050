# SPDX-License-Identifier: GPL-3.0-or-later
"""`taskflow doctor`: a row for each thing that it can find, brought about for real where that can be done."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import MIB, TASKFLOW, TASKFLOWD, is_alive, proc_state, wait_until

ROOT = pathlib.Path(__file__).parents[2]
LEVELS = {"ok", "warning", "error"}
VERSION = subprocess.run([TASKFLOW, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
OLD, NEW = "0.0.9", "99.0"

STATUS = {
    "ram": {"known": True, "total_bytes": 1 << 50, "available_bytes": 1 << 40, "promised_bytes": 0,
            "free_bytes": 1 << 40, "reserved_bytes": 0},
    "n_pending": 0, "n_held": 0, "n_running": 0, "n_cpus": 1, "n_cpus_promised": 0, "daemon_uid": 0, "daemon_pid": 1,
    "version": VERSION, "state_dir": "/nowhere",
}
AGENT = {"pid": 1, "connected": True, "daemon": "/nowhere", "state_dir": "/nowhere", "lives": "detached", "n_waiting": 0,
         "n_running": 0, "n_undelivered": 0, "version": VERSION}


class Answering:
    """A socket at which every call gets the same answer: a dict is the parameters of a reply, bytes are sent as they are."""

    def __init__(self, path, answer):
        self.answer = answer
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(path))
        self.listener.listen(16)
        os.chmod(path, 0o666)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                data = b""
                while piece := sock.recv(65536):
                    data += piece
                    while b"\0" in data:
                        _, _, data = data.partition(b"\0")
                        answer = self.answer
                        if not isinstance(answer, bytes):
                            answer = json.dumps({"parameters": answer}).encode() + b"\0"
                        sock.sendall(answer)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


class Kit:
    """What rows are brought about with."""

    def __init__(self, place, request):
        self.place = place
        self.request = request
        self.env = place.env(TASKFLOW_SOCKET=place.folder / "s")
        self.program = TASKFLOW
        self.front = []
        self.kwargs = {}
        self.answering = []

    def fixture(self, name):
        return self.request.getfixturevalue(name)

    def daemon(self, **kwargs):
        daemon = self.fixture("make_daemon")(**kwargs)
        self.env = daemon.env
        return daemon

    def personal(self, **kwargs):
        personal = self.fixture("make_personal")(**kwargs)
        self.env = personal.env
        return personal

    def answer(self, path, answer):
        self.answering.append(Answering(path, answer))

    def odd_daemon(self, **changes):
        """A daemon that says of itself what is wanted."""
        self.answer(self.place.folder / "s", {**STATUS, **changes})

    def odd_agent(self, **changes):
        self.odd_daemon()
        self.answer(self.agent_folder() / "sock", {**AGENT, **changes})

    def agent_folder(self):
        """FNV-1a of the socket's path, as src/client/agent.c has it."""
        value = 0x811C9DC5
        for byte in os.fsencode(self.env["TASKFLOW_SOCKET"]):
            value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
        return self.place.home / f".local/state/taskflow/agent-named-{value:08x}"

    def in_namespace(self, script, *flags):
        """Behind `script`, in mounts of its own."""
        if os.geteuid() != 0:
            pytest.skip("only root can mount")
        probe = self.place.run(["unshare", "-m", *flags, "sh", "-c", script])
        if probe.returncode != 0:
            pytest.skip(f"no namespaces here: {probe.stderr.strip()}")
        self.front = ["unshare", "-m", *flags, "sh", "-c", f'{script}; exec "$@"', "sh"]

    def copy_of_programs(self, *names):
        """taskflow where it finds nothing but these beside itself."""
        folder = self.place.make_folder("alone")
        (folder / "bin").mkdir()
        for name in ("taskflow", *names):
            shutil.copy(os.path.join(os.path.dirname(TASKFLOW), name), folder / "bin")
        self.program = folder / "bin/taskflow"
        self.env = {**self.env, "PATH": os.fspath(folder / "bin")}

    def doctor(self, *args):
        return self.place.run([*self.front, self.program, "doctor", *args], env=self.env, **self.kwargs)

    def close(self):
        for answering in self.answering:
            answering.close()


@pytest.fixture
def kit(place, request):
    made = Kit(place, request)
    yield made
    made.close()


# One function a finding, named after it. What it returns is done after the look; the level is that of the table.


def socket_missing(kit):
    pass


def socket_stale(kit):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(kit.env["TASKFLOW_SOCKET"])


def socket_no_socket(kit):
    pathlib.Path(kit.env["TASKFLOW_SOCKET"]).touch()


def socket_denied(kit):
    daemon = kit.daemon()
    os.chmod(daemon.folder, 0o700)
    alice = kit.fixture("users")[0]
    kit.program = kit.fixture("programs") / "taskflow"
    kit.kwargs = alice.kwargs()


def socket_foreign(kit):
    """Where a personal daemon would be, somebody else listens."""
    alice = kit.fixture("users")[0]
    runtime = kit.place.make_folder("run", 0o700)
    kit.env = kit.place.env(XDG_RUNTIME_DIR=runtime)
    (runtime / "taskflow").mkdir(mode=0o777)
    os.chmod(runtime / "taskflow", 0o777)
    os.chmod(runtime, 0o711)
    listen_as(kit, alice, runtime / "taskflow/taskflowd.sock")


def socket_others(kit):
    alice = kit.fixture("users")[0]
    os.chmod(kit.place.folder, 0o777)
    listen_as(kit, alice, pathlib.Path(kit.env["TASKFLOW_SOCKET"]))


def listen_as(kit, user, path):
    program = (
        "import socket,sys,os\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(8)\n"
        "os.chmod(sys.argv[1], 0o666)\nprint('listens', flush=True)\n"
        "while True: s.accept()[0].close()\n"
    )
    proc = kit.place.start(["/usr/bin/python3", "-c", program, path], **user.kwargs())
    wait_until(lambda: "listens" in proc.out, "somebody listens")


def daemon_down(kit):
    kit.env = kit.place.env()
    kit.in_namespace("mount -t tmpfs none /run && mkdir -p /run/taskflow")


def daemon_silent(kit):
    daemon = kit.daemon()
    os.kill(daemon.pid, signal.SIGSTOP)
    wait_until(lambda: proc_state(daemon.pid) == "T", "the daemon is stopped")
    return lambda: os.kill(daemon.pid, signal.SIGCONT)


def daemon_nonsense(kit):
    kit.answer(pathlib.Path(kit.env["TASKFLOW_SOCKET"]), b"HTTP/1.0 400 Bad Request\r\n\r\n\0")


def daemon_denies(kit):
    refusal = {"error": "io.taskflow.v1.NotPermitted", "parameters": {"message": "the settings keep you out"}}
    kit.answer(pathlib.Path(kit.env["TASKFLOW_SOCKET"]), json.dumps(refusal).encode() + b"\0")


def daemon_missing(kit):
    kit.personal()
    kit.copy_of_programs("taskflow-agent")


def daemon_older(kit):
    kit.odd_daemon(version=OLD)


def daemon_newer(kit):
    kit.odd_daemon(version=NEW)


def queue_alone(kit):
    alice = kit.fixture("users")[0]
    program = kit.fixture("programs") / "taskflowd"
    os.chmod(kit.place.folder, 0o777)
    other = kit.place.start(
        [program, "--state", kit.place.folder / "other", "--socket", kit.place.folder / "other-socket"], **alice.kwargs())
    wait_until((kit.place.folder / "other-socket").exists, "the other daemon listens")
    personal = kit.personal()
    assert personal.run("run", "true").returncode == 0
    return other.end


def settings_bad(kit):
    daemon = kit.daemon()
    daemon.settings(ample_factor="many")


def settings_unread(kit):
    daemon = kit.daemon()
    daemon.write_settings(default_delay="30s")
    future = time.time() + 5
    os.utime(daemon.config, (future, future))


def state_failing(kit):
    """The disk of a daemon fills up after its start, in mounts that it alone has."""
    small_state(kit)
    for _ in range(50):  # the room that it has kept for what it must write down is used up some day
        kit.place.run([TASKFLOW, "run", "-c", "1", "true"], env=kit.env)


def state_room(kit):
    small_state(kit, fill=False)


def small_state(kit, fill=True):
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    state = kit.place.make_folder("state", 0o700)
    inside = kit.place.folder / "inside"
    script = (
        f'mount -t tmpfs -o size=2m,mode=700 none {state} && "$@" & '
        f"pid=$!; while [ ! -e {inside} ]; do sleep 0.05; done; "
        f"if [ $(cat {inside}) = fill ]; then cat /dev/zero >{state}/zero 2>/dev/null; fi; echo done >{inside}.done; wait $pid"
    )
    daemon = kit.place.start(
        ["unshare", "-m", "sh", "-c", script, "sh", TASKFLOWD, "--config", os.devnull, "--state", state, "--socket",
         kit.env["TASKFLOW_SOCKET"]])
    wait_until(lambda: os.path.exists(kit.env["TASKFLOW_SOCKET"]) or not daemon.is_running(), "it listens")
    if not daemon.is_running():
        pytest.skip(f"no mounts here: {daemon.err}")
    inside.write_text("fill" if fill else "leave")
    wait_until((kit.place.folder / "inside.done").exists, "the disk is as it should be")


def state_damaged(kit):
    daemon = kit.daemon()
    filler, gate = daemon.fill()
    daemon.detach("-c", "1", "-n", "damaged", "true")
    daemon.kill()
    with contextlib.closing(sqlite3.connect(daemon.state / "taskflow.db")) as db:
        assert db.execute("UPDATE task SET state = 99 WHERE name = 'damaged'").rowcount == 1
        db.commit()
    daemon.start_daemon()
    gate.open()
    assert filler.wait() == 0


def memory_unknown(kit):
    kit.odd_daemon(ram={**STATUS["ram"], "known": False})


def memory_differs(kit):
    kit.odd_daemon()


def memory_own_limit(kit):
    """In a group of its own, where there are any that can be made."""
    for folder, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = pathlib.Path(folder, f"taskflow-test-{os.getpid()}")
        with contextlib.suppress(OSError):
            group.mkdir()
            (group / limit).write_text(str(64 * MIB))
            break
        with contextlib.suppress(OSError):
            group.rmdir()
    else:
        pytest.skip("no control group with a limit can be made here")
    kit.daemon()
    kit.front = ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh"]
    return group.rmdir


def gpu_unknown(kit):
    gpus = kit.fixture("gpus")
    daemon = kit.daemon(env=gpus.env)
    assert len(daemon.status()["gpus"]) == 2
    gpus.say("error nvmlInit_v2 18")
    daemon.restart()


def gpu_lost(kit):
    gpus = kit.fixture("gpus")
    daemon = kit.daemon(env=gpus.env)
    assert len(daemon.status()["gpus"]) == 2
    gpus.say_of(1, "lost")
    daemon.restart()


def agent_missing(kit):
    kit.daemon()
    kit.copy_of_programs("taskflowd")


def agent_stopped(kit):
    daemon, end = waiting(kit)
    assert daemon.run("agent", "stop").returncode == 0
    return end


def agent_gone(kit):
    _, end = waiting(kit)
    pid, = kit.place.agents()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "the agent is dead")
    return end


def agent_silent(kit):
    _, end = waiting(kit)
    pid, = kit.place.agents()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: proc_state(pid) == "T", "the agent is stopped")
    return end


def waiting(kit):
    daemon = kit.daemon()
    filler, gate = daemon.fill()
    daemon.detach("-c", "1", "true")

    def end():
        gate.open()
        assert filler.wait() == 0

    return daemon, end


def agent_refused(kit):
    alice = kit.fixture("users")[0]
    kit.odd_daemon()
    folder = kit.agent_folder()
    folder.mkdir(parents=True)
    os.chmod(folder, 0o777)
    listen_as(kit, alice, folder / "sock")


def agent_apart(kit):
    kit.odd_agent(connected=False, text="the daemon was not there")


def agent_older(kit):
    kit.odd_agent(version=None)


def agent_session(kit):
    kit.odd_agent(lives="session")


def ends_untold(kit):
    """A task ends while its daemon is dead."""
    daemon = kit.daemon()
    proc, gate = daemon.start("orphan")
    daemon.kill()
    gate.open()
    assert proc.wait() == 0


def home_missing(kit):
    kit.odd_daemon()
    del kit.env["HOME"]
    user = kit.fixture("users")[2]
    kit.program = kit.fixture("programs") / "taskflow"
    kit.kwargs = {"user": 4242424, "group": user.gid, "extra_groups": []}


def folder_unwritable(kit):
    kit.odd_daemon()
    state = kit.place.make_folder("elsewhere")
    kit.env = {**kit.env, "XDG_STATE_HOME": os.fspath(state)}
    kit.in_namespace(f"mount -t tmpfs -o ro none {state}")


def folder_foreign(kit):
    alice = kit.fixture("users")[0]
    kit.odd_daemon()
    state = kit.place.home / ".local/state/taskflow"
    state.mkdir(parents=True)
    os.chown(state, alice.uid, alice.gid)


def folder_room(kit):
    kit.odd_daemon()
    state = kit.place.make_folder("elsewhere")
    kit.env = {**kit.env, "XDG_STATE_HOME": os.fspath(state)}
    kit.in_namespace(f"mount -t tmpfs -o size=1m none {state}")


def clock_back(kit):
    kit.odd_daemon()
    state = kit.place.home / ".local/state/taskflow"
    state.mkdir(parents=True)
    future = time.time() + 86400
    os.utime(state, (future, future))


def clock_differs(kit):
    kit.daemon()
    kit.in_namespace("true", "--time", "--boottime", "100000")


def proc_hidden(kit):
    alice = kit.fixture("users")[0]
    kit.odd_daemon()
    os.chmod(kit.place.folder, 0o777)
    kit.program = kit.fixture("programs") / "taskflow"
    kit.env = {**kit.env, "HOME": os.fspath(kit.place.make_folder("hers"))}
    os.chown(kit.env["HOME"], alice.uid, alice.gid)
    kit.in_namespace("mount -t proc -o hidepid=2 proc /proc")
    kit.front = [*kit.front, "setpriv", f"--reuid={alice.uid}", f"--regid={alice.gid}", "--clear-groups"]


ROWS = {
    "socket-missing": (socket_missing, 3), "socket-stale": (socket_stale, 3), "socket-no-socket": (socket_no_socket, 3),
    "socket-denied": (socket_denied, 3), "socket-foreign": (socket_foreign, 3), "socket-others": (socket_others, 3),
    "daemon-down": (daemon_down, 3), "daemon-silent": (daemon_silent, 3), "daemon-nonsense": (daemon_nonsense, 3),
    "daemon-denies": (daemon_denies, 1), "daemon-missing": (daemon_missing, 1), "daemon-older": (daemon_older, 0),
    "daemon-newer": (daemon_newer, 0),
    "queue-alone": (queue_alone, 0), "settings-bad": (settings_bad, 1), "settings-unread": (settings_unread, 0),
    "state-failing": (state_failing, 1), "state-room": (state_room, 0), "state-damaged": (state_damaged, 0),
    "memory-unknown": (memory_unknown, 1), "memory-differs": (memory_differs, 0),
    "memory-own-limit": (memory_own_limit, 0), "gpu-unknown": (gpu_unknown, 1), "gpu-lost": (gpu_lost, 1),
    "agent-missing": (agent_missing, 1), "agent-stopped": (agent_stopped, 0), "agent-gone": (agent_gone, 0),
    "agent-silent": (agent_silent, 1), "agent-refused": (agent_refused, 1), "agent-apart": (agent_apart, 0),
    "agent-older": (agent_older, 0), "agent-session": (agent_session, 0), "ends-untold": (ends_untold, 3),
    "home-missing": (home_missing, 1), "folder-unwritable": (folder_unwritable, 1),
    "folder-foreign": (folder_foreign, 1), "folder-room": (folder_room, 0), "clock-back": (clock_back, 0),
    "clock-differs": (clock_differs, 1), "proc-hidden": (proc_hidden, 0),
}


@pytest.mark.parametrize("finding", ROWS)
def test_it_is_found_with_what_mends_it(kit, finding):
    bring_about, status = ROWS[finding]
    after = bring_about(kit)
    try:
        told, shown = kit.doctor("--json"), kit.doctor()
    finally:
        if after:
            after()
    assert told.stderr == "" and shown.stderr == ""
    answer = json.loads(told.stdout)
    found = [check for check in answer["checks"] if check["finding"] == finding]
    assert len(found) == 1, answer
    assert set(found[0]) == {"check", "level", "finding", "text", "mend"}
    assert found[0]["level"] in ("warning", "error")
    assert found[0]["text"] and found[0]["mend"]
    assert answer["schema"] == 1
    levels = [check["level"] for check in answer["checks"]]
    assert set(levels) <= LEVELS
    assert (answer["errors"], answer["warnings"]) == (levels.count("error"), levels.count("warning"))
    assert (told.returncode, shown.returncode) == (status, status), answer
    assert found[0]["mend"] in shown.stdout
    assert f"{found[0]['level']}: " in shown.stdout


def names_of_source():
    return set(re.findall(r'^ +"([a-z]+(?:-[a-z]+)+)", "', (ROOT / "src/cli/doctor.c").read_text(), re.M))


def test_every_finding_has_a_row_here_and_in_the_manual():
    assert set(ROWS) == names_of_source()
    page = (ROOT / "man/taskflow-doctor.1.scd").read_text()
    assert set(re.findall(r"^\*([a-z]+-[a-z-]+)\*$", page, re.M)) == set(ROWS)


def test_a_healthy_daemon_has_nothing_wrong(daemon):
    done = daemon.run("doctor")
    assert done.stdout.splitlines()[-1] == "Nothing is wrong.", done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    answer = daemon.json("doctor")
    assert (answer["errors"], answer["warnings"]) == (0, 0)
    assert {check["check"] for check in answer["checks"]} >= {
        "socket", "daemon", "version", "settings", "state", "memory", "gpus", "agent", "folder", "clock"}


def test_it_starts_nothing_and_changes_nothing(personal):
    before = sorted(personal.home.rglob("*"))
    assert personal.run("doctor").returncode == 0
    assert personal.daemon_pids() == []
    assert sorted(personal.home.rglob("*")) == before


def test_settings_that_would_stop_the_next_start_are_named_by_their_line(personal):
    personal.config.write_text("[taskflow]\ndefault_delay = 5s\nnonsense = 1\n")
    done = personal.run("doctor")
    assert done.returncode == 1
    assert "line 3" in done.stdout and "nonsense" in done.stdout


def test_settings_that_were_mended_and_not_read_again(daemon):
    good = daemon.config.read_text()
    daemon.settings(ample_factor="many")
    assert daemon.run("doctor").returncode == 1
    daemon.config.write_text(good)
    future = time.time() + 5
    os.utime(daemon.config, (future, future))
    names = {check["finding"] for check in daemon.json("doctor")["checks"]}
    assert "settings-unread" in names and "settings-bad" not in names


def test_what_an_old_daemon_does_not_say_is_no_finding(kit):
    """No `health`, as before there was any."""
    kit.odd_daemon(version=OLD, ram={**STATUS["ram"], "total_bytes": os.sysconf("SC_PHYS_PAGES") * 4096})
    answer = json.loads(kit.doctor("--json").stdout)
    assert [check["finding"] for check in answer["checks"] if check["finding"]] in (
        ["daemon-older"], ["daemon-older", "memory-differs"])


def test_an_agent_that_waits_for_the_daemon_is_not_called_silent(kit):
    daemon, end = waiting(kit)
    os.kill(daemon.pid, signal.SIGSTOP)
    wait_until(lambda: proc_state(daemon.pid) == "T", "the daemon is stopped")
    try:
        names = {check["finding"] for check in json.loads(kit.doctor("--json").stdout)["checks"]}
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    end()
    daemon.wait_for(lambda tasks: all(task["state"] == "done" for task in tasks))  # else its agent is started again
    assert "daemon-silent" in names
    assert not {name for name in names if name and name.startswith("agent")}


def test_a_hostile_daemon_writes_nothing_but_text_on_the_terminal(kit):
    kit.odd_daemon(version="\x1b[2J", state_dir="\x1b]0;title\x07", gpus_known=False, gpu_text="\x1b[31m")
    done = kit.doctor()
    assert "\x1b" not in done.stdout
    json.loads(kit.doctor("--json").stdout)
