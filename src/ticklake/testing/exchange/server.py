"""The simulated exchange itself: the protocols behind one HTTP server on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND, format_time, parse_time
from ticklake.errors import BadInput, TicklakeError
from ticklake.testing.exchange.archive import SimulatedArchive
from ticklake.testing.exchange.binance import BinanceProtocol
from ticklake.testing.exchange.book import Books
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Failure, Faults
from ticklake.testing.exchange.kraken import KrakenProtocol
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.scenarios import MoodyMarket, parse_moods
from ticklake.testing.exchange.sockets import HOSTS, Journal, SocketServer

__all__ = ["Download", "Request", "SimulatedExchange"]

LOOPBACK = "127.0.0.1"
Protocol = BinanceProtocol | KrakenProtocol
_SITES = {"binanceusdm": "binance", "binancecoinm": "binance"}
"""ccxt's other names of a site, whose markets are part of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered, with the fault that it got, if any.

    ``at`` is the real time in seconds since 1970, not that of the simulated clock.
    """

    exchange: str
    path: str
    query: dict[str, str]
    fault: str = ""
    at: float = 0.0


@dataclass
class Download:
    """A request for a file of the archive: its first byte, the status of the response, and how many bytes were sent."""

    path: str
    start: int
    status: int
    sent: int = 0


@dataclass
class SimulatedExchange:
    """Serves a market under ``/{exchange}/{path}``; listens on loopback only.

    ``POST /_sim/clock`` (``{"now": "2024-01-02"}`` or ``{"advance": seconds}``) moves the clock, ``POST /_sim/faults``
    sets fault switches, ``POST /_sim/moods`` (``{"moods": ["outage=..."]}``) sets moods, ``GET /_sim/requests`` returns the requests so far,
    ``GET /_sim`` describes the market.

    WebSockets are served under the names of their real hosts, like ``/stream.binance.com:9443/ws``.
    ``POST /_sim/sockets`` (``{"do": "drop"}``, ``"silence"``, or ``"restart"`` with ``"seconds"``) disturbs all of them,
    ``GET /_sim/served`` returns the ids of the trades that were sent and left out, as runs of first and last ids.

    Dump sites are served under ``/archive/{exchange}/``. With ``archived`` they have another market than the calls;
    ``downloads`` are the requests for their files.
    """

    market: Market
    clock: SimulatedClock
    faults: Faults = field(default_factory=Faults)
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    archived: Market | None = None
    downloads: list[Download] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self._plain = self.market
        self._pages = 0
        self._sockets = SocketServer(self.clock, lambda: self.faults)
        self._wire()

    def be(self, *moods: str) -> None:
        """Be in these moods from now on, and in no others; :data:`~ticklake.testing.exchange.scenarios.MOODS` has the forms.

        :attr:`market` is then what really happens in them.
        """
        self.market = self._plain
        if moods:
            self.market = MoodyMarket(self._plain, parse_moods(moods))
        self._wire()

    def _wire(self) -> None:
        books = Books(self.market)
        self._sockets.wire(self.market, books)
        self._protocols: dict[str, Protocol] = {}
        self._archives: dict[str, SimulatedArchive] = {}
        for exchange in self.market.exchanges():
            if exchange == "kraken":
                # No dump site of Kraken is simulated.
                self._protocols[exchange] = KrakenProtocol(self.market, books=books)
            else:
                self._protocols[exchange] = BinanceProtocol(self.market, exchange, books)
                self._archives[exchange] = SimulatedArchive(self.archived or self.market, exchange)

    @property
    def url(self) -> str:
        """The address of the server; add ``/{exchange}`` for the root of one exchange."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def socket_url(self) -> str:
        """The address of the WebSockets; add the real host and its path, like ``/stream.binance.com:9443/ws``."""
        return f"ws://{LOOPBACK}:{self.port}"

    @property
    def served(self) -> dict[Dataset, Journal]:
        """The ids of all trades that were sent by WebSocket, by the dataset of the trades."""
        return self._sockets.served

    @property
    def withheld(self) -> dict[Dataset, Journal]:
        """The ids of all trades that a fault left out of a WebSocket's messages."""
        return self._sockets.withheld

    async def start(self) -> None:
        """Start listening; port 0 picks a free one.

        Raises
        ------
        BadInput
            If the port is taken.
        """
        application = web.Application()
        application.add_routes(
            [
                web.get("/_sim", self._describe),
                web.post("/_sim/clock", self._set_clock),
                web.post("/_sim/faults", self._set_faults),
                web.post("/_sim/moods", self._set_moods),
                web.post("/_sim/sockets", self._disturb_sockets),
                web.get("/_sim/served", self._list_served),
                web.get("/_sim/requests", self._list_requests),
                web.get("/archive/{exchange}/{path:.*}", self._serve_file),
                web.get("/{exchange}/{path:.*}", self._serve),
            ]
        )
        # Late answers are given up: whoever waits for them has hung up, or will find the exchange gone.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, self.port)
        try:
            await site.start()
        except OSError as error:
            raise BadInput(f"port {self.port} is taken: choose another with --port") from error
        self.port = self._runner.addresses[0][1]
        await self._sockets.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    @contextmanager
    def running(self) -> Iterator[SimulatedExchange]:
        """Run it in a thread of its own while the block lasts."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="simulated-exchange", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        exchange, path = request.match_info["exchange"], request.match_info["path"]
        if exchange in HOSTS:
            return await self._sockets.serve(request, exchange, path)
        protocol = self._protocols.get(_SITES.get(exchange, exchange))
        if protocol is None:
            return web.json_response({"error": f"{exchange} is not simulated"}, status=404)
        query, at = dict(request.query), time.time()
        reply = protocol.answer(path, query, self.clock.now(), self.faults)
        failure = self._rate_limit(exchange, at)
        if failure is None and reply.rows:
            failure = self._next_failure()
        if failure is not None:
            self.requests.append(Request(exchange, path, query, failure.name, at))
            return await self._fail(failure, protocol, reply.body)
        self.requests.append(Request(exchange, path, query, at=at))
        if reply.rows:
            self._disorder(protocol.rows_of(reply.body))
        return web.json_response(reply.body, status=reply.status)

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        path, archive = request.match_info["path"], self._archives.get(request.match_info["exchange"])
        data = None
        if archive is not None:
            data = await asyncio.to_thread(archive.answer, path, self.clock.now(), self.faults)
        if data is None:
            self.downloads.append(Download(path, 0, 404))
            return web.Response(status=404, text="NoSuchKey")
        return await self._send(request, path, data)

    async def _send(self, request: web.Request, path: str, data: bytes) -> web.StreamResponse:
        """Send a file, or the requested part of it, at the pace and with the faults that are set."""
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        start = 0
        is_unchanged = request.headers.get("If-Range", etag) == etag
        if is_unchanged and request.http_range.start is not None and not self.faults.archive_no_range:
            start = request.http_range.start
        if start >= len(data) > 0:
            self.downloads.append(Download(path, start, 416))
            return web.Response(status=416)
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        status = 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status = 206
        download = Download(path, start, status)
        self.downloads.append(download)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(data) - start
        await response.prepare(request)
        every = self.faults.archive_truncate_every
        if not every or len(self.downloads) % every:
            await self._write(response, download, data[start:])
            return response
        # Half of the bytes that were promised, then the connection breaks.
        await self._write(response, download, data[start : start + (len(data) - start) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _write(self, response: web.StreamResponse, download: Download, data: bytes) -> None:
        """Write *data* in blocks, at the pace that is set."""
        block = 256 * 1024
        if self.faults.archive_rate:
            block = max(int(self.faults.archive_rate / 20), 1)
        for offset in range(0, len(data), block):
            await response.write(data[offset : offset + block])
            download.sent += len(data[offset : offset + block])
            if self.faults.archive_rate:
                await asyncio.sleep(0.05)

    def _rate_limit(self, exchange: str, at: float) -> Failure | None:
        """Return the refusal of a call beyond those that are allowed in a second."""
        limit = self.faults.calls_per_second
        if not limit:
            return None
        recent = 0
        for request in reversed(self.requests):
            if request.at <= at - 1:
                break
            recent += request.exchange == exchange
        if recent >= limit:
            return Failure("rate_limit")
        return None

    def _next_failure(self) -> Failure | None:
        self._pages += 1
        return Failure.of(self.faults, self._pages)

    async def _fail(self, failure: Failure, protocol: Protocol, body: Any) -> web.Response:
        match failure.name:
            case "rate_limit":
                return web.Response(status=429, text="{}", headers={"Retry-After": str(self.faults.retry_after)})
            case "ban":
                return web.Response(status=418, text="{}", headers={"Retry-After": "60"})
            case "error":
                return web.Response(status=503, text="Service Unavailable")
            case "truncate":
                text = json.dumps(body)
                return web.Response(text=text[: max(len(text) * 2 // 3, 1)], content_type="application/json")
            case "error_body":
                return web.json_response(protocol.error_body())
            case "empty":
                return web.json_response(protocol.emptied(body))
            case _:
                await asyncio.sleep(self.faults.timeout_seconds)
                return web.json_response(body)

    def _disorder(self, rows: list[Any] | None) -> None:
        """Repeat and shuffle the rows of a body, if these faults are set."""
        if rows:
            if self.faults.duplicate_rows:
                rows.extend(rows[:3])
            if self.faults.shuffle_rows:
                rows[:] = [*rows[1::2], *rows[::2]]

    async def _describe(self, _request: web.Request) -> web.Response:
        now = self.clock.now()
        exchanges: dict[str, list[str]] = {}
        for name in self._protocols:
            exchanges[name] = list(map(str, self.market.listed(name, now)))
        moods: list[str] = []
        if isinstance(self.market, MoodyMarket):
            moods = list(map(str, self.market.moods))
        description = {
            "now": format_time(now),
            "exchanges": exchanges,
            "faults": asdict(self.faults),
            "moods": moods,
        }
        return web.json_response(description)

    async def _set_clock(self, request: web.Request) -> web.Response:
        def change(values: dict[str, Any]) -> object:
            now = self.clock.now()
            if "now" in values:
                now = parse_time(values["now"])
            advance = values.get("advance", 0)
            if not isinstance(advance, int | float) or isinstance(advance, bool):
                raise BadInput(f"advance {advance!r} is no number of seconds")
            self.clock.set(now + int(advance * SECOND))
            return {"now": format_time(self.clock.now())}

        return await _apply(request, change)

    async def _set_faults(self, request: web.Request) -> web.Response:
        def change(values: dict[str, Any]) -> object:
            self.faults = self.faults.changed(values)
            return asdict(self.faults)

        return await _apply(request, change)

    async def _set_moods(self, request: web.Request) -> web.Response:
        def change(values: dict[str, Any]) -> object:
            texts = values.get("moods")
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise BadInput("moods are a list of texts, like outage=2024-01-03T10:00/2024-01-03T12:00")
            self.be(*texts)
            return {"moods": texts}

        return await _apply(request, change)

    async def _disturb_sockets(self, request: web.Request) -> web.Response:
        def change(values: dict[str, Any]) -> object:
            what, seconds = values.get("do"), values.get("seconds", 0)
            if what not in ("drop", "silence", "restart"):
                raise BadInput(f"sockets cannot {what!r}: use drop, silence or restart")
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds < 0:
                raise BadInput(f"seconds {seconds!r} is no number of seconds")
            self._sockets.disturb(what, seconds)
            return {"do": what, "seconds": seconds}

        return await _apply(request, change)

    async def _list_served(self, _request: web.Request) -> web.Response:
        def runs(journals: dict[Dataset, Journal]) -> dict[str, list[list[int]]]:
            return {str(dataset): journal.runs for dataset, journal in journals.items()}

        return web.json_response({"served": runs(self.served), "withheld": runs(self.withheld)})

    async def _list_requests(self, _request: web.Request) -> web.Response:
        return web.json_response(list(map(asdict, self.requests)))


async def _apply(request: web.Request, change: Callable[[dict[str, Any]], object]) -> web.Response:
    """Call *change* with the JSON object of a request, and return its result, or what is wrong with the object."""
    try:
        values = await request.json()
        if not isinstance(values, dict):
            raise BadInput(f"{values!r} is no JSON object")
        return web.json_response(change(values))
    except (TicklakeError, json.JSONDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)
