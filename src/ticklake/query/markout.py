"""Markouts: how far the price had moved in the direction of a trade some time after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

import polars as pl

from ticklake.core.asof import TEXTS, asof_rows, take
from ticklake.core.batch import times_of
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import happened_at
from ticklake.core.lookup import did_you_mean
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.words import Unit
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput
from ticklake.query.asof import clusters_of, datasets_of_rows

__all__ = ["UNITS", "MarkoutShape", "markouts", "reference_of"]

UNITS: tuple[Unit, ...] = get_args(Unit)
_BPS = 10_000
_LAST = ALL_TIME.end
_MID = (pl.col("bid_price") + pl.col("ask_price")) / 2
_MICRO = (pl.col("bid_price") * pl.col("ask_amount") + pl.col("ask_price") * pl.col("bid_amount")) / (
    pl.col("bid_amount") + pl.col("ask_amount")
)
_OF_QUOTES = {
    "mid": (("bid_price", "ask_price"), _MID),
    "microprice": (("bid_price", "ask_price", "bid_amount", "ask_amount"), _MICRO),
}
_USUAL = {"quotes": "mid", "bars": "close", "trades": "price", "liquidations": "price"}


@dataclass(frozen=True, slots=True)
class Reference:
    """The price that trades are held against: the columns it needs, and how it is computed of them."""

    columns: tuple[str, ...]
    price: pl.Expr


@dataclass(frozen=True, slots=True)
class MarkoutShape:
    """The offsets in nanoseconds by the names of their columns, and how a markout is told.

    ``max_age`` is how old a reference price may be, in nanoseconds.
    """

    offsets: Mapping[str, int]
    reference: Reference
    unit: Unit = "price"
    max_age: int | None = None


def reference_of(dataset: Dataset, name: str | None) -> Reference:
    """Return the reference price of that name: of quotes the mid by default, of bars the close, of trades their price.

    Raises
    ------
    BadInput
        If the kind has none of that name.
    """
    kind = dataset.spec
    if kind.name == "book":
        raise BadInput("changes of a book are no prices: name a dataset of quotes, bars or trades")
    if name is None:
        name = _USUAL.get(kind.name)
    if name is None and kind.bars:
        name = "close"
    numbers = [column.name for column in kind.columns if column.dtype == pl.Float64]
    known = list(numbers)
    if kind.name == "quotes":
        known = [*_OF_QUOTES, *numbers]
        if name in _OF_QUOTES:
            return Reference(*_OF_QUOTES[name])
    if name not in numbers:
        raise BadInput(
            f"{kind.name} have no price {name!r}{did_you_mean(str(name), known)}: use one of {', '.join(known)}"
        )
    return Reference((name,), pl.col(name))


def markouts(
    engine: Engine, trades: pl.DataFrame, instants: pl.Series, datasets: Sequence[Dataset], shape: MarkoutShape
) -> pl.DataFrame:
    """Return *trades* with a column for each offset: ``sign * (reference(t + offset) - price)``, in bps divided by the price.

    The sign is 1 of a ``buy`` and -1 of a ``sell``. The reference is that of the newest row that happened at or before ``t + offset``. It is
    null after the last row of the data, where it is older than the greatest age, and where there is none.
    """
    _check_columns(trades, shape)
    times = times_of(instants).to_physical()
    references = pl.DataFrame(schema=dict.fromkeys(shape.offsets, pl.Float64)).clear(trades.height)
    for dataset, places in datasets_of_rows(trades, datasets):
        for cluster in clusters_of(engine, dataset, times[places]):
            together = places[cluster]
            found = _references(engine, dataset, times[together], shape)
            references = references.with_columns(
                references[name].scatter(together, values) for name, values in found.items()
            )
    return trades.hstack(_signed(trades, references, shape.unit).get_columns())


def _signed(trades: pl.DataFrame, references: pl.DataFrame, unit: Unit) -> pl.DataFrame:
    """Return how far each reference lies from the price of the trade, in its direction."""
    side = pl.col("side")
    told = trades.select(
        price=pl.col("price").cast(pl.Float64), sign=pl.when(side == "buy").then(1.0).when(side == "sell").then(-1.0)
    )
    moved = references.select((pl.all() - told["price"]) * told["sign"])
    if unit == "bps":
        moved = moved.select(pl.all() / told["price"] * _BPS)
    return moved


def _check_columns(trades: pl.DataFrame, shape: MarkoutShape) -> None:
    for name in ("price", "side"):
        if name not in trades.columns:
            raise BadInput(
                f"the trades have no column {name!r}{did_you_mean(name, trades.columns)}: a markout needs it"
            )
    if not trades["price"].dtype.is_numeric() and trades["price"].dtype != pl.Null:
        raise BadInput(f"the price of the trades is {trades['price'].dtype}, no number: cast it")
    if trades["side"].dtype not in TEXTS and trades["side"].null_count() < trades.height:
        raise BadInput(f"the side of the trades is {trades['side'].dtype}: pass the texts buy and sell")
    for name in shape.offsets:
        if name in trades.columns:
            raise BadInput(f"the trades have a column {name!r} already: drop it")


def _references(engine: Engine, dataset: Dataset, times: pl.Series, shape: MarkoutShape) -> dict[str, pl.Series]:
    """Return the reference price at each offset from *times*."""
    wanted = {name: _moved(times, offset) for name, offset in shape.offsets.items()}
    rows = _rows(engine, dataset, list(wanted.values()), shape.reference)
    prices = rows.select(shape.reference.price.cast(pl.Float64).alias("price"))
    there = pl.DataFrame({"ts": happened_at(rows, dataset).cast(TIME)})
    newest = engine.load(dataset, columns=_time_columns(dataset), last=1)
    end = max(happened_at(newest, dataset), default=ALL_TIME.start)
    found: dict[str, pl.Series] = {}
    for name, instants in wanted.items():
        matches = asof_rows(instants.cast(TIME).to_frame("ts"), there, max_age=shape.max_age)
        values = take(prices, matches).with_columns(instant=instants)
        # Nobody knows what comes after the last row.
        found[name] = values.select(pl.when(pl.col("instant") <= end).then("price").alias("price"))["price"]
    return found


def _moved(times: pl.Series, offset: int) -> pl.Series:
    """Return *times* moved by an offset; null where that leaves 64 bits."""
    is_inside = times.is_between(max(-_LAST, -_LAST - offset), min(_LAST, _LAST - offset))
    return pl.select(pl.when(is_inside).then(times + offset)).to_series()


def _rows(engine: Engine, dataset: Dataset, instants: Sequence[pl.Series], reference: Reference) -> pl.DataFrame:
    """Return the rows of a dataset that can be the newest at one of *instants*."""
    columns = list(dict.fromkeys([*_time_columns(dataset), *reference.columns]))
    known = pl.concat(instants).drop_nulls()
    if not known.len():
        return dataset.spec.empty().select(columns)
    longest = 0
    if dataset.timeframe is not None:
        longest = dataset.timeframe.length
    first, last = cast("int", known.min()), cast("int", known.max())
    start = first - longest
    # Two: the newest bar before may still be open at the first instant, if bars differ in length.
    before = engine.load(dataset, Span(ALL_TIME.start, max(start + 1, ALL_TIME.start + 1)), columns=["ts"], last=2)
    start = min([start, *before["ts"].to_physical()])
    end = min(last + 1, ALL_TIME.end)
    return engine.load(dataset, Span(max(start, ALL_TIME.start), max(end, ALL_TIME.start + 1)), columns=columns)


def _time_columns(dataset: Dataset) -> list[str]:
    if "close_time" in dataset.spec.names:
        return ["ts", "close_time"]
    return ["ts"]
