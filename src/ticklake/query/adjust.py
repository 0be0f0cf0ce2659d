"""Adjusted bars: without the price jumps that splits and dividends cause."""

from __future__ import annotations

import polars as pl

from ticklake.core.adjust import ADJUSTMENTS, Adjust, adjusted, dividend_multipliers, session_dates, split_divisors
from ticklake.core.dataset import Dataset
from ticklake.core.sessions import keeps_days
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.core.timeframe import Timeframe
from ticklake.engine.read import load
from ticklake.engine.store import Store
from ticklake.errors import BadInput

__all__ = ["load_adjusted"]

_EARLIER = 31 * DAY
"""How long before the first bar closes are read: far enough to have the last close before its date."""


def load_adjusted(store: Store, dataset: Dataset, span: Span, how: Adjust, zone: str) -> pl.DataFrame:
    """Return the bars inside *span*, adjusted for all splits (and dividends) that the lake holds.

    Parameters
    ----------
    how
        ``splits``, or ``all`` for dividends too.
    zone
        The time zone whose dates the sessions have.

    Raises
    ------
    BadInput
        If the bars' splits or dividends were never asked for, or a close that is needed is missing.
    """
    if how not in ADJUSTMENTS or not dataset.spec.bars:
        raise BadInput(f"adjust={how!r} of {dataset.kind}: only bars can be adjusted, by splits or all")
    bars = load(store, dataset, span)
    if not bars.height:
        return bars
    if keeps_days(dataset):
        zone = "UTC"
    dates = session_dates(bars["ts"], zone)
    around = Span(int(dates[0]), int(dates[-1]) + DAY)
    divisors = split_divisors(dates, _events(store, dataset, "splits", around))
    if how == "splits":
        return adjusted(bars, divisors)
    dividends = _events(store, dataset, "dividends", around)
    closes = _closes(store, dataset, around.start)
    return adjusted(bars, divisors, dividend_multipliers(dates, dividends, closes))


def _events(store: Store, dataset: Dataset, kind: str, around: Span) -> pl.DataFrame:
    """Return the events since the start of *around*; refuse if those inside it were never asked for."""
    events = Dataset(dataset.exchange, kind, dataset.symbol)
    unasked = _unasked(store, events, around)
    if unasked is not None:
        raise BadInput(
            f"the {kind} of {dataset.symbol} on {dataset.exchange} are not known for {unasked}: "
            f"ticklake backfill {dataset.exchange} {dataset.symbol} --kind {kind}"
        )
    return load(store, events, Span(around.start, Span.parse(None, None).end))


def _unasked(store: Store, events: Dataset, around: Span) -> Span | None:
    """Return the first part of *around* that was never asked for; ``None`` if events are stored without any coverage."""
    coverage = store.catalog.coverage(events)
    if coverage.pieces:
        return next(coverage.missing(around), None)
    if store.catalog.dataset(events) is not None:
        return None
    return around


def _closes(store: Store, dataset: Dataset, start: int) -> pl.DataFrame:
    """Return the raw closes of the daily bars, from some days before *start* on."""
    daily = Dataset(dataset.exchange, dataset.kind, dataset.symbol, Timeframe(1, "d"))
    return load(store, daily, Span(start - _EARLIER, Span.parse(None, None).end), columns=["ts", "close"])
