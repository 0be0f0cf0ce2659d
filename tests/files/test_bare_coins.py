"""Recordings of an exchange that names its markets by their base alone: Hyperliquid's are perpetuals in USDC, of another exchange the caller says which."""

import json

import pytest

from ticklake.app import memory_lake
from ticklake.core.native_ids import unified
from ticklake.core.time import parse_time

SYMBOL = "BTC/USDC:USDC"
AT = 1_737_918_843_000


def book(coin: str) -> dict:
    levels = [[{"n": 1, "px": "105055.0", "sz": "3.0"}], [{"n": 2, "px": "105056.0", "sz": "1.0"}]]
    return {"channel": "l2Book", "data": {"coin": coin, "levels": levels, "time": AT}}


def trade(coin: str) -> dict:
    return {
        "channel": "trades",
        "data": [{"coin": coin, "px": "105056.0", "sz": "0.5", "side": "B", "tid": 7, "time": AT}],
    }


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def recorded(folder, *messages):
    path = folder / "session.txt"
    path.write_text("".join(f"{AT + number}000000 {json.dumps(message)}\n" for number, message in enumerate(messages)))
    return path


def test_exchange_and_symbol_are_enough_for_all_kinds_of_the_recording(lake, tmp_path):
    done = lake.import_files(recorded(tmp_path, book("BTC"), trade("BTC")), exchange="hyperliquid", symbol=SYMBOL)
    assert {file.dataset: file.new for file in done} == {
        f"hyperliquid:book:{SYMBOL}": 2,
        f"hyperliquid:trades:{SYMBOL}": 1,
    }


def test_another_coin_is_a_market_of_its_own(lake, tmp_path):
    done = lake.import_files(recorded(tmp_path, trade("BTC"), trade("ETH")), exchange="hyperliquid", symbol=SYMBOL)
    assert [file.dataset for file in done] == [f"hyperliquid:trades:{SYMBOL}", "hyperliquid:trades:ETH/USDC:USDC"]


def test_of_an_exchange_that_is_not_known_the_symbol_is_needed(lake, tmp_path):
    (refused,) = lake.import_files(recorded(tmp_path, trade("BTC")), exchange="otherdex")
    assert refused.refused
    assert "--symbol" in refused.note
    done = lake.import_files(recorded(tmp_path, trade("BTC")), exchange="otherdex", symbol=SYMBOL)
    assert [file.dataset for file in done] == [f"otherdex:trades:{SYMBOL}"]


def test_a_name_that_is_no_base_of_the_symbol_is_not_read():
    assert unified("BTC", None, "otherdex", said=SYMBOL) == SYMBOL
    assert unified("ETH", None, "otherdex", said=SYMBOL) is None
    assert unified("", None, "otherdex", said="") is None


def test_what_is_left_out_of_a_file_is_said_once(lake, tmp_path):
    messages = (book("BTC"), trade("BTC"), trade("ETH"))
    done = lake.import_files(recorded(tmp_path, *messages), exchange="otherdex", symbol=SYMBOL)
    notes = [note for file in done for note in file.problems if "left out" in note]
    assert (len(done), len(notes)) == (2, 1)
