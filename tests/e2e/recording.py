#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what taskflow, an agent and taskflowd of a version say to each other, and what they store.

    TASKFLOW=… TASKFLOWD=… /usr/bin/python3 tests/e2e/recording.py tests/data/protocol/VERSION
    build/tests/protocol/print-protocol >tests/data/protocol/VERSION.protocol

VERSION.sql is the database of a daemon, VERSION.tasks what `ps -a --json` said of it. In VERSION.json a recording is a list of commands with their statuses, and one of events in the order in which they happened: on which
connection, from which side, how many descriptors came along, the message. test_compatible.py has what is done with it.
"""

import array
import contextlib
import itertools
import json
import os
import pathlib
import select
import socket
import sqlite3
import sys
import threading

import harness
from harness import wait_until

# Said as often as time allows: they belong to no step.
ANY_TIME = ("io.taskflow.v1.Why", "io.taskflow.v1.Used", "io.taskflow.v1.Look")


def short(message):
    return message.get("method", "").rpartition(".")[2]


class Ends:
    """Two sockets, and the messages that went through them."""

    def __init__(self, number, client, daemon):
        self.number = number
        self.sides = {client: ("client", daemon), daemon: ("daemon", client)}
        self.data = {client: b"", daemon: b""}


class Proxy:
    """Between a client and a daemon; passes all on, descriptors too, and writes it down."""

    def __init__(self, path, daemon_path):
        self.daemon_path = daemon_path
        self.events = []
        self.ends = {}
        self.numbers = itertools.count()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(path))
        self.listener.listen(64)
        self.stop_r, self.stop_w = os.pipe()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            readable, _, _ = select.select([self.listener, self.stop_r, *self.ends], [], [])
            for sock in readable:
                if sock is self.listener:
                    client = self.listener.accept()[0]
                    daemon = socket.socket(socket.AF_UNIX)
                    try:
                        daemon.connect(os.fspath(self.daemon_path))
                    except OSError:
                        client.close()
                        daemon.close()
                        continue
                    ends = Ends(next(self.numbers), client, daemon)
                    self.ends[client] = self.ends[daemon] = ends
                elif sock == self.stop_r:
                    return
                elif sock in self.ends:
                    self.pass_on(sock)

    def pass_on(self, sock):
        ends = self.ends[sock]
        side, other = ends.sides[sock]
        data, fds = b"", []
        with contextlib.suppress(ConnectionResetError):
            data, fds, _, _ = socket.recv_fds(sock, 1 << 20, 4)
        if not data:
            self.events.append({"connection": ends.number, "from": side, "closed": True})
            for each in ends.sides:
                del self.ends[each]
                each.close()
            return
        with contextlib.suppress(BrokenPipeError):
            other.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        for fd in fds:
            os.close(fd)
        ends.data[sock] += data
        while b"\0" in ends.data[sock]:
            text, _, ends.data[sock] = ends.data[sock].partition(b"\0")
            event = {"connection": ends.number, "from": side, "fds": len(fds), "message": json.loads(text)}
            fds = []
            self.events.append(event)

    def close(self):
        os.write(self.stop_w, b"x")
        self.thread.join()
        for sock in [self.listener, *self.ends]:
            sock.close()
        os.close(self.stop_r)
        os.close(self.stop_w)


class Steps(harness.Commands):
    """The commands that are recorded, one after the other; the same for whoever answers them."""

    def __init__(self, place, socket_path):
        self.place = place
        self.env = place.env(TASKFLOW_SOCKET=socket_path)
        self.statuses = []

    def do(self, *args):
        done = self.run(*args)
        self.statuses.append([list(args), done.returncode])
        return done

    def play_client(self, said, _restart):
        """`said(method, n, task_id)`: see count. Tasks wait for each other: no machine matters."""
        gate = self.place.gate()
        self.do("run", "true")
        self.do("run", "-m", "1", "-n", "fails", "-t", "1h", "exit 3")
        filler = self.popen("run", "-n", "filler", gate.line)
        wait_until(lambda: said("Started", 3), "the filler runs")
        waiting = self.popen("run", "-n", "waits", "--after", "3", "-p", "low", "true")
        wait_until(lambda: said("Submit", 4), "one waits")
        cancelled = self.popen("run", "-n", "cancelled", "--after-any", "3", "true")
        wait_until(lambda: said("Submit", 5), "another one waits")
        for args in (
            ("ps",), ("ps", "-a", "--json"), ("show", "3"), ("why", "4"), ("status", "--json"), ("hold", "4"),
            ("release", "4"), ("update", "4", "-p", "10", "-n", "renamed"), ("cancel", "5"), ("show", "99"),
            ("run", "--dry-run", "true"), ("run", "-w", "0", "--after", "3", "true"),
        ):
            self.do(*args)
        self.statuses.append([["cancelled"], cancelled.wait()])
        gate.open()
        self.statuses.append([["filler"], filler.wait()])
        self.statuses.append([["waiting"], waiting.wait()])
        self.do("wait", "3", "4")
        self.do("version")

    def play_restart(self, said, restart):
        """The daemon goes while one task runs, one waits, and a detached one runs."""
        gates = [self.place.gate(), self.place.gate()]
        filler = self.popen("run", "-n", "filler", gates[0].line)
        wait_until(lambda: said("Started", 1), "the filler runs")
        waiting = self.popen("run", "-n", "waits", "--after", "1", "true")
        wait_until(lambda: said("Submit", 2), "one waits")
        self.do("run", "-D", "-n", "detached", gates[1].line)
        wait_until(lambda: said("Started", 2), "the detached one runs")
        restart()
        wait_until(lambda: said("Attach", 2) and said("Resume", 1), "all are back")
        for gate in gates:
            gate.open()
        self.statuses.append([["filler"], filler.wait()])
        self.statuses.append([["waiting"], waiting.wait()])
        wait_until(lambda: said("Ended", 3), "all are over")
        self.do("agent", "stop")

    def play_agent(self, said, _restart):
        gate = self.place.gate()
        lines = self.place.folder / "lines"
        lines.write_text("true\nexit 4\n")
        self.do("run", "-D", "-n", "plain", "true")
        wait_until(lambda: said("Ended", 1), "it is over")
        self.do("submit", lines)
        wait_until(lambda: said("Ended", 3), "both are over")
        self.do("run", "-D", "--array", "0-1", "true")
        wait_until(lambda: said("Ended", 5), "its elements are over")
        self.do("run", "-D", "-n", "cancelled", gate.line)
        wait_until(lambda: said("Started", 1, 5), "it runs")
        self.do("cancel", "5")
        wait_until(lambda: said("Ended", 6), "it was ended")
        self.do("agent", "stop")


def anonymous(text, folder):
    """Of another machine, and of no folder that there is."""
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return text.replace(os.fspath(folder), "/tmp/folder").replace(boot_id, "00000000-0000-4000-8000-000000000000")


PLAYS = {"client": Steps.play_client, "agent": Steps.play_agent, "restart": Steps.play_restart}


def count(events):
    """`said(method, n, task_id)`: whether a client has said that so often, of that task if one is named."""

    def said(method, n, task_id=None):
        messages = [event.get("message", {}) for event in list(events) if event.get("from") == "client"]
        return n <= sum(
            short(message) == method and task_id in (None, message.get("parameters", {}).get("id")) for message in messages
        )

    return said


def record(play):
    """[[args, status]…], events"""
    folder = harness.make_session_folder()
    place = harness.Place(folder / "r")
    daemon = harness.Daemon(place)
    proxy = Proxy(place.folder / "proxy", daemon.socket)
    steps = Steps(place, place.folder / "proxy")

    def restart():
        daemon.stop()
        proxy.events.append({"restart": True})
        daemon.start_daemon()

    try:
        play(steps, count(proxy.events), restart)
    finally:
        proxy.close()
        complaints = place.clean()
        os.rmdir(folder)
    assert not complaints, complaints
    return steps.statuses, proxy.events, os.fspath(folder)


def dump(path):
    """A database as SQL."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        lines = list(db.iterdump())
        for name in ("application_id", "user_version"):
            lines.append(f"PRAGMA {name} = {db.execute(f'PRAGMA {name}').fetchone()[0]};")
    return "\n".join(lines) + "\n"


def record_database(out):
    """Tasks in every state that is not lost with the machine: ended ones, and detached ones that wait."""
    folder = harness.make_session_folder()
    place = harness.Place(folder / "r")
    daemon = harness.Daemon(place)
    try:
        daemon.run("run", "-m", "1G", "-n", "done", "true")
        daemon.run("run", "-n", "failed", "exit 3")
        daemon.run("run", "-n", "signalled", "kill -TERM $$")
        daemon.run("run", "-n", "timeout", "-t", "1", "sleep 60")
        filler, gate = daemon.start("filler")
        daemon.detach("-n", "waits", "--after-any", "5", "--retry", "2", "--requeue", "-p", "high", "-t", "2h", "-d", "inf", "true")
        daemon.detach("-n", "array", "--after-any", "5", "--array", "0-9,20-29%3", "-o", "log-{index}", "true")
        daemon.run("cancel", "7_4")
        daemon.run("hold", "6")
        daemon.wait_recorded()
        tasks = daemon.json("ps", "-a")
        place.end_agents()
        daemon.kill()
        sql = dump(daemon.state / "taskflow.db")
        gate.open()
        filler.wait()
    finally:
        complaints = place.clean()
        os.rmdir(folder)
    assert not complaints, complaints
    for task in tasks["tasks"]:
        task["used"] = task["peak"] = None
    pathlib.Path(f"{out}.sql").write_text(anonymous(sql, folder))
    pathlib.Path(f"{out}.tasks").write_text(anonymous(json.dumps(tasks, indent=1), folder) + "\n")


def main():
    record_database(sys.argv[1])
    whole = {}
    for name, play in PLAYS.items():
        statuses, events, folder = record(play)
        text = json.dumps({"commands": statuses, "events": events}, default=os.fspath)
        whole[name] = json.loads(anonymous(text, folder))
    with open(f"{sys.argv[1]}.json", "w", encoding="utf-8") as out:
        out.write("{\n")
        for i, (name, part) in enumerate(whole.items()):
            out.write(f'{json.dumps(name)}: {{"commands": [\n')
            out.write(",\n".join(json.dumps(command) for command in part["commands"]))
            out.write('\n], "events": [\n')
            out.write(",\n".join(json.dumps(event) for event in part["events"]))
            out.write("\n]}" + (",\n" if i + 1 < len(whole) else "\n}\n"))


if __name__ == "__main__":
    sys.path.insert(0, os.fspath(pathlib.Path(__file__).parent))
    main()
