"""Retention: rows that are older than they are kept leave, and the lake remembers that it was on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ticklake.catalog.trim import history_before, trim_history
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.results import Cleaned, Deleted, History
from ticklake.core.retention import expired, kept_from, last_uncut
from ticklake.core.span import Span
from ticklake.engine.delete import delete, would_delete
from ticklake.engine.store import Store
from ticklake.errors import CorruptSegment, DiskFull, MissingSegment

__all__ = ["cleanup"]


def cleanup(
    store: Store, keep: Iterable[tuple[Dataset, int]], *, history: bool = False, dry_run: bool = False
) -> Iterator[Cleaned]:
    """Remove what is older than the days that each dataset is kept for; one commit a dataset, in the given order.

    Raises
    ------
    CorruptSegment
        At the end, if segments that had to be cut are damaged: they are named, everything else was cleaned.
    DiskFull
        At the end, if there is no space to write what stays of a segment that has to be cut; what is older left whole.
    """
    bad: list[str] = []
    full: DiskFull | None = None
    for dataset, days in keep:
        try:
            done = _clean(store, dataset, days, history=history, dry_run=dry_run)
        except (CorruptSegment, MissingSegment) as error:
            bad.append(str(error))
            continue
        except DiskFull as error:
            full = error
            done = _clean_uncut(store, dataset, days)
        if done is not None:
            yield done
    if full is not None:
        raise DiskFull(
            f"{full}; files that are too old as a whole have left: 'ticklake vacuum --keep 0' frees their space, "
            "then clean up again"
        ) from full
    if bad:
        raise CorruptSegment("; ".join(bad))


def _clean_uncut(store: Store, dataset: Dataset, days: int) -> Cleaned | None:
    """Remove the segments that are too old as a whole, which takes no space; ``None`` if there are none."""
    row, coverage = store.catalog.dataset(dataset), store.catalog.coverage(dataset)
    before = kept_from(dataset, days, store.now())
    known, words = expired(coverage, row.min_ts if row else None, before, _reason(days))
    if known is None:
        return None
    segments = store.view(dataset, known, data=False).segments
    end = last_uncut((segment.span for segment in segments), known.end)
    if end <= known.start:
        return None
    uncut = Span(known.start, end)
    deleted = delete(store, dataset, uncut, Coverage(words).within(uncut).pieces, "cleanup")
    if not deleted.rows:
        return None
    return Cleaned(dataset, end, deleted, History())


def _reason(days: int) -> str:
    return f"removed on purpose: {days} days are kept"


def _clean(store: Store, dataset: Dataset, days: int, *, history: bool, dry_run: bool) -> Cleaned | None:
    """Clean one dataset; ``None`` if there was nothing to do."""
    row, coverage = store.catalog.dataset(dataset), store.catalog.coverage(dataset)
    first = row.min_ts if row else None
    before = kept_from(dataset, days, store.now())
    known, words = expired(coverage, first, before, _reason(days))
    if known is None:
        return None
    is_done = coverage.within(known).pieces == words and (first is None or first >= before)
    if is_done:
        deleted = Deleted()
    elif dry_run:
        deleted = would_delete(store, dataset, known)
    else:
        deleted = delete(store, dataset, known, words, "cleanup")
    trimmed = History()
    if history:
        trim = history_before if dry_run else trim_history
        trimmed = trim(store.catalog.database, dataset, before)
    if is_done and not trimmed.rows:
        return None
    return Cleaned(dataset, before, deleted, trimmed)
