"""Frames of the rows of files that are no tables, by kind and market."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from ticklake.core.kinds import kind_of
from ticklake.core.native_ids import Market
from ticklake.errors import InvalidData
from ticklake.files.message_counts import Tally
from ticklake.sources.wire.rows import Row

__all__ = ["Origin", "RecordFrame", "RecordingInfo", "frames_by_market", "parse_line"]

_FULL = 200_000
"""After this many rows frames are given out: memory does not grow with the file."""


@dataclass(frozen=True, slots=True)
class RecordFrame:
    """Rows of one kind and market; ``exchange``, ``market`` and the ids' ``space`` are empty where records do not name them.

    ``answers`` says in which recorded answer each row came; ``None`` where rows come one after the other without holes.
    """

    frame: pl.DataFrame
    kind: str
    native: str = ""
    timeframe: str = ""
    exchange: str = ""
    market: Market | None = None
    space: str = ""
    answers: pl.Series | None = None


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What is known of recorded messages and answers besides their bytes.

    Parameters
    ----------
    name
        The name of the file.
    exchange, symbol, timeframe
        What the caller specified for all of them; empty if nothing.
    has_times
        Whether the caller gave rows a time: then those that have none of their own are accepted.
    tally
        Counts by channel what became of messages and answers.
    """

    name: str = ""
    exchange: str = ""
    symbol: str = ""
    timeframe: str = ""
    has_times: bool = False
    tally: Tally = field(default_factory=Tally)


class Origin(NamedTuple):
    """A row, its exchange and its market, as far as the file says them.

    ``answer`` is the number of the answer that brought the row, if others were recorded at other times.
    """

    row: Row
    exchange: str = ""
    market: Market | None = None
    answer: int | None = None


_Group = tuple[str, str, str, str, str, Market | None]


@dataclass
class _FrameBuilder:
    """Collects rows by kind and market, and returns them as frames."""

    groups: dict[_Group, list[tuple[Any, ...]]] = field(default_factory=dict)
    answers: dict[_Group, list[int]] = field(default_factory=dict)
    count: int = 0

    def add(self, origin: Origin) -> None:
        """Add a row."""
        row, exchange, market, answer = origin
        group = (row.kind, row.native, row.timeframe, row.space, exchange, row.market or market)
        self.groups.setdefault(group, []).append(row.values)
        if answer is not None:
            self.answers.setdefault(group, []).append(answer)
        self.count += 1

    def flush(self) -> Iterator[RecordFrame]:
        """Yield all rows as frames, and forget them."""
        for group, rows in self.groups.items():
            kind, native, timeframe, space, exchange, market = group
            answers = None
            if group in self.answers:
                answers = pl.Series(self.answers[group], dtype=pl.Int64)
            frame = _frame(kind, rows)
            yield RecordFrame(frame, kind, native, timeframe, exchange, market, space, answers)
        self.groups, self.answers, self.count = {}, {}, 0


def _frame(kind: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Return rows as a frame, whose types the mapping settles: exchanges send numbers as text and as JSON numbers."""
    columns = []
    for name, values in zip(kind_of(kind).names, zip(*rows, strict=True), strict=True):
        columns.append(pl.Series(name, values, strict=False))
    return pl.DataFrame(columns)


def frames_by_market(rows: Iterable[Origin]) -> Iterator[RecordFrame]:
    """Yield rows as frames, many at a time; the rows of one answer are never divided."""
    builder = _FrameBuilder()
    last_answer: int | None = None
    for origin in rows:
        begins_answer = origin.answer is None or origin.answer != last_answer
        if builder.count >= _FULL and begins_answer:
            yield from builder.flush()
        builder.add(origin)
        last_answer = origin.answer
    yield from builder.flush()


def parse_line(text: bytes, number: int) -> Any:
    """Return the JSON of a line.

    Raises
    ------
    InvalidData
        If it is cut short, or no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidData(f"line {number:,} is not complete JSON: {error}") from error
