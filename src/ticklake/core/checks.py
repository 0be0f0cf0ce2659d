"""Checks: which rows can be true, and for the others, why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS, Kind, kind_of
from ticklake.core.span import ALL_TIME
from ticklake.core.time import DAY, FIRST_PLAUSIBLE
from ticklake.core.timeframe import Timeframe

__all__ = ["SIDES", "Checked", "check", "check_all", "refused_in"]

_POSITIVE = {"splits": "ratio", "dividends": "amount"}
_NOTHING = {"quotes": "no_price"}
"""What a row lacks that has none of the columns of which it must have one."""
_NOT_NEGATIVE = {
    "quotes": ("bid_price", "bid_amount", "ask_price", "ask_amount"),
    "funding": ("mark_price",),
    "open_interest": ("open_interest", "open_interest_value"),
}
"""A price below zero is refused, whatever trades: it is a mistake far more often than a spread or oil in April 2020."""
SIDES = {"trades": ("buy", "sell"), "liquidations": ("buy", "sell"), "book": ("bid", "ask")}
"""The two values that ``side`` has in each kind that has sides."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows that passed, and the rows that did not with a column ``reason``."""

    good: pl.DataFrame
    bad: pl.DataFrame


def check(frame: pl.DataFrame, dataset: Dataset, now: int, *, needs_id: bool = False) -> Checked:
    """Split a canonical frame into rows that can be true and rows that cannot.

    Parameters
    ----------
    frame
        Canonical rows of *dataset*.
    now
        The current time in nanoseconds; nothing may lie more than a day after it.
    needs_id
        Whether rows without an id are refused, because the dataset tells its rows apart by id.
    """
    flags = _broken(frame, dataset, now, needs_id=needs_id)
    if flags is None:
        return Checked(frame, _none(dataset))
    # A row may break several rules: it is refused for the first of them.
    reasons: list[pl.Expr] = []
    for reason, rule in _rules(dataset, now, needs_id=needs_id):
        reasons.append(pl.when(rule.fill_null(False)).then(pl.lit(reason)))
    return Checked(frame.filter(~flags), frame.filter(flags).with_columns(reason=pl.coalesce(reasons)))


def check_all(batches: Sequence[tuple[pl.DataFrame, Dataset, bool]], now: int) -> list[Checked]:
    """Check several canonical frames, each with its dataset and whether it needs ids, those under one rule together."""
    alike: dict[Any, list[int]] = {}
    for place, (_, dataset, needs_id) in enumerate(batches):
        alike.setdefault((dataset.kind_text, dataset.timeframe, dataset.anchor, needs_id), []).append(place)
    refused: set[int] = set()
    for places in alike.values():
        _, dataset, needs_id = batches[places[0]]
        found = refused_in([batches[place][0] for place in places], dataset, now, needs_id=needs_id)
        refused.update(places[number] for number in found)
    checked: list[Checked] = []
    for place, (frame, dataset, needs_id) in enumerate(batches):
        if place in refused:
            checked.append(check(frame, dataset, now, needs_id=needs_id))
        else:
            checked.append(Checked(frame, _none(dataset)))
    return checked


def refused_in(frames: Sequence[pl.DataFrame], dataset: Dataset, now: int, *, needs_id: bool) -> set[int]:
    """Return which of the canonical frames have rows that cannot be true. All are of datasets that share the rules of *dataset*."""
    together = frames[0]
    if len(frames) > 1:
        together = pl.concat(frames)
    flags = _broken(together, dataset, now, needs_id=needs_id)
    if flags is None:
        return set()
    refused: set[int] = set()
    start = 0
    for number, frame in enumerate(frames):
        if flags.slice(start, frame.height).any():
            refused.add(number)
        start += frame.height
    return refused


def _broken(frame: pl.DataFrame, dataset: Dataset, now: int, *, needs_id: bool) -> pl.Series | None:
    """Mark the rows that break a rule; ``None`` if none does."""
    if _passes(frame, dataset, now, needs_id=needs_id):
        return None
    # A comparison with an unknown value is null: it breaks no rule.
    rules = [rule.fill_null(False) for _, rule in _rules(dataset, now, needs_id=needs_id)]
    flags = frame.select(pl.any_horizontal(rules).alias("bad"))["bad"]
    if not flags.any():
        return None
    return flags


def _none(dataset: Dataset) -> pl.DataFrame:
    if dataset.kind in KINDS:
        return _none_of(dataset.kind)
    return _without_rows(dataset.spec)


@cache
def _none_of(kind: str) -> pl.DataFrame:
    return _without_rows(kind_of(kind))


def _without_rows(kind: Kind) -> pl.DataFrame:
    return kind.empty().with_columns(reason=pl.lit("", pl.String))


def plausible_times(times: Iterable[object], now: int) -> list[int]:
    """Return the times that live rows may have: rows with others are refused by the rules."""
    latest = _latest(now)
    return [ts for ts in times if isinstance(ts, int) and FIRST_PLAUSIBLE <= ts <= latest]


def _latest(now: int) -> int:
    return min(now + DAY, ALL_TIME.end - 1)


def _passes(frame: pl.DataFrame, dataset: Dataset, now: int, *, needs_id: bool) -> bool:
    """Whether cheap looks at whole columns show that every row is good; if not, they may be good all the same."""
    # Operations on series take a microsecond or two each, a planned expression takes eighty (decision 10).
    if not frame.height:
        return True
    columns: dict[str, pl.Series] = {}
    for series in frame.get_columns():
        # A sum costs far less than a look at each value; one of finite values that overflows is left to the rules.
        if series.dtype == pl.Float64 and not math.isfinite(series.sum()):
            return False
        columns[series.name] = series
    without_nulls = [*dataset.spec.required, *dataset.spec.any_of[:1]]
    if needs_id:
        without_nulls.append("id")
    if any(columns[name].null_count() for name in without_nulls):
        return False
    ns = columns["ts"].cast(pl.Int64)
    # The same bounds as in _rules: what passes here must pass there.
    if _least(ns) < FIRST_PLAUSIBLE or ns.max() > _latest(now):  # type: ignore[operator]
        return False
    return not any(mask.any() for _, mask in _comparisons(dataset, columns, ns))


def _least(ns: pl.Series) -> int:
    if ns.is_sorted():
        return int(ns[0])
    return ns.min()  # type: ignore[return-value]


def _rules(dataset: Dataset, now: int, *, needs_id: bool) -> Iterator[tuple[str, pl.Expr]]:
    kind = dataset.spec
    for name in kind.required:
        yield f"no_{name}", pl.col(name).is_null()
    for column in kind.columns:
        if column.dtype == pl.Float64:
            yield f"infinite_{column.name}", pl.col(column.name).is_infinite()
    ns = pl.col("ts").to_physical()
    yield "time_in_1970", (ns >= 0) & (ns < FIRST_PLAUSIBLE)
    yield "time_in_future", ns > now + DAY
    yield "time_out_of_range", (ns < ALL_TIME.start) | (ns >= ALL_TIME.end)
    yield from _comparisons(dataset, {name: pl.col(name) for name in kind.names}, ns)
    if needs_id:
        yield "no_id", pl.col("id").is_null()
    if kind.any_of:
        yield _NOTHING.get(kind.name, "no_value"), pl.all_horizontal(pl.col(name).is_null() for name in kind.any_of)


def _comparisons(dataset: Dataset, columns: Mapping[str, Any], ns: Any) -> Iterator[tuple[str, Any]]:
    """Yield the rules that compare values; columns may be series or expressions, *ns* is ``ts`` as integers."""
    if dataset.spec.bars:
        yield from _bar_rules(columns)
        if dataset.timeframe is not None:
            yield "off_grid", _off_grid(dataset.timeframe, dataset.anchor, columns["ts"], ns)
    if dataset.kind in SIDES:
        yield from _order_rules(dataset.kind, columns)
    for name in _NOT_NEGATIVE.get(dataset.kind, ()):
        yield f"negative_{name}", columns[name] < 0
    if dataset.kind in _POSITIVE:
        name = _POSITIVE[dataset.kind]
        yield f"{name}_not_positive", columns[name] <= 0


def _bar_rules(columns: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    high, low = columns["high"], columns["low"]
    yield "high_below_low", high < low
    yield "high_below_open_or_close", (high < columns["open"]) | (high < columns["close"])
    yield "low_above_open_or_close", (low > columns["open"]) | (low > columns["close"])
    yield "negative_price", low < 0
    yield "negative_volume", (columns["volume"] < 0) | (columns["quote_volume"] < 0)


def _off_grid(frame: Timeframe, anchor: int | None, ts: Any, ns: Any) -> Any:
    if frame.is_month:
        months = ts.dt.year().cast(pl.Int64) * 12 + ts.dt.month().cast(pl.Int64) - 1 - 1970 * 12
        return (ts.dt.day() != 1) | (ns % DAY != 0) | (months % frame.count != 0)
    # From where an exchange counts bars of several days is known of few, so any midnight will do for the others.
    if frame.unit == "d" and frame.count > 1 and anchor is None:
        return ns % DAY != 0
    return (ns - frame.offset(anchor)) % frame.length != 0


def _order_rules(kind: str, columns: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    buy, sell = SIDES[kind]
    side, price, amount = columns["side"], columns["price"], columns["amount"]
    yield "unknown_side", (side != buy) & (side != sell)
    yield "price_not_positive", price <= 0
    if kind == "book":
        yield "negative_amount", amount < 0
    else:
        yield "amount_not_positive", amount <= 0
