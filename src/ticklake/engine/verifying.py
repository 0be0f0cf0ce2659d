"""Verifying: every segment is there and is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying, key_of
from ticklake.core.segment import Segment
from ticklake.engine.place import Store
from ticklake.errors import TicklakeError
from ticklake.storage.segments import decode_inline, digest, read_footer, scan_file

__all__ = ["Problem", "verify"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be: in which dataset and segment, and what."""

    dataset: str
    segment: str
    problem: str


def verify(store: Store, dataset: Dataset, *, deep: bool = False) -> Iterator[Problem]:
    """Check that each live segment exists, has its digest, count and range, is sorted, and has unique keys.

    With *deep*, every value is decoded again, and rows of files are compared with their footer.
    """
    _, row, segments = store.catalog.snapshot(dataset)
    for segment in segments:
        for problem in _problems(store, dataset, segment, row.keying if row else "natural", deep=deep):
            yield Problem(str(dataset), segment.name, problem)


def _problems(store: Store, dataset: Dataset, segment: Segment, keying: Keying, *, deep: bool) -> Iterator[str]:
    try:
        data = store.data(segment)
    except TicklakeError as error:
        yield str(error)
        return
    if len(data) != segment.size or digest(data) != segment.digest:
        yield "its bytes are not those that were written"
        return
    try:
        yield from _content(dataset, segment, data, keying, deep=deep)
    except (TicklakeError, pl.exceptions.PolarsError) as error:
        yield f"cannot be read: {str(error).partition(chr(10))[0]}"


def _content(dataset: Dataset, segment: Segment, data: bytes, keying: Keying, *, deep: bool) -> Iterator[str]:
    kind = dataset.spec
    key = key_of(kind, keying)
    if segment.path is None:
        frame = decode_inline(segment, kind)
    else:
        footer = read_footer(data, segment.name)
        if (footer.dataset, footer.id, footer.seq) != (dataset, segment.id, segment.seq):
            yield "its footer belongs to another segment"
        columns = kind.stored_schema if deep else dict.fromkeys((*key, "ts"))
        frame = scan_file(data, kind).select(list(columns)).collect()
    ts = frame["ts"].to_physical()
    if frame.height != segment.rows:
        yield f"has {frame.height} rows, not {segment.rows}"
    if frame.height and (ts.min(), ts.max()) != (segment.min_ts, segment.max_ts):
        yield "its time range is not the recorded one"
    if not ts.is_sorted():
        yield "its rows are not sorted by ts"
    if frame.select(pl.struct(key).is_duplicated().any()).item():
        yield "two of its rows have the same key"
    if deep:
        yield from (f"column {name} has nulls" for name in kind.required if frame[name].null_count())
