#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tests of a build and count their cases, each alone, however they are packed into programs.

    run-tests.py [--suite NAME]... [--no-suite NAME]... [--wrapper COMMAND] BUILD

The suites are those of Meson: unit, sim, fuzz, lint, e2e; without --suite it is all of them. Some unit tests are also of the
suite native. --wrapper is put in front of each program (valgrind); it does not apply to e2e. The last line is `N passed, N failed`, with `, N skipped` where there
were any; the status is 0 only if none failed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

TAP_LINE = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-?\s*([^#]*))?(?:#\s*(SKIP|TODO)\b)?", re.I)
TAP_PLAN = re.compile(r"^1\.\.(\d+)")
# A sanitizer's complaint must end the program; Meson sets the same for what it runs.
SANITIZERS = {
    "ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1",
    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_summary=1:print_stacktrace=1",
}


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


def heading(text):
    print(f"\n== {text}", flush=True)


def count_tap(text):
    """The cases of one program's TAP; those that were planned and did not come are failures."""
    count, planned = Count(), 0
    for line in text.splitlines():
        plan = TAP_PLAN.match(line)
        if plan:
            planned += int(plan.group(1))
        case = TAP_LINE.match(line)
        if not case:
            continue
        if case.group(3) and case.group(3).upper() == "SKIP":
            count.skipped += 1
        elif case.group(1):
            count.failed += 1
        else:
            count.passed += 1
    missing = planned - count.passed - count.failed - count.skipped
    count.failed += max(0, missing)
    return count


def count_program(result, is_tap):
    """One entry of Meson's log. A program that says that all is well and then crashes has failed."""
    if result["result"] == "SKIP":
        return Count(skipped=1)
    good = result["result"] in ("OK", "EXPECTEDFAIL")
    if not is_tap:
        return Count(passed=1) if good else Count(failed=1)
    count = count_tap(result.get("stdout", ""))
    # cmocka says `not ok 3 # SKIP` of a test that skips itself, and Meson takes that for a failure.
    good = good or (result["result"] == "FAIL" and result["returncode"] == 0 and count.skipped > 0)
    if not good and count.failed == 0:
        count.failed = 1
    if good and count.passed + count.skipped == 0:
        count.failed = 1  # it ran nothing
    return count


def show_failure(result):
    heading(f"{result['name']}: {result['result']}, status {result['returncode']}")
    for stream in ("stdout", "stderr"):
        lines = result.get(stream, "").rstrip().splitlines()
        if stream == "stdout":
            lines = [line for line in lines if not re.match(r"ok\b|1\.\.", line)]
        if len(lines) > 200:
            lines = [f"[{len(lines) - 200} lines before]"] + lines[-200:]
        for line in lines:
            print(f"   {line}")


def suites_of(test):
    return {suite.split(":")[-1] for suite in test["suite"]}


def run_meson(build, tests, wrapper):
    """Everything but e2e: Meson runs several at a time and keeps to their time-outs."""
    if not tests:
        return Count()
    is_tap = {test["name"]: test["protocol"] == "tap" for test in tests}
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", build, "--no-rebuild", "--quiet"]
    if wrapper:
        command += ["--wrapper", wrapper, "--timeout-multiplier", "6"]
        log = log.with_name(f"testlog-{os.path.basename(wrapper.split()[0])}.json")
        log.unlink(missing_ok=True)
    done = subprocess.run(command + [test["name"] for test in tests], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if not log.exists():
        print(done.stdout + done.stderr)
        print(f"meson ran no tests: status {done.returncode}")
        return Count(failed=1)

    total = Count()
    results = [json.loads(line) for line in log.read_text().splitlines()]
    for result in sorted(results, key=lambda result: result["name"]):
        name = result["name"].split(" / ")[-1]
        count = count_program(result, is_tap.get(name, False))
        total.add(count)
        if count.failed:
            show_failure(result)
        else:
            print(f"{name:28} {count}")
    if len(results) < len(tests):
        print(f"{len(tests) - len(results)} programs did not run")
        total.failed += len(tests) - len(results)
    return total


def end_group(process):
    """First as Ctrl-C would, so that fixtures end what they started."""
    for number, patience in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


class PytestRun:
    """One Meson test that is a run of pytest; its cases are counted from the report that it writes."""

    def __init__(self, test, out, stack):
        self.name = test["name"]
        self.out = out
        self.deadline = time.monotonic() + (test["timeout"] or float("inf"))
        self.report = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskflow-tests-")), "report.xml")
        command = test["cmd"] + ["-rfEs", f"--junitxml={self.report}"]
        env = {**SANITIZERS, **os.environ, **test["env"]}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
        )
        stack.callback(self.end)

    def end(self):
        if self.process.poll() is None:
            end_group(self.process)

    def wait(self):
        left = self.deadline - time.monotonic()
        try:
            self.process.wait(None if left == float("inf") else max(0, left))
        except subprocess.TimeoutExpired:
            print(f"{self.name}: not done in time, ended", flush=True)
            self.end()

    def count(self):
        if not self.report.exists():
            print(f"{self.name}: pytest wrote no report, status {self.process.returncode}")
            return Count(failed=1)
        total = Count()
        for suite in xml.etree.ElementTree.parse(self.report).iter("testsuite"):
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            total.add(Count(max(0, int(suite.get("tests", 0)) - failed - skipped), failed, skipped))
        # Interrupted, timed out, an internal error, or nothing collected: the cases alone do not show it.
        if self.process.returncode != 0 and total.failed == 0:
            print(f"{self.name}: pytest ended with status {self.process.returncode}")
            total.failed = 1
        return total


def run_side_by_side(tests):
    """All at once; what the first one says is seen at once, and what the others say after it."""
    how = "side by side, this takes some minutes" if len(tests) > 1 else "alone"
    heading(f"{', '.join(test['name'] for test in tests)} ({how})")
    total = Count()
    with contextlib.ExitStack() as stack:
        outs = [None] + [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in tests[1:]]
        for run in [PytestRun(test, out, stack) for test, out in zip(tests, outs)]:
            run.wait()
            if run.out:
                heading(run.name)
                run.out.seek(0)
                print(run.out.read(), flush=True)
            total.add(run.count())
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", help="run only this suite; may be repeated")
    parser.add_argument("--no-suite", action="append", default=[], help="leave this suite out; may be repeated")
    parser.add_argument("--wrapper", help="command in front of each program, as for meson test")
    parser.add_argument("build", type=pathlib.Path)
    args = parser.parse_args()

    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    introspected = subprocess.check_output(["meson", "introspect", "--tests", args.build], text=True)
    tests = [test for test in json.loads(introspected) if not args.suite or suites_of(test) & set(args.suite)]
    tests = [test for test in tests if not suites_of(test) & set(args.no_suite)]
    unknown = set(args.suite or []) - {suite for test in tests for suite in suites_of(test)}
    if unknown:
        print(f"there is no suite {', '.join(sorted(unknown))}")

    total = Count(failed=len(unknown))
    start = time.monotonic()
    heading("programs")
    total.add(run_meson(args.build, [test for test in tests if "e2e" not in suites_of(test)], args.wrapper))
    e2e = [test for test in tests if "e2e" in suites_of(test)]
    for together in (True, False):
        group = [test for test in e2e if test["is_parallel"] == together]
        if group:
            total.add(run_side_by_side(group))
    print(f"\n{time.monotonic() - start:.0f} s", flush=True)
    print(total, flush=True)
    sys.exit(total.failed > 0)


if __name__ == "__main__":
    main()
