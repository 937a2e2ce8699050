# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/demo.sh, which `make demo` runs."""

import pathlib
import re
import signal

import pytest

from harness import BUILD, HOLD, pids_that_mention, wait_until

DEMO = pathlib.Path(__file__).resolve().parents[2] / "tools" / "demo.sh"

pytestmark = pytest.mark.skipif(
    not HOLD.startswith(BUILD) or not DEMO.exists(), reason="the demo needs a whole build folder, and the sources"
)


def folder_of(text):
    return re.search(r"/tmp/taskflow-demo\.\w+", text).group()


def test_the_demo_shows_a_task_that_waits_and_leaves_nothing(place, ram):
    done = place.run([DEMO, BUILD], timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for text in ("Hello from task", "pending", "missing", "Now there is room for me"):
        assert text in done.stdout, done.stdout
    folder = folder_of(done.stdout)
    assert not pathlib.Path(folder).exists()
    assert pids_that_mention(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_either(place, ram, number):
    proc = place.start([DEMO, BUILD])
    wait_until(lambda: "2. Now" in proc.out, "it is in the midst of it")
    proc.signal(number)
    assert proc.wait() == -number
    folder = folder_of(proc.out)
    assert not pathlib.Path(folder).exists()
    assert pids_that_mention(folder) == []
