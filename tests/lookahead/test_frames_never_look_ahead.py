"""Rows that were not knowable at an instant do not change a byte of its frame, whatever becomes of them: 10,000 comparisons."""

from __future__ import annotations

import numpy as np
import pytest

from ticklake.app import memory_lake
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.lake import Lake
from ticklake.testing.clocks import ManualClock
from ticklake.testing.lookahead import CHANGES, World
from ticklake.testing.rows import START

from .lookahead_lakes import LATER, fill, instants_before

MANY = {"timeframes": ["1m", "5m", "1h", "4h", "1d"], "indicators": ["sma_20", "rsi_14", "atr_14", "obv_30"]}
FEW = {"timeframes": ["1m", "1h"], "indicators": ["sma_20"], "window": "20m"}


def compared(lake: Lake, exchange: str, symbol: str, cuts: np.ndarray, each: int, **options: object) -> int:
    """Compare frames up to each cut with those over rows that were changed after it; return how many."""
    count = 0
    for cut in cuts.tolist():
        instants = instants_before(cut, each, cut % 1000)
        world = World.of(
            lake, exchange, symbol, instants, history=4 * DAY, knowledge=options.get("knowledge", "default")
        )
        want = [frame.digest() for frame in world.view(LATER * 2).frames(exchange, symbol, instants, **options)]
        for change in CHANGES:
            changed = world.changed(cut, change).view(LATER * 2)
            got = [frame.digest() for frame in changed.frames(exchange, symbol, instants, **options)]
            assert got == want, (
                f"{change} after {cut}: {[at for at, a, b in zip(instants, got, want, strict=True) if a != b]}"
            )
            count += len(got)
    return count


@pytest.fixture(scope="module")
def lake():
    clock = ManualClock(LATER)
    with memory_lake(clock=clock) as opened:
        fill(opened, clock)
        yield opened


def cuts(seed: int, count: int) -> np.ndarray:
    """Return instants of two days, half of them where bars close."""
    found = START + np.random.default_rng(seed).integers(2 * HOUR, 46 * HOUR, count)
    found[: count // 2] = found[: count // 2] // MINUTE * MINUTE
    return found


@pytest.mark.parametrize(
    "seed", [5, pytest.param(8, marks=pytest.mark.trials), pytest.param(9, marks=pytest.mark.trials)]
)
def test_2_300_frames_over_generated_rows(lake, seed):
    assert compared(lake, "x", "BTC/USDT", cuts(seed, 8), 100, **FEW) >= 2_300


@pytest.mark.parametrize("knowledge", ["default", "received", "event"])
def test_frames_of_many_timeframes(lake, knowledge):
    assert compared(lake, "x", "BTC/USDT", cuts(6, 3), 20, **MANY, knowledge=knowledge) >= 150


def test_bars_made_of_late_trades(lake):
    options = {"timeframes": ["30s", "10s"], "fill": "forward", "window": "20m", "kinds": []}
    assert compared(lake, "x", "BTC/USDT", cuts(7, 3), 30, **options) >= 250


@pytest.mark.slow
def test_3_000_frames_over_recorded_trades_and_bars(recorded):
    """Trades of Binance as they were received, and the candles of the same days."""
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        files = [recorded / f"ws_raw/binance_spot_btcusdt_2024080{day}.gz" for day in (8, 9)]
        lake.import_files(files, "binance:trades:BTC/USDT")
        candles = recorded / "ohlcv/binance_BTC_USDT_1m_202408.feather"
        lake.import_files(candles, "binance:ohlcv:1m:BTC/USDT", preset="freqtrade")
        assert lake.trades("binance", "BTC/USDT")["received_at"].null_count() == 0
        moments = np.array([parse_time("2024-08-08T23:56") + step * 117 * SECOND for step in range(4)])
        options = {**FEW, "window": "3m", "timeframes": ["1m", "5m"]}
        assert compared(lake, "binance", "BTC/USDT", moments, 260, **options) >= 3_000
