#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached tasks while everything that can die does: rounds that are made of seeds, each judged when it is over.

    torture.py [--seed N] [--seeds N] [--acts N] [--stop] [--keep]
    torture.py --show [--seed N] [--acts N]

A round calls `run -D` and `submit` in all their forms, cancels, holds and looks, and kills or stops daemon, agent, nursery,
keepers, commands and clients meanwhile, as its seed says. Then all goes on as a user would have it, until the queue is empty, and
the rules of judge.py must hold. Where it may (as root) the machine is rebooted too, as far as taskflow can tell.

The programs are those of $TASKFLOW and $TASKFLOWD, else of build/. The last line is `N passed, N failed`.
"""

import argparse
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
    parser.add_argument("--acts", type=int, default=150, help="so many things happen in a round (150)")
    parser.add_argument("--show", action="store_true", help="print what would happen, and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep the folders of rounds that passed too")
    parser.add_argument("--stop", action="store_true", help="end with the first round that fails")
    return parser.parse_args()


def enter_own_boot():
    """In a namespace of mounts where the id of the boot is a file of ours; or go on without reboots."""
    if os.environ.get(INSIDE) is not None or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    folder = tempfile.mkdtemp(prefix="tf-boot-", dir="/tmp")
    path = os.path.join(folder, "boot_id")
    shutil.copy(BOOT_ID, path)
    script = 'mount --bind "$0" "$1" 2>/dev/null || export TASKFLOW_TORTURE_BOOT_ID=; shift; exec "$@"'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, path, BOOT_ID]
    env = {**os.environ, INSIDE: path}
    try:
        if subprocess.run(command[:4] + ["true"], check=False, capture_output=True).returncode == 0:
            sys.exit(subprocess.run(command + [sys.executable, *sys.argv], check=False, env=env).returncode)
    finally:
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
    enter_own_boot()
    rounds.become_subreaper()
    passed = failed = 0
    for seed in range(args.seed, args.seed + args.seeds):
        if run_seed(seed, args, os.environ.get(INSIDE)):
            passed += 1
        else:
            failed += 1
            if args.stop:
                break
    print(f"seeds {args.seed} to {seed}:")
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
