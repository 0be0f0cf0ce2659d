"""What is there, what is missing and why, and how sound it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.gaps import GapReason, GapReport
from ticklake.core.time import DAY
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer, answer_with
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.openapi import answers_rows, answers_value
from ticklake.interfaces.api.reading import End, Name, OfVersion, Start, as_time
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.arguments import known_dataset, span_of_interest
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["completeness"], dependencies=[allow(Role.READ)])
Quick = Annotated[bool, Query(description="Look at coverage and calendar only, not at ids and other symbols.")]
_MOST_DAYS = 20_000
_SPAN = {"start": "2024-01-01T00:30:00Z", "end": "2024-01-01T00:40:00Z"}


@router.get(
    "/datasets/{name:path}/condition",
    summary="Condition of each day",
    responses=answers_rows({"day": "2024-01-01T00:00:00Z", "condition": "gaps", "missing": 10, "reasons": "lost"}),
)
async def condition(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    start: Start = None,
    end: End = None,
    quick: Quick = False,
) -> Response:
    """Return a word for each UTC day: `complete`, `gaps`, `pending`, `missing` or `unknown`.

    With how many rows are missing, for which reasons, and in which version and when the day changed last.
    """

    def make(view: View) -> Made:
        _refuse_too_long(view, name, start, end)
        return Made(view.condition(name, as_time(start), as_time(end), quick=quick))

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/datasets/{name:path}/gaps",
    summary="Gaps",
    responses=answers_value(
        [{**_SPAN, "missing": 10, "reason": "lost", "detail": ""}], rows=1, total=1, complete=True, summary=[], notes=[]
    ),
)
async def gaps(
    request: Request,
    name: Name,
    at: OfVersion,
    start: Start = None,
    end: End = None,
    quick: Quick = False,
    limit: Annotated[int, Query(ge=1, le=100_000, description="Most holes of an answer.")] = 10_000,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000, description="So many come before this page.")] = 0,
) -> Response:
    """Return every hole with its bounds, size and reason, and how many there are of each reason.

    `complete` says whether this page reaches the last one.
    """

    def page(view: View) -> dict[str, Any]:
        report = view.gap_report(name, as_time(start), as_time(end), quick=quick)
        shown = report.gaps[offset : offset + limit]
        return {
            "rows": len(shown),
            "total": len(report.gaps),
            "complete": offset + len(shown) >= len(report.gaps),
            "summary": list(_summary(report)),
            "notes": report.notes,
            "data": shown,
        }

    return await answer_with(request, at, page)


def _summary(report: GapReport) -> Iterator[dict[str, Any]]:
    """Yield how many holes there are of each reason, and how many rows are missing in them, as far as they can be counted."""
    holes, missing = Counter[GapReason](), Counter[GapReason]()
    for gap in report.gaps:
        holes[gap.reason] += 1
        missing[gap.reason] += gap.known_missing or 0
    for reason, count in sorted(holes.items()):
        yield {"reason": reason.value, "is_missing": reason.is_missing, "holes": count, "missing": missing[reason]}


@router.get(
    "/datasets/{name:path}/missing",
    summary="Spans without rows that should have them",
    responses=answers_value([_SPAN]),
)
async def missing_intervals(
    request: Request, name: Name, at: OfVersion, start: Start = None, end: End = None
) -> Response:
    """Return the spans without rows that should have them."""
    return await answer(request, at, lambda view: view.missing_intervals(name, as_time(start), as_time(end)))


@router.get(
    "/datasets/{name:path}/coverage",
    summary="Coverage",
    responses=answers_value([{**_SPAN, "found": "data", "reason": ""}]),
)
async def coverage(request: Request, name: Name, at: OfVersion) -> Response:
    """Return which spans were looked at or asked for, and what was found."""
    return await answer(request, at, lambda view: view.coverage(name))


@router.get(
    "/datasets/{name:path}/quality",
    summary="Quality",
    responses=answers_value({"dataset": "binance:ohlcv:1m:BTC/USDT", "score": 99.3, "missing_records": 10}),
)
async def quality(
    request: Request,
    name: Name,
    at: OfVersion,
    start: Start = None,
    end: End = None,
    days: Annotated[bool, Query(description="Also the same of each UTC day, as `days`.")] = False,
) -> Response:
    """Return how complete and how sound a dataset is, with a score from 0 to 100."""

    def make(view: View) -> Any:
        _refuse_too_long(view, name, start, end)
        found = view.quality(name, as_time(start), as_time(end))
        if not days:
            return found
        return {**to_json(found), "days": to_json(found.days)}

    return await answer(request, at, make)


@router.get(
    "/datasets/{name:path}/quality/trend",
    summary="Quality of each day",
    responses=answers_rows({"day": "2024-01-01T00:00:00Z", "score": 99.3, "missing_records": 10}),
)
async def quality_trend(
    request: Request,
    name: Name,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    start: Start = None,
    end: End = None,
) -> Response:
    """Return the figures of quality as a row for each UTC day."""

    def make(view: View) -> Made:
        _refuse_too_long(view, name, start, end)
        return Made(view.quality_trend(name, as_time(start), as_time(end)))

    return await answer_made(request, at, make, written.shape)


@router.get(
    "/datasets/{name:path}/continuity",
    summary="How batches joined each other",
    responses=answers_rows({**_SPAN, "version": 12, "joins": "touches", "missing": 0, "new": 60}),
)
async def continuity(
    request: Request, name: Name, at: OfVersion, written: Annotated[Written, Depends(shape_of)]
) -> Response:
    """Return how each committed batch of rows joined the rows before it."""
    return await answer_made(
        request, at, lambda view: Made(view.continuity(known_dataset(view.engine, name))), written.shape
    )


def _refuse_too_long(view: View, name: str, start: str | None, end: str | None) -> None:
    """Refuse days that no market had: each of them would be looked at."""
    dataset = known_dataset(view.engine, name)
    span = span_of_interest(view.engine, dataset, as_time(start), as_time(end))
    if span is not None and span.length > _MOST_DAYS * DAY:
        raise BadInput(f"{span} has {span.length // DAY:,} days: ask for at most {_MOST_DAYS:,}")
