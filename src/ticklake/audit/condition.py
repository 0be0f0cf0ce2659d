"""The condition of a dataset: of each day by all that the lake holds, of a span at once by coverage and calendar alone."""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from ticklake.audit.gaps import closed_spans, gap_report, has_only_snapshots
from ticklake.catalog.changes import DatasetRow
from ticklake.catalog.quality import QualityDays
from ticklake.core.condition import NO_DAYS, Condition, Expected, condition_of, conditions_by_day
from ticklake.core.coverage import Coverage
from ticklake.core.dataset import SNAPSHOTS, Dataset
from ticklake.core.gaps import apart_from_outer_instants, gaps_by_coverage
from ticklake.core.span import ALL_TIME, Span
from ticklake.engine.engine import Engine, known_span
from ticklake.errors import CatalogError

__all__ = ["condition_at_once", "coverage_digest", "day_conditions"]


def day_conditions(
    engine: Engine, dataset: Dataset, judged: Dataset, span: Span | None, *, quick: bool
) -> pl.DataFrame:
    """Return the condition of each UTC day of a span; no day without one.

    Parameters
    ----------
    judged
        The dataset whose gaps count: of a derived one, that of which it is made.
    """
    if span is None:
        return NO_DAYS
    catalog = engine.catalog
    coverage = catalog.coverage(judged)
    gaps = gap_report(engine, judged, span, quick=quick).gaps
    row = catalog.dataset(judged)
    expected = Expected(coverage, engine.now(), closed_spans(engine, judged, span), _newest(row))
    changes = QualityDays(catalog.database, catalog.pinned).changes(dataset, span, 0)
    times = catalog.commit_times(version for _, version in changes)
    dated = [(changed, version, times[version]) for changed, version in changes if version in times]
    return conditions_by_day(judged, span, expected, gaps, dated, is_known=_says_when(judged, coverage))


def condition_at_once(engine: Engine, dataset: Dataset, row: DatasetRow | None, span: Span) -> Condition:
    """Return the condition of a span in one word, without reading a row.

    Coverage and calendar know what was looked at, not what was refused, nor which numbers are missing: :func:`day_conditions` does.
    Where a bound of the span is open, it is that of everything known of the dataset.

    Parameters
    ----------
    row
        The dataset's row of the version that is read.
    """
    try:
        coverage = _coverage(engine, dataset)
    except CatalogError:
        # The rows of an old version may be kept longer than its coverage.
        return Condition.UNKNOWN
    if not coverage.pieces:
        return Condition.UNKNOWN
    span = _bounded(span, known_span(dataset, row, coverage))
    closed = closed_spans(engine, dataset, span)
    only_snapshots = dataset.kind in SNAPSHOTS and _are_only_snapshots(engine, dataset)
    gaps = gaps_by_coverage(dataset, span, coverage, closed, only_snapshots=only_snapshots)
    if dataset.timeframe is None and row is not None:
        gaps, _ = apart_from_outer_instants(gaps, coverage, row.min_ts, row.max_ts)
    return condition_of(span, Expected(coverage, engine.now(), closed, _newest(row)), gaps)


def coverage_digest(engine: Engine, dataset: Dataset) -> str:
    """Return a digest of the coverage of a dataset in the newest version: it changes whenever that does."""

    def digest(_version: int) -> str:
        return blake2b(repr(_coverage(engine, dataset).pieces).encode(), digest_size=8).hexdigest()

    return engine.cached(f"digest of coverage {dataset}", digest)


def _coverage(engine: Engine, dataset: Dataset) -> Coverage:
    return engine.cached(f"coverage {dataset}", lambda _version: engine.catalog.coverage(dataset))


def _are_only_snapshots(engine: Engine, dataset: Dataset) -> bool:
    # It ends at the first change of a book: only books that have none are read to their end.
    return engine.cached(f"snapshots {dataset}", lambda _version: has_only_snapshots(engine.store, dataset))


def _bounded(span: Span, known: Span | None) -> Span:
    """Return a span whose open bounds are those of what is known."""
    start, end = span
    if known is not None and start == ALL_TIME.start:
        start = min(known.start, end - 1)
    if known is not None and end == ALL_TIME.end:
        end = max(known.end, start + 1)
    return Span(start, end)


def _newest(row: DatasetRow | None) -> int | None:
    if row is None:
        return None
    return row.max_ts


def _says_when(dataset: Dataset, coverage: Coverage) -> bool:
    """Whether coverage or a calendar defines when rows are expected."""
    return bool(coverage.pieces) or (dataset.timeframe is not None and not dataset.spec.definition)
