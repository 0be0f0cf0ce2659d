"""Frames: what was known of a symbol at an instant."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ticklake.core.time import TimeLike, format_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidTime, UnknownDataset
from ticklake.lake.arguments import known_dataset
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    import polars as pl

    from ticklake.core.dataset import Dataset
    from ticklake.core.duration import DurationLike
    from ticklake.core.frame import Frame
    from ticklake.core.frame_request import FrameRequest
    from ticklake.core.frames import FrameBatch, Frames
    from ticklake.engine.engine import Engine
    from ticklake.query.frames import FrameReader

__all__ = ["FrameVerbs"]

Names = str | Sequence[str]
_MAKING = threading.Lock()


class FrameVerbs(Reading):
    """The methods that answer with frames."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._reader: FrameReader | None = None

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
        """Return what was known of a symbol at an instant: bars, trades, quotes, the book, funding, open interest, indicators.

        A frame of now and one of years ago have the same parts and the same bytes for the same rows. What was not knowable at the instant
        is not in it: see docs/how-to/no-lookahead.md. What is missing in the window is listed in ``missing``, never filled in.

        Parameters
        ----------
        at
            The instant; now, by default. What happened at the instant itself is known.
        window
            How much time before the instant: bars that closed in it, and other rows that happened in it.
        timeframes
            Of bars; those that the lake does not have are made of shorter ones, or of trades. Of each there is at least the newest bar that
            was known.
        kinds
            Which rows besides bars: ``trades``, ``quotes``, ``funding``, ``open_interest``, ``book``; by default all that the lake
            has. Of funding and open interest there is at least the newest row that was known.
        book_depth
            How many levels of the book a side; all by default.
        indicators
            Names like ``sma_20``, of the bars of the first timeframe: see docs/reference/indicators.md.
        features
            Names like ``momentum@v1:ret_5m``: their newest values that were known at the instant.
        knowledge
            ``default``: live rows are known when they were received, all others when they happened (bars: closed), and the lag of
            the settings later. ``received``: strictly when rows were received. ``event``: when they happened, whoever knew of it.
        fill
            ``forward`` repeats the last close where bars are missing, and marks these bars in a column ``filled``.

        Raises
        ------
        UnknownDataset
            If the lake has nothing of the symbol.
        InvalidTime
            If the instant is in the future.
        MissingExtra
            If indicators are asked for, and TA-Lib is not installed.
        BadInput
            If another value is none that it can have.
        """
        from ticklake.core.frame_request import FrameRequest

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
        now = self.engine.now()
        return self._batch(request, [now if at is None else at], now).frame(0)

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
        """Return the frames of many instants, read in one pass: each equals that of :meth:`frame`.

        Parameters
        ----------
        instants
            Times in any order: a list, an array of ``datetime64`` or of nanoseconds, a series of Polars, an index of pandas.
        """
        from ticklake.core.frame_request import FrameRequest
        from ticklake.core.frames import Frames

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
        return Frames(self._batch(request, instants, self.engine.now()))

    def _batch(self, request: FrameRequest, instants: Any, now: int) -> FrameBatch:
        from ticklake.core.instants import parse_instants

        at = parse_instants(instants)
        if at.size and int(at.max()) > now:
            latest = format_time(int(at.max()))
            raise InvalidTime(
                f"at={latest} is in the future, of which nothing is known: by the lake's clock it is {format_time(now)}"
            )
        if request.indicators:
            from ticklake.core.indicators import compute
            from ticklake.core.kinds import KINDS

            # They are computed when they are looked at: whether they can be is said now.
            compute(KINDS["ohlcv"].empty(), ())
        reader = self._frame_reader()
        try:
            return reader.read(request, at)
        except UnknownDataset as error:
            return reader.read(self._by_native_name(request, error), at)

    def _by_native_name(self, request: FrameRequest, error: UnknownDataset) -> FrameRequest:
        """Return the request with the unified symbol of a market, if it was named by the exchange's own id."""
        from ticklake.core.frame_request import FRAME_KINDS

        first: UnknownDataset | None = None
        names = [request.dataset("ohlcv", timeframe) for timeframe in request.timeframes]
        for dataset in [*names, *map(request.dataset, FRAME_KINDS)]:
            try:
                symbol = known_dataset(self.engine, dataset).symbol
            except UnknownDataset as unknown:
                first = first or unknown
                continue
            return replace(request, symbol=symbol)
        raise first or error

    def _frame_reader(self) -> FrameReader:
        from ticklake.query.frames import FrameReader

        if self._reader is None:
            with _MAKING:
                if self._reader is None:
                    self._reader = FrameReader(self.engine, self._live_rows)
        return self._reader

    def _live_rows(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return the newest rows of a dataset that this process collects: a version of the lake has none."""
        del dataset
        return None
