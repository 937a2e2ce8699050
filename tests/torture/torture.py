#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached tasks while everything that can die does: rounds that are made of seeds, each judged when it is over.

    torture.py [--seed N] [--seeds N] [--jobs N] [--acts N] [--stop] [--keep]
    torture.py --show [--seed N] [--acts N]

A round calls `run -D` and `submit` in all their forms, cancels, holds and looks, and kills or stops daemon, agent, nursery,
keepers, commands and clients meanwhile, as its seed says. Then all goes on as a user would have it, until the queue is empty, and
the rules of judge.py must hold. Where it may (as root) the machine is rebooted too, as far as taskflow can tell.

The programs are those of $TASKFLOW and $TASKFLOWD, else of build/. The last line is `N passed, N failed`.
"""

import argparse
import atexit
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import round as rounds
import schedule
from harness import N_CPUS, TASKFLOW

BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
INSIDE = "TASKFLOW_TORTURE_BOOT_ID"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument("--seeds", type=int, default=1, help="so many, one after the other (1)")
    parser.add_argument("--jobs", type=int, default=1, help="so many of them at a time (1); 0: three a core, as they mostly wait")
    parser.add_argument("--acts", type=int, default=150, help="so many things happen in a round (150)")
    parser.add_argument("--show", action="store_true", help="print what would happen, and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep the folders of rounds that passed too")
    parser.add_argument("--stop", action="store_true", help="end with the first round that fails")
    return parser.parse_args()


def enter_own_boot():
    """In a namespace of mounts where the id of the boot is a file of ours; or go on without reboots."""
    if os.environ.get(INSIDE):
        atexit.register(shutil.rmtree, os.path.dirname(os.environ[INSIDE]), ignore_errors=True)
    if os.environ.get(INSIDE) is not None or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    folder = tempfile.mkdtemp(prefix="tf-boot-", dir="/tmp")
    path = os.path.join(folder, "boot_id")
    shutil.copy(BOOT_ID, path)
    script = 'mount --bind "$0" "$1" 2>/dev/null || { export TASKFLOW_TORTURE_BOOT_ID=; rm -r "${0%/*}"; }; shift; exec "$@"'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, path, BOOT_ID]
    if subprocess.run(command[:4] + ["true"], check=False, capture_output=True).returncode == 0:
        os.execvpe(command[0], command + [sys.executable, *sys.argv], {**os.environ, INSIDE: path})
    shutil.rmtree(folder, ignore_errors=True)


def show_failure(seed, one, complaints):
    print(f"seed {seed} FAILED; again with: make torture SEED={seed} SEEDS=1", flush=True)
    for text in complaints[:20]:
        print(f"    {text}")
    if len(complaints) > 20:
        print(f"    and {len(complaints) - 20} more")
    print(f"    look at {one.place.folder}:")
    names = ["journal", "d/log", "home/.local/state/taskflow/taskflowd.log"]
    agent = one.agent_folder()
    names += [f"{agent.relative_to(one.place.folder)}/agent.log"] if agent else []
    for name in names:
        if (one.place.folder / name).exists():
            print(f"        {name}")
            for line in (one.place.folder / name).read_text(errors="replace").splitlines()[-3:] if "log" in name else ():
                print(f"            {line}")
    for record in one.records():
        print(f"        {agent.relative_to(one.place.folder)}/run/{record}")
    sys.stdout.flush()


def run_seed(seed, args, boot_id_path):
    plan = schedule.make(seed, args.acts, N_CPUS, bool(boot_id_path))
    folder = tempfile.mkdtemp(prefix=f"tf-torture-{seed}-", dir="/tmp")
    start = time.monotonic()
    one = rounds.Round(plan, os.path.join(folder, "t"), boot_id_path)
    try:
        complaints, figures = one.run()
    finally:
        one.end()
    if complaints:
        show_failure(seed, one, complaints)
        return False
    print(f"seed {seed}: {figures}; {time.monotonic() - start:.1f} s", flush=True)
    if not args.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def run_seeds(seeds, args):
    """One after the other. Return: how many passed, and how many did not."""
    passed = failed = 0
    for seed in seeds:
        if run_seed(seed, args, os.environ.get(INSIDE)):
            passed += 1
        else:
            failed += 1
            if args.stop:
                break
    return passed, failed


class Jobs:
    """Rounds at the same time: each in a process of its own, which has its own folder, boot and orphans."""

    def __init__(self, args):
        self.args = args
        self.children = []
        self.ending = False

    def run_seed(self, seed):
        """Return: whether it passed; None: it was not run to its end."""
        if self.ending:
            return None
        options = ["--seed", str(seed), "--acts", str(self.args.acts)] + ["--keep"] * self.args.keep
        child = subprocess.Popen(
            [sys.executable, "-B", __file__, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        self.children.append(child)
        out, _ = child.communicate()
        if self.ending:
            return None
        lines = out.splitlines(keepends=True)
        sys.stdout.write("".join(lines[:-2] if out.endswith(" failed\n") else lines))  # without its own sum
        sys.stdout.flush()
        if self.args.stop and child.returncode != 0:
            self.ending = True
        return child.returncode == 0

    def run(self, seeds):
        """Return: how many passed, and how many did not."""
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            rounds_to_come = [pool.submit(self.run_seed, seed) for seed in seeds]
            try:
                concurrent.futures.wait(rounds_to_come)
            finally:
                self.ending = True
                while not all(one.done() for one in rounds_to_come):
                    for child in self.children:
                        child.terminate()
                    time.sleep(0.1)
        results = [one.result() for one in rounds_to_come]
        return results.count(True), results.count(False)


def main():
    args = arguments()
    if args.show:
        plan = schedule.make(args.seed, args.acts, N_CPUS)
        print(f"seed {plan.seed}: {'personal' if plan.personal else 'named'} daemon, agent's idle time {plan.idle_ms} ms")
        for act in plan.acts:
            print(act)
        return 0
    if not os.access(os.path.join(os.path.dirname(TASKFLOW), "taskflow-agent"), os.X_OK):
        print(f"there is no taskflow-agent beside {TASKFLOW}: build it")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    args.jobs = args.jobs or 3 * N_CPUS
    seeds = range(args.seed, args.seed + args.seeds)
    if args.jobs > 1 and args.seeds > 1:
        passed, failed = Jobs(args).run(seeds)
    else:
        enter_own_boot()
        rounds.become_subreaper()
        passed, failed = run_seeds(seeds, args)
    print(f"seeds {seeds[0]} to {seeds[-1]}:")
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
