"""Reads what a user passed to the verbs of a lake: names of datasets, times, lists, paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.instrument import unified
from ticklake.core.provenance import Provenance
from ticklake.core.requests import BackfillRequest
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol, exchange_id
from ticklake.core.time import TimeLike, parse_time
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, UnknownDataset

__all__ = [
    "Columns",
    "DatasetLike",
    "as_items",
    "as_list",
    "as_path",
    "as_provenance",
    "as_request",
    "check_tolerance",
    "datasets_of",
    "known_dataset",
    "matching_datasets",
    "span_of_interest",
    "version_and_time",
]

Columns = str | Sequence[str]
DatasetLike = str | Dataset
_FIRST_TIME = 10**12
"""Smaller integers are versions."""
_MOST_HINTS = 3
_LIKENESS = 0.7
"""How alike two names must be for one to be proposed for the other; of the same symbol any name is."""


def as_list(name: str, value: Any) -> list[Any]:
    """Read a list that the caller passed as *name*; one text is a list of one.

    Raises
    ------
    BadInput
        If it is no list.
    """
    if isinstance(value, str | Dataset | Path):
        return [value]
    if not isinstance(value, Iterable):
        raise BadInput(f"{name}={value!r} is no list: pass one, or several in a list")
    return list(value)


def as_path(name: str, value: Any) -> Path:
    """Read a path that the caller passed as *name*.

    Raises
    ------
    BadInput
        If it is neither a text nor a path, or empty: that would be the folder of the process.
    """
    if not isinstance(value, str | Path) or value == "":
        raise BadInput(f"{name}={value!r} is no path: pass a text or a pathlib.Path that names a file or folder")
    return Path(value).expanduser()


def as_provenance(value: Any) -> Provenance:
    """Read where rows come from; a text is the name of the source.

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
    """Read pairs of a dataset and its rows.

    Raises
    ------
    BadInput
        If one of them is no pair.
    """
    pairs = as_list("items", value)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise BadInput(f"{pair!r} is no pair: pass pairs of a dataset and its rows, like [(name, rows), ...]")
    return [(Dataset.parse(dataset), rows) for dataset, rows in pairs]


def as_request(exchange: str | BackfillRequest, *parts: Any, **options: Any) -> BackfillRequest:
    """Return the request that was passed whole, or make one of its parts."""
    if isinstance(exchange, BackfillRequest):
        return exchange
    return BackfillRequest.of(exchange, *parts, **options)


def check_tolerance(value: Any) -> None:
    """Refuse a tolerance that is no share."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise BadInput(f"tolerance={value!r} is no share: pass a number from 0 on, like 1e-6")


def known_dataset(engine: Engine, dataset: DatasetLike) -> Dataset:
    """Read the name of a dataset that the lake has; its symbol may be the exchange's own id of one market.

    Raises
    ------
    UnknownDataset
        If it has none of this name.
    UnknownSymbol
        If several markets of the exchange have that id.
    """
    parsed = Dataset.parse(dataset)
    if engine.catalog.has(parsed):
        return parsed
    unified_name = _by_native_id(engine, parsed)
    if unified_name != parsed and engine.catalog.has(unified_name):
        return unified_name
    raise UnknownDataset(f"the lake has no {parsed}: {_hint(engine, parsed)}")


def _by_native_id(engine: Engine, dataset: Dataset) -> Dataset:
    """Return the dataset that is meant if the symbol is a native id in the list of markets that the lake has."""
    from ticklake.catalog.instruments import Instruments

    listed = Instruments(engine.catalog.database, engine.now).history(dataset.exchange)
    return replace(dataset, symbol=Symbol(unified(str(dataset.symbol), listed)))


def _hint(engine: Engine, dataset: Dataset) -> str:
    """Say which dataset was likely meant, or where to look."""
    known = {str(row.dataset): row.dataset for row in engine.catalog.datasets()}
    same_symbol = [name for name, other in known.items() if other.symbol == dataset.symbol]
    close = [
        *get_close_matches(str(dataset), same_symbol, _MOST_HINTS, 0),
        *get_close_matches(str(dataset), list(known), _MOST_HINTS, _LIKENESS),
    ]
    if close:
        different = list(dict.fromkeys(close))
        return f"did you mean {' or '.join(different[:_MOST_HINTS])}?"
    if known:
        return "'ticklake list' shows what it holds"
    return "it holds nothing yet"


def matching_datasets(engine: Engine, names: Any) -> list[Dataset]:
    """Return the datasets that names or patterns mean, each once; all of the lake for ``None``.

    Raises
    ------
    BadInput
        If the lake has none of a name.
    """
    known = [Dataset.parse(name) for name, *_ in engine.catalog.inventory()]
    if names is None:
        return known
    chosen: dict[Dataset, None] = {}
    for name in map(str, as_list("datasets", names)):
        found = [dataset for dataset in known if dataset.matches(name)]
        if not found:
            raise BadInput(f"the lake has no {name}: 'ticklake list' shows what it holds")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def datasets_of(engine: Engine, what: DatasetLike | None) -> list[Dataset]:
    """Return all datasets of the lake, those of an exchange, or the one that is named."""
    if what is None:
        return [row.dataset for row in engine.catalog.datasets()]
    if isinstance(what, str) and ":" not in what:
        exchange = exchange_id(what)
        return [row.dataset for row in engine.catalog.datasets() if row.dataset.exchange == exchange]
    return [known_dataset(engine, what)]


def span_of_interest(
    engine: Engine, dataset: Dataset, start: TimeLike | None = None, end: TimeLike | None = None
) -> Span | None:
    """Return ``[start, end)``; a bound that is left out is that of all the lake holds or has looked at.

    It is ``None`` where a bound is left out and the lake knows nothing of the dataset.
    """
    if start is not None and end is not None:
        return Span.parse(start, end)
    known = engine.known(dataset)
    if known is None:
        return None
    first = known.start if start is None else start
    last = known.end if end is None else end
    return Span.parse(first, last)


def version_and_time(engine: Engine, moment: TimeLike) -> tuple[int, int]:
    """Return the version that *moment* names, a version or a time, and the time at which it is looked at.

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
        committed_at = engine.now() if moment == newest else catalog.committed_at(moment)
        return moment, committed_at or 0
    time = parse_time(moment)
    return catalog.version_at(time), min(time, engine.now())
