"""The simulated exchange answers unmodified ccxt as Binance and Kraken do."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.resample import bars_from_trades
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.sources.ccxt.source import CcxtSource
from ticklake.testing.exchange.binance import BinanceProtocol
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.generated import generated_market
from ticklake.testing.exchange.kraken import RECENT_BARS, KrakenProtocol
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.server import SimulatedExchange

NOW_TEXT = "2024-01-05T12:00:30Z"
NOW = parse_time(NOW_TEXT)
NONE = Faults()
START = parse_time("2024-01-01")


@pytest.fixture
def server(serve, market) -> SimulatedExchange:
    return serve(market, NOW_TEXT)


@pytest.fixture
def ask(server, visit):
    """Call a method of real ccxt."""

    def call(exchange: str, method: str, *arguments: Any) -> Any:
        async def use(source: CcxtSource) -> Any:
            return await source._client.call(method, *arguments)

        return visit(server, exchange, use)

    return call


@pytest.fixture(scope="module")
def binance(market) -> BinanceProtocol:
    return BinanceProtocol(market, "binance")


@pytest.fixture(scope="module")
def kraken(market) -> KrakenProtocol:
    return KrakenProtocol(market)


def rows(market: Market, text: str) -> pl.DataFrame:
    dataset = Dataset.parse(text)
    return market.rows(dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)


def milliseconds(frame: pl.DataFrame) -> list[int]:
    return (frame["ts"].to_physical() // MS).to_list()


class TestRealCcxt:
    def test_binance_lists_spot_and_perpetuals(self, ask):
        markets = ask("binance", "load_markets")

        assert sorted(markets) == ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT", "ETH/USDT:USDT"]
        assert (markets["BTC/USDT:USDT"]["linear"], markets["BTC/USDT:USDT"]["contractSize"]) == (True, 1.0)
        assert markets["BTC/USDT"]["spot"]

    def test_kraken_lists_its_pairs_by_their_unified_names(self, ask):
        assert sorted(ask("kraken", "load_markets")) == ["BTC/USD", "ETH/EUR"]

    @pytest.mark.parametrize(("exchange", "precision"), [("binance", MS), ("kraken", SECOND)])
    def test_both_tell_the_simulated_time(self, exchange, precision, ask):
        assert ask(exchange, "fetch_time") * MS == NOW // precision * precision

    @pytest.mark.parametrize(
        ("text", "params"),
        [
            ("binance:ohlcv:1m:BTC/USDT", {}),
            ("binance:ohlcv:1h:BTC/USDT:USDT", {}),
            ("binance:mark_ohlcv:1m:BTC/USDT:USDT", {"price": "mark"}),
            ("binance:index_ohlcv:5m:ETH/USDT:USDT", {"price": "index"}),
        ],
    )
    def test_binance_bars(self, text, params, ask, market):
        dataset, since = Dataset.parse(text), parse_time("2024-01-02")

        got = ask("binance", "fetch_ohlcv", str(dataset.symbol), str(dataset.timeframe), since // MS, 50, params)

        want = rows(market, text).filter(pl.col("ts").to_physical() >= since).head(50)
        assert [bar[0] for bar in got] == milliseconds(want)
        assert [tuple(bar[1:5]) for bar in got] == want.select("open", "high", "low", "close").rows()
        if dataset.kind == "ohlcv":
            assert [tuple(bar[5:8]) for bar in got] == want.select("volume", "quote_volume", "trades").rows()

    def test_binance_trades_by_time_and_by_id(self, ask, market):
        want = rows(market, "binance:trades:BTC/USDT").slice(2000, 100)
        since = milliseconds(want)[0]

        by_time = ask("binance", "fetch_trades", "BTC/USDT", since, 100, {"until": since + HOUR // MS - 1})
        by_id = ask("binance", "fetch_trades", "BTC/USDT", None, 100, {"fromId": int(want["id"][0])})

        for got in (by_time, by_id):
            assert [trade["id"] for trade in got] == want["id"].to_list()
            assert [trade["timestamp"] for trade in got] == milliseconds(want)
            assert [(t["price"], t["amount"], t["side"]) for t in got] == want.select("price", "amount", "side").rows()

    def test_binance_trades_since_a_time_as_ccxt_asks_for_them(self, ask, market):
        """Without an end ccxt asks for exactly one hour, which Binance serves: only more than an hour is refused."""
        want = rows(market, "binance:trades:BTC/USDT").slice(2000, 10)

        got = ask("binance", "fetch_trades", "BTC/USDT", milliseconds(want)[0], 10)

        assert [trade["id"] for trade in got] == want["id"].to_list()

    def test_binance_funding_and_open_interest(self, ask, market):
        since = parse_time("2024-01-02")
        funding = ask("binance", "fetch_funding_rate_history", "BTC/USDT:USDT", since // MS, 5)
        interest = ask("binance", "fetch_open_interest_history", "BTC/USDT:USDT", "5m", since // MS, 5)

        later = pl.col("ts").to_physical() >= since
        want = rows(market, "binance:funding:BTC/USDT:USDT").filter(later).head(5)
        assert [(f["timestamp"], f["fundingRate"]) for f in funding] == list(
            zip(milliseconds(want), want["rate"], strict=True)
        )
        want = rows(market, "binance:open_interest:BTC/USDT:USDT").filter(later).head(5)
        assert [(o["timestamp"], o["openInterestAmount"]) for o in interest] == list(
            zip(milliseconds(want), want["open_interest"], strict=True)
        )

    def test_kraken_bars_and_trades(self, ask, market):
        since = parse_time("2024-01-05T06:00:00")
        bars = ask("kraken", "fetch_ohlcv", "BTC/USD", "5m", since // MS)
        trades = ask("kraken", "fetch_trades", "BTC/USD", since // MS, 200)

        later = pl.col("ts").to_physical() >= since
        want = rows(market, "kraken:ohlcv:5m:BTC/USD").filter(later & (pl.col("ts").to_physical() + 5 * MINUTE <= NOW))
        assert [bar[0] for bar in bars[:-1]] == milliseconds(want)
        assert [bar[5] for bar in bars[:-1]] == want["volume"].to_list()
        want = rows(market, "kraken:trades:BTC/USD").filter(later).head(200)
        assert [trade["id"] for trade in trades] == want["id"].to_list()
        assert [(t["price"], t["amount"], t["side"]) for t in trades] == want.select("price", "amount", "side").rows()

    @pytest.mark.parametrize(
        ("exchange", "symbol"), [("binance", "BTC/USDT"), ("binance", "BTC/USDT:USDT"), ("kraken", "ETH/EUR")]
    )
    def test_books_do_not_cross(self, exchange, symbol, ask):
        book = ask(exchange, "fetch_order_book", symbol, 20)

        assert (len(book["bids"]), len(book["asks"])) == (20, 20)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert [level[0] for level in book["bids"]] == sorted((level[0] for level in book["bids"]), reverse=True)
        assert [level[0] for level in book["asks"]] == sorted(level[0] for level in book["asks"])


def klines(binance: BinanceProtocol, now: int = NOW, faults: Faults = NONE, **query: object) -> list[Any]:
    texts = {"symbol": "BTCUSDT", "interval": "1m", **{name: str(value) for name, value in query.items()}}
    body: list[Any] = binance.answer("api/v3/klines", texts, now, faults).body
    return body


class TestBinanceRules:
    """As Binance's public documentation has them."""

    def test_both_bounds_are_inclusive(self, binance):
        start = parse_time("2024-01-02") // MS

        got = klines(binance, startTime=start, endTime=start + 2 * 60_000)

        assert [bar[0] for bar in got] == [start, start + 60_000, start + 120_000]

    def test_an_end_one_millisecond_before_an_open_leaves_that_bar_out(self, binance):
        start = parse_time("2024-01-02") // MS

        assert [bar[0] for bar in klines(binance, startTime=start, endTime=start + 60_000 - 1)] == [start]

    def test_with_a_start_the_oldest_come_and_without_the_newest(self, binance):
        start = parse_time("2024-01-02") // MS

        assert klines(binance, startTime=start, limit=3)[0][0] == start
        assert klines(binance, limit=3)[-1][0] == NOW // MINUTE * 60_000

    @pytest.mark.parametrize(("path", "most"), [("api/v3/klines", 1000), ("fapi/v1/klines", 1500)])
    def test_no_page_is_longer_than_the_limit(self, path, most, binance):
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": str(START // MS), "limit": "5000"}

        assert len(binance.answer(path, query, NOW, NONE).body) == most
        assert len(binance.answer(path, {k: v for k, v in query.items() if k != "limit"}, NOW, NONE).body) == 500

    @pytest.mark.parametrize(
        ("path", "query", "code"),
        [
            ("api/v3/klines", {"symbol": "NOPE", "interval": "1m"}, -1121),
            ("api/v3/klines", {"symbol": "BTCUSDT", "interval": "1q"}, -1120),
            ("api/v3/aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, -1128),
            ("api/v3/aggTrades", {"symbol": "BTCUSDT", "startTime": "0", "endTime": "3600001"}, -1127),
            ("futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "5m", "startTime": "1"}, -1130),
        ],
    )
    def test_what_binance_refuses_is_refused_with_its_code(self, path, query, code, binance):
        reply = binance.answer(path, query, NOW, NONE)

        assert (reply.status, reply.body["code"], reply.rows) == (400, code, False)

    @pytest.mark.parametrize("path", ["api/v3/nothing", "klines", "sapi/v1/klines", "api/v3/klines/more", ""])
    def test_an_unknown_path_is_404(self, path, binance):
        assert binance.answer(path, {}, NOW, NONE).status == 404

    def test_spot_and_futures_are_different_markets(self, binance):
        query = {"symbol": "BTCUSDT", "interval": "1h", "limit": "1"}

        spot, swap = (binance.answer(path, query, NOW, NONE).body[0] for path in ("api/v3/klines", "fapi/v1/klines"))
        assert spot[1:5] != swap[1:5]

    def test_unknown_volumes_are_not_invented(self):
        market = Market()
        one = pl.DataFrame({"ts": [START], "open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0], "volume": [2.0]})
        market.add(Dataset.parse("binance:ohlcv:1m:A/B"), lambda: one)

        (bar,) = (
            BinanceProtocol(market, "binance")
            .answer("api/v3/klines", {"symbol": "AB", "interval": "1m"}, NOW, NONE)
            .body
        )

        assert (bar[5], bar[7], bar[8]) == ("2.0", "", None)


class TestKrakenRules:
    """As Kraken's public documentation has them."""

    def ohlc(self, kraken: KrakenProtocol, **query: object) -> tuple[list[Any], int]:
        texts = {"pair": "XXBTZUSD", "interval": "1", **{name: str(value) for name, value in query.items()}}
        result = kraken.answer("0/public/OHLC", texts, NOW, NONE).body["result"]
        return result["XXBTZUSD"], result["last"]

    @pytest.mark.parametrize("since", [0, START // SECOND, (NOW - 30 * DAY) // SECOND])
    def test_only_the_newest_720_bars_are_served_whatever_is_asked(self, since, kraken, market):
        bars, _ = self.ohlc(kraken, since=since)

        past = rows(market, "kraken:ohlcv:1m:BTC/USD").filter(pl.col("ts").to_physical() <= NOW)
        assert [bar[0] * SECOND for bar in bars] == past["ts"].to_physical().tail(RECENT_BARS).to_list()

    def test_since_is_exclusive_for_bars(self, kraken):
        bars, _ = self.ohlc(kraken)

        later, _ = self.ohlc(kraken, since=bars[600][0])

        assert later == bars[601:]

    def test_last_is_the_newest_committed_bar(self, kraken):
        _, last = self.ohlc(kraken)

        assert last * SECOND == NOW // MINUTE * MINUTE - MINUTE

    def trades(self, kraken: KrakenProtocol, **query: object) -> tuple[list[Any], str]:
        texts = {"pair": "XXBTZUSD", **{name: str(value) for name, value in query.items()}}
        result = kraken.answer("0/public/Trades", texts, NOW, NONE).body["result"]
        return result["XXBTZUSD"], result["last"]

    def test_the_trade_cursor_is_exclusive_and_leads_to_the_next_page(self, kraken, market):
        want = rows(market, "kraken:trades:BTC/USD")["id"].to_list()
        first, last = self.trades(kraken, since=START - 1, count=40)
        second, _ = self.trades(kraken, since=last, count=40)

        assert [str(trade[6]) for trade in [*first, *second]] == want[:80]

    def test_since_may_be_seconds_or_nanoseconds(self, kraken):
        at = parse_time("2024-01-03")

        assert self.trades(kraken, since=at // SECOND)[0] == self.trades(kraken, since=at)[0]

    def test_without_since_the_newest_come(self, kraken, market):
        trades, last = self.trades(kraken, count=5)

        past = rows(market, "kraken:trades:BTC/USD").filter(pl.col("ts").to_physical() <= NOW)
        assert [str(trade[6]) for trade in trades] == past["id"].tail(5).to_list()
        assert int(last) == past["ts"].to_physical()[-1]

    def test_no_page_of_trades_is_longer_than_a_thousand(self, kraken):
        assert len(self.trades(kraken, since=START, count=50_000)[0]) == 1000

    @pytest.mark.parametrize(
        ("path", "query", "words"),
        [
            ("0/public/OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
            ("0/public/OHLC", {"pair": "XXBTZUSD", "interval": "7"}, "EGeneral:Invalid arguments"),
        ],
    )
    def test_what_kraken_refuses_is_an_error_list_with_status_200(self, path, query, words, kraken):
        reply = kraken.answer(path, query, NOW, NONE)

        assert (reply.status, reply.body["error"], "result" in reply.body) == (200, [words], False)

    @pytest.mark.parametrize("path", ["0/public/Nothing", "0/private/OHLC", "OHLC", ""])
    def test_an_unknown_path_is_404(self, path, kraken):
        assert kraken.answer(path, {}, NOW, NONE).status == 404


INSTANTS = [START + HOUR, START + DAY - 1, START + DAY, START + 2 * DAY + 12_345 * SECOND + 6, START + 5 * DAY]


def cut_at(market: Market, now: int) -> Market:
    """The same market, had it ended at *now*: bars are made from the trades until then."""
    shorter = Market()
    for dataset in market.series:
        if dataset.kind in {"trades", "funding", "open_interest"}:
            past = market.rows(dataset.exchange, dataset.symbol, dataset.kind).filter(pl.col("ts").to_physical() <= now)
            shorter.add(dataset, lambda past=past: past)
            if dataset.kind == "trades":
                bars = bars_from_trades(past.lazy(), Timeframe.parse("1m")).collect()
                shorter.add(Dataset.of(dataset.exchange, str(dataset.symbol), "ohlcv", "1m"), lambda bars=bars: bars)
    return shorter


QUERIES = [
    ("api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m"}),
    ("api/v3/klines", {"symbol": "ETHUSDT", "interval": "1h"}),
    ("api/v3/klines", {"symbol": "BTCUSDT", "interval": "1d"}),
    ("api/v3/aggTrades", {"symbol": "BTCUSDT"}),
    ("api/v3/aggTrades", {"symbol": "BTCUSDT", "fromId": "10"}),
    ("fapi/v1/aggTrades", {"symbol": "ETHUSDT"}),
    ("fapi/v1/fundingRate", {"symbol": "BTCUSDT"}),
    ("futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "1h"}),
]


def exact_and_sums(body: list[Any]) -> tuple[list[Any], list[float]]:
    """Split off the volumes: sums differ in their last bits, by the order they are added in."""
    bars = [row for row in body if isinstance(row, list)]
    return [[*row[:5], row[6], row[8]] if isinstance(row, list) else row for row in body], [
        float(n) for row in bars for n in (row[5], row[7])
    ]


class TestTheClockHidesTheFuture:
    @pytest.mark.parametrize("now", INSTANTS)
    def test_no_answer_but_the_forming_bar_depends_on_what_comes_later(self, now, market, binance):
        final = Faults(forming=False)
        shorter = BinanceProtocol(cut_at(market, now), "binance")

        for path, query in QUERIES:
            since = {"startTime": str(max(START, now - 15 * HOUR) // MS), "limit": "1000"} if "klines" in path else {}
            got, want = (one.answer(path, query | since, now, final).body for one in (binance, shorter))
            assert len(got) > 0 or "1d" in query.values()
            (rows_got, sums_got), (rows_want, sums_want) = exact_and_sums(got), exact_and_sums(want)
            assert rows_got == rows_want
            assert sums_got == pytest.approx(sums_want, rel=1e-12)

    @pytest.mark.parametrize("now", INSTANTS)
    def test_krakens_answers_end_at_the_clock(self, now, kraken):
        for path, column in (("0/public/OHLC", 0), ("0/public/Trades", 2)):
            result = kraken.answer(path, {"pair": "XXBTZUSD"}, now, NONE).body["result"]["XXBTZUSD"]
            assert len(result) > 0
            assert all(row[column] <= now / SECOND for row in result)

    @pytest.mark.parametrize("interval", ["1m", "1h", "1d"])
    def test_a_forming_bar_does_not_tell_the_prices_to_come(self, interval, binance, market):
        """REST returns the forming bar: its high and low are those of the trades until now."""
        trades = rows(market, "binance:trades:BTC/USDT")
        timeframe = Timeframe.parse(interval)
        leaks = []
        for now in range(START + DAY + 7 * MINUTE + 1, START + 4 * DAY, 5 * HOUR + 777 * SECOND):
            opened = timeframe.floor(now)
            past = trades.filter((pl.col("ts").to_physical() >= opened) & (pl.col("ts").to_physical() <= now))
            bar = klines(binance, now, interval=interval, limit=1)[0]
            if past.height and bar[0] * MS == opened:
                leaks += [now] * (float(bar[2]) > past["price"].max() or float(bar[3]) < past["price"].min())
        assert leaks == []

    @pytest.mark.parametrize("forming", [True, False])
    def test_a_month_under_way_is_forming_too(self, forming):
        """Months vary in length: the bar of this month is no more final than that of this minute."""
        market = generated_market(parse_time("2024-01-20"), parse_time("2024-02-12"))
        now = parse_time("2024-02-06")
        final = market.rows("binance", Symbol("BTC/USDT"), "ohlcv", Timeframe.parse("1M"))
        binance = BinanceProtocol(market, "binance")

        bars = klines(binance, now, Faults(forming=forming), interval="1M")

        assert bars[0][5] == str(final["volume"][0]), "January is over"
        if forming:
            assert float(bars[1][5]) < final["volume"][1], "February is not"
        else:
            assert len(bars) == 1

    def test_the_book_stands_at_the_last_price_until_now(self, kraken, market):
        book = kraken.answer("0/public/Depth", {"pair": "XXBTZUSD", "count": "1"}, NOW, NONE).body["result"]["XXBTZUSD"]

        past = rows(market, "kraken:trades:BTC/USD").filter(pl.col("ts").to_physical() <= NOW)
        assert float(book["bids"][0][0]) <= past["price"][-1] < float(book["asks"][0][0])
