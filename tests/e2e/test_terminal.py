# SPDX-License-Identifier: GPL-3.0-or-later
"""On a terminal, with a real interactive shell and a person at its keys."""

import os
import re
import signal
import termios

import pytest

from harness import N_CPUS, children_of, is_alive, pids_that_mention, proc_state, read_proc, wait_until

pytestmark = pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="no bash here")


@pytest.fixture
def shell(daemon):
    """bash, interactive, with `tf` for the program."""
    terminal = daemon.place.terminal(env=daemon.env)
    terminal.do(f"tf={daemon.program}")
    return terminal


def runner_of(daemon, name):
    """The pid of the taskflow that runs (or waits with) the task of that name."""
    needle = f"\0-n\0{name}\0".encode()
    found = [pid for pid in pids_that_mention(daemon.place.folder) if needle in read_proc(pid, "cmdline")]
    assert len(found) == 1, found
    return found[0]


def wait_for_sleep(daemon):
    """Until the shell of the task has started its `sleep`: dash can lose a SIGINT that comes a moment before, and hangs
    if it is stopped in the midst of its vfork(), with taskflow and without it."""
    wait_until(
        lambda: any(read_proc(pid, "comm") == b"sleep\n" for pid in pids_that_mention(daemon.place.folder)),
        "the command sleeps",
    )


# What the command has


def test_the_terminal_is_the_commands_own(shell):
    out = shell.do("$tf run 'test -t 0 && test -t 1 && test -t 2 && echo all of it'")
    assert out == "all of it\n"
    out = shell.do("stty size; $tf run stty size")
    assert out == "24 100\n24 100\n"
    assert shell.do("$tf run tty; tty").split()[0] == shell.do("tty").strip()


def test_the_command_reads_what_is_typed(shell):
    shell.line("$tf run 'read x; echo \"got <$x>\"'")
    shell.expect(r"\n")
    shell.line("some words")
    shell.expect(r"got <some words>")
    shell.expect(re.escape(shell.PROMPT))


def test_the_command_is_in_the_foreground_group_with_taskflow(shell, daemon):
    shell.line("$tf run -n t 'echo rea''dy; sleep 1000'")
    shell.expect("ready")
    wait_for_sleep(daemon)
    task = daemon.wait_for(lambda ts: next((t for t in ts if t["pid"]), None))
    assert os.getpgid(task["pid"]) == shell.foreground_group() == os.getpgid(runner_of(daemon, "t"))
    shell.send("\x03")
    shell.expect(re.escape(shell.PROMPT))


def test_a_full_screen_program_may_change_the_terminal(shell):
    before = termios.tcgetattr(shell.fd)
    out = shell.do("$tf run 'stty raw -echo; stty -a | grep -o -e \"-icanon\"; stty sane'")
    assert "-icanon" in out
    assert termios.tcgetattr(shell.fd)[3] & termios.ECHO == before[3] & termios.ECHO


# The waiting line


def test_the_waiting_line_is_updated_in_place_and_gone_when_the_command_starts(shell, daemon):
    filler, gate = daemon.fill()
    filler_id = daemon.task("filler")["id"]
    shell.line("$tf run -n t -c 1 'echo sta''rted'")
    shell.expect(rf"core.*?\b{filler_id}\b")
    shell.expect(r"[12]s", timeout=10)
    shell.expect(r"\r")
    shell.expect(r"\b[3-9]s", timeout=10)
    since = shell.text[shell.text.index("sta''rted'") :]
    assert since.count("\n") <= 2, f"in place, not line after line: {since!r}"
    gate.open()
    shell.expect("started")
    shell.expect(re.escape(shell.PROMPT))
    screen = render(shell.text, 100)
    assert not any("core" in line and "run -n" not in line for line in screen), screen
    assert any(line.strip() == "started" for line in screen), screen
    assert filler.wait() == 0


def render(text, columns):
    """What a terminal shows of it, as far as we use it: CR, LF, BS, erase in line, colours and movements skipped."""
    lines, row, column, i = [[]], 0, 0, 0
    while i < len(text):
        match = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])").match(text, i)
        if match:
            if match.group(2) == "K":
                mode = match.group(1) or "0"
                if mode == "0":
                    del lines[row][column:]
                elif mode == "2":
                    lines[row] = []
            elif match.group(2) == "A":
                row = max(0, row - int(match.group(1) or 1))
            elif match.group(2) == "J":
                del lines[row][column:]
                del lines[row + 1 :]
            i = match.end()
            continue
        char = text[i]
        i += 1
        if char == "\r":
            column = 0
        elif char == "\n":
            row += 1
            while len(lines) <= row:
                lines.append([])
        elif char == "\b":
            column = max(0, column - 1)
        elif char >= " ":
            if column >= columns:
                row, column = row + 1, 0
                while len(lines) <= row:
                    lines.append([])
            lines[row] += [" "] * (column + 1 - len(lines[row]))
            lines[row][column] = char
            column += 1
    return ["".join(line) for line in lines]


def test_the_waiting_line_fits_a_narrow_terminal(shell, daemon):
    filler, gate = daemon.fill()
    shell.resize(24, 50)
    shell.line("$tf run -c 1 true")
    shell.expect("needs 1")
    shell.expect("2s")
    gate.open()
    shell.expect(re.escape(shell.PROMPT))
    after = shell.text[shell.text.index("-c 1 true") + 9 :]
    for piece in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", after)):
        assert len(piece) <= 50, piece
    assert filler.wait() == 0


def test_the_waiting_line_goes_to_stderr_and_stdout_stays_clean(shell, daemon, folder):
    filler, gate = daemon.fill()
    shell.line(f"$tf run -n t -c 1 'echo result' >{folder}/out")
    shell.expect("core")
    daemon.wait_state("t", "pending")
    gate.open()
    shell.expect(re.escape(shell.PROMPT))
    assert (folder / "out").read_text() == "result\n"
    assert filler.wait() == 0


def test_what_others_named_their_tasks_cannot_write_to_the_terminal(shell, daemon):
    gate = daemon.place.gate()
    filler = daemon.popen("run", "-n", "x\x1b]0;evil\x07\x1b[2J", "-c", str(N_CPUS), f"read x <{gate.path}")
    daemon.wait_for(lambda ts: ts and ts[0]["state"] == "running")
    shell.line("$tf run -n t -c 1 true")
    shell.expect("core")
    gate.open()
    shell.expect(re.escape(shell.PROMPT))
    assert "\x1b]0;" not in shell.text and "\x07" not in shell.text and "\x1b[2J" not in shell.text
    assert filler.wait() == 0


# Ctrl-C


def test_ctrl_c_while_waiting_withdraws_the_task_and_stops_a_loop(shell, daemon):
    filler, gate = daemon.fill()
    shell.line("for i in 1 2 3; do $tf run -n t$i -c 1 echo no; done; echo af''ter")
    shell.expect("core")
    daemon.wait_state("t1", "pending")
    shell.send("\x03")
    shell.expect(re.escape(shell.PROMPT))
    assert "after" not in shell.text
    assert daemon.task("t1")["state"] == "cancelled"
    assert daemon.task("t2") is None
    assert "130" in shell.do("echo status $?")
    gate.open()
    assert filler.wait() == 0


def test_ctrl_c_while_running_ends_the_command_and_stops_a_loop(shell, daemon):
    shell.line("for i in 1 2 3; do $tf run -n t$i 'echo rea''dy; sleep 1000'; done; echo af''ter")
    shell.expect("ready")
    wait_for_sleep(daemon)
    pid = daemon.wait_for(lambda ts: next((t["pid"] for t in ts if t["pid"]), None))
    shell.send("\x03")
    shell.expect(re.escape(shell.PROMPT))
    assert "after" not in shell.text
    assert "130" in shell.do("echo status $?")
    wait_until(lambda: not is_alive(pid), "the command has ended")
    assert daemon.wait_state("t1", "failed")["signal"] == signal.SIGINT
    assert daemon.task("t2") is None


def test_a_command_that_handles_ctrl_c_gets_it_once_and_its_status_counts(shell):
    trap = 'trap "n=\\$((n+1)); sleep 0.3; echo got \\$n; exit 5" INT'
    shell.line(f"$tf run 'n=0; {trap}; echo rea''dy; while :; do sleep 0.1; done'")
    shell.expect("ready")
    shell.send("\x03")
    shell.expect("got 1")
    shell.expect(re.escape(shell.PROMPT))
    assert "got 2" not in shell.text
    assert "status 5" in shell.do("echo status $?")


def test_a_command_that_ignores_ctrl_c_goes_on(shell):
    shell.line("$tf run 'trap \"\" INT; echo rea''dy; read x; echo still here'")
    shell.expect("ready")
    shell.send("\x03")
    shell.line("")
    shell.expect("still here")
    shell.expect(re.escape(shell.PROMPT))
    assert "status 0" in shell.do("echo status $?")


def test_ctrl_backslash_is_sigquit(shell, daemon):
    shell.do("ulimit -c 0")
    shell.line("$tf run 'echo rea''dy; sleep 1000'")
    shell.expect("ready")
    wait_for_sleep(daemon)
    shell.send("\x1c")
    shell.expect(re.escape(shell.PROMPT))
    assert "131" in shell.do("echo status $?")


def test_ctrl_c_in_a_pipeline_ends_all_of_it(shell, daemon):
    shell.line("$tf run -n t 'echo rea''dy; sleep 1000' | cat; echo status ${PIPESTATUS[0]}")
    shell.expect("ready")
    wait_for_sleep(daemon)
    shell.send("\x03")
    shell.expect(re.escape(shell.PROMPT))
    daemon.wait_state("t", "failed")


def test_hanging_up_the_terminal_withdraws_what_waits_and_ends_what_runs(daemon):
    filler, gate = daemon.fill()
    terminals = {}
    for name, args in (("waiting", "-c 1"), ("running", "")):
        terminals[name] = daemon.place.terminal(env=daemon.env)
        terminals[name].line(f"{daemon.program} run -n {name} {args} 'sleep 1000'")
    daemon.wait_state("waiting", "pending")
    task = daemon.wait_for(lambda ts: next((t for t in ts if t["name"] == "running" and t["pid"]), None))
    for terminal in terminals.values():
        terminal.close()
    daemon.wait_state("waiting", "cancelled")
    daemon.wait_state("running", "failed")
    assert not is_alive(task["pid"])
    gate.open()
    assert filler.wait() == 0


# Ctrl-Z


def test_ctrl_z_stops_both_and_fg_resumes_both(shell, daemon):
    shell.line("$tf run -n t 'echo rea''dy; read x; echo \"got <$x>\"; exit 3'")
    shell.expect("ready")
    task = daemon.wait_for(lambda ts: next((t for t in ts if t["pid"]), None))
    runner = runner_of(daemon, "t")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(re.escape(shell.PROMPT))
    assert (proc_state(runner), proc_state(task["pid"])) == ("T", "T")
    assert daemon.task("t")["state"] == "running"
    assert "status 148" in shell.do("echo status $?")
    shell.line("fg")
    wait_until(lambda: proc_state(task["pid"]) in "SR", "the command goes on")
    shell.line("words")
    shell.expect("got <words>")
    shell.expect(re.escape(shell.PROMPT))
    assert "status 3" in shell.do("echo status $?")


def test_bg_lets_a_stopped_one_go_on_in_the_background(shell, daemon):
    shell.line("$tf run -n t 'echo rea''dy; sleep 2; exit 4'")
    shell.expect("ready")
    wait_for_sleep(daemon)
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(re.escape(shell.PROMPT))
    shell.do("bg")
    assert "status 4" in shell.do("wait %1; echo status $?")
    daemon.wait_state("t", "failed")


def test_ctrl_z_while_waiting_gives_way_to_others_and_fg_takes_the_place_again(shell, daemon):
    filler, gate = daemon.fill()
    shell.line("$tf run -n t -c 1 'echo we''nt'")
    shell.expect("core")
    daemon.wait_state("t", "pending")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(re.escape(shell.PROMPT))
    second = daemon.queue("second", "-c", str(N_CPUS))
    wait_until(lambda: "stopped" in daemon.why(daemon.task("t")["id"]), "it is known to be stopped")
    gate.open()
    assert filler.wait() == 0
    assert second.wait(4) == 0, "it is passed over at once: it had said that it stops"
    assert daemon.task("t")["state"] == "pending"
    shell.line("fg")
    shell.expect("went")
    shell.expect(re.escape(shell.PROMPT))
    assert "status 0" in shell.do("echo status $?")


def test_a_command_that_stops_itself_stops_taskflow(shell, daemon):
    shell.line("$tf run -n t 'kill -STOP $$; echo going on'")
    shell.expect("Stopped")
    shell.expect(re.escape(shell.PROMPT))
    shell.line("fg")
    shell.expect("going on")
    shell.expect(re.escape(shell.PROMPT))
    daemon.wait_state("t", "done")


# The background


def test_in_the_background_it_waits_without_a_line_in_place_and_starts(shell, daemon):
    filler, gate = daemon.fill()
    shell.do("$tf run -n t -c 1 'echo we''nt; exit 6' &")
    daemon.wait_state("t", "pending")
    runner = runner_of(daemon, "t")
    assert proc_state(runner) in "SR", "the terminal does not stop it"
    since = len(shell.text)
    while shell.pump(1.5):
        pass
    assert "\r" not in shell.text[since:].replace("\r\n", ""), "nothing in place"
    gate.open()
    assert "status 6" in shell.do("wait %1; echo status $?")
    assert "went" in shell.text
    assert filler.wait() == 0


def test_in_the_background_with_tostop_set_it_is_not_stopped_while_it_waits(shell, daemon):
    filler, gate = daemon.fill()
    shell.do("stty tostop")
    shell.do("$tf run -q -n t -c 1 true &")
    daemon.wait_state("t", "pending")
    assert proc_state(runner_of(daemon, "t")) in "SR"
    gate.open()
    assert "status 0" in shell.do("wait %1; echo status $?")
    assert filler.wait() == 0


def test_a_waiting_one_that_is_brought_to_the_foreground_takes_ctrl_c(shell, daemon):
    filler, gate = daemon.fill()
    shell.do("$tf run -n t -c 1 true &")
    daemon.wait_state("t", "pending")
    shell.line("fg")
    shell.expect("core", timeout=10)
    shell.send("\x03")
    shell.expect(re.escape(shell.PROMPT))
    daemon.wait_state("t", "cancelled")
    gate.open()
    assert filler.wait() == 0


def test_a_background_command_that_reads_the_terminal_stops_as_without_taskflow(shell, daemon):
    shell.do("$tf run -n t 'read x; echo \"got <$x>\"' &")
    task = daemon.wait_for(lambda ts: next((t for t in ts if t["pid"]), None))
    wait_until(lambda: proc_state(task["pid"]) == "T", "it is stopped")
    shell.line("fg")
    wait_until(lambda: proc_state(task["pid"]) == "S", "it goes on")
    shell.line("words")
    shell.expect("got <words>")
    shell.expect(re.escape(shell.PROMPT))


# Time limits and messages


def test_a_bare_small_time_limit_is_explained_on_a_terminal(shell):
    out = shell.do("$tf run -t 30 true")
    assert "= 30 seconds" in out
    assert shell.do("$tf run -t 30s true") == ""
    assert shell.do("$tf run -t 90 true") == ""


def test_listings_have_colour_and_width_on_a_terminal_and_no_colour_if_asked(shell, daemon):
    proc, _ = daemon.start("t", command=f"read x <{daemon.place.gate().path}; true {'word ' * 60}")
    out = shell.do("$tf ps")
    assert "\x1b[" in out
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert all(len(line) <= 100 for line in plain.splitlines()), plain
    out = shell.do("NO_COLOR=1 $tf ps")
    assert "\x1b[" not in out
    assert all(len(line) <= 100 for line in out.splitlines())
    out = shell.do("$tf ps | cat")
    assert "\x1b[" not in out
    proc.end()


def test_after_the_command_the_runner_leaves_nothing_behind(shell, daemon):
    shell.do("$tf run true")
    assert [child for child in children_of(shell.pid) if is_alive(child)] == []
    assert daemon.ps()[0]["state"] == "done"
