"""Connections: HTTP/1.1 by uvicorn and httptools, with the limits that these do not have.

uvicorn waits for ever for the head of a request, keeps whatever comes with it, and waits for ever for a client that reads nothing. A
few hundred such connections would keep everybody else out ("slowloris").
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ticklake.config import ServerSettings

__all__ = ["connection_with"]

_LARGEST_HEAD = 32 * 1024
_MOST_HEADERS = 100
_LEAST_READ = 16 * 1024
"""Bytes that a client has to read in each period of ``send_timeout``, as long as more wait for it."""
_LAST_WORDS = 1.0
"""Seconds that a client has to read why it is refused."""
_DETAILS = {
    400: "the request is no valid HTTP/1.1: send it in another way",
    408: "the head of the request came too slowly: send it again, over a better connection",
    431: "the head of the request is too large: send less in its address and headers",
    503: "the server has as many connections as it may: try again in a moment",
}


def connection_with(options: ServerSettings) -> type[HttpToolsProtocol]:
    """Return the class of connections for uvicorn's option ``http``."""

    class Connection(_Connection):
        limits = options

    return Connection


class _Connection(HttpToolsProtocol):
    limits: ServerSettings
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _unread = 0
    """Bytes that waited for the client when the timer of writing was set."""
    _is_in_head = True
    _head_size = 0
    _is_too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._head_timer)
        _cancel(self._write_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            # What was sent after a refusal: to parse it would begin another request.
            return
        super().data_received(data)
        if self._is_in_head:
            self._head_size += len(data)
            # A header without an end is kept by httptools as it grows.
            if self._head_size > _LARGEST_HEAD:
                self._refuse(431)
        # Not only while a head comes: blank lines before one are nothing, and ended the wait for the next request.
        if self._is_in_head or self._is_idle():
            self._await_head()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_size = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        size = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if len(self.headers) > _MOST_HEADERS or size > _LARGEST_HEAD:
            self._is_too_large = True
            raise ValueError("the head is too large")

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_size = 0
        _cancel(self._head_timer)
        self._head_timer = None
        # An address with a host in it is for proxies, and which host counts would be a matter of opinion.
        if not self.url.startswith(b"/") and self.url != b"*":
            raise ValueError("the address is no path")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn calls it by name
        if self._is_too_large:
            self._refuse(431)
        else:
            self._refuse(400)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            _cancel(self._write_timer)
            self._write_timer = None

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        """Refuse the connection if the head of a request has not come in time."""
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.limits.receive_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        # Who sent nothing at all, like a browser that connects in advance, expects no answer.
        if self._head_size:
            self._refuse(408)
        else:
            self.transport.abort()

    def _watch_writing(self) -> None:
        """Give the client up if it reads next to nothing of what waits for it."""
        if self._write_timer is None:
            self._unread = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(self.limits.send_timeout, self._check_writing)

    def _check_writing(self) -> None:
        self._write_timer = None
        left = self.transport.get_write_buffer_size()
        if not left:
            return
        if self._unread - left < min(_LEAST_READ, self._unread):
            self.transport.abort()
        else:
            self._watch_writing()

    def _refuse(self, status: int) -> None:
        """Answer with a problem, and end the connection."""
        if self.transport.is_closing():
            return
        phrase = HTTPStatus(status).phrase
        title = phrase.title().replace(" ", "")
        problem = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": _DETAILS[status],
            "retriable": status in {408, 503},
        }
        body = json.dumps(problem)
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        )
        self.transport.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        self.transport.close()
        self.loop.call_later(_LAST_WORDS, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
