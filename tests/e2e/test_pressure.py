# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory pressure: nothing starts on a machine that thrashes. The kernel's figure is a stand-in's."""

from harness import wait_until


def test_nothing_starts_while_the_machine_thrashes(faults, make_daemon):
    faults.set_pressure(0)
    daemon = make_daemon(settings={"pressure_limit": "30%", "sample_interval": "200ms"}, env=faults.env)
    running, gate = daemon.fill("running")
    blocked = daemon.queue("blocked", "-c", "1")
    faults.set_pressure(30.01)
    said = "programs waited for memory in 30.0 % of the last 10 seconds"
    wait_until(lambda: said in daemon.why(daemon.task("blocked")["id"]), "the figure was read")
    proc = daemon.queue("t")
    assert said in daemon.task("t")["reason"]
    refused = daemon.run("run", "-w", "0", "true")
    assert refused.returncode == 125 and "waited for memory" in refused.stderr, refused.stderr
    gate.open()  # what runs is left alone
    assert running.wait() == 0
    assert daemon.task("t")["state"] == daemon.task("blocked")["state"] == "pending"

    faults.set_pressure(30)
    for waiting in proc, blocked:
        assert waiting.wait() == 0


def test_a_kernel_without_the_figure_has_no_limit(faults, make_daemon):
    (faults.folder / "pressure").write_text("nothing of the kind")
    daemon = make_daemon(settings={"pressure_limit": "0%"}, env=faults.env)
    assert daemon.run("run", "true").returncode == 0
