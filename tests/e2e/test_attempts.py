# SPDX-License-Identifier: GPL-3.0-or-later
"""What one user may try on another: three people at the machine's daemon. Each attempt is refused, and the other's tasks do not notice."""

import os
import pathlib
import stat

import pytest

import harness
from harness import N_CPUS, wait_until

SECRET = "what-alice-printed"


class Victim:
    """Alice, who has a task of each kind: bob may name them all."""

    def __init__(self, machine):
        self.machine = machine
        self.user = machine.alice
        machine.start_by_hand()
        self.gate = machine.place.gate()
        self.running = self.detach("-n", "detached", f"echo {SECRET}; {self.gate.line}")
        machine.wait_started("detached")
        self.proc, self.proc_gate = machine.start("running", "-c", str(N_CPUS), user=self.user)
        self.waiting_proc = machine.popen("run", "-q", "-n", "waiting", "-c", "1", "-p", "50", "echo went", user=self.user)
        machine.wait_state("waiting", "pending")
        self.waiting_detached = self.detach("-n", "later", "-c", "1", "true")
        self.array = self.detach("-n", "array", "-c", "1", "--array", "0-3", "true")
        self.held = self.detach("-n", "held", "-c", "1", "true")
        assert machine.run("hold", self.held, user=self.user).returncode == 0
        self.before = self.look()

    def detach(self, *args):
        return self.machine.detach(*args, user=self.user)

    def look(self):
        """Of each task all that may not change while it is left alone."""
        keys = ("name", "uid", "state", "priority", "needs", "pid", "command", "time_limit_seconds", "array")
        tasks = self.machine.ps("-u", user=self.user)
        return {task["id"]: {key: task[key] for key in keys} for task in tasks}

    def ids(self):
        return [str(task_id) for task_id in self.before] + [f"{self.array}_1"]

    def check(self):
        """Untouched, and goes on to its end."""
        assert self.look() == self.before
        self.gate.open()
        self.proc_gate.open()
        assert (self.proc.wait(), self.waiting_proc.wait(), self.waiting_proc.out) == (0, 0, "went\n")
        for task_id in (self.running, self.waiting_detached, self.array):
            self.machine.wait_id(task_id, "done", user=self.user)
        assert self.machine.logs(self.running, user=self.user) == SECRET + "\n"


@pytest.fixture
def victim(machine):
    if not os.path.exists(harness.AGENT):
        pytest.skip(f"{harness.AGENT} is not built")
    alice = Victim(machine)
    yield alice
    machine.run("cancel", "-s", "KILL", *alice.ids(), user=machine.alice)


def refused(victim, who, *args, status=1, **kwargs):
    """In one line, with nothing else; that line."""
    done = victim.machine.run(*args, user=who, **kwargs)
    assert (done.returncode, done.stdout) == (status, ""), (args, done)
    assert done.stderr.count("\n") == 1, (args, done.stderr)
    return done.stderr


ACTS = [
    ["cancel"], ["cancel", "-s", "KILL"], ["hold"], ["release"], ["update", "-p", "0"], ["update", "-m", "1G"],
    ["update", "-c", "0"], ["update", "-t", "1s"], ["update", "-n", "bobs"],
]  # fmt: skip


@pytest.mark.parametrize("act", ACTS, ids=" ".join)
def test_nobody_acts_on_the_task_of_another(victim, act):
    command, *options = act
    for task_id in victim.ids():
        for who in (victim.machine.bob, victim.machine.chuck):
            said = refused(victim, who, command, *options, task_id)
            assert said == f"taskflow: cannot {command} task {task_id}: it is not yours\n"
    victim.check()


def test_nobody_acts_on_all_of_them_at_once_or_on_the_machine(victim):
    bob = victim.machine.bob
    done = victim.machine.run("cancel", *victim.ids(), user=bob)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("not yours") == len(victim.ids()) == done.stderr.count("\n"), done.stderr
    for command in ("drain", "undrain"):
        assert "only an admin" in refused(victim, bob, command)
    assert refused(victim, bob, "run", "-D", "--after", "999", "true", status=125)
    victim.check()


def test_nobody_reads_what_the_task_of_another_printed(victim):
    machine, bob = victim.machine, victim.machine.bob
    log = pathlib.Path(machine.show(victim.running, user=bob)["output"])
    wait_until(lambda: SECRET in machine.logs(victim.running, user=victim.user), "it was printed")
    for args in (["logs", victim.running], ["logs", "-f", victim.running], ["logs", "-n", "1", victim.running]):
        said = refused(victim, bob, *args)
        assert SECRET not in said and "Permission denied" in said, said
    for env in ({"HOME": machine.homes[victim.user]}, {"XDG_STATE_HOME": machine.homes[victim.user] / ".local/state"}):
        assert SECRET not in refused(victim, bob, "logs", victim.running, env=env)
    done = machine.place.run(["cat", log], cwd="/", **bob.kwargs())
    assert (done.returncode, done.stdout) == (1, "")
    victim.check()


def test_what_an_agent_keeps_is_its_users_alone(victim):
    """Whatever the umask was, and whoever can get into the home."""
    home = victim.machine.homes[victim.user]
    state = home / ".local/state/taskflow"
    for path in [state, *state.rglob("*")]:
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        assert mode & 0o077 == 0 or (path.parent == state and path.name == "machine-id"), (path, oct(mode))
    victim.check()


def test_another_users_agent_does_not_listen(victim):
    """With all doors in front of it open: its own is still shut."""
    home = victim.machine.homes[victim.user]
    folder = home / ".local/state/taskflow/agent-machine"
    for path in (home, home / ".local", home / ".local/state", home / ".local/state/taskflow", folder):
        path.chmod(0o755)
    (folder / "sock").chmod(0o777)
    for method in ("Queue", "Status", "Stop"):
        with victim.machine.bob.connect(folder / "sock") as bob:
            try:
                bob.send_json({"method": f"io.taskflow.agent.v1.{method}", "parameters": {}})
                answers = bob.receive_all()
            except BrokenPipeError:
                answers = []
            assert answers == [], method
    said = refused(victim, victim.machine.bob, "ps", status=3, env={"TASKFLOW_SOCKET": folder / "sock"})
    assert os.fspath(folder / "sock") in said
    victim.check()


def test_nobody_submits_as_another_by_saying_so(victim):
    """Who it is says the kernel, and not the environment."""
    machine, bob = victim.machine, victim.machine.bob
    home = machine.homes[victim.user]
    claims = {"USER": "alice", "LOGNAME": "alice", "HOME": home, "SUDO_UID": str(victim.user.uid), "XDG_RUNTIME_DIR": home}
    done = machine.run("run", "-n", "bobs", "id -u", user=bob, env=claims)
    assert (done.returncode, done.stdout) == (0, f"{bob.uid}\n"), done.stderr
    assert machine.task("bobs")["user"] == "bob"
    for env in (claims, {"XDG_STATE_HOME": home / ".local/state"}):
        said = refused(victim, bob, "run", "-D", "-n", "none", "true", status=125, env=env)
        assert os.fspath(home) in said, said
    assert machine.task("none") is None
    victim.check()
