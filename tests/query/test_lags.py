"""Lags: set in the settings, they reach whatever reads a lake or one of its versions."""

from __future__ import annotations

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.time import SECOND


def test_the_lags_of_the_settings_reach_a_lake_and_its_snapshots(tmp_path):
    settings = Settings(knowledge={"lag": {"ohlcv": "2s"}})
    bars = Dataset.parse("binance:ohlcv:1m:BTC/USDT")
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        assert lake.engine.lags.of(bars) == 2 * SECOND
        assert lake.at(0).engine.lags.of(bars) == 2 * SECOND
