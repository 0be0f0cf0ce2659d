"""The checks of these tests can fail: each fault put into a lake on purpose is found."""

import pytest
from crash_model import BARS, FILE, TRADES

APPENDS = [["save", BARS, 0, FILE, 0.0], ["save", TRADES, 0, 40, 0.0]]
FAULTS = {
    "acknowledges early": ("catalog.begin.2", "lost"),
    "skips writes": ("catalog.commit.after.2", "verify"),
    "skips fsync of files": ("catalog.commit.after.2", "verify"),
    "skips fsync of folders": ("catalog.commit.after.2", "is not there"),
    "commits each statement": ("catalog.statement.5", "rows"),
    "adds rows nobody sent": ("catalog.commit.after.3", "unknown"),
    "loses a row": ("catalog.commit.after.3", "lost"),
}


def killed(workshop, step, broken):
    root = workshop.folder / "none"
    root.mkdir()
    _, before = workshop.template("empty", [])
    return workshop.kill(root, before, APPENDS, step, broken=broken, power=True)


@pytest.mark.parametrize("broken", FAULTS)
def test_a_broken_lake_is_caught(workshop, broken):
    step, expected = FAULTS[broken]
    done = killed(workshop, step, broken)
    assert done.told.died == step
    assert expected in "; ".join(done.problems)


def test_a_step_that_is_never_reached_is_a_problem(workshop):
    assert killed(workshop, "file.fsync.before.99", None).problems == ["file.fsync.before.99 was not reached"]


def test_a_file_that_vacuum_leaves_behind_is_caught(workshop, tmp_path):
    template, before = workshop.template("strange", APPENDS)
    (template / "stray.tmp").write_bytes(b"left")
    done = workshop.kill(template, before, [["save", TRADES, 20, 60, 0.0]], "catalog.begin.1")
    assert "swept, tree and catalog differ in ['stray.tmp']" in done.problems
