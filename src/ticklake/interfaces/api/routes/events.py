"""Events: what changes in the lake, as it changes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from ticklake.core.access import Role
from ticklake.errors import BadInput
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.events import TOPICS, EventStream, Position
from ticklake.interfaces.api.server import server_of

__all__ = ["router"]

router = APIRouter(tags=["live"], dependencies=[allow(Role.READ)])
_EXAMPLE = """id: 41.1704067200000000000
event: commits
data: {"version": 41, "operation": "append", "dataset": "binance:trades:BTC/USDT", "rows": 100, "spans": []}

"""


@router.get(
    "/events",
    response_class=Response,
    responses={200: {"description": "Server-Sent Events.", "content": {"text/event-stream": {"example": _EXAMPLE}}}},
)
async def events(
    request: Request,
    topics: Annotated[str, Query(description=f"Some of {', '.join(TOPICS)}, with commas.")] = ",".join(TOPICS),
    last_event_id: Annotated[str | None, Header(description="The id of the last event that came.")] = None,
) -> Response:
    """Send what changes: progress of jobs and runs, how streams go, commits. With ``Last-Event-ID`` it goes on from there."""
    since = None
    if last_event_id:
        since = Position.parse(last_event_id)
    return EventStream(server_of(request), _parsed(topics), since)


def _parsed(topics: str) -> list[str]:
    named = [topic.strip() for topic in topics.split(",") if topic.strip()]
    for topic in named:
        if topic not in TOPICS:
            raise BadInput(f"{topic!r} is no topic: use some of {', '.join(TOPICS)}")
    if not named:
        raise BadInput(f"topics is empty: name some of {', '.join(TOPICS)}")
    return named
