"""Bars: stored ones, adjusted ones, and those made of trades or shorter bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import kind_of
from ticklake.core.selection import parse_columns, parse_count
from ticklake.core.span import Span
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadInput
from ticklake.lake.arguments import Columns, DatasetLike, known_dataset
from ticklake.lake.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from ticklake.core.adjust import Adjust
    from ticklake.core.bars import Bars
    from ticklake.core.gaps import Gap

__all__ = ["BarVerbs"]

_SIDES = frozenset({"buy_volume", "sell_volume"})


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
        rule: str | Timeframe | Bars | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        columns: Columns | None = None,
        last: int | None = None,
        partial: bool = False,
        timeframe: str | Timeframe | None = None,
        **edges: Any,
    ) -> pl.DataFrame:
        """Return bars made from trades or from shorter bars: columns of kind ``ohlcv``, none where there were no rows.

        These are the whole bars that open in ``[start, end)``, as if they were stored: *start* and *end* do not cut through a
        bar. A bar whose beginning or end the rows do not reach, like the newest one while it goes on, is left out. Of trades
        that were only imported or saved nobody knows whether more follow: there the clock alone says whether a bar is over.
        Bars that end with a trade are counted from *start*, or from an *origin* or the beginning of a *session*.
        Rows are streamed: memory does not grow with them. The same rows make the same bars, bit by bit.

        Parameters
        ----------
        rule
            A timeframe, like ``1h``; or ``100ticks``, ``5volume``, ``1000000dollars``; or a :class:`~ticklake.Bars`.
        columns
            Also ``close_time``, ``vwap``, ``buy_volume``, ``sell_volume`` and ``number`` (of bars that end with a trade, from 0 on). Bars that
            end with a trade have all of them by default, and time bars those that are stored.
        partial
            Make bars of exactly the rows in ``[start, end)`` instead, also the first and the last one, which may be cut.
        timeframe
            The rule, under the name that it had before.
        **edges
            ``closed``, ``label``, ``origin``, ``session`` and ``fill`` of :class:`~ticklake.Bars`.

        Raises
        ------
        UnknownDataset
            If the lake has no such dataset.
        Unsupported
            If the dataset holds neither trades nor bars of which the rule's bars are made.
        """
        from ticklake.core.bars import Bars
        from ticklake.core.resample import MADE_BARS
        from ticklake.query.resample import Resampling

        dataset = known_dataset(self.engine, dataset)
        if rule is not None and timeframe is not None:
            raise BadInput("rule and timeframe are the same: pass one of them")
        bars = Bars.parse(rule or timeframe or "", **edges)
        names = parse_columns(MADE_BARS, columns, with_provenance=False)
        if names is None:
            names = MADE_BARS.names
            if bars.is_time:
                names = kind_of("ohlcv").names
        resampling = Resampling.of(dataset, bars, self.engine.sessions, sides=not _SIDES.isdisjoint(names))
        span = Span.parse(start, end)
        make = resampling.whole
        if partial:
            make = resampling.partial
        made = make(self.engine.store, span)
        return _narrowed(made.select(names), None, last)


def _narrowed(bars: pl.DataFrame, columns: Columns | None, last: int | None) -> pl.DataFrame:
    names = parse_columns(kind_of("ohlcv"), columns, with_provenance=False)
    if last is not None:
        bars = bars.tail(parse_count("last", last))
    if names is not None:
        bars = bars.select(names)
    return bars
