"""Continuity: rows that exchanges number without holes, and the numbers that are missing in between.

Trade ids are numbered without holes where the exchange says so: Binance's aggregated trades (and, on its spot
markets, raw ones too), Kraken ("a sequence number, unique per book"). Order book updates: Bybit (``u``), Bitvavo
(``nonce``). Elsewhere a jump proves nothing, and nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.span import Span
from ticklake.core.time import MINUTE

if TYPE_CHECKING:
    from ticklake.core.dataset import Dataset

__all__ = ["LATE", "NUMBERS", "Jump", "Numbering", "Restart", "follows", "has_numbers", "spared"]

NUMBERS = {"trades": "id", "book": "seq"}
"""The column that numbers the rows of a kind."""

LATE = MINUTE
"""A row that comes out of turn fills a hole that it follows by at most this long."""
SCATTERED = 0.05
"""Where more than this share of rows does not follow the one before, the numbers are no numbering without holes."""
_FEW = 1000
_TRADE_IDS: dict[str, frozenset[str]] = {
    "binance": frozenset({"agg", "raw"}),
    "binanceus": frozenset({"agg", "raw"}),
    "binanceusdm": frozenset({"agg"}),
    "binancecoinm": frozenset({"agg"}),
    "kraken": frozenset({""}),
}
_BOOKS = frozenset({"bybit", "bitvavo"})
_TIMES = "time"
"""The id space of books that vendors wrote without the exchange's numbers: times stand in their place."""


def has_numbers(dataset: Dataset, id_space: str) -> bool:
    """Whether rows of *dataset*, whose ids are of this *id_space*, are known to be numbered without holes."""
    if dataset.kind == "book":
        return dataset.exchange in _BOOKS and id_space != _TIMES
    return dataset.kind == "trades" and id_space in _TRADE_IDS.get(dataset.exchange, ())


def follows(numbers: pl.Series, *, shared: bool = False) -> bool:
    """Whether numbers of rows in time order lead on without a hole; if *shared*, rows of one update have the same.

    Examples
    --------
    >>> follows(pl.Series([7, 8, 9])), follows(pl.Series([7, 9])), follows(pl.Series([7, None]))
    (True, False, False)
    >>> follows(pl.Series([7, 8, 8, 9])), follows(pl.Series([7, 8, 8, 9]), shared=True)
    (False, True)
    """
    if numbers.null_count():
        return False
    steps = numbers.diff().drop_nulls()
    if shared:
        return bool(steps.is_in([0, 1]).all())
    return bool((steps == 1).all())


@dataclass(frozen=True, slots=True, order=True)
class Jump:
    """Numbers *first* to *last* that nobody has, between a row at *before* and one at *after*."""

    before: int
    after: int
    first: int
    last: int

    @property
    def count(self) -> int:
        """How many numbers are missing."""
        return self.last - self.first + 1

    @property
    def span(self) -> Span:
        """Return where the missing rows lie: they may share the time of the row before them, and of the one after."""
        return Span(self.before, max(self.before, self.after) + 1)

    @property
    def before_next(self) -> Span:
        """Return the same without the instant of the row after: jumps that follow one another do not overlap."""
        return Span(self.before, max(self.after, self.before + 1))


@dataclass(frozen=True, slots=True, order=True)
class Restart:
    """From *at* on numbers begin anew: after *before* comes *after*. Nothing is missing for that."""

    at: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive rows whose numbers follow each other."""

    start: int
    end: int
    first: int
    last: int
    anchor: bool = False


@dataclass
class Numbering:
    """Follows the numbers of rows that come in time order, piece by piece.

    One pass over two columns: 10 million trades take about a second. Rows that come a little out of turn fill the
    hole they left; a row that is out of place altogether is passed over; numbers that begin anew and go on from
    there are a :class:`Restart`.
    """

    jumps: list[Jump] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    rows: int = 0
    breaks: int = 0
    _open: list[Jump] = field(default_factory=list)
    _last: _Run | None = None
    _aside: _Run | None = None

    @property
    def is_scattered(self) -> bool:
        """Whether there are so many holes that the rows cannot be numbered without holes."""
        return self.breaks > max(_FEW, self.rows * SCATTERED)

    def feed(self, times: pl.Series, numbers: pl.Series, anchors: pl.Series | None = None) -> None:
        """Take the next rows: ``Int64`` times in order, and their numbers. Those without one are passed over.

        Parameters
        ----------
        anchors
            Whether a row says where the numbering stands without following the one before: a book's snapshot.
        """
        if self.is_scattered:
            return
        if anchors is None:
            anchors = pl.Series([False]).new_from_index(0, times.len())
        frame = pl.DataFrame([times.alias("ts"), numbers.cast(pl.Int64).alias("n"), anchors.alias("anchor")])
        frame = frame.drop_nulls("n")
        self.rows += frame.height
        if _goes_back_within_an_instant(frame):
            # Rows of one instant are in the order in which they came: by number they may well follow each other.
            frame = frame.sort("ts", "n", maintain_order=True)
        runs = _runs(frame)
        self.breaks += max(len(runs) - 1, 0)
        for run in runs:
            self._follow(run)

    def finish(self) -> None:
        """Settle what still hung on rows to come."""
        if self._aside is not None:
            self._begin_anew(self._aside)
        self._close()

    def _follow(self, run: _Run) -> None:
        last = self._last
        if last is None or run.anchor:
            # A snapshot says where the numbering stands, so nothing is known to be missing before it.
            self._close()
            self._last, self._aside = run, None
        elif run.first > last.last and (self._aside is None or run.first != self._aside.last + 1):
            if run.first > last.last + 1:
                self._open.append(Jump(last.end, run.start, last.last + 1, run.first - 1))
            self._last, self._aside = run, None
        elif self._aside is not None:
            # A second run of lower numbers: the first one was no row out of place, numbers begin anew with it.
            self._begin_anew(self._aside)
            self._follow(run)
        elif not self._fills(run):
            # Alone it may be a row out of place; the next run decides.
            self._aside = run

    def _fills(self, run: _Run) -> bool:
        """Let rows that come out of turn fill the hole they left; tell whether there is one."""
        # From the newest hole back: a row that is late by more than LATE for one is so for all before it.
        for place in range(len(self._open) - 1, -1, -1):
            hole = self._open[place]
            if run.start > hole.after + LATE:
                return False
            if hole.first <= run.first and run.last <= hole.last:
                self._open[place : place + 1] = _without(hole, run.first, run.last)
                return True
        return False

    def _begin_anew(self, run: _Run) -> None:
        if self._last is not None:
            self.restarts.append(Restart(run.start, self._last.last, run.first))
        self._close()
        self._last, self._aside = run, None

    def _close(self) -> None:
        self.jumps += self._open
        self._open = []


def spared(jumps: Collection[Jump], known: Collection[int]) -> Iterator[Jump]:
    """Yield the jumps without the numbers that are *known* from elsewhere, like those of refused rows."""
    numbers = sorted(known)
    for jump in jumps:
        first = jump.first
        for number in numbers[bisect_left(numbers, jump.first) : bisect_right(numbers, jump.last)]:
            if first < number:
                yield replace(jump, first=first, last=number - 1)
            first = number + 1
        if first <= jump.last:
            yield replace(jump, first=first)


def _without(hole: Jump, first: int, last: int) -> list[Jump]:
    """Return what is left of a hole once rows *first* to *last* of it came."""
    parts: list[Jump] = []
    if hole.first < first:
        parts.append(replace(hole, last=first - 1))
    if last < hole.last:
        parts.append(replace(hole, first=last + 1))
    return parts


def _goes_back_within_an_instant(frame: pl.DataFrame) -> bool:
    goes_back = (frame["n"].diff() < 0) & (frame["ts"].diff() == 0)
    return bool(goes_back.any())


def _runs(frame: pl.DataFrame) -> list[_Run]:
    """Cut rows where a number does not follow the one before (or repeat it, as the levels of one update do)."""
    if not frame.height:
        return []
    step = frame["n"].diff()
    breaks = (((step != 1) & (step != 0)) | (frame["anchor"] & (step != 0))).fill_null(True)
    starts = breaks.arg_true()
    ends = pl.concat([starts[1:].cast(pl.Int64) - 1, pl.Series([frame.height - 1], dtype=pl.Int64)])
    first, last = frame[starts.to_list()], frame[ends.to_list()]
    columns = pl.DataFrame(
        {"start": first["ts"], "end": last["ts"], "first": first["n"], "last": last["n"], "anchor": first["anchor"]}
    )
    return [_Run(*values) for values in columns.iter_rows()]
