"""Describe what is odd about the rows of a file: order, nulls, repeats, zones, names that contradict them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.merge import key_of_batch
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, format_time
from ticklake.core.timeframe import Timeframe

__all__ = ["Order", "funding_shift", "notes_on", "off_grid", "order_of", "spacing", "zone_hint"]

_FUNDING_GRID = 8 * HOUR
_PHASES = dict.fromkeys(("kucoin", "kucoinfutures", "bitmex"), 4 * HOUR)
"""Exchanges whose funding times are not 00, 08 and 16 h UTC."""
_MOST_ON_GRID = 0.9
"""Funding times are on a grid if at least this share of them is."""


@dataclass(frozen=True, slots=True)
class Order:
    """How the times of a file follow each other: the number of steps forward and back."""

    forward: int = 0
    back: int = 0

    @property
    def newest_first(self) -> bool:
        """Whether more steps go back than forward."""
        return self.back > self.forward

    @property
    def odd(self) -> int:
        """The number of steps that go against the others."""
        return min(self.forward, self.back)

    def __add__(self, other: Order) -> Order:
        return Order(self.forward + other.forward, self.back + other.back)


def order_of(ts: pl.Series) -> Order:
    """Count the steps of a series of times."""
    steps = ts.drop_nulls().cast(pl.Int64).diff()
    return Order(int((steps > 0).sum()), int((steps < 0).sum()))


def spacing(ts: pl.Series) -> int | None:
    """Return the most frequent distance between neighbours among sorted times, in nanoseconds."""
    steps = ts.cast(pl.Int64).diff().drop_nulls()
    steps = steps.filter(steps > 0)
    if not steps.len():
        return None
    return int(steps.mode().min())  # type: ignore[arg-type]


def off_grid(ts: pl.Series, timeframe: Timeframe, anchor: int | None) -> float:
    """Return the share of open times at which no bar of *timeframe* opens."""
    if timeframe.is_month or not ts.len():
        return 0.0
    is_off = (ts.cast(pl.Int64) - timeframe.offset(anchor)) % timeframe.length != 0
    return float(is_off.mean() or 0.0)  # type: ignore[arg-type]


def funding_shift(ts: pl.Series, exchange: str = "") -> int | None:
    """Return by how much funding times lie after the exchange's grid of eight hours; ``None`` if they are on none.

    Times jitter by seconds: they are rounded to minutes.
    """
    minutes = (ts.drop_nulls().cast(pl.Int64) + 30 * SECOND) // MINUTE * MINUTE
    shifts = (minutes - _PHASES.get(exchange, 0)) % _FUNDING_GRID
    counts = shifts.value_counts(sort=True)
    if not counts.height or counts["count"][0] < _MOST_ON_GRID * ts.len():
        return None
    return int(counts.to_series()[0])


def zone_hint(shift: int | None) -> str:
    """Say in which zone local funding times seem to be.

    >>> zone_hint(3 * 3600 * 10**9)
    'they lie 3 h off the grid of funding times, as times of UTC+3 would (or of UTC-5)'
    """
    if shift is None:
        return "their grid does not tell the zone"
    hours = shift / HOUR
    if hours == 0:
        return "they lie on the grid of funding times, as times of UTC would"
    return (
        f"they lie {hours:g} h off the grid of funding times, as times of UTC+{hours:g} would (or of UTC-{8 - hours:g})"
    )


def notes_on(frame: pl.DataFrame, dataset: Dataset, order: Order, claimed: Span | None) -> Iterator[str]:
    """Yield what is odd about the rows of a file, in the order in which they came.

    Parameters
    ----------
    frame
        Rows with the columns of the dataset's kind that the file has.
    order
        How their times followed each other.
    claimed
        The time that the file's name says it is about.
    """
    if order.newest_first:
        note = "newest first: reversed"
        if order.odd:
            note += f"; {order.odd:,} steps against that: sorted"
        yield note
    elif order.odd:
        yield f"scrambled: {order.odd:,} steps back in time: sorted"
    for series in frame.get_columns():
        if 0 < series.null_count() < frame.height:
            yield f"{series.name} is null in {series.null_count():,} of {frame.height:,} rows"
    yield from _repeats(frame, dataset)
    ts = frame["ts"].drop_nulls().cast(pl.Int64)
    if not ts.len():
        return
    first, last = int(ts.min()), int(ts.max())  # type: ignore[arg-type]
    # A day of grace: the days in names may be those of another zone.
    if claimed and (first < claimed.start - DAY or last >= claimed.end + DAY):
        yield f"the name says {claimed}, the rows span {format_time(first)} .. {format_time(last)}"
    if dataset.kind == "funding":
        shift = funding_shift(ts, dataset.exchange)
        if shift:
            yield f"funding times: {zone_hint(shift)}: is the zone right?"
    if dataset.timeframe is not None:
        yield from _longer_bars(ts, dataset.timeframe)


def _repeats(frame: pl.DataFrame, dataset: Dataset) -> Iterator[str]:
    """Yield how many rows repeat others: trades without ids may, since equal prints are real."""
    with_id = frame
    if "id" not in frame.columns:
        with_id = frame.with_columns(id=None)
    columns: list[str]
    if key_of_batch(with_id, dataset.spec) == "print":
        columns = [name for name in ("ts", "price", "amount", "side") if name in frame.columns]
        note = "identical prints without ids: real repeats, all are kept"
    elif set(dataset.spec.key) <= set(frame.columns):
        columns = list(dataset.spec.key)
        note = "rows repeat the key of another row of the file: the last one that differs counts"
    else:
        return
    repeats = frame.height - frame.select(columns).n_unique()
    if repeats:
        yield f"{repeats:,} {note}"


def _longer_bars(ts: pl.Series, timeframe: Timeframe) -> Iterator[str]:
    """Yield a note if no two bars are closer than a longer timeframe: they may be mislabelled."""
    times = ts.sort()
    step = spacing(times)
    if step is None or timeframe.is_month or ts.len() < 10 or step < 2 * timeframe.length:
        return
    if (times.diff().drop_nulls() >= step).all():
        yield f"its bars are {step // SECOND:,} s apart, not {timeframe.length // SECOND:,}: is it really {timeframe}?"
