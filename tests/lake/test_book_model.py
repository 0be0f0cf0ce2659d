"""Books of random rows are those of a model of dictionaries: saved in pieces, compacted, with checkpoints, one by one and in series."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.knowledge import Knowledge
from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, parse_time
from ticklake.lake import Lake
from ticklake.query import book_checkpoints
from ticklake.query.book_checkpoints import checkpoint_before, write_checkpoints
from ticklake.query.book_rows import BookRows
from ticklake.query.book_series import books_at

START = parse_time("2024-05-01")
BOOK = Dataset.parse("okx:book:BTC/USDT")
Sides = tuple[list[tuple[float, float]], list[tuple[float, float]]]


def rows_of(chance: random.Random) -> list[dict[str, Any]]:
    """Return messages that come in any rhythm, with pauses of days, snapshots, and receipts that are late, missing or years later."""
    step = chance.choice([1, MS, SECOND, 40 * SECOND, 10 * MINUTE, 3 * HOUR])
    ts, seq = START, chance.choice([1, 10**9])
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number in range(chance.randint(1, 120)):
        ts += chance.choice([0, 0, 1, 1, 2, 5]) * step
        if chance.random() < 0.02:
            ts += chance.choice([HOUR, DAY, 40 * DAY])
        seq += chance.choice([1, 1, 7])
        received = chance.choice([None, ts, ts + 20 * MS, ts + 5 * SECOND, ts + 700 * DAY])
        whole = number == 3 or chance.random() < 0.04
        for _ in range(chance.randint(1, 4)):
            side, price = chance.choice(["bid", "ask"]), float(chance.randint(1, 9))
            row = {"ts": ts, "seq": seq, "side": side, "price": price, "amount": float(chance.randint(0, 2))}
            rows.setdefault((ts, seq, side, price), {**row, "is_snapshot": whole, "received_at": received})
    return list(rows.values())


def known(row: dict[str, Any], knowledge: Knowledge) -> int | None:
    ts, received = row["ts"], row["received_at"]
    if knowledge == "received":
        return received
    if knowledge == "event" or received is None or received - ts > DAY:
        return ts
    return max(ts, received)


def model(rows: list[dict[str, Any]], at: int, knowledge: Knowledge) -> Sides:
    messages = defaultdict(list)
    for row in rows:
        messages[row["ts"], row["seq"]].append(row)
    levels: dict[tuple[str, float], float] = {}
    has_base = False
    for key in sorted(messages):
        when = known(messages[key][0], knowledge)
        if key[0] > at or when is None or when > at:
            continue
        if messages[key][0]["is_snapshot"]:
            levels, has_base = {}, True
        for row in messages[key] if has_base else ():
            levels.pop((row["side"], row["price"]), None)
            if row["amount"]:
                levels[row["side"], row["price"]] = row["amount"]
    sides = [
        sorted((price, amount) for (side, price), amount in levels.items() if side == name) for name in ("bid", "ask")
    ]
    return sides[0][::-1], sides[1]


def filled(lake: Lake, rows: list[dict[str, Any]], chance: random.Random) -> None:
    size = chance.randint(1, 60)
    for place in range(0, len(rows), size):
        lake.save(BOOK, rows[place : place + size])
        if chance.random() < 0.1:
            lake.engine.compact([BOOK])
            write_checkpoints(lake.engine, BOOK, chance.choice([SECOND, MINUTE, HOUR]))
    if chance.random() < 0.5:
        lake.engine.compact([BOOK])
    if chance.random() < 0.5:
        write_checkpoints(lake.engine, BOOK, chance.choice([SECOND, MINUTE, HOUR]))


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 300))])
def test_books_are_those_of_the_model(seed, monkeypatch):
    monkeypatch.setattr(book_checkpoints, "_FEWEST_ROWS", 1)
    monkeypatch.setattr(book_checkpoints, "_ROWS_A_LEVEL", 0)
    chance = random.Random(seed)
    rows = rows_of(chance)
    instants = np.unique([chance.choice(rows)["ts"] + chance.choice([-1, 0, 1, 20 * MS, SECOND]) for _ in range(8)])
    with memory_lake(clock=lambda: START + 1_000 * DAY) as lake:
        filled(lake, rows, chance)
        for knowledge in ("event", "default", "received"):
            found: dict[int, Sides] = {}
            for books in books_at(BookRows(lake.engine, BOOK, knowledge, find=checkpoint_before), instants, None):
                for ts, *sides in zip(books.ts, books.bids, books.asks, strict=True):
                    bids, asks = (list(zip(side.price.tolist(), side.amount.tolist(), strict=True)) for side in sides)
                    found[ts] = (bids, asks)
            for at in instants.tolist():
                book = lake.book("okx", "BTC/USDT", at, knowledge=knowledge)
                assert (book.bids.rows(), book.asks.rows()) == found[at] == model(rows, at, knowledge)
