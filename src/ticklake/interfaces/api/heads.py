"""HEAD: the headers of the answer that GET gives, without its body; load balancers and health checks ask so."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticklake.interfaces.api.head import LIVE

__all__ = ["AnswersHead"]


class AnswersHead:
    """The application *app*, which gets each HEAD as a GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # An answer that goes on until the client leaves has no end that a client of HEAD would wait for.
        if scope.get("method") != "HEAD" or scope["path"].startswith(LIVE):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the server has to know that no body belongs to the answer.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            # By its route, a request is logged and counted.
            scope["route"] = asked.get("route")
