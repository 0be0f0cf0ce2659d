"""Oracles in the recorded data, through the product: bars that a lake rebuilds equal those of the exchange."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, MS, parse_time

KUCOIN = [
    (f"ohlcv/kucoin_BTC_USDT_{name}", f"kucoin:ohlcv:{name[:2]}:BTC/USDT")
    for name in ("1m_202303.json.xz", "5m_202303.json.gz")
]
WS = "binance:trades:BTC/USDT"


@pytest.fixture
def lake(lake_at):
    return lake_at()


def brought_in(lake, recorded, pairs, preset="freqtrade"):
    for name, dataset in pairs:
        (done,) = lake.import_files(recorded / name, dataset, preset=preset)
        assert done.new


def raw_trades(recorded):
    """The trades of a recorded WebSocket, with the exchange's own ids."""
    rows = []
    for day in ("20240808", "20240809"):
        lines = gzip.decompress((recorded / f"ws_raw/binance_spot_btcusdt_{day}.gz").read_bytes()).splitlines()
        events = (json.loads(line.split(b" ", 1)[1]) for line in lines if b'"e":"trade"' in line)
        rows += [
            (d["T"] * MS, str(d["t"]), float(d["p"]), float(d["q"]), "sell" if d["m"] else "buy")
            for d in (event["data"] for event in events)
        ]
    frame = pl.DataFrame(rows, schema=["ts", "id", "price", "amount", "side"], orient="row")
    return frame.with_columns(pl.col("ts").cast(TIME))


def test_kucoins_minutes_make_kucoins_five_minutes(lake, recorded):
    brought_in(lake, recorded, KUCOIN)
    (check,) = lake.cross_check("kucoin:ohlcv:5m:BTC/USDT")
    assert (check.against, check.compared) == ("kucoin:ohlcv:1m:BTC/USDT", 8639)
    assert check.agrees


def test_every_difference_is_listed_with_both_values(lake, recorded):
    brought_in(lake, recorded, KUCOIN)
    at = parse_time("2023-03-15T12:00")
    bar = lake.load("kucoin:ohlcv:5m:BTC/USDT", at, at + 1)
    close, volume = bar["close"][0], bar["volume"][0]
    lake.save("kucoin:ohlcv:5m:BTC/USDT", bar.with_columns(pl.col("close") - 0.1, pl.col("volume") + 1))
    (check,) = lake.cross_check("kucoin:ohlcv:5m:BTC/USDT")
    assert check.differences["ts"].to_physical().to_list() == [at, at]
    assert check.differences.drop("ts", "difference").rows() == [
        ("close", close, close - 0.1),
        ("volume", pytest.approx(volume), volume + 1),
    ]
    assert check.differences["difference"].to_list() == [pytest.approx(0.1), pytest.approx(-1.0)]


def test_binances_bars_agree_from_five_minutes_to_an_hour(lake, recorded):
    names = {name: f"ohlcv/binanceusdm_BTC_USDT_{name}_2025.feather" for name in ("5m", "15m", "1h")}
    brought_in(lake, recorded, [(path, f"binanceusdm:ohlcv:{name}:BTC/USDT:USDT") for name, path in names.items()])
    (quarters,) = lake.cross_check("binanceusdm:ohlcv:15m:BTC/USDT:USDT")
    fives, hours = lake.cross_check("binanceusdm:ohlcv:1h:BTC/USDT:USDT")
    assert (quarters.compared, quarters.agrees) == (3635, True)
    assert (hours.against[:21], hours.compared, hours.agrees) == ("binanceusdm:ohlcv:15m", 719, True)
    assert (fives.against[:20], fives.compared, fives.agrees) == ("binanceusdm:ohlcv:5m", 719, True)


def test_aggregated_trades_make_the_recorded_minutes(lake, recorded):
    brought_in(lake, recorded, [("ohlcv/freqtrade_XRP_ETH-1m.feather", "binance:ohlcv:1m:XRP/ETH")])
    trades = [("trades/binance_XRPETH_aggTrades_201910.json.gz", "binance:trades:XRP/ETH")]
    brought_in(lake, recorded, trades, "freqtrade-trades")
    (check,) = lake.cross_check("binance:ohlcv:1m:XRP/ETH", tolerance=1e-5)
    assert check.agrees
    assert 2400 < check.compared <= 2469


class TestRawTradesOfAWebSocket:
    """18,776 trades of the ten complete minutes give exactly the exchange's candles."""

    @pytest.fixture
    def minutes(self, lake, recorded):
        brought_in(lake, recorded, [("ohlcv/binance_BTC_USDT_1m_202408.feather", "binance:ohlcv:1m:BTC/USDT")])
        return lake

    def test_they_make_the_exchanges_bars(self, minutes, recorded):
        minutes.save(WS, raw_trades(recorded), Provenance("user", id_space="raw"))
        (check,) = minutes.cross_check("binance:ohlcv:1m:BTC/USDT")
        assert (check.compared, check.agrees) == (10, True)
        assert minutes.trades("binance", "BTC/USDT", "2024-08-08T23:55", "2024-08-09T00:05").height == 18_776

    def test_a_minute_of_which_an_id_is_missing_is_not_held_against_them(self, minutes, recorded):
        lost = pl.col("ts").to_physical() // MINUTE == parse_time("2024-08-08T23:58") // MINUTE
        rows = raw_trades(recorded).with_row_index("_row").filter(~lost | (pl.col("_row") % 100 != 0)).drop("_row")
        looked = Covered(Span(int(rows["ts"].to_physical()[0]), int(rows["ts"].to_physical()[-1]) + 1))
        minutes.engine.append(Dataset.parse(WS), rows, Provenance("user", id_space="raw"), [looked])
        (check,) = minutes.cross_check("binance:ohlcv:1m:BTC/USDT")
        assert (check.compared, check.agrees) == (9, True)

    def test_a_trade_that_is_wrong_is_found(self, minutes, recorded):
        rows = raw_trades(recorded)
        place = rows.with_row_index("_row").filter(pl.col("ts").to_physical() >= parse_time("2024-08-09T00:01"))[
            "_row"
        ][50]
        wrong = pl.when(pl.int_range(pl.len()) == place).then(99_999.0).otherwise("price").alias("price")
        minutes.save(WS, rows.with_columns(wrong), Provenance("user", id_space="raw"))
        (check,) = minutes.cross_check("binance:ohlcv:1m:BTC/USDT")
        ((ts, column, ours, theirs, difference),) = check.differences.filter(column="high").rows()
        assert (column, ours, difference) == ("high", 99_999.0, 99_999.0 - theirs)
        assert f"{ts:%H:%M}" == "00:01"
        assert set(check.differences["column"]) <= {"high", "quote_volume"}
