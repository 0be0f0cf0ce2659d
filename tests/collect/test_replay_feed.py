"""The messages of a capture are read as the live feed read them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ticklake.app import memory_lake
from ticklake.collect.capture import note_of
from ticklake.collect.replay import ReplayFeed
from ticklake.core.time import parse_time
from ticklake.errors import InvalidData
from ticklake.sources.live.base import Control, Feed, LiveMessage
from ticklake.storage.captures import CaptureFile

DATASET = "binance:book:BTC/USDT"
TOP = {"stream": "btcusdt@depth5@100ms", "data": {"lastUpdateId": 7, "bids": [["10", "1"]], "asks": [["11", "2"]]}}
CHANGE = {
    "stream": "btcusdt@depth@100ms",
    "data": {"e": "depthUpdate", "E": 1_700_000_000_000, "s": "BTCUSDT", "U": 8, "u": 9, "b": [["10", "3"]], "a": []},
}


def stored(path: Path, dataset: str) -> list[Any]:
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        lake.streams.replay([str(path)])
        if not lake.datasets():
            return []
        return lake.load(dataset).rows(named=True)


def capture(path: Path, *messages: Any, is_withheld: bool = False) -> Path:
    with CaptureFile(path / "binance.jsonl.zst", "binance") as file:
        names = {"native": "BTCUSDT", "timeframe": ""}
        file.name([{"dataset": DATASET, "kind": "book", **names}])
        for number, message in enumerate(messages):
            file.add("0", 1_700_000_000_000_000_000 + number, json.dumps(message).encode(), is_withheld=is_withheld)
    return file.path


def test_best_levels_are_of_the_market_that_their_stream_names(tmp_path: Path) -> None:
    rows = stored(capture(tmp_path, TOP), DATASET)
    assert [(row["side"], row["price"], row["is_snapshot"]) for row in rows] == [
        ("bid", 10.0, True),
        ("ask", 11.0, True),
    ]


def test_what_happened_to_a_connection_happened_to_its_streams_alone(tmp_path: Path) -> None:
    names = {"kind": "trades", "timeframe": ""}
    bitcoin = {"dataset": "binance:trades:BTC/USDT", "native": "BTCUSDT", **names}
    ether = {"dataset": "binance:trades:ETH/USDT", "native": "ETHUSDT", **names}
    with CaptureFile(tmp_path / "binance.jsonl.zst", "binance") as file:
        file.name([{**bitcoin, "conn": "0"}])
        file.name([{**ether, "conn": "1"}])
        file.note("1", 1_700_000_000_000_000_000, note_of(Control("heartbeat", 0)))
        file.note("2", 1_700_000_000_000_000_000, note_of(Control("heartbeat", 0)))
    messages: list[LiveMessage] = []

    class Kept:
        async def put(self, _feed: Feed, message: LiveMessage) -> None:
            messages.append(message)

    asyncio.run(ReplayFeed(file.path).run(Kept()))
    assert [[str(control.dataset) for control in message.controls] for message in messages] == [
        ["binance:trades:ETH/USDT"],
        ["None"],
    ]


def test_rows_of_a_book_that_were_withheld_stay_out(tmp_path: Path) -> None:
    assert len(stored(capture(tmp_path, CHANGE), DATASET)) == 1
    (tmp_path / "binance.jsonl.zst").unlink()
    assert stored(capture(tmp_path, CHANGE, is_withheld=True), DATASET) == []


CONTROL = {"control": "gap", "dataset": None, "text": "", "span": None, "first": None, "last": None}


def noted(path: Path, note: Any) -> Path:
    with CaptureFile(path / "noted.jsonl.zst", "binance") as file:
        file.name([{"dataset": DATASET, "kind": "book", "native": "BTCUSDT", "timeframe": ""}])
        file.note("0", 1_700_000_000_000_000_000, note)
        file.add("0", 1_700_000_000_000_000_001, json.dumps(TOP).encode())
    return file.path


@pytest.mark.parametrize("note", [{**CONTROL, "control": "paused", "more": 1}, {"weather": "fine"}])
def test_notes_of_a_later_version_are_passed_over(note: Any, tmp_path: Path) -> None:
    assert len(stored(noted(tmp_path, note), DATASET)) == 2


@pytest.mark.parametrize(
    "note",
    [
        {"control": "gap"},
        {**CONTROL, "dataset": "binance:weather:BTC/USDT"},
        {**CONTROL, "span": [5]},
        {"rows": "abc"},
        {"rows": [["book", "BTCUSDT", [1, 2]]]},
        {"rows": [["book", "BTCUSDT", [1] * 8, "", "", None, "more"]]},
        [1, 2],
    ],
)
def test_a_note_that_cannot_be_read_is_named_with_its_file(note: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"noted\.jsonl\.zst is damaged, or of a later version: .* is no note"):
        stored(noted(tmp_path, note), DATASET)


def test_streams_that_cannot_be_read_are_named_with_their_file(tmp_path: Path) -> None:
    with CaptureFile(tmp_path / "binance.jsonl.zst", "binance") as file:
        file.name([{"dataset": DATASET}])
    with pytest.raises(InvalidData, match="its streams cannot be read"):
        stored(file.path, DATASET)
