"""What the crash tests do to a lake, and what it must hold afterwards: a model that shares no code with the engine.

An operation is a list that survives JSON: ``["save", dataset, first, last, bump]``, ``["save_all", [save, ...]]``,
``["delete", dataset, first, last]``, ``["compact"]``, ``["vacuum"]``, ``["rebuild"]``, ``["backup"]``, ``["open"]``.
"""

import time
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from ticklake.app import open_lake, rebuild_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.lake import Lake
from ticklake.storage.segments import INLINE_ROWS

BARS = "x:ohlcv:1m:BTC/USDT"
OTHER_BARS = "x:ohlcv:1m:ETH/USDT"
TRADES = "x:trades:BTC/USDT:USDT"
PRINTS = "y:trades:BTC/USD"
"""Trades without ids."""
FILE = INLINE_ROWS + 100
"""More rows than an inline segment takes."""
SECOND = 10**9
START = 1_704_067_200 * SECOND
"""2024-01-01: where row 0 of every dataset is."""
SETTINGS = Settings()
CAN_SAVE_ALL = hasattr(Lake, "save_all")


def open_(root, ahead=0):
    return open_lake(root, settings=SETTINGS, clock=lambda: time.time_ns() + ahead)


def step_of(dataset):
    return 60 * SECOND if ":ohlcv:" in dataset else SECOND


def rows(dataset, first, last, bump=0.0):
    """The rows number *first* up to *last* of a dataset, with all public columns; values follow from the number.

    A print whose number divides by four is there twice: both are real.
    """
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    if dataset == PRINTS:
        numbers = pl.concat([numbers, numbers.filter(numbers % 4 == 0)]).sort()
    frame = pl.DataFrame({"ts": (numbers * step_of(dataset) + START).cast(TIME)})
    value = (numbers * 7919 % 10007).cast(pl.Float64) / 7 + 1 + bump
    if ":ohlcv:" in dataset:
        frame = frame.with_columns(open=value, high=value + 1, low=value - 1, close=value, volume=value * 0.5)
    else:
        ids = pl.Series([None if dataset == PRINTS else f"t{number}" for number in numbers], dtype=pl.String)
        frame = frame.with_columns(
            id=ids, price=value, amount=value * 2, side=pl.Series(["buy"]).new_from_index(0, len(numbers))
        )
    kind = Dataset.parse(dataset).spec
    return pl.concat([kind.empty().select(kind.names), frame], how="diagonal").select(kind.names)


@dataclass(frozen=True)
class State:
    """The rows of each dataset, and how many changes each one's revision log holds."""

    frames: dict = field(default_factory=dict)
    changes: dict = field(default_factory=dict)

    def rows_of(self, dataset):
        frame = self.frames.get(dataset)
        return rows(dataset, 0, 0) if frame is None else frame

    def after(self, operation):
        """The state that *operation* leaves."""
        verb, *rest = operation
        if verb == "save":
            return self._saved(*rest)
        if verb == "save_all":
            state = self
            for save in rest[0]:
                state = state.after(save)
            return state
        if verb == "delete":
            return self._deleted(*rest)
        return self

    def _saved(self, dataset, first, last, bump):
        assert dataset != PRINTS or bump == 0, "a print with another price is another print"
        old, new, value = self.rows_of(dataset), rows(dataset, first, last, bump), _value(dataset)
        meeting = old.join(new.select("ts", now=value), on="ts", how="inner")
        changed = meeting.filter(pl.col(value) != pl.col("now")).height
        merged = pl.concat([old.join(new, on="ts", how="anti"), new]).sort("ts", maintain_order=True)
        counts = self.changes | {dataset: self.changes.get(dataset, 0) + changed}
        return State(self.frames | {dataset: merged}, counts)

    def _deleted(self, dataset, first, last):
        frame = self.rows_of(dataset)
        start, end = moment(dataset, first), moment(dataset, last)
        ts = frame["ts"].to_physical()
        return State(self.frames | {dataset: frame.filter((ts < start) | (ts >= end))}, self.changes)


def _value(dataset):
    return "open" if ":ohlcv:" in dataset else "price"


def moment(dataset, number):
    return START + number * step_of(dataset)


def perform(lake, operation):
    """Do *operation* with the public API; return how many rows were new, or ``None`` where nothing is counted."""
    verb, *rest = operation
    return _DO[verb](lake, *rest)


def loaded(lake, dataset):
    """Return the rows of a dataset, none if the lake has never heard of it."""
    return lake.engine.load(Dataset.parse(dataset))


def _save(lake, dataset, *what):
    return lake.save(dataset, rows(dataset, *what)).new


def _save_all(lake, saves):
    lake.save_all([(save[1], rows(*save[1:])) for save in saves])


def _delete(lake, dataset, first, last):
    span = Span.parse(*(_utc(moment(dataset, number)) for number in (first, last)))
    lake.engine.delete(Dataset.parse(dataset), span)  # the lake itself refuses a dataset that it has never heard of


def _utc(ns):
    return pl.Series([ns]).cast(TIME)[0]


def _quietly(call, lake):
    call(lake)


_DO = {
    "save": _save,
    "save_all": _save_all,
    "delete": _delete,
    "compact": partial(_quietly, lambda lake: lake.compact()),
    "vacuum": partial(_quietly, lambda lake: lake.vacuum(keep=0)),
    "rebuild": partial(_quietly, lambda lake: rebuild_lake(lake.root, force=True)),
    "backup": partial(_quietly, lambda lake: lake.backup(f"{lake.root}-copy")),
    "open": partial(_quietly, lambda lake: lake.datasets()),
}
