"""Where rows came from, what was changed and refused, and what each version did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.core.access import Role
from ticklake.core.results import DatasetChange
from ticklake.core.time import format_time
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer, answer_with, json_response
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.openapi import answers_rows, answers_value
from ticklake.interfaces.api.reading import Instant, InstantOfVersion, Name, OfVersion, as_time
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import row_to_json, to_json
from ticklake.lake import Lake
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["history"], dependencies=[allow(Role.READ)])
Most = Annotated[int, Query(ge=1, le=100_000, description="Most rows of an answer.")]
_REFUSED = {"ts": "2024-01-01T00:00:00Z", "reason": "high_below_low", "row": "{}"}


@router.get(
    "/datasets/{name:path}/provenance",
    summary="Provenance",
    responses=answers_value([{"source": "ccxt", "endpoint": "fetch_ohlcv", "tool": "ticklake 0.2.0"}]),
)
async def provenance(request: Request, name: Name, of: InstantOfVersion, at: Instant = None) -> Response:
    """Return where the rows of a dataset came from, or those at exactly one time."""
    return await answer(request, of, lambda view: view.provenance(name, as_time(at)))


@router.get(
    "/datasets/{name:path}/provenance/files",
    summary="Provenance by file",
    responses=answers_rows({"file": "ohlcv/exchange=binance/a.parquet", "rows": 1440, "source": "ccxt"}),
)
async def provenance_by_file(
    request: Request, name: Name, at: OfVersion, written: Annotated[Written, Depends(shape_of)]
) -> Response:
    """Return a row for each file and origin of its rows, in order of time."""
    return await answer_made(request, at, lambda view: Made(view.provenance_by_file(name)), written.shape)


@router.get(
    "/datasets/{name:path}/revisions",
    summary="Changed rows",
    responses=answers_value(
        [{"ts": "2024-01-01T00:00:00Z", "before": "{}", "after": "{}", "commit_id": 12}], rows=1, complete=True
    ),
)
async def revisions(request: Request, name: Name, at: OfVersion, limit: Most = 10_000) -> Response:
    """Return the rows that were changed, each as it was before and after."""
    return await answer_with(request, at, lambda view: _listed(view.revisions(name, limit=limit + 1), limit))


@router.get(
    "/datasets/{name:path}/quarantine",
    summary="Refused rows",
    responses=answers_value([_REFUSED], rows=1, complete=True),
)
async def quarantine(request: Request, name: Name, at: OfVersion, limit: Most = 1_000) -> Response:
    """Return the rows that were refused, and why."""
    return await answer_with(request, at, lambda view: _refused(view, name, limit))


@router.get(
    "/quarantine",
    summary="Refused rows of all datasets",
    responses=answers_value([{"dataset": "binance:ohlcv:1m:BTC/USDT", **_REFUSED}], rows=1, complete=True),
)
async def quarantine_of_all(request: Request, at: OfVersion, limit: Most = 1_000) -> Response:
    """Return the rows of all datasets that were refused, and why."""
    return await answer_with(request, at, lambda view: _refused(view, None, limit))


def _refused(view: View, name: str | None, limit: int) -> dict[str, Any]:
    return _listed(view.quarantine(name, limit=limit + 1), limit)


def _listed(rows: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """Return the rows of a page: one more than its limit shows that there are more."""
    return {
        "rows": min(len(rows), limit),
        "complete": len(rows) <= limit,
        "data": list(map(row_to_json, rows[:limit])),
    }


@router.get(
    "/version",
    summary="Versions",
    responses={
        200: {
            "description": "The versions.",
            "content": {
                "application/json": {"example": {"version": 12, "oldest": 0, "committed_at": "2024-01-01T00:00:00Z"}}
            },
        }
    },
)
async def version(request: Request, at: OfVersion) -> Response:
    """Return the newest version of the lake, or the one that is named or was newest at a time, and the oldest that can still be read."""
    server = server_of(request)

    def versions() -> dict[str, Any]:
        catalog = server.lake.engine.catalog
        # Seen to be there: neither to come nor vacuumed.
        version = at.view().version
        committed_at = catalog.committed_at(version)
        return {
            "version": version,
            "oldest": catalog.oldest_version(),
            "committed_at": committed_at and format_time(committed_at),
        }

    return json_response(await server.read(versions))


@router.get(
    "/changes",
    summary="What was committed since a version",
    responses=answers_value(
        [{"version": 12, "operation": "append", "dataset": "binance:trades:BTC/USDT", "spans": []}],
        rows=1,
        complete=True,
        next=None,
    ),
)
async def changes(
    request: Request,
    since: Annotated[int, Query(ge=0, le=2**63 - 1, description="The last version that is known.", examples=[0])] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most versions of an answer.")] = 100,
    segments: Annotated[bool, Query(description="Describe segments, instead of naming them.")] = False,
) -> Response:
    """Return what each version after *since* did to which dataset, in order: the change feed.

    `next` is the version to ask from again; where it is null, `version` is.
    """
    server = server_of(request)
    form = _change
    if segments:
        form = to_json
    return json_response(await server.read(_changes, server.lake, since, limit, form))


def _changes(lake: Lake, since: int, limit: int, form: Callable[[DatasetChange], Any]) -> dict[str, Any]:
    newest = lake.engine.catalog.version()
    # One version more shows whether there are more.
    found = lake.changes_since(since, limit=limit + 1)
    versions = list(dict.fromkeys(change.version for change in found))
    shown = [change for change in found if change.version in set(versions[:limit])]
    following = None
    if len(versions) > limit:
        following = versions[limit - 1]
    return {
        "rows": len(shown),
        "complete": following is None,
        "next": following,
        "version": max(newest, *versions, 0),
        "data": list(map(form, shown)),
    }


def _change(change: DatasetChange) -> dict[str, Any]:
    return {
        "version": change.version,
        "committed_at": format_time(change.committed_at),
        "operation": change.operation,
        "dataset": str(change.dataset),
        "spans": to_json(change.spans),
        "added": [segment.id for segment in change.added],
        "removed": [segment.id for segment in change.removed],
    }
