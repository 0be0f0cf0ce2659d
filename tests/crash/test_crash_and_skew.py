"""Rebuild, vacuum, backup and migration killed anywhere, and clocks that are wrong by hours or weeks."""

import contextlib
import random
import shutil
from pathlib import Path

import pytest
from crash_model import BARS, FILE, PRINTS, TRADES, State, loaded, open_, rebuild_lake
from harness import Round, differs
from test_kills_at_every_step import FULL, few
from test_kills_at_random_times import PLAN, STEPS, operation, seeds

from ticklake.app import CATALOG_FILE
from ticklake.core.dataset import Dataset
from ticklake.errors import BadInput

pytestmark = pytest.mark.slow

HOUR = 3600 * 10**9
SKEWS = (-21 * 24 * HOUR, -2 * HOUR, 0, 0, 2 * HOUR, 25 * HOUR, 21 * 24 * HOUR)
GOLDEN = Path(__file__).parents[1] / "golden"
ACCIDENTS = {
    "sound": lambda path: None,
    "overwritten": lambda path: path.write_bytes(b"garbage!" * 5_000),
    "deleted": lambda path: path.unlink(),
}


def left_by_rebuilds(root):
    return sorted(path.name for path in root.glob(f"{CATALOG_FILE}.rebuilt*"))


def rebuild_again(root):
    """Finish what was killed; where it had come to its end the catalog is sound."""
    with contextlib.suppress(BadInput):
        rebuild_lake(root)


def kill_rebuilds(workshop, accident, choose):
    """Kill a rebuild at its steps, finish it, and say at which steps what was left is not what must be."""
    template, before = workshop.template(f"rebuild-{accident}", FULL)
    ACCIDENTS[accident](template / CATALOG_FILE)
    job = {"closed": True}
    whole = workshop.copy(template)
    told = workshop.zygote.run(whole, [], **job)
    assert told.error is None, told.error
    with open_(whole) as lake:
        expected = {dataset: loaded(lake, dataset) for dataset in (BARS, TRADES, PRINTS)}
        assert accident != "sound" or differs(lake, before) is None
    wrong = {}
    for step in choose(told.steps):
        root = workshop.copy(template)
        assert workshop.zygote.run(root, [], die_at=step, **job).died == step
        rebuild_again(root)
        with open_(root) as lake:
            found = {dataset: loaded(lake, dataset) for dataset in expected}
            if not all(found[dataset].equals(expected[dataset]) for dataset in expected) or lake.verify(deep=True):
                wrong[step] = {dataset: frame.height for dataset, frame in found.items()}
        if left_by_rebuilds(root):
            wrong[step] = left_by_rebuilds(root)
        workshop.drop(root)
    return wrong


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_rebuild_that_was_killed_is_finished_by_the_next(workshop, accident):
    assert kill_rebuilds(workshop, accident, few) == {}


@pytest.mark.soak
@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_rebuild_that_was_killed_at_any_step_is_finished_by_the_next(workshop, accident):
    assert kill_rebuilds(workshop, accident, list) == {}


def kill_backups(workshop, choose):
    """Kill a second backup at its steps: the copy is the first one or the second, and the next one is whole."""
    template, first = workshop.template("backup", FULL[:3])
    with open_(template) as lake:
        lake.backup(f"{template}-copy")
        for dataset in (TRADES, PRINTS):
            lake.engine.compact([Dataset.parse(dataset)])
    more = ["save", BARS, FILE, 2 * FILE, 0.0]
    second = first.after(more)
    plan = [more, ["backup"]]

    def fresh():
        root = workshop.copy(template)
        shutil.copytree(f"{template}-copy", f"{root}-copy")
        return root

    told = workshop.zygote.run(fresh(), plan)
    assert told.error is None, told.error
    wrong = {}
    for step in choose(told.steps):
        root = fresh()
        assert workshop.zygote.run(root, plan, die_at=step).died == step
        with open_(f"{root}-copy") as copy:
            differences = [differs(copy, state) for state in (first, second)]
            damaged = [one for one in copy.verify(deep=True) if one.dataset]
        if all(differences) or damaged:
            wrong[step] = differences, damaged
        with open_(root) as lake:
            if differs(lake, second) is not None:
                assert differs(lake, first) is None
                continue
            lake.backup(f"{root}-copy")
        with open_(f"{root}-copy") as copy:
            if differs(copy, second) is not None or copy.verify(deep=True):
                wrong[step] = "after the next backup", differs(copy, second)
        workshop.drop(root)
        shutil.rmtree(f"{root}-copy")
    return wrong


def test_a_backup_that_was_killed_leaves_a_whole_copy_and_is_finished_by_the_next(workshop):
    assert kill_backups(workshop, few) == {}


@pytest.mark.soak
def test_a_backup_that_was_killed_at_any_step_leaves_a_whole_copy(workshop):
    assert kill_backups(workshop, list) == {}


def kill_migrations(workshop, name, choose):
    """Kill the opening of a lake of an older schema at its steps; it opens then and answers as it did."""
    template = workshop.folder / name
    shutil.copytree(GOLDEN / name / "lake", template)
    whole = workshop.copy(template)
    told = workshop.zygote.run(whole, [["open"]])
    assert told.error is None, told.error
    with open_(whole) as lake:
        expected = {str(dataset): loaded(lake, dataset) for dataset in lake.datasets()}
    wrong = {}
    for step in choose(told.steps):
        root = workshop.copy(template)
        assert workshop.zygote.run(root, [["open"]], die_at=step).died == step
        with open_(root) as lake:
            found = {str(dataset): loaded(lake, dataset) for dataset in lake.datasets()}
            if found.keys() != expected.keys() or not all(found[one].equals(expected[one]) for one in expected):
                wrong[step] = found
        workshop.drop(root)
    return wrong


OLD_SCHEMAS = sorted(path.name for path in GOLDEN.glob("schema-*"))[:-1]


def test_a_migration_that_was_killed_is_finished_by_the_next_opening(workshop):
    assert kill_migrations(workshop, random.SystemRandom().choice(OLD_SCHEMAS), few) == {}


@pytest.mark.soak
@pytest.mark.parametrize("name", OLD_SCHEMAS)
def test_a_migration_that_was_killed_at_any_step_is_finished(workshop, name):
    assert kill_migrations(workshop, name, list) == {}


class SkewedChain:
    """One lake on which processes with wrong clocks work and are killed, one after the other."""

    def __init__(self, workshop, seed):
        self.chance, self.seed, self.workshop = random.Random(seed), seed, workshop
        self.root = workshop.folder / "lake"
        self.root.mkdir()
        self.state, self.kills = State(), 0

    def operation(self):
        verb = self.chance.random()
        if verb < 0.2:
            return ["vacuum"]
        return ["rebuild"] if verb < 0.3 else ["backup"] if verb < 0.4 else operation(self.chance)

    def go_on(self):
        plan = [self.operation() for _ in range(PLAN)]
        job = {"die_at": self.chance.randrange(1, STEPS), "ahead": self.chance.choice(SKEWS)}
        done = Round(self.root, self.state, plan, self.workshop.zygote.run(self.root, plan, **job))
        done.check(sweeps=False)
        shutil.rmtree(f"{self.root}-graveyard", ignore_errors=True)
        assert done.problems == [], f"seed {self.seed}, kill {self.kills}, {job}, {plan}, died at {done.told.died}"
        self.kills += done.told.killed
        self.state = done.state


def run_skewed(workshop, seed, rounds):
    chain = SkewedChain(workshop, seed)
    for _ in range(rounds):
        chain.go_on()
    return chain


def test_a_lake_outlives_killed_processes_whose_clocks_are_wrong(workshop):
    (seed,) = seeds(1)
    assert run_skewed(workshop, seed, rounds=12).kills > 2, f"seed {seed}"


@pytest.mark.soak
@pytest.mark.parametrize("chain", range(10))
def test_a_lake_outlives_hundreds_of_killed_processes_whose_clocks_are_wrong(workshop, chain):
    (seed,) = seeds(1)
    run_skewed(workshop, seed, rounds=150)
