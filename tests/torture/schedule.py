# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a round, and when: all of it from one seed.

An act is a kind, the pause before it, and numbers from 0 to 1 for whoever must choose among what is there by then. So the same
seed gives the same acts in the same order, however fast the machine is.
"""

import dataclasses
import random

# Seconds that a command with a time limit would take: it is always ended before, and so is what it leaves in a session of its own.
LIMIT_LENGTH = 5

# How often each comes.
SUBMISSIONS = {"one": 10, "many": 3, "array": 4, "serial": 12, "after": 6, "retry": 4, "limit": 2, "hurry": 1}
DISTURBANCES = {
    "cancel": 8,
    "hold": 4,
    "release": 4,
    "look": 4,
    "kill client": 3,
    "kill keeper": 3,
    "kill agent": 4,
    "kill nursery": 2,
    "kill daemon": 4,
    "kill command": 2,
    "kill agent and daemon": 1,
    "kill agent and keepers": 1,
    "kill all of ours": 1,
    "stop agent": 2,
    "stop daemon": 2,
    "stop keeper": 1,
    "stop nursery": 1,
    "agent stop": 1,
    "agent start": 1,
}


@dataclasses.dataclass
class Act:
    """One thing to do: the pause before it in seconds, and whatever is needed to do it."""

    pause: float
    kind: str
    name: str = ""
    pick: float = 0.0  # which of those that are there
    seconds: float = 0.0  # how long, or until when
    options: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        words = [f"{self.pause * 1000:6.1f} ms", self.kind, self.name, f"{self.pick:.3f}", f"{self.seconds:.3f}"]
        return " ".join(word for word in words if word) + (f" {self.options}" if self.options else "")


@dataclasses.dataclass
class Schedule:
    seed: int
    personal: bool  # a daemon that is started on demand, and not one with a socket that is named
    idle_ms: int  # after which an agent ends that has nothing to do; 0: the usual
    acts: list


def work(rng):
    """What a command does: how long it takes, its status, and how many of its first runs fail before that."""
    return {"length": rng.choice([0, 0, 0.01, 0.03, 0.08]), "status": rng.choice([0, 0, 0, 0, 3]), "fails": 0}


def submission(rng, kind, n_cpus):
    options = {
        "work": work(rng),
        "cpus": rng.choice([1, 1, 1, n_cpus]),
        "priority": rng.choice([100, 100, 100, 0, 200]),
        "requeue": rng.random() < 0.2,
        "lines": 0,
    }
    if kind == "many":
        options["lines"] = rng.randint(2, 25)
    elif kind == "array":
        options["first"] = rng.randint(0, 5)
        options["last"] = options["first"] + rng.randint(0, 14)
        options["limit"] = rng.choice([0, 1, 1, 2])
        options["retry"] = rng.choice([0, 0, 1])
        options["work"]["fails"] = rng.choice([0, 0, 1])
    elif kind == "serial":
        options["cpus"] = n_cpus
    elif kind == "after":
        options["after"] = [(rng.random(), rng.random() < 0.5) for _ in range(rng.choice([1, 1, 2]))]
    elif kind == "retry":
        options["retry"] = rng.randint(1, 3)
        options["work"]["fails"] = rng.randint(0, 4)
    elif kind == "limit":
        options["limit_ms"] = rng.choice([100, 300])
        options["work"]["length"] = LIMIT_LENGTH
        options["work"]["status"] = 0
    elif kind == "hurry":
        options["wait_ms"] = rng.choice([0, 50, 400])
    return options


def choose(rng, table):
    return rng.choices(list(table), list(table.values()))[0]


def make(seed, n_acts, n_cpus, reboots=True):
    rng = random.Random(seed)
    acts = []
    numbers = iter(range(1, n_acts + 1))
    for i in range(n_acts):
        pause = rng.choice([0, 0, 0.005, 0.02, 0.05, 0.1])
        if i < 10 or rng.random() < 0.45:
            kind = choose(rng, SUBMISSIONS)
            acts.append(Act(pause, "submit", f"s{next(numbers)}", rng.random(), 0, submission(rng, kind, n_cpus)))
            continue
        kind = choose(rng, DISTURBANCES)
        seconds = rng.choice([0, 0.05, 0.3, 1.0]) if kind.startswith(("kill", "stop")) else 0
        acts.append(Act(pause, kind, "", rng.random(), seconds))
    n_reboots = rng.choice([0, 0, 1, 2])
    personal = rng.random() < 0.25
    idle_ms = rng.choice([0, 1, 50])
    for _ in range(n_reboots if reboots else 0):
        place = rng.randrange(10, n_acts)
        acts.insert(place, Act(0, "reboot", "", rng.random(), rng.choice([0, 0.1])))
    return Schedule(seed, personal, idle_ms, acts)
