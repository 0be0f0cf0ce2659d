"""A writer that is killed at any step between bytes and commit loses nothing, doubles nothing and leaves no mess."""

import os
import random

import pytest
from crash_model import BARS, CAN_SAVE_ALL, FILE, PRINTS, TRADES

pytestmark = pytest.mark.slow

FULL = [
    ["save", BARS, 0, FILE, 0.0],
    ["save", BARS, FILE - 50, FILE + 50, 0.0],
    ["save", BARS, 100, 130, 0.25],
    ["save", TRADES, 0, 300, 0.0],
    ["save", PRINTS, 0, 300, 0.0],
]
"""A lake with files and inline segments, some of which overlap."""
WRITES = {"catalog.begin", "catalog.statement", "catalog.commit.before", "catalog.commit.after"}
FILES = {"file.open", "file.write.half", "file.fsync.after", "folder.fsync.after"}
OPERATIONS = {
    "make the lake": (None, [["open"]], WRITES),
    "append to a new lake": (None, [["save", BARS, 0, 40, 0.0]], WRITES),
    "append inline": (FULL, [["save", TRADES, 250, 350, 0.0]], WRITES),
    "append inline prints": (FULL, [["save", PRINTS, 250, 400, 0.0]], WRITES),
    "append a file": (FULL, [["save", BARS, FILE - 100, 2 * FILE, 0.0]], WRITES | FILES),
    "append a file to a new lake": (None, [["save", TRADES, 0, FILE, 0.0]], WRITES | FILES),
    "correct inline": (FULL, [["save", BARS, 50, 150, 0.5]], WRITES),
    "correct a file": (FULL, [["save", BARS, 10, FILE + 10, 0.5]], WRITES | FILES),
    "compact": (FULL, [["compact"]], WRITES | FILES | {"file.rename"}),
    "delete": (FULL, [["delete", BARS, 60, FILE + 20]], WRITES | FILES | {"file.rename"}),
    "vacuum": ([*FULL, ["compact"], ["delete", BARS, 0, 70]], [["vacuum"]], WRITES | {"file.unlink"}),
    "rebuild": (FULL, [["rebuild"]], {"catalog.begin", "catalog.statement", "catalog.page"}),
}
if CAN_SAVE_ALL:
    OPERATIONS["append many together"] = (
        FULL,
        [
            [
                "save_all",
                [
                    ["save", BARS, FILE - 100, 2 * FILE, 0.0],
                    ["save", TRADES, 290, 320, 0.0],
                    ["save", PRINTS, 290, 420, 0.0],
                ],
            ]
        ],
        WRITES | FILES,
    )


def kinds(steps):
    return {step.rpartition(".")[0] for step in steps}


def of_kinds(steps):
    return [[step for step in steps if step.rpartition(".")[0] == kind] for kind in sorted(kinds(steps))]


def any_of_each(steps):
    """Of each kind of step any one: the steps of a kind differ little, and the soak tries all of them."""
    return [random.SystemRandom().choice(some) for some in of_kinds(steps)]


def few(steps):
    """Of each kind of step the first and any one."""
    chosen = {some[0] for some in of_kinds(steps)} | set(any_of_each(steps))
    return [step for step in steps if step in chosen]


def kill_everywhere(workshop, name, *, power=False, choose=list):
    """Kill an operation once at each of its steps; for a power cut, where that takes more than a kill."""
    plan, operation, least = OPERATIONS[name]
    template, before = workshop.template(name.replace(" ", "-"), plan or [])
    if plan is None:
        workshop.drop(template)
        template.mkdir()
    litter(template)
    told = workshop.rehearse(template, operation)
    assert kinds(told.steps) >= least, "the rehearsal did not pass what this operation must pass"
    steps = told.soft if power else told.steps
    return {step: workshop.kill(template, before, operation, step, power=power) for step in choose(steps)}


def litter(template):
    """Leave in the tree what an earlier crash would have: a half-written file that nobody names."""
    folders = {path.parent for path in template.rglob("*.parquet")}
    for folder in folders:
        old = folder / "2024-0123456789abcdef.parquet"
        old.write_bytes(b"PAR1half")
        os.utime(old, (0, 0))


def problems(rounds):
    return {step: done.problems for step, done in rounds.items() if done.problems}


WITH_FILES = [name for name, (_, _, least) in OPERATIONS.items() if least > WRITES]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kill_loses_nothing_doubles_nothing_and_is_repaired_by_repeating(workshop, name):
    # A round with files of many thousand rows takes half a second.
    choose = any_of_each if name in WITH_FILES else few
    assert problems(kill_everywhere(workshop, name, choose=choose)) == {}


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_power_cut_takes_nothing_that_was_acknowledged(workshop, name):
    rounds = kill_everywhere(workshop, name, power=True, choose=any_of_each)
    assert problems(rounds) == {}
    assert rounds, "nothing was ever at risk"


def test_a_kill_before_the_commit_leaves_a_file_and_no_rows_and_one_after_it_all_rows(workshop):
    def last(kind):
        return lambda steps: [step for step in steps if step.rpartition(".")[0] == kind][-1:]

    (early,) = kill_everywhere(workshop, "correct a file", choose=last("file.fsync.after")).values()
    (late,) = kill_everywhere(workshop, "correct a file", choose=last("catalog.commit.after")).values()
    assert early.done == 0
    assert len(early.leftovers) == 2, "the file that was not committed, and the one that lay about before"
    assert (late.done, late.told.acknowledged) == (1, [])


@pytest.mark.soak
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kill_at_any_step_is_repaired(workshop, name):
    assert problems(kill_everywhere(workshop, name)) == {}


@pytest.mark.soak
@pytest.mark.parametrize("name", WITH_FILES)
def test_a_power_cut_at_any_step_is_repaired(workshop, name):
    assert problems(kill_everywhere(workshop, name, power=True)) == {}
