"""Seeded trials of live collection: faults, two collectors, kill -9 and SIGTERM, then a repair.

Every row that was served is then in the lake once, or inside a gap that is named; a seed repeats; counters balance.
"""

from __future__ import annotations

import asyncio

import pytest
from live_trials import NOW, Trial, directly

from ticklake.app import memory_lake
from ticklake.collect import live

pytestmark = pytest.mark.slow
SEEDS = 25


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing depend on threads or pauses."""
    monkeypatch.setattr(asyncio, "to_thread", directly)
    monkeypatch.setattr(live, "_FIRST_WAIT", 0.0)
    monkeypatch.setattr(live, "_LONGEST_REST", 0.0)


def tried(seed: int, streams: int = 50) -> tuple[Trial, list[str]]:
    """Run a trial; return it with what is wrong."""
    with memory_lake(clock=lambda: NOW) as lake:
        trial = Trial(lake, seed, streams)
        trial.run()
        return trial, trial.problems()


def fingerprint(seed: int) -> str:
    """Run a trial; return a digest of what the lake and the counters are in the end."""
    with memory_lake(clock=lambda: NOW) as lake:
        trial = Trial(lake, seed)
        trial.run()
        return trial.fingerprint()


PARTS = [0, *(pytest.param(part, marks=pytest.mark.trials) for part in range(1, 8))]
"""200 seeds: an eighth in ``make test``, the others in ``make trials``, which runs before a change lands."""


@pytest.mark.parametrize("part", PARTS)
def test_every_row_that_was_served_is_stored_once_or_inside_a_gap(part):
    wrong: dict[int, list[str]] = {}
    ends: set[str] = set()
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        trial, problems = tried(seed)
        ends.update(trial.ends)
        if problems:
            wrong[seed] = problems
    assert wrong == {}
    assert ends == {"natural", "sigterm", "killed"}


@pytest.mark.parametrize("seed", [1, 8])
def test_a_seed_repeats(seed):
    assert fingerprint(seed) == fingerprint(seed)


def test_a_trial_notices_a_row_that_is_not_there():
    with memory_lake(clock=lambda: NOW) as lake:
        trial = Trial(lake, 1, 10)
        trial.run()
        assert trial.problems() == []
        dataset = trial.world.streams[0].dataset
        ts = trial.world.streams[0].rows[-2].values[0]
        covered = lake.coverage(dataset)
        lake.delete(dataset, ts, ts + 1)
        lake.engine.append(dataset, dataset.spec.empty(), trial.origin, covered.pieces)
        assert any("no gap names it" in problem for problem in trial.problems())


@pytest.mark.soak
@pytest.mark.parametrize("part", range(40))
def test_every_row_of_hundreds_of_streams(part):
    wrong = {seed: problems for seed in range(part * 25, (part + 1) * 25) if (problems := tried(seed, 500)[1])}
    assert wrong == {}
