"""Moods: events of a whole exchange, its symbols and its numbering. Faults change single answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, MS, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput
from ticklake.testing.exchange.market import Market, Series

__all__ = ["MOODS", "Mood", "MoodyMarket", "parse_moods"]

MOODS = {
    "outage": "outage=START/END",
    "halt": "halt=SYMBOL@START/END",
    "delist": "delist=SYMBOL@TIME",
    "erase": "erase=SYMBOL@TIME",
    "rename": "rename=OLD>NEW@TIME",
    "id_reset": "id_reset=SYMBOL@TIME",
    "funding_interval": "funding_interval=SYMBOL@TIME=4h",
    "recent_only": "recent_only=2d",
    "withhold": "withhold=SYMBOL@START/END",
}
"""The form of each mood. Times are whole minutes.

``outage``: nobody trades. ``halt``: one symbol does not trade. ``delist``: it no longer trades and is no longer listed,
but its history is still served. ``erase``: nor is its history. ``rename``: from then on it trades under the new name only.
``id_reset``: trade ids restart at 1, and a call by id finds the new ones. ``funding_interval``: funding is settled at this
interval from then on. ``recent_only``: trades, and bars shorter than a day, are served for this long only. ``withhold``:
trades have ids but are not served.
"""


@dataclass(frozen=True, slots=True)
class Mood:
    """One mood: its symbol (all, if empty), its time, and the new name or the interval, if it has one."""

    name: str
    symbol: str = ""
    span: Span = ALL_TIME
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}={self.symbol}@{self.span}{self.value}"

    def concerns(self, dataset: Dataset) -> bool:
        """Whether it changes *dataset*."""
        return self.symbol in ("", str(dataset.symbol))


def parse_moods(texts: Iterable[str]) -> tuple[Mood, ...]:
    """Read texts like ``outage=2024-01-03T10:00/2024-01-03T12:00``; :data:`MOODS` has all forms.

    Raises
    ------
    BadInput, InvalidTime, UnknownTimeframe
    """
    return tuple(map(_parsed, texts))


def _parsed(text: str) -> Mood:
    name, _, rest = str(text).partition("=")
    if name not in MOODS:
        raise BadInput(f"there is no mood {name!r}: use {', '.join(MOODS.values())}")
    if name == "recent_only":
        return Mood(name, value=str(Timeframe.parse(rest)))
    symbol, _, when = rest.rpartition("@")
    start, _, value = when.partition("=")
    symbol, _, renamed = symbol.partition(">")
    fits = bool(symbol) is (name != "outage") and bool(renamed) is (name == "rename")
    if not fits or bool(value) is not (name == "funding_interval"):
        raise BadInput(f"{text!r} is not a mood: write it like {MOODS[name]}")
    first, slash, last = start.partition("/")
    if bool(slash) is not (name in {"outage", "halt", "withhold"}):
        raise BadInput(f"{text!r} is not a mood: write it like {MOODS[name]}")
    end = ALL_TIME.end
    if slash:
        end = _minute(last)
    return Mood(name, symbol, Span(_minute(first), end), renamed or value)


def _minute(text: str) -> int:
    ts = parse_time(text)
    if ts % MINUTE:
        raise BadInput(f"moods begin and end at whole minutes, not at {text}")
    return ts


class MoodyMarket(Market):
    """A market with moods. Its rows are what really happened; the rows that it serves may be fewer."""

    def __init__(self, market: Market, moods: Iterable[Mood]) -> None:
        super().__init__()
        self.moods = tuple(moods)
        for dataset in market.series:
            self.add(dataset, partial(self._lived, dataset, partial(_rows_of, market, dataset)))
            for mood in self._named("rename", dataset):
                renamed = Dataset(dataset.exchange, dataset.kind, Symbol(mood.value), dataset.timeframe)
                self.add(renamed, partial(_within, partial(_rows_of, market, dataset), mood.span))

    def listed(self, exchange: str, now: int) -> list[Symbol]:
        """Return what the exchange lists at its time *now*."""
        unlisted: set[str] = set()
        for mood in self.moods:
            has_begun = now >= mood.span.start
            if mood.name in {"delist", "erase", "rename"} and has_begun:
                unlisted.add(mood.symbol)
            if mood.name == "rename" and not has_begun:
                unlisted.add(mood.value)
        return [symbol for symbol in self.symbols(exchange) if str(symbol) not in unlisted]

    def knows(self, symbol: Symbol, now: int) -> bool:
        """Whether anything of a symbol is served at *now*."""
        for mood in self.moods:
            has_begun = now >= mood.span.start
            if mood.name == "erase" and mood.symbol == str(symbol) and has_begun:
                return False
            if mood.name == "rename" and mood.value == str(symbol) and not has_begun:
                return False
        return True

    def served(
        self, exchange: str, symbol: Symbol, kind: str, timeframe: Timeframe | None = None, *, now: int
    ) -> pl.DataFrame:
        """Return the rows that calls bring at *now*."""
        rows, ts = self.rows(exchange, symbol, kind, timeframe), pl.col("ts").to_physical()
        for mood in self.moods:
            if mood.name == "recent_only" and (kind == "trades" or (timeframe and timeframe.length < DAY)):
                rows = rows.filter(ts >= now - Timeframe.parse(mood.value).length)
            if mood.name == "withhold" and kind == "trades" and mood.symbol == str(symbol):
                rows = rows.filter(~ts.is_between(mood.span.start, mood.span.end, closed="left"))
        return rows

    def _named(self, name: str, dataset: Dataset) -> list[Mood]:
        return [mood for mood in self.moods if mood.name == name and mood.concerns(dataset)]

    def _lived(self, dataset: Dataset, load: Series) -> pl.DataFrame:
        """Return the rows of a dataset after all moods."""
        rows = load()
        if dataset.kind == "funding":
            for mood in self._named("funding_interval", dataset):
                rows = _rescheduled(rows, mood.span.start, Timeframe.parse(mood.value).length)
        for name in ("outage", "halt", "delist", "erase", "rename"):
            for mood in self._named(name, dataset):
                rows = _without(rows, mood.span)
        if dataset.kind == "trades":
            for mood in self._named("id_reset", dataset):
                rows = _renumbered(rows, mood.span.start)
        return rows


def _rows_of(market: Market, dataset: Dataset) -> pl.DataFrame:
    return market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)


def _within(load: Callable[[], pl.DataFrame], span: Span) -> pl.DataFrame:
    inside = load().filter(_in(span))
    if "id" not in inside.columns:
        return inside
    return _numbered(inside, 1)


def _in(span: Span) -> pl.Expr:
    return pl.col("ts").to_physical().is_between(span.start, span.end, closed="left")


def _without(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Return the rows outside *span*. Ids continue without a hole: no trade got one in that time."""
    outside = rows.filter(~_in(span))
    if "id" not in rows.columns or not rows.height or rows["id"].null_count():
        return outside
    return _numbered(outside, int(rows["id"][0]))


def _renumbered(rows: pl.DataFrame, at: int) -> pl.DataFrame:
    before = rows.filter(pl.col("ts").to_physical() < at)
    return pl.concat([before, _numbered(rows.slice(before.height), 1)])


def _numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    return rows.with_columns(id=(pl.int_range(pl.len()) + first).cast(pl.String))


def _rescheduled(rows: pl.DataFrame, at: int, interval: int) -> pl.DataFrame:
    """Settle funding every *interval* from *at* on, some milliseconds late, at the rate of the day's last settlement."""
    before = rows.filter(pl.col("ts").to_physical() < at)
    if before.height == rows.height or not before.height:
        return rows
    ts = rows["ts"].to_physical()
    # The new schedule ends when the old one would have settled again.
    end = int(ts[-1]) + max(int(ts[-1]) - int(ts[-2]) - MINUTE, 1)
    first = -(-at // interval) * interval
    grid = pl.select(due=pl.int_range(first, end, interval, dtype=pl.Int64))
    late = grid.with_columns(ts=(pl.col("due") + pl.col("due") // HOUR % 7 * MS).cast(TIME)).drop("due")
    rest = late.join_asof(rows, on="ts", strategy="backward").select(rows.columns)
    return pl.concat([before, rest])
