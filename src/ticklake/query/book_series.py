"""Order books one after the other: at instants that follow one another, or after every message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from ticklake.core.book_state import OVERTAKEN, Floats, Integers, Side, in_book_order
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import NO_LAG, Knowledge, Lags
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import HOUR
from ticklake.engine.engine import Engine
from ticklake.query.book_checkpoints import checkpoint_before
from ticklake.query.book_rows import BookRows, with_last

__all__ = ["LONG", "Books", "books_after_messages", "books_at", "instants_in", "scan_books", "wide_schema"]

Schema = dict[str, Any]
LONG: Schema = {
    "ts": TIME,
    "side": pl.Enum(["bid", "ask"]),
    "level": pl.Int64,
    "price": pl.Float64,
    "amount": pl.Float64,
}
"""The columns of a series: a row for each level of each book. Level 1 is the best."""
_BLOCK = 4_096
"""So many books are held at a time."""
_WINDOW = 1_000_000
"""So many instants are held at a time."""
_FAR = HOUR
"""Instants that are further apart than this are read from a snapshot of their own."""


@dataclass(slots=True)
class Books:
    """Some books, best levels first."""

    ts: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    bids: list[Side] = field(default_factory=list)
    asks: list[Side] = field(default_factory=list)

    def add(self, ts: int, seq: int, sides: tuple[Side, Side]) -> None:
        """Add a book."""
        self.ts.append(ts)
        self.seq.append(seq)
        self.bids.append(sides[0])
        self.asks.append(sides[1])

    def __len__(self) -> int:
        return len(self.ts)

    def matrix(self, side: str, column: str, depth: int) -> Floats:
        """Return a row of prices or amounts for each book, at most *depth*, at least one; NaN where there is no level."""
        parts = [getattr(levels, column)[:depth] for levels in self._sides(side)]
        lengths = np.array(list(map(len, parts)), np.int64)
        width = max(int(lengths.max(initial=1)), 1)
        values = np.full((len(parts), width), np.nan)
        values[np.arange(width) < lengths[:, None]] = _joined(parts)
        return values

    def long(self, *, with_seq: bool = False, bucket: float | None = None) -> pl.DataFrame:
        """Return a row for each level; with *bucket*, the levels in each range of prices of that width are one."""
        places, is_ask, levels, prices, amounts = self._long()
        if bucket is not None:
            places, is_ask, levels, prices, amounts = _bucketed(places, is_ask, prices, amounts, bucket)
        columns = {
            "ts": pl.Series(np.array(self.ts, np.int64)[places]).cast(TIME),
            "seq": pl.Series(np.array(self.seq, np.int64)[places]),
            "side": pl.Series(is_ask.astype(np.uint8)).replace_strict({0: "bid", 1: "ask"}, return_dtype=LONG["side"]),
            "level": pl.Series(levels),
            "price": pl.Series(prices),
            "amount": pl.Series(amounts),
        }
        frame = pl.DataFrame(columns)
        if not with_seq:
            frame = frame.drop("seq")
        return frame

    def _long(self) -> tuple[Integers, Integers, Integers, Floats, Floats]:
        """Return book, whether it is an ask, level, price and amount of each level, by book, bids first."""
        both = [side for pair in zip(self.bids, self.asks, strict=True) for side in pair]
        lengths = np.array([len(side.price) for side in both], np.int64)
        numbers = np.repeat(np.arange(len(both)), lengths)
        levels = np.arange(len(numbers)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
        prices = _joined([side.price for side in both])
        amounts = _joined([side.amount for side in both])
        return numbers // 2, numbers % 2, levels, prices, amounts

    def wide(self, depth: int, *, with_seq: bool = False) -> pl.DataFrame:
        """Return a row for each book, with columns for each level: null where there is none."""
        frame = pl.DataFrame({"ts": pl.Series(self.ts, dtype=pl.Int64).cast(TIME)})
        if with_seq:
            frame = frame.with_columns(seq=pl.Series(self.seq, dtype=pl.Int64))
        columns: dict[str, pl.Series] = {}
        for side in ("bid", "ask"):
            for column in ("price", "amount"):
                values = self.matrix(side, column, depth)
                # Perhaps no book is as deep as the table is wide.
                missing = np.full(len(self), np.nan)
                parts = chain(values.T, repeat(missing, depth - values.shape[1]))
                for level, part in enumerate(parts, 1):
                    columns[f"{side}_{column}_{level}"] = _without_nan(part)
        return frame.with_columns(**columns).select(list(wide_schema(depth, with_seq=with_seq)))

    def _sides(self, side: str) -> list[Side]:
        if side == "bid":
            return self.bids
        return self.asks


def _joined(parts: Sequence[Floats]) -> Floats:
    if not parts:
        return np.empty(0)
    return np.concatenate(parts)


def _without_nan(values: Floats) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values), nan_to_null=True)


def _bucketed(
    places: Integers, is_ask: Integers, prices: Floats, amounts: Floats, width: float
) -> tuple[Integers, Integers, Integers, Floats, Floats]:
    """Sum up the levels in each range of prices: bids are rounded down to a multiple of *width*, asks up."""
    # Multiples of a decimal width are not exact: what is this close to one is meant to be it.
    numbers = np.where(is_ask == 1, np.ceil(prices / width - 1e-9), np.floor(prices / width + 1e-9))
    book_side = places * 2 + is_ask
    is_first = np.ones(len(prices), np.bool_)
    is_first[1:] = (numbers[1:] != numbers[:-1]) | (book_side[1:] != book_side[:-1])
    group = np.cumsum(is_first) - 1
    # Added one by one, from the best on: the order decides the last bits of a sum.
    sums: Floats = np.bincount(group, weights=amounts, minlength=int(is_first.sum())).astype(np.float64)
    firsts = np.flatnonzero(is_first)
    of_side = book_side[firsts]
    is_new_side = np.ones(len(firsts), np.bool_)
    is_new_side[1:] = of_side[1:] != of_side[:-1]
    begins = np.maximum.accumulate(np.where(is_new_side, np.arange(len(firsts)), 0))
    levels = np.arange(len(firsts)) - begins + 1
    return places[firsts], is_ask[firsts], levels, numbers[firsts] * width, sums


def instants_in(span: Span, every: int) -> Iterator[Integers]:
    """Yield the instants from the start of a span on, *every* so many nanoseconds, in arrays of bounded size."""
    for start in range(span.start, span.end, every * _WINDOW):
        end = min(span.end, start + every * _WINDOW)
        yield np.arange(start, end, every, dtype=np.int64)


def books_at(rows: BookRows, instants: Integers, depth: int | None) -> Iterator[Books]:
    """Yield the books at sorted *instants*, many at a time."""
    books = Books()
    for near in np.split(instants, np.flatnonzero(np.diff(instants) > _FAR) + 1):
        if not len(near):
            continue
        view, base = rows.view_of(Span(int(near[0]), int(near[-1]) + 1))
        for moment in rows.moments(view, base, near):
            last = moment.last or (0, 0)
            books.add(moment.at, last[1], moment.sides(depth))
            if len(books) >= _BLOCK:
                yield books
                books = Books()
    if len(books):
        yield books


def books_after_messages(rows: BookRows, span: Span, depth: int | None) -> Iterator[Books]:
    """Yield the books after each message in *span*, in the order of the exchange, many at a time."""
    view, base = rows.view_of(span)
    levels = rows.book_at(base)
    books = Books()
    pending = view.kind.empty().select(rows.names)
    newest = ALL_TIME.start
    for rest, is_last in with_last(rows.pieces_from(view, base, span.end, rows.names)):
        piece = in_book_order(pl.concat([pending, rest]))
        columns = rows.columns_of(piece)
        levels.take(columns)
        until = columns.height
        if not is_last:
            until = columns.height_before(levels.newest - OVERTAKEN)
        for end in columns.message_ends().tolist():
            if end > until:
                break
            levels.advance(end)
            # A snapshot that stands before older changes is there from its time on, and they on it.
            newest = max(newest, int(columns.ts[end - 1]))
            if newest >= span.start and levels.base is not None:
                books.add(newest, int(columns.seq[end - 1]), levels.sides(depth))
            if len(books) >= _BLOCK:
                yield books
                books = Books()
        pending = piece.slice(levels.done)
    if len(books):
        yield books


def scan_books(
    engine: Engine,
    dataset: Dataset,
    span: Span,
    every: int | None,
    depth: int | None,
    *,
    wide: bool = False,
    bucket: float | None = None,
    knowledge: Knowledge = "default",
    lags: Lags = NO_LAG,
) -> pl.LazyFrame:
    """Return the books in *span* as a lazy frame: one *every* so many nanoseconds, or after each message for ``None``."""
    rows = BookRows(engine, dataset, knowledge, lags, checkpoint_before)
    with_seq = every is None
    schema = dict(LONG)
    if with_seq:
        schema = {"ts": TIME, "seq": pl.Int64(), **LONG}
    if wide:
        schema = wide_schema(depth or 1, with_seq=with_seq)

    def series() -> Iterator[Books]:
        if every is None:
            yield from books_after_messages(rows, span, depth)
            return
        for instants in instants_in(span, every):
            yield from books_at(rows, instants, depth)

    def frames() -> Iterator[pl.DataFrame]:
        for books in series():
            if wide:
                yield books.wide(depth or 1, with_seq=with_seq)
            else:
                yield books.long(with_seq=with_seq, bucket=bucket)

    return lazy(frames, schema)


def lazy(frames: Callable[[], Iterator[pl.DataFrame]], schema: Schema) -> pl.LazyFrame:
    """Return a lazy frame of the frames that a function yields."""

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame(schema=schema).select(columns or list(schema))
        left = n_rows
        for frame in frames():
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame.select(columns or list(schema))
            if left == 0:
                return

    return register_io_source(source, schema=schema, is_pure=True)


def wide_schema(depth: int, *, with_seq: bool = False) -> Schema:
    """Return the columns of a series with one row a book."""
    schema: Schema = {"ts": TIME}
    if with_seq:
        schema["seq"] = pl.Int64()
    for level in range(1, depth + 1):
        for side in ("bid", "ask"):
            for column in ("price", "amount"):
                schema[f"{side}_{column}_{level}"] = pl.Float64()
    return schema
