"""The parts of frames: rows, where those of each frame are, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from ticklake.core.coverage import Coverage, Found
from ticklake.core.dataset import Dataset
from ticklake.core.frame_hash import HashedColumn, hashed_columns
from ticklake.core.gaps import Gap, GapReason, gaps_of
from ticklake.core.knowledge import happened_at
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import format_time
from ticklake.core.timeframe import Timeframe
from ticklake.core.timeline import Part

if TYPE_CHECKING:
    from ticklake.core.timeline import Times, Windows

__all__ = ["ABSENT", "Absent", "Facts", "MissingPart", "PartData"]

ABSENT = "absent"
"""The reason of what cannot be there at all."""


@dataclass(frozen=True, slots=True)
class MissingPart:
    """What a frame lacks: in which part and span, and why.

    ``reason`` is a word of a gap (``not_fetched``, ``no_trades``, ``outage``, ``unavailable``, ``lost``, ``invalid``), or ``absent`` where
    a part cannot be there at all; ``detail`` says why.
    """

    part: str
    dataset: str
    start: int
    end: int
    reason: str
    detail: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether something is missing, and not only that there was nothing to be had."""
        return self.reason == ABSENT or GapReason(self.reason).is_missing

    def __str__(self) -> str:
        text = f"{self.part}: {format_time(self.start)} .. {format_time(self.end)} {self.reason}"
        if self.detail:
            text += f" ({self.detail})"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "part": self.part,
            "dataset": self.dataset,
            "start": format_time(self.start),
            "end": format_time(self.end),
            "reason": self.reason,
            "detail": self.detail,
        }


class Absent(NamedTuple):
    """A part that a frame cannot have, and why."""

    part: str
    dataset: str
    why: str


@dataclass(frozen=True)
class Facts:
    """What is known about the rows of a part: what is missing is told from it.

    ``coverage`` and ``closed`` are those around all windows, ``refused`` the times of refused rows. Rows are expected ``lag`` nanoseconds
    after they happened. ``since`` is from when on a dataset counts as there.
    """

    dataset: Dataset
    coverage: Coverage
    closed: tuple[Span, ...] = ()
    refused: Callable[[], pl.Series] = lambda: pl.Series("ts", [], dtype=pl.Int64)
    lag: int = 0
    since: int = ALL_TIME.start
    only_snapshots: bool = False
    made: Timeframe | None = None
    """The timeframe of the bars that are made of the rows."""

    @property
    def timeframe(self) -> Timeframe | None:
        """The timeframe of the rows, if they are bars."""
        if self.dataset.spec.bars:
            return self.dataset.timeframe
        return None

    def want(self, since: int, at: int) -> Span | None:
        """Return the span in which rows are expected of the window from *since* to *at*."""
        timeframe, end = self.timeframe, at - self.lag
        if timeframe is not None:
            end = timeframe.floor(end, self.dataset.anchor)
        if self.made is not None:
            # Whole bars are made: rows of one that has not ended are not missing yet.
            anchor = self.dataset.anchor_of(self.made)
            since = self.made.floor(since, anchor)
            end = min(end, self.made.floor(at - self.lag, anchor))
        elif timeframe is not None:
            since = timeframe.floor(since, self.dataset.anchor)
        if since >= end:
            return None
        return Span(since, end)

    def gaps(self, since: int, at: int, opens: Callable[[Span], pl.Series], count: int | None) -> list[Gap]:
        """Return the gaps of a window, of whose bars *count* are there, if that is known; else *opens* says when they open."""
        want = self.want(since, at)
        if want is None or at < self.since:
            return []
        # What somebody looked at later was not known.
        coverage = self.coverage.within(Span(ALL_TIME.start, at))
        if self.timeframe is None:
            return self._gaps_of_events(want, at, coverage)
        expected = self.timeframe.count_in(want, self.dataset.anchor)
        if count == expected:
            return []
        times = opens(want)
        if len(times) == expected:
            return []
        return self._gaps(want, at, coverage, [times.to_physical()])

    def _gaps_of_events(self, want: Span, at: int, coverage: Coverage) -> list[Gap]:
        if self.refused().len():
            return self._gaps(want, at, coverage, [])
        # Mostly all of a window was looked at, or nothing at all: then there is nothing to compute.
        pieces = coverage.within(want).pieces
        if len(pieces) == 1 and pieces[0].span == want and pieces[0].found is Found.DATA:
            return []
        if not coverage.pieces and not self.closed and not self.only_snapshots:
            return [Gap(want, None, GapReason.NOT_FETCHED)]
        return self._gaps(want, at, coverage, [])

    def _gaps(self, want: Span, at: int, coverage: Coverage, present: list[pl.Series]) -> list[Gap]:
        refused: list[pl.Series] = []
        times = self.refused()
        if len(times):
            refused.append(times.filter(times <= at))
        return gaps_of(self.dataset, want, coverage, present, refused, self.closed, only_snapshots=self.only_snapshots)


@dataclass(eq=False)
class PartData:
    """One part of many frames: its rows, where those of each frame are, and what is known about them."""

    name: str
    rows: Part
    keeps_newest: bool
    facts: Facts
    base: PartData | None = None
    """Of what derived bars are made."""
    source: Callable[[int, int], str] = lambda _start, _end: "files"
    before: Absent | None = None
    """Why it was not there before it was known that the lake would have such rows."""

    def windows(self, since: Times, at: Times) -> Windows:
        """Return where the rows of frames are."""
        return self.rows.windows(since, at, keeps_newest=self.keeps_newest)

    def happened_at(self, rows: pl.DataFrame) -> Times:
        """Return when rows of it happened."""
        dataset = self.facts.dataset
        if self.facts.made is not None:
            dataset = Dataset(dataset.exchange, "ohlcv", dataset.symbol, self.facts.made)
        return np.asarray(happened_at(rows, dataset).to_numpy(), dtype=np.int64)

    @cached_property
    def prices(self) -> Any:
        """The prices of trades, or the closes of bars, as an array; ``None`` for all other rows."""
        rows = self.rows.rows
        for name in ("close", "price"):
            if name in rows.columns:
                return rows[name].to_numpy()
        return None

    @cached_property
    def columns(self) -> list[HashedColumn]:
        """Its columns as they are hashed."""
        return hashed_columns(self.rows.rows)
