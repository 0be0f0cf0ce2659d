"""What comes out of files that are no tables: frames of rows, by kind and market."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ticklake.core.kinds import kind_of
from ticklake.core.native_ids import Market
from ticklake.errors import InvalidData
from ticklake.files.message_counts import Tally
from ticklake.sources.wire.rows import Row

__all__ = ["Heap", "Origin", "Session", "Shaped", "gathered", "loaded"]

_MANY = 200_000
"""After so many rows a frame is given out."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """Rows of one kind and market; ``exchange``, ``market`` and the ids' ``space`` only if told."""

    frame: pl.DataFrame
    kind: str
    native: str = ""
    timeframe: str = ""
    exchange: str = ""
    market: Market | None = None
    space: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of recorded messages and answers besides their bytes, and where what became of them is counted.

    Parameters
    ----------
    name
        The name of the file.
    exchange, symbol, timeframe
        What the caller says that all of them are of; empty if nothing.
    has_times
        Whether the caller says the time of rows: then those that have none of their own come in.
    tally
        Counts messages by channel.
    """

    name: str = ""
    exchange: str = ""
    symbol: str = ""
    timeframe: str = ""
    has_times: bool = False
    tally: Tally = field(default_factory=Tally)


_Group = tuple[str, str, str, str, str, Market | None]


@dataclass
class Heap:
    """Collects rows by what they are of, and gives them out as frames."""

    groups: dict[_Group, list[tuple[Any, ...]]] = field(default_factory=dict)
    count: int = 0

    def add(self, row: Row, exchange: str = "", market: Market | None = None) -> None:
        """Take in a row."""
        group = (row.kind, row.native, row.timeframe, row.space, exchange, market)
        self.groups.setdefault(group, []).append(row.values)
        self.count += 1

    def full(self) -> Iterator[Shaped]:
        """Give out everything, if it is much."""
        if self.count >= _MANY:
            yield from self.rest()

    def rest(self) -> Iterator[Shaped]:
        """Give out everything."""
        for (kind, native, timeframe, space, exchange, market), rows in self.groups.items():
            columns = zip(kind_of(kind).names, zip(*rows, strict=True), strict=True)
            frame = pl.DataFrame([pl.Series(name, values, strict=False) for name, values in columns])
            yield Shaped(frame, kind, native, timeframe, exchange, market, space)
        self.groups, self.count = {}, 0


Origin = tuple[Row, str, Market | None]
"""A row, its exchange and its market, as far as the file says them."""


def gathered(rows: Iterable[Origin]) -> Iterator[Shaped]:
    """Yield rows as frames, many at a time."""
    heap = Heap()
    for row, exchange, market in rows:
        heap.add(row, exchange, market)
        yield from heap.full()
    yield from heap.rest()


def loaded(text: bytes, number: int) -> Any:
    """Return the JSON of a line.

    Raises
    ------
    InvalidData
        If it is cut short or none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidData(f"line {number:,} is no whole JSON: {error}") from error
