"""Look-ahead: whether a function of a lake and an instant uses rows that were not knowable then.

A function is asked twice for an instant: over the rows as they are, and over rows of which those that were not knowable are removed, have
other values, or have new ones beside them. If its value differs, it looked ahead.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.duration import DurationLike, parse_duration
from ticklake.core.frame import Frame
from ticklake.core.instants import parse_instants
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import Knowledge, parse_knowledge
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import DAY, MINUTE, format_time
from ticklake.core.timeline import NEVER, row_known_at
from ticklake.engine.overlay import overlaid
from ticklake.engine.read import read_rows
from ticklake.engine.store import retried
from ticklake.errors import BadInput, LooksAhead, UnknownDataset
from ticklake.lake.view import View

__all__ = ["Change", "Leak", "LookAheadReport", "World", "check_no_lookahead"]

Change = Literal["removed", "replaced", "added"]
CHANGES: tuple[Change, ...] = get_args(Change)
_NO_PLACES = np.empty(0, dtype=np.int64)
_FUTURE = DAY
"""How much time after the last instant is copied."""


@dataclass(frozen=True, slots=True, repr=False)
class Leak(Displayed):
    """A function that looked ahead: at which instant, which rows it used, and what its values were.

    ``rows`` are few rows that were not knowable; that they are *removed*, *replaced* or *added* changes the value. They are as they were before, added
    ones as they are after.
    """

    at: int
    change: Change
    dataset: Dataset
    rows: pl.DataFrame
    before: Any
    after: Any

    def __str__(self) -> str:
        since = "not known then"
        if "known_at" in self.rows.columns:
            since = "never known"
            if self.rows["known_at"][0] is not None:
                since = f"known from {self.rows['known_at'][0]} on"
        return (
            f"at {format_time(self.at)} the value is {_short(self.before)}, and {_short(self.after)} "
            f"if {self.rows.height} rows of {self.dataset} are {self.change}, which are {since}:\n{self.rows}"
        )

    def _summary(self) -> dict[str, Any]:
        return {
            "at": format_time(self.at),
            "change": self.change,
            "dataset": str(self.dataset),
            "rows": self.rows.height,
        }


@dataclass(frozen=True, slots=True, repr=False)
class LookAheadReport(Displayed):
    """What a check found: how many values were compared, and each instant at which the function looked ahead."""

    compared: int
    leaks: tuple[Leak, ...] = ()

    def __bool__(self) -> bool:
        """Whether nothing looked ahead."""
        return not self.leaks

    def _summary(self) -> dict[str, Any]:
        return {"compared": self.compared, "leaks": len(self.leaks)}


def check_no_lookahead(
    fn: Callable[[View, int], Any],
    lake: View,
    *,
    exchange: str,
    symbol: str,
    instants: Any,
    datasets: str | Sequence[str] | None = None,
    knowledge: str = "default",
    history: DurationLike = "30d",
    seed: int = 0,
    raises: bool = True,
) -> LookAheadReport:
    """Check that a function uses nothing that was not knowable at the instant that it is asked for.

    Parameters
    ----------
    fn
        Is called with a view of the lake, which has all methods that read, and the instant in nanoseconds; it returns any value, like a number, a
        frame or a mapping. For a function of frames: ``lambda lake, at: feature(lake.frame("binance", "BTC/USDT", at))``.
    lake
        A lake, or a snapshot of it. It is not changed: the rows that are changed are copies in memory.
    instants
        At which the function is asked. Add those at which bars close, to the nanosecond: mistakes show there.
    datasets
        Whose rows are changed: names or patterns; by default all of the symbol.
    knowledge
        From when on rows are known, see :mod:`ticklake.core.knowledge`.
    history
        How much time before the first instant the function sees. Of bars it sees a thousand, at least.
    seed
        Of the random values.
    raises
        Raise an error at the first instant at which the function looks ahead; else the report has all of them.

    Raises
    ------
    LooksAhead
        If the function looks ahead. The error has the instant, the rows, and the values with and without them (``leak``).
    BadInput
        If the function returns other values for the same rows.
    UnknownDataset
        If the lake has no such datasets.
    """
    at = parse_instants(instants)
    world = World.of(lake, exchange, symbol, at, datasets, parse_knowledge(knowledge), parse_duration(history), seed)
    compared = 0
    leaks: list[Leak] = []
    for instant in at.tolist():
        value = fn(world.view(instant), instant)
        # A function that draws numbers would differ over any rows.
        if not _is_same(value, fn(world.view(instant), instant)):
            raise BadInput(
                f"the function returns other values for the same rows at {format_time(instant)}: seed its randomness"
            )
        for change in CHANGES:
            compared += 1
            leak = _leak(fn, world, instant, change, value)
            if leak is None:
                continue
            if raises:
                raise LooksAhead(f"the function looks ahead: {leak}", leak)
            leaks.append(leak)
            break
    return LookAheadReport(compared, tuple(leaks))


def _leak(fn: Callable[[View, int], Any], world: World, at: int, change: Change, value: Any) -> Leak | None:
    """Return what differs if rows are changed that were not knowable; ``None`` if nothing does."""
    other = _call(fn, world.changed(at, change).view(at), at)
    if _is_same(value, other):
        return None
    return _smallest(fn, world, at, change, value, other)


@dataclass(frozen=True)
class World:
    """Rows of some datasets in memory, each with the instant from which it is known.

    ``newest_only`` are rows of which the newest value is not known before that, though an older one is: they are replaced, and never removed.
    """

    lake: View
    rows: Mapping[Dataset, pl.DataFrame]
    known: Mapping[Dataset, np.ndarray[Any, np.dtype[np.int64]]]
    newest_only: Mapping[Dataset, np.ndarray[Any, np.dtype[np.bool_]]]
    knowledge: Knowledge = "default"
    seed: int = 0
    known_until: int | None = None

    @classmethod
    def of(
        cls,
        lake: View,
        exchange: str,
        symbol: str,
        at: np.ndarray[Any, np.dtype[np.int64]],
        datasets: str | Sequence[str] | None = None,
        knowledge: Knowledge = "default",
        history: int = 30 * DAY,
        seed: int = 0,
    ) -> World:
        """Copy the rows of a symbol, or of the datasets that are named, around instants."""
        if not at.size:
            raise BadInput("instants is empty: name at least one")
        rows: dict[Dataset, pl.DataFrame] = {}
        known: dict[Dataset, Any] = {}
        newest_only: dict[Dataset, Any] = {}
        for dataset in _chosen(lake, exchange, symbol, datasets):
            before = history
            if dataset.timeframe is not None:
                before = max(before, 1_000 * dataset.timeframe.length)
            span = Span(max(int(at.min()) - before, ALL_TIME.start), min(int(at.max()) + _FUTURE, ALL_TIME.end))
            frame, keying = _read(lake, dataset, span)
            revisions = lake.engine.catalog.revisions(dataset, span)
            rows[dataset] = frame
            known[dataset], newest_only[dataset] = row_known_at(
                frame, dataset, knowledge, lake.engine.lags, keying, revisions
            )
        return cls(lake, rows, known, newest_only, knowledge, seed)

    def view(self, now: int) -> View:
        """Return a view of these rows; it is *now* by its clock."""
        return View(overlaid(self.lake.engine, self.rows, lambda: now, known_until=self.known_until), None)

    def changed(self, at: int, change: Change, only: Mapping[Dataset, Any] | None = None) -> World:
        """Return the world with the rows changed that were not knowable at an instant; of *only* these places, if they are named."""
        rows = dict(self.rows)
        for dataset, frame in self.rows.items():
            unknown = np.flatnonzero(self.known[dataset] > at)
            if only is not None:
                unknown = np.intersect1d(unknown, only.get(dataset, _NO_PLACES))
            if change == "removed":
                # An older value of these was known: the row was there.
                gone = unknown[~self.newest_only[dataset][unknown]]
                if gone.size:
                    rows[dataset] = frame[np.setdiff1d(np.arange(frame.height), gone)]
            elif change == "replaced":
                rows[dataset] = _replaced(frame, dataset, unknown, self._random(dataset, at))
            else:
                rows[dataset] = self._with_added(dataset, at, only)
        known_until: int | None = None
        if change == "removed" and only is None:
            known_until = at
        return replace(self, rows=rows, known_until=known_until)

    def added(self, dataset: Dataset, at: int) -> pl.DataFrame:
        """Return rows to add to a dataset that are not knowable at an instant."""
        rows = _added(self.rows[dataset], dataset, at, self._random(dataset, at))
        known, _ = row_known_at(rows, dataset, self.knowledge, self.lake.engine.lags)
        return rows.filter(pl.Series(known > at, dtype=pl.Boolean))

    def _with_added(self, dataset: Dataset, at: int, only: Mapping[Dataset, Any] | None) -> pl.DataFrame:
        frame = self.rows[dataset]
        if only is not None and dataset not in only:
            return frame
        new = self.added(dataset, at)
        if not new.height:
            return frame
        return pl.concat([frame, new]).sort(*dataset.spec.order, maintain_order=True)

    def _random(self, dataset: Dataset, at: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, len(str(dataset)), at % 2**32])


def _chosen(lake: View, exchange: str, symbol: str, names: str | Sequence[str] | None) -> list[Dataset]:
    patterns = names
    if isinstance(patterns, str):
        patterns = [patterns]
    wanted = (exchange_id(exchange), Symbol(symbol))
    chosen: list[Dataset] = []
    for dataset in lake.datasets():
        # When splits and dividends were known, nothing says.
        if dataset.kind in ("splits", "dividends"):
            continue
        if patterns is None:
            is_chosen = (dataset.exchange, dataset.symbol) == wanted
        else:
            is_chosen = any(map(dataset.matches, patterns))
        if is_chosen:
            chosen.append(dataset)
    if not chosen:
        raise UnknownDataset(f"the lake has no dataset of {symbol} on {exchange}: lake.datasets() lists what it has")
    return chosen


def _read(lake: View, dataset: Dataset, span: Span) -> tuple[pl.DataFrame, str]:
    store = lake.engine.store

    def attempt() -> tuple[pl.DataFrame, str]:
        view = store.view(dataset, span)
        return read_rows(store, view), view.keying

    return retried(attempt)


def _replaced(frame: pl.DataFrame, dataset: Dataset, places: Any, random: np.random.Generator) -> pl.DataFrame:
    """Return rows with other numbers and sides at *places*; their keys and times stay."""
    if not places.size:
        return frame
    chosen = np.zeros(frame.height, dtype=np.bool_)
    chosen[places] = True
    columns: list[pl.Series] = []
    for series in frame.get_columns():
        other = _other_values(series, dataset, random)
        columns.append(other.zip_with(pl.Series(chosen), series).alias(series.name))
    return pl.DataFrame(columns)


def _other_values(series: pl.Series, dataset: Dataset, random: np.random.Generator) -> pl.Series:
    """Return other values of a column, or the same ones if they tell rows apart."""
    if series.name in ("ts", "id", "seq", "n", "provenance") or (series.name == "price" and dataset.kind == "book"):
        return series
    if series.dtype.is_float():
        return series * pl.Series(random.uniform(0.5, 2.0, len(series)))
    if series.name == "trades" and series.dtype.is_integer():
        return series + 7
    if series.name == "side" and dataset.kind == "trades":
        return series.replace({"buy": "sell", "sell": "buy"})
    return series


def _added(frame: pl.DataFrame, dataset: Dataset, at: int, random: np.random.Generator) -> pl.DataFrame:
    """Return rows that were not knowable: later ones, and where rows say when they came, some that came late."""
    if not frame.height:
        return frame
    ts = frame["ts"].to_physical()
    near = min(int(ts.search_sorted(at)), frame.height - 1)
    if dataset.spec.bars and dataset.timeframe is not None:
        first = dataset.timeframe.floor(at, dataset.anchor)
        opens = pl.Series(range(first, first + 3 * dataset.timeframe.length, dataset.timeframe.length))
        return _like(frame, near, opens.filter(~opens.is_in(ts.implode())).to_list(), None, random)
    offsets = random.integers(1, MINUTE, 8)
    moments = [at + 1, *(at + offsets).tolist()]
    added = _like(frame, near, sorted(moments), sorted(moments), random)
    if "received_at" in frame.columns:
        # The lake takes rows that came within a day for live ones.
        happened = np.sort(at - random.integers(0, 30 * MINUTE, 8))
        came = at + random.integers(1, MINUTE, 8)
        added = pl.concat([added, _like(frame, near, happened.tolist(), came.tolist(), random)])
    return added


def _like(
    frame: pl.DataFrame, near: int, times: Sequence[int], received: Sequence[int] | None, random: np.random.Generator
) -> pl.DataFrame:
    """Return rows at *times* with values around those of one row."""
    count = len(times)
    rows = pl.concat([frame.clear(), *[frame.slice(near, 1)] * count])
    columns: list[pl.Series] = []
    for series in rows.get_columns():
        if series.name == "ts":
            series = pl.Series("ts", times, dtype=pl.Int64).cast(TIME)
        elif series.name == "received_at" and received is not None:
            series = pl.Series("received_at", received, dtype=pl.Int64).cast(TIME)
        elif series.name == "id" and series.dtype == pl.String:
            numbers = map(str, random.integers(0, 2**62, count).tolist())
            series = pl.Series("id", list(map("added-".__add__, numbers)), dtype=pl.String)
        elif series.dtype.is_float():
            series = (series * pl.Series(random.uniform(0.5, 2.0, count))).alias(series.name)
        columns.append(series)
    return pl.DataFrame(columns, schema=frame.schema)


def _smallest(fn: Callable[[View, int], Any], world: World, at: int, change: Change, before: Any, after: Any) -> Leak:
    """Return the leak with as few rows as a search by halves finds."""

    def value_with(dataset: Dataset, places: Any) -> Any:
        return _call(fn, world.changed(at, change, {dataset: places}).view(at), at)

    for dataset in world.rows:
        places = np.flatnonzero(world.known[dataset] > at)
        value = value_with(dataset, places)
        if _is_same(before, value):
            continue
        if change == "added":
            rows = world.added(dataset, at).select(dataset.spec.names)
            return Leak(at, change, dataset, rows, before, value)
        places, value = _halved(places, value, partial(value_with, dataset), before)
        return Leak(at, change, dataset, _shown(world, dataset, places), before, value)
    # Only all of them together, or what was looked at later, change the value.
    first = next(iter(world.rows))
    return Leak(at, change, first, _shown(world, first, np.flatnonzero(world.known[first] > at)), before, after)


def _halved(places: Any, value: Any, value_with: Callable[[Any], Any], before: Any) -> tuple[Any, Any]:
    """Return as few of the places as change the value when they are halved again and again, and the value with them."""
    while len(places) > 1:
        half, rest = np.array_split(places, 2)
        other = value_with(half)
        if _is_same(before, other):
            half, other = rest, value_with(rest)
        # Neither half alone changes the value: rows of both are needed.
        if _is_same(before, other):
            break
        places, value = half, other
    return places, value


def _shown(world: World, dataset: Dataset, places: Any) -> pl.DataFrame:
    rows: pl.DataFrame = world.rows[dataset][places].select(dataset.spec.names)
    known = pl.Series("known_at", world.known[dataset][places], dtype=pl.Int64)
    never = pl.Series([None], dtype=pl.Int64)
    shown: pl.DataFrame = rows.with_columns(known.zip_with(known != NEVER, never).cast(TIME).alias("known_at"))
    return shown


def _call(fn: Callable[[View, int], Any], view: View, at: int) -> Any:
    """Return the value of a function over changed rows; there, an error is a value, too."""
    try:
        return fn(view, at)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same: equal to the last bit, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Frame):
        return one.digest() == bytes(other.digest())
    if isinstance(one, pl.DataFrame | pl.Series):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and _bytes_of(one) == _bytes_of(other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, pl.LazyFrame):
        return _is_same(one.collect(), other.collect())
    if isinstance(one, float):
        return bool(one == other or (one != one and other != other))
    try:
        return bool(one == other)
    except (TypeError, ValueError, RuntimeError):
        # Tensors, and frames of other libraries, compare value by value.
        return pickle.dumps(one) == pickle.dumps(other)


def _bytes_of(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype == object:
        return array.tolist()
    return array.tobytes()


def _short(value: Any) -> str:
    text = repr(value)
    if len(text) <= 200:
        return text
    return f"{text[:200]}..."
