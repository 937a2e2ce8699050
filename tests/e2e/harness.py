# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests share: folders, daemons, commands, terminals, GPUs that are none.

Everything a test starts has the test's folder in its environment (HOME, TASKFLOW_SOCKET), so that whatever is still
there at its end can be found by that and ended, also when the test failed half-way.

Nothing here sleeps and hopes: wait_until() looks again and again until a thing has happened, or says what did not.
"""

import contextlib
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

import pytest

MIB = 1024 * 1024
GIB = 1024 * MIB

TASKFLOW = os.path.abspath(os.environ.get("TASKFLOW", "build/taskflow"))
TASKFLOWD = os.path.abspath(os.environ.get("TASKFLOWD", "build/taskflowd"))
BUILD = os.path.dirname(TASKFLOW)
AGENT = os.path.join(BUILD, "taskflow-agent")
SIM = os.path.join(BUILD, "taskflow-sim")
STAND_IN = os.path.abspath(os.environ.get("TASKFLOW_STAND_IN", os.path.join(BUILD, "tests", "stand-in")))
HOLD = os.path.join(STAND_IN, "hold")
# Sanitizers keep what was freed for a while, and a shadow of it all: then how large a daemon is says nothing.
SANITIZED = "sanitize" in TASKFLOWD

N_CPUS = os.sysconf("SC_NPROCESSORS_ONLN")

# Long enough for a loaded machine with two slow cores; a test that passes never waits for it.
PATIENCE = float(os.environ.get("TASKFLOW_TEST_PATIENCE", "20"))

# What interface.md says of a task in JSON.
TASK_KEYS = {
    "id", "name", "user", "uid", "state", "command", "argv", "cwd", "priority", "detached", "pid", "needs", "gpus",
    "delay_seconds", "submitted_at", "started_at", "ended_at", "exit_status", "signal", "used", "peak", "excess",
    "reason", "output", "index", "array", "after", "requeue", "retries", "start",
}


def wait_until(predicate, what, timeout=PATIENCE, interval=0.02):
    """Calls predicate until it returns something true, and returns that; fails with `what` when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:.0f} s still not so: {what}")
        time.sleep(interval)


def parse_time(text):
    """A time of the JSON as seconds."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def size(n_bytes):
    """Bytes as a SIZE."""
    return str(int(n_bytes))


def read_proc(pid, name):
    """A file of /proc/PID; empty if the process has gone (or hides it)."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def proc_state(pid):
    """'R', 'S', 'T', 'Z' ... or '' if there is no such process."""
    stat = read_proc(pid, "stat")
    return stat.rpartition(b")")[2].split()[0].decode() if stat else ""


def is_alive(pid):
    return proc_state(pid) not in ("", "Z", "X")


def parent_of(pid):
    stat = read_proc(pid, "stat")
    return int(stat.rpartition(b")")[2].split()[1]) if stat else 0


def children_of(pid):
    return [p for p in all_pids() if parent_of(p) == pid]


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def pids_that_mention(needle):
    """Living processes with these bytes in their environment or command line, ourselves apart."""
    needle = os.fsencode(needle)
    return [
        pid
        for pid in all_pids()
        if pid != os.getpid()
        and is_alive(pid)
        and (needle in read_proc(pid, "environ") or needle in read_proc(pid, "cmdline"))
    ]


def command_line(pid):
    return read_proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def n_sleeps(pid):
    """How often it had nothing to do: what spins never has."""
    return int(re.search(rb"^voluntary_ctxt_switches:\s+(\d+)", read_proc(pid, "status"), re.M)[1])


def wait_asleep(pid):
    """Until it waits for something to happen. What was sent to it before, it has dealt with: that woke it up at once."""
    wait_until(lambda: proc_state(pid) == "S", f"process {pid} waits for something to happen")


def kill_quietly(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Proc:
    """A program left running: its outputs go to files, so that nobody has to drain pipes."""

    _numbers = itertools.count()

    def __init__(self, argv, folder, stdin=subprocess.DEVNULL, stdout=None, stderr=None, **kwargs):
        number = next(self._numbers)
        self.argv = argv
        self.out_path = pathlib.Path(folder, f"out-{number}")
        self.err_path = pathlib.Path(folder, f"err-{number}")
        kwargs.setdefault("start_new_session", True)
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen(
                [os.fspath(a) for a in argv],
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err if stderr is None else stderr,
                **kwargs,
            )

    @property
    def pid(self):
        return self.popen.pid

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def err(self):
        return self.err_path.read_text(errors="replace")

    def is_running(self):
        return self.popen.poll() is None

    def wait(self, timeout=PATIENCE):
        """Its status: negative if a signal ended it."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} still runs after {timeout:.0f} s; stderr: {self.err}") from None

    def signal(self, number):
        self.popen.send_signal(number)

    def end(self, patience=3.0):
        """SIGTERM, and SIGKILL if that does not do."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            self.popen.send_signal(signal.SIGCONT)
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Gate:
    """A FIFO that a command waits at until the test opens it: `run(gate.line)` starts, says so, and ends at open()."""

    def __init__(self, folder, name, mode=0o666):
        self.path = pathlib.Path(folder, name)
        os.mkfifo(self.path)
        os.chmod(self.path, mode)

    @property
    def line(self):
        return f"read x <{self.path}"

    def open(self, timeout=PATIENCE):
        """Lets one waiting command go on."""

        def try_open():
            try:
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return None

        fd = wait_until(try_open, f"a command waits at {self.path.name}", timeout)
        with contextlib.suppress(BrokenPipeError):
            os.write(fd, b"\n")
        os.close(fd)


class User:
    """Somebody else on the machine."""

    def __init__(self, name, uid, gid):
        self.name = name
        self.uid = uid
        self.gid = gid

    def kwargs(self):
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def connect(self, path, timeout=PATIENCE):
        """A connection of this user's: who calls is who connect()ed."""
        groups = os.getgroups()
        os.setgroups([self.gid])
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            return RawClient(path, timeout)
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)


class Place:
    """The folder of one test, and everything that was started in it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o755)
        os.chmod(self.folder, 0o755)
        self.home = self.folder / "home"
        self.home.mkdir()
        os.chmod(self.home, 0o755)
        self.procs = []
        self.daemons = []
        self.terminals = []
        self.homes = [self.home]
        self.complaints = []
        self._numbers = itertools.count()

    def env(self, **extra):
        """The small environment everything here runs in; None takes a variable away."""
        env = {
            "HOME": os.fspath(self.home),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "USER": "tester",
            "TASKFLOW_E2E": os.fspath(self.folder),
            "TASKFLOW_TEST_SYSFS": "/nonexistent",  # the cards of this machine are no part of any test
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(extra)
        return {name: os.fspath(value) for name, value in env.items() if value is not None}

    def gate(self, mode=0o666):
        return Gate(self.folder, f"gate-{next(self._numbers)}", mode)

    def make_folder(self, name, mode=0o755):
        folder = self.folder / name
        folder.mkdir()
        os.chmod(folder, mode)
        return folder

    def start(self, argv, **kwargs):
        kwargs.setdefault("env", self.env())
        kwargs.setdefault("cwd", self.folder)
        proc = Proc(argv, self.folder, **kwargs)
        self.procs.append(proc)
        return proc

    def run(self, argv, timeout=PATIENCE, **kwargs):
        """To the end, with its outputs as text (text=False: bytes)."""
        kwargs.setdefault("env", self.env())
        kwargs.setdefault("cwd", self.folder)
        kwargs.setdefault("text", True)
        if kwargs["text"]:
            kwargs.setdefault("errors", "replace")
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([os.fspath(a) for a in argv], timeout=timeout, check=False, **kwargs)

    def terminal(self, **kwargs):
        terminal = Terminal(self, **kwargs)
        self.terminals.append(terminal)
        return terminal

    def hold_ram(self, n_bytes):
        """A program outside taskflow that really holds so much RAM, and has it when this returns."""
        proc = self.start([HOLD, "ram", size(n_bytes)], stdin=subprocess.PIPE)

        def has_it():
            match = re.search(rb"RssAnon:\s+(\d+) kB", read_proc(proc.pid, "status"))
            return match and int(match.group(1)) * 1024 >= n_bytes * 0.98

        wait_until(has_it, f"hold has {n_bytes // MIB} MiB")
        return proc

    def personal_daemons(self):
        """taskflowd processes that live in this folder, those with --socket and probes apart."""
        ours = []
        for pid in pids_that_mention(self.folder):
            words = read_proc(pid, "cmdline").split(b"\0")
            if os.path.basename(words[0]) != b"taskflowd" or b"--gpu-probe" in words:
                continue
            if any(daemon.pid == pid for daemon in self.daemons):
                continue
            ours.append(pid)
        return ours

    def agents(self):
        """taskflow-agent processes of this folder, without what they forked."""
        return self.named(b"taskflow-agent")

    def keepers(self):
        """The parents of running detached commands."""
        return self.named(b"taskflow-keeper")

    def named(self, comm):
        return [pid for pid in pids_that_mention(self.folder) if read_proc(pid, "comm").strip() == comm]

    def stop_nurseries(self):
        """SIGSTOP to what starts commands for agents, with all the keepers that it has; the processes."""
        nurseries = [pid for pid in self.named(b"taskflow-nurse") if is_alive(pid)]
        for pid in nurseries:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(proc_state(pid) == "T" for pid in nurseries), "it forks no more")
        keepers = [keeper for pid in nurseries for keeper in children_of(pid)]
        for pid in keepers:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(proc_state(pid) in "TZ" for pid in keepers), "its keepers take nothing")
        return nurseries + keepers

    def end_agents(self):
        """They would end by themselves, but not before they have been idle for a while."""
        for pid in self.agents():
            kill_quietly(pid, signal.SIGTERM)
            if proc_state(pid) == "T":  # no other: LeakSanitizer, which stops an agent at its end, waits for that for ever otherwise
                kill_quietly(pid, signal.SIGCONT)

    def clean(self):
        """Ends everything, removes everything, and returns what should not have been there."""
        complaints = list(self.complaints)
        for terminal in self.terminals:
            terminal.close()
        for proc in self.procs:
            if proc not in self.daemons:
                proc.end()
        self.end_agents()
        for daemon in self.daemons:
            complaints += daemon.end()

        def nothing_left():
            self.end_agents()  # a keeper may have been starting one, and one a personal daemon
            for pid in self.personal_daemons():
                kill_quietly(pid, signal.SIGTERM)
            return not pids_that_mention(self.folder)

        try:
            # A keeper waits 10 s for the agent that it has started, which was ended above before it had begun.
            wait_until(nothing_left, "no process is left", 15)
        except AssertionError:
            for pid in pids_that_mention(self.folder):
                name, state = read_proc(pid, "comm").decode(errors="replace").strip(), proc_state(pid)
                complaints.append(f"left behind: {pid} {name} ({state}) {command_line(pid)}")
                kill_quietly(pid)
            wait_until(nothing_left, "no process is left after SIGKILL", 5)
        for path, folders, _ in os.walk(self.folder):
            for name in folders:
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(path, name), 0o700)
        shutil.rmtree(self.folder)
        return complaints

    def report(self):
        """For people, when a test has failed."""
        parts = []
        for daemon in self.daemons:
            if daemon.log.exists():
                parts.append(f"--- taskflowd ({daemon.folder.name})\n{daemon.log.read_text(errors='replace')[-6000:]}")
        for proc in self.procs:
            status = proc.popen.poll()
            words = " ".join(map(str, proc.argv))[:200]
            parts.append(f"--- {words}: {'runs' if status is None else status}\n{proc.out[-1500:]}{proc.err[-1500:]}")
        for terminal in self.terminals:
            parts.append(f"--- terminal\n{terminal.text[-4000:]!r}")
        return "\n".join(parts)


class Commands:
    """`taskflow` in one environment. Who has `place` and `env` can run it."""

    place = None
    env = None
    program = TASKFLOW

    def run(self, *args, env=None, user=None, **kwargs):
        """taskflow ARGS to its end."""
        if user:
            kwargs.update(user.kwargs())
        return self.place.run([self.program, *args], env={**self.env, **(env or {})}, **kwargs)

    def popen(self, *args, env=None, user=None, **kwargs):
        """taskflow ARGS, left running."""
        if user:
            kwargs.update(user.kwargs())
        return self.place.start([self.program, *args], env={**self.env, **(env or {})}, **kwargs)

    def json(self, *args, **kwargs):
        done = self.run(*args, "--json", **kwargs)
        assert done.returncode == 0, f"taskflow {args}: {done.returncode} {done.stderr}"
        return json.loads(done.stdout)

    def ps(self, *args, **kwargs):
        """All tasks, ended ones too."""
        answer = self.json("ps", "-a", *args, **kwargs)
        assert answer["schema"] == 1
        return answer["tasks"]

    def task(self, name):
        """The task of that name, or None."""
        return next((task for task in self.ps() if task["name"] == name), None)

    def show(self, task_id, **kwargs):
        return self.json("show", str(task_id), **kwargs)

    def why(self, task_id, **kwargs):
        done = self.run("why", str(task_id), **kwargs)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, **kwargs):
        answer = self.json("status", **kwargs)
        assert answer["schema"] == 1
        return answer

    def free_ram(self):
        return self.status()["memory"]["free_bytes"]

    def wait_for(self, predicate, what="", timeout=PATIENCE):
        """Until predicate(tasks) is true, which it returns."""
        try:
            return wait_until(lambda: predicate(self.ps()), what or "the tasks are as expected", timeout)
        except AssertionError as error:
            keys = ("id", "name", "state", "exit_status", "reason")
            tasks = "\n".join(str({key: task[key] for key in keys}) for task in self.ps())
            raise AssertionError(f"{error}; the tasks are\n{tasks}") from None

    def wait_state(self, name, *states, timeout=PATIENCE):
        """Until the task of that name is in one of these states; the task."""

        def look():
            task = self.task(name)
            return task if task and task["state"] in states else None

        try:
            return wait_until(look, f"{name} is {' or '.join(states)}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.task(name)}") from None

    def wait_started(self, name):
        """Until its command runs: it is `running` from the grant on, which its runner may not have read yet."""

        def look():
            task = self.task(name)
            return task if task and task["state"] == "running" and task["pid"] else None

        return wait_until(look, f"the command of {name} runs")

    def start(self, name, *args, command=None, **kwargs):
        """A running task of that name that ends when its gate opens; (proc, gate)."""
        gate = self.place.gate()
        proc = self.popen("run", "-n", name, *args, command or gate.line, **kwargs)
        self.wait_started(name)
        return proc, gate

    def fill(self, name="filler", **kwargs):
        """A running task that has all cores: what asks for one waits until its gate opens."""
        return self.start(name, "-c", str(N_CPUS), **kwargs)

    def detach(self, *args, **kwargs):
        """`run -D`; the id that it printed."""
        done = self.run("run", "-D", *args, **kwargs)
        assert done.returncode == 0, f"run -D {args}: {done.returncode} {done.stderr}"
        assert re.fullmatch(r"[1-9][0-9]*\n", done.stdout), done.stdout
        return done.stdout.strip()

    def wait_id(self, task_id, *states, timeout=PATIENCE, **kwargs):
        """Until that task or element is in one of these states; the task."""

        def look():
            done = self.run("show", str(task_id), "--json", **kwargs)
            task = json.loads(done.stdout) if done.returncode == 0 else {}
            return task if task.get("state") in states else None

        try:
            return wait_until(look, f"task {task_id} is {' or '.join(states)}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.run('show', str(task_id), **kwargs)}") from None

    def logs(self, task_id, *args, **kwargs):
        """What it printed."""
        done = self.run("logs", str(task_id), *args, **kwargs)
        assert done.returncode == 0, f"logs {task_id}: {done.returncode} {done.stderr}"
        return done.stdout

    def queue(self, name, *args, command="true", **kwargs):
        """A waiting task of that name (something must be in its way already)."""
        proc = self.popen("run", "-n", name, *args, command, **kwargs)
        self.wait_state(name, "pending", "held")
        return proc


class Daemon(Commands):
    """A taskflowd with a socket, a state and settings of its own."""

    def __init__(self, place, settings=None, env=None, args=(), name="d", user=None, start=True, preexec_fn=None,
                 program=None, client=None):
        self.place = place
        self.folder = place.make_folder(name)
        self.socket = self.folder / "s"
        self.state = self.folder / "state"
        self.config = self.folder / "taskflow.conf"
        self.log = self.folder / "log"
        self.args = list(args)
        self.user = user
        self.preexec_fn = preexec_fn
        self.daemon_program = program or TASKFLOWD
        self.program = client or TASKFLOW
        self.daemon_env = place.env(**(env or {}))
        self.env = place.env(TASKFLOW_SOCKET=self.socket)
        self.proc = None
        self.write_settings(**{"sample_interval": "200ms", **(settings or {})})
        self.state.mkdir(mode=0o700)
        if user:
            os.chown(self.folder, user.uid, user.gid)
            os.chown(self.state, user.uid, user.gid)
        place.daemons.append(self)
        if start:
            self.start_daemon()

    @property
    def pid(self):
        return self.proc.pid if self.proc else 0

    def write_settings(self, tokens=None, **settings):
        """`tokens`: a section of its own, how many there are by name."""
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        if tokens is not None:
            lines += "[tokens]\n" + "".join(f"{name} = {number}\n" for name, number in tokens.items())
        self.config.write_text("[taskflow]\n" + lines)
        self.current = {**settings, "tokens": tokens}

    def settings(self, **settings):
        """Other settings from now on: SIGHUP, and until the log has a word about it."""
        self.write_settings(**{**self.current, **settings})
        before = self.log.stat().st_size
        self.proc.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.stat().st_size > before, "the log says something about the reload")

    def wait_recorded(self):
        """Until it has written down what it knows: nothing in its folder changes for a while."""

        def look():
            return sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self.state.iterdir())

        def is_quiet():
            before = look()
            time.sleep(0.2)
            return look() == before

        wait_until(is_quiet, "its folder is quiet")

    def log_text(self):
        return self.log.read_text(errors="replace")

    def launch(self, *more):
        """Starts the process, without waiting for anything."""
        kwargs = self.user.kwargs() if self.user else {}
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                [
                    self.daemon_program, "--config", self.config, "--socket", self.socket, "--state", self.state,
                    *self.args, *more,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=self.daemon_env,
                start_new_session=True, preexec_fn=self.preexec_fn, **kwargs,
            )
        return self.proc

    def start_daemon(self, *more):
        self.launch(*more)

        def ready():
            assert self.proc.poll() is None, f"taskflowd ended with {self.proc.returncode}: {self.log_text()}"
            return self.answers()

        wait_until(ready, "taskflowd answers", interval=0.01)
        return self

    def answers(self, timeout=5.0):
        """Whether it answers on its socket."""
        try:
            with RawClient(self.socket, timeout) as raw:
                return "parameters" in raw.call("org.varlink.service.GetInfo")
        except (OSError, EOFError):
            return False

    def kill(self, number=signal.SIGKILL):
        self.proc.send_signal(number)
        return self.proc.wait(PATIENCE)

    def stop(self):
        """SIGTERM, as the service manager does it."""
        status = self.kill(signal.SIGTERM)
        assert status == 0, f"taskflowd ended with {status}: {self.log_text()}"

    def restart(self, *more):
        if self.proc.poll() is None:
            self.stop()
        return self.start_daemon(*more)

    def end(self):
        if self.proc is None or self.proc.returncode is not None:
            return []
        complaints = []
        if self.proc.poll() is not None:
            complaints.append(f"taskflowd had ended with {self.proc.returncode}: {self.log_text()[-2000:]}")
        else:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.terminate()
            try:
                if self.proc.wait(5) != 0:
                    complaints.append(f"taskflowd ended with {self.proc.returncode}: {self.log_text()[-2000:]}")
            except subprocess.TimeoutExpired:
                complaints.append("taskflowd did not end at SIGTERM within 5 s")
                self.proc.kill()
                self.proc.wait()
        return complaints


class Personal(Commands):
    """A home without a daemon: the first command that needs one starts it."""

    def __init__(self, place, home="home", runtime=True, settings=None, env=None):
        self.place = place
        self.home = place.folder / home
        self.home.mkdir(exist_ok=True)
        extra = {"HOME": self.home}
        if runtime:
            self.runtime = place.make_folder(f"run-{len(place.homes)}", 0o700)
            extra["XDG_RUNTIME_DIR"] = self.runtime
        extra.update(env or {})
        self.env = place.env(**extra)
        self.state = self.home / ".local/state/taskflow"
        self.config = self.home / ".config/taskflow/taskflow.conf"
        self.config.parent.mkdir(parents=True)
        self.write_settings(**{"sample_interval": "200ms", **(settings or {})})
        place.homes.append(self.home)

    def write_settings(self, **settings):
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        self.config.write_text("[taskflow]\n" + lines)

    def daemon_pids(self):
        needle = b"HOME=" + os.fsencode(self.home) + b"\0"
        return [pid for pid in self.place.personal_daemons() if needle in read_proc(pid, "environ") + b"\0"]

    def daemon_pid(self):
        """Of the one and only; another one that was started meanwhile finds it and ends."""
        return wait_until(lambda: (lambda pids: pids[0] if len(pids) == 1 else None)(self.daemon_pids()), "there is one daemon")

    def kill_daemon(self, number=signal.SIGKILL):
        pid = self.daemon_pid()
        os.kill(pid, number)
        wait_until(lambda: not is_alive(pid), "the personal daemon has ended")
        return pid


class Gpus:
    """GPUs that are none: a script for the stand-in library (tests/stand-in/nvml.c says what may stand in it).

    TASKFLOW_NVML may be a folder with NVIDIA's own one, for which nvidia-kernel.c plays the kernel.
    """

    UUIDS = [
        "GPU-11d2a6c0-0f3e-4f6b-9d0a-0a6b7c8d9e00",
        "GPU-12b4e6a1-1f3e-4f6b-9d0a-0a6b7c8d9e01",
        "GPU-2ac4e6a2-2f3e-4f6b-9d0a-0a6b7c8d9e02",
        "GPU-2ac4e6a3-3f3e-4f6b-9d0a-0a6b7c8d9e03",
    ]

    def __init__(self, folder, n=2, total="24G"):
        self.path = pathlib.Path(folder, "gpus.txt")
        self.taken = pathlib.Path(folder, "gpus.txt.d")
        self.taken.mkdir()
        os.chmod(self.taken, 0o777)
        self.proc = pathlib.Path(folder, "gpus-proc")
        self.total = total
        self.first_lines = []
        self.lines = [[] for _ in range(n)]
        self.library = os.environ.get("TASKFLOW_NVML")
        self.write()

    @property
    def env(self):
        env = {
            "LD_LIBRARY_PATH": STAND_IN,
            "TASKFLOW_TEST_NVML": os.fspath(self.path),
            "TASKFLOW_TEST_PROC": os.fspath(self.proc),
        }
        if self.library:
            env["LD_LIBRARY_PATH"] = f"{self.library}:{STAND_IN}"
            env["LD_PRELOAD"] = os.path.join(STAND_IN, "libnvidia-kernel.so")
        return env

    def list_in_kernel(self):
        """What NVIDIA's kernel module lists: a folder for each GPU, named by its place."""
        folder = self.proc / "driver" / "nvidia" / "gpus"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {f"0000:{uuid[-2:]}:00.0" for uuid in self.UUIDS[: len(self.lines)]}
        there = {path.name for path in folder.iterdir()}
        for name in wanted - there:
            (folder / name).mkdir()
        for name in there - wanted:
            (folder / name).rmdir()

    def write(self):
        text = "".join(line + "\n" for line in self.first_lines)
        for index, lines in enumerate(self.lines):
            text += f"gpu {index}\nuuid {self.UUIDS[index]}\nname Stand-In {index}\ntotal {self.total}\n"
            text += "".join(line + "\n" for line in lines)
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.chmod(new, 0o644)
        os.rename(new, self.path)
        self.list_in_kernel()

    def check(self, lines):
        """Leaves the test out if NVIDIA's own library can't be made to say this."""
        if not self.library:
            return
        release = int(pathlib.Path(self.library).name.split(".")[0])
        words = ["init (9|18)$", "used", r"process (\d|self)", "mode", "lost$", "error nvmlInit_v2 18$"]
        words.append(r"(hang|slow) (nvmlInit_v2|nvmlDeviceGetMemoryInfo_v2|\*)")
        if release >= 450:
            words += ["unified", "total"]  # there were no such GPUs before
        if release >= 510:
            words.append("reserved")  # it is in no figure of older ones
        if release >= 525:
            words += ["mig", "instance", "uuid"]  # the kernel's part is played as it has been since
        for line in lines:
            if not re.match("|".join(words), line):
                pytest.skip(f"NVIDIA's library can't be made to say '{line}'")

    def say(self, *lines):
        """For the driver as a whole: "hang *", "error nvmlInit_v2 18"."""
        self.check(lines)
        self.first_lines = list(lines)
        self.write()

    def say_of(self, index, *lines):
        """For one GPU: "used 10G", "lost"."""
        self.check(lines)
        self.lines[index] = list(lines)
        self.write()


class Sysfs:
    """Graphics cards that are none: a folder that the probe takes for /sys. Each file is the script of what it says."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder, "sysfs")
        (self.path / "class/drm").mkdir(parents=True)
        (self.path / "proc").mkdir()

    @property
    def env(self):
        return {"TASKFLOW_TEST_SYSFS": os.fspath(self.path), "TASKFLOW_TEST_PROC": os.fspath(self.path / "proc")}

    def say(self, path, text):
        """What that file says from now on; None: there is none."""
        path = self.path / path
        if text is None:
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(f"{text}\n")
        os.rename(new, path)

    def say_of(self, address, **files):
        """Of the card at that PCI address: mem_info_vram_used=GIB."""
        for name, text in files.items():
            self.say(f"devices/{address}/{name}", text)

    def card(self, address, vendor, driver, **files):
        self.say_of(address, vendor=vendor, device="0x744c", **files)
        (self.path / f"devices/{address}/driver").symlink_to(f"../../bus/pci/drivers/{driver}")
        number = len(list((self.path / "class/drm").iterdir()))
        (self.path / f"class/drm/card{number}").mkdir()
        (self.path / f"class/drm/card{number}/device").symlink_to(f"../../../devices/{address}")

    def amd(self, address, total="24G", used=0, **files):
        """One with memory of its own."""
        total = int(total[:-1]) * GIB
        self.card(address, "0x1002", "amdgpu", gpu_busy_percent=0, mem_busy_percent=0, mem_info_vram_total=total,
                  mem_info_vram_used=used, **files)

    def apu(self, address):
        self.card(address, "0x1002", "amdgpu", gpu_busy_percent=0, mem_info_vram_total=GIB // 2, mem_info_vram_used=GIB // 4)

    def intel(self, address, driver="xe"):
        self.card(address, "0x8086", driver)

    def node(self, number, gpu_id, address, part=0):
        """AMD's compute driver has that card, too, or a part of it."""
        domain, bus, rest = address.split(":")
        device, function = rest.split(".")
        location = part << 28 | int(bus, 16) << 8 | int(device, 16) << 3 | int(function)
        self.say(f"class/kfd/kfd/topology/nodes/{number}/gpu_id", gpu_id)
        self.say(f"class/kfd/kfd/topology/nodes/{number}/properties", f"location_id {location}\ndomain {int(domain, 16)}")
        (self.path / "class/kfd/kfd/proc").mkdir(exist_ok=True)

    def holds(self, pid, gpu_id, amount):
        """What a process has of the memory of a GPU."""
        self.say(f"class/kfd/kfd/proc/{pid}/vram_{gpu_id}", amount)

    def draws(self, pid, address, amount):
        """What a process that does not compute has of it."""
        (self.path / f"proc/{pid}/fd").mkdir(parents=True)
        (self.path / f"proc/{pid}/fd/5").symlink_to("/dev/dri/renderD128")
        self.say(f"proc/{pid}/fdinfo/5",
                 f"drm-driver:\tamdgpu\ndrm-client-id:\t{pid}\ndrm-pdev:\t{address}\ndrm-memory-vram:\t{amount // 1024} KiB")

    def remove(self, address):
        """The card goes."""
        for card in (self.path / "class/drm").iterdir():
            if os.readlink(card / "device").endswith(address):
                (card / "device").unlink()


class Faults:
    """What goes wrong on the machine of the programs that it is preloaded into (stand-in/faults.c)."""

    def __init__(self, folder):
        self.folder = folder / "faults"
        self.folder.mkdir()
        os.chmod(self.folder, 0o755)

    @property
    def env(self):
        return {"LD_PRELOAD": os.path.join(STAND_IN, "libfaults.so"), "FAULTS": self.folder}

    def set_clock(self, seconds):
        """On, or back, by so many seconds."""
        self._write("clock", str(seconds))

    def fail_syncs(self, of):
        """Of files with that text in their path."""
        self._write("sync", of)

    def slow_syncs(self, milliseconds):
        self._write("slow", str(milliseconds))

    def set_pressure(self, percent):
        """What the kernel says of the last ten seconds: in so much of them some program waited for memory."""
        text = f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        self._write("pressure", text)

    def be_wsl(self, library):
        """Windows' Linux, with this library where Windows puts it."""
        (self.folder / "wsl").mkdir()
        (self.folder / "wsl/libnvidia-ml.so.1").symlink_to(library)

    def mend_disk(self):
        (self.folder / "sync").unlink()

    def _write(self, name, text):
        new = self.folder / "new"
        new.write_text(text)
        new.rename(self.folder / name)


class RawClient:
    """The socket, without any client: JSON objects ended by NUL, or whatever bytes one likes to send."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(os.fspath(path))
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_json(self, value):
        self.send(json.dumps(value).encode() + b"\0")

    def receive(self):
        """The next message; EOFError when the other side has closed."""
        while b"\0" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError("closed by the daemon")
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def receive_all(self):
        """Every message until the other side closes."""
        messages = []
        with contextlib.suppress(EOFError):
            while True:
                messages.append(self.receive())
        return messages

    def call(self, method, parameters=None, **more):
        self.send_json({"method": method, "parameters": parameters or {}, **more})
        return self.receive()


class Terminal:
    """A shell (or any program) on a terminal of its own, with a person at the keys."""

    PROMPT = "ready> "

    def __init__(self, place, env, argv=None, size=(24, 100), cwd=None):
        self.text = ""
        self.position = 0
        argv = argv or ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"]
        env = {"TERM": "xterm", "PS1": self.PROMPT, "HISTFILE": "/dev/null", **env}
        cwd = cwd or place.folder
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                for number in range(1, signal.NSIG):
                    if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                        with contextlib.suppress(OSError, ValueError):
                            signal.signal(number, signal.SIG_DFL)
                os.chdir(cwd)
                os.closerange(3, 256)
                os.execve(argv[0], argv, env)
            finally:
                os._exit(127)
        self.resize(*size)
        if argv[0].endswith("bash"):
            self.expect(re.escape(self.PROMPT))

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.send(text + "\n")

    def pump(self, timeout):
        """Takes what came; False when nothing came in that time, or the other side has gone."""
        readable, _, _ = select.select([self.fd], [], [], timeout)
        if not readable:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=PATIENCE):
        """The first match behind the last one."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.compile(pattern, re.S).search(self.text, self.position)
            if match:
                self.position = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0 or (not self.pump(left) and not self.is_open()):
                raise AssertionError(f"{pattern!r} did not come; what came: {self.text[self.position:]!r}")

    def is_open(self):
        pid, _ = os.waitpid(self.pid, os.WNOHANG) if self.pid else (0, 0)
        if pid:
            self.pid = 0
        return self.pid != 0

    def do(self, text, timeout=PATIENCE):
        """A line to the shell; what it printed until its next prompt."""
        start = self.position
        self.line(text)
        self.expect(r"\n", timeout)
        start = self.position
        self.expect(re.escape(self.PROMPT), timeout)
        return self.text[start : self.position - len(self.PROMPT)].replace("\r\n", "\n")

    def foreground_group(self):
        return os.tcgetpgrp(self.fd)

    def close(self):
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        if self.pid:
            kill_quietly(self.pid, signal.SIGHUP)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    self.pid = 0
                    return
                time.sleep(0.02)
            kill_quietly(self.pid)
            os.waitpid(self.pid, 0)
            self.pid = 0


def limit_descriptors(n):
    """For preexec_fn: so many descriptors and never more."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))

    return limit


def make_session_folder():
    """Short, because the name of a socket has little room; and open to look into, for other users."""
    folder = tempfile.mkdtemp(prefix="tf-", dir="/tmp")
    os.chmod(folder, 0o755)
    return pathlib.Path(folder)
