"""The checks of these tests can fail: each fault put into a lake on purpose is found."""

import pytest
from crash_model import BARS, FILE, TRADES, State

APPENDS = [["save", BARS, 0, FILE, 0.0], ["save", TRADES, 0, 40, 0.0]]
FAULTS = {
    "acknowledges early": ("catalog.begin", "lost"),
    "skips fsync of files": ("catalog.commit.after", "damaged"),
    "skips fsync of folders": ("catalog.commit.after", "is not there"),
    "commits each statement": ("catalog.statement", "is said to have"),
    "adds rows nobody sent": ("catalog.commit.after", "unknown"),
    "loses a row": ("catalog.commit.after", "lost"),
}
"""Each fault, the kind of step at whose last time it is looked for, and what the checks must say."""


@pytest.fixture
def nothing(workshop):
    """A folder without a lake, and what it holds."""
    root = workshop.folder / "no-lake"
    root.mkdir()
    return root, State()


@pytest.mark.parametrize("broken", FAULTS)
def test_a_broken_lake_is_caught(workshop, nothing, broken):
    kind, expected = FAULTS[broken]
    steps = workshop.rehearse(nothing[0], APPENDS, broken=broken).steps
    step = [step for step in steps if step.rpartition(".")[0] == kind][-1]
    done = workshop.kill(*nothing, APPENDS, step, broken=broken, power=True)
    assert done.told.died == step
    assert expected in "; ".join(done.problems)


def test_a_lake_that_skips_writes_notices_before_it_commits(workshop, nothing):
    told = workshop.zygote.run(workshop.copy(nothing[0]), APPENDS, broken="skips writes")
    assert "WriteFailed" in told.error
    assert "nothing was committed" in told.error


def test_a_step_that_is_never_reached_is_a_problem(workshop, nothing):
    done = workshop.kill(*nothing, APPENDS, "file.fsync.before.99")
    assert done.problems == ["file.fsync.before.99 was not reached"]


def test_a_file_that_vacuum_leaves_behind_is_caught(workshop):
    template, before = workshop.template("strange", APPENDS)
    (template / "stray.tmp").write_bytes(b"left")
    done = workshop.kill(template, before, [["save", TRADES, 20, 60, 0.0]], "catalog.begin.1")
    assert "swept, tree and catalog differ in ['stray.tmp']" in done.problems
