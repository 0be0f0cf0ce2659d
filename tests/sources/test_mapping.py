"""The mapping on recorded payloads, through ccxt's own parsers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import ccxt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.batch import canonical
from ticklake.core.kinds import KINDS
from ticklake.core.time import MS, SECOND
from ticklake.sources.ccxt import mapping
from ticklake.sources.ccxt.quirks import Quirks, quirks_of

RECORDED_AT = 1_700_000_000 * SECOND
Recorded = list[dict[str, Any]]


def read(path: Path) -> Recorded:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def gct_binance(recorded: Path) -> Recorded:
    return read(recorded / "rest" / "gct_binance.jsonl.gz")


@pytest.fixture(scope="module")
def nautilus(recorded: Path) -> Callable[[str, str], Any]:
    def body(exchange: str, fixture: str) -> Any:
        lines = read(recorded / "rest" / f"nautilus_{exchange}.jsonl.gz")
        return json.loads(next(line["body"] for line in lines if line["fixture"] == fixture))

    return body


def pages(recording: Recorded, *paths: str) -> Iterator[list[Any]]:
    for line in recording:
        if line["path"] in paths and isinstance(line["body"], list) and line["body"]:
            yield line["body"]


def client_of(exchange: str) -> Any:
    client = getattr(ccxt, exchange)()
    client.parse_ohlcv = mapping.with_raw_columns(client.parse_ohlcv, quirks_of(exchange))
    return client


def times(rows: pl.DataFrame) -> list[int]:
    return rows["ts"].to_physical().to_list()


def assert_fits(rows: pl.DataFrame, kind: str) -> None:
    """The rows become canonical as they are: columns, types and units fit."""
    assert canonical(rows, KINDS[kind]).height == rows.height


def market(exchange: Any, native: str, kind: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = exchange.safe_market(native, None, None, kind)
    return {**made, "symbol": native, **more}


class TestBinanceBars:
    PATHS = ("/api/v3/klines", "/fapi/v1/klines")

    def test_every_recorded_kline_keeps_all_its_columns(self, gct_binance):
        client, count = client_of("binance"), 0
        for raw in pages(gct_binance, *self.PATHS):
            rows = mapping.bars(client.parse_ohlcvs(raw))
            want = sorted({tuple(bar[:9]) for bar in raw})
            assert times(rows.unique(maintain_order=True)) == [bar[0] * MS for bar in want]
            for name, at in (("open", 1), ("high", 2), ("low", 3), ("close", 4), ("volume", 5), ("quote_volume", 7)):
                assert rows.unique(maintain_order=True)[name].to_list() == [float(bar[at]) for bar in want]
            assert rows.unique(maintain_order=True)["trades"].to_list() == [bar[8] for bar in want]
            assert_fits(rows, "ohlcv")
            count += rows.height
        assert count > 3000

    def test_inverse_contracts_have_no_quote_volume_of_base_coins(self, gct_binance):
        """Field note: volume can be base, quote or contracts; unknown is null. COIN-M sends contracts and base."""
        client = client_of("binance")
        (raw, *_) = pages(gct_binance, "/dapi/v1/continuousKlines")

        rows = mapping.bars(client.parse_ohlcvs(raw, {"inverse": True, "symbol": "BTC/USD:BTC"}))

        base, quote = rows["volume"].to_list(), rows["quote_volume"].to_list()
        assert base == [float(bar[7]) for bar in raw]
        assert not any(value == volume for value, volume in zip(quote, base, strict=True))

    def test_mark_and_index_bars_parse(self, gct_binance):
        client = client_of("binance")
        for path in ("/dapi/v1/markPriceKlines", "/dapi/v1/indexPriceKlines"):
            for raw in pages(gct_binance, path):
                rows = mapping.bars(client.parse_ohlcvs(raw))
                assert rows["close"].to_list() == [float(bar[4]) for bar in sorted(raw)]


class TestBinanceTrades:
    PATHS = ("/api/v3/aggTrades", "/fapi/v1/aggTrades", "/dapi/v1/aggTrades")

    def test_every_recorded_trade_is_exact(self, gct_binance):
        client, count = client_of("binance"), 0
        spot = market(client, "BTCUSDT", "spot")
        for raw in pages(gct_binance, *self.PATHS):
            rows = mapping.trades(client.parse_trades(raw, spot), quirks_of("binance"))
            want = {(t["T"] * MS, str(t["a"]), float(t["p"]), float(t["q"])) for t in raw}
            assert (
                set(rows.select("ts", "id", "price", "amount").with_columns(pl.col("ts").to_physical()).rows()) == want
            )
            assert times(rows) == sorted(times(rows))
            assert_fits(rows, "trades")
            count += rows.height
        assert count > 1500

    def test_side_is_the_takers_and_unknown_is_null(self, gct_binance):
        """The buyer was the maker: the taker sold. Some recorded trades lost that field."""
        client = client_of("binance")
        spot, known, unknown = market(client, "BTCUSDT", "spot"), 0, 0
        for raw in pages(gct_binance, *self.PATHS):
            rows = mapping.trades(client.parse_trades(raw, spot), quirks_of("binance"))
            sides = {str(t["a"]): {True: "sell", False: "buy", None: None}[t.get("m")] for t in raw}
            assert dict(zip(rows["id"], rows["side"], strict=True)) == sides
            known += sum(side is not None for side in sides.values())
            unknown += sum(side is None for side in sides.values())
        assert known > 1500
        assert unknown > 0


class TestBinanceEvents:
    def test_funding_is_exact_with_its_jitter_of_milliseconds(self, gct_binance):
        """Field note: funding is events, not a grid; times jitter by milliseconds."""
        client, off_grid = client_of("binance"), 0
        for raw in pages(gct_binance, "/fapi/v1/fundingRate", "/dapi/v1/fundingRate"):
            rows = mapping.events("funding", client.parse_funding_rate_histories(raw))
            want = sorted((rate["fundingTime"] * MS, float(rate["fundingRate"])) for rate in raw)
            assert list(zip(times(rows), rows["rate"], strict=True)) == want
            assert_fits(rows, "funding")
            off_grid += sum(ts % (3600 * SECOND) != 0 for ts in times(rows))
        assert off_grid > 0

    def test_a_mark_price_is_kept_and_an_absent_one_is_null(self):
        raw = [
            {"symbol": "BTCUSDT", "fundingTime": 1_698_710_400_001, "fundingRate": "0.0001", "markPrice": "34287.5"},
            {"symbol": "BTCUSDT", "fundingTime": 1_698_739_200_000, "fundingRate": "0.0001", "markPrice": ""},
        ]

        rows = mapping.events("funding", ccxt.binance().parse_funding_rate_histories(raw))

        assert rows["mark_price"].to_list() == [34287.5, None]

    def test_open_interest_is_exact(self, gct_binance):
        client = client_of("binance")
        for raw in pages(gct_binance, "/futures/data/openInterestHist"):
            rows = mapping.events("open_interest", client.parse_open_interests_history(raw))
            want = sorted(
                (part["timestamp"] * MS, float(part["sumOpenInterest"]), float(part["sumOpenInterestValue"]))
                for part in raw
            )
            assert list(zip(times(rows), rows["open_interest"], rows["open_interest_value"], strict=True)) == want
            assert_fits(rows, "open_interest")


class TestKraken:
    def test_every_recorded_bar_keeps_volume_and_trades_and_takes_no_vwap_for_volume(self, nautilus):
        (raw,) = [part for part in nautilus("kraken", "http_ohlc")["result"].values() if isinstance(part, list)]

        rows = mapping.bars(client_of("kraken").parse_ohlcvs(raw))

        assert rows.height == 721
        assert times(rows) == [bar[0] * SECOND for bar in raw]
        assert rows["volume"].to_list() == [float(bar[6]) for bar in raw]
        assert rows["trades"].to_list() == [bar[7] for bar in raw]
        assert rows["quote_volume"].null_count() == 721
        assert_fits(rows, "ohlcv")

    def test_decimal_seconds_become_exact_nanoseconds(self, recorded):
        """Field note: parse decimal text to integer nanoseconds; ``float * 1e9`` is off by up to 100 ns."""
        lines = read(recorded / "rest" / "nautilus_kraken.jsonl.gz")
        text = next(line["body"] for line in lines if line["fixture"] == "http_trades")
        (sent,) = [part for part in json.loads(text, parse_float=str)["result"].values() if isinstance(part, list)]
        (raw,) = [part for part in json.loads(text)["result"].values() if isinstance(part, list)]
        client = client_of("kraken")

        rows = mapping.trades(client.parse_trades(raw, market(client, "XBTUSDT", "spot")), quirks_of("kraken"))

        assert rows.height == 1000
        exact = {str(trade[6]): int(Decimal(str(trade[2])) * SECOND) for trade in sent}
        assert dict(zip(rows["id"], times(rows), strict=True)) == exact
        assert any(ts % 1000 for ts in exact.values()), "the recording has times finer than microseconds"
        assert sum(int(float(str(trade[2])) * 1e9) != exact[str(trade[6])] for trade in sent) > 500

    def test_price_amount_and_side_are_exact(self, nautilus):
        (raw,) = [part for part in nautilus("kraken", "http_trades")["result"].values() if isinstance(part, list)]
        client = client_of("kraken")

        rows = mapping.trades(client.parse_trades(raw, market(client, "XBTUSDT", "spot")), quirks_of("kraken"))

        want = {str(t[6]): (float(t[0]), float(t[1]), {"b": "buy", "s": "sell"}[t[3]]) for t in raw}
        assert {row["id"]: (row["price"], row["amount"], row["side"]) for row in rows.iter_rows(named=True)} == want
        assert_fits(rows, "trades")

    def test_recorded_trades_of_one_instant_stay_in_the_order_of_the_exchange(self, nautilus):
        (raw,) = [part for part in nautilus("kraken", "http_trades")["result"].values() if isinstance(part, list)]
        client = client_of("kraken")

        rows = mapping.trades(client.parse_trades(raw, market(client, "XBTUSDT", "spot")), quirks_of("kraken"))

        assert rows["id"].to_list() == [str(trade[6]) for trade in raw]

    def test_trades_of_one_instant_stay_in_order_when_their_ids_grow_a_digit(self):
        """ccxt sorts ids as texts: '1000' before '999'."""
        raw = [["1.0", "1", 1700000000.5, "b", "m", "", number] for number in range(995, 1005)]
        client = client_of("kraken")

        rows = mapping.trades(client.parse_trades(raw, market(client, "XBTUSDT", "spot")), quirks_of("kraken"))

        assert rows["id"].to_list() == [str(number) for number in range(995, 1005)]

    def test_old_answers_without_ids_have_null_ids(self, recorded):
        """Field note: ids may be null once."""
        lines = read(recorded / "rest" / "vcr_Kraken.jsonl.gz")
        body = json.loads(next(line["body"] for line in lines if "Trades" in line["uri"]))
        raw = body["result"]["BCHEUR"]
        client = client_of("kraken")

        rows = mapping.trades(client.parse_trades(raw, market(client, "BCHEUR", "spot")), quirks_of("kraken"))

        assert rows["id"].null_count() == rows.height == len(raw)
        assert times(rows) == sorted(int(Decimal(str(trade[2])) * SECOND) for trade in raw)


class TestOthers:
    def test_okx_bars_keep_their_quote_volume(self, nautilus):
        raw = nautilus("okx", "http_get_candlesticks_full")["data"]

        rows = mapping.bars(client_of("okx").parse_ohlcvs(raw))

        assert times(rows) == sorted(int(bar[0]) * MS for bar in raw)
        assert rows["quote_volume"].to_list() == [float(bar[7]) for bar in sorted(raw)]
        assert rows["trades"].null_count() == rows.height

    @pytest.mark.parametrize(
        ("exchange", "fixture", "path", "symbol"),
        [
            ("okx", "http_get_trades", ["data"], "BTC/USDT"),
            ("bybit", "http_get_trades_recent", ["result", "list"], "BTC/USDT:USDT"),
            ("coinbase", "http_ticker", ["trades"], "BTC/USD"),
        ],
    )
    def test_trades_of_other_exchanges_fit_their_kind(self, exchange, fixture, path, symbol, nautilus):
        raw = nautilus(exchange, fixture)
        for step in path:
            raw = raw[step]
        client = client_of(exchange)
        trades = client.parse_trades(raw, {"symbol": symbol, "id": symbol, "spot": True, "contract": False})

        rows = mapping.trades(trades, quirks_of(exchange))

        assert rows.height == len(raw) > 0
        assert rows["id"].null_count() == 0
        assert set(rows["side"]) <= {"buy", "sell"}
        assert_fits(rows, "trades")

    @pytest.mark.parametrize(
        ("exchange", "fixture"), [("okx", "http_get_funding_rate_history"), ("bybit", "http_get_funding_history")]
    )
    def test_funding_of_other_exchanges_fits_its_kind(self, exchange, fixture, nautilus):
        body = nautilus(exchange, fixture)
        raw = body["data"] if exchange == "okx" else body["result"]["list"]
        unified = [
            {
                "timestamp": int(r.get("fundingTime") or r["fundingRateTimestamp"]),
                "fundingRate": float(r["fundingRate"]),
                "info": r,
            }
            for r in raw
        ]

        rows = mapping.events("funding", unified)

        assert rows.height == len(raw)
        assert_fits(rows, "funding")


class TestBook:
    LEVELS: ClassVar = {"bids": [[100.0, 1.0], [99.5, 2.0]], "asks": [[100.5, 3.0], [101.0, 4.0, 1_700_000_000]]}

    def test_each_level_is_a_row_of_one_snapshot(self):
        rows, clock = mapping.book({**self.LEVELS, "timestamp": 1_700_000_000_123, "nonce": 77}, RECORDED_AT)

        assert clock == "exchange"
        assert rows.select("side", "price", "amount").rows() == [
            ("bid", 100.0, 1.0),
            ("bid", 99.5, 2.0),
            ("ask", 100.5, 3.0),
            ("ask", 101.0, 4.0),
        ]
        assert set(times(rows)) == {1_700_000_000_123 * MS}
        assert set(rows["seq"]) == {77}
        assert set(rows["received_at"].to_physical()) == {RECORDED_AT}
        assert rows["is_snapshot"].all()
        assert_fits(rows, "book")

    def test_without_an_exchange_time_the_clock_is_ours_and_said_to_be(self):
        """Field note: a REST snapshot often has no exchange time: keep the local time and say which clock it was."""
        rows, clock = mapping.book({**self.LEVELS, "timestamp": None, "nonce": None}, RECORDED_AT)

        assert clock == "local"
        assert set(times(rows)) == {RECORDED_AT}
        assert rows["seq"].n_unique() == 1

    def test_an_empty_book_has_no_rows_and_still_its_columns(self):
        rows, _ = mapping.book({"bids": [], "asks": [], "timestamp": None, "nonce": None}, RECORDED_AT)

        assert rows.schema == pl.Schema(KINDS["book"].schema)

    def test_recorded_binance_books_are_whole(self, gct_binance):
        client, count = ccxt.binance(), 0
        for line in gct_binance:
            if line["path"].endswith("/depth"):
                raw = line["body"]
                snapshot = client.parse_order_book(raw, "BTC/USDT", raw.get("T"))
                snapshot["nonce"] = raw["lastUpdateId"]
                rows, clock = mapping.book(snapshot, RECORDED_AT)
                assert rows.height == len(raw["bids"]) + len(raw["asks"])
                assert set(rows["seq"]) == {raw["lastUpdateId"]}
                assert clock == ("exchange" if "T" in raw else "local")
                count += 1
        assert count >= 7


class TestShapes:
    @given(st.lists(st.tuples(st.integers(0, 2**41), *[st.floats(0, 1e9)] * 5), max_size=20))
    def test_bars_keep_every_row_in_its_order_and_unknown_columns_are_null(self, raw):
        rows = mapping.bars([list(bar) for bar in raw])

        assert rows.schema == pl.Schema(KINDS["ohlcv"].schema)
        assert times(rows) == [bar[0] * MS for bar in raw]
        assert rows["close"].to_list() == [bar[4] for bar in raw]
        assert rows["quote_volume"].null_count() == rows["trades"].null_count() == len(raw)

    def test_no_rows_still_have_columns(self):
        assert mapping.trades([], Quirks()).schema["ts"] == KINDS["trades"].schema["ts"]
        assert mapping.events("funding", []).columns == ["ts", "rate", "mark_price"]
        assert mapping.events("open_interest", []).columns == ["ts", "open_interest", "open_interest_value"]
        assert mapping.bars([]).height == 0

    def test_integers_and_nulls_among_the_numbers_are_fine(self):
        rows = mapping.bars(
            [[1_700_000_000_000, 1, 2.5, 1, 2, None, None, None], [1_700_000_060_000, 2, 2, 2, 2, 0, 5.5, 3]]
        )

        assert rows["volume"].to_list() == [None, 0.0]
        assert rows["trades"].to_list() == [None, 3]

    def test_an_empty_quote_volume_is_unknown(self):
        parsed = mapping.with_raw_columns(lambda raw, _market=None: raw[:6], Quirks(quote_volume=7, bar_trades=8))

        assert parsed([1, 2, 3, 4, 5, 6, 0, "", None])[6:] == [None, None]
        assert parsed([1, 2, 3, 4, 5, 6])[6:] == [None, None]

    def test_uuid_ids_stay_texts(self):
        """Field note: ids may be UUIDs."""
        trade = {"timestamp": 1_700_000_000_000, "id": "a905d5c3-1ed0", "price": 1.0, "amount": 2, "side": None}

        assert mapping.trades([trade], Quirks())["id"].to_list() == ["a905d5c3-1ed0"]


class TestInstruments:
    def test_recorded_exchange_info_becomes_instruments(self, gct_binance):
        body = next(line["body"] for line in gct_binance if line["path"] == "/fapi/v1/exchangeInfo")
        client = ccxt.binance({"options": {"crossMarginPairsData": [], "isolatedMarginPairsData": []}})

        found = [mapping.instrument("binance", client.parse_market(raw)) for raw in body["symbols"]]

        bitcoin = next(one for one in found if one.native_id == "BTCUSDT")
        assert (bitcoin.symbol, bitcoin.market_type, bitcoin.active) == ("BTC/USDT:USDT", "swap", True)
        assert (bitcoin.details["settle"], bitcoin.details["contractSize"]) == ("USDT", 1.0)
        assert [one.native_id for one in found] == [raw["symbol"] for raw in body["symbols"]]

    def test_unknown_activity_is_active_and_listing_becomes_nanoseconds(self):
        raw = {"symbol": "A/B", "id": None, "type": None, "active": None, "created": 1_500_000_000_000}

        one = mapping.instrument("kraken", raw)

        assert (one.active, one.details["created"], one.native_id) == (True, 1_500_000_000_000 * MS, "")
        assert one.listed_at is None
