# SPDX-License-Identifier: GPL-3.0-or-later
"""One round: a place with daemon, agent and tasks, and a schedule that is carried out in it."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid

from judge import FINAL, Journal, Judge, Wanted

sys.path.insert(0, os.fspath(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402  # pylint: disable=wrong-import-position
from harness import read_proc  # noqa: E402  # pylint: disable=wrong-import-position

WORK = pathlib.Path(__file__).resolve().parent / "work.sh"
PR_SET_CHILD_SUBREAPER = 36
PF_FORKNOEXEC = 0x40
CLIENTS_MAX = 12
# When all is over that must come to an end by itself.
DEADLINE = float(os.environ.get("TASKFLOW_TORTURE_DEADLINE", "90"))

SANITIZER = re.compile(r"^.*(?:runtime error:|Sanitizer:|Sanitizer has encountered).*$", re.MULTILINE)

NAMES = {b"taskflow-agent": "agent", b"taskflow-nurse": "nursery", b"taskflow-keeper": "keeper", b"taskflowd": "daemon"}


class Stuck(Exception):
    """What should have come did not."""


class Client:
    """A command that was called and has not ended."""

    def __init__(self, proc, kind, name):
        self.proc = proc
        self.kind = kind  # "submit", "cancel", ""
        self.name = name  # of the submission, or the id
        self.killed = False


def become_subreaper():
    """What loses its parent comes to us, and so we see how it ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_only_forked(pid):
    """Whether it still is a copy of its parent, name and all, that has executed nothing."""
    stat = read_proc(pid, "stat").rpartition(b")")[2].split()
    return bool(stat) and bool(int(stat[6]) & PF_FORKNOEXEC)


class Round:
    """What is done; what must be true of it stands in judge.py."""

    def __init__(self, schedule, folder, boot_id_path):
        self.schedule = schedule
        self.boot_id_path = boot_id_path
        self.place = harness.Place(folder)
        self.journal_path = self.place.folder / "journal"
        self.journal = os.open(self.journal_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.n_lines = 0
        self.needle = os.fsencode(self.place.folder)
        self.wanted = {}
        self.clients = []
        self.after_that = []  # (when, what)
        self.complaints = []
        self.held = set()
        self.daemon = None
        self.expected_deaths = set()
        settings = {"reserved_memory": "1M"}
        if schedule.personal:
            self.commands = harness.Personal(self.place, settings=settings)
        else:
            self.daemon = self.commands = harness.Daemon(self.place, settings=settings)
        if schedule.idle_ms:
            self.commands.env["TASKFLOW_AGENT_IDLE_MS"] = str(schedule.idle_ms)

    # ---- journal and processes

    def note(self, text):
        """Return: the number that its line has, at least."""
        os.write(self.journal, f"* {text}\n".encode())
        return len(self.journal_path.read_bytes().splitlines())

    def ours(self, what):
        """Pids of daemons, agents, nurseries, keepers of this place, oldest first."""
        found = []
        for pid in harness.all_pids():
            comm = read_proc(pid, "comm").strip()
            if NAMES.get(comm) != what or self.needle not in read_proc(pid, "environ") or not harness.is_alive(pid):
                continue
            if what in ("agent", "daemon") and has_only_forked(pid):
                continue
            if what == "daemon" and b"--gpu-probe" in read_proc(pid, "cmdline").split(b"\0"):
                continue
            # A command that is just being started still has the name of its keeper.
            if what == "keeper" and NAMES.get(read_proc(harness.parent_of(pid), "comm").strip()) == "keeper":
                continue
            found.append(pid)
        return sorted(found)

    def commands_below(self, keeper):
        return [pid for pid in harness.children_of(keeper) if self.ref_of(pid)]

    def ref_of(self, pid):
        """The task that a process is of, or None."""
        environment = b"\0" + read_proc(pid, "environ")
        task_id = re.search(rb"\0TASKFLOW_TASK_ID=([0-9]+)", environment)
        index = re.search(rb"\0TASKFLOW_ARRAY_INDEX=([0-9]+)", environment)
        return b"_".join(match.group(1) for match in (task_id, index) if match).decode() if task_id else None

    def all_commands(self):
        return [
            pid for pid in harness.all_pids()
            if harness.is_alive(pid) and self.needle in read_proc(pid, "environ") and self.ref_of(pid)
        ]

    def top_commands(self):
        """What keepers started, and nothing that those started."""
        return [pid for pid in self.all_commands() if not self.ref_of(harness.parent_of(pid))]

    def reap(self):
        """Those that came to us; who died of a signal that we did not send has crashed."""
        known = {client.proc.pid for client in self.clients} | {proc.pid for proc in self.place.procs}
        if self.daemon:
            known.add(self.daemon.pid)
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            if info.si_pid in known:
                self.reap_known(info.si_pid)
                continue
            comm = read_proc(info.si_pid, "comm").strip()
            if comm in NAMES and self.is_bad_end(NAMES[comm], info):
                how = "status" if info.si_code == os.CLD_EXITED else "signal"
                self.complaints.append(f"{comm.decode()} {info.si_pid} ended with {how} {info.si_status}")
            os.waitpid(info.si_pid, 0)

    def is_bad_end(self, what, info):
        """The nursery and keepers without a start are killed when what forked them is dead; nobody else is but by us."""
        has_exited = info.si_code == os.CLD_EXITED
        if not has_exited and info.si_status != signal.SIGKILL:
            return True
        if has_exited and info.si_status == 0:
            return False
        if what in ("nursery", "keeper"):
            return has_exited
        # What an agent or a daemon has just forked, or a sanitizer in it, is no agent and no daemon, and dies with it.
        return info.si_pid not in self.expected_deaths and not has_only_forked(info.si_pid)

    def reap_known(self, pid):
        for proc in [p.popen for p in self.place.procs] + ([self.daemon.proc] if self.daemon else []):
            if proc.pid == pid:
                proc.poll()
        if self.daemon and self.daemon.proc.pid == pid and pid not in self.expected_deaths:
            self.complaints.append(f"taskflowd ended with {self.daemon.proc.returncode}")
            self.expected_deaths.add(pid)

    # ---- time

    def later(self, seconds, what):
        self.after_that.append((time.monotonic() + seconds, what))

    def turn(self):
        """What is due, and which clients have ended."""
        now = time.monotonic()
        due = [what for when, what in self.after_that if when <= now]
        self.after_that = [item for item in self.after_that if item[0] > now]
        for what in due:
            what()
        for client in [c for c in self.clients if not c.proc.is_running()]:
            self.clients.remove(client)
            self.on_client_ended(client)
        self.reap()

    def sleep(self, seconds):
        until = time.monotonic() + seconds
        self.turn()
        while time.monotonic() < until or len(self.clients) >= CLIENTS_MAX:
            time.sleep(0.003)
            self.turn()
            if time.monotonic() > until + DEADLINE:
                raise Stuck(f"clients do not end: {[c.proc.argv for c in self.clients]}")

    def wait_until(self, predicate, what, seconds=DEADLINE, interval=0.05):
        until = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > until:
                raise Stuck(f"after {seconds:.0f} s still not so: {what}")
            self.turn()
            time.sleep(interval)

    # ---- clients

    def call(self, kind, name, *args, **kwargs):
        client = Client(self.commands.popen(*args, **kwargs), kind, name)
        self.clients.append(client)
        return client

    def on_client_ended(self, client):
        status = client.proc.popen.returncode
        if client.kind == "submit":
            wanted = self.wanted[client.name]
            wanted.ids = [int(word) for word in client.proc.out.split() if word.isdigit()]
            if wanted.ids:
                wanted.accepted = self.note(f"accepted {client.name} {' '.join(map(str, wanted.ids))}")
            if status != 0:
                err = client.proc.err.strip()
                # Of what was said to an agent that died meanwhile nobody can tell.
                wanted.refused = not client.killed and "may have" not in err and "lost your agent" not in err
                self.note(f"refused {client.name} {status} {err.splitlines()[-1] if err else ''}")
        elif client.kind == "cancel" and status == 0:
            self.note(f"cancelled {client.name}")
        elif client.kind:
            err = client.proc.err.strip()
            self.note(f"{client.kind}: {client.name} status {status} {err.splitlines()[-1] if err else ''}")
        if status < 0 and not client.killed:
            self.complaints.append(f"{client.proc.argv} died of signal {-status}")

    def words(self, name, work):
        return [WORK, self.journal_path, name, f"{work['length']}", f"{work['status']}", f"{work['fails']}"]

    def do_submit(self, act):
        options = act.options
        wanted = Wanted(act.name, options)
        args = ["-n", act.name, "-c", str(options["cpus"]), "-p", str(options["priority"])]
        if options["requeue"]:
            args.append("--requeue")
        for pick, any_end in options.get("after", []):
            ids = self.accepted_ids()
            if ids:
                task_id = ids[int(pick * len(ids))]
                wanted.after.append((task_id, any_end))
                args += ["--after-any" if any_end else "--after", str(task_id)]
        if "first" in options:
            limit = f"%{options['limit']}" if options["limit"] else ""
            args += ["--array", f"{options['first']}-{options['last']}{limit}"]
        if options.get("retry"):
            args += ["--retry", str(options["retry"])]
        if "limit_ms" in options:
            args += ["-t", f"{options['limit_ms']}ms"]
        if "wait_ms" in options:
            args += ["-w", f"{options['wait_ms']}ms"]
        self.wanted[act.name] = wanted
        wanted.submitted = self.note(f"submit {act.name}")
        if not options["lines"]:
            self.call("submit", act.name, "run", "-D", *args, "--", *self.words(act.name, options["work"]))
            return
        path = self.place.folder / f"{act.name}.lines"
        path.write_text("".join(
            shlex.join(map(str, self.words(f"{act.name}.{i}", options["work"]))) + "\n" for i in range(options["lines"])
        ))
        self.call("submit", act.name, "submit", *args, path)

    def accepted_ids(self):
        return sorted(i for wanted in self.wanted.values() for i in wanted.ids)

    def a_ref(self, pick):
        """A task that was accepted, the later ones more often; of an array perhaps one element."""
        ids = self.accepted_ids()
        if not ids:
            return None
        place = (1 - (1 - pick) ** 2) * len(ids)
        task_id = ids[int(place)]
        wanted = next(w for w in self.wanted.values() if task_id in w.ids)
        part = place - int(place)
        if "first" in wanted.options and part < 0.7:
            n = wanted.options["last"] - wanted.options["first"] + 1
            return f"{task_id}_{wanted.options['first'] + int(part / 0.7 * n)}"
        return str(task_id)

    # ---- disturbances

    def do_cancel(self, act):
        ref = self.a_ref(act.pick)
        if ref:
            self.note(f"cancel {ref}")
            self.call("cancel", ref, "cancel", ref)

    def do_hold(self, act):
        ref = self.a_ref(act.pick)
        if ref:
            self.note(f"hold {ref}")
            self.held.add(ref)
            self.call("hold", ref, "hold", ref)

    def do_release(self, act):
        held = sorted(self.held)
        if held:
            self.call("release", held[int(act.pick * len(held))], "release", held[int(act.pick * len(held))])

    def do_look(self, act):
        ref = self.a_ref(act.pick) or "1"
        looks = (["ps", "-a"], ["show", ref], ["why", ref], ["status"], ["wait", ref, "-t", "1"], ["logs", ref])
        self.call("", "", *looks[int(act.pick * 1000) % len(looks)])

    def kill(self, what, pid):
        ref = "-"
        if what == "keeper":
            below = self.commands_below(pid)
            ref = self.ref_of(below[0]) if below else "-"
        elif what == "command":
            ref = self.ref_of(pid) or "-"
        self.expected_deaths.add(pid)
        # Before, so that nothing that comes of it can stand in front of it.
        self.note(f"kill {what} {pid} {ref} {time.time():.3f}")
        harness.kill_quietly(pid)

    def do_kill(self, act):
        what = act.kind.partition(" ")[2]
        for one in what.replace("all of ours", "daemon and agent and nursery and keepers").split(" and "):
            if one == "daemon":
                self.kill_daemon(act.seconds)
            elif one == "client":
                self.kill_client(act.pick)
            else:
                pids = self.top_commands() if one == "command" else self.ours(one.rstrip("s"))
                pids = pids if one == "keepers" or not pids else [pids[int(act.pick * len(pids))]]
                for pid in pids:
                    self.kill(one.rstrip("s"), pid)

    def kill_client(self, pick):
        if self.clients:
            client = self.clients[int(pick * len(self.clients))]
            client.killed = True
            self.note(f"kill client {client.proc.pid} {client.name or '-'} {time.time():.3f}")
            client.proc.signal(signal.SIGKILL)

    def kill_daemon(self, seconds):
        pids = self.ours("daemon")
        for pid in pids:
            self.kill("daemon", pid)
        if self.daemon and pids:
            self.daemon.proc.wait()
            self.later(seconds, self.see_to_daemon)

    def see_to_daemon(self):
        if self.daemon and self.daemon.proc.poll() is not None:
            self.daemon.launch()

    def do_stop(self, act):
        what = act.kind.partition(" ")[2]
        pids = self.ours(what)
        if pids:
            pid = pids[int(act.pick * len(pids))]
            self.note(f"stop {what} {pid} {time.time():.3f}")
            harness.kill_quietly(pid, signal.SIGSTOP)
            self.later(act.seconds, lambda: harness.kill_quietly(pid, signal.SIGCONT))

    def do_agent(self, act):
        self.note(f"stop agent - {time.time():.3f}")
        self.call("", "", "agent", *(["stop"] if act.kind == "agent stop" else []))

    def do_reboot(self, act):
        """Everything dies at once, and the next boot has another id."""
        if not self.boot_id_path:
            return
        for client in self.clients:
            client.killed = True
        # Stopped first, for at a power cut nobody sees another one die.
        for number in (signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL, signal.SIGKILL):
            pids = [p for p in harness.pids_that_mention(self.place.folder) if self.needle in read_proc(p, "environ")]
            pids.sort(key=lambda pid: read_proc(pid, "comm").strip() not in NAMES)
            self.expected_deaths.update(pids)
            for pid in pids:
                harness.kill_quietly(pid, number)
        self.wait_until(
            lambda: not [p for p in harness.all_pids() if harness.is_alive(p) and self.needle in read_proc(p, "environ")],
            "all are dead", 10, 0.005,
        )
        self.note("reboot")
        pathlib.Path(self.boot_id_path).write_text(f"{uuid.UUID(int=self.schedule.seed << 64 | time.time_ns())}\n")
        if self.daemon:
            self.daemon.proc.wait()
            self.later(act.seconds, self.see_to_daemon)

    def carry_out(self):
        for act in self.schedule.acts:
            self.sleep(act.pause)
            getattr(self, "do_" + act.kind.partition(" ")[0])(act)

    # ---- the end

    def release_all(self):
        """All that is held: by us, or by the daemon because an agent did not answer."""
        for task in self.open_tasks():
            if task["state"] == "held":
                ref = str(task["id"]) if task["index"] is None else f"{task['id']}_{task['index']}"
                self.commands.run("release", ref)

    def open_tasks(self):
        done = self.commands.run("ps", "--json", timeout=DEADLINE)
        if done.returncode != 0:
            raise Stuck(f"ps: {done.returncode} {done.stderr}")
        return [task for task in json.loads(done.stdout)["tasks"] if task["state"] not in FINAL]

    def settle(self):
        """As a user would: everything goes on, the daemon is there, commands are called until nothing is left to do."""
        self.note("settle")
        self.wait_until(lambda: not self.after_that, "what was planned has come", 10)
        for what in NAMES.values():
            for pid in self.ours(what):
                harness.kill_quietly(pid, signal.SIGCONT)
        self.see_to_daemon()
        if self.daemon:
            self.wait_until(self.daemon.answers, "taskflowd answers", 20)
        self.wait_until(lambda: not self.clients, f"clients end: {[c.proc.argv for c in self.clients]}")
        done = self.commands.run("agent", timeout=DEADLINE)
        if done.returncode not in (0, 1):
            self.complaints.append(f"agent: {done.returncode} {done.stderr}")

        def is_empty():
            self.release_all()
            return not self.open_tasks()

        try:
            self.wait_until(is_empty, "the queue is empty", DEADLINE, 0.1)
        except Stuck as stuck:
            keys = ("id", "index", "state", "pid", "reason", "command")
            tasks = "\n".join(str({key: task[key] for key in keys}) for task in self.open_tasks())
            raise Stuck(f"{stuck}; there are\n{tasks}") from None
        self.wait_until(lambda: not self.records(), f"no record is left in {self.agent_folder()}/run", 15)

    def agent_folder(self):
        folders = list((self.place.home / ".local/state/taskflow").glob("agent-*"))
        return folders[0] if folders else None

    def records(self):
        folder = self.agent_folder()
        if not folder or not (folder / "run").is_dir():
            return []
        # Files that are kept for the next starts are no records.
        return sorted(name for name in os.listdir(folder / "run") if not name.startswith(("recycled-", ".")))

    def check_nothing_left(self):
        # What a killed keeper's command left behind is nobody's any more, and is no fault.
        keepers = self.expected_deaths
        lost = {task_ref for task_ref, state in self.states(self.last_tasks) if state == "lost"}
        killed = {r for _, _, r in Journal(self.lines()).killed("keeper") + Journal(self.lines()).killed("command")}

        def left():
            return [pid for pid in self.all_commands() if self.ref_of(pid) not in lost | killed and pid not in keepers]

        try:
            self.wait_until(lambda: not left(), "no command is left", 3)
        except Stuck:
            for pid in left():
                self.complaints.append(f"still there: {pid} of task {self.ref_of(pid)}: {harness.command_line(pid)}")
        for pid in self.all_commands():
            harness.kill_quietly(pid)
        busy = [pid for pid in self.ours("keeper") if harness.children_of(pid)]
        if busy:
            self.complaints.append(f"keepers that keep something: {busy}")

    @staticmethod
    def states(tasks):
        return sorted(
            (str(t["id"]) if t["index"] is None else f"{t['id']}_{t['index']}", t["state"]) for t in tasks
        )

    def end_agent(self):
        """SIGTERM; and all that it forked goes with it."""
        for pid in self.ours("agent"):
            harness.kill_quietly(pid, signal.SIGTERM)
            self.expected_deaths.add(pid)

        def rest():
            return self.ours("agent") + self.ours("nursery") + self.ours("keeper")

        try:
            self.wait_until(lambda: not rest(), "the agent and its processes are gone", 10)
        except Stuck as stuck:
            self.complaints.append(f"{stuck}: {[(pid, harness.command_line(pid)) for pid in rest()]}")
        if self.records():
            self.complaints.append(f"records that nobody wants: {self.records()}")
        n = self.n_spooled()
        if n:
            self.complaints.append(f"agent.db still has {n} tasks")

    def n_spooled(self):
        """Tasks that the agent still has in its spool."""
        folder = self.agent_folder()
        if not folder or not (folder / "agent.db").exists():
            return 0
        copy = self.place.folder / "spool"
        copy.mkdir(exist_ok=True)
        for path in folder.glob("agent.db*"):
            shutil.copy(path, copy)
        with contextlib.closing(sqlite3.connect(copy / "agent.db")) as db:
            return db.execute("SELECT count(*) FROM task").fetchone()[0]

    def check_restart(self):
        """What is over stays so."""
        if not self.daemon:
            return
        self.expected_deaths.add(self.daemon.pid)
        self.daemon.restart()
        again = self.states(self.commands.ps())
        if again != self.states(self.last_tasks):
            changed = set(again) ^ set(self.states(self.last_tasks))
            self.complaints.append(f"a restart of the daemon changed what is over: {sorted(changed)}")

    def logs(self):
        """What daemons, agents and commands have said."""
        patterns = ("d/log", "err-*", "home/.local/state/taskflow/taskflowd.log", "home/.local/state/taskflow/agent-*/*.log")
        return [path for pattern in patterns for path in sorted(self.place.folder.glob(pattern))]

    def check_sanitizers(self):
        for path in self.logs():
            match = SANITIZER.search(path.read_text(errors="replace"))
            if match:
                self.complaints.append(f"{path.relative_to(self.place.folder)}: {match.group(0)}")

    def lines(self):
        return self.journal_path.read_text(errors="replace").splitlines()

    def judge(self):
        self.last_tasks = self.commands.ps(timeout=DEADLINE)
        arrays = {}
        for wanted in self.wanted.values():
            if "first" in wanted.options:
                for task_id in wanted.ids:
                    done = self.commands.run("show", str(task_id), "--json")
                    if done.returncode == 0:
                        arrays[str(task_id)] = json.loads(done.stdout)
                    else:
                        self.complaints.append(f"show {task_id}: {done.stderr.strip()}")
        for task in self.last_tasks:
            if task["array"] and str(task["id"]) not in arrays:
                arrays[str(task["id"])] = task
        judge = Judge(Journal(self.lines()), self.wanted, self.last_tasks, arrays, harness.N_CPUS)
        self.complaints += judge.judge()
        return judge

    def run(self):
        """Return: what was wrong, and a line of figures."""
        figures = ""
        try:
            self.carry_out()
            self.settle()
            judge = self.judge()
            figures = self.figures(judge)
            self.check_nothing_left()
            self.end_agent()
            self.check_restart()
        except (Stuck, AssertionError, subprocess.TimeoutExpired) as error:
            self.complaints.append(str(error))
            with contextlib.suppress(Exception):
                (self.place.folder / "ps.json").write_text(self.commands.run("ps", "-a", "--json", timeout=10).stdout)
        self.check_sanitizers()
        return self.complaints, figures

    def figures(self, judge):
        states = [task["state"] for ref, task in judge.tasks.items() if ref not in judge.arrays]
        counts = ", ".join(f"{states.count(state)} {state}" for state in FINAL if state in states)
        kills = len(judge.journal.notes["kill"]) + len(judge.journal.notes["reboot"])
        return f"{len(states)} tasks: {counts}; {kills} kills"

    def end(self):
        """Ends everything; the folder stays."""
        os.close(self.journal)
        if self.daemon:
            with contextlib.suppress(Exception):
                self.expected_deaths.add(self.daemon.pid)
                self.complaints += self.daemon.end()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            pids = [p for p in harness.pids_that_mention(self.place.folder) if self.needle in read_proc(p, "environ")]
            if not pids:
                break
            for pid in pids:
                harness.kill_quietly(pid)
            time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
