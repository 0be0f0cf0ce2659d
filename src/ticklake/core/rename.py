"""What names a dataset in the parameters of jobs and schedules, and what they are once it has another name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.requests import usual_kind
from ticklake.errors import BadInput, InvalidName, UnknownTimeframe

__all__ = ["names_dataset", "rename_in_parameters"]


def names_dataset(parameters: Mapping[str, Any], dataset: Dataset) -> bool:
    """Whether parameters name *dataset* itself; a pattern that matches it does not name it."""
    name = str(dataset)
    is_listed = name == parameters.get("dataset") or name in _listed(parameters, "datasets")
    return is_listed or bool(_symbols_of(parameters, dataset))


def rename_in_parameters(parameters: Mapping[str, Any], old: Dataset, new: Dataset) -> dict[str, Any]:
    """Return parameters that name *new* where they named *old*.

    Raises
    ------
    BadInput
        If they name other symbols of the same exchange as well, and *new* is of another exchange.
    """
    moved = dict(parameters)
    if moved.get("dataset") == str(old):
        moved["dataset"] = str(new)
    if "datasets" in moved:
        moved["datasets"] = _replaced(_listed(moved, "datasets"), [str(old)], str(new))
    named = _symbols_of(parameters, old)
    if not named:
        return moved
    symbols = _listed(parameters, "symbols")
    if new.exchange != old.exchange and len(named) < len(symbols):
        raise BadInput(f"it names other symbols of {old.exchange}, too, and {new} is of {new.exchange}")
    moved["exchange"] = new.exchange
    moved["symbols"] = _replaced(symbols, named, str(new.symbol))
    return moved


def _replaced(names: Iterable[str], old: Collection[str], new: str) -> list[str]:
    """Return *names* with *new* in the place of each of the *old* ones."""
    replaced: list[str] = []
    for name in names:
        if name in old:
            replaced.append(new)
        else:
            replaced.append(name)
    return replaced


def _symbols_of(parameters: Mapping[str, Any], dataset: Dataset) -> list[str]:
    """Return the symbols by which the parameters of a backfill name *dataset*."""
    if "exchange" not in parameters:
        return []
    timeframe = parameters.get("timeframe")
    kind = parameters.get("kind") or usual_kind(timeframe)
    found: list[str] = []
    for symbol in _listed(parameters, "symbols"):
        try:
            named = Dataset.of(parameters["exchange"], symbol, kind, timeframe)
        except (InvalidName, UnknownTimeframe):
            # Parameters that were written by hand may be wrong: they name no dataset then.
            continue
        if named == dataset:
            found.append(symbol)
    return found


def _listed(parameters: Mapping[str, Any], name: str) -> list[str]:
    value = parameters.get(name) or []
    if isinstance(value, str):
        return [value]
    return list(value)
