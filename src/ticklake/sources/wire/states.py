"""What several messages of a connection say together: bars that a later one closes, tickers of which only changes are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from ticklake.core.fetch_plan import FINAL_AFTER
from ticklake.core.live_coverage import Advance
from ticklake.core.timeframe import Timeframe
from ticklake.sources.wire.reading import Memory, check_rows
from ticklake.sources.wire.rows import Row

__all__ = ["best", "closed", "merged", "newest_time", "number_by_time", "open_bars", "overdue", "timeframe_of"]

_UNITS = (("w", 10_080), ("d", 1_440), ("h", 60))


def timeframe_of(minutes: int) -> str:
    """Return the timeframe of so many minutes.

    >>> timeframe_of(5), timeframe_of(240), timeframe_of(1440)
    ('5m', '4h', '1d')
    """
    for letter, length in _UNITS:
        if minutes % length == 0:
            return f"{minutes // length}{letter}"
    return f"{minutes}m"


def closed(memory: Memory, bars: Iterable[Row], heard: int | None) -> Iterator[Row]:
    """Yield the bars that are over: those of which a later bar of the same series came, and not again those given before.

    For exchanges that send a bar again and again while it grows, without saying which time was the last. A single bar that is far ahead
    of time closes none.
    """
    for bar in chain.from_iterable(_believed(memory, bar, heard) for bar in sorted(bars, key=_start)):
        series = ("bar", bar.kind, bar.native, bar.timeframe)
        open_bar = memory.get(series)
        if open_bar is not None and bar.values[0] < open_bar.values[0]:
            continue
        if open_bar is not None and bar.values[0] > open_bar.values[0] and open_bar != memory.get(_given(open_bar)):
            yield open_bar
        memory[series] = bar


def open_bars(memory: Memory) -> list[Row]:
    """Return the newest bar of each series, that no later one has closed."""
    return [bar for key, bar in memory.items() if key[0] == "bar"]


def overdue(memory: Memory, bars: Iterable[Row], now: int) -> Iterator[Row]:
    """Yield those of the open *bars* that should be final at *now*, the exchange's time: each once, and again if it still changes."""
    for bar in bars:
        # Of months, which have no one length, the longest: none ends too soon.
        end = bar.values[0] + _length(bar.timeframe)
        if end + FINAL_AFTER <= now and bar != memory.get(_given(bar)):
            memory[_given(bar)] = bar
            yield bar


def _given(bar: Row) -> tuple[str, ...]:
    return ("given", bar.kind, bar.native, bar.timeframe)


def _believed(memory: Memory, bar: Row, heard: int | None) -> list[Row]:
    """Return a bar, with one that was doubted and is as far ahead; none if it is doubted itself."""
    # It may be given out later without its message.
    check_rows((bar,))
    series = (bar.kind, bar.native, bar.timeframe)
    advance: Advance = memory.setdefault(("advance", *series), Advance())
    if not advance.follows(_start(bar), heard, _length(bar.timeframe)):
        memory["doubted", *series] = bar
        return []
    doubted = memory.pop(("doubted", *series), None)
    if doubted is not None and _start(doubted) < _start(bar):
        return [doubted, bar]
    return [bar]


@lru_cache
def _length(timeframe: str) -> int:
    return Timeframe.parse(timeframe).length


def _start(bar: Row) -> int:
    return int(bar.values[0])


def newest_time(memory: Memory, key: tuple[str, ...], ts: int, heard: int | None) -> int:
    """Return the newest time so far of something whose times do not go back, of which *ts* is the next one; without one far ahead by itself."""
    newest: int = memory.get(key, 0)
    advance: Advance = memory.setdefault(("advance", *key), Advance())
    if advance.follows(ts, heard) or not newest:
        newest = max(newest, ts)
    memory[key] = newest
    return newest


def merged(memory: Memory, key: tuple[str, ...], part: Mapping[str, Any], *, whole: bool) -> Mapping[str, Any] | None:
    """Return all fields of something of which *part* came last; ``None`` if it was never sent as a whole."""
    if whole:
        memory[key] = dict(part)
        return part
    known: dict[str, Any] | None = memory.get(key)
    if known is not None:
        known.update(part)
    return known


def number_by_time(memory: Memory, native: str, ts: int, sides: Mapping[str, Any]) -> int:
    """Return the number of a whole book by its time. Another book of the same millisecond gets the next number: else they would be one.

    >>> memory = {}
    >>> [number_by_time(memory, "M", 5, {"bid": bids}) for bids in ([1], [2], [2])]
    [5, 6, 6]
    """
    number = ts
    last_ts, last_number, last_sides = memory.get(("book", native), (None, ts, None))
    if last_ts == ts:
        number = last_number if last_sides == sides else last_number + 1
    memory["book", native] = (ts, number, sides)
    return number


def best(price: Any, amount: Any) -> tuple[Any, Any]:
    """Return a side of a quote. Exchanges write nothing, an empty text or 0 for a side without orders.

    >>> best("0.5", "3"), best("0.0", "0"), best("", "")
    (('0.5', '3'), (None, None), (None, None))
    """
    if price is None or price == "" or float(price) == 0:
        return None, None
    return price, amount
