"""Made rows: feature sets and rules, declared and written over HTTP. Code is never sent: a server runs none of others."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.examples import JOB, RECEIPT, made, shown
from ticklake.interfaces.api.job_requests import Body, Priority, create_job
from ticklake.interfaces.api.routes.jobs import created
from ticklake.interfaces.api.row_bodies import BODY, parse_rows, rows_of, with_times
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json

__all__ = ["router"]

router = APIRouter()
Set = Annotated[str, Path(description="A feature set, with its version.", examples=["momentum@v3"])]
Rule = Annotated[str, Path(description="The name of a rule.", examples=["from_trades"])]
DryRun = Annotated[bool, Query(description="Only say what would go.")]


class FeatureSetBody(Body):
    """A version of a feature set."""

    name: str = Field(examples=["momentum"])
    version: str | int = Field(examples=["v3"])
    columns: dict[str, str | list[str]] = Field(
        description="A type by name, or a type, a unit and a description.",
        examples=[{"ret_5m": ["float64", "1", "log return"]}],
    )
    keys: list[str] = Field(default_factory=lambda: ["symbol"])
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    inputs: list[str] = Field(default_factory=list, description="Datasets or patterns that the values are made of.")


class RuleBody(Body):
    """Bars that are made of other datasets and kept up to date."""

    name: str = Field(examples=["from_trades"])
    inputs: list[str] = Field(min_length=1, examples=[["binance:trades:*"]])
    rule: str = Field(description="A timeframe, or 100ticks, 5volume, 1000000dollars.", examples=["1h"])
    kind: str | None = None
    closed: str | None = None
    origin: str | None = None
    session: str | None = None

    def edges(self) -> dict[str, str]:
        """Return the edges of bars that were named."""
        return self.model_dump(include={"closed", "origin", "session"}, exclude_none=True)


@router.post(
    "/features",
    status_code=201,
    tags=["derived"],
    dependencies=[allow(Role.COLLECT)],
    responses=made({"data": {"name": "momentum", "version": "v3", "columns": {"ret_5m": "float64"}}}),
)
async def register_features(request: Request, body: FeatureSetBody) -> dict[str, Any]:
    """Declare a version of a feature set; the same again changes nothing."""

    def answer() -> dict[str, Any]:
        # JSON has no tuples, by which a type is told from a type with its unit.
        columns: dict[str, Any] = {}
        for name, column in body.columns.items():
            columns[name] = column
            if isinstance(column, list):
                columns[name] = tuple(column)
        more = body.model_dump(include={"keys", "description", "tags", "inputs"})
        features = server_of(request).lake.features.register(body.name, body.version, columns, **more)
        return {"data": to_json(features)}

    return await server_of(request).write(answer)


@router.post(
    "/features/{features}/rows",
    tags=["derived"],
    dependencies=[allow(Role.COLLECT)],
    openapi_extra=BODY,
    responses=shown(RECEIPT),
)
async def write_features(
    request: Request,
    features: Set,
    exchange: Annotated[str | None, Query(description="That of all rows, instead of a column.")] = None,
    symbol: Annotated[str | None, Query(description="That of all rows, instead of a column.")] = None,
) -> dict[str, Any]:
    """Add values: all rows in one commit, or none. The same again changes nothing."""
    body, kind = await rows_of(request)

    def answer() -> dict[str, Any]:
        write = server_of(request).lake.features.write
        rows = with_times(parse_rows(body, kind))
        receipt = write(features, None, rows, exchange=exchange, symbol=symbol)
        return {"data": to_json(receipt)}

    return await server_of(request).write(answer)


@router.post(
    "/features/{features}/deprecate",
    tags=["derived"],
    dependencies=[allow(Role.COLLECT)],
    responses=shown({"deprecated": "momentum@v3"}),
)
async def deprecate_features(request: Request, features: Set) -> dict[str, Any]:
    """Mark a feature set as one that is not to be used any more; its values stay."""
    await server_of(request).write(server_of(request).lake.features.deprecate, features)
    return {"deprecated": features}


@router.delete(
    "/features/{features}",
    tags=["derived"],
    dependencies=[allow(Role.ADMIN)],
    responses=shown({"features": "momentum@v3", "rows": 1440, "dry_run": False}),
)
async def delete_features(request: Request, features: Set, dry_run: DryRun = False) -> dict[str, Any]:
    """Remove a feature set and all of its values; older versions hold them until vacuum."""
    delete = server_of(request).lake.features.delete
    rows = await server_of(request).write(delete, features, dry_run=dry_run)
    return {"features": features, "rows": rows, "dry_run": dry_run}


@router.post(
    "/derived",
    status_code=201,
    tags=["derived"],
    dependencies=[allow(Role.COLLECT)],
    responses=made({"data": {"name": "from_trades", "inputs": ["binance:trades:*"], "rule": "1h", "kind": "ohlcv"}}),
)
async def add_rule(request: Request, body: RuleBody) -> dict[str, Any]:
    """Declare a rule; the same again changes nothing. A refresh makes its rows."""

    def answer() -> dict[str, Any]:
        derive = server_of(request).lake.derive
        return {"data": to_json(derive(body.name, body.inputs, body.rule, kind=body.kind, **body.edges()))}

    return await server_of(request).write(answer)


@router.post(
    "/derived/{rule}/refresh",
    status_code=201,
    tags=["derived"],
    dependencies=[allow(Role.COLLECT)],
    responses=made(JOB),
)
async def refresh_rule(request: Request, response: Response, rule: Rule, body: Priority) -> dict[str, Any]:
    """Bring what a rule makes up to date: the answer is the job that does it."""

    def answer() -> dict[str, Any]:
        server = server_of(request)
        # Refused here, and not when the job runs.
        server.lake.derived.get(rule)
        return created(server, response, create_job(request, "derive", {"name": rule}, body))

    return await server_of(request).write(answer)


@router.delete(
    "/derived/{rule}",
    tags=["derived"],
    dependencies=[allow(Role.ADMIN)],
    responses=shown({"rule": "from_trades", "done": 1440}),
)
async def drop_rule(request: Request, rule: Rule) -> dict[str, Any]:
    """Remove a rule, with all that it has made."""
    return {"rule": rule, "done": to_json(await server_of(request).write(server_of(request).lake.derived.drop, rule))}
