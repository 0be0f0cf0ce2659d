"""Imports: files that are uploaded, looked at, and then imported as the client has confirmed."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from ticklake.core.access import Role
from ticklake.core.file_reports import FileReport
from ticklake.core.time import parse_time
from ticklake.files.mapping import Mapping
from ticklake.files.unpacked_size import refuse_larger
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import IMPORTED, UPLOADED, made, shown
from ticklake.interfaces.api.job_requests import Body
from ticklake.interfaces.api.server import Server, server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter(prefix="/imports", tags=["imports"], dependencies=[allow(Role.COLLECT)])
Id = Annotated[str, Path(max_length=100, description="The id of the upload.")]
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the file, as they are.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class MappingBody(Body):
    """What of a file is read differently than it looks; everything else is guessed."""

    columns: dict[str, str] = Field(default_factory=dict, description="Ours: theirs.", examples=[{"ts": "Date"}])
    unit: str = Field("", description="What times count: s, ms, us or ns.")
    zone: str = Field("", description="Where times without a zone are local.")
    time_format: str = Field("", description="How times are written, like %d/%m/%Y %H:%M.")
    header: bool | None = Field(None, description="Whether the first line has names.")
    sides: dict[str, str] = Field(default_factory=dict, description="What their words for sides mean.")
    price_scale: float = Field(1.0, description="Prices are divided by it.")
    constants: dict[str, str] = Field(default_factory=dict, description="Columns that the file does not have.")
    skip: int = Field(0, ge=0, description="Lines above the header or the first row.")
    since: str | None = Field(None, description="What counts of time begin at.")

    def as_mapping(self) -> Mapping:
        """Return it as a value."""
        since = 0
        if self.since is not None:
            since = parse_time(self.since)
        return Mapping(**self.model_dump(exclude={"since"}), since=since)


class ImportBody(Body):
    """What the rows of an upload are, as far as the file does not say it."""

    dataset: str | None = Field(None, examples=["kraken:trades:BTC/USD"])
    exchange: str = ""
    symbol: str = ""
    preset: str = Field("", description="Who wrote it, like freqtrade; guessed if empty.")
    mapping: MappingBody = Field(default_factory=MappingBody)
    dry_run: bool = Field(False, description="Read and check everything, and save nothing; the upload waits on.")


@router.post("", status_code=201, openapi_extra=_FILE, responses=made(UPLOADED))
async def upload(
    request: Request,
    filename: Annotated[str, Query(description="Its name, without folders.", examples=["BTCUSDT-1m-2024-01.zip"])],
    dataset: Annotated[str | None, Query(description="What the rows are, if the file does not say it.")] = None,
) -> dict[str, Any]:
    """Upload a file, and say how it would be read: its format, columns and dataset. Nothing is imported yet."""
    server = server_of(request)
    number = await server.uploads.receive(filename, request.stream())
    try:
        # The client waits for this: a file of a gigabyte takes some seconds to unpack.
        reports = await server.work(_looked_at, server, number, ImportBody(dataset=dataset, dry_run=True))
    except BaseException:
        server.uploads.forget(number)
        raise
    request.state.audit = f"upload {filename}"
    return {"id": number, "filename": filename, **reports}


def _looked_at(server: Server, number: str, body: ImportBody) -> dict[str, Any]:
    """Refuse what unpacks to too much, and read the rest as an import would."""
    refuse_larger(server.uploads.path_of(number), int(server.options.max_unpacked))
    return _imported(server, number, body)


@router.post("/{number}", responses=shown(IMPORTED))
async def import_upload(request: Request, number: Id, body: ImportBody) -> dict[str, Any]:
    """Import an upload as a whole, or refuse it; or only say how it would be read. An upload whose rows are in is forgotten."""
    server = server_of(request)
    answer = await server.write(_imported, server, number, body)
    request.state.audit = f"import {answer['reports'][0]['path']}"
    return {"id": number, **answer}


def _imported(server: Server, number: str, body: ImportBody) -> dict[str, Any]:
    path = server.uploads.path_of(number)
    reports = server.lake.import_files(
        path,
        body.dataset,
        exchange=body.exchange,
        symbol=body.symbol,
        preset=body.preset,
        mapping=body.mapping.as_mapping(),
        dry_run=body.dry_run,
    )
    # One that was refused waits on: the client may name what was missing.
    if not body.dry_run and not any(report.refused for report in reports):
        server.uploads.forget(number)
    return {"dry_run": body.dry_run, "reports": [_without_folder(report, path) for report in reports]}


def _without_folder(report: FileReport, path: FilePath) -> Any:
    """Return a report that names the file as the client does."""
    shown = to_json(report)
    shown["path"] = report.path.replace(f"{path.parent}/", "")
    shown["problems"] = [problem.replace(f"{path.parent}/", "") for problem in report.problems]
    shown["note"] = report.note.replace(f"{path.parent}/", "")
    return shown


@router.delete("/{number}", status_code=204)
async def forget_upload(request: Request, number: Id) -> None:
    """Remove an upload that waits."""
    uploads = server_of(request).uploads
    await server_of(request).read(uploads.path_of, number)
    await server_of(request).read(uploads.forget, number)
