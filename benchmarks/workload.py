"""What a workload is, and how much of everything there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import data
from benchmarks.contenders.base import Contender
from benchmarks.figures import Target

__all__ = ["FULL", "QUICK", "Kind", "Market", "Prepare", "Scale", "Step", "Steps", "Workload"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything; the targets are stated for :data:`FULL`."""

    repeats: int
    few: int
    trades: int
    batches: int
    group: int
    datasets: int
    resample: int
    events: int
    seconds: int
    flushes: int
    messages: int
    frames: int


FULL = Scale(
    repeats=11,
    few=3,
    trades=1_000_000,
    batches=100,
    group=500,
    datasets=10_000,
    resample=20_000_000,
    events=1_000_000,
    seconds=20,
    flushes=10,
    messages=40_000,
    frames=10_000,
)
QUICK = Scale(
    repeats=5,
    few=1,
    trades=100_000,
    batches=10,
    group=50,
    datasets=500,
    resample=2_000_000,
    events=100_000,
    seconds=4,
    flushes=4,
    messages=10_000,
    frames=2_000,
)


class Market:
    """The data of a run, generated when first used; the bars year is stored once a contender, then copied.

    Parameters
    ----------
    scale
        How much of it.
    folder
        Where the stored year of each contender is kept.
    """

    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale = scale
        self._folder = folder

    @cached_property
    def bars(self) -> pl.DataFrame:
        """A year of bars."""
        return data.bars()

    @cached_property
    def trades(self) -> pl.DataFrame:
        """A day, or the first hours of it that hold as many trades as the scale says."""
        return next(data.days_of_trades(self.scale.trades))

    @property
    def length(self) -> int:
        """The length of what :attr:`trades` covers, in nanoseconds."""
        return data.DAY * self.scale.trades // data.TRADES_A_DAY

    def year_in(self, kind: type[Contender], folder: Path) -> Contender:
        """Return a contender in *folder* that holds the bars year, compacted."""
        stored = self._folder / kind.name
        if not stored.exists():
            with closing(kind(stored)) as contender:
                contender.append_bars(contender.bars(self.bars))
                contender.compact()
        shutil.copytree(stored, folder)
        return kind(folder)


@dataclass(frozen=True, slots=True)
class Step:
    """What is timed once; if *rows* is given, an answer of another length is no answer."""

    run: Callable[[], Any]
    rows: int | None = None


Kind = type[Contender]
Steps = Iterator[Step]
Prepare = Callable[[Kind, Path, Market], Steps]


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table.

    *prepare* sets up and yields steps; if *returns*, a step's result is the sample, otherwise its time is.
    *only* names who takes part, if not everybody.
    """

    name: str
    title: str
    prepare: Prepare
    targets: tuple[Target, ...]
    repeats: int
    unit: str = "ms"
    returns: bool = False
    only: tuple[str, ...] = ()
    warm_up: bool = True
