"""Panels: one table of the rows of many symbols, by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import happened_at
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.words import Fill, How, Label
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.query.asof import Known, known_before

__all__ = ["FILLS", "HOWS", "LABELS", "PanelShape", "panel"]

HOWS: tuple[How, ...] = get_args(How)
LABELS: tuple[Label, ...] = get_args(Label)
FILLS: tuple[Fill | None, ...] = (None, *get_args(Fill))
_CLOSE = "close_time"
_MOST_BARS = 100_000_000
"""A grid of more would not fit into memory."""


@dataclass(frozen=True, slots=True)
class PanelShape:
    """Which columns a panel has, and which times.

    ``is_single`` is whether a wide panel names its columns by symbol alone.
    """

    columns: Sequence[str]
    is_single: bool = True
    wide: bool = True
    how: How = "outer"
    label: Label = "open"
    fill: Fill | None = None


def panel(
    engine: Engine, datasets: Sequence[Dataset], span: Span, shape: PanelShape, at: int | None, known: Known
) -> pl.DataFrame:
    """Return the rows of datasets of one kind inside *span*, by time: a column for each, or one row for each under the other.

    Where a dataset has no row at a time, its values are null. With *at*, only rows count that were known then.

    Raises
    ------
    BadInput
        If the kind has no bars, and their close or their grid is wanted.
    """
    first = datasets[0]
    if not first.spec.bars and (shape.label == "close" or shape.how == "grid"):
        raise BadInput(f"{first.kind} are no bars: they have no close and no grid; leave out label and how")
    frames = [_rows(engine, dataset, span, shape, at, known) for dataset in datasets]
    times = _times(frames, first, span, shape)
    placed = [_placed(frame, times, shape.fill) for frame in frames]
    if shape.label == "close":
        times = _closes(times, first)
    if shape.wide:
        return _wide(times, datasets, placed, shape)
    return _long(times, datasets, placed)


def _rows(
    engine: Engine, dataset: Dataset, span: Span, shape: PanelShape, at: int | None, known: Known
) -> pl.DataFrame:
    if at is None:
        rows = engine.load(dataset, span, columns=["ts", *shape.columns])
    else:
        rows = known_before(engine, dataset, span, ["ts", *shape.columns], at, known)
    # Events of one time: the last one stands for it.
    ts = rows["ts"].to_physical()
    if (ts == ts.shift()).any():
        rows = rows.unique("ts", keep="last", maintain_order=True)
    return rows


def _times(frames: Sequence[pl.DataFrame], dataset: Dataset, span: Span, shape: PanelShape) -> pl.Series:
    """Return the times that the panel has, in order."""
    times = pl.concat([frame["ts"] for frame in frames]).unique().sort()
    if shape.how == "inner":
        for frame in frames:
            times = times.filter(times.is_in(frame["ts"].implode()))
    if shape.how == "grid" and dataset.timeframe is not None and times.len():
        start, end = span
        # Without a bound the grid ends with the rows.
        if start == ALL_TIME.start:
            start = times.to_physical()[0]
        if end == ALL_TIME.end:
            end = times.to_physical()[-1] + 1
        grid = Span(start, end)
        # Months are counted one by one; of them there are few.
        if not dataset.timeframe.is_month and grid.length // dataset.timeframe.length > _MOST_BARS:
            raise BadInput(f"{grid} has more than {_MOST_BARS:,} bars of {dataset.timeframe}: narrow start and end")
        times = dataset.timeframe.opens(grid, dataset.anchor).cast(TIME)
    return times


def _placed(frame: pl.DataFrame, times: pl.Series, fill: Fill | None) -> pl.DataFrame:
    """Return the values of *frame* at *times*, null where it has none."""
    values = frame.drop("ts")
    if not frame["ts"].equals(times):
        is_there = frame["ts"].is_in(times.implode())
        places = times.to_physical().search_sorted(frame["ts"].filter(is_there).to_physical())
        values = values.clear(times.len()).with_columns(
            [column.clear(times.len()).scatter(places, column.filter(is_there)) for column in values]
        )
    if fill == "forward":
        values = values.select(pl.all().forward_fill())
    return values


def _closes(times: pl.Series, dataset: Dataset) -> pl.Series:
    return happened_at(pl.DataFrame({"ts": times}), dataset).cast(TIME).alias(_CLOSE)


def _wide(
    times: pl.Series, datasets: Sequence[Dataset], placed: Sequence[pl.DataFrame], shape: PanelShape
) -> pl.DataFrame:
    columns = [times]
    for dataset, values in zip(datasets, placed, strict=True):
        for column in values:
            name = str(dataset.symbol)
            if not shape.is_single:
                name = f"{column.name}:{name}"
            columns.append(column.alias(name))
    return pl.DataFrame(columns)


def _long(times: pl.Series, datasets: Sequence[Dataset], placed: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return a row for each time and symbol, in the order of times, then of symbols."""
    parts: list[pl.DataFrame] = []
    for dataset, values in zip(datasets, placed, strict=True):
        symbol = pl.lit(str(dataset.symbol)).alias("symbol")
        parts.append(pl.DataFrame([times]).with_columns(symbol).hstack(values.get_columns()))
    return pl.concat(parts).sort(times.name, maintain_order=True)
