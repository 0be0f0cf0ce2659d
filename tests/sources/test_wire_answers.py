"""Answers of REST APIs: whose they are, and which column of theirs is which of ours."""

from __future__ import annotations

import pytest

from ticklake.core.time import SECOND, parse_time
from ticklake.sources.wire.answers import Answer, host_of, is_reference, read_answer

AT = parse_time("2024-01-02T00:00:00Z")
S = AT // SECOND
MS = S * 1000
LATER = AT + 3600 * SECOND
OHLC = (100, 103, 99, 102)


def answer(exchange: str, path: str, body: object, query: str = "", **others) -> Answer:
    parameters = dict(pair.split("=") for pair in query.split("&") if pair)
    return Answer(exchange, body, path=path, query=parameters, **{"heard": LATER, **others})


BARS = [
    ("binance", "/api/v3/klines", "symbol=BTCUSDT&interval=1m", [[MS, "100", "103", "99", "102", "5", MS + 59_999, "510", 7, "2", "204", "0"]], ("BTCUSDT", "1m", 5, 510, 7)),
    ("binance", "/dapi/v1/klines", "symbol=BTCUSD_PERP&interval=1m", [[MS, "100", "103", "99", "102", "5000", MS + 59_999, "51", 7, "2", "204", "0"]], ("BTCUSD_PERP", "1m", 51, None, 7)),
    ("bitfinex", "/v2/candles/trade:1m:tBTCUSD/hist", "", [[MS, 100, 102, 103, 99, 5]], ("tBTCUSD", "1m", 5, None, None)),
    ("kraken", "/0/public/OHLC", "pair=XBTUSD&interval=60", {"error": [], "result": {"XXBTZUSD": [[S, "100", "103", "99", "102", "101", "5", 7]], "last": S}}, ("XXBTZUSD", "1h", 5, None, 7)),
    ("bybit", "/v5/market/kline", "interval=1", {"retCode": 0, "result": {"category": "linear", "symbol": "BTCUSDT", "list": [[str(MS), "100", "103", "99", "102", "5", "510"]]}}, ("BTCUSDT", "1m", 5, 510, None)),
    ("bybit", "/v5/market/kline", "interval=60", {"retCode": 0, "result": {"category": "inverse", "symbol": "BTCUSD", "list": [[str(MS), "100", "103", "99", "102", "510", "5"]]}}, ("BTCUSD", "1h", 5, 510, None)),
    ("okx", "/api/v5/market/candles", "instId=BTC-USDT&bar=1m", {"code": "0", "data": [[str(MS), "100", "103", "99", "102", "5", "510", "510", "1"]]}, ("BTC-USDT", "1m", 5, 510, None)),
    ("okx", "/api/v5/market/history-candles", "instId=BTC-USDT-SWAP&bar=1H", {"code": "0", "data": [[str(MS), "100", "103", "99", "102", "500", "5", "510", "1"]]}, ("BTC-USDT-SWAP", "1h", 5, 510, None)),
    ("coinbase", "/api/v3/brokerage/market/products/BTC-USD/candles", "granularity=ONE_HOUR", {"candles": [{"start": str(S), "low": "99", "high": "103", "open": "100", "close": "102", "volume": "5"}]}, ("BTC-USD", "1h", 5, None, None)),
    ("coinbase", "/products/BTC-USD/candles", "granularity=3600", [[S, 99, 103, 100, 102, 5]], ("BTC-USD", "1h", 5, None, None)),
    ("kucoin", "/api/v1/market/candles", "symbol=BTC-USDT&type=1min", {"code": "200000", "data": [[str(S), "100", "102", "103", "99", "5", "510"]]}, ("BTC-USDT", "1m", 5, 510, None)),
    ("gate", "/api/v4/spot/candlesticks", "currency_pair=BTC_USDT&interval=1m", [[str(S), "510", "102", "103", "99", "100", "5", "true"]], ("BTC_USDT", "1m", 5, 510, None)),
    ("htx", "/market/history/kline", "symbol=btcusdt&period=60min", {"status": "ok", "ch": "x", "ts": MS + 3_600_000, "data": [{"id": S, "open": 100, "close": 102, "low": 99, "high": 103, "amount": 5, "vol": 510, "count": 7}]}, ("btcusdt", "1h", 5, 510, 7)),
    ("deribit", "/api/v2/public/get_tradingview_chart_data", "instrument_name=BTC-PERPETUAL&resolution=1", {"usOut": (MS + 60_000) * 1000, "result": {"ticks": [MS], "open": [100], "high": [103], "low": [99], "close": [102], "volume": [5], "cost": [510], "status": "ok"}}, ("BTC-PERPETUAL", "1m", 5, 510, None)),
    ("bitmex", "/api/v1/trade/bucketed", "binSize=1h", [{"timestamp": "2024-01-02T01:00:00.000Z", "symbol": "XBTUSD", "open": 100, "high": 103, "low": 99, "close": 102, "trades": 7, "volume": 500, "homeNotional": 5, "foreignNotional": 510}], ("XBTUSD", "1h", 5, 510, 7)),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "path", "query", "body", "want"), BARS, ids=lambda value: str(value)[:40])
def test_columns_of_bars(exchange, path, query, body, want):
    (row,) = read_answer(answer(exchange, path, body, query)).rows
    native, timeframe, volume, quote_volume, trades = want
    assert (row.kind, row.native, row.timeframe) == ("ohlcv", native, timeframe)
    assert row.values[0] == AT
    assert tuple(float(value) for value in row.values[1:5]) == OHLC
    assert [value if value is None else float(value) for value in row.values[5:]] == [volume, quote_volume, trades]


class TestABarThatIsNotOver:
    def kraken(self, heard: int | None, timeframe: str = "") -> list[int]:
        bars = [[S + 60 * n, "1", "1", "1", "1", "1", "1", 1] for n in range(3)]
        body = {"error": [], "result": {"XXBTZUSD": bars, "last": S + 60}}
        query = "interval=1" if heard else ""
        rows = read_answer(answer("kraken", "/0/public/OHLC", body, query, heard=heard, timeframe=timeframe)).rows
        return [(row.values[0] - AT) // (60 * SECOND) for row in rows]

    def test_is_told_by_the_time_of_the_answer(self):
        assert self.kraken(AT + 150 * SECOND) == [0, 1]
        assert self.kraken(AT + 180 * SECOND) == [0, 1, 2]

    def test_is_the_newest_where_no_time_is_known(self):
        assert self.kraken(None) == [0, 1]

    def test_is_told_by_the_exchange_where_it_says_so(self):
        bars = [
            [str(MS + 60_000), "1", "1", "1", "1", "1", "1", "1", "0"],
            [str(MS), "1", "1", "1", "1", "1", "1", "1", "1"],
        ]
        reading = read_answer(answer("okx", "/api/v5/market/candles", {"data": bars}, "instId=BTC-USDT&bar=1m"))
        assert [row.values[0] for row in reading.rows] == [AT]

    def test_is_told_by_the_clock_in_the_body(self):
        body = {"retCode": 0, "time": MS + 30_000, "result": {"category": "spot", "symbol": "BTCUSDT", "list": [[str(MS), "1", "1", "1", "1", "1", "1"]]}}  # fmt: skip
        assert read_answer(answer("bybit", "/v5/market/kline", body, "interval=1")).rows == []

    def test_binance_closes_it_before_the_end_that_was_asked_for(self):
        bars = [[MS + 60_000 * n, *"12345", MS + 60_000 * n + 59_999, "6", 7] for n in range(2)]
        query = f"symbol=BTCUSDT&interval=1m&endTime={MS + 100_000}"
        rows = read_answer(answer("binance", "/api/v3/klines", bars, query, heard=None)).rows
        assert [row.values[0] for row in rows] == [AT]


TRADES = [
    ("binance", "/api/v3/trades", "symbol=BTCUSDT", [{"id": 7, "price": "100", "qty": "2", "time": MS, "isBuyerMaker": True}], ("BTCUSDT", "7", "sell", "raw")),
    ("binance", "/fapi/v1/aggTrades", "symbol=BTCUSDT", [{"a": 7, "p": "100", "q": "2", "T": MS, "m": False}], ("BTCUSDT", "7", "buy", "agg")),
    ("kraken", "/0/public/Trades", "pair=XBTUSD", {"error": [], "result": {"XXBTZUSD": [["100", "2", str(S), "b", "l", "", "7"]], "last": "1"}}, ("XXBTZUSD", "7", "buy", "")),
    ("kraken", "/0/public/Trades", "pair=XBTUSD", {"error": [], "result": {"XXBTZUSD": [["100", "2", str(S), "s", "l", ""]], "last": "1"}}, ("XXBTZUSD", None, "sell", "")),
    ("bitfinex", "/v2/trades/tBTCUSD/hist", "", [["7", str(MS), "-2", "100"]], ("tBTCUSD", "7", "sell", "")),
    ("bybit", "/v5/market/recent-trade", "", {"result": {"category": "spot", "list": [{"execId": "7", "symbol": "BTCUSDT", "price": "100", "size": "2", "side": "Sell", "time": str(MS)}]}}, ("BTCUSDT", "7", "sell", "")),
    ("okx", "/api/v5/market/trades", "instId=BTC-USDT", {"data": [{"instId": "BTC-USDT", "tradeId": "7", "px": "100", "sz": "2", "side": "buy", "ts": str(MS)}]}, ("BTC-USDT", "7", "buy", "")),
    ("okx", "/api/spot/v3/instruments/BTC-USDT/trades", "", [{"timestamp": "2024-01-02T00:00:00.000Z", "trade_id": "7", "price": "100", "size": "2", "side": "buy"}], ("BTC-USDT", "7", "buy", "")),
    ("coinbase", "/products/BTC-USD/trades", "", [{"time": "2024-01-02T00:00:00.000000Z", "trade_id": 7, "price": "100", "size": "2", "side": "buy"}], ("BTC-USD", "7", "sell", "")),
    ("kucoin", "/api/v1/market/histories", "symbol=BTC-USDT", {"data": [{"sequence": "7", "price": "100", "size": "2", "side": "buy", "time": AT}]}, ("BTC-USDT", "7", "buy", "sequence")),
    ("gate", "/api/v4/spot/trades", "currency_pair=BTC_USDT", [{"id": "7", "create_time_ms": f"{MS}.000000", "side": "sell", "amount": "2", "price": "100"}], ("BTC_USDT", "7", "sell", "")),
    ("gate", "/api2/1/tradeHistory/BTC_USDT", "", {"result": "true", "data": [{"tradeID": "7", "timestamp": str(S), "type": "buy", "rate": 100, "amount": 2}]}, ("BTC_USDT", "7", "buy", "")),
    ("htx", "/market/history/trade", "symbol=btcusdt", {"data": [{"id": 1, "data": [{"id": 99, "trade-id": 7, "ts": MS, "price": 100, "amount": 2, "direction": "sell"}]}]}, ("btcusdt", "7", "sell", "")),
    ("htx", "/market/history/trade", "symbol=btcusdt", {"data": [{"id": 1, "data": [{"id": 7, "ts": MS, "price": 100, "amount": 2, "direction": "sell"}]}]}, ("btcusdt", "7", "sell", "long")),
    ("bitmex", "/api/v1/trade", "symbol=XBTUSD", [{"timestamp": "2024-01-02T00:00:00.000Z", "symbol": "XBTUSD", "side": "Buy", "size": 2, "price": 100, "trdMatchID": "7"}], ("XBTUSD", "7", "buy", "")),
    ("deribit", "/api/v2/public/get_last_trades_by_instrument", "", {"result": {"trades": [{"instrument_name": "BTC-PERPETUAL", "trade_id": "7", "timestamp": MS, "price": 100, "amount": 2, "direction": "buy"}]}}, ("BTC-PERPETUAL", "7", "buy", "")),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "path", "query", "body", "want"), TRADES, ids=lambda value: str(value)[:40])
def test_columns_of_trades(exchange, path, query, body, want):
    (row,) = read_answer(answer(exchange, path, body, query)).rows
    ts, heard, ident, price, amount, side = row.values
    assert (row.kind, ts, heard) == ("trades", AT, LATER)
    assert (float(price), float(amount)) == (100, 2)
    assert (row.native, ident, side, row.space) == want


BOOKS = [
    ("binance", "/api/v3/depth", "symbol=BTCUSDT", {"lastUpdateId": 9, "bids": [["100", "2"]], "asks": [["101", "3"]]}, ("BTCUSDT", LATER, 9, None)),
    ("binance", "/fapi/v1/depth", "symbol=BTCUSDT", {"lastUpdateId": 9, "E": MS + 5, "T": MS, "bids": [["100", "2"]], "asks": [["101", "3"]]}, ("BTCUSDT", AT, 9, None)),
    ("kraken", "/0/public/Depth", "", {"error": [], "result": {"XXBTZUSD": {"bids": [["100", "2", S]], "asks": [["101", "3", S]]}}}, ("XXBTZUSD", LATER, LATER, None)),
    ("bitfinex", "/v2/book/tBTCUSD/P0", "", [["100", "4", "2"], ["101", "4", "-3"]], ("tBTCUSD", LATER, LATER, "4")),
    ("bybit", "/v5/market/orderbook", "", {"result": {"s": "BTCUSDT", "b": [["100", "2"]], "a": [["101", "3"]], "ts": MS, "u": 9, "seq": 1}}, ("BTCUSDT", AT, 9, None)),
    ("bybit", "/v2/public/orderBook/L2", "symbol=BTCUSD", {"time_now": f"{S}.0", "result": [{"symbol": "BTCUSD", "price": "100", "size": 2, "side": "Buy"}, {"symbol": "BTCUSD", "price": "101", "size": 3, "side": "Sell"}]}, ("BTCUSD", AT, AT, None)),
    ("okx", "/api/v5/market/books", "instId=BTC-USDT", {"data": [{"bids": [["100", "2", "0", "4"]], "asks": [["101", "3", "0", "4"]], "ts": str(MS)}]}, ("BTC-USDT", AT, AT, "4")),
    ("okx", "/api/swap/v3/instruments/BTC-USD-SWAP/depth", "", {"bids": [["100", "2", "0", "4"]], "asks": [["101", "3", "0", "4"]], "time": "2024-01-02T00:00:00.000Z"}, ("BTC-USD-SWAP", AT, AT, "4")),
    ("coinbase", "/products/BTC-USD/book", "level=2", {"sequence": 9, "bids": [["100", "2", 4]], "asks": [["101", "3", 4]]}, ("BTC-USD", LATER, 9, 4)),
    ("kucoin", "/api/v3/market/orderbook/level2", "symbol=BTC-USDT", {"data": {"time": MS, "sequence": "9", "bids": [["100", "2"]], "asks": [["101", "3"]]}}, ("BTC-USDT", AT, 9, None)),
    ("gate", "/api/v4/spot/order_book", "currency_pair=BTC_USDT", {"id": 9, "current": MS, "bids": [["100", "2"]], "asks": [["101", "3"]]}, ("BTC_USDT", AT, 9, None)),
    ("gate", "/api/v4/futures/usdt/order_book", "contract=BTC_USDT&with_id=true", {"id": 9, "current": f"{S}.0", "update": f"{S}.0", "bids": [{"s": 2, "p": "100"}], "asks": [{"s": 3, "p": "101"}]}, ("BTC_USDT", AT, 9, None)),
    ("htx", "/market/depth", "symbol=btcusdt&type=step0", {"tick": {"ts": MS, "version": 9, "bids": [[100, 2]], "asks": [[101, 3]]}}, ("btcusdt", AT, 9, None)),
    ("bitmex", "/api/v1/orderBook/L2", "symbol=XBTUSD", [{"symbol": "XBTUSD", "id": 1, "side": "Sell", "size": 3, "price": 101}, {"symbol": "XBTUSD", "id": 2, "side": "Buy", "size": 2, "price": 100}], ("XBTUSD", LATER, LATER, None)),
    ("deribit", "/api/v2/public/get_order_book", "instrument_name=BTC-PERPETUAL", {"result": {"timestamp": MS, "change_id": 9, "bids": [[100, 2]], "asks": [[101, 3]]}}, ("BTC-PERPETUAL", AT, 9, None)),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "path", "query", "body", "want"), BOOKS, ids=lambda value: str(value)[:40])
def test_columns_of_books(exchange, path, query, body, want):
    reading = read_answer(answer(exchange, path, body, query))
    native, ts, seq, count = want
    found = {row.values[3]: row for row in reading.rows}
    assert {side: tuple(map(float, row.values[4:6])) for side, row in found.items()} == {
        "bid": (100, 2),
        "ask": (101, 3),
    }
    for row in reading.rows:
        assert (row.kind, row.native, row.values[:3]) == ("book", native, (ts, LATER, seq))
        assert row.values[6:] == (count, True)
        assert row.space == ("time" if seq == ts else "")


@pytest.mark.parametrize(("settle", "market"), [("usdt", "linear"), ("btc", "inverse")])
def test_contracts_of_gate_are_settled_in_what_the_path_says(settle, market):
    body = {"id": 9, "current": S, "bids": [{"s": 2, "p": "100"}], "asks": []}
    call = answer("gate", f"/api/v4/futures/{settle}/order_book", body, "contract=BTC_USD", market="spot")
    assert read_answer(call).market == market


def test_rates_of_funding_are_those_that_were_paid():
    body = {
        "data": [{"instId": "BTC-USDT-SWAP", "fundingRate": "0.9", "realizedRate": "0.0001", "fundingTime": str(MS)}]
    }
    (row,) = read_answer(answer("okx", "/api/v5/public/funding-rate-history", body)).rows
    assert (row.kind, row.native, row.values[:2]) == ("funding", "BTC-USDT-SWAP", (AT, "0.0001"))


class TestWhoseItIs:
    def test_a_host_that_is_not_known_is_nobodys(self):
        assert host_of("api.kraken.com") == ("kraken", "spot")
        assert host_of("API.BINANCE.US") == ("binanceus", "spot")
        assert host_of("www.binance.com") == ("binance", "spot")
        for other in ("api-cloud.huobi.co.jp", "api.hbdm.com", "api.binance.com.evil.example", ""):
            assert host_of(other) == ("", None)

    def test_answers_that_look_alike_are_read_as_their_exchange_writes_them(self):
        bar = [[S * 1000, 1, 2, 3, 0.5, 9]]
        (ours,) = read_answer(answer("bitfinex", "/v2/candles/trade:1m:tBTCUSD/hist", bar)).rows
        assert ours.values[1:5] == (1, 3, 0.5, 2)
        assert read_answer(answer("kraken", "/v2/candles/trade:1m:tBTCUSD/hist", bar)).rows is None

    def test_contracts_and_spot_of_okx_are_not_guessed(self):
        bar = {"data": [[str(MS), "1", "1", "1", "1", "500", "5", "510", "1"]]}
        assert "name the dataset" in read_answer(Answer("okx", bar)).refused
        (spot,) = read_answer(Answer("okx", bar, symbol="BTC/USDT")).rows
        (swap,) = read_answer(Answer("okx", bar, symbol="BTC/USDT:USDT")).rows
        assert (spot.values[5], swap.values[5]) == ("500", "5")

    def test_bars_named_by_their_ends_need_their_length(self):
        body = [{"timestamp": "2024-01-02T01:00:00.000Z", "symbol": "XBTUSD", **dict.fromkeys(("open", "high", "low", "close"), 1), "trades": 1, "homeNotional": 1, "foreignNotional": 1}]  # fmt: skip
        assert "stamped with their ends" in read_answer(Answer("bitmex", body)).refused
        (row,) = read_answer(Answer("bitmex", body, timeframe="1h")).rows
        assert row.values[0] == AT

    @pytest.mark.parametrize(
        ("exchange", "path", "query"),
        [
            ("bitfinex", "/v2/book/tBTCUSD/P2", ""),
            ("bitfinex", "/v2/book/tBTCUSD/R0", ""),
            ("coinbase", "/products/BTC-USD/book", ""),
            ("coinbase", "/products/BTC-USD/book", "level=3"),
            ("htx", "/market/depth", "symbol=btcusdt&type=step3"),
        ],
    )
    def test_books_that_sum_up_levels_or_list_orders_are_refused(self, exchange, path, query):
        level = [["1", "2", "3"]]
        body = level if exchange == "bitfinex" else {"sequence": 1, "bids": level, "asks": level}
        body = {"tick": {"bids": level, "asks": level}} if exchange == "htx" else body
        assert "no list of the book's levels" in read_answer(answer(exchange, path, body, query)).refused

    def test_errors_and_other_calls_are_not_known(self):
        assert read_answer(answer("binance", "/api/v3/klines", {"code": -1121, "msg": "Invalid symbol."})).rows is None
        other = read_answer(answer("binance", "/api/v3/ticker/24hr", {}))
        assert (other.channel, other.rows) == ("ticker", None)

    def test_lists_of_markets_are_reference(self):
        for path in ("/api/v3/exchangeInfo", "/0/public/AssetPairs", "/api/v5/public/instruments", "/v1/market/all"):
            assert is_reference(path)
        assert is_reference("/public/ticker/ALL_KRW")
        assert not is_reference("/public/ticker/BTC_KRW")
        assert not is_reference("/api/v3/depth")

    def test_descriptions_of_single_markets_are_one_channel(self):
        paths = ("/v1/symbols/details/btcusd", "/v1/symbols/details/ethusd")
        assert {read_answer(answer("", path, {}, host="api.gemini.com")).channel for path in paths} == {
            "api.gemini.com/v1/symbols/details"
        }
