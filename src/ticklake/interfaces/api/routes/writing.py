"""Writing: rows of one's own, and what takes rows away or gives them another name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import DONE, RECEIPT, shown
from ticklake.interfaces.api.job_requests import Body
from ticklake.interfaces.api.reading import End, Name, Start, as_time
from ticklake.interfaces.api.row_bodies import BODY, parse_rows, provenance_of, rows_of
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake import Lake

__all__ = ["router"]

router = APIRouter(tags=["writing"])
DryRun = Annotated[bool, Query(description="Only say what would be done.")]


class RenameBody(Body):
    """Another name of a dataset."""

    new: str = Field(examples=["binance:trades:ETH/USDT"])
    dry_run: bool = Field(False, description="Only say what would move.")


@router.post(
    "/datasets/{name:path}/rows", dependencies=[allow(Role.COLLECT)], openapi_extra=BODY, responses=shown(RECEIPT)
)
async def save_rows(
    request: Request, name: Name, provenance: Annotated[Provenance, Depends(provenance_of)]
) -> dict[str, Any]:
    """Add rows of your own. The receipt says how many were new, changed, already there, or refused, and why. The same again changes nothing."""
    body, kind = await rows_of(request)

    def answer() -> dict[str, Any]:
        receipt = server_of(request).lake.save(name, parse_rows(body, kind), provenance)
        request.state.audit = f"{receipt.new:,} rows new, {receipt.changed:,} changed"
        return {"data": to_json(receipt)}

    return await server_of(request).write(answer)


@router.delete("/datasets/{name:path}/rows", dependencies=[allow(Role.ADMIN)], responses=shown(DONE))
async def delete_rows(
    request: Request, name: Name, start: Start = None, end: End = None, dry_run: DryRun = False
) -> dict[str, Any]:
    """Remove the rows in ``[start, end)`` and forget that they were looked at; older versions hold them until vacuum."""

    def answer() -> dict[str, Any]:
        if start is None and end is None:
            raise BadInput(f"from when to when? Say start or end; DELETE /datasets/{name} removes all of it")
        rows = server_of(request).lake.delete(name, as_time(start), as_time(end), dry_run=dry_run)
        return _done(request, dry_run, rows, dataset=name)

    return await server_of(request).write(answer)


@router.post(
    "/datasets/{name:path}/rename",
    dependencies=[allow(Role.ADMIN)],
    responses=shown({"old": "a:trades:X/Y", "new": "a:trades:Z/Y", "rows": 1440, "dry_run": False}),
)
async def rename_dataset(request: Request, name: Name, body: RenameBody) -> dict[str, Any]:
    """Move a dataset to another name, with all that is known of it."""

    def answer() -> dict[str, Any]:
        rename: Callable[[str, str], int] = server_of(request).lake.rename
        if body.dry_run:
            rename = partial(_would_rename, server_of(request).lake)
        rows = rename(name, body.new)
        return _done(request, body.dry_run, rows, old=name, new=str(Dataset.parse(body.new)))

    return await server_of(request).write(answer)


def _would_rename(lake: Lake, old: str, new: str) -> int:
    if Dataset.parse(new) in lake.datasets():
        raise BadInput(f"the lake already has {new}")
    # A dry run of drop counts the same rows.
    return lake.drop(old, dry_run=True)


@router.delete("/datasets/{name:path}", dependencies=[allow(Role.ADMIN)], responses=shown(DONE))
async def drop_dataset(request: Request, name: Name, dry_run: DryRun = False) -> dict[str, Any]:
    """Remove a dataset with all that is known of it; older versions hold it until vacuum."""

    def answer() -> dict[str, Any]:
        return _done(request, dry_run, server_of(request).lake.drop(name, dry_run=dry_run), dataset=name)

    return await server_of(request).write(answer)


def _done(request: Request, dry_run: bool, rows: int, **names: str) -> dict[str, Any]:
    request.state.audit = f"{rows:,} rows"
    if dry_run:
        request.state.audit = f"dry run: {rows:,} rows"
    return {**names, "rows": rows, "dry_run": dry_run}
