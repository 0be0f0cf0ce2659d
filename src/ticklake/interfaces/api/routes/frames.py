"""Frames: what was known of a symbol at an instant, or at many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ticklake.core.access import Role
from ticklake.core.frame import Frame
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.answers import answer_with, raw_rows
from ticklake.interfaces.api.openapi import answers_value
from ticklake.interfaces.api.reading import (
    Exchange,
    Instant,
    InstantOfVersion,
    KnownBy,
    Pinned,
    Symbol,
    as_time,
    names_in,
)
from ticklake.interfaces.schema import to_json
from ticklake.lake.view import View

__all__ = ["router"]

router = APIRouter(tags=["frames"], dependencies=[allow(Role.READ)])
_MOST = 1_000
_FRAME = {
    "exchange": "binance",
    "symbol": "BTC/USDT",
    "at": "2024-01-01T12:00:00Z",
    "complete": True,
    "bars": {"1m": []},
}


class FramesRequest(BaseModel):
    """The instants of frames, and what is to be in them."""

    model_config = ConfigDict(extra="forbid")

    exchange: str = Field(min_length=1, examples=["binance"])
    symbol: str = Field(min_length=1, examples=["BTC/USDT"])
    instants: list[str | int] = Field(min_length=1, max_length=_MOST, examples=[["2024-01-01T12:00:00Z"]])
    window: str = Field("60m", examples=["60m"])
    timeframes: list[str] = Field(["1m"], examples=[["1m", "1h"]])
    kinds: list[str] | None = Field(None, examples=[["trades", "book"]])
    book_depth: int | None = Field(None, ge=1, le=100_000)
    indicators: list[str] = Field([], examples=[["sma_20"]])
    features: list[str] = Field([], examples=[["momentum@v3:ret_5m"]])
    knowledge: str = Field("default", examples=["default"])
    fill: str | None = Field(None, examples=["forward"])
    version: int | None = Field(None, ge=0, le=2**63 - 1)


@router.get("/frame", summary="What was known at an instant", responses=answers_value(_FRAME, complete=True))
async def frame(
    request: Request,
    of: InstantOfVersion,
    exchange: Exchange,
    symbol: Symbol,
    at: Instant = None,
    window: Annotated[str, Query(description="How much time before the instant.", examples=["60m"])] = "60m",
    timeframes: Annotated[str, Query(description="Of bars, with commas.", examples=["1m,1h"])] = "1m",
    kinds: Annotated[
        str | None, Query(description="Besides bars: trades, quotes, funding, open_interest, book; all by default.")
    ] = None,
    book_depth: Annotated[int | None, Query(ge=1, le=100_000, description="Levels of each side.")] = None,
    indicators: Annotated[str, Query(description="Of the first bars, with commas.", examples=["sma_20"])] = "",
    features: Annotated[str, Query(description="With commas.", examples=["momentum@v3:ret_5m"])] = "",
    knowledge: KnownBy = "default",
    fill: Annotated[str | None, Query(description="`forward` repeats the last close where bars are missing.")] = None,
) -> Response:
    """Return what was known of a symbol at an instant: bars, trades, quotes, the book, funding, indicators, and what is missing."""
    options: dict[str, Any] = {
        "window": window,
        "timeframes": names_in(timeframes),
        "kinds": names_in(kinds),
        "book_depth": book_depth,
        "indicators": names_in(indicators) or (),
        "features": names_in(features) or (),
        "knowledge": knowledge,
        "fill": fill,
    }

    def make(view: View) -> dict[str, Any]:
        found = view.frame(exchange, symbol, as_time(at), **options)
        return {**_facts([found]), "data": frame_to_json(found)}

    return await answer_with(request, of, make, live=True)


@router.post(
    "/frames", summary="What was known at many instants", responses=answers_value([_FRAME], rows=1, complete=True)
)
async def frames(request: Request, wanted: FramesRequest) -> Response:
    """Return the frames of many instants, read in one pass: each equals that of `/frame`."""
    options = wanted.model_dump(exclude={"exchange", "symbol", "instants", "version"})

    def make(view: View) -> dict[str, Any]:
        found = list(view.frames(wanted.exchange, wanted.symbol, wanted.instants, **options))
        return {"rows": len(found), **_facts(found), "data": list(map(frame_to_json, found))}

    return await answer_with(request, Pinned(request, wanted.version), make, live=True)


def _facts(found: Sequence[Frame]) -> dict[str, Any]:
    return {"complete": all(each.complete for each in found), "version": found[0].version}


def frame_to_json(found: Frame) -> dict[str, Any]:
    """Return a frame as JSON whose rows are text already: Polars writes them ten times as fast."""
    return {name: to_json(value) for name, value in found.to_dict(rows=raw_rows).items()}
