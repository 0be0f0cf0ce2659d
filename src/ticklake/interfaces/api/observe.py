"""What the server sees of requests: a line in the log for each, and figures for metrics."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticklake.config import ServerSettings
from ticklake.core.redact import redacted
from ticklake.interfaces.api.shared import SHARED_FOLDER, SharedSamples
from ticklake.interfaces.metrics import LakeMetrics
from ticklake.lake import Lake
from ticklake.log import Log

__all__ = ["HTTP_METRICS", "HttpMetrics", "Observed", "ServerMetrics"]

_LOG = Log("requests")
HTTP_METRICS: dict[str, str] = {
    "ticklake_http_requests_total": "Requests that were answered, by route, method and status.",
    "ticklake_http_request_seconds": "Seconds until a request was answered, to the last byte, by route.",
    "ticklake_http_requests_in_flight": "Requests that are being answered.",
    "ticklake_http_response_bytes_total": "Bytes of the bodies of answers, by route.",
}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_NO_ROUTE = "none"
"""The route of what has none: addresses that strangers try must not each make a series of their own."""


class HttpMetrics:
    """Figures of requests: of this process, or of all processes of a server where they share a folder."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        requests, seconds, in_flight, size = HTTP_METRICS
        text = HTTP_METRICS
        self.requests = Counter(requests, text[requests], ["route", "method", "status"], registry=own)
        self.seconds = Histogram(seconds, text[seconds], ["route"], buckets=_BUCKETS, registry=own)
        self.in_flight = Gauge(in_flight, text[in_flight], registry=own, multiprocess_mode="livesum")
        self.bytes = Counter(size, text[size], ["route"], registry=own)
        self._registry = own
        if os.environ.get(SHARED_FOLDER):
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=own)

    def text(self) -> str:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry).decode()


class ServerMetrics:
    """All figures of a server: those of its lake, and those of its requests."""

    def __init__(self, lake: Lake) -> None:
        self.http = HttpMetrics()
        of_processes = None
        if folder := os.environ.get(SHARED_FOLDER):
            of_processes = SharedSamples(lake, Path(folder)).total
        self._of_lake = LakeMetrics(lake, of_processes)

    def text(self) -> str:
        """Return all figures in Prometheus' text format."""
        lines = "\n".join(self._of_lake.lines())
        return f"{lines}\n{self.http.text()}"


class Observed:
    """The application *app*, with each of its requests logged and counted.

    Parameters
    ----------
    options
        Which requests are logged, and how slow one is that is logged with a warning.
    prefix
        What the addresses of the API begin with.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, options: ServerSettings, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._metrics = metrics
        self._slow = options.slow
        # Of warnings nothing is left out.
        self._log_all = options.log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] not in {"http", "websocket"}:
            return await self._app(scope, receive, send)
        seen = _Answer(send)
        began = time.perf_counter()
        try:
            with self._metrics.in_flight.track_inprogress():
                await self._app(scope, receive, seen.send)
        except Exception:
            # Starlette answers it outside of this.
            seen.status = 500
            raise
        finally:
            self._note(scope, seen, time.perf_counter() - began)
        return None

    def _note(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route, method = _route(scope, self._prefix), str(scope.get("method", "WEBSOCKET"))
        if method not in _METHODS:
            method = "other"
        self._metrics.requests.labels(route, method, answer.status).inc()
        self._metrics.bytes.labels(route).inc(answer.bytes)
        # A subscription lasts as long as its client likes: that says nothing of the server.
        if scope["type"] == "http" and not answer.is_stream:
            self._metrics.seconds.labels(route).observe(seconds)
        is_slow = seconds > self._slow and scope["type"] == "http" and not answer.is_stream
        level, event = logging.INFO, "request"
        if is_slow:
            level, event = logging.WARNING, "slow request"
        elif answer.status >= 500:
            level = logging.WARNING
        if (self._log_all or level > logging.INFO) and _LOG.is_on(level):
            _LOG.at(level, event, **_said(scope, answer, method, seconds))


class _Answer:
    """What is sent to the client: passed on, and noted."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 499
        """As nginx says it: the client was gone before there was an answer."""
        self.bytes = 0
        self.is_stream = False

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            self.is_stream = (b"content-type", b"text/event-stream") in [
                (name.lower(), value[:17]) for name, value in message.get("headers", ())
            ]
        elif kind == "http.response.body":
            self.bytes += len(message.get("body", b""))
        elif kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.send":
            self.bytes += len(message.get("bytes") or message.get("text") or b"")
        elif kind == "websocket.close" and self.status == 499:
            self.status = 403
        await self._send(message)


def _route(scope: Scope, prefix: str) -> str:
    """Return the template of the route that answered, like ``/api/v1/datasets/{name}/rows``."""
    route = scope.get("route")
    template = str(getattr(route, "path_format", None) or getattr(route, "path", None) or _NO_ROUTE)
    # FastAPI keeps the template of a router's route without the prefix of the router.
    if template.startswith("/") and scope["path"].startswith(f"{prefix}/") and not template.startswith(f"{prefix}/"):
        return prefix + template
    return template


def _said(scope: Scope, answer: _Answer, method: str, seconds: float) -> dict[str, Any]:
    caller = scope.get("state", {}).get("caller")
    client = scope.get("client") or (None,)
    query = scope.get("query_string", b"").decode("latin-1")
    if query:
        # With its mark: a secret is known by the name of its parameter.
        query = redacted(f"?{query}")
    return {
        "method": method,
        "path": scope.get("path"),
        "query": query or None,
        "status": answer.status,
        "ms": round(seconds * 1000, 1),
        "bytes": answer.bytes,
        "caller": getattr(caller, "name", None),
        "client": client[0],
    }
