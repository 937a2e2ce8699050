# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures; what they are made of is in harness.py."""

import contextlib
import itertools
import os
import pathlib
import pwd
import resource
import shutil
import signal
import subprocess

import pytest

import harness
from machine import Impossible, Machine


# They measure how much RAM the machine has left: nothing else may run beside them.
RAM_FILES = {"test_demo", "test_gpu_use", "test_learned", "test_memory"}
# Of the machine itself, its users for one. Such tests must not meet each other.
MACHINE_FIXTURES = {"users", "machine"}
MACHINE_FILES = {"test_flood", "test_settings"}
# With them, so that both parts take about as long.
FILES_BESIDE = {"test_agent", "test_agents_of_daemon", "test_detached", "test_faults", "test_odd_agent", "test_restart"}
IN_EACH_PART = {"test_zz_nothing_left"}


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        choices=("machine", "ram", "rest"),
        help="only the tests of the machine itself and of detached tasks, those that measure its RAM, or the others; the first and "
        "the last may run side by side",
    )


def part_of(item):
    name = item.path.stem
    if name in RAM_FILES:
        return "ram"
    if name in MACHINE_FILES | FILES_BESIDE or MACHINE_FIXTURES & set(item.fixturenames):
        return "machine"
    return "rest"


def pytest_collection_modifyitems(config, items):
    part = config.getoption("--part")
    if not part:
        return
    left_out = []
    for item in items[:]:
        if item.path.stem not in IN_EACH_PART and part_of(item) != part:
            items.remove(item)
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)


def pytest_report_header():
    return f"taskflow: {harness.TASKFLOW}, taskflowd: {harness.TASKFLOWD}"


def pytest_sessionstart():
    # What a shell, or nohup, starts in the background has these ignored, and what taskflow finds ignored it leaves so.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for program in (harness.TASKFLOW, harness.TASKFLOWD):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not there: build it, or name it in TASKFLOW and TASKFLOWD", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    place = getattr(item, "funcargs", {}).get("place")
    if report.when == "call" and report.failed and place:
        report.sections.append(("what ran", place.report()))


@pytest.fixture(scope="session")
def session_folder():
    folder = harness.make_session_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


_numbers = itertools.count(1)


@pytest.fixture
def place(session_folder):
    """A folder of the test's own, and what was started there; all of it ends with the test."""
    here = harness.Place(session_folder / f"t{next(_numbers):04}")
    yield here
    complaints = here.clean()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def make_daemon(place):
    """A factory of daemons."""

    def make(**kwargs):
        kwargs.setdefault("name", f"d{len(place.daemons)}")
        return harness.Daemon(place, **kwargs)

    return make


@pytest.fixture
def daemon(make_daemon):
    """A machine's daemon with the usual settings, but that looks five times a second."""
    return make_daemon()


@pytest.fixture
def make_personal(place):
    """A factory of homes without a daemon."""
    if os.path.isdir("/run/taskflow"):
        pytest.skip("this machine has a daemon (/run/taskflow exists): no personal one is started")

    def make(**kwargs):
        return harness.Personal(place, **kwargs)

    return make


@pytest.fixture
def personal(make_personal):
    return make_personal()


@pytest.fixture(scope="session")
def users():
    """Three users who exist as long as the tests run: two people, and one whose only business is the daemon."""
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    if not shutil.which("useradd") or not shutil.which("userdel"):
        pytest.skip("no useradd here")
    made = []
    try:
        for role in ("alice", "bob", "daemon"):
            name = f"tf-{role}-{os.getpid()}"
            done = subprocess.run(
                ["useradd", "--no-create-home", "--shell", "/bin/sh", "--home-dir", "/nonexistent", name],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                pytest.skip(f"useradd: {done.stderr.strip()}")
            entry = pwd.getpwnam(name)
            made.append(harness.User(name, entry.pw_uid, entry.pw_gid))
        yield made
    finally:
        for user in made:
            subprocess.run(["userdel", user.name], check=False, capture_output=True)


@pytest.fixture(scope="session")
def programs(session_folder):
    """taskflow and taskflowd where every user may run them."""
    folder = session_folder / "bin"
    folder.mkdir(mode=0o755)
    os.chmod(folder, 0o755)
    for program in (harness.TASKFLOW, harness.TASKFLOWD, harness.AGENT, harness.HOLD):
        if os.path.exists(program):
            shutil.copy(program, folder)
            os.chmod(folder / os.path.basename(program), 0o755)
    return folder


class Shared:
    """A machine's daemon, with a user of its own and no privilege, and two people."""

    def __init__(self, daemon, alice, bob):
        self.daemon = daemon
        self.alice = alice
        self.bob = bob


@pytest.fixture
def make_shared(place, users, programs):
    def make(**kwargs):
        alice, bob, keeper = users
        daemon = harness.Daemon(
            place,
            name=f"d{len(place.daemons)}",
            user=keeper,
            program=programs / "taskflowd",
            client=programs / "taskflow",
            **kwargs,
        )
        daemon.env["HOME"] = os.fspath(place.folder / "nowhere")
        os.chmod(place.folder, 0o777)
        return Shared(daemon, alice, bob)

    return make


@pytest.fixture
def shared(make_shared):
    return make_shared()


@pytest.fixture
def machine(place, programs):
    """One with a daemon's places, users of its own, and no daemon yet."""
    if os.geteuid() != 0 or not shutil.which("nsenter"):
        pytest.skip("only root can make a machine of its own")
    try:
        return Machine(place, programs)
    except Impossible as error:
        pytest.skip(f"no machine of its own can be made here: {error}")


@pytest.fixture
def ram(place):
    """Nothing but the check that RAM can be taken here."""
    if not os.path.exists(harness.HOLD):
        pytest.skip(f"{harness.HOLD} is not built")
    return place


@pytest.fixture
def make_gpus(place):
    """A factory of stand-in GPUs."""
    if not os.path.exists(os.path.join(harness.STAND_IN, "libnvidia-ml.so.1")):
        pytest.skip(f"no stand-in library in {harness.STAND_IN}")

    def make(**kwargs):
        return harness.Gpus(place.folder, **kwargs)

    return make


@pytest.fixture
def gpus(make_gpus):
    """Two of 24 GiB."""
    return make_gpus()


@pytest.fixture
def gpu_daemon(make_daemon, gpus):
    """A daemon that has those two."""
    daemon = make_daemon(env=gpus.env)
    daemon.env.update(gpus.env)
    return daemon


@pytest.fixture
def sysfs(place):
    """A machine without any graphics card yet."""
    return harness.Sysfs(place.folder)


@pytest.fixture
def faults(place):
    if not os.path.exists(os.path.join(harness.STAND_IN, "libfaults.so")):
        pytest.skip(f"no libfaults.so in {harness.STAND_IN}")
    return harness.Faults(place.folder)


@pytest.fixture
def many_descriptors():
    """As many descriptors as this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def folder(place):
    return pathlib.Path(place.folder)
