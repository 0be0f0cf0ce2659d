"""Answers in JSON: what a verb of the lake returned, with the version of the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import polars as pl
from fastapi import Request, Response

from ticklake.interfaces.api.reading import Pinned
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.schema import frame_text, to_json
from ticklake.lake.view import View

__all__ = ["answer", "answer_with", "json_response", "raw_rows"]


@to_json.register
def _(raw: msgspec.Raw) -> msgspec.Raw:
    # Text in JSON already.
    return raw


def raw_rows(rows: pl.DataFrame) -> msgspec.Raw:
    """Return rows as text in JSON, to stand in an answer: Polars writes them ten times as fast as dictionaries are."""
    return msgspec.Raw(frame_text(rows).write_json().encode())


def json_response(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of values that JSON has."""
    return Response(msgspec.json.encode(value), 200, dict(headers or {}), "application/json")


async def answer(request: Request, pinned: Pinned, make: Callable[[View], Any], *, live: bool = False) -> Response:
    """Answer with what *make* returns of a version of the lake, as ``data``.

    With *live*, and if no version is asked for, *make* gets the lake itself: it also has rows that wait for their commit.
    """
    return await answer_with(request, pinned, lambda view: {"data": make(view)}, live=live)


async def answer_with(
    request: Request, pinned: Pinned, make: Callable[[View], Mapping[str, Any]], *, live: bool = False
) -> Response:
    """Answer with the fields that *make* returns, and the version that they are of."""

    def work() -> bytes:
        view = pinned.chosen(live=live)
        version = view.engine.catalog.version()
        return msgspec.json.encode({"version": version, **to_json(make(view))})

    return Response(await server_of(request).work(work), media_type="application/json")
