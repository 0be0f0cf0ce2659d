"""The gate: what every request passes before a route sees it, and what every answer gets.

Host and origin, size and rate, who calls, and the token against forged requests; then the headers that browsers obey, and the audit
log. It is plain ASGI, as WebSockets pass it, too, and as it costs every request.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticklake.config import ServerSettings
from ticklake.core.access import Caller, Role
from ticklake.core.audit_log import AuditEntry, is_refusal
from ticklake.core.hosts import AllowedHosts
from ticklake.core.token_bucket import TokenBuckets
from ticklake.errors import NotAllowed, NotSignedIn, TicklakeError, TooManyRequests
from ticklake.interfaces.api.audit_writer import AuditWriter
from ticklake.interfaces.api.body import LimitedBody, check_body, discard, most_bytes
from ticklake.interfaces.api.callers import Callers, Known, csrf_token
from ticklake.interfaces.api.head import CSRF_HEADER, LOGIN, Head, Refused, check_head
from ticklake.interfaces.api.live import WhileAllowed
from ticklake.interfaces.api.problems import problem, problem_of
from ticklake.interfaces.api.protection import ProtectedAnswer, protected_headers
from ticklake.log import Log

__all__ = ["Gate"]

_OF_NOBODY = frozenset({"/health", "/health/ready"})
"""Addresses that anyone may ask, whoever it is."""
_LOG = Log("api")


class Gate:
    """Lets the requests pass that may, as the outermost layer of an application.

    Parameters
    ----------
    app
        The application behind the gate.
    """

    def __init__(self, app: ASGIApp, options: ServerSettings, callers: Callers, audit: AuditWriter) -> None:
        self._app = app
        self._options = options
        self._callers = callers
        self._audit = audit
        self._hosts = AllowedHosts(options.host, tuple(options.allowed_hosts))
        self._origins = frozenset(options.allowed_origins)
        self._requests = TokenBuckets(options.rate, options.rate)
        self._open: Counter[str] = Counter()
        """Requests that are being answered, by :func:`_key`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        head, known = Head.of(scope), Known()
        try:
            check_head(head, self._hosts, self._origins)
            # Whether the server is well can be asked when the catalog, which has the tokens, cannot be read.
            if head.path not in _OF_NOBODY:
                known = await self._callers.known(head.headers.get("authorization"), head.session, head.address)
            _refuse_forged(head, known)
            most = most_bytes(head, known.caller, self._options)
            check_body(head, known.caller, most)
            key = _key(head, known)
            self._refuse_overload(head, key)
        except Refused as refused:
            # Whoever sends what can be read in two ways sends no second request over this connection.
            answer = problem(refused.status, refused.title, refused.detail, headers={"Connection": "close"})
            await self._refuse(scope, receive, send, head, known, answer, refused.detail)
        except (NotAllowed, NotSignedIn, TooManyRequests) as error:
            await self._refuse(scope, receive, send, head, known, problem_of(error), str(error))
        except TicklakeError as error:
            # Its text names the catalog's file, which is nobody's business who is not known.
            _LOG.error("who sent a request could not be found out", reason=error)
            answer = problem(
                503, type(error).__name__, "the server cannot tell who calls: its log says why", retriable=True
            )
            await self._refuse(scope, receive, send, head, known, answer, "")
        else:
            with self._counted(key):
                await self._pass(scope, receive, send, head, known, most)

    def _refuse_overload(self, head: Head, key: str) -> None:
        wait = self._requests.take(key, time.monotonic())
        if wait:
            raise TooManyRequests(f"this caller sent more than {self._options.rate:g} requests a second: wait", wait)
        most, what = self._options.at_once, "requests"
        if head.is_live:
            most, what = self._options.subscriptions, "live connections"
        if self._open[key] >= most:
            raise TooManyRequests(f"this caller has {most} {what} open: end one first")

    @contextmanager
    def _counted(self, key: str) -> Iterator[None]:
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]

    async def _pass(self, scope: Scope, receive: Receive, send: Send, head: Head, known: Known, most: int) -> None:
        state = scope.setdefault("state", {})
        state["caller"] = known.caller
        state["session"] = known.session
        if head.is_live and known.caller is not None:
            receive = WhileAllowed(receive, partial(self._callers.is_allowed, known, head.address), _gone(head))
        if head.is_socket:
            await self._app(scope, receive, send)
            return
        body = LimitedBody(receive, head, most, self._options.receive_timeout)
        answer = ProtectedAnswer(send, body)
        try:
            await self._app(scope, body, answer.send)
            await answer.finish()
        finally:
            is_query = state.get("needed") is Role.READ and not is_refusal(answer.status)
            self._note(head, state["caller"], answer.status, state.get("audit", ""), is_query=is_query)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, head: Head, known: Known, answer: Response, detail: str
    ) -> None:
        self._note(head, known.caller, answer.status_code, detail)
        if head.has_body:
            await discard(receive, head)
            answer.headers["Connection"] = "close"
        answer.raw_headers = protected_headers(answer.raw_headers)
        await _send_answer(answer, scope, receive, send)

    def _note(self, head: Head, caller: Caller | None, status: int, detail: str, *, is_query: bool = False) -> None:
        """Write to the audit log what changes something, and what was refused for who sent it, or how often."""
        if head.is_safe and not is_refusal(status):
            return
        name = role = ""
        if caller is not None:
            name, role = caller.name, caller.role.value
        at = self._audit.now()
        request = (_printable(head.address, 100), head.method, head.shown_path)
        entry = AuditEntry(at, name, role, *request, status, _printable(detail, 500), is_query=is_query)
        self._audit.write(entry)


def _refuse_forged(head: Head, known: Known) -> None:
    """Refuse what a page of others may have let a browser send, with the cookies of whoever looks at that page.

    Raises
    ------
    Refused, NotAllowed
    """
    # No page can send that header to a server that does not allow its origin.
    if head.is_safe or "authorization" in head.headers:
        return
    if head.is_form:
        kind = "application/json"
        if head.is_upload:
            kind = "application/octet-stream"
        raise Refused(415, "UnsupportedMediaType", f"a form may send such a body: send it with 'Content-Type: {kind}'")
    if known.session is None or head.path == LOGIN:
        return
    sent = head.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_token(known.session).encode()):
        raise NotAllowed("the header X-CSRF-Token is missing or wrong: /api/v1/session says which one to send")


def _printable(text: str, most: int) -> str:
    """Return the beginning of a text that came from outside, for people who read the audit log on a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:most])


def _gone(head: Head) -> Message:
    """Return the message that says that a client is gone."""
    if head.is_socket:
        return {"type": "websocket.disconnect", "code": 1008}
    return {"type": "http.disconnect"}


def _key(head: Head, known: Known) -> str:
    """Return by what requests are counted: where they come from, and who sent them; live connections apart."""
    name, kind = "", "request"
    if known.caller is not None:
        name = known.caller.name
    if head.is_live:
        kind = "live"
    return f"{kind} {head.address} {name}"


async def _send_answer(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer; to who wanted a WebSocket, instead of that."""
    if scope["type"] == "http":
        await answer(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        # Starlette sends it as such messages.
        await answer(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008})
