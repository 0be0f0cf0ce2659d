"""One lake whose writers are killed again and again, anywhere: what was acknowledged is there after each of them."""

import os
import random
import shutil

import pytest
from crash_model import BARS, CAN_SAVE_ALL, FILE, PRINTS, TRADES, State
from harness import Round

pytestmark = pytest.mark.slow

PLAN = 5
"""Operations that a child is given; most die before they are done."""
STEPS = 120
SECONDS = 0.2


def operation(chance):
    """One operation; batches overlap what is there, so that rows come again and bars are corrected."""
    verb = chance.choice(["save", "save", "save", "file", "delete", "compact", "vacuum", "together"])
    dataset = chance.choice([BARS, TRADES, PRINTS])
    first = chance.randrange(0, 2 * FILE)
    if verb == "delete":
        return ["delete", dataset, first, first + chance.randrange(1, 2_000)]
    if verb in {"compact", "vacuum"}:
        return [verb]
    if verb == "together" and CAN_SAVE_ALL:
        return ["save_all", [["save", one, first, first + 200, 0.0] for one in (BARS, TRADES, PRINTS)]]
    bump = chance.choice([0.0, 0.25]) if dataset == BARS else 0.0
    return ["save", dataset, first, first + (FILE if verb == "file" else chance.randrange(1, 400)), bump]


class Chain:
    """A lake that is killed over and over; every choice follows from the seed."""

    def __init__(self, workshop, seed):
        self.chance = random.Random(seed)
        self.seed, self.workshop = seed, workshop
        self.root = workshop.folder / "lake"
        self.root.mkdir()
        self.state, self.kills, self.leftovers = State(), 0, 0

    def go_on(self):
        """Kill one child, by its steps or by the clock, and check everything."""
        plan = [operation(self.chance) for _ in range(PLAN)]
        job = {"die_at": self.chance.randrange(1, STEPS), "power": self.chance.random() < 0.3}
        if self.chance.random() < 0.5:
            job = {"delay": self.chance.uniform(0, SECONDS)}
        done = Round(self.root, self.state, plan, self.workshop.zygote.run(self.root, plan, **job))
        done.check(sweeps=self.chance.random() < 0.25)
        shutil.rmtree(f"{self.root}-graveyard", ignore_errors=True)
        assert done.problems == [], f"seed {self.seed}, kill {self.kills}, {job}, {plan}, died at {done.told.died}"
        self.kills += done.told.killed
        self.leftovers += bool(done.leftovers)
        self.state = done.state


def run(workshop, seed, kills):
    chain = Chain(workshop, seed)
    for _ in range(kills):
        chain.go_on()
    return chain


def seeds(count):
    """Other seeds each time, unless one is asked for."""
    asked = os.environ.get("TICKLAKE_CRASH_SEED")
    return [int(asked)] if asked else [random.SystemRandom().randrange(10**6) for _ in range(count)]


def test_a_lake_outlives_writers_that_are_killed_at_random(workshop):
    (seed,) = seeds(1)
    done = run(workshop, seed, kills=30)
    assert done.kills > 12, f"seed {seed}"
    assert done.leftovers > 2, f"seed {seed}"


@pytest.mark.soak
@pytest.mark.parametrize("chain", range(20))
def test_a_lake_outlives_thousands_of_killed_writers(workshop, chain):
    (seed,) = seeds(1)
    run(workshop, seed, kills=200)
