# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on which things go wrong: its disk fails, its clock is set, its descriptors are few."""

import os

import harness
import pytest
from harness import is_alive, wait_until

if not os.access(harness.AGENT, os.X_OK):
    pytest.skip(f"{harness.AGENT} is not built", allow_module_level=True)


def start_agent(place, daemon, faults):
    """One with the same faults as the daemon; those that taskflow starts have a clean environment."""
    proc = place.start([harness.AGENT, "--ready"], env={**daemon.env, **place.env(**faults.env), "TASKFLOW_SOCKET": daemon.env["TASKFLOW_SOCKET"]})
    wait_until(lambda: proc.out == "ready\n", "the agent is ready")
    return proc


# -- a disk that fails --


def test_a_daemon_whose_disk_has_failed_ends_and_the_next_one_goes_on(place, make_daemon, faults):
    """Nothing that was answered is lost, and what runs is not disturbed."""
    daemon = make_daemon(env=faults.env)
    gate = place.gate()
    running = daemon.detach("--retry", "2", f"{gate.line}; exit 4")
    pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
    waiting = daemon.detach("-c", str(harness.N_CPUS), "--after", running, "true")
    faults.fail_syncs("taskflow.db")
    new = daemon.popen("run", "-D", "exit 5")
    assert daemon.proc.wait(harness.PATIENCE) == 1
    assert "may not be on the disk" in daemon.log_text()
    assert is_alive(pid)
    daemon.launch()
    assert daemon.proc.wait(harness.PATIENCE) == 1
    assert "to the disk: Input/output error" in daemon.log_text()
    faults.mend_disk()
    daemon.start_daemon()
    status = new.wait()
    if status == 0:
        assert daemon.wait_id(new.out.strip(), "failed")["exit_status"] == 5
    else:
        assert status == 125 and new.out == ""
    assert daemon.show(running)["pid"] == pid
    assert daemon.show(waiting)["state"] == "pending"
    assert daemon.run("cancel", running).returncode == 0
    assert daemon.wait_id(waiting, "cancelled")["reason"]


def test_an_agent_whose_disk_has_failed_ends_and_the_next_one_goes_on(place, daemon, faults):
    """The command that was about to queue something has the next one, whose disk is good again, do it."""
    agent = start_agent(place, daemon, faults)
    gate = place.gate()
    running = daemon.detach(f"{gate.line}; exit 4")
    pid = wait_until(lambda: daemon.show(running)["pid"], "its command runs")
    waiting = daemon.detach("--after-any", running, "exit 6")
    faults.fail_syncs("agent.db")
    new = daemon.detach("exit 5")
    assert agent.wait() == 1
    assert "may not be on the disk" in agent.err and "Input/output error" in agent.err
    assert is_alive(pid)
    assert daemon.wait_id(new, "failed")["exit_status"] == 5
    gate.open()
    assert daemon.wait_id(running, "failed")["exit_status"] == 4
    assert daemon.wait_id(waiting, "failed")["exit_status"] == 6
