from __future__ import annotations

import pytest

from ticklake.app import memory_lake
from ticklake.errors import BadInput, UnknownDataset
from ticklake.testing.rows import bars, trades

TRADES = "x:trades:BTC/USDT"
BARS = "x:ohlcv:1m:BTC/USDT"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


def test_the_newest_rows_of_the_lake(lake):
    lake.save(TRADES, trades(0, 50))
    rows, source = lake.latest_with_source(TRADES, 3)
    assert rows.equals(lake.load(TRADES, last=3))
    assert source == "inline"


def test_rows_in_files_are_said_to_be(lake):
    lake.save(BARS, bars(0, 30_000))
    lake.save(BARS, bars(30_000, 30_005))
    assert lake.latest_with_source(BARS, 5)[1] == "inline"
    assert lake.latest_with_source(BARS, 6)[1] == "files"
    assert lake.latest(BARS)["ts"].to_list() == lake.load(BARS)["ts"].to_list()[-1:]


def test_rows_that_were_just_written_are_not_decoded_again(lake, monkeypatch):
    version = lake.engine.catalog.version()
    lake.save(TRADES, trades(0, 50))
    monkeypatch.setattr("ticklake.engine.store.decode_inline", None)
    assert lake.latest(TRADES, 3)["id"].to_list() == trades(47, 50)["id"].to_list()
    assert lake.at(version + 1).load(TRADES).height == 50


def test_an_unknown_dataset_and_a_wrong_count(lake):
    with pytest.raises(UnknownDataset):
        lake.latest(TRADES)
    lake.save(TRADES, trades(0, 5))
    with pytest.raises(BadInput, match="count=0"):
        lake.latest(TRADES, 0)
