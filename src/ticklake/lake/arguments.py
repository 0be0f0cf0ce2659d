"""Parsing of the arguments of a lake's methods: names of datasets, times, lists, paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import unified
from ticklake.core.lookup import did_you_mean, is_pattern
from ticklake.core.provenance import Provenance
from ticklake.core.requests import BackfillRequest
from ticklake.core.selection import parse_count
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import TimeLike, parse_time
from ticklake.core.words import Columns, DatasetLike
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, UnknownDataset

__all__ = [
    "Columns",
    "DatasetLike",
    "all_datasets",
    "as_items",
    "as_list",
    "as_path",
    "as_provenance",
    "as_request",
    "check_tolerance",
    "cure_of",
    "datasets_of",
    "known_dataset",
    "known_exchange",
    "matching_datasets",
    "optional_count",
    "optional_time",
    "present_datasets",
    "span_of_interest",
    "version_and_time",
]

_FIRST_TIME = 10**12
"""Smaller integers are versions: as nanoseconds they would be times in the first quarter of an hour of 1970."""
_MOST_HINTS = 3
_SIMILARITY = 0.7
"""The least similarity (0 to 1) of a name that an error proposes; a name of the same symbol needs none."""


def as_list(name: str, value: Any) -> list[Any]:
    """Return the argument *name* as a list; a single text, dataset or path becomes a list of one.

    Raises
    ------
    BadInput
        If it is no list.
    """
    # A text is iterable, too: its letters would be the items.
    if isinstance(value, str | Dataset | Path):
        return [value]
    if not isinstance(value, Iterable):
        raise BadInput(f"{name}={value!r} is no list: pass one, or several in a list")
    return list(value)


def as_path(name: str, value: Any) -> Path:
    """Return the argument *name* as a path.

    Raises
    ------
    BadInput
        If it is neither a text nor a path, or is empty, which would mean the working directory.
    """
    if not isinstance(value, str | Path) or value == "":
        raise BadInput(f"{name}={value!r} is no path: pass a text or a pathlib.Path that names a file or folder")
    return Path(value).expanduser()


def as_provenance(value: Any) -> Provenance:
    """Return the provenance of rows; a text is the name of a source.

    Raises
    ------
    BadInput
        If it is neither a text nor a provenance.
    """
    if isinstance(value, str):
        return Provenance(value)
    if not isinstance(value, Provenance):
        raise BadInput(f"provenance={value!r} is none: pass a text, like 'user', or a Provenance")
    return value


def as_items(value: Any) -> list[tuple[Dataset, Any]]:
    """Return pairs of a dataset and its rows.

    Raises
    ------
    BadInput
        If one of them is no pair.
    """
    pairs = as_list("items", value)
    # All are checked before the first name is parsed: the error is about the shape of the argument.
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise BadInput(f"{pair!r} is no pair: pass pairs of a dataset and its rows, like [(name, rows), ...]")
    return [(Dataset.parse(dataset), rows) for dataset, rows in pairs]


def as_request(exchange: str | BackfillRequest, *arguments: Any, **options: Any) -> BackfillRequest:
    """Return the request that was passed in the place of the exchange, or make one of the arguments."""
    if isinstance(exchange, BackfillRequest):
        return exchange
    return BackfillRequest.of(exchange, *arguments, **options)


def optional_count(name: str, value: int | None, least: int = 0, *, of: str = "rows") -> int | None:
    """Check a count like :func:`~ticklake.core.selection.parse_count`, unless it was left out."""
    if value is None:
        return None
    return parse_count(name, value, least, of=of)


def optional_time(value: TimeLike | None) -> int | None:
    """Return a time in nanoseconds, unless it was left out."""
    if value is None:
        return None
    return parse_time(value)


def check_tolerance(value: Any) -> None:
    """Refuse a tolerance that is no share: no finite number from 0 on."""
    # True and False are integers, too.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise BadInput(f"tolerance={value!r} is no share: pass a number from 0 on, like 1e-6")


def known_dataset(engine: Engine, dataset: DatasetLike) -> Dataset:
    """Return the dataset of that name, which the lake must have; its symbol may be the exchange's own id of a market.

    Raises
    ------
    UnknownDataset
        If it has none of this name.
    UnknownSymbol
        If several markets of the exchange have that id.
    """
    parsed = Dataset.parse(dataset)
    # The list of markets is long: it is read only for a name that the lake does not have.
    if engine.catalog.has(parsed):
        return engine.catalog.with_kind(parsed)
    unified_name = _by_native_id(engine, parsed)
    if unified_name != parsed and engine.catalog.has(unified_name):
        return engine.catalog.with_kind(unified_name)
    raise UnknownDataset(f"the lake has no {parsed}: {_hint(engine, parsed)}")


def _by_native_id(engine: Engine, dataset: Dataset) -> Dataset:
    """Return the dataset under its unified symbol, if its symbol is a native id in the lake's list of the exchange's markets."""
    from ticklake.catalog.instruments import Instruments

    listed = Instruments(engine.catalog.database, engine.now).history(dataset.exchange)
    return replace(dataset, symbol=Symbol(unified(str(dataset.symbol), listed)))


def _hint(engine: Engine, dataset: Dataset) -> str:
    """Return the part of an error that proposes datasets with a similar name, or says where to look."""
    known = all_datasets(engine)
    cure = cure_of(known, dataset)
    if cure:
        return cure
    same_symbol = [other for other in known if other.symbol == dataset.symbol]
    similar: list[str] = []
    # Who names no variant means collected rows, not those that are made of them.
    if dataset.variant is None:
        similar = _nearest(dataset, [other for other in same_symbol if other.variant is None], 0)
    similar += _nearest(dataset, same_symbol, 0)
    similar += _nearest(dataset, known, _SIMILARITY)
    if similar:
        different = list(dict.fromkeys(similar))
        return f"did you mean {' or '.join(different[:_MOST_HINTS])}?"
    if known:
        return "'ticklake list' shows what it holds"
    return "it holds nothing yet"


def _nearest(dataset: Dataset, known: Iterable[Dataset], similarity: float) -> list[str]:
    return get_close_matches(str(dataset), list(map(str, known)), _MOST_HINTS, similarity)


def cure_of(known: Sequence[Dataset], dataset: Dataset) -> str:
    """Say how bars that the lake does not have can be made of what it has, or which it made already; empty if they cannot."""
    wanted = (dataset.exchange, dataset.kind, dataset.symbol, dataset.timeframe, None)
    for other in known:
        is_variant = other.variant is not None
        if is_variant and (other.exchange, other.kind, other.symbol, other.timeframe, dataset.variant) == wanted:
            return f"{other} is made of others"
    made = _made_of(known, dataset)
    if made is None:
        return ""
    return f"lake.resample('{made}', '{dataset.timeframe}') makes it, and lake.derive(...) keeps it"


def _made_of(known: Sequence[Dataset], dataset: Dataset) -> Dataset | None:
    """Return the longest bars, or else the trades, of which bars that the lake does not have can be made."""
    from ticklake.query.resample import can_become

    frame = dataset.timeframe
    if dataset.kind != "ohlcv" or dataset.variant is not None or frame is None:
        return None
    fit: list[Dataset] = []
    for other in known:
        is_of_market = (other.exchange, other.symbol, other.variant) == (dataset.exchange, dataset.symbol, None)
        if is_of_market and other.kind in ("ohlcv", "trades") and can_become(other, frame):
            fit.append(other)
    return max(fit, key=_length_of_bars, default=None)


def _length_of_bars(dataset: Dataset) -> int:
    if dataset.timeframe is None:
        return 0
    return dataset.timeframe.length


def known_exchange(engine: Engine, name: str) -> str:
    """Return the id of the exchange of that name, of which the lake must have something.

    Raises
    ------
    UnknownDataset
        If it has nothing of it: a filter that matches nothing is mostly a typing error.
    """
    exchange = exchange_id(name)
    known = sorted({dataset.exchange for dataset in all_datasets(engine)})
    if exchange in known:
        return exchange
    if not known:
        raise UnknownDataset(f"the lake has nothing of exchange {exchange!r}: it holds nothing yet")
    hint = did_you_mean(exchange, known)
    raise UnknownDataset(f"the lake has nothing of exchange {exchange!r}{hint}: it has {', '.join(known)}")


def all_datasets(engine: Engine) -> list[Dataset]:
    """Return the datasets of the lake."""
    return [row.dataset for row in engine.catalog.datasets()]


def matching_datasets(engine: Engine, names: Any) -> list[Dataset]:
    """Return the datasets that names or patterns match, each once; all of the lake for ``None``.

    Raises
    ------
    UnknownDataset
        If the lake has none of a name.
    """
    known = engine.catalog.with_kinds(Dataset.parse(name) for name, *_ in engine.catalog.inventory())
    if names is None:
        return known
    # Keys of a dict are a set that keeps its order.
    chosen: dict[Dataset, None] = {}
    for name in map(str, as_list("datasets", names)):
        matching = [dataset for dataset in known if dataset.matches(name)]
        if not matching and is_pattern(name):
            raise UnknownDataset(f"the lake has no {name}: 'ticklake list' shows what it holds")
        if not matching:
            matching = [known_dataset(engine, name)]
        chosen.update(dict.fromkeys(matching))
    return list(chosen)


def present_datasets(engine: Engine, names: Iterable[str]) -> list[Dataset]:
    """Return the datasets of the lake that names or patterns mean, each once; a name that it does not have yet means none.

    Raises
    ------
    UnknownSymbol
        If a name has the id of several markets.
    """
    known = [row.dataset for row in engine.catalog.datasets()]
    chosen: dict[Dataset, None] = {}
    for name in names:
        if is_pattern(name):
            chosen.update(dict.fromkeys(dataset for dataset in known if dataset.matches(name)))
            continue
        try:
            chosen[known_dataset(engine, name)] = None
        except UnknownDataset:
            continue
    return list(chosen)


def datasets_of(engine: Engine, what: DatasetLike | None) -> list[Dataset]:
    """Return all datasets of the lake, those of an exchange, or the one that is named.

    Raises
    ------
    UnknownDataset
        If the lake has nothing of the exchange, or no dataset of the name.
    """
    if what is None:
        return all_datasets(engine)
    if isinstance(what, str) and ":" not in what:
        exchange = known_exchange(engine, what)
        return [dataset for dataset in all_datasets(engine) if dataset.exchange == exchange]
    return [known_dataset(engine, what)]


def span_of_interest(
    engine: Engine, dataset: Dataset, start: TimeLike | None = None, end: TimeLike | None = None
) -> Span | None:
    """Return ``[start, end)``; a bound that is left out is the bound of the dataset's rows and coverage.

    Returns ``None`` if a bound is left out and the dataset has neither rows nor coverage.
    """
    if start is not None and end is not None:
        return Span.parse(start, end)
    whole = engine.known(dataset)
    if whole is None:
        return None
    if start is None:
        start = whole.start
    if end is None:
        end = whole.end
    return Span.parse(start, end)


def version_and_time(engine: Engine, moment: TimeLike) -> tuple[int, int]:
    """Return the version that *moment* names, a version or a time, and the time that counts as now for it.

    Raises
    ------
    BadInput
        If the lake has no such version yet.
    """
    catalog = engine.catalog
    newest = catalog.version()
    if isinstance(moment, int) and not isinstance(moment, bool) and moment < _FIRST_TIME:
        if not 0 <= moment <= newest:
            raise BadInput(f"the lake has no version {moment}: versions go from 0 to {newest}")
        if moment == newest:
            return moment, engine.now()
        return moment, catalog.committed_at(moment) or 0
    time = parse_time(moment)
    return catalog.version_at(time), min(time, engine.now())
