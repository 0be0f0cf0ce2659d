"""Verbs: the methods that read a lake, whether it is at hand, one version of it, or served elsewhere.

A lake, a snapshot and the remote client keep this protocol: same names, same parameters, same answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike
from ticklake.core.event_rows import By, Form
from ticklake.core.knowledge import Knowledge
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.core.words import Columns, DatasetLike, Fill, How, Label, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ticklake.core.adjust import Adjust
    from ticklake.core.bars import Bars
    from ticklake.core.book import Book
    from ticklake.core.coverage import Coverage
    from ticklake.core.estimate import Estimate
    from ticklake.core.frame import Frame
    from ticklake.core.frames import Frames
    from ticklake.core.gaps import Gap, GapReport
    from ticklake.core.quality import Quality
    from ticklake.core.sql import SqlResult

__all__ = ["ReadVerbs"]

Names = str | Sequence[str]


class ReadVerbs(Protocol):
    """The verbs that read."""

    def load(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.DataFrame:
        """Return the rows of a dataset in ``[start, end)``; the newest *last* ones if given."""

    def scan(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        provenance: bool = False,
    ) -> pl.LazyFrame:
        """Return the rows that :meth:`load` returns as a lazy frame, pinned to the version that is newest now."""

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return bars: ``ts`` (open time), open, high, low, close, volume, quote_volume, trades."""

    def trades(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return trades: ``ts``, received_at, id, price, amount, side (the taker's)."""

    def funding(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return settled funding rates: ``ts``, rate, predicted_rate, next_ts, mark_price, interval."""

    def resample(
        self,
        dataset: DatasetLike,
        rule: str | Timeframe | Bars | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        partial: bool = False,
        timeframe: str | Timeframe | None = None,
        **edges: Any,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows."""

    def book(
        self,
        exchange: str,
        symbol: str,
        at: TimeLike | None = None,
        depth: int | None = None,
        knowledge: Knowledge = "default",
        *,
        columns: Columns | None = None,
    ) -> Book:
        """Return the order book as it was at *at* (now): bids, then asks, best prices first."""

    def books(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike | None = "1s",
        depth: int | None = 10,
        *,
        wide: bool = False,
        bucket: float | None = None,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return the order books in ``[start, end)`` as a lazy frame: memory does not grow with them."""

    def book_stats(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = "1s",
        depths: Iterable[int] = (1, 5, 10),
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return figures of the order books in ``[start, end)`` as a lazy frame: a row at *start* and *every* so long after it."""

    def imbalances(
        self,
        exchange: str,
        symbol: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        every: DurationLike = "1s",
        windows: Iterable[DurationLike] = ("1s", "5s", "15s", "60s"),
        depth: int = 10,
        *,
        knowledge: Knowledge = "default",
    ) -> pl.LazyFrame:
        """Return mean imbalances of the order books as a lazy frame: a row at *start* and *every* so long after it, before *end*."""

    def frame(
        self,
        exchange: str,
        symbol: str,
        at: TimeLike | None = None,
        *,
        window: DurationLike = "60m",
        timeframes: Names | Sequence[Timeframe] = ("1m",),
        kinds: Names | None = None,
        book_depth: int | None = None,
        indicators: Names = (),
        features: Names = (),
        knowledge: str = "default",
        fill: str | None = None,
    ) -> Frame:
        """Return what was known of a symbol at an instant: bars, trades, quotes, the book, funding, open interest, indicators."""

    def frames(
        self,
        exchange: str,
        symbol: str,
        instants: Any,
        *,
        window: DurationLike = "60m",
        timeframes: Names | Sequence[Timeframe] = ("1m",),
        kinds: Names | None = None,
        book_depth: int | None = None,
        indicators: Names = (),
        features: Names = (),
        knowledge: str = "default",
        fill: str | None = None,
    ) -> Frames:
        """Return the frames of many instants, read in one pass: each equals that of :meth:`frame`."""

    def asof(
        self,
        left: pl.DataFrame | DatasetLike,
        right: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        at: str | None = None,
        columns: Columns | None = None,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
        allow_exact: bool = True,
        suffix: str = "_right",
    ) -> pl.DataFrame:
        """Return *left* with the newest row of *right* that was known at the time of each row: one row for each, in its order."""

    def panel(
        self,
        exchange: str,
        symbols: str | Sequence[str],
        timeframe: str | Timeframe | None = None,
        column: Columns = "close",
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        kind: str = "ohlcv",
        wide: bool = True,
        how: How = "outer",
        label: Label = "open",
        fill: Fill | None = None,
        known_at: TimeLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
    ) -> pl.DataFrame:
        """Return one table of many symbols by time. What is missing is null."""

    def markout(
        self,
        trades: pl.DataFrame | DatasetLike,
        against: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        offsets: DurationLike | Sequence[DurationLike] = ("1s", "5s", "1m", "5m"),
        price: str | None = None,
        unit: Unit = "price",
        at: str = "ts",
        max_age: DurationLike | None = None,
    ) -> pl.DataFrame:
        """Return trades with how far the price had moved in their direction some time later: ``sign * (reference - price)``."""

    def iterate(
        self,
        datasets: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        by: By = "exchange",
        as_: Form = "objects",
        batch: int | None = None,
        columns: Sequence[str] | None = None,
        lags: Mapping[str, DurationLike] | None = None,
    ) -> Iterator[Any]:
        """Return the rows of several datasets as events in order, in memory that does not grow with their number."""

    def datasets(self, search: str = "") -> list[Dataset]:
        """Return the datasets whose name contains *search*."""

    def inventory(self, search: str = "") -> pl.DataFrame:
        """Return a row a dataset."""

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        engine: Literal["duckdb", "polars"] | None = None,
    ) -> SqlResult:
        """Answer an SQL query over the views of the lake, from one version of it: a view for each kind, ``datasets`` and ``coverage``."""

    def last_timestamp(self, dataset: DatasetLike) -> int | None:
        """Return the time of the newest row in nanoseconds, or ``None``."""

    def missing_intervals(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> list[Span]:
        """Return the spans without rows that should have them; by default inside what the lake holds."""

    def gaps(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> list[Gap]:
        """Return every hole with its bounds, size and reason; by default inside what the lake holds or has looked at."""

    def gap_report(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> GapReport:
        """Return the holes of :meth:`gaps`, with ``notes`` on what looks like one and is none, like ids that begin anew."""

    def condition(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> pl.DataFrame:
        """Return the condition of each UTC day in a word; by default inside what the lake holds or has looked at."""

    def estimate(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
    ) -> Estimate:
        """Return how many rows :meth:`load` would return, and about what they take in each format; no row is read."""

    def coverage(self, dataset: DatasetLike) -> Coverage:
        """Return which spans were looked at, and what was found."""

    def provenance(self, dataset: DatasetLike, at: TimeLike | None = None) -> list[Provenance]:
        """Return where the rows of a dataset came from, or those at exactly one time."""

    def provenance_by_file(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return a row for each file and origin of its rows, in order of time."""

    def quarantine(self, dataset: DatasetLike | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the refused rows of a dataset with ``ts``, ``reason``, ``row`` (JSON) and ``created_at``."""

    def revisions(self, dataset: DatasetLike, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the changed rows with ``ts``, ``before`` and ``after`` (JSON), ``commit_id``, ``created_at``."""

    def quality(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> Quality:
        """Return how complete and how sound a dataset is; by default all that the lake holds or has looked at."""

    def quality_trend(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return the figures of :meth:`quality` as a row for each UTC day."""

    def continuity(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return how each committed batch of rows joined the rows before it."""
