"""Rules of derived rows, and feature sets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer, json_response
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.openapi import answers_rows, answers_value
from ticklake.interfaces.api.reading import (
    Columns,
    End,
    Instant,
    InstantOfVersion,
    KnownBy,
    MaxAge,
    OfVersion,
    Start,
    as_time,
    names_in,
)
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["derived"], dependencies=[allow(Role.READ)])
SetName = Annotated[str, Path(description="A feature set with its version.", examples=["momentum@v3"], min_length=1)]
SymbolsOrAll = Annotated[
    str | None, Query(description="Symbols with commas between them; all by default.", examples=["BTC/USDT,ETH/USDT"])
]
ExchangeOrAll = Annotated[str | None, Query(description="Only of this exchange.", examples=["binance"])]
_RULE = {"name": "from_trades", "inputs": ["binance:trades:*"], "rule": "1h", "read_version": 12}
_VALUES = {"exchange": "binance", "symbol": "BTC/USDT", "ts": "2024-01-01T00:00:00Z", "ret_5m": 0.001}


@router.get("/derived", summary="Rules of derived rows", responses=answers_value([_RULE], of_version=False))
async def derived(request: Request) -> Response:
    """Return the rules by which rows are made of other rows, and how far each is."""
    server = server_of(request)
    return json_response({"data": await server.work(lambda: to_json(server.lake.derived.list()))})


@router.get("/derived/{rule}", summary="A rule of derived rows", responses=answers_value(_RULE, of_version=False))
async def derived_rule(
    request: Request, rule: Annotated[str, Path(description="The name of a rule.", examples=["from_trades"])]
) -> Response:
    """Return one rule."""
    server = server_of(request)
    return json_response({"data": await server.work(lambda: to_json(server.lake.derived.get(rule)))})


@router.get(
    "/features",
    summary="Feature sets",
    responses=answers_rows({"name": "momentum", "version": "v3", "columns": ["ret_5m"], "rows": 1440}),
)
async def features(
    request: Request,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    search: Annotated[str, Query(description="Only those whose name contains this.", examples=["momentum"])] = "",
) -> Response:
    """Return a row for each version of each feature set."""
    return await answer_made(request, at, lambda view: Made(view.features.list(search)), written.shape, live=True)


@router.get(
    "/features/{name}",
    summary="A feature set",
    responses=answers_value({"features": {"name": "momentum", "version": "v3"}, "state": "active", "rows": 1440}),
)
async def describe_features(
    request: Request,
    name: SetName,
    at: OfVersion,
    statistics: Annotated[bool, Query(description="Also the statistics of each day, which reads all rows.")] = False,
) -> Response:
    """Return the definition of a feature set, and what the lake holds of it."""
    return await answer(request, at, lambda view: view.features.describe(name, statistics=statistics), live=True)


@router.get("/features/{name}/rows", summary="Values of a feature set", responses=answers_rows(_VALUES))
async def feature_rows(
    request: Request,
    name: SetName,
    at: OfVersion,
    written: Annotated[Written, Depends(shape_of)],
    symbols: SymbolsOrAll = None,
    start: Start = None,
    end: End = None,
    exchange: ExchangeOrAll = None,
    columns: Columns = None,
    history: Annotated[bool, Query(description="Every value that an instant ever had.")] = False,
) -> Response:
    """Return stored values with `exchange`, `symbol`, `ts` and `known_at`, in order of time."""

    def make(view: View) -> Made:
        rows = view.features.read(
            name,
            None,
            names_in(symbols),
            as_time(start),
            as_time(end),
            exchange=exchange,
            columns=names_in(columns),
            history=history,
        )
        return Made(rows)

    return await answer_made(request, at, make, written.shape)


@router.get("/features/{name}/latest", summary="Newest values of a feature set", responses=answers_rows(_VALUES))
async def latest_features(
    request: Request,
    name: SetName,
    of: InstantOfVersion,
    written: Annotated[Written, Depends(shape_of)],
    symbols: SymbolsOrAll = None,
    at: Instant = None,
    exchange: ExchangeOrAll = None,
    max_age: MaxAge = None,
    knowledge: KnownBy = "default",
) -> Response:
    """Return one row for each symbol: the newest values that are known at an instant."""

    def make(view: View) -> Made:
        rows = view.features.latest(
            name,
            None,
            names_in(symbols),
            as_time(at),
            exchange=exchange,
            max_age=max_age,
            knowledge=knowledge,
        )
        return Made(rows)

    return await answer_made(request, of, make, written.shape, live=True)
