"""Fetch plans: which spans a backfill requests, decided before any request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed
from ticklake.core.span import Span, outside, total_length
from ticklake.core.time import MINUTE, SECOND, format_time

__all__ = ["FINAL_AFTER", "FetchPlan", "horizon", "plan_fetch", "with_archives"]

FINAL_AFTER = 15 * SECOND
"""A bar is final this long after its close; the same grace holds for everything else."""
RECHECK_BARS = 3
RECHECK_TIME = 15 * MINUTE
"""How many bars, or how much time, before the live end is fetched again by the next run: volumes are corrected late."""
# Measured, and rounded up (docs/adr/0009).
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
    if dataset.timeframe is None:
        return final
    return dataset.timeframe.unfinished_from(final, dataset.anchor)


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
    # Only what is not covered yet: committing it again would add a version to each run.
    known = [piece for piece in _unlisted(want, listed_at, delisted_at) if any(coverage.missing(piece.span))]
    for piece in known:
        coverage = coverage.add(piece)
    spans = list(coverage.missing(want, retry=retry))
    if at_head and dataset.timeframe is not None:
        spans = _with_recheck(dataset, want, coverage, spans)
    unavailable: Span | None = None
    served = spans
    if served_from and served_from > want.start:
        unavailable = Span(want.start, min(served_from, want.end))
        served = list(outside(spans, [unavailable]))
    pages = _pages(served, page_span)
    rows = total_length(served) * page_rows // max(page_span, 1)
    return FetchPlan(
        dataset,
        want,
        tuple(spans),
        tuple(known),
        unavailable,
        pages=pages,
        seconds=pages * seconds_per_page,
        bytes=rows * _BYTES_PER_ROW.get(dataset.kind, 24),
        note=note,
        page_span=page_span,
        now=now,
    )


def with_archives(
    plan: FetchPlan, files: tuple[str, ...], left: tuple[Span, ...], seconds_per_page: float
) -> FetchPlan:
    """Return the plan with the dump *files* that come first; calls are counted for what is *left*."""
    if not files:
        return plan
    pages = _pages(left, plan.page_span)
    return replace(plan, archives=files, pages=pages, seconds=pages * seconds_per_page)


def _pages(spans: Iterable[Span], page_span: int) -> int:
    """Return how many calls spans take: each of them begins a page of its own."""
    return sum(-(-span.length // max(page_span, 1)) for span in spans)


def _unlisted(want: Span, listed_at: int | None, delisted_at: int | None) -> Iterator[Covered]:
    """Yield the parts of *want* before the listing and after the delisting."""
    if listed_at is not None and listed_at > want.start:
        reason = f"not listed before {format_time(listed_at)}"
        yield Covered(Span(want.start, min(listed_at, want.end)), Found.UNLISTED, reason)
    if delisted_at is not None and delisted_at < want.end:
        reason = f"not listed after {format_time(delisted_at)}"
        yield Covered(Span(max(want.start, delisted_at), want.end), Found.UNLISTED, reason)


def _with_recheck(dataset: Dataset, want: Span, coverage: Coverage, spans: list[Span]) -> list[Span]:
    """Begin the last span a few bars early, inside what is covered already."""
    frame = dataset.timeframe
    if frame is None:
        return spans
    tail = want.end
    if spans and spans[-1].end == want.end:
        tail = spans[-1].start
    if tail <= want.start:
        return spans
    # Of short bars more are asked for again: exchanges correct volumes for minutes, however many bars close meanwhile.
    bars = max(RECHECK_BARS, -(-RECHECK_TIME // frame.length))
    recheck = Span(max(frame.advance(tail, -bars, dataset.anchor), want.start), tail)
    covered = coverage.within(recheck).pieces
    # Only bars that the exchange gave can have been corrected by it since.
    if not covered or covered[-1].found is not Found.DATA or covered[-1].span.end != tail:
        return spans
    kept = [span for span in spans if span.start != tail]
    return [*kept, Span(covered[-1].span.start, want.end)]
