"""Features of a recorded day: what was stored in batches is what a live program computes, instant by instant."""

from __future__ import annotations

from ticklake.app import memory_lake
from ticklake.config import Settings

COLUMNS = {"imbalance": "float64", "trades": "int64", "momentum": "float64", "price": "float64"}


def flow(frame):
    trades = frame.trades
    if not trades.height:
        return None
    bought = trades.filter(trades["side"] == "buy")["amount"].sum()
    closes = frame.bars["1m"]["close"]
    return {
        "imbalance": 2 * bought / trades["amount"].sum() - 1,
        "trades": trades.height,
        "momentum": closes[-1] / closes[0] - 1 if len(closes) > 1 else None,
        "price": frame.latest_price(),
    }


def test_stored_features_of_a_recorded_day_equal_those_of_single_frames_bit_for_bit(recorded):
    with memory_lake(Settings()) as lake:
        lake.import_files(recorded / "trades/bybit_BTCUSD_2019-10-01.csv.gz", "bybit:trades:BTC/USD:BTC")
        lake.features.register("flow", 1, COLUMNS, code=flow)
        lake.features.materialise(
            "flow", 1, flow, "bybit", "BTC/USD:BTC", every="3m", start="2019-10-01", end="2019-10-02", window="15m"
        )
        diff = lake.features.verify("flow", 1, flow, day="2019-10-01")
    assert (diff.equal, diff.is_empty) == (479, True)
