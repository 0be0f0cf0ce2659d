"""Values of feature sets as of an instant, by the same rule for one instant, for many, and for joins."""

from __future__ import annotations

import json
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import polars as pl

from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.core.asof import take
from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike
from ticklake.core.feature_rows import ANY_EXCHANGE
from ticklake.core.feature_values import Steps, newest_per_instant, rows_as_of, with_known
from ticklake.core.features import FeatureRef, FeatureSet, RegisteredFeatures
from ticklake.core.kinds import PROVENANCE, TIME
from ticklake.core.knowledge import Knowledge
from ticklake.core.lookup import did_you_mean
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, InvalidName, TicklakeWarning, UnknownDataset, UnknownFeatures

__all__ = [
    "ACTIVE",
    "DELETED",
    "DEPRECATED",
    "dataset_for",
    "datasets_of",
    "features_at",
    "features_of_frames",
    "join",
    "latest",
    "lineage",
    "registered",
    "stored_rows",
]

ACTIVE, DEPRECATED, DELETED = "active", "deprecated", "deleted"
_MOST_STEPS = 64
"""Datasets whose steps are kept in memory, for each lake."""
_LINEAGE: dict[str, Any] = {
    "dataset": pl.String(),
    "rows": pl.Int64(),
    "first": TIME,
    "last": TIME,
    "source": pl.String(),
    "code": pl.String(),
    "code_hash": pl.String(),
    "lake_version": pl.Int64(),
    "knowledge": pl.String(),
    "inputs": pl.List(pl.String()),
    "frame": pl.String(),
    "note": pl.String(),
}


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


def dataset_for(engine: Engine, features: FeatureSet, exchange: str | None, symbol: str) -> Dataset | None:
    """Return the dataset with the values of a symbol: that of the exchange, or the one of no exchange; ``None`` if there is none.

    Raises
    ------
    BadInput
        If no exchange is named and several have the symbol.
    """
    head = _head_for(engine, features, exchange, symbol)
    return None if head is None else head.dataset


def _head_for(engine: Engine, features: FeatureSet, exchange: str | None, symbol: str) -> DatasetRow | None:
    """Return what the catalog says of the dataset that :func:`dataset_for` finds."""
    if exchange is not None:
        for place in dict.fromkeys((exchange, ANY_EXCHANGE)):
            head = engine.catalog.dataset(features.dataset(place, symbol))
            if head is not None:
                return head
        return None
    found = [dataset for dataset in datasets_of(engine, features) if str(dataset.symbol) == symbol]
    if len(found) > 1:
        places = ", ".join(dataset.exchange for dataset in found)
        raise BadInput(f"{features} has values of {symbol} for {places}: say exchange=")
    return engine.catalog.dataset(found[0]) if found else None


def stored_rows(
    engine: Engine, datasets: Iterable[Dataset], span: Span = ALL_TIME, *, history: bool = True
) -> pl.DataFrame:
    """Return the rows of datasets of one feature set with ``exchange`` and ``symbol``, in order of time, all of one version.

    Without *history*, of several values of one instant only the one that became known last.
    """
    pinned = engine.at(engine.catalog.version(), engine.now())
    frames: list[pl.DataFrame] = []
    for dataset in datasets:
        rows = pinned.load(dataset, span)
        if not history:
            rows = newest_per_instant(rows)
        names = [pl.lit(dataset.exchange).alias("exchange"), pl.lit(str(dataset.symbol)).alias("symbol")]
        frames.append(rows.select(*names, pl.all()))
    if not frames:
        return pl.DataFrame()
    return pl.concat(frames).sort("ts", "exchange", "symbol", maintain_order=True)


@dataclass
class _StepsOfLake:
    """The steps of the datasets of a lake that were used last."""

    kept: OrderedDict[Any, tuple[int, Steps]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, engine: Engine, head: DatasetRow, knowledge: Knowledge) -> Steps:
        """Return the steps of a dataset; they are made anew when a commit has changed it."""
        key = (head.id, knowledge)
        entry = self.kept.get(key)
        if entry is None or entry[0] != head.changed_in:
            entry = (head.changed_in, Steps.of(engine.load(head.dataset), head.dataset, knowledge))
        with self.lock:
            self.kept[key] = entry
            self.kept.move_to_end(key)
            while len(self.kept) > _MOST_STEPS:
                self.kept.popitem(last=False)
        return entry[1]


_STEPS: WeakKeyDictionary[Engine, _StepsOfLake] = WeakKeyDictionary()


def _steps(engine: Engine, head: DatasetRow, knowledge: Knowledge) -> Steps:
    steps = _STEPS.get(engine)
    if steps is None:
        steps = _STEPS.setdefault(engine, _StepsOfLake())
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
    times = pl.Series("at", instants, pl.Int64)
    values: dict[str, pl.Series] = {}
    frames: dict[tuple[str, str], pl.DataFrame] = {}
    sets: dict[tuple[str, str], FeatureSet] = {}
    for text in refs:
        ref = FeatureRef.parse(text)
        identity = (ref.name, ref.version)
        if identity not in sets:
            sets[identity] = registered(engine, *identity).features
            frames[identity] = _values_at(engine, sets[identity], exchange, symbol, times, knowledge, max_age)
        for name in ref.names_in(sets[identity]):
            values[f"{sets[identity]}:{name}"] = frames[identity][name]
    return values


def features_of_frames(
    engine: Engine, refs: Sequence[str], exchange: str, symbol: str, instants: Sequence[int], knowledge: Knowledge
) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Return the values of features for frames, by instant, and the names of those of which the lake has no value of the symbol.

    Times are nanoseconds.
    """
    found = features_at(engine, refs, exchange, symbol, instants, knowledge)
    columns = {name: values.to_physical().to_list() for name, values in found.items()}
    by_instant: dict[int, dict[str, Any]] = {}
    for place, instant in enumerate(instants):
        by_instant[int(instant)] = {name: values[place] for name, values in columns.items()}
    return by_instant, [name for name in columns if _is_absent(engine, name, exchange, symbol)]


def _is_absent(engine: Engine, name: str, exchange: str, symbol: str) -> bool:
    ref = FeatureRef.parse(name)
    features = registered(engine, ref.name, ref.version, quiet=True).features
    return dataset_for(engine, features, exchange, symbol) is None


def _values_at(
    engine: Engine,
    features: FeatureSet,
    exchange: str | None,
    symbol: str,
    times: pl.Series,
    knowledge: Knowledge,
    max_age: int | None,
) -> pl.DataFrame:
    head = _head_for(engine, features, exchange, symbol)
    if head is None:
        return features.kind.empty().select(features.kind.names).clear(times.len())
    return _steps(engine, head, knowledge).at(times, max_age)


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
    frames = [_values_at(engine, features, exchange, symbol, times, knowledge, max_age) for symbol in symbols]
    names = pl.Series("symbol", symbols, pl.String)
    empty = features.kind.empty().select(features.kind.names)
    return pl.concat([empty, *frames]).select(names, pl.all())


def join(
    engine: Engine,
    left: pl.DataFrame,
    refs: Sequence[FeatureRef],
    *,
    at: str = "ts",
    by: str | None = "symbol",
    symbol: str | None = None,
    exchange: str | None = None,
    max_age: DurationLike | None = None,
    knowledge: Knowledge = "default",
    full_names: bool = False,
) -> pl.DataFrame:
    """Return *left* with the values of features that were known at each of its rows; see :meth:`ticklake.lake.features.FeatureReads.join`."""
    pinned = engine.at(engine.catalog.version(), engine.now())
    joined: list[pl.DataFrame] = [left]
    taken = dict.fromkeys(left.columns, "left")
    sets: dict[tuple[str, str], FeatureSet] = {}
    for ref in refs:
        identity = (ref.name, ref.version)
        if identity not in sets:
            sets[identity] = registered(pinned, *identity).features
    for identity, features in sets.items():
        wanted: list[str] = []
        for ref in refs:
            if (ref.name, ref.version) == identity:
                wanted += [name for name in ref.names_in(features) if name not in wanted]
        names = {name: f"{features}:{name}" if full_names else name for name in wanted}
        for name in names.values():
            if name in taken:
                raise BadInput(
                    f"{features} and {taken[name]} have a column {name!r}: say full_names=True, or rename it"
                )
            taken[name] = str(features)
        found = _found(pinned, features, left, at, by, symbol, exchange, max_age, knowledge)
        joined.append(found.select(pl.col(name).alias(new) for name, new in names.items()))
    return pl.concat(joined, how="horizontal")


def _found(
    engine: Engine,
    features: FeatureSet,
    left: pl.DataFrame,
    at: str,
    by: str | None,
    symbol: str | None,
    exchange: str | None,
    max_age: DurationLike | None,
    knowledge: Knowledge,
) -> pl.DataFrame:
    """Return the row of a feature set that counts for each row of *left*."""
    keys = left.select(pl.col(at).alias("_at"), _symbols_of(left, by, symbol).alias("_symbol"))
    groups = ["_symbol"]
    if exchange is None and "exchange" in left.columns:
        keys = keys.with_columns(left["exchange"].cast(pl.String).alias("_exchange"))
        groups = ["_exchange", "_symbol"]
    pairs = keys.select(groups).unique(maintain_order=True).drop_nulls()
    frames: list[pl.DataFrame] = []
    for row in pairs.iter_rows(named=True):
        dataset = _present(engine, features, row.get("_exchange", exchange), row["_symbol"])
        if dataset is not None:
            rows = with_known(engine.load(dataset), dataset, knowledge)
            frames.append(rows.with_columns(pl.lit(row[name], pl.String).alias(name) for name in groups))
    if not frames:
        return features.kind.empty().select(features.kind.names).clear(left.height)
    known = pl.concat(frames)
    return take(known, rows_as_of(keys, known, "_at", groups, max_age))


def _present(engine: Engine, features: FeatureSet, exchange: str | None, symbol: str) -> Dataset | None:
    try:
        return dataset_for(engine, features, exchange, symbol)
    except InvalidName:
        # A text that can be no symbol has no values. The row stays, as every row does.
        return None


def _symbols_of(left: pl.DataFrame, by: str | None, symbol: str | None) -> pl.Expr:
    if symbol is not None:
        return pl.lit(symbol, pl.String)
    if by is None or by not in left.columns:
        have = ", ".join(left.columns) or "none"
        raise BadInput(
            f"the frame has no column {by!r} of symbols (it has {have}): say by=, or symbol= if all rows are of one"
        )
    return pl.col(by).cast(pl.String)


def lineage(engine: Engine, datasets: Iterable[Dataset], span: Span = ALL_TIME) -> pl.DataFrame:
    """Return where rows of features came from: a row for each dataset and origin, in order of time."""
    pinned = engine.at(engine.catalog.version(), engine.now())
    origins = pinned.catalog.provenances()
    found: list[dict[str, Any]] = []
    for dataset in datasets:
        rows = pinned.load(dataset, span, columns=["ts"], provenance=True)
        counted = rows.group_by(PROVENANCE, maintain_order=True).agg(
            rows=pl.len().cast(pl.Int64), first=pl.col("ts").min(), last=pl.col("ts").max()
        )
        for row in counted.iter_rows(named=True):
            origin = origins[row.pop(PROVENANCE)]
            note = _note_of(origin.note)
            code = note.get("code") or origin.endpoint
            found.append(
                {
                    "dataset": str(dataset),
                    **row,
                    "source": origin.source,
                    "code": code,
                    "code_hash": note.get("code_hash"),
                    "lake_version": note.get("lake_version"),
                    "knowledge": note.get("knowledge"),
                    "inputs": note.get("inputs"),
                    "frame": note.get("frame"),
                    "note": origin.note,
                }
            )
    return pl.DataFrame(found, schema=_LINEAGE).sort("dataset", "first", maintain_order=True)


def _note_of(text: str) -> dict[str, Any]:
    """Return what materialising has noted; nothing for rows that users wrote."""
    try:
        note = json.loads(text)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}
