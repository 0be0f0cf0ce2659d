"""Bars: stored ones, adjusted ones, and those made of trades or shorter bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.lake.arguments import Columns, DatasetLike, known_dataset
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from ticklake.core.adjust import Adjust
    from ticklake.core.gaps import Gap

__all__ = ["BarVerbs"]


class BarVerbs(Reading):
    """The methods that answer with bars."""

    def ohlcv(
        self,
        exchange: str,
        symbol: str,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
        columns: Columns | None = None,
        last: int | None = None,
    ) -> pl.DataFrame:
        """Return bars: ``ts`` (open time), open, high, low, close, volume, quote_volume, trades.

        Stored prices are raw. With *adjust* they are returned as they look after the newest event that the lake holds:
        ``splits`` divides prices before a split by its ratio and multiplies volumes; ``all`` also multiplies prices
        before a dividend by ``1 - dividend / close of the session before``. The formula is CRSP's
        (:mod:`ticklake.core.adjust`).

        Raises
        ------
        BadInput
            If the symbol's splits or dividends were never brought in.
        """
        dataset = Dataset.of(exchange, symbol, "ohlcv", timeframe)
        if adjust is None:
            return self.load(dataset, start, end, columns=columns, last=last)
        # Imported on use, as in many methods here: a lake that only loads rows opens faster.
        from ticklake.query.adjust import load_adjusted

        dataset = known_dataset(self.engine, dataset)
        zone = self.engine.sessions.zone(dataset.exchange)
        rows = load_adjusted(self.engine.store, dataset, Span.parse(start, end), adjust, zone)
        return _narrowed(rows, columns, last)

    def candles(
        self,
        exchange: str,
        symbol: str,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        adjust: Adjust | None = None,
        last: int | None = None,
    ) -> alt.VConcatChart:
        """Return bars as a chart of Altair, which notebooks draw: candles, volume, and holes in the colour of their reason.

        It can be moved and zoomed, and stored with its method ``save("chart.html")``. Times are UTC. The newest 500 bars
        are drawn if neither a bound nor *last* is given.

        Raises
        ------
        BadInput
            If there are no bars, or more than 10,000.
        MissingExtra
            If Altair is not installed: the extra ``plot``.
        """
        from ticklake.audit.gaps import gap_report
        from ticklake.core.knowledge import happened_at
        from ticklake.lake.candles import FEW_BARS, draw_candles

        if start is None and end is None and last is None:
            last = FEW_BARS
        dataset = known_dataset(self.engine, Dataset.of(exchange, symbol, "ohlcv", timeframe))
        bars = self.ohlcv(dataset.exchange, str(dataset.symbol), timeframe, start, end, adjust=adjust, last=last)
        gaps: Sequence[Gap] = ()
        if not bars.is_empty():
            span = Span(int(bars["ts"].to_physical()[0]), int(happened_at(bars, dataset)[-1]))
            gaps = gap_report(self.engine, dataset, span).gaps
        return draw_candles(bars, dataset, gaps)

    def resample(
        self,
        dataset: DatasetLike,
        timeframe: str | Timeframe,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        partial: bool = False,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows.

        These are the whole bars that open in ``[start, end)``, as if they were stored: *start* and *end* do not cut through a
        bar. A bar whose beginning or end the rows do not reach, like the newest one while it goes on, is left out. Of trades
        that were only imported or saved nobody knows whether more follow: there the clock alone says whether a bar is over.
        Rows are streamed: memory does not grow with them.

        Parameters
        ----------
        partial
            Make bars of exactly the rows in ``[start, end)`` instead, also the first and the last one, which may be cut.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        Unsupported
            If the dataset holds neither trades nor bars of which *timeframe* is a whole multiple.
        """
        from ticklake.query.resample import resample, whole_bars_in

        dataset = known_dataset(self.engine, dataset)
        length = Timeframe.parse(timeframe)
        span: Span | None = Span.parse(start, end)
        if not partial:
            span = whole_bars_in(self.engine.store, dataset, Span.parse(start, end), length)
        bars = resample(self.engine.store, dataset, span, length)
        return _narrowed(bars, columns, last)


def _narrowed(bars: pl.DataFrame, columns: Columns | None, last: int | None) -> pl.DataFrame:
    names = parse_columns(kind_of("ohlcv"), columns, with_provenance=False)
    if last is not None:
        bars = bars.tail(parse_count("last", last))
    if names is not None:
        bars = bars.select(names)
    return bars
