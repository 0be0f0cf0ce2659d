"""Fetch plans: what a backfill would ask for, decided before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.span import Span, subtract
from ticklake.core.time import MINUTE, SECOND, format_time

__all__ = ["FINAL_AFTER", "FetchPlan", "horizon", "plan_fetch", "with_archives"]

FINAL_AFTER = 15 * SECOND
"""A bar is final this long after its close; the same grace holds for everything else."""
RECHECK_BARS = 3
RECHECK_TIME = 15 * MINUTE
"""Bars at the live end are asked again on the next run: volumes change for minutes after a close."""
_BYTES_PER_ROW = {"ohlcv": 32, "trades": 10, "book": 12, "quotes": 20}


@dataclass(frozen=True, slots=True, repr=False)
class FetchPlan(Displayed):
    """What would be fetched of one dataset.

    ``want`` is the asked span, cut at what is final; ``spans`` are its parts that are missing (with a few
    bars before the live end to check again); ``known`` is coverage that needs no asking. ``pages``,
    ``seconds`` and ``bytes`` are estimates. ``unavailable`` is the part that the exchange no longer serves.
    ``page_span`` is how long a stretch a call brings, ``now`` the exchange's time when this was planned.
    ``archives`` are the addresses of dump files that would be asked for first; ``pages`` then counts the rest.
    """

    dataset: Dataset
    want: Span | None
    spans: tuple[Span, ...] = ()
    known: tuple[Covered, ...] = ()
    unavailable: Span | None = None
    pages: int = 0
    seconds: float = 0.0
    bytes: int = 0
    note: str = ""
    page_span: int = 0
    now: int = 0
    archives: tuple[str, ...] = ()

    def _summary(self) -> dict[str, Any]:
        return {
            "dataset": str(self.dataset),
            "fetch": self.spans,
            "archives": len(self.archives),
            "unavailable": self.unavailable,
            "pages": self.pages,
            "seconds": f"{self.seconds:,.0f}",
            "bytes": self.bytes,
            "note": self.note,
        }


def horizon(dataset: Dataset, now: int) -> int:
    """Return the end of what is final at *now*: forming bars lie after it."""
    final = now - FINAL_AFTER
    return dataset.timeframe.unfinished_from(final, dataset.anchor) if dataset.timeframe else final


def plan_fetch(
    dataset: Dataset,
    want: Span,
    coverage: Coverage,
    *,
    listed_at: int | None,
    served_from: int | None,
    page_rows: int,
    page_span: int,
    seconds_per_page: float,
    at_head: bool,
    now: int,
    retry: bool = False,
    note: str = "",
    delisted_at: int | None = None,
) -> FetchPlan:
    """Return what to fetch so that *want* is covered: both ends and the holes, nothing that is there.

    Parameters
    ----------
    listed_at
        When the market's history begins; what lies before is known to be empty.
    served_from
        The oldest instant the exchange still serves.
    page_rows, page_span, seconds_per_page
        What a call brings, how long a stretch that is, and the pace.
    at_head
        Whether *want* ends at the live end, whose last bars are asked again.
    retry
        Whether spans known as unavailable or lost are asked again.
    delisted_at
        When the market was noticed to be gone; what lies after is known to be empty.
    """
    empty = (*_before_listing(want, listed_at), *_after_delisting(want, delisted_at))
    known = tuple(piece for piece in empty if any(coverage.missing(piece.span)))
    for piece in known:
        coverage = coverage.add(piece)
    spans = list(coverage.missing(want, retry=retry))
    if at_head and dataset.timeframe is not None:
        spans = _with_recheck(dataset, want, coverage, spans)
    gone = Span(want.start, min(served_from, want.end)) if served_from and served_from > want.start else None
    fetched = [rest for span in spans for rest in subtract(span, [gone] if gone else [])]
    pages = sum(-(-span.length // max(page_span, 1)) for span in fetched)
    rows = sum(span.length for span in fetched) * page_rows // max(page_span, 1)
    return FetchPlan(
        dataset,
        want,
        tuple(spans),
        known,
        gone,
        pages,
        pages * seconds_per_page,
        rows * _BYTES_PER_ROW.get(dataset.kind, 24),
        note,
        page_span,
        now,
    )


def with_archives(
    plan: FetchPlan, files: tuple[str, ...], left: tuple[Span, ...], seconds_per_page: float
) -> FetchPlan:
    """Return the plan with the dump *files* that come first; calls are counted for what is *left*."""
    if not files:
        return plan
    pages = sum(-(-span.length // max(plan.page_span, 1)) for span in left)
    return replace(plan, archives=files, pages=pages, seconds=pages * seconds_per_page)


def _before_listing(want: Span, listed_at: int | None) -> tuple[Covered, ...]:
    if listed_at is None or listed_at <= want.start:
        return ()
    reason = f"not listed before {format_time(listed_at)}"
    return (Covered(Span(want.start, min(listed_at, want.end)), Found.UNLISTED, reason),)


def _after_delisting(want: Span, delisted_at: int | None) -> tuple[Covered, ...]:
    if delisted_at is None or delisted_at >= want.end:
        return ()
    reason = f"not listed after {format_time(delisted_at)}"
    return (Covered(Span(max(want.start, delisted_at), want.end), Found.UNLISTED, reason),)


def _with_recheck(dataset: Dataset, want: Span, coverage: Coverage, spans: list[Span]) -> list[Span]:
    """Begin the last span a few bars early, inside what is covered already."""
    frame = dataset.timeframe
    if frame is None:
        return spans
    tail = spans[-1].start if spans and spans[-1].end == want.end else want.end
    bars = max(RECHECK_BARS, -(-RECHECK_TIME // frame.length))
    reach = Span(max(frame.advance(tail, -bars, dataset.anchor), want.start), tail) if tail > want.start else None
    covered = [piece.span for piece in coverage.within(reach).pieces if piece.found is Found.DATA] if reach else []
    if not covered or covered[-1].end != tail:
        return spans
    kept = [span for span in spans if span.start != tail]
    return [*kept, Span(covered[-1].start, want.end)]
