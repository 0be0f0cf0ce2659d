"""Which of the known symbols and datasets a text means."""

import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.lookup import absent, is_plain, likely, meant_datasets, meant_symbols
from ticklake.core.selection import picked

LISTED = {"BTC/USDT": "BTCUSDT", "BTC/USDT:USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT", "kPEPE/USDC:USDC": "kPEPE"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("BTC/USDT", ["BTC/USDT"]),
        ("eth/usdt", ["ETH/USDT"]),
        ("ETHUSDT", ["ETH/USDT"]),
        ("ethusdt", ["ETH/USDT"]),
        ("BTCUSDT", ["BTC/USDT", "BTC/USDT:USDT"]),
        ("KPEPE", ["kPEPE/USDC:USDC"]),
        ("DOGEUSDT", []),
    ],
)
def test_symbols_are_meant_by_name_by_case_and_by_native_id(text, meant):
    assert meant_symbols(text, LISTED) == meant


@pytest.mark.parametrize(
    ("text", "plain"), [("BTC/USDT", True), ("btc/usdt", False), ("BTCUSDT", False), ("kPEPE/USDC:USDC", False)]
)
def test_what_is_not_plain_is_looked_up(text, plain):
    assert is_plain(text) is plain


def test_parts_narrow_datasets_and_native_ids_are_made_of_parts_where_unknown():
    names = [
        "binance:ohlcv:1h:BTC/USDT",
        "binance:trades:BTC/USDT",
        "kraken:trades:BTC/USDT",
        "binance:trades:ETH/USDT",
    ]
    known = list(map(Dataset.parse, names))
    assert [str(one) for one in meant_datasets(known, "binance", "BTCUSDT", None, None)] == names[:2]
    assert [str(one) for one in meant_datasets(known, "binance", None, "1h", None)] == names[:1]
    assert [str(one) for one in meant_datasets(known, None, "*/USDT", None, "trades")] == names[1:]
    natives = {"BTC/USDT": "XBTUSDT"}
    assert meant_datasets(known, "binance", "BTCUSDT", None, None, natives) == []


def test_likely_names_are_found_in_any_case():
    assert likely("BINANEC", ["binance", "kraken"]) == ["binance"]
    assert likely("zzz", ["binance"]) == []


def test_absent_and_picked_names_keep_their_order():
    assert absent(["c", "a", "b"], {"a", "x"}) == ["c", "b"]
    assert list(picked({"a": 1, "b": 2, "c": 3}, ["c", "x", "a"]).items()) == [("c", 3), ("a", 1)]
