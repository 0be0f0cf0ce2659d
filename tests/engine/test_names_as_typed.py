"""Exchanges in any case, and the exchange's own ids, where its list of markets makes them one symbol."""

import pytest
from engine_lakes import BARS, at

from ticklake.catalog.instruments import Instruments
from ticklake.core.instrument import Instrument, unified
from ticklake.errors import UnknownDataset, UnknownSymbol
from ticklake.testing.rows import bars


def listing(lake, *markets):
    known = [Instrument("x", symbol, native_id) for symbol, native_id in markets]
    Instruments(lake.engine.catalog.database, lake.engine.now).snapshot("x", known, at(0))


def test_an_exchange_in_capitals_and_a_native_id_are_read_as_ours(any_lake):
    any_lake.save("X:ohlcv:1m:BTC/USDT", bars(0, 5))
    listing(any_lake, ("BTC/USDT", "BTCUSDT"), ("ETH/USDT", "ETHUSDT"))
    assert any_lake.datasets() == [BARS]
    assert any_lake.ohlcv("X", "BTC/USDT", "1m").height == 5
    for name in ("BTCUSDT", "btcusdt"):
        assert any_lake.ohlcv("x", name, "1m").height == 5
        assert any_lake.load(f"X:ohlcv:1m:{name}").height == 5
        assert any_lake.at(1).load(f"x:ohlcv:1m:{name}").height == 5
    with pytest.raises(UnknownDataset, match="the lake has no x:ohlcv:1m:ETHUSDT"):
        any_lake.load("x:ohlcv:1m:ETHUSDT")


def test_an_id_of_two_markets_is_an_error_that_names_both(any_lake):
    any_lake.save(BARS, bars(0, 5))
    listing(any_lake, ("BTC/USDT", "BTCUSDT"), ("BTC/USDT:USDT", "BTCUSDT"))
    with pytest.raises(UnknownSymbol, match="BTCUSDT is the id of 2 markets of x: say BTC/USDT or BTC/USDT:USDT"):
        any_lake.load("x:ohlcv:1m:BTCUSDT")


def test_a_native_id_is_not_guessed_without_a_list_of_markets(any_lake):
    any_lake.save(BARS, bars(0, 5))
    with pytest.raises(UnknownDataset, match="did you mean x:ohlcv:1m:BTC/USDT"):
        any_lake.load("x:ohlcv:1m:BTCUSDT")
    assert unified("BTCUSDT", []) == "BTCUSDT"


def test_a_dataset_under_the_native_id_itself_is_read_as_it_is(any_lake):
    any_lake.save("x:ohlcv:1m:BTCUSDT", bars(0, 2))
    listing(any_lake, ("BTC/USDT", "BTCUSDT"))
    assert any_lake.load("x:ohlcv:1m:BTCUSDT").height == 2
