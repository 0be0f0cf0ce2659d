"""The three markets of Binance write alike: the file of one is never taken for another's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.errors import BadInput
from ticklake.files.binance_markets import market_of_message
from ticklake.lake import Lake

AT = 1_704_153_600_000
SPOT = [
    {"e": "depthUpdate", "E": AT, "s": "BTCUSDT", "U": 1, "u": 2, "b": [["1", "2"]], "a": []},
    {"u": 2, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"},
    {"e": "trade", "E": AT, "s": "BTCUSDT", "t": 1, "p": "1", "q": "2", "T": AT, "m": True, "M": True},
    {"e": "aggTrade", "E": AT, "s": "BTCUSDT", "a": 1, "p": "1", "q": "2", "f": 1, "l": 1, "T": AT, "m": True, "M": True},
    {"lastUpdateId": 1, "bids": [["1", "2"]], "asks": []},
]  # fmt: skip
LINEAR = [
    {"e": "depthUpdate", "E": AT, "T": AT, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [["1", "2"]], "a": []},
    {"e": "bookTicker", "u": 2, "E": AT, "T": AT, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"},
    {"e": "trade", "E": AT, "T": AT, "s": "BTCUSDT", "t": 1, "p": "1", "q": "2", "X": "MARKET", "m": True},
    {"e": "aggTrade", "E": AT, "s": "BTCUSDT", "a": 1, "p": "1", "q": "2", "f": 1, "l": 1, "T": AT, "m": True},
    {"lastUpdateId": 1, "E": AT, "T": AT, "bids": [["1", "2"]], "asks": []},
]  # fmt: skip
INVERSE = [
    {"e": "depthUpdate", "E": AT, "T": AT, "s": "BTCUSD_PERP", "ps": "BTCUSD", "U": 1, "u": 2, "pu": 0, "b": [["1", "2"]], "a": []},
    {"e": "bookTicker", "u": 2, "E": AT, "T": AT, "s": "BTCUSD_240329", "ps": "BTCUSD", "b": "1", "B": "2", "a": "3", "A": "4"},
    {"e": "aggTrade", "E": AT, "s": "BTCUSD_PERP", "a": 1, "p": "1", "q": "2", "f": 1, "l": 1, "T": AT, "m": True},
]  # fmt: skip
BAR = {"t": AT, "T": AT + 59_999, "s": "BTCUSDT", "i": "1m", "o": "1", "h": "2", "l": "1", "c": "2", "v": "3", "x": True, "q": "4", "n": 5}  # fmt: skip
KLINE = {"e": "kline", "E": AT, "s": "BTCUSDT", "k": BAR}


@pytest.fixture
def lake() -> Iterator[Lake]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def stamped(root: Path, *messages: dict) -> Path:
    path = root / "stream.gz.log"
    lines = (f"{AT * 10**6 + number} {json.dumps({'stream': 'x', 'data': m})}" for number, m in enumerate(messages))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("messages", "market"), [(SPOT, "spot"), (LINEAR, "linear"), (INVERSE, "inverse")])
def test_each_message_tells_its_market_by_its_fields(messages, market):
    assert [market_of_message(message) for message in messages] == [market] * len(messages)
    assert market_of_message({"stream": "x", "data": messages[0]}) == market


@pytest.mark.parametrize("message", [KLINE, {}, [], {"topic": "orderbook.50.BTCUSDT", "data": {}}, None])
def test_what_tells_nothing_is_no_proof(message):
    assert market_of_message(message) is None


@pytest.mark.parametrize("exchange", ["binance", "binanceusdm"])
@pytest.mark.parametrize("message", LINEAR[:4])
def test_a_recording_of_usdm_is_of_swaps_whatever_part_of_binance_is_said(lake, tmp_path, message, exchange):
    (done,) = lake.import_files(stamped(tmp_path, message), exchange=exchange)
    assert not done.refused, done.problems
    assert done.dataset.startswith(f"{exchange}:")
    assert done.dataset.endswith(":BTC/USDT:USDT")


def test_bars_are_of_the_market_of_the_messages_around_them(lake, tmp_path):
    done = lake.import_files(stamped(tmp_path, KLINE, LINEAR[0]), exchange="binance")
    assert sorted(one.dataset for one in done) == ["binance:book:BTC/USDT:USDT", "binance:ohlcv:1m:BTC/USDT:USDT"]


def test_a_recording_that_contradicts_the_exchange_is_refused(lake, tmp_path):
    path = stamped(tmp_path, *SPOT[:3])
    for exchange in ("binanceusdm", "binancecoinm"):
        (refused,) = lake.import_files(path, exchange=exchange)
        assert refused.problems[-1].endswith(f"are of Binance's spot market, not of {exchange}: say --exchange binance")
    (refused,) = lake.import_files(path, "binanceusdm:trades:BTC/USDT:USDT")
    assert refused.refused
    (refused,) = lake.import_files(stamped(tmp_path, LINEAR[2]), exchange="binanceus")
    assert "are of Binance's USD-M futures, not of binanceus: say --exchange binanceusdm" in refused.problems[-1]
    assert not lake.datasets()


def test_a_recording_is_not_taken_as_a_dataset_of_another_market(lake, tmp_path):
    (refused,) = lake.import_files(stamped(tmp_path, LINEAR[2]), "binance:trades:BTC/USDT")
    assert "no rows of binance:trades:BTC/USDT, but 1 of trades of BTC/USDT:USDT" in refused.problems[-1]


def test_a_recording_that_mixes_markets_is_refused(lake, tmp_path):
    (refused,) = lake.import_files(stamped(tmp_path, KLINE, SPOT[2], LINEAR[2]), exchange="binance")
    assert "mixes messages of Binance's spot market and of its USD-M futures: divide it" in refused.problems[-1]
    assert not lake.datasets()


def test_messages_in_an_array_tell_it_as_well(lake, tmp_path):
    path = tmp_path / "events.json"
    path.write_text(json.dumps([LINEAR[3], {**LINEAR[3], "a": 2}]))
    (done,) = lake.import_files(path)
    assert (done.preset, done.dataset) == ("binance-aggtrade-events", "binance:trades:BTC/USDT:USDT")


def test_a_recording_of_cryptofeed_tells_it_by_its_messages(lake, tmp_path):
    lines = [
        {"t": "header", "exchange": "BINANCE"},
        {"t": "recv", "conn": 1, "ts": "1704153600.5", "data": json.dumps(LINEAR[2])},
    ]
    path = tmp_path / "BINANCE.jsonl"
    path.write_text("\n".join(json.dumps(line, separators=(",", ":")) for line in lines) + "\n")
    (done,) = lake.import_files(path)
    assert done.dataset == "binance:trades:BTC/USDT:USDT"


def test_a_dataset_of_another_market_is_a_contradiction_even_if_it_is_said(lake, tmp_path):
    with pytest.raises(BadInput, match="is not of 'binanceusdm'"):
        lake.import_files(stamped(tmp_path, LINEAR[2]), "binance:trades:BTC/USDT", exchange="binanceusdm")
