# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a round, judged from its journal and from what `ps -a` says at its end.

The journal is one file to which tasks and the test itself append whole lines, so that its order is the order of events:

    begin NAME ID PID PPID      a command began; PPID is its keeper, or ours if that was gone
    end NAME ID PID STATUS      and is about to end with that status
    * submit NAME               a client was called
    * accepted NAME ID...       and printed these ids, and has ended
    * refused NAME STATUS       or did not succeed
    * cancel REF, * cancelled REF, * hold REF
    * kill WHAT PID REF TIME, * stop WHAT PID TIME, * reboot; REF is - where it is not known
"""

import collections
import dataclasses
import datetime
import re

FINAL = ("done", "failed", "cancelled", "timeout", "lost")
WORK = re.compile(r"work\.sh \S+ (\S+) ")
# Clocks of two programs, and times in milliseconds.
SLACK_SECONDS = 0.002
# For which a task may stand in a row while those of another one go on: 50 ms, and a machine that is busy with other rounds.
ROW_SECONDS = 0.25


@dataclasses.dataclass
class Run:
    """One begin line and its end line."""

    ref: str
    name: str
    pid: int
    keeper: int
    begin: int
    end: int = 0  # 0: there is none
    status: int = -1


@dataclasses.dataclass
class Wanted:
    """What was asked for under one name."""

    name: str
    options: dict
    after: list = dataclasses.field(default_factory=list)  # (id, any)
    ids: list = dataclasses.field(default_factory=list)  # that were printed
    submitted: int = 0  # lines of the journal
    accepted: int = 0
    refused: bool = False  # with a word of it, so that nothing may be queued


def ref_of(task):
    return str(task["id"]) if task["index"] is None else f"{task['id']}_{task['index']}"


def id_of(ref):
    return int(ref.partition("_")[0])


def seconds_of(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() if text else None


class Journal:
    def __init__(self, lines):
        self.lines = lines
        self.runs = collections.defaultdict(list)  # by ref
        self.notes = collections.defaultdict(list)  # by first word: (line, words behind it)
        self.strange = []
        open_runs = {}
        for number, line in enumerate(lines, 1):
            words = line.split()
            if words[:1] == ["*"]:
                self.notes[words[1]].append((number, words[2:]))
            elif words[:1] == ["begin"] and len(words) == 5:
                run = Run(words[2], words[1], int(words[3]), int(words[4]), number)
                self.runs[run.ref].append(run)
                open_runs[run.ref, run.pid] = run
            elif words[:1] == ["end"] and len(words) == 5 and (words[2], int(words[3])) in open_runs:
                run = open_runs.pop((words[2], int(words[3])))
                run.end, run.status = number, int(words[4])
            else:
                self.strange.append(f"line {number}: {line!r}")

    def killed(self, what):
        """(line, pid, ref) of each."""
        return [(n, int(words[1]), words[2]) for n, words in self.notes["kill"] if words[0] == what]

    def refs(self, note):
        """{ref: line} of the first of each."""
        found = {}
        for number, words in self.notes[note]:
            found.setdefault(words[0], number)
        return found


class Judge:
    def __init__(self, journal, wanted, tasks, arrays, n_cpus):
        self.journal = journal
        self.wanted = wanted  # by name
        self.n_cpus = n_cpus
        self.tasks = {ref_of(task): task for task in tasks}
        self.arrays = arrays  # by id: what `show` says of them
        self.complaints = []
        self.name_of = {}
        self.killed_keepers = {pid: line for line, pid, _ in journal.killed("keeper")}
        self.killed_commands = {pid for _, pid, _ in journal.killed("command")}
        self.reboots = [line for line, _ in journal.notes["reboot"]]
        self.cancel = journal.refs("cancel")
        self.cancelled = journal.refs("cancelled")
        self.held = journal.refs("hold")
        self.disturbances = [float(words[-1]) for note in ("kill", "stop") for _, words in journal.notes[note]]

    def complain(self, text):
        self.complaints.append(text)

    def judge(self):
        for text in self.journal.strange:
            self.complain(f"the journal is strange: {text}")
        self.find_names()
        self.check_accepted()
        self.check_ids_rise()
        for ref, task in self.tasks.items():
            if ref in self.name_of and ref not in self.arrays:
                self.check_task(ref, task, self.wanted_of(ref))
        self.check_lost()
        self.check_cancelled()
        self.check_after()
        self.check_arrays()
        self.check_room()
        self.check_serial_order()
        self.check_order_of_starts()
        return self.complaints

    def wanted_of(self, ref):
        return self.wanted[self.name_of[ref].partition(".")[0]]

    def find_names(self):
        """Which submission each task is of; none comes from nowhere, or twice."""
        seen = {}
        for ref, task in self.tasks.items():
            match = WORK.search(task["command"])
            if not match or match.group(1).partition(".")[0] not in self.wanted:
                self.complain(f"task {ref} is none that was submitted: {task['command']!r}")
                continue
            name = match.group(1)
            self.name_of[ref] = name
            if seen.setdefault(name, task["id"]) != task["id"]:
                self.complain(f"{name} was submitted once, and is queued as {seen[name]} and {task['id']}")
        for ref, runs in self.journal.runs.items():
            if ref not in self.tasks:
                self.complain(f"task {ref} ({runs[0].name}) ran, and is not on record")
            for run in runs:
                if ref in self.name_of and run.name != self.name_of[ref]:
                    self.complain(f"task {ref} is {self.name_of[ref]} on record, and ran as {run.name}")

    def check_accepted(self):
        on_record = {task["id"] for task in self.tasks.values()} | {int(i) for i in self.arrays}
        for wanted in self.wanted.values():
            for task_id in wanted.ids:
                if task_id not in on_record:
                    self.complain(f"task {task_id} ({wanted.name}) was accepted, and is not on record")
            for ref in self.name_of if wanted.refused else ():
                self.check_refused(ref, wanted)
        for ref, task in self.tasks.items():
            if task["state"] not in FINAL:
                self.complain(f"task {ref} is not over: {task['state']} ({task['reason']})")

    def check_refused(self, ref, wanted):
        """The daemon may have queued what an agent refused that could not ask it; it never runs then."""
        if self.wanted_of(ref) is wanted and id_of(ref) not in wanted.ids:
            if self.journal.runs.get(ref) or self.tasks[ref]["state"] != "cancelled":
                self.complain(f"{wanted.name} was refused, and is queued as {ref}: {self.tasks[ref]['state']}")

    def check_ids_rise(self):
        highest, clients = 0, []
        for wanted in self.wanted.values():
            if wanted.ids != sorted(set(wanted.ids)):
                self.complain(f"the ids of {wanted.name} do not rise: {wanted.ids}")
            if wanted.ids:
                clients += [(wanted.submitted, False, wanted), (wanted.accepted, True, wanted)]
        for _, has_ended, wanted in sorted(clients, key=lambda c: c[:2]):
            if has_ended:
                highest = max(highest, wanted.ids[-1])
            elif wanted.ids[0] <= highest:
                self.complain(f"{wanted.name} was submitted after task {highest} was, and is {wanted.ids[0]}")

    def is_disturbed(self, ref):
        """Whether its keeper or its command was killed, so that its runs say less."""
        refs = {r for _, _, r in self.journal.killed("keeper") + self.journal.killed("command")}
        runs = self.journal.runs.get(ref, [])
        return (
            ref in refs
            or any(run.keeper in self.killed_keepers or run.pid in self.killed_commands for run in runs)
            or self.tasks[ref]["state"] == "lost"
            or any(not run.end or run.end > line for run in runs for line in self.reboots if run.begin < line)
        )

    def n_lost_to_reboots(self, ref):
        runs = self.journal.runs.get(ref, [])
        return sum(any(run.begin < line and not 0 < run.end < line for line in self.reboots) for run in runs)

    def check_task(self, ref, task, wanted):
        runs = self.journal.runs.get(ref, [])
        retry_max = wanted.options.get("retry", 0)
        n_tries = task["retries"]["used"] + 1
        allowed = n_tries
        if wanted.options["requeue"]:
            # one whose end came with the reboot may have run to its end, and runs again
            allowed += max(self.n_lost_to_reboots(ref), len(self.reboots) if self.is_near_reboot(runs) else 0)
        if task["retries"]["used"] > retry_max:
            self.complain(f"task {ref} was tried again {task['retries']['used']} times, and not {retry_max} at most")
        if len(runs) > allowed:
            self.complain(f"task {ref} ran {len(runs)} times, and not {allowed}: lines {[run.begin for run in runs]}")
        if task["state"] == "done" or (task["state"] == "failed" and not self.is_disturbed(ref)):
            self.check_status(ref, task, wanted, runs)
        elif task["state"] == "failed":
            self.check_killed(ref, task, wanted, runs)
        elif task["state"] == "timeout" and "limit_ms" not in wanted.options:
            self.complain(f"task {ref} has timed out, and had no limit")
        elif task["state"] == "cancelled":
            self.check_reason_of_cancel(ref, task, wanted, runs)

    def is_near_reboot(self, runs):
        return any(run.begin < line for run in runs for line in self.reboots)

    def check_status(self, ref, task, wanted, runs):
        """It ended by itself: then it ran to its end, and its status is that of its last run."""
        if not runs or not runs[-1].end:
            self.complain(f"task {ref} is {task['state']} ({task['reason']}), and did not run to its end")
            return
        if task["exit_status"] != runs[-1].status:
            self.complain(f"task {ref} has status {task['exit_status']}, and its command said {runs[-1].status}")
        if (task["exit_status"] == 0) != (task["state"] == "done"):
            self.complain(f"task {ref} is {task['state']} with status {task['exit_status']}")
        if "limit_ms" in wanted.options:
            self.complain(f"task {ref} is {task['state']}, and not ended by its time limit")
        if len(runs) != task["retries"]["used"] + 1 and not self.is_disturbed(ref) and not self.is_near_reboot(runs):
            self.complain(f"task {ref} was tried {task['retries']['used'] + 1} times, and ran {len(runs)} times")
        retry_max = wanted.options.get("retry", 0)
        # One that was lost with the machine, and whose end was found nevertheless, is not tried again.
        if task["state"] == "failed" and task["retries"]["used"] != retry_max and not self.is_near_reboot(runs):
            self.complain(f"task {ref} failed and was tried again {task['retries']['used']} times, and not {retry_max}")

    def check_killed(self, ref, task, wanted, runs):
        """Its command was killed, or may have been."""
        if runs and runs[-1].end and task["exit_status"] == runs[-1].status:
            return
        if task["signal"] != 9:
            self.complain(f"task {ref} is failed with {task['exit_status']}, signal {task['signal']} ({task['reason']})")

    def check_reason_of_cancel(self, ref, task, wanted, runs):
        if not task["reason"] and ref not in self.cancel and str(id_of(ref)) not in self.cancel:
            self.complain(f"task {ref} is cancelled without a reason")
        if ref in self.cancel or str(id_of(ref)) in self.cancel:
            return
        if any(re.search(rf"\b{i}\b", task["reason"] or "") for i, _ in wanted.after) and not runs:
            return
        if "wait_ms" in wanted.options and not runs:
            return
        if id_of(ref) not in wanted.ids and not runs and "its command was lost" in task["reason"]:
            return  # the agent died before it had written it down, and nobody was told of an id
        self.complain(f"task {ref} is cancelled, and nobody wanted that: {task['reason']}")

    def check_lost(self):
        """Only what a keeper was killed under, or the machine went down under; the kills without a trace are counted."""
        unexplained = []
        used = set()
        for ref, task in self.tasks.items():
            if task["state"] != "lost" or ref in self.arrays:
                continue
            if not task["reason"]:
                self.complain(f"task {ref} is lost without a reason")
            runs = self.journal.runs.get(ref, [])
            if any(not runs or runs[-1].begin < line for line in self.reboots):
                continue
            if runs and runs[-1].keeper in self.killed_keepers:
                used.add(runs[-1].keeper)
            else:
                unexplained.append(f"{ref} ({task['reason']})")
        spare = len(set(self.killed_keepers) - used)
        if len(unexplained) > spare:
            self.complain(f"lost, and at most {spare} keepers were killed in their starts: {', '.join(unexplained)}")

    def check_cancelled(self):
        """Acknowledged: it is over, with that state, and nothing of it is heard again."""
        for ref, line in self.cancelled.items():
            whole = "_" not in ref
            for other, runs in self.journal.runs.items():
                if other != ref and not (whole and other.startswith(f"{ref}_")):
                    continue
                late = [n for run in runs for n in (run.begin, run.end) if n > line]
                if late:
                    self.complain(f"task {other} was cancelled in line {line}, and says more in lines {late}")
            if ref not in self.tasks or ref in self.arrays or self.tasks[ref]["state"] == "cancelled":
                continue
            if not self.had_ended_without_daemon(ref, line):
                self.complain(f"task {ref} was cancelled in line {line}, and is {self.tasks[ref]['state']}")

    def had_ended_without_daemon(self, ref, line):
        """It ended by itself, and the daemon that was asked to cancel it died before it heard of that."""
        runs = self.journal.runs.get(ref, [])
        died = any(self.cancel[ref] < n < line for n, _, _ in self.journal.killed("daemon"))
        return died and bool(runs) and 0 < runs[-1].end < line

    def lines_of(self, task_id):
        """Of all that a task or array said: its last line, 0 if it said nothing."""
        whole = [runs for ref, runs in self.journal.runs.items() if id_of(ref) == task_id]
        return max((max(run.begin, run.end) for runs in whole for run in runs), default=0)

    def state_of(self, task_id):
        task = self.arrays.get(str(task_id)) or self.tasks.get(str(task_id))
        return task["state"] if task else None

    def check_after(self):
        for ref in self.name_of:
            wanted, runs = self.wanted_of(ref), self.journal.runs.get(ref, [])
            for task_id, any_end in wanted.after:
                if runs and self.lines_of(task_id) > runs[0].begin:
                    self.complain(f"task {ref} began in line {runs[0].begin}, before {task_id} had ended")
                state = self.state_of(task_id)
                if runs and not any_end and state != "done":
                    self.complain(f"task {ref} ran after success of {task_id}, which is {state}")
                if runs and any_end and state not in FINAL:
                    self.complain(f"task {ref} ran after the end of {task_id}, which is {state}")

    def check_arrays(self):
        for task_id, array in self.arrays.items():
            name = self.name_of.get(task_id) or next(
                (n for ref, n in self.name_of.items() if id_of(ref) == int(task_id)), None
            )
            if name is None:
                self.complain(f"array {task_id} is none that was submitted")
                continue
            options = self.wanted[name].options
            n = options["last"] - options["first"] + 1
            counts = {state: array["array"][state] for state in FINAL}
            if sum(counts.values()) != n:
                self.complain(f"array {task_id} has {n} elements, and counts {counts}")
            for index in range(options["first"], options["last"] + 1):
                if f"{task_id}_{index}" not in self.tasks and counts["cancelled"] == 0:
                    self.complain(f"element {task_id}_{index} is not on record")
            if options["limit"]:
                self.check_limit(task_id, options["limit"])

    def check_limit(self, task_id, limit):
        runs = [run for ref, runs in self.journal.runs.items() if ref.startswith(f"{task_id}_") for run in runs]
        for now, line in self.at_once([(run, 1) for run in runs]):
            if now > limit:
                self.complain(f"{now} elements of array {task_id} run at once in line {line}, and not {limit}")
                return

    def at_once(self, runs):
        """(sum of the weights of those that run, line) at each begin; who did not say its end counts for nothing."""
        edges = []
        for run, weight in runs:
            if run.end and not self.is_beyond_counting(run):
                edges += [(run.begin, weight), (run.end, -weight)]
        now = 0
        for line, weight in sorted(edges):
            now += weight
            yield now, line

    def is_beyond_counting(self, run):
        """Its keeper was killed before it could say that it has a command: nobody but the journal knows of that one."""
        task = self.tasks.get(run.ref)
        return not task or (task["state"] == "lost" and "could not be started" in (task["reason"] or ""))

    def check_room(self):
        runs = [(run, self.wanted_of(run.ref).options["cpus"])
                for runs in self.journal.runs.values() for run in runs if run.ref in self.name_of]
        for now, line in self.at_once(runs):
            if now > self.n_cpus:
                self.complain(f"tasks with {now} cores run at once in line {line}, and there are {self.n_cpus}")
                return

    def in_line(self):
        """Plain tasks whose place in line is their id alone: (ref, task, wanted)."""
        for ref, task in self.tasks.items():
            if ref not in self.name_of or task["index"] is not None or ref in self.arrays:
                continue
            wanted = self.wanted_of(ref)
            if not wanted.after and "array" not in wanted.options and ref not in self.held:
                yield ref, task, wanted

    def check_serial_order(self):
        """
        Those that need all cores begin one after the other. Who was accepted before the last one of them began was in line when
        the next one was chosen; but for one that was granted in a row behind the last one before who is more urgent came.
        """
        first = sorted(
            (
                (self.journal.runs[ref][0], wanted)
                for ref, task, wanted in self.in_line()
                if wanted.options["cpus"] == self.n_cpus and ref in self.journal.runs and task["state"] != "lost"
            ),
            key=lambda item: item[0].begin,
        )
        for i in range(1, len(first)):
            before, (run, wanted) = first[i - 1][0], first[i]
            for later, other in first[i + 1 :]:
                key, other_key = (
                    (-w.options["priority"], id_of(r.ref)) for w, r in ((wanted, run), (other, later))
                )
                was_there = other.accepted and other.accepted < before.begin
                if was_there and other_key < key and not self.may_be_of_row(before.ref, run.ref, later.ref):
                    self.complain(
                        f"task {later.ref} (priority {other.options['priority']}) began in line {later.begin}, behind "
                        f"{run.ref} ({wanted.options['priority']}) in line {run.begin}"
                    )
                    return

    def may_be_of_row(self, before, ref, later):
        """Whether a task may have been granted behind an equal one when a more urgent one was not there yet."""
        priority, equal, urgent = (self.wanted_of(r).options["priority"] for r in (ref, before, later))
        started = seconds_of(self.tasks[ref]["started_at"])
        came = seconds_of(self.tasks[later]["submitted_at"])
        return equal == priority < urgent and started is not None and started - came < ROW_SECONDS

    def check_order_of_starts(self):
        """
        Of equals, who was submitted first was started first, as the daemon saw it; but for starts that were taken back, and for those
        that were granted behind another one, which took longer than those in front of the next ones.
        """
        last = {}
        for ref, task, wanted in sorted(self.in_line(), key=lambda item: id_of(item[0])):
            started = seconds_of(task["started_at"])
            if started is None or task["retries"]["used"] or self.is_disturbed(ref):
                continue
            if not self.journal.runs.get(ref) or any(self.journal.runs[ref][0].begin < n for n in self.reboots):
                continue
            key = (wanted.options["cpus"], wanted.options["priority"])
            other, other_started, since = last.get(key, (None, 0, None))
            if started + SLACK_SECONDS < other_started:
                since = started if since is None else since
                last[key] = (other, other_started, since)
                is_next_to_row = wanted.options["cpus"] < self.n_cpus and abs(started - since) < ROW_SECONDS
                # from the other one's submission on: an order that was lost with its keeper is given up after a minute
                submitted = seconds_of(self.tasks[other]["submitted_at"])
                if not is_next_to_row and not self.was_disturbed_between(submitted, other_started):
                    self.complain(f"task {ref} was started {(other_started - started) * 1000:.0f} ms before {other}")
            else:
                last[key] = (ref, started, None)

    def was_disturbed_between(self, start, end):
        """Whether a start may have been taken back in that time, or been late."""
        return any(start - 1 < when < end + 1 for when in self.disturbances)
