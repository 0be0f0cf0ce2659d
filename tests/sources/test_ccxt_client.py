"""The client: real ccxt against a scripted HTTP server on loopback."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

import ccxt
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from ticklake.core.retry import RetryPolicy
from ticklake.errors import (
    AccessDenied,
    BadResponse,
    Banned,
    RateLimited,
    SourceError,
    SourceUnavailable,
    TicklakeError,
    UnknownExchange,
    UnknownSymbol,
    Unsupported,
)
from ticklake.sources.ccxt.client import RETRIES, ExchangeClient, ExchangeOptions, exchange_ids, translated

QUICK = RetryPolicy(attempts=4, first_wait=0.01, longest_wait=0.05)
TIME = {"serverTime": 1_704_067_200_000}
"""What Binance answers when asked for its time."""
KLINES = {"symbol": "BTCUSDT", "interval": "1m"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """Answers each request with the next of *replies*; the last one is repeated. Notes when each came."""

    def __init__(self, *replies: Answer) -> None:
        self.replies = list(replies)
        self.times: list[float] = []
        self.requests: list[web.Request] = []
        self.asked = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.times.append(time.monotonic())
        self.requests.append(request)
        self.asked.set()
        return await self.replies[min(len(self.times), len(self.replies)) - 1](request)

    def __len__(self) -> int:
        return len(self.times)


def answer(status: int = 200, body: Any = TIME, headers: dict[str, str] | None = None) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)

    async def reply(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")

    return reply


def meet(
    script: Script,
    visit: Callable[[ExchangeClient], Awaitable[Any]],
    exchange: str = "binance",
    timeout: float = 2.0,
    retry: RetryPolicy = QUICK,
    **options: Any,
) -> Any:
    """Serve *script* on loopback, let *visit* use a client of it, and clean up."""

    async def run() -> Any:
        application = web.Application()
        application.add_routes([web.route("*", "/{path:.*}", script.serve)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        client = ExchangeClient(
            exchange, ExchangeOptions(url=url, rate_limit_ms=1, timeout=timeout, retry=retry, **options)
        )
        try:
            return await visit(client)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(run())


async def ask_time(client: ExchangeClient) -> Any:
    return await client.call("fetch_time")


def test_a_client_is_closed_without_a_pause(monkeypatch):
    """Each command waited a quarter of a second for connections that were closed already."""
    pauses, transports = [], []

    async def visit(client: ExchangeClient) -> None:
        await ask_time(client)
        transports.extend(
            handler.transport for pool in client.ccxt.tcp_connector._conns.values() for handler, _ in pool
        )
        sleep = asyncio.sleep

        def noting(seconds: float, *arguments: Any) -> Any:
            pauses.append(seconds)
            return sleep(seconds, *arguments)

        monkeypatch.setattr(asyncio, "sleep", noting)
        await client.close()
        assert [transport.get_extra_info("socket").fileno() for transport in transports] == [-1]

    meet(Script(answer()), visit)
    assert sum(pauses) == 0


@pytest.mark.parametrize("settings_of", [{"cafile": ssl.get_default_verify_paths().openssl_cafile}, {"verify": False}])
def test_clients_share_the_root_certificates_unless_they_have_settings_of_their_own(settings_of):
    """Reading them took as long as opening a lake three times, for each run."""
    first, second = (ExchangeClient(name, ExchangeOptions()).ccxt for name in ("binance", "kraken"))
    own = ExchangeClient("binance", ExchangeOptions(settings=settings_of)).ccxt
    assert first.ssl_context is second.ssl_context is not None
    assert own.ssl_context is None


class TestRateLimits:
    """Field note: 429, 418, 403, 451, 5xx are different things."""

    def test_429_is_retried_and_retry_after_is_honoured(self):
        script = Script(answer(429, {}, {"Retry-After": "0.3"}), answer())

        assert meet(script, ask_time) == 1_704_067_200_000
        assert script.times[1] - script.times[0] >= 0.3

    def test_429_makes_every_other_call_to_the_exchange_wait(self):
        script = Script(answer(429, {}, {"Retry-After": "0.3"}), answer())

        async def visit(client: ExchangeClient) -> None:
            first = asyncio.create_task(ask_time(client))
            await script.asked.wait()
            await asyncio.sleep(0.1)
            await asyncio.gather(first, ask_time(client), ask_time(client))

        meet(script, visit)
        assert len(script) == 4
        assert all(later - script.times[0] >= 0.3 for later in script.times[1:])

    def test_a_shorter_pause_does_not_end_a_longer_one(self):
        """Two calls were under way: the first was told to wait long, the second a moment."""

        async def moment(_request: web.Request) -> web.Response:
            await asyncio.sleep(0.1)
            return web.Response(status=429, text="{}", headers={"Retry-After": "0.05"})

        script = Script(answer(429, {}, {"Retry-After": "0.6"}), moment, answer())

        async def visit(client: ExchangeClient) -> None:
            await asyncio.gather(ask_time(client), ask_time(client))

        meet(script, visit)
        assert script.times[2] - script.times[0] >= 0.6

    def test_a_limit_that_does_not_end_is_our_error_with_its_seconds(self):
        script = Script(answer(429, {}, {"Retry-After": "0.02"}))

        with pytest.raises(RateLimited, match="binance GET /api/v3/time: 429") as caught:
            meet(script, ask_time)

        assert caught.value.retry_after == 0.02
        assert len(script) == QUICK.attempts

    @pytest.mark.parametrize("exchange", ["okx", "kraken", "bybit"])
    def test_429_is_a_rate_limit_on_every_exchange(self, exchange):
        """Field note: OKX maps 429 to ExchangeNotAvailable."""
        script = Script(answer(429, {"code": "50011", "msg": "Too Many Requests"}, {"Retry-After": "0.01"}))

        with pytest.raises(RateLimited):
            meet(script, ask_time, exchange)

    def test_418_stops_at_once(self):
        script = Script(answer(418, {}, {"Retry-After": "60"}))

        with pytest.raises(Banned, match="wait"):
            meet(script, ask_time)

        assert len(script) == 1

    def test_bybit_bans_with_403_and_others_refuse_for_good(self):
        script = Script(answer(403, {"retCode": 10018, "retMsg": "403, access too frequent"}))

        with pytest.raises(Banned, match="wait") as caught:
            meet(script, ask_time, "bybit")
        assert caught.value.retry_after == 600
        with pytest.raises(AccessDenied):
            meet(script, ask_time, "okx")

    def test_a_budget_that_is_nearly_used_up_makes_everybody_wait_before_it_is(self):
        """Binance tells the weight of the minute; here KuCoin's countdown, which is short enough for a test."""
        headers = {"gw-ratelimit-limit": "500", "gw-ratelimit-remaining": "3", "gw-ratelimit-reset": "400"}
        script = Script(answer(200, {"code": "200000", "data": 1_704_067_200_000}, headers))

        async def visit(client: ExchangeClient) -> None:
            await ask_time(client)
            await ask_time(client)

        meet(script, visit, "kucoin")
        assert script.times[1] - script.times[0] >= 0.4

    @pytest.mark.parametrize("status", [401, 403, 451])
    def test_refusals_are_permanent_and_not_retried(self, status):
        script = Script(answer(status, {"code": 0, "msg": "Service unavailable from a restricted location"}))

        with pytest.raises(AccessDenied, match=str(status)):
            meet(script, ask_time)

        assert len(script) == 1


class TestFailures:
    @pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 530])
    def test_server_errors_are_retried_then_unavailable(self, status):
        script = Script(answer(status, "<html>bad gateway</html>"))

        with pytest.raises(SourceUnavailable, match=str(status)):
            meet(script, ask_time)

        assert len(script) == QUICK.attempts

    def test_a_server_error_that_passes_is_only_a_note(self):
        script = Script(answer(503, ""), answer(500, ""), answer())

        async def visit(client: ExchangeClient) -> tuple[int, int, list[str]]:
            RETRIES.set(notes := [])
            return await ask_time(client), client.calls, notes

        value, calls, notes = meet(script, visit)
        assert (value, calls) == (1_704_067_200_000, 3)
        assert ["503" in notes[0], "500" in notes[1], len(notes)] == [True, True, 2]

    def test_timeouts_are_retried_then_unavailable(self):
        async def late(_request: web.Request) -> web.Response:
            await asyncio.sleep(0.3)
            return web.json_response(TIME)

        script = Script(late)

        with pytest.raises(SourceUnavailable):
            meet(script, ask_time, timeout=0.05)

        assert len(script) == QUICK.attempts

    def test_nobody_listening_is_unavailable(self):
        async def run() -> None:
            client = ExchangeClient("binance", ExchangeOptions(url="http://127.0.0.1:9", rate_limit_ms=1, retry=QUICK))
            try:
                await client.call("fetch_time")
            finally:
                await client.close()

        with pytest.raises(SourceUnavailable):
            asyncio.run(run())

    @pytest.mark.parametrize("body", ['{"serverTime": 17040', "", "<html>hello</html>", '[[1,"2"],[3'])
    def test_text_that_is_no_json_is_a_bad_response_and_retried(self, body):
        script = Script(answer(200, body))

        with pytest.raises(BadResponse, match="cut short or no JSON"):
            meet(script, ask_time)

        assert len(script) == QUICK.attempts

    def test_a_cut_answer_followed_by_a_whole_one_is_fine(self):
        assert meet(Script(answer(200, '{"serverTi'), answer()), ask_time) == 1_704_067_200_000

    def test_a_connection_that_breaks_inside_the_answer_is_retried(self):
        async def broken(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'{"serverTime": 1')
            assert request.transport is not None
            request.transport.close()
            return response

        assert meet(Script(broken, answer()), ask_time) == 1_704_067_200_000


class TestErrorBodies:
    """Field note: HTTP 200 with an error body must raise; a peer lost the page and called the run a success."""

    @pytest.mark.parametrize(
        ("exchange", "method", "params", "body", "error"),
        [
            ("binance", "publicGetKlines", KLINES, {"code": -1001, "msg": "Internal error."}, SourceError),
            ("binance", "publicGetKlines", KLINES, {"code": -9999, "msg": "Never heard of"}, SourceError),
            ("kraken", "publicGetOHLC", {"pair": "XXBTZUSD"}, {"error": ["EService:Unavailable"]}, SourceUnavailable),
            ("kraken", "publicGetOHLC", {"pair": "XXBTZUSD"}, {"error": ["EWhat:Ever"], "result": {}}, SourceError),
            ("kraken", "publicGetTrades", {}, {"error": ["EGeneral:Too many requests"]}, RateLimited),
            ("okx", "publicGetMarketCandles", {}, {"code": "50001", "msg": "Service", "data": []}, SourceUnavailable),
            ("okx", "publicGetMarketCandles", {}, {"code": "51000", "msg": "Parameter", "data": []}, SourceError),
            ("bybit", "publicGetV5MarketKline", {}, {"retCode": 10016, "retMsg": "x", "result": {}}, SourceError),
            ("bybit", "publicGetV5MarketKline", {}, {"retCode": 10001, "retMsg": "x", "result": {}}, SourceError),
        ],
    )
    def test_an_error_with_status_200_raises(self, exchange, method, params, body, error):
        once = RetryPolicy(1, 0.5, 30.0)

        with pytest.raises(error, match=exchange):
            meet(Script(answer(200, body)), lambda client: client.call(method, params), exchange, retry=once)

    @pytest.mark.parametrize(
        ("exchange", "method", "params", "status", "body"),
        [
            ("binance", "publicGetKlines", KLINES, 400, {"code": -1121, "msg": "Invalid symbol."}),
            ("kraken", "publicGetOHLC", {"pair": "X"}, 200, {"error": ["EQuery:Unknown asset pair"]}),
            ("okx", "publicGetMarketCandles", {}, 200, {"code": "51001", "msg": "Instrument ID", "data": []}),
        ],
    )
    def test_a_bad_symbol_is_an_unknown_symbol_and_not_retried(self, exchange, method, params, status, body):
        script = Script(answer(status, body))

        with pytest.raises(UnknownSymbol):
            meet(script, lambda client: client.call(method, params), exchange)

        assert len(script) == 1

    def test_a_bad_request_is_not_retried(self):
        script = Script(answer(400, {"code": -1130, "msg": "parameter 'startTime' is invalid."}))

        with pytest.raises(SourceError) as caught:
            meet(script, lambda client: client.call("publicGetKlines", KLINES))

        assert not caught.value.retriable
        assert len(script) == 1


class TestSecrets:
    KEYS: ClassVar = {"apiKey": "KEY0123456789", "secret": "SECRET0123456789", "password": "PASSWORD0123456789"}

    def visit(self, method: str) -> Callable[[ExchangeClient], Awaitable[tuple[str, list[str]]]]:
        async def call(client: ExchangeClient) -> tuple[str, list[str]]:
            RETRIES.set(notes := [])
            with pytest.raises(TicklakeError) as caught:
                await client.call(method, {"symbol": "BTCUSDT"})
            return str(caught.value), notes

        return call

    def assert_hidden(self, text: str, notes: list[str]) -> None:
        for secret in self.KEYS.values():
            assert not any(secret in told for told in [text, *notes])

    @pytest.mark.parametrize("status", [200, 400, 403, 429])
    @pytest.mark.parametrize("method", ["publicGetHistoricalTrades", "privateGetAccount"])
    def test_keys_never_stand_in_an_error_even_if_the_exchange_repeats_them(self, status, method):
        async def parrot(request: web.Request) -> web.Response:
            said = {"code": -2014, "msg": f"Bad API-key {dict(request.headers)} {request.url}"}
            return web.json_response(said, status=status, headers={"Retry-After": "0.01"})

        self.assert_hidden(*meet(Script(parrot), self.visit(method), settings=self.KEYS))

    def test_keys_never_stand_in_a_timeouts_error(self):
        async def late(_request: web.Request) -> web.Response:
            await asyncio.sleep(0.2)
            return web.json_response({})

        self.assert_hidden(*meet(Script(late), self.visit("privateGetAccount"), timeout=0.03, settings=self.KEYS))


def leaves(urls: Any) -> Iterator[str]:
    if isinstance(urls, dict):
        for url in urls.values():
            yield from leaves(url)
    elif isinstance(urls, list):
        for url in urls:
            yield from leaves(url)
    elif isinstance(urls, str):
        yield urls


class TestAddress:
    HERE = "http://127.0.0.1:9/here"

    @pytest.mark.parametrize(
        ("exchange", "sandbox"),
        [
            *((name, False) for name in ("binance", "kraken", "okx", "bybit", "coinbase", "htx", "bitget", "gate")),
            *((name, True) for name in ("binance", "okx", "bybit", "gate")),
        ],
    )
    def test_the_url_option_moves_every_address_that_a_call_can_reach(self, exchange, sandbox):
        client = ExchangeClient(exchange, ExchangeOptions(url=self.HERE, settings={"sandbox": sandbox})).ccxt
        addresses = list(leaves(client.urls["api"]))

        assert len(addresses) > 0
        assert [url for url in addresses if not url.startswith(self.HERE) or "{" in url] == []

    def test_every_exchange_of_ccxt_is_moved(self):
        for exchange in exchange_ids():
            client = ExchangeClient(exchange, ExchangeOptions(url=self.HERE)).ccxt
            moved = list(leaves(client.urls["api"]))
            assert moved, exchange
            assert all(url.startswith(self.HERE) and "{" not in url for url in moved), exchange

    def test_moved_addresses_keep_their_paths(self):
        before = list(leaves(ccxt.binance().urls["api"]))
        after = list(leaves(ExchangeClient("binance", ExchangeOptions(url=self.HERE)).ccxt.urls["api"]))

        assert [urlsplit(url).path for url in after] == ["/here" + urlsplit(url).path for url in before]

    def test_moving_one_door_leaves_the_next_where_it_was(self):
        ExchangeClient("binance", ExchangeOptions(url=self.HERE))

        assert "api.binance.com" in ExchangeClient("binance", ExchangeOptions()).ccxt.urls["api"]["public"]

    @pytest.mark.parametrize(
        ("exchange", "path"),
        [
            ("binance", "/api/v3/time"),
            ("kraken", "/0/public/Time"),
            ("okx", "/api/v5/public/time"),
            ("bybit", "/v5/market/time"),
            ("coinbase", "/v2/time"),
            ("htx", "/v1/common/timestamp"),
        ],
    )
    def test_requests_really_go_there(self, exchange, path):
        script = Script(answer(500, ""))

        with pytest.raises(SourceUnavailable):
            meet(script, ask_time, exchange, retry=RetryPolicy(1, 0.5, 30.0))

        assert [request.path for request in script.requests] == [path]


class TestNames:
    def test_an_unknown_exchange_is_refused_with_the_nearest(self):
        with pytest.raises(UnknownExchange, match=r"binnance.*did you mean.*binance"):
            ExchangeClient("binnance", ExchangeOptions())

    @pytest.mark.parametrize("name", ["", "Exchange", "__init__", "base", "Binance", "binance "])
    def test_only_ccxts_own_ids_open_a_client(self, name):
        with pytest.raises(UnknownExchange):
            ExchangeClient(name, ExchangeOptions())


FOREIGN = [error for _, error in inspect.getmembers(ccxt, inspect.isclass) if issubclass(error, ccxt.BaseError)]


class TestTranslation:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            (ccxt.BadSymbol, UnknownSymbol),
            (ccxt.RateLimitExceeded, RateLimited),
            (ccxt.DDoSProtection, RateLimited),
            (ccxt.ExchangeNotAvailable, SourceUnavailable),
            (ccxt.OnMaintenance, SourceUnavailable),
            (ccxt.RequestTimeout, SourceUnavailable),
            (ccxt.PermissionDenied, AccessDenied),
            (ccxt.AuthenticationError, AccessDenied),
            (ccxt.AccountSuspended, AccessDenied),
            (ccxt.NotSupported, Unsupported),
            (ccxt.BadResponse, BadResponse),
            (ccxt.NullResponse, BadResponse),
            (TimeoutError, SourceUnavailable),
            (ConnectionResetError, SourceUnavailable),
            (KeyError, BadResponse),
        ],
    )
    def test_each_error_has_its_counterpart(self, theirs, ours):
        assert type(translated(theirs("boom"), "kraken")) is ours

    @pytest.mark.parametrize("theirs", FOREIGN, ids=lambda error: error.__name__)
    def test_every_error_of_ccxt_becomes_ours_and_names_the_exchange(self, theirs):
        error = translated(theirs("boom"), "kraken")

        assert isinstance(error, TicklakeError)
        assert str(error).startswith("kraken: boom")

    @given(text=st.text(max_size=2000))
    @settings(max_examples=50)
    def test_texts_stay_short(self, text):
        assert len(str(translated(ccxt.ExchangeError(text), "kraken"))) <= 320

    def test_the_original_is_kept_as_the_cause(self):
        async def visit(client: ExchangeClient) -> BaseException | None:
            with pytest.raises(UnknownSymbol) as caught:
                await client.call("publicGetKlines", KLINES)
            return caught.value.__cause__

        cause = meet(Script(answer(400, {"code": -1121, "msg": "Invalid symbol."})), visit)
        assert isinstance(cause, ccxt.BadSymbol)
