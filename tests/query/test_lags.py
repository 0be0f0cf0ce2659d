"""Lags: set in the settings, they reach whatever reads a lake or one of its versions."""

from __future__ import annotations

import polars as pl

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import SECOND
from ticklake.testing.rows import START


def test_the_lags_of_the_settings_reach_a_lake_and_its_snapshots(tmp_path):
    settings = Settings(knowledge={"lag": {"ohlcv": "2s"}})
    bars = Dataset.parse("binance:ohlcv:1m:BTC/USDT")
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        assert lake.engine.lags.of(bars) == 2 * SECOND
        assert lake.at(0).engine.lags.of(bars) == 2 * SECOND


def test_a_book_waits_for_the_lag_as_a_series_of_books_does(tmp_path):
    settings = Settings(knowledge={"lag": {"book": "2s"}})
    snapshot = pl.DataFrame(
        {"side": ["bid", "ask"], "price": [9.0, 10.0], "amount": 1.0, "seq": 1, "is_snapshot": True}
    )
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        lake.save("x:book:BTC/USDT", snapshot.with_columns(ts=pl.lit(START).cast(TIME)))
        assert lake.books("x", "BTC/USDT", START + SECOND, START + 2 * SECOND).collect().is_empty()
        assert lake.book("x", "BTC/USDT", START + SECOND).is_empty()
        assert lake.book("x", "BTC/USDT", START + 2 * SECOND).height == 2
