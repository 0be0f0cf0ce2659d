"""Checkpoints make reads of books faster, and change no book."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.collect.checkpoints import LiveCheckpoints
from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, MS, SECOND, parse_time
from ticklake.lake import Lake
from ticklake.query import book_checkpoints
from ticklake.query.book import book_at
from ticklake.query.book_checkpoints import FOLDER, checkpoint_before, write_checkpoints
from ticklake.query.book_rows import no_checkpoint
from ticklake.query.book_series import scan_books

START = parse_time("2024-05-01")
BOOKS = ("binance:book:BTC/USDT", "kraken:book:BTC/USD")
KNOWN = ("default", "event", "received")


def rows_of(seed: int, seconds: int = 240, messages: int = 900) -> list[dict[str, Any]]:
    """Return rows of which some are received late, and with snapshots that say less than the changes before them."""
    chance = random.Random(seed)
    rows = []
    for number in range(messages):
        ts = START + number * seconds * SECOND // messages // (100 * MS) * (100 * MS)
        whole = number == 30 or (number > 30 and chance.random() < 0.006)
        seq = 10_000 + number - whole * chance.choice([0, 0, 40])
        common = {"ts": ts, "seq": seq, "received_at": ts + chance.choice([20, 20, 20, 900, 7000]) * MS}
        for _ in range(15 if whole else chance.randint(1, 3)):
            side = chance.choice(["bid", "ask"])
            price = 100 + chance.randint(1, 30) / 10 * (1 if side == "ask" else -1)
            amount = float(whole or chance.random() < 0.6) * chance.randint(1, 50) / 7
            rows.append({**common, "side": side, "price": price, "amount": amount, "is_snapshot": whole})
    return rows


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(book_checkpoints, "_FEWEST_ROWS", 1)
    monkeypatch.setattr(book_checkpoints, "_ROWS_A_LEVEL", 0)
    monkeypatch.setattr(book_checkpoints, "EVERY", SECOND)


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: START + DAY) as lake:
        yield lake


def filled(lake: Lake, name: str = BOOKS[0], seed: int = 3) -> Dataset:
    """Save rows in two files, and write a checkpoint for every second."""
    dataset = Dataset.parse(name)
    rows = rows_of(seed)
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        lake.save(dataset, part)
        lake.engine.compact([dataset])
        assert write_checkpoints(lake.engine, dataset, SECOND) > 20
    return dataset


def files(lake: Lake) -> list[str]:
    return sorted(item.key for item in lake.engine.objects.list(FOLDER))


def same(lake: Lake, dataset: Dataset, at: int, knowledge: Any = "event") -> bool:
    """Whether a book is the same with checkpoints and without; return whether there was one."""
    found = []
    for find in (checkpoint_before, no_checkpoint):
        book = book_at(lake.engine, dataset, at, None, knowledge=knowledge, find=find)
        found.append((book.rows(), book.reason, book.ts, book.seq, book.proof, book.flags, book.stretches))
    assert found[0] == found[1]
    return checkpoint_before(lake.engine, dataset, at, knowledge) is not None


@pytest.mark.parametrize("name", [BOOKS[0], pytest.param(BOOKS[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_every_book_is_the_same_with_checkpoints_and_without(lake, name, seed):
    dataset = filled(lake, name, seed)
    for knowledge in KNOWN:
        used = [same(lake, dataset, START + ms * MS, knowledge) for ms in range(0, 260_000, 11_100)]
        assert sum(used) > 10


def test_a_series_is_the_same_with_checkpoints_and_without(lake):
    dataset = filled(lake)
    for second in (41, 130):
        span = pl.Series([START + second * SECOND, START + (second + 30) * SECOND])
        with_them = lake.books("binance", "BTC/USDT", int(span[0]), int(span[1]), depth=None).collect()
        stats = lake.book_stats("binance", "BTC/USDT", int(span[0]), int(span[1])).collect()
        for key in files(lake):
            lake.engine.objects.move(key, f"aside/{key}")
        assert with_them.equals(lake.books("binance", "BTC/USDT", int(span[0]), int(span[1]), depth=None).collect())
        assert stats.equals(lake.book_stats("binance", "BTC/USDT", int(span[0]), int(span[1])).collect())
        for item in list(lake.engine.objects.list("aside")):
            lake.engine.objects.move(item.key, item.key.removeprefix("aside/"))
    assert scan_books(lake.engine, dataset, lake.engine.known(dataset), SECOND, 5).collect().height > 0


def test_a_row_that_comes_late_puts_the_checkpoints_after_it_out_of_use(lake):
    dataset = filled(lake)
    at = START + 80 * SECOND
    before = book_at(lake.engine, dataset, at, None, knowledge="event")
    late = {"ts": at - 2 * SECOND, "seq": 99_999, "side": "bid", "price": 50.0, "amount": 1.0, "is_snapshot": False}
    lake.save(dataset, [late])
    after = book_at(lake.engine, dataset, at, None, knowledge="event")
    assert 50.0 in after["price"].to_list()
    assert 50.0 not in before["price"].to_list()
    assert same(lake, dataset, at)
    lake.compact()
    write_checkpoints(lake.engine, dataset, SECOND)
    same(lake, dataset, at)


def test_without_its_snapshot_a_book_has_no_checkpoint_either(lake):
    dataset = filled(lake)
    first = lake.load(dataset).filter("is_snapshot")["ts"].to_physical()
    lake.delete(dataset, START, first[0] + 1)
    at = int(first.unique().sort()[1]) - 1
    book = book_at(lake.engine, dataset, at, None, knowledge="event")
    assert "no snapshot that they change" in book.reason
    assert not same(lake, dataset, at)


def test_a_version_has_the_books_of_its_own_rows(lake):
    dataset = filled(lake)
    version, at = lake.engine.catalog.version(), START + 150 * SECOND
    old = lake.book("binance", "BTC/USDT", at)
    lake.delete(dataset, START + 140 * SECOND, START + 145 * SECOND)
    lake.compact()
    assert lake.at(version).book("binance", "BTC/USDT", at).rows() == old.rows()


def test_a_compaction_writes_each_file_of_checkpoints_once_and_removes_those_of_no_use(lake):
    dataset = Dataset.parse(BOOKS[0])
    lake.save(dataset, rows_of(3))
    lake.compact()
    (first,) = files(lake)
    lake.compact()
    assert files(lake) == [first]
    lake.save(dataset, rows_of(9, seconds=300)[-50:])
    lake.compact()
    (second,) = files(lake)
    assert second != first
    assert write_checkpoints(lake.engine, dataset) == 0


def test_a_file_that_is_cut_or_damaged_is_read_past_and_a_lake_that_lost_them_writes_them_again(tmp_path):
    with open_lake(tmp_path / "lake", clock=lambda: START + DAY) as lake:
        dataset = Dataset.parse(BOOKS[0])
        lake.save(dataset, rows_of(3))
        lake.engine.compact([dataset])
        write_checkpoints(lake.engine, dataset, SECOND)
        (key,) = files(lake)
        path, at = tmp_path / "lake" / key, START + 200 * SECOND
        assert same(lake, dataset, at)
        whole = path.read_bytes()
        for broken in (
            b"",
            whole[:100],
            whole[: len(whole) // 2],
            whole.replace(b"ARROW", b"WORRA"),
            whole[:-40] + b"x" * 40,
        ):
            path.write_bytes(broken)
            same(lake, dataset, at)
        # A process that was killed leaves half of a file.
        path.write_bytes(whole[: len(whole) // 2])
        assert write_checkpoints(lake.engine, dataset, SECOND) > 0
        assert path.read_bytes() == whole
        path.unlink()
        assert not same(lake, dataset, at)
        assert write_checkpoints(lake.engine, dataset, SECOND) > 0
        assert same(lake, dataset, at)
        assert lake.verify(deep=True) == []


def test_vacuum_removes_the_checkpoints_of_datasets_that_are_gone(lake):
    dataset = filled(lake)
    lake.vacuum()
    assert files(lake)
    lake.drop(dataset)
    lake.vacuum()
    assert files(lake) == []


def test_books_that_are_collected_live_get_checkpoints_until_a_compaction(lake):
    dataset = Dataset.parse(BOOKS[0])
    live = LiveCheckpoints(lake.engine, 20)
    rows = rows_of(3)
    for place in range(0, len(rows), 60):
        lake.save(dataset, rows[place : place + 60])
        for due, at in live.due({dataset: rows[min(place + 59, len(rows) - 1)]["ts"]}):
            live.write(due, at)
    assert 3 < len(files(lake)) < 15
    assert sum(same(lake, dataset, START + second * SECOND) for second in range(0, 240, 21)) > 5
    lake.compact()
    assert not any("live" in key for key in files(lake))


def test_none_is_written_for_a_live_book_where_nobody_wants_them(lake):
    dataset = Dataset.parse(BOOKS[0])
    live = LiveCheckpoints(lake.engine, 0)
    assert not list(live.due({dataset: START}))
    assert not list(live.due({dataset: START + DAY}))


def test_books_that_come_whole_each_time_need_no_checkpoint(lake):
    dataset = Dataset.parse(BOOKS[0])
    rows = [{**row, "is_snapshot": True, "amount": row["amount"] + 1} for row in rows_of(3)]
    lake.save(dataset, rows)
    lake.compact()
    (key,) = files(lake)
    assert checkpoint_before(lake.engine, dataset, START + 200 * SECOND, "event") is None
    # The file says that there is nothing to do.
    lake.compact()
    assert files(lake) == [key]
