"""Instruments: what an exchange lists, and since when."""

import pytest

from ticklake.catalog.instruments import Instruments
from ticklake.core.instrument import Instrument


@pytest.fixture
def instruments(database, clock):
    return Instruments(database, clock)


def test_an_unknown_instrument_is_none(instruments):
    assert instruments.get("x", "BTC/USDT") is None


def test_a_seen_instrument_is_remembered_as_described(instruments, clock):
    told = Instrument("x", "BTC/USDT", "BTCUSDT", "spot", False, 5, details={"precision": {"price": 0.01}})
    instruments.see([told])
    known = instruments.get("x", "BTC/USDT")
    assert (known.native_id, known.market_type, known.active, known.listed_at) == ("BTCUSDT", "spot", False, 5)
    assert known.valid_from == clock.now
    assert known.valid_to is None
    assert known.details == told.details


def test_seeing_an_instrument_again_makes_no_second_one(instruments, clock):
    instruments.see([Instrument("x", "BTC/USDT", listed_at=5)])
    first = instruments.get("x", "BTC/USDT")
    clock.now += 1
    instruments.see([Instrument("x", "BTC/USDT"), Instrument("x", "BTC/USDT")])
    assert instruments.get("x", "BTC/USDT") == first


def test_symbols_differ_by_case_and_exchange(instruments):
    instruments.see([Instrument("x", "BTC/USDT", "one"), Instrument("x", "btc/usdt", "two")])
    instruments.see([Instrument("y", "BTC/USDT", "three")])
    found = [instruments.get(*name).native_id for name in [("x", "BTC/USDT"), ("x", "btc/usdt"), ("y", "BTC/USDT")]]
    assert found == ["one", "two", "three"]


def test_a_listing_date_is_remembered_for_a_known_and_for_an_unknown_symbol(instruments):
    instruments.see([Instrument("x", "BTC/USDT", "one"), Instrument("x", "ETH/USDT")])
    instruments.remember_listing("x", "BTC/USDT", 5)
    instruments.remember_listing("x", "XRP/USDT", 7)
    assert instruments.get("x", "BTC/USDT").listed_at == 5
    assert instruments.get("x", "BTC/USDT").native_id == "one"
    assert instruments.get("x", "XRP/USDT").listed_at == 7
    assert instruments.get("x", "ETH/USDT").listed_at is None
