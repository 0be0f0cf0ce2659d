"""Frames: what was known of a symbol at an instant, as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core import frame_convert
from ticklake.core.frame_data import Cut, FrameData
from ticklake.core.frame_hash import hashed_columns, update_hash
from ticklake.core.frame_missing import filled_bars, missing_parts
from ticklake.core.frame_parts import MissingPart, PartData
from ticklake.core.frame_request import EVENT_KINDS
from ticklake.core.time import format_time

if TYPE_CHECKING:
    from ticklake.core.book import Book

__all__ = ["Frame"]


class Frame:
    """What was known of a symbol at an instant: bars, trades, the book, funding, open interest, indicators, features.

    A row is in it if it was knowable: see :mod:`ticklake.core.knowledge`. Its parts are read when they are looked at; what they hold was
    decided when the frame was made. Do not change them.

    Attributes
    ----------
    at
        The instant, in nanoseconds UTC.
    exchange, symbol
        What it is of.
    version
        The version of the lake that it was read from.
    """

    def __init__(self, data: FrameData, place: int) -> None:
        self._data = data
        self._cut = Cut(data, place)
        self.at = self._cut.at
        self.version = data.version

    @property
    def exchange(self) -> str:
        """The exchange."""
        return self._data.request.exchange

    @property
    def symbol(self) -> str:
        """The symbol."""
        return str(self._data.request.symbol)

    @property
    def since(self) -> int:
        """When its window begins, in nanoseconds UTC."""
        return self._cut.since

    @cached_property
    def bars(self) -> dict[str, pl.DataFrame]:
        """Bars by timeframe: those that closed in the window, and at least the newest one that was known."""
        bars: dict[str, pl.DataFrame] = {}
        for timeframe in self._data.request.timeframes:
            name = f"bars.{timeframe}"
            rows = self._cut.rows(name)
            if self._data.request.fill:
                holes = [part for part in self.missing if part.part == name]
                rows = filled_bars(rows, self._data.request.dataset("ohlcv", timeframe), holes)
            bars[str(timeframe)] = rows
        return bars

    @property
    def trades(self) -> pl.DataFrame:
        """Trades in the window."""
        return self._cut.rows("trades")

    @property
    def quotes(self) -> pl.DataFrame:
        """Best bids and asks in the window."""
        return self._cut.rows("quotes")

    @property
    def funding(self) -> pl.DataFrame:
        """Settled funding rates in the window, and at least the newest one that was known."""
        return self._cut.rows("funding")

    @property
    def open_interest(self) -> pl.DataFrame:
        """Open interest in the window, and at least the newest one that was known."""
        return self._cut.rows("open_interest")

    @property
    def book(self) -> Book | None:
        """The order book; ``None`` if it was not asked for, or the lake has none."""
        return self._cut.book

    @property
    def imbalances(self) -> dict[str, float | None]:
        """Mean imbalances of the book over the last 1, 5, 15 and 60 s, like ``imbalance_5s``; ``None`` where a book is missing."""
        if self._data.books is None:
            return {}
        return self._data.books.imbalances[self.at]

    @property
    def indicators(self) -> dict[str, float | None]:
        """Values of the indicators at the newest bar of the first timeframe; ``None`` where there are too few bars."""
        return self._cut.indicators

    @property
    def features(self) -> Mapping[str, Any]:
        """Values of the features that were asked for, by name like ``momentum@v3:ret_5m``; ``None`` where none was known."""
        return self._cut.features

    @cached_property
    def missing(self) -> tuple[MissingPart, ...]:
        """What is missing in the window, with its reason; also what is absent although nothing is missing (``no_trades``, ``outage``)."""
        return missing_parts(self._cut)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; where there was nothing to be had, nothing is."""
        return not any(map(attrgetter("is_missing"), self.missing))

    @property
    def sources(self) -> dict[str, str]:
        """Where the rows of each part were: ``cache``, ``inline`` in the catalog, or ``files``; and of what bars were made."""
        sources: dict[str, str] = {}
        for name, part in self._data.parts.items():
            sources[name] = part.source(self.since, self.at)
            if part.base is not None:
                sources[name] += f", made of {part.facts.dataset}"
        return sources

    def latest_price(self) -> float | None:
        """Return the newest price that was known: that of the newest trade, or the close of a bar that is newer."""
        return self._cut.latest_price()

    def digest(self) -> bytes:
        """Return a hash of everything in it but its sources: equal frames have equal ones, on any machine."""
        digest = blake2b(digest_size=16)
        digest.update(f"{self.at} {self.since} {self.exchange} {self.symbol} {self._fill}".encode())
        self._hash_parts(digest)
        if self.book is not None and not self.book.reason:
            update_hash(digest, hashed_columns(self.book), 0, self.book.height)
            digest.update(repr(list(self.imbalances.items())).encode())
        digest.update(repr(list(self.indicators.items())).encode())
        digest.update(repr(sorted(self.features.items())).encode())
        digest.update(repr(self.missing).encode())
        return digest.digest()

    @property
    def _fill(self) -> str | None:
        return self._data.request.fill

    def _hash_parts(self, digest: Any) -> None:
        for part in self._data.parts.values():
            self._hash_part(digest, part)

    def _hash_part(self, digest: Any, part: PartData) -> None:
        first, last, plain = self._cut.places(part.name)
        # A part without rows equals one that the lake does not have: that it will have one is not known.
        if plain and not self._data.request.fill and len(self._data.at) > 1:
            # Of many frames, the columns are made ready once.
            if first < last:
                digest.update(part.name.encode())
                update_hash(digest, part.columns, first, last)
            return
        rows = self._cut.rows(part.name)
        if self._data.request.fill and part.name.startswith("bars."):
            rows = self.bars[part.name.removeprefix("bars.")]
        if rows.height:
            digest.update(part.name.encode())
            update_hash(digest, hashed_columns(rows), 0, rows.height)

    def to_dict(self, rows: Callable[[pl.DataFrame], Any] = pl.DataFrame.to_dicts) -> dict[str, Any]:
        """Return it as plain values of Python: *rows* as lists of mappings, unless they are to be something else."""
        return {
            "exchange": self.exchange,
            "symbol": self.symbol,
            "at": format_time(self.at),
            "since": format_time(self.since),
            "version": self.version,
            "latest_price": self.latest_price(),
            "complete": self.complete,
            "missing": list(map(MissingPart.to_dict, self.missing)),
            "sources": self.sources,
            **self._converted(rows),
            "imbalances": dict(self.imbalances),
            "indicators": dict(self.indicators),
            "features": dict(self.features),
        }

    def to_numpy(self) -> dict[str, Any]:
        """Return its parts as arrays, by column: times as ``datetime64[ns]``, indicators as numbers (NaN for ``None``)."""
        return {**self._converted(frame_convert.numpy_columns), **self._numbers()}

    def to_pandas(self) -> dict[str, Any]:
        """Return its parts as frames of pandas.

        Raises
        ------
        BadInput
            If pandas is not installed.
        """
        frame_convert.import_pandas()
        return {**self._converted(frame_convert.pandas_frame), **self._numbers()}

    def to_torch(self) -> dict[str, Any]:
        """Return the numeric columns of its parts as tensors; times are integers of nanoseconds.

        Raises
        ------
        BadInput
            If PyTorch is not installed.
        """
        torch = frame_convert.import_torch()
        plain = {**self._converted(frame_convert.torch_columns), **self._numbers()}
        for name in ("imbalances", "indicators"):
            for key, value in plain[name].items():
                plain[name][key] = torch.tensor(value)
        return plain

    def __repr__(self) -> str:
        held: list[str] = []
        for name, bars in self.bars.items():
            held.append(f"{bars.height:,} bars {name}")
        for name, rows in self._tables():
            if rows.height:
                held.append(f"{rows.height:,} {name}")
        if self.indicators:
            held.append(f"{len(self.indicators)} indicators")
        state = "incomplete"
        if self.complete:
            state = "complete"
        held.append(state)
        return f"Frame({self.exchange} {self.symbol} at {format_time(self.at)}: {', '.join(held)})"

    def _repr_html_(self) -> str:
        from html import escape

        caption = escape(f"{self.exchange} {self.symbol} at {format_time(self.at)}")
        body = ""
        for name, text in self._lines():
            body += f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        return f"<table><caption>{caption}</caption>{body}</table>"

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield what a notebook shows of it, line by line."""
        yield "latest price", str(self.latest_price())
        yield "version", str(self.version)
        for timeframe, bars in self.bars.items():
            yield f"bars {timeframe}", f"{bars.height:,} rows"
        for name, rows in self._tables():
            yield name, f"{rows.height:,} rows"
        for name, value in {**self.imbalances, **self.indicators, **self.features}.items():
            yield name, str(value)
        for part in self.missing:
            yield "missing", str(part)

    def _tables(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the parts that are rows, besides bars."""
        kinds = self._data.request.kinds
        for name in EVENT_KINDS:
            if kinds is None or name in kinds:
                yield name, self._cut.rows(name)
        if self.book is not None:
            yield "book", self.book

    def _converted(self, convert: Callable[[pl.DataFrame], Any]) -> dict[str, Any]:
        """Return all parts that are rows, each in another form."""
        bars: dict[str, Any] = {}
        for timeframe, rows in self.bars.items():
            bars[timeframe] = convert(rows)
        converted: dict[str, Any] = {"bars": bars}
        for name, rows in self._tables():
            converted[name] = convert(rows)
        return converted

    def _numbers(self) -> dict[str, Any]:
        """Return all values that are no rows; those that are missing as NaN."""
        numbers: dict[str, Any] = {"imbalances": {}, "indicators": {}, "features": dict(self.features)}
        for name, values in (("imbalances", self.imbalances), ("indicators", self.indicators)):
            for key, value in values.items():
                numbers[name][key] = value
                if value is None:
                    numbers[name][key] = float("nan")
        return numbers
