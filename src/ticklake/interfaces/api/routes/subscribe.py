"""Subscribe: new rows over a WebSocket."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from ticklake.core.access import Role
from ticklake.interfaces.api.access import allow
from ticklake.interfaces.api.server import server_of
from ticklake.interfaces.api.subscriptions import Connection

__all__ = ["router"]

router = APIRouter(dependencies=[allow(Role.READ)])


@router.websocket("/subscribe")
async def subscribe(socket: WebSocket) -> None:
    """Send new rows of the datasets that the client names."""
    await Connection(server_of(socket), socket).run()
