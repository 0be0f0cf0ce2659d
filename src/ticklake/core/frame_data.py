"""What frames are cut from, and the cut of each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.frame_parts import Absent, PartData
from ticklake.core.frame_request import FrameRequest
from ticklake.core.kinds import KINDS
from ticklake.core.span import ALL_TIME

if TYPE_CHECKING:
    from ticklake.core.book import Book
    from ticklake.core.timeline import Times, Windows

__all__ = ["BookReads", "Cut", "FrameData"]

_Places = list[list[Any]]
"""The columns of :class:`~ticklake.core.timeline.Windows` as lists."""


@dataclass(eq=False)
class BookReads:
    """Reads the books of frames, and their imbalances: of all frames at once, on first use.

    ``is_named`` is whether somebody asked for the book by name.
    """

    dataset: Dataset
    is_named: bool
    read: Callable[[int], Book]
    read_imbalances: Callable[[Times], pl.DataFrame]
    at: Times

    @cached_property
    def imbalances(self) -> dict[int, dict[str, float | None]]:
        """Imbalances by instant."""
        rows = self.read_imbalances(self.at).drop("ts")
        return dict(zip(self.at.tolist(), rows.iter_rows(named=True), strict=True))


@dataclass(eq=False)
class FrameData:
    """What frames are cut from: the parts of all of them, and their instants."""

    request: FrameRequest
    version: int
    at: Times
    parts: dict[str, PartData]
    """By name: ``bars.1m``, ``trades``, ..."""
    absent: tuple[Absent, ...] = ()
    books: BookReads | None = None
    features: Callable[[int], Mapping[str, Any]] | None = None
    _windows: dict[str, Windows] = field(default_factory=dict)
    _places: dict[str, _Places] = field(default_factory=dict)

    @cached_property
    def since(self) -> Times:
        """When each window begins."""
        return self.request.since(self.at)

    def windows(self, name: str) -> Windows:
        """Return where the rows of a part are, for all frames at once."""
        windows = self._windows.get(name)
        if windows is None:
            windows = self._windows[name] = self.parts[name].windows(self.since, self.at)
        return windows

    def places(self, name: str) -> _Places:
        """Return where the rows of a part are, as plain values: they are looked up faster one by one."""
        places = self._places.get(name)
        if places is None:
            places = self._places[name] = [column.tolist() for column in self.windows(name)]
        return places

    @cached_property
    def indicators(self) -> dict[str, Any]:
        """The values of indicators of all frames whose newest bars are plain, by output."""
        from ticklake.core.indicators import compute_at

        part = self.parts[self.bars_of_indicators]
        return compute_at(part.rows.rows, self.windows(part.name).last, self.request.indicators)

    @property
    def bars_of_indicators(self) -> str:
        """The part from which indicators are computed: the bars of the first timeframe."""
        return f"bars.{self.request.timeframes[0]}"


class Cut:
    """What one frame has of the data of many: the rows of its parts, its book and its values."""

    def __init__(self, data: FrameData, place: int) -> None:
        self.data = data
        self._place = place
        self.at = int(data.at[place])

    @property
    def since(self) -> int:
        """When its window begins, in nanoseconds UTC."""
        return int(self.data.since[self._place])

    def places(self, name: str) -> tuple[int, int, bool]:
        """Return where the rows of a part are, and whether that is a plain slice."""
        first, last, plain = self.data.places(name)
        return first[self._place], last[self._place], plain[self._place]

    def rows(self, name: str) -> pl.DataFrame:
        """Return the rows of a part; none if it is not there."""
        part = self.data.parts.get(name)
        if part is None:
            kind = name.partition(".")[0].replace("bars", "ohlcv")
            return KINDS[kind].no_rows
        first, last, plain = self.places(name)
        if plain:
            return part.rows.rows.slice(first, last - first)
        return part.rows.known_rows(self.since, self.at, keeps_newest=part.keeps_newest)

    @cached_property
    def book(self) -> Book | None:
        """The order book; ``None`` if it was not asked for, or the lake has none."""
        if self.data.books is None:
            return None
        return self.data.books.read(self.at)

    @property
    def features(self) -> Mapping[str, Any]:
        """Values of the features that were asked for, by name."""
        if self.data.features is None:
            return {}
        return self.data.features(self.at)

    @cached_property
    def indicators(self) -> dict[str, float | None]:
        """Values of the indicators, by output."""
        from ticklake.core.indicators import compute

        data = self.data
        if not data.request.indicators:
            return {}
        # Of many frames, the values are computed at once: only where rows came late, each has bars of its own.
        if not self._has_plain_warm_up:
            return compute(self.warm_up_bars(), data.request.indicators)
        if len(data.at) == 1:
            return dict(self._values_at_newest_bar())
        values: dict[str, float | None] = {}
        for name, column in data.indicators.items():
            values[name] = float(column[self._place])
            if np.isnan(column[self._place]):
                values[name] = None
        return values

    def _values_at_newest_bar(self) -> dict[str, float | None]:
        """Return the values of the indicators. Until another bar closes they stay the same: they are kept for the next frames."""
        from ticklake.core.indicators import compute

        part = self.data.parts[self.data.bars_of_indicators]
        _, last, _ = self.places(part.name)
        key = (last, self.data.request.indicators)
        if part.rows.values is None or part.rows.values[0] != key:
            part.rows.values = (key, compute(self.warm_up_bars(), self.data.request.indicators))
        return part.rows.values[1]

    @property
    def _has_plain_warm_up(self) -> bool:
        """Whether the bars of which indicators are computed are a slice of those that were read."""
        part = self.data.parts.get(self.data.bars_of_indicators)
        if part is None:
            return False
        _, last, plain = self.places(part.name)
        known = part.rows.known[max(last - self.data.request.warm_up, 0) : last]
        return plain and not (known > self.at).any()

    def warm_up_bars(self) -> pl.DataFrame:
        """Return the newest bars that were known, as many as the indicators need."""
        part = self.data.parts.get(self.data.bars_of_indicators)
        if part is None:
            return self.rows(self.data.bars_of_indicators)
        count = self.data.request.warm_up
        if not self._has_plain_warm_up:
            return part.rows.newest_known(self.at, count)
        _, last, _ = self.places(part.name)
        return part.rows.rows.slice(max(last - count, 0), min(count, last))

    def latest_price(self) -> float | None:
        """Return the newest price that was known: that of the newest trade, or the close of a bar that is newer."""
        newest, price = ALL_TIME.start, None
        for name, part in self.data.parts.items():
            if name != "trades" and not name.startswith("bars."):
                continue
            moment, value = self._last_price(part)
            # At one time, a trade says it more exactly than a bar.
            if value is not None and (moment > newest or (moment == newest and name == "trades")):
                newest, price = moment, value
        return price

    def _last_price(self, part: PartData) -> tuple[int, float | None]:
        """Return when the newest row of a part happened, and its price."""
        first, last, plain = self.places(part.name)
        # Arrays of all rows are worth it if many frames look into them.
        if plain and len(self.data.at) > 1:
            if first == last:
                return ALL_TIME.start, None
            return int(part.rows.happened[last - 1]), float(part.prices[last - 1])
        rows = self.rows(part.name).tail(1)
        if not rows.height:
            return ALL_TIME.start, None
        column = "close"
        if part.name == "trades":
            column = "price"
        return int(part.happened_at(rows)[0]), float(rows[column][0])
