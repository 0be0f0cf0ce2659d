"""Whether messages follow each other: the numbers of trades and of books, as the exchange counts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ticklake.core.checks import plausible_times
from ticklake.core.dataset import Dataset
from ticklake.core.sequence import Jump, has_numbers
from ticklake.core.span import Span
from ticklake.core.time import DAY, MINUTE
from ticklake.sources.live.base import Control, RowKey
from ticklake.sources.wire.reading import Mark
from ticklake.sources.wire.rows import Row, row_key

__all__ = ["Chain", "TradeIds", "complete_bars", "gap_of"]

_DOUBTFUL = 1_000_000
"""A jump over more ids than this may be a mistake in one of them: the next trade tells."""


@dataclass(slots=True)
class _Seen:
    """The first and the last trade of a stream, by number, with their times, and the numbering of their ids."""

    first: int
    first_ts: int
    last: int
    last_ts: int
    space: str
    doubted: tuple[int, int] | None = None
    """The last trade before a doubtful jump, and its time."""


@dataclass
class TradeIds:
    """Follows the ids of trades that are numbered without holes, for each stream of one connection."""

    _seen: dict[Dataset, _Seen] = field(default_factory=dict)
    _by_key: dict[RowKey, _Seen] = field(default_factory=dict)
    """The same by the key of the rows, which is quicker to look up."""
    _numbered: dict[tuple[Dataset, str], bool] = field(default_factory=dict)

    def gaps(self, rows: Sequence[Row], datasets: Mapping[RowKey, Dataset], at: int) -> list[Control]:
        """Take the rows of a message; return the gaps before or between its trades, where ids are numbered without holes."""
        if len(rows) == 1 and self._leads_on(rows[0], datasets):
            return []
        numbered: dict[tuple[Dataset, str], list[tuple[int, int]]] = {}
        for row in rows:
            if row.kind == "trades" and row.values[2] is not None:
                dataset = datasets[row.kind, row.native, row.timeframe]
                # A trade without a possible time is refused by the lake: its number is one of those that are missing.
                if not plausible_times(row.values[:1], at):
                    continue
                if self._is_numbered(dataset, row.space):
                    numbered.setdefault((dataset, row.space), []).append((int(row.values[2]), row.values[0]))
        controls: list[Control] = []
        for (dataset, space), trades in numbered.items():
            controls += [gap_of(jump, dataset, at) for jump in self.follow(dataset, trades, space)]
        return controls

    def _leads_on(self, row: Row, datasets: Mapping[RowKey, Dataset]) -> bool:
        """Take a trade if it is the next one of its stream, as nearly all are that come alone."""
        key = row_key(row)
        seen = self._by_key.get(key)
        if seen is None:
            seen = self._seen.get(datasets[key])
            if seen is None:
                return False
            self._by_key[key] = seen
        if row.values[2] != str(seen.last + 1) or row.space != seen.space:
            return False
        ts = row.values[0]
        # Whether a time is possible is looked at if it is far from the one before: to ask each would take longer than all the rest.
        if not isinstance(ts, int) or abs(ts - seen.last_ts) > DAY:
            return False
        seen.last += 1
        seen.last_ts = ts
        seen.doubted = None
        return True

    def _is_numbered(self, dataset: Dataset, space: str) -> bool:
        is_numbered = self._numbered.get((dataset, space))
        if is_numbered is None:
            is_numbered = self._numbered[dataset, space] = has_numbers(dataset, space)
        return is_numbered

    def follow(self, dataset: Dataset, trades: list[tuple[int, int]], space: str = "") -> list[Jump]:
        """Take the trades of a message, each its id and time; return what is missing before or between them.

        Trades that came before are passed over: exchanges repeat some after a reconnect.
        """
        jumps = []
        for number, ts in sorted(trades):
            seen = self._seen.get(dataset)
            if seen is None:
                self._seen[dataset] = _Seen(number, ts, number, ts, space)
                continue
            if seen.doubted is not None:
                if number < seen.last - _DOUBTFUL:
                    seen.last, seen.last_ts = seen.doubted
                seen.doubted = None
            if number > seen.last + 1:
                jumps.append(Jump(seen.last_ts, ts, seen.last + 1, number - 1))
            if number > seen.last + _DOUBTFUL:
                seen.doubted = seen.last, seen.last_ts
            if number > seen.last:
                seen.last, seen.last_ts = number, ts
            elif ts > seen.last_ts + MINUTE:
                # A repeated trade is not newer than the last one: the exchange counts anew.
                seen.first = seen.last = number
                seen.first_ts = seen.last_ts = ts
        return jumps

    def continue_from(self, before: TradeIds) -> Iterator[tuple[Dataset, Jump]]:
        """Take over from a connection that has ended; yield what neither it nor this one brought, by stream."""
        for dataset, old in before._seen.items():
            new = self._seen.get(dataset)
            if new is None:
                self._seen[dataset] = old
                continue
            if new.first > old.last + 1:
                yield dataset, Jump(old.last_ts, new.first_ts, old.last + 1, new.first - 1)
            if old.last > new.last:
                new.last, new.last_ts = old.last, old.last_ts


class Chain:
    """Follows the numbers of one book, or of one connection: each message must lead on from the one before."""

    def __init__(self) -> None:
        self.last: int | None = None

    def follow(self, mark: Mark) -> Literal["follows", "repeated", "broken"]:
        """Take the next mark.

        A broken chain stays at the last number that was right, so that the missing ones can be named.
        """
        if mark.last is None:
            return "follows"
        last = self.last
        if last is None or mark.starts:
            self.last = mark.last
            return "follows"
        if mark.previous is not None and mark.previous == last:
            self.last = mark.last
            return "follows"
        if mark.last <= last:
            return "repeated"
        if mark.previous is None and mark.first is not None and mark.first <= last + 1:
            self.last = mark.last
            return "follows"
        return "broken"


def gap_of(jump: Jump, dataset: Dataset, at: int) -> Control:
    """Return the control event of missing trades."""
    return Control("gap", at, dataset, "ids are missing", jump.span, jump.first, jump.last)


def complete_bars(rows: Iterable[Row], datasets: Mapping[RowKey, Dataset], at: int) -> tuple[Control, ...]:
    """Return the control events that the intervals of the bars among *rows* are over; they follow the bars."""
    controls: list[Control] = []
    for row in rows:
        if row.kind == "ohlcv":
            dataset = datasets[row.kind, row.native, row.timeframe]
            span = Span(row.values[0], dataset.row_end(row.values[0]))
            controls.append(Control("interval_complete", at, dataset, span=span))
    return tuple(controls)
