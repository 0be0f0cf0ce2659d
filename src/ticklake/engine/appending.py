"""Appending: from a batch to one durable commit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from ticklake.catalog.changes import Change, DatasetRow, Quarantined, Revision
from ticklake.core.batch import Records, canonical, number_prints, present, sort
from ticklake.core.checks import check
from ticklake.core.compactplan import periods
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE, Kind
from ticklake.core.merge import ID_WINDOW, Difference, Keying, difference, key_of_batch
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.engine.place import Store
from ticklake.engine.reading import collect, read_rows
from ticklake.errors import Conflict, MissingSegment
from ticklake.storage.segments import (
    INLINE_BYTES,
    INLINE_ROWS,
    Footer,
    encode_file,
    encode_inline,
    new_id,
    new_segment,
)

__all__ = ["Receipt", "append", "retried", "write_file", "write_segments"]

ATTEMPTS = 50
"""How often a change is computed anew because somebody else committed first."""
VANISHED_ATTEMPTS = 5
"""How often it is computed anew because a file was moved; after that the file is missing."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the rows of an append: ``received`` is the sum of the other four.

    ``changed`` rows replaced others (see the revision log); ``version`` is the commit's number.
    """

    received: int = 0
    new: int = 0
    changed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    version: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        return Receipt(
            self.received + other.received,
            self.new + other.new,
            self.changed + other.changed,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
            max(self.version, other.version),
        )


def append(
    store: Store,
    dataset: Dataset,
    data: Records,
    provenance: Provenance,
    coverage: Sequence[Covered] = (),
    now: int | None = None,
) -> Receipt:
    """Add rows to a dataset: check, dedupe against what is there, write, commit once.

    When this returns, the rows are durable. Appending the same rows twice changes nothing.
    """
    kind = dataset.spec
    frame = canonical(data, kind, store.catalog.provenance_id(provenance))
    moment = store.now() if now is None else now
    return retried(lambda: _attempt(store, dataset, frame, provenance, tuple(coverage), moment))


def retried(attempt: Callable[[], T]) -> T:
    """Call *attempt* anew while somebody else commits first, or moves away the files it reads."""
    conflicts = vanished = 0
    while True:
        try:
            return attempt()
        except Conflict:
            conflicts += 1
            if conflicts == ATTEMPTS:
                raise
        except MissingSegment:
            vanished += 1
            if vanished == VANISHED_ATTEMPTS:
                raise
        time.sleep(random.uniform(0, 0.01 * (conflicts + vanished)))  # noqa: S311


def _attempt(
    store: Store,
    dataset: Dataset,
    frame: pl.DataFrame,
    origin: Provenance,
    coverage: tuple[Covered, ...],
    now: int,
) -> Receipt:
    kind = dataset.spec
    row = store.catalog.dataset(dataset)
    keying = row.keying if row and row.seq else key_of_batch(frame, kind)
    checked = check(frame, dataset, now, needs_id=keying == "id")
    batch = sort(checked.good, kind)
    if keying == "print":
        batch = number_prints(batch)
    version, row, diff = _compare(store, dataset, batch, keying)
    segments = write_segments(store, dataset, diff.add, (row.seq if row else 0) + 1, keying)
    change = Change(
        dataset,
        keying=keying,
        id_space=origin.id_space,
        add=tuple(segments),
        coverage=coverage,
        quarantine=tuple(_quarantined(checked.bad, kind)),
        revisions=tuple(_revisions(diff, kind)),
        new_rows=diff.new,
        read_version=version,
        read_span=_reach(batch, keying),
    )
    if not change.is_empty:
        version = store.commit("append", change)
    return Receipt(frame.height, diff.new, diff.changed, diff.duplicate, checked.bad.height, version)


def _compare(
    store: Store, dataset: Dataset, batch: pl.DataFrame, keying: Keying
) -> tuple[int, DatasetRow | None, Difference]:
    kind = dataset.spec
    reach = _reach(batch, keying)
    if reach is None:
        row = store.catalog.dataset(dataset)
        return store.catalog.version(), row, difference(batch, batch.clear(), kind, keying)
    version, row, segments = store.catalog.snapshot(dataset, reach)
    parts = list(read_rows(store, segments, kind, keying, reach))
    existing = collect(store, pl.concat(parts), segments) if parts else batch.clear()
    return version, row, difference(batch, existing, kind, keying)


def _reach(batch: pl.DataFrame, keying: Keying) -> Span | None:
    if not batch.height:
        return None
    ts = batch["ts"].to_physical()
    window = ID_WINDOW if keying == "id" else 0
    return Span(int(ts[0]), int(ts[-1]) + 1).widen(window, window)


def write_segments(store: Store, dataset: Dataset, frame: pl.DataFrame, seq: int, keying: Keying) -> list[Segment]:
    """Encode rows as one inline segment, or as one durable file per period."""
    if not frame.height:
        return []
    if frame.height <= INLINE_ROWS:
        data = encode_inline(frame)
        if len(data) <= INLINE_BYTES:
            return [new_segment(frame, seq, data)]
    ts = frame["ts"].to_physical()
    whole = new_segment(frame, seq, b"")
    segments = []
    for period in periods([whole]):
        part = frame.filter((ts >= period.span.start) & (ts < period.span.end))
        if part.height:
            segments.append(write_file(store, dataset, part, seq, keying, period.label))
    return segments


def write_file(
    store: Store,
    dataset: Dataset,
    frame: pl.DataFrame,
    seq: int,
    keying: Keying,
    period: str,
    replaces: Iterable[Segment] = (),
    coverage: Sequence[Covered] = (),
) -> Segment:
    """Write a frame as one durable Parquet file in the dataset's folder, and return its segment."""
    identity = new_id()
    used = set(frame[PROVENANCE].unique().to_list())
    ts = frame["ts"].to_physical()
    footer = Footer(
        dataset=dataset,
        id=identity,
        seq=seq,
        rows=frame.height,
        min_ts=int(ts[0]),
        max_ts=int(ts[-1]),
        keying=keying,
        period=period,
        tool=store.tool,
        provenance={number: origin for number, origin in store.catalog.provenances().items() if number in used},
        coverage=tuple(coverage),
        replaces=tuple(segment.id for segment in replaces),
    )
    data = encode_file(frame, footer)
    path = f"{dataset.path}/{period}-{identity}.parquet"
    store.objects.put(path, data)
    return new_segment(frame, seq, data, path=path, period=period, id=identity)


def _quarantined(bad: pl.DataFrame, kind: Kind) -> list[Quarantined]:
    if not bad.height:
        return []
    times = bad["ts"].to_physical().to_list()
    texts = _json_rows(present(bad, kind))
    return [Quarantined(*row) for row in zip(times, bad["reason"].to_list(), texts, strict=True)]


def _revisions(diff: Difference, kind: Kind) -> list[Revision]:
    if not diff.changed:
        return []
    times = diff.after["ts"].to_physical().to_list()
    before, after = (_json_rows(present(frame, kind)) for frame in (diff.before, diff.after))
    return [Revision(*row) for row in zip(times, before, after, strict=True)]


def _json_rows(frame: pl.DataFrame) -> list[str]:
    physical = frame.with_columns(pl.selectors.temporal().to_physical())
    return physical.write_ndjson().removesuffix("\n").split("\n")
