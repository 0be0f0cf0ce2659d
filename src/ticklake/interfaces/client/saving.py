"""Rows of one's own on their way to a remote lake."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import reduce
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import field_values
from ticklake.core.provenance import Provenance
from ticklake.core.results import Receipt
from ticklake.errors import BadInput
from ticklake.interfaces.client.connection import Connection, json_of
from ticklake.interfaces.client.rows import pieces_of
from ticklake.interfaces.client.wire import in_path, json_value, parameters
from ticklake.interfaces.decoding import from_json

__all__ = ["save_rows", "send_rows"]

_FEW = 5_000
"""Records of a body."""


def save_rows(connection: Connection, dataset: Dataset, rows: Any, provenance: Provenance | str) -> Receipt:
    """Send rows, piece by piece where they are many, and return what became of all of them.

    Raises
    ------
    TicklakeError
        As at hand; pieces that were saved before stay.
    """
    origin = provenance
    if isinstance(origin, str):
        origin = Provenance(origin)
    if not isinstance(origin, Provenance):
        raise BadInput(f"provenance={provenance!r} is none: pass a text, like 'user', or a Provenance")
    return send_rows(connection, f"/datasets/{in_path(dataset)}/rows", rows, parameters(origin.to_dict()))


def send_rows(connection: Connection, path: str, rows: Any, asked: Mapping[str, str]) -> Receipt:
    """Send rows to an address, and return what became of all of them."""
    receipts: list[Receipt] = []
    for body in _bodies(rows):
        answer = json_of(connection.send("POST", path, body, asked))
        receipts.append(from_json(Receipt, answer["data"]))
    return reduce(Receipt.__add__, receipts)


def _bodies(rows: Any) -> Iterator[Any]:
    """Yield rows as they are sent: frames as Arrow, all else as JSON."""
    if type(getattr(rows, "index", None)).__name__ == "DatetimeIndex" and "ts" not in rows.columns:
        # pandas: times are often the index.
        rows = rows.rename_axis("ts").reset_index()
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if hasattr(rows, "__arrow_c_stream__") and not isinstance(rows, pl.Series):
        yield from pieces_of(rows)
        return
    if isinstance(rows, Mapping):
        yield _plain(rows)
        return
    records = list(rows)
    # Nothing is saved, too, and its columns are looked at.
    for start in range(0, max(len(records), 1), _FEW):
        yield list(map(_plain, records[start : start + _FEW]))


def _plain(value: Any) -> Any:
    """Return a record or a value of it as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        value = field_values(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, pl.Series):
        return list(map(_plain, value))
    # Numbers of numpy.
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return json_value("", value)
