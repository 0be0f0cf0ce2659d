"""Blocks of files that are read often are kept decoded, and answers stay what they are."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies
from polars.testing import assert_frame_equal

from ticklake.app import open_lake
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.core.time import MINUTE
from ticklake.engine.block_cache import BlockCache
from ticklake.engine.read import load, read_chunks
from ticklake.engine.store import Store
from ticklake.errors import CorruptSegment

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
ROWS = 50_000
START = 1_704_067_200_000_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """50,000 bars in one file of four blocks, and a newer one that corrects some of them."""
    with open_lake(tmp_path_factory.mktemp("blocks") / "lake") as opened:
        opened.save(BARS, made(0, ROWS, 1.0))
        opened.compact()
        opened.save(BARS, made(30_000, 45_000, 2.0))
        yield opened


def made(first: int, last: int, price: float) -> pl.DataFrame:
    ts = pl.Series("ts", np.arange(first, last) * MINUTE + START).cast(TIME)
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return pl.DataFrame({"ts": ts}).with_columns(**{name: pl.lit(value) for name, value in prices.items()})


def through(lake, cache: BlockCache, span: Span, columns: list[str] | None = None) -> pl.DataFrame:
    """Read through a cache of its own."""
    engine = lake.engine.at(lake.engine.catalog.version(), lake.engine.now())
    return load(replace(engine.store, blocks=cache), BARS, span, columns=columns)


def minutes(first: int, last: int) -> Span:
    return Span(START + first * MINUTE, START + last * MINUTE)


@settings(max_examples=30, deadline=None)
@given(
    spans=strategies.lists(
        strategies.tuples(strategies.integers(-10, ROWS + 10), strategies.integers(1, ROWS)), min_size=1, max_size=6
    ),
    columns=strategies.lists(strategies.sampled_from(["ts", "close", "open"]), min_size=1, max_size=3, unique=True),
)
def test_answers_are_those_of_the_file_however_often_they_are_read(lake, spans, columns):
    cache = BlockCache()
    for _ in range(3):
        for start, length in spans:
            span = minutes(start, start + length)
            assert_frame_equal(through(lake, cache, span, columns), through(lake, BlockCache(0), span, columns))
            assert_frame_equal(through(lake, cache, span), through(lake, BlockCache(0), span))


def test_a_block_is_kept_from_its_second_reading_on(lake):
    cache = BlockCache()
    through(lake, cache, minutes(0, 10), ["close"])
    assert cache.size == 0
    through(lake, cache, minutes(5, 10), ["close"])
    few = cache.size
    assert few > 0
    through(lake, cache, minutes(5, 10), ["close", "open"])
    assert few < cache.size < 2 * few
    through(lake, cache, minutes(5, 10), ["close", "open"])
    assert cache.size < 2 * few


def test_blocks_used_longest_ago_go_first_and_the_budget_is_kept(lake):
    cache = BlockCache(2 * 16_384 * 16)
    for block in (0, 1, 2, 0):
        for _ in range(2):
            through(lake, cache, minutes(block * 16_384 + 5, block * 16_384 + 9), ["close"])
            assert cache.size <= 2 * 16_384 * 16
    assert cache.size > 0


def test_an_answer_that_would_fill_the_cache_is_not_kept(lake):
    cache = BlockCache(100_000)
    for _ in range(3):
        through(lake, cache, minutes(0, ROWS), ["close"])
    assert cache.size == 0


def test_rows_that_are_read_in_pieces_are_not_kept_if_all_of_them_would_fill_the_cache(lake):
    cache = BlockCache(3_000_000)
    store = replace(lake.engine.store, blocks=cache)
    rows: list[int] = []
    for _ in range(3):
        chunks = read_chunks(store, store.view(BARS, minutes(0, ROWS)), ["ts", "close"])
        rows.append(sum(chunk.height for chunk in chunks))
    assert rows == [ROWS] * 3
    assert cache.size == 0
    for _ in range(3):
        list(read_chunks(store, store.view(BARS, minutes(0, 20_000)), ["ts", "close"]))
    assert cache.size > 0


def test_several_threads_read_the_same_blocks(lake):
    cache, wrong = BlockCache(3 * 16_384 * 16), []
    span = minutes(1_000, 29_000)
    expected = through(lake, BlockCache(0), span, ["ts", "close"])

    def read() -> None:
        for number in range(20):
            part = minutes(1_000 + number * 1_000, 29_000)
            through(lake, cache, part, ["close"])
            if not through(lake, cache, span, ["ts", "close"]).equals(expected):
                wrong.append(number)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_damaged_block_is_not_kept(tmp_path):
    with open_lake(tmp_path / "lake") as lake:
        lake.save(BARS, made(0, ROWS, 1.0))
        lake.compact()
        segment = lake.engine.store.view(BARS).segments[0]
        lake.load(BARS, START, START + 5 * MINUTE)
        path = tmp_path / "lake" / segment.path
        damaged = bytearray(path.read_bytes())
        damaged[segment.blocks[0].offset + 50] ^= 1
        path.write_bytes(damaged)
        for _ in range(3):
            with pytest.raises(CorruptSegment):
                lake.load(BARS, START, START + 5 * MINUTE)
        assert lake.engine.store.blocks.size == 0


def test_a_file_that_is_moved_while_it_is_decoded_is_found_again(tmp_path, monkeypatch):
    with open_lake(tmp_path / "lake") as lake:
        lake.save(BARS, made(0, ROWS, 1.0))
        lake.compact()
        expected = lake.load(BARS, START, START + 5 * MINUTE)

        def moved(*_arguments):
            raise FileNotFoundError(2, "No such file or directory")

        monkeypatch.setattr(Store, "_decode", moved)
        assert_frame_equal(lake.load(BARS, START, START + 5 * MINUTE), expected)
