"""Rows in the formats that a client may ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl
from starlette.exceptions import HTTPException

from ticklake.core.csv_safety import escape_formulas
from ticklake.errors import BadInput
from ticklake.interfaces.schema import frame_text

__all__ = ["Format", "Layout", "Shape", "Times", "data_json", "encoded", "envelope", "format_of"]


class Format(StrEnum):
    """The format of rows."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """Its name in HTTP."""
        return _MEDIA_TYPES[self]


class Layout(StrEnum):
    """How rows lie in JSON: an object for each row, or a list for each column."""

    ROWS = "rows"
    COLUMNS = "columns"


class Times(StrEnum):
    """How times are written in text formats: as ISO 8601, or as integers of nanoseconds since 1970."""

    ISO = "iso"
    NS = "ns"


_MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_ACCEPTED = {
    "*/*": Format.JSON,
    "application/*": Format.JSON,
    "application/json": Format.JSON,
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
    "text/csv": Format.CSV,
    "text/*": Format.CSV,
    "application/vnd.apache.arrow.stream": Format.ARROW,
    "application/vnd.apache.parquet": Format.PARQUET,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are written."""

    format: Format = Format.JSON
    layout: Layout = Layout.ROWS
    times: Times = Times.ISO
    safe: bool = False

    def __post_init__(self) -> None:
        if self.layout is Layout.COLUMNS and self.format is not Format.JSON:
            raise BadInput(f"layout=columns is one of json, not of {self.format}: leave it out, or ask for json")
        if self.safe and self.format is not Format.CSV:
            raise BadInput(f"safe=true is for csv, not for {self.format}: leave it out, or ask for csv")

    def text(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows whose times are what text formats write."""
        if self.times is Times.NS:
            return rows.with_columns((pl.selectors.datetime() | pl.selectors.duration()).to_physical())
        return frame_text(rows)


def format_of(name: Format | None, accept: str | None) -> Format:
    """Return the format that a request asks for, by name or by what it accepts; JSON if it does not say.

    Raises
    ------
    HTTPException
        With status 406, if it accepts none of the formats.
    """
    if name is not None:
        return name
    if not accept:
        return Format.JSON
    best, best_weight = None, 0.0
    for part in accept.split(","):
        kind, *parameters = part.split(";")
        weight = _weight(parameters)
        known = _ACCEPTED.get(kind.strip().lower())
        if known is not None and weight > best_weight:
            best, best_weight = known, weight
    if best is None:
        kinds = ", ".join(kind.partition(";")[0] for kind in _MEDIA_TYPES.values())
        raise HTTPException(406, f"Accept: {accept[:200]} fits no format: accept one of {kinds}, or add ?format=")
    return best


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def data_json(rows: pl.DataFrame, shape: Shape) -> bytes:
    """Return rows as JSON: a list of objects, or an object of columns."""
    text = shape.text(rows)
    # Polars writes the rows: a dictionary for each row takes ten times as long.
    if shape.layout is Layout.COLUMNS:
        columns = text.select(pl.all().implode()).write_json()
        # The one row of that frame, without the list around it.
        return columns[1:-1].encode()
    return text.write_json().encode()


def envelope(data: bytes, facts: Mapping[str, Any]) -> bytes:
    """Return an object of *facts*, with what :func:`data_json` returned as ``data``."""
    head = json.dumps(facts)
    return b"".join((head[:-1].encode(), b', "data": ', data, b"}"))


def encoded(empty: pl.DataFrame, frames: Iterable[pl.DataFrame], shape: Shape) -> Generator[bytes]:
    """Yield rows in a format that is written piece by piece; *empty* has their columns."""
    return _ENCODERS[shape.format](empty, frames, shape)


def _ndjson(_empty: pl.DataFrame, frames: Iterable[pl.DataFrame], shape: Shape) -> Generator[bytes]:
    for part in _in_batches(frames):
        yield shape.text(part).write_ndjson().encode()


def _csv(empty: pl.DataFrame, frames: Iterable[pl.DataFrame], shape: Shape) -> Generator[bytes]:
    yield _csv_text(empty, shape, header=True)
    for part in _in_batches(frames):
        yield _csv_text(part, shape, header=False)


def _csv_text(rows: pl.DataFrame, shape: Shape, *, header: bool) -> bytes:
    # A cell has no place for a list: its items stand in it with commas between them.
    text = shape.text(rows).with_columns(pl.selectors.list().cast(pl.List(pl.String)).list.join(", "))
    if shape.safe:
        text = escape_formulas(text)
    return text.write_csv(include_header=header).encode()


def _arrow(empty: pl.DataFrame, frames: Iterable[pl.DataFrame], _shape: Shape) -> Generator[bytes]:
    from ticklake.storage.streams import arrow_stream

    return arrow_stream(empty, frames)


def _parquet(empty: pl.DataFrame, frames: Iterable[pl.DataFrame], _shape: Shape) -> Generator[bytes]:
    from ticklake.storage.streams import parquet_stream

    return parquet_stream(empty, frames)


def _in_batches(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut frames into pieces whose text is small enough to be held."""
    for frame in frames:
        yield from frame.iter_slices(_TEXT_ROWS)


_TEXT_ROWS = 1 << 14
_ENCODERS: dict[Format, Callable[[pl.DataFrame, Iterable[pl.DataFrame], Shape], Generator[bytes]]] = {
    Format.NDJSON: _ndjson,
    Format.CSV: _csv,
    Format.ARROW: _arrow,
    Format.PARQUET: _parquet,
}
