"""Writing: rows become durable segments that no commit names yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import polars as pl

from ticklake.core.batch import is_ordered
from ticklake.core.compaction_plan import periods
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying, has_repeats, key_of
from ticklake.core.segment import Segment
from ticklake.engine.store import Store
from ticklake.errors import WriteFailed
from ticklake.storage import segments

__all__ = ["write_file", "write_segments"]

_UNDONE = "nothing was committed, try again, and report it if it stays"


def write_segments(
    store: Store, dataset: Dataset, frame: pl.DataFrame, seq: int, keying: Keying, observed_at: int | None = None
) -> list[Segment]:
    """Encode sorted rows as one inline segment, or as one durable file per period.

    Raises
    ------
    WriteFailed
        If the rows are out of order or two share their key, or if what was written does not hold them.
    """
    if not frame.height:
        return []
    _check_rows(dataset, frame, keying)
    if frame.height <= segments.INLINE_ROWS:
        data = segments.encode_inline(frame)
        if len(data) <= segments.INLINE_BYTES:
            return [store.remember(segments.inline_segment(frame, seq, data, observed_at), frame)]
    written: list[Segment] = []
    with store.swept_if_it_fails(written):
        for label, part in _by_period(frame):
            segment = write_file(store, dataset, [part], seq, keying, label, observed_at=observed_at)
            if segment is not None:
                written.append(segment)
        count = sum(segment.rows for segment in written)
        if count != frame.height:
            raise WriteFailed(f"{dataset}: {count:,} rows were written, not {frame.height:,}; {_UNDONE}")
    return written


def write_file(
    store: Store,
    dataset: Dataset,
    frames: Iterable[pl.DataFrame],
    seq: int,
    keying: Keying,
    period: str,
    coverage: Sequence[Covered] = (),
    seen: Callable[[pl.DataFrame], object] = lambda _frame: None,
    observed_at: int | None = None,
) -> Segment | None:
    """Write sorted frames as one durable Parquet file in the dataset's folder; ``None`` if they have no rows."""
    from ticklake.storage.encoding import check_written
    from ticklake.storage.encoding import write_file as encode

    left = (frame for frame in frames if frame.height)
    first = next(left, None)
    if first is None:
        return None
    footer = segments.Footer(
        dataset=dataset,
        id=segments.new_id(),
        seq=seq,
        rows=0,
        min_ts=0,
        max_ts=0,
        keying=keying,
        period=period,
        tool=store.tool,
        provenance=store.catalog.provenances(),
        coverage=tuple(coverage),
        observed_at=observed_at,
    )
    path = f"{dataset.path}/{period}-{footer.id}.parquet"
    with store.objects.create(path) as sink:
        segment = encode(sink, chain([first], left), footer, path, seen)
    with store.swept_if_it_fails([segment]):
        store.check_there(segment)
        wrong = check_written(store.objects.source(path), segment)
        if wrong:
            raise WriteFailed(f"{dataset}: {path} {wrong}; {_UNDONE}")
    return segment


def _check_rows(dataset: Dataset, frame: pl.DataFrame, keying: Keying) -> None:
    """Refuse rows that must not be written: a mistake of ours, caught before anybody reads it."""
    ts = frame["ts"].cast(pl.Int64)
    if (ts.slice(1) > ts.head(frame.height - 1)).all():
        return
    if not is_ordered(frame, dataset.spec):
        raise WriteFailed(f"{dataset}: the rows to be written are out of order; {_UNDONE}")
    if has_repeats(frame, key_of(dataset.spec, keying)):
        raise WriteFailed(f"{dataset}: two of the rows to be written share their key; {_UNDONE}")


def _by_period(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    ts = frame["ts"].cast(pl.Int64)
    whole = Segment("", 0, frame.height, ts[0], ts[-1], 0, "")
    for period in periods([whole]):
        first = ts.search_sorted(period.span.start)
        yield period.label, frame.slice(first, ts.search_sorted(period.span.end) - first)
