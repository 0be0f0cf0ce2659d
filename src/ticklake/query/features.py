"""Values of feature sets as of an instant, by the same rule for one instant, for many, and for joins."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.core.asof import take
from ticklake.core.dataset import Dataset
from ticklake.core.feature_rows import ANY_EXCHANGE
from ticklake.core.feature_values import Steps, newest_per_instant, rows_as_of, with_known
from ticklake.core.features import FeatureRef, FeatureSet, RegisteredFeatures
from ticklake.core.kinds import PROVENANCE
from ticklake.core.knowledge import Knowledge
from ticklake.core.lookup import did_you_mean
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, TicklakeWarning, UnknownDataset, UnknownFeatures
from ticklake.query.asof import load_versions, pinned

__all__ = [
    "ACTIVE",
    "DELETED",
    "DEPRECATED",
    "DERIVED",
    "JoinOptions",
    "drop_if_deleted",
    "datasets_of",
    "features_at",
    "features_of_frames",
    "join",
    "latest",
    "registered",
    "stored_rows",
]

ACTIVE, DEPRECATED, DELETED = "active", "deprecated", "deleted"
DERIVED = "derived"
"""The source of rows that a function made."""
_STEPS_BYTES = 64 * 1024**2
"""What the steps take that are kept in memory of each lake."""


def registered(engine: Engine, name: str, version: str, *, quiet: bool = False) -> RegisteredFeatures:
    """Return the feature set of that name and version; one that is deprecated gives a warning unless *quiet*.

    Raises
    ------
    UnknownFeatures
        If there is none.
    """
    record = engine.catalog.feature_set(name, version)
    # An older version of the lake may have the values of one that was deleted since.
    is_gone = record is not None and record.state == DELETED and engine.catalog.pinned is None
    if record is None or is_gone:
        raise UnknownFeatures(f"the lake has no feature set {name}@{version}: {_hint(engine, name, version)}")
    if record.state == DEPRECATED and not quiet:
        warnings.warn(f"{name}@{version} is deprecated: use another version", TicklakeWarning, stacklevel=4)
    return record


def drop_if_deleted(engine: Engine, features: FeatureSet, datasets: Iterable[Dataset]) -> None:
    """Drop what was just written if the feature set was deleted meanwhile: nobody could read it.

    Raises
    ------
    UnknownFeatures
        If it was.
    """
    record = engine.catalog.feature_set(features.name, features.version)
    if record is not None and record.state != DELETED:
        return
    for dataset in datasets:
        engine.drop(dataset)
    raise UnknownFeatures(f"{features} was deleted while rows of it were written: register it, and write them again")


def _hint(engine: Engine, name: str, version: str) -> str:
    known = [
        f"{row.name}@{row.version}"
        for row in FeatureSetTable(engine.catalog.database, engine.now).list()
        if row.state != DELETED
    ]
    if not known:
        return "it has none yet; lake.features.register() makes one"
    hint = did_you_mean(f"{name}@{version}", known)
    return f"'ticklake features list' shows those that it has{hint}"


def datasets_of(
    engine: Engine, features: FeatureSet, exchange: str | None = None, symbols: Sequence[str] | None = None
) -> list[Dataset]:
    """Return the datasets of a feature set, those of an exchange or of some symbols, sorted by name.

    Raises
    ------
    UnknownDataset
        If a symbol that is named has no values.
    """
    part = f":{features}:"
    found: list[Dataset] = []
    for name, *_ in engine.catalog.inventory():
        if part not in name:
            continue
        dataset = Dataset.parse(name)
        if dataset.kind_text == str(features) and exchange in (None, dataset.exchange):
            found.append(dataset.with_kind(features.kind))
    if symbols is None:
        return found
    known = {str(dataset.symbol) for dataset in found}
    for symbol in symbols:
        if symbol not in known:
            hint = did_you_mean(symbol, sorted(known))
            raise UnknownDataset(
                f"{features} has no values of {symbol}{hint}: lake.features.describe() shows its symbols"
            )
    return [dataset for dataset in found if str(dataset.symbol) in symbols]


def _head_for(engine: Engine, features: FeatureSet, exchange: str | None, symbol: str) -> DatasetRow | None:
    """Return what the catalog says of the dataset with the values of a symbol: that of the exchange, or the one of no exchange.

    Raises
    ------
    BadInput
        If no exchange is named and several have the symbol.
    """
    if exchange is None:
        return _Places(engine, features).head(None, symbol)
    # A live program asks for one symbol: it does not have to know of the others.
    for place in dict.fromkeys((exchange, ANY_EXCHANGE)):
        head = engine.catalog.dataset(features.dataset(place, symbol))
        if head is not None:
            return head
    return None


class _Places:
    """Where the values of each symbol are, of one feature set."""

    def __init__(self, engine: Engine, features: FeatureSet) -> None:
        self._features = features
        self._by_symbol: dict[str, dict[str, DatasetRow]] = {}
        _, heads = engine.catalog.heads(datasets_of(engine, features))
        for dataset, head in heads.items():
            self._by_symbol.setdefault(str(dataset.symbol), {})[dataset.exchange] = head

    def head(self, exchange: str | None, symbol: str) -> DatasetRow | None:
        """Return what the catalog says of the dataset with the values of a symbol; a text that is no symbol has none."""
        found = self._by_symbol.get(symbol, {})
        if exchange is not None:
            return found.get(exchange) or found.get(ANY_EXCHANGE)
        if len(found) > 1:
            raise BadInput(f"{self._features} has values of {symbol} for {', '.join(sorted(found))}: say exchange=")
        return next(iter(found.values()), None)


def stored_rows(
    engine: Engine,
    datasets: Iterable[Dataset],
    span: Span = ALL_TIME,
    *,
    history: bool = True,
    source: str | None = None,
) -> pl.DataFrame:
    """Return the rows of datasets of one feature set with ``exchange`` and ``symbol``, in order of time, all of one version.

    Without *history*, of several values of one instant only the one that became known last. With a *source*, only rows of that origin.
    """
    still = pinned(engine)
    origins = [number for number, origin in still.catalog.provenances().items() if origin.source == source]
    frames: list[pl.DataFrame] = []
    for dataset in datasets:
        rows = still.load(dataset, span, provenance=source is not None)
        if source is not None:
            rows = rows.filter(rows[PROVENANCE].is_in(origins)).drop(PROVENANCE)
        if not history:
            rows = newest_per_instant(rows)
        names = [pl.lit(dataset.exchange).alias("exchange"), pl.lit(str(dataset.symbol)).alias("symbol")]
        frames.append(rows.select(*names, pl.all()))
    if not frames:
        return pl.DataFrame()
    return pl.concat(frames).sort("ts", "exchange", "symbol", maintain_order=True)


class _StepsOfLake:
    """The steps of the datasets of a lake that were used last, up to so many bytes. It may be used from any thread."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._kept: OrderedDict[tuple[int, Knowledge], tuple[int, Steps]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def of(self, engine: Engine, head: DatasetRow, knowledge: Knowledge) -> Steps:
        """Return the steps of a dataset; they are made anew when a commit has changed it."""
        key = (head.id, knowledge)
        entry = self._kept.get(key)
        if entry is None or entry[0] != head.changed_in:
            entry = (head.changed_in, Steps.of(_known_rows(engine, head.dataset, knowledge)))
        with self._lock:
            self._keep(key, entry)
        return entry[1]

    def _keep(self, key: tuple[int, Knowledge], entry: tuple[int, Steps]) -> None:
        before = self._kept.pop(key, None)
        if before is not entry:
            self._size += entry[1].size
            if before is not None:
                self._size -= before[1].size
        self._kept[key] = entry
        while self._size > self._budget and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= dropped.size


def _known_rows(engine: Engine, dataset: Dataset, knowledge: Knowledge) -> pl.DataFrame:
    """Return the rows of a dataset with from when on each is known, and right before a row the values that it had earlier.

    A value that was corrected is known until the commit that corrected it, as in every other read.
    """
    if knowledge == "event" or not engine.catalog.has_history(dataset)[0]:
        return with_known(engine.load(dataset), dataset, knowledge)
    rows, known = load_versions(engine.store, dataset, ALL_TIME, knowledge, engine.lags)
    return rows.with_columns(known.alias("_known"))


_STEPS: WeakKeyDictionary[Engine, _StepsOfLake] = WeakKeyDictionary()


def _steps(engine: Engine, head: DatasetRow, knowledge: Knowledge) -> Steps:
    steps = _STEPS.get(engine)
    if steps is None:
        steps = _STEPS.setdefault(engine, _StepsOfLake(_STEPS_BYTES))
    return steps.of(engine, head, knowledge)


def features_at(
    engine: Engine,
    refs: Iterable[str | FeatureRef],
    exchange: str | None,
    symbol: str,
    instants: Sequence[int] | pl.Series,
    knowledge: Knowledge = "default",
    max_age: int | None = None,
) -> dict[str, pl.Series]:
    """Return the values of features of a symbol at each instant, by their text form, like ``momentum@v3:ret_5m``.

    Each is the newest that is known at the instant; null where there is none, or where its ``ts`` is older than *max_age*.
    One instant and many give the same values.
    """
    return _look_up(engine, refs, exchange, symbol, instants, knowledge, max_age)[0]


def features_of_frames(
    engine: Engine, refs: Sequence[str], exchange: str, symbol: str, instants: Sequence[int], knowledge: Knowledge
) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Return the values of features for frames, by instant, and the names of those of which the lake has no value of the symbol.

    Times are nanoseconds.
    """
    found, absent = _look_up(engine, refs, exchange, symbol, instants, knowledge, None)
    columns = {name: values.to_physical().to_list() for name, values in found.items()}
    by_instant: dict[int, dict[str, Any]] = {}
    for place, instant in enumerate(instants):
        by_instant[int(instant)] = {name: values[place] for name, values in columns.items()}
    return by_instant, absent


def _look_up(
    engine: Engine,
    refs: Iterable[str | FeatureRef],
    exchange: str | None,
    symbol: str,
    instants: Sequence[int] | pl.Series,
    knowledge: Knowledge,
    max_age: int | None,
) -> tuple[dict[str, pl.Series], list[str]]:
    """Return the values of features by name, and the names of those of which the lake has no value of the symbol."""
    times = pl.Series("at", instants, pl.Int64)
    values: dict[str, pl.Series] = {}
    absent: list[str] = []
    known: dict[tuple[str, str], tuple[FeatureSet, pl.DataFrame | None]] = {}
    for text in refs:
        ref = FeatureRef.parse(text)
        identity = (ref.name, ref.version)
        if identity not in known:
            features = registered(engine, *identity).features
            known[identity] = features, _values_at(engine, features, exchange, symbol, times, knowledge, max_age)
        features, found = known[identity]
        names = [f"{features}:{name}" for name in ref.names_in(features)]
        if found is None:
            absent += names
            found = _nothing(features, times.len())
        values.update(zip(names, (found[name] for name in ref.names_in(features)), strict=True))
    return values, absent


def _values_at(
    engine: Engine,
    features: FeatureSet,
    exchange: str | None,
    symbol: str,
    times: pl.Series,
    knowledge: Knowledge,
    max_age: int | None,
) -> pl.DataFrame | None:
    """Return the rows of a symbol that count at each of some times; ``None`` if there is no value of it at all."""
    head = _head_for(engine, features, exchange, symbol)
    if head is None:
        return None
    return _steps(engine, head, knowledge).at(times, max_age)


def _nothing(features: FeatureSet, height: int) -> pl.DataFrame:
    """Return rows of nulls."""
    return features.kind.empty().select(features.kind.names).clear(height)


def latest(
    engine: Engine,
    features: FeatureSet,
    exchange: str | None,
    symbols: Sequence[str],
    at: int,
    knowledge: Knowledge = "default",
    max_age: int | None = None,
) -> pl.DataFrame:
    """Return one row for each symbol: its newest values that are known at an instant, or nulls."""
    times = pl.Series("at", [at], pl.Int64)
    names = pl.Series("symbol", symbols, pl.String)
    if len(symbols) == 1:
        row = _values_at(engine, features, exchange, symbols[0], times, knowledge, max_age)
        if row is None:
            row = _nothing(features, 1)
        return row.insert_column(0, names)
    frames = [_nothing(features, 0)]
    places = _Places(engine, features)
    for symbol in symbols:
        head = places.head(exchange, symbol)
        if head is None:
            frames.append(_nothing(features, 1))
        else:
            frames.append(_steps(engine, head, knowledge).at(times, max_age))
    return pl.concat(frames).insert_column(0, names)


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """How the rows of a frame say of which symbol and instant they are, and which values count; see ``lake.features.join``."""

    at: str = "ts"
    by: str | None = "symbol"
    symbol: str | None = None
    exchange: str | None = None
    max_age: int | None = None
    knowledge: Knowledge = "default"
    full_names: bool = False


def join(engine: Engine, left: pl.DataFrame, refs: Sequence[FeatureRef], options: JoinOptions) -> pl.DataFrame:
    """Return *left* with the values of features that were known at each of its rows: one row for each, in its order."""
    still = pinned(engine)
    keys, groups = _keys(left, options)
    joined: list[pl.DataFrame] = [left]
    taken = dict.fromkeys(left.columns, "the frame")
    for features, names in _wanted(engine, refs).items():
        new_names = {name: name for name in names}
        if options.full_names:
            new_names = {name: f"{features}:{name}" for name in names}
        for name in new_names.values():
            if name in taken:
                raise BadInput(
                    f"{features} and {taken[name]} have a column {name!r}: say full_names=True, or rename it"
                )
            taken[name] = str(features)
        found = _found(still, features, keys, groups, options)
        joined.append(found.select(pl.col(name).alias(new) for name, new in new_names.items()))
    return pl.concat(joined, how="horizontal")


def _wanted(engine: Engine, refs: Sequence[FeatureRef]) -> dict[FeatureSet, list[str]]:
    """Return the columns that are wanted of each feature set, each once."""
    sets: dict[tuple[str, str], FeatureSet] = {}
    wanted: dict[FeatureSet, list[str]] = {}
    for ref in refs:
        identity = (ref.name, ref.version)
        if identity not in sets:
            sets[identity] = registered(engine, *identity).features
        names = wanted.setdefault(sets[identity], [])
        names += [name for name in ref.names_in(sets[identity]) if name not in names]
    return wanted


def _keys(left: pl.DataFrame, options: JoinOptions) -> tuple[pl.DataFrame, list[str]]:
    """Return instant, symbol and maybe exchange of each row, and the columns that tell datasets apart."""
    keys = left.select(pl.col(options.at).alias("_at"), _symbols_of(left, options).alias("_symbol"))
    if options.exchange is None and "exchange" in left.columns:
        return keys.with_columns(left["exchange"].cast(pl.String).alias("_exchange")), ["_exchange", "_symbol"]
    return keys, ["_symbol"]


def _symbols_of(left: pl.DataFrame, options: JoinOptions) -> pl.Expr:
    if options.symbol is not None:
        return pl.lit(options.symbol, pl.String)
    if options.by is None or options.by not in left.columns:
        have = ", ".join(left.columns) or "none"
        raise BadInput(
            f"the frame has no column {options.by!r} of symbols (it has {have}): say by=, or symbol= if all rows are of one"
        )
    return pl.col(options.by).cast(pl.String)


def _found(
    engine: Engine, features: FeatureSet, keys: pl.DataFrame, groups: list[str], options: JoinOptions
) -> pl.DataFrame:
    """Return the row of a feature set that counts for each of *keys*."""
    places = _Places(engine, features)
    frames: list[pl.DataFrame] = []
    for row in keys.select(groups).unique(maintain_order=True).drop_nulls().iter_rows(named=True):
        head = places.head(row.get("_exchange", options.exchange), row["_symbol"])
        if head is not None:
            rows = _known_rows(engine, head.dataset, options.knowledge)
            frames.append(rows.with_columns(pl.lit(row[name], pl.String).alias(name) for name in groups))
    if not frames:
        return _nothing(features, keys.height)
    known = pl.concat(frames)
    return take(known, rows_as_of(keys, known, "_at", groups, options.max_age))
