"""Pages of lists whose members have numbers, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from ticklake.interfaces.schema import to_json

__all__ = ["Cursor", "Limit", "page_of", "whole"]

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Cursor = Annotated[int | None, Query(ge=0, description="The `next` of the page before.")]


def page_of(
    found: Sequence[T], limit: int, number: Callable[[T], int], form: Callable[[T], Any] = to_json
) -> dict[str, Any]:
    """Return one page as JSON; *found* has one member more than *limit* if there is another page."""
    shown = found[:limit]
    cursor = None
    if len(found) > limit:
        cursor = number(shown[-1])
    return {"rows": len(shown), "complete": cursor is None, "next": cursor, "data": list(map(form, shown))}


def whole(members: Sequence[Any]) -> dict[str, Any]:
    """Return a list that is never long, in the same form."""
    return {"rows": len(members), "complete": True, "next": None, "data": to_json(members)}
