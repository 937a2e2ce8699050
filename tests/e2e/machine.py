# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with a daemon for everybody, at its usual places.

/run, /var/lib and the list of users are replaced in a mount namespace, so that nothing of this machine is touched, or looked at.
"""

import os
import pathlib
import socket
import subprocess

from harness import Commands, User, wait_until

SOCKET = "/run/taskflow/taskflowd.sock"


class Impossible(Exception):
    """Not here, or not for us."""


# Ends when its stdin does. What was mounted goes with its last process.
HOLDER = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mkdir -p /run/taskflow /run/systemd/journal
install -d -m 700 -o taskflow -g taskflow /var/lib/taskflow
echo ready
read end || true
"""

# As a service manager: descriptor N of ours becomes the first that is passed; and the second, where LISTEN_FDS says so.
PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[1]), 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=os.environ.get("LISTEN_FDS", "1"))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Machine(Commands):
    """Of its own: its users and, if started, its daemon."""

    def __init__(self, place, programs):
        self.place = place
        self.program = programs / "taskflow"
        self.daemon_program = programs / "taskflowd"
        self.keeper = User("taskflow", 64100, 64100)
        self.alice, self.bob, self.chuck = (User(name, 64101 + i, 64101 + i) for i, name in enumerate(["alice", "bob", "chuck"]))
        users = [self.keeper, self.alice, self.bob, self.chuck]
        self.add("passwd", [f"{user.name}:x:{user.uid}:{user.gid}::/nonexistent:/bin/sh" for user in users])
        self.add("group", [f"{user.name}:x:{user.gid}:" for user in users])
        self.config = place.folder / "taskflow.conf"
        self.config.write_text("[taskflow]\nsample_interval = 200ms\n")
        self.homes = {}
        for user in users:
            self.homes[user] = place.make_folder(f"home-{user.name}", 0o700)
            os.chown(self.homes[user], user.uid, user.gid)
        # Nobody names a socket here.
        self.env = place.env(HOME="/nonexistent")
        self.holder = place.start(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLDER, "sh", place.folder], stdin=subprocess.PIPE
        )
        self.daemon = None
        wait_until(lambda: self.holder.out or not self.holder.is_running(), "the machine is made")
        if self.holder.out != "ready\n":
            raise Impossible(self.holder.err.strip())
        self.root = pathlib.Path(f"/proc/{self.holder.pid}/root")

    def add(self, name, lines):
        """To a copy of the machine's list."""
        (self.place.folder / name).write_text(pathlib.Path("/etc", name).read_text() + "".join(f"{line}\n" for line in lines))

    def inside(self, user, argv):
        who = ["--setuid", str(user.uid), "--setgid", str(user.gid)] if user else []
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *who, "--", *argv]

    def env_of(self, user):
        return {**self.env, "HOME": os.fspath(self.homes[user])} if user else self.env

    def run(self, *args, user=None, env=None, **kwargs):
        env = {**self.env_of(user), **(env or {})}
        return self.place.run(self.inside(user, [self.program, *args]), env=env, **kwargs)

    def popen(self, *args, user=None, env=None, **kwargs):
        env = {**self.env_of(user), **(env or {})}
        return self.place.start(self.inside(user, [self.program, *args]), env=env, **kwargs)

    def taskflowd(self, *args, user=None):
        """To its end, which had better come."""
        return self.place.run(self.inside(user, [self.daemon_program, *args]), env=self.env_of(user))

    def own_folder(self, user):
        os.chown(self.root / "run/taskflow", user.uid, user.gid)

    def start_daemon(self, env=None, passed=None, user=None, stderr=None):
        """By hand, or with a socket as a service manager would."""
        argv = [self.daemon_program, "--config", self.config]
        kwargs = {"stderr": stderr}
        if passed:
            argv = ["/usr/bin/python3", "-c", PASS_SOCKET, str(passed.fileno()), *argv]
            kwargs["pass_fds"] = [passed.fileno()]
        user = user or self.keeper
        self.daemon = self.place.start(self.inside(user, argv), env={**self.env_of(user), **(env or {})}, **kwargs)
        return self.daemon

    def start_by_hand(self):
        self.own_folder(self.keeper)
        self.start_daemon()
        wait_until(lambda: self.run("ps").returncode == 0, "the daemon answers")

    def listen(self):
        """The socket that systemd would make."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(os.fspath(self.root) + SOCKET)
        os.chmod(os.fspath(self.root) + SOCKET, 0o666)
        listening.listen(100)
        return listening
