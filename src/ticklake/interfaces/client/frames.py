"""Frames of a remote lake: what was known of a symbol at an instant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import polars as pl

from ticklake.core.book import Book
from ticklake.core.duration import DurationLike, format_offset
from ticklake.core.frame import Frame
from ticklake.core.frame_data import FrameData
from ticklake.core.frame_hash import hashed_columns, update_hash
from ticklake.core.frame_parts import MissingPart
from ticklake.core.frame_request import EVENT_KINDS, FrameRequest
from ticklake.core.frames import FrameBatch, Frames
from ticklake.core.instants import parse_instants
from ticklake.core.kinds import KINDS
from ticklake.core.selection import parse_names
from ticklake.core.time import TimeLike, format_time, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.interfaces.client.asking import Asking, Pin
from ticklake.interfaces.client.connection import json_of
from ticklake.interfaces.client.wire import parameters
from ticklake.interfaces.decoding import frame_from_json, from_json

__all__ = ["ReceivedFrame", "RemoteFrames"]

Names = str | Sequence[str]
_MOST = 1_000
"""Instants of one request."""


class ReceivedFrame(Frame):
    """A frame as a server sent it; its parts are made when they are looked at.

    Parameters
    ----------
    raw
        What :func:`~ticklake.interfaces.schema.to_json` made of it.
    read_book
        Returns the book of the frame, which as JSON has its rows alone.
    """

    def __init__(self, request: FrameRequest, raw: Mapping[str, Any], read_book: Callable[[], Book]) -> None:
        self._request = request
        self._raw = raw
        self._read_book = read_book
        self.at = parse_time(raw["at"])
        self.version = raw["version"]

    @property
    def exchange(self) -> str:
        """The exchange."""
        return str(self._raw["exchange"])

    @property
    def symbol(self) -> str:
        """The symbol."""
        return str(self._raw["symbol"])

    @property
    def since(self) -> int:
        """When its window begins, in nanoseconds UTC."""
        return parse_time(self._raw["since"])

    @cached_property
    def bars(self) -> dict[str, pl.DataFrame]:
        """Bars by timeframe."""
        schema = dict(KINDS["ohlcv"].schema)
        if self._request.fill:
            schema["filled"] = pl.Boolean()
        return {name: frame_from_json(rows, schema) for name, rows in self._raw["bars"].items()}

    @cached_property
    def _rows(self) -> dict[str, pl.DataFrame]:
        tables: dict[str, pl.DataFrame] = {}
        for name in EVENT_KINDS:
            tables[name] = frame_from_json(self._raw.get(name, ()), KINDS[name].schema)
        return tables

    @property
    def trades(self) -> pl.DataFrame:
        """Trades in the window."""
        return self._rows["trades"]

    @property
    def quotes(self) -> pl.DataFrame:
        """Best bids and asks in the window."""
        return self._rows["quotes"]

    @property
    def funding(self) -> pl.DataFrame:
        """Settled funding rates in the window, and at least the newest one that was known."""
        return self._rows["funding"]

    @property
    def open_interest(self) -> pl.DataFrame:
        """Open interest in the window, and at least the newest one that was known."""
        return self._rows["open_interest"]

    @cached_property
    def book(self) -> Book | None:
        """The order book, asked for when it is looked at; ``None`` if it was not asked for, or the lake has none."""
        if "book" not in self._raw:
            return None
        return self._read_book()

    @property
    def imbalances(self) -> dict[str, float | None]:
        """Mean imbalances of the book over the last 1, 5, 15 and 60 s."""
        return dict(self._raw["imbalances"])

    @property
    def indicators(self) -> dict[str, float | None]:
        """Values of the indicators at the newest bar of the first timeframe."""
        return dict(self._raw["indicators"])

    @property
    def features(self) -> Mapping[str, Any]:
        """Values of the features that were asked for, by name."""
        return dict(self._raw["features"])

    @cached_property
    def missing(self) -> tuple[MissingPart, ...]:
        """What is missing in the window, with its reason."""
        return from_json(tuple[MissingPart, ...], self._raw["missing"])

    @property
    def sources(self) -> dict[str, str]:
        """Where the rows of each part were."""
        return dict(self._raw["sources"])

    def latest_price(self) -> float | None:
        """Return the newest price that was known."""
        price: float | None = self._raw["latest_price"]
        return price

    @property
    def _fill(self) -> str | None:
        return self._request.fill

    def _hash_parts(self, digest: Any) -> None:
        for name in self.sources:
            self._hash_rows(digest, name)

    def _hash_rows(self, digest: Any, name: str) -> None:
        rows = {**self._rows, **{f"bars.{timeframe}": bars for timeframe, bars in self.bars.items()}}[name]
        if rows.height:
            digest.update(name.encode())
            update_hash(digest, hashed_columns(rows), 0, rows.height)

    def _tables(self) -> Iterator[tuple[str, pl.DataFrame]]:
        for name in EVENT_KINDS:
            if name in self._raw:
                yield name, self._rows[name]
        if self.book is not None:
            yield "book", self.book


@dataclass
class _Head:
    """What frames say of all of them."""

    request: FrameRequest
    version: int


class _ReceivedBatch(FrameBatch):
    """Frames that were received."""

    def __init__(self, head: _Head, at: Any, frames: Sequence[Frame]) -> None:
        self.at = at
        self.data = [cast(FrameData, head)]
        self._frames = frames

    def frame(self, place: int) -> Frame:
        """Return one frame."""
        return self._frames[place]


class RemoteFrames(Asking):
    """The verbs that answer with frames."""

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
        """Return what was known of a symbol at an instant: see :meth:`Lake.frame <ticklake.Lake.frame>`."""
        request = FrameRequest.of(
            exchange,
            symbol,
            window=window,
            timeframes=timeframes,  # type: ignore[arg-type]
            kinds=kinds,
            book_depth=book_depth,
            indicators=indicators,
            features=features,
            knowledge=knowledge,
            fill=fill,
        )
        asked = parameters({**_options_of(request, indicators), "at": self._instant(at), "symbol": symbol})
        answer = json_of(self._connection.get("/frame", {**asked, **self._pin.of_instant}))
        return self._received(request, answer["data"])

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
        """Return the frames of many instants: see :meth:`Lake.frames <ticklake.Lake.frames>`."""
        request = FrameRequest.of(
            exchange,
            symbol,
            window=window,
            timeframes=timeframes,  # type: ignore[arg-type]
            kinds=kinds,
            book_depth=book_depth,
            indicators=indicators,
            features=features,
            knowledge=knowledge,
            fill=fill,
        )
        times = parse_instants(instants)
        version = self._pin.version
        found: list[Frame] = []
        body = {name: value for name, value in _options_of(request, indicators).items() if value is not None}
        for start in range(0, times.size, _MOST):
            texts = list(map(format_time, times[start : start + _MOST].tolist()))
            sent = {**body, "symbol": symbol, "instants": texts, "version": version}
            answer = json_of(self._connection.send("POST", "/frames", sent, is_read=True))
            found += [self._received(request, raw) for raw in answer["data"]]
            # All are of one version, whoever writes meanwhile.
            version = answer["version"]
        if version is None:
            version = json_of(self._connection.get("/version"))["version"]
        return Frames(_ReceivedBatch(_Head(request, version), np.asarray(times, dtype=np.int64), found))

    def _received(self, request: FrameRequest, raw: Mapping[str, Any]) -> ReceivedFrame:
        of_version = Asking(self._connection, Pin(raw["version"]))
        instant = {"exchange": raw["exchange"], "symbol": raw["symbol"], "at": raw["at"]}
        options = {"depth": request.book_depth, "knowledge": request.knowledge}
        return ReceivedFrame(request, raw, lambda: of_version._ask("book", **instant, **options))


def _options_of(request: FrameRequest, indicators: Names) -> dict[str, Any]:
    """Return what a frame is to hold as it is sent."""
    kinds: list[str] | None = None
    if request.kinds is not None:
        kinds = list(request.kinds)
    return {
        "exchange": request.exchange,
        "window": format_offset(request.window),
        "timeframes": list(map(str, request.timeframes)),
        "kinds": kinds,
        "book_depth": request.book_depth,
        "indicators": parse_names("indicators", indicators or ()),
        "features": list(request.features),
        "knowledge": request.knowledge,
        "fill": request.fill,
    }
