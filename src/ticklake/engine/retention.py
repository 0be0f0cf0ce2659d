"""Retention: remove rows older than they are to be kept, and record that they were removed on purpose."""

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
    """Remove rows older than the days that each dataset is kept for; one commit per dataset, in the given order.

    Raises
    ------
    CorruptSegment
        At the end, if segments that had to be cut are damaged: they are named, everything else was removed.
    DiskFull
        At the end, if there is no space to write the rest of a segment that has to be cut; older segments were removed.
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
            # Cutting a segment writes its rest: whole segments can leave without space.
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
    coverage = store.catalog.coverage(dataset)
    before = kept_from(dataset, days, store.now())
    span, marks = expired(coverage, _first(store, dataset), before, _reason(days))
    if span is None:
        return None
    segments = store.view(dataset, span, data=False).segments
    end = last_uncut((segment.span for segment in segments), span.end)
    if end <= span.start:
        return None
    uncut = Span(span.start, end)
    deleted = delete(store, dataset, uncut, Coverage(marks).within(uncut).pieces, "cleanup")
    if not deleted.rows:
        return None
    return Cleaned(dataset, end, deleted, History())


def _first(store: Store, dataset: Dataset) -> int | None:
    """Return the time of a dataset's first row."""
    row = store.catalog.dataset(dataset)
    if row is None:
        return None
    return row.min_ts


def _reason(days: int) -> str:
    return f"removed on purpose: {days} days are kept"


def _clean(store: Store, dataset: Dataset, days: int, *, history: bool, dry_run: bool) -> Cleaned | None:
    """Clean one dataset; ``None`` if there was nothing to do."""
    first = _first(store, dataset)
    coverage = store.catalog.coverage(dataset)
    before = kept_from(dataset, days, store.now())
    span, marks = expired(coverage, first, before, _reason(days))
    if span is None:
        return None
    # Without this every run of a schedule would add a version in which nothing changed.
    is_done = coverage.within(span).pieces == marks and (first is None or first >= before)
    if is_done:
        deleted = Deleted()
    elif dry_run:
        deleted = would_delete(store, dataset, span)
    else:
        deleted = delete(store, dataset, span, marks, "cleanup")
    trimmed = History()
    if history and dry_run:
        trimmed = history_before(store.catalog.database, dataset, before)
    elif history:
        trimmed = trim_history(store.catalog.database, dataset, before)
    if is_done and not trimmed.rows:
        return None
    return Cleaned(dataset, before, deleted, trimmed)
