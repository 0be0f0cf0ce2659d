"""Exchanges, what proves their streams, and the markets that they list and listed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from ticklake.app import list_exchanges, list_proofs
from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import json_response
from ticklake.interfaces.api.computed import Made, answer_made
from ticklake.interfaces.api.openapi import answers_rows, answers_value
from ticklake.interfaces.api.reading import Exchange, Instant, Pinned, as_time
from ticklake.interfaces.api.rows import Written, shape_of
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import to_json
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["markets"], dependencies=[allow(Role.READ)])
Search = Annotated[str, Query(description="Only those whose id contains this.", examples=["binance"])]


@router.get(
    "/exchanges",
    summary="Exchanges that can be asked",
    responses=answers_value({"binance": {"ohlcv": "", "trades": ""}}, of_version=False, broken=[]),
)
async def exchanges(request: Request, search: Search = "") -> Response:
    """Return the exchanges, the kinds that each serves, and what stands in the way of a kind: a key, a short history."""
    kinds_by_exchange, broken = await server_of(request).work(list_exchanges, search)
    return json_response({"data": kinds_by_exchange, "broken": broken})


@router.get(
    "/proofs",
    summary="What proves streams",
    responses=answers_value([{"exchange": "binance", "kind": "trades", "by": "ids", "blind": ""}], of_version=False),
)
async def proofs(search: Search = "") -> Response:
    """Return what proves that no message of a stream is missing, and what it cannot see."""
    found = [
        {"exchange": proof.exchange, "kind": proof.kind, "by": proof.by, "blind": proof.blind}
        for proof in list_proofs(search)
    ]
    return json_response({"data": to_json(found)})


@router.get(
    "/symbols",
    summary="Markets of an exchange",
    responses=answers_rows({"symbol": "BTC/USDT", "native_id": "BTCUSDT", "market_type": "spot", "active": True}),
)
async def symbols(
    request: Request,
    written: Annotated[Written, Depends(shape_of)],
    exchange: Exchange,
    search: Annotated[
        str, Query(description="Only those whose symbol, native id or former name contains this.", examples=["BTC"])
    ] = "",
    at: Instant = None,
) -> Response:
    """Return the markets that an exchange lists or listed, as far as the lake has seen them.

    With `at`, only what was listed at that time, as it was described then: so a symbol is resolved by date.
    """
    lake = server_of(request).lake

    def make(_view: View) -> Made:
        return Made(lake.instruments.list(exchange, search, as_time(at)))

    return await answer_made(request, Pinned(request), make, written.shape, live=True)
