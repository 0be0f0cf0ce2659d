"""Books one after the other are the books at their instants, bit for bit."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, MS, SECOND, parse_time
from ticklake.engine import read
from ticklake.errors import BadInput
from ticklake.lake import Lake
from ticklake.query import book_rows
from ticklake.query.book_stats import imbalances_at

START = parse_time("2024-05-01")
BOOK = Dataset.parse("binance:book:BTC/USDT")
KNOWN = ("default", "event", "received")


def rows_of(seed: int, messages: int = 300) -> list[dict[str, Any]]:
    """Return rows of 20 seconds: most are received soon, some later than others, and the book comes whole now and then."""
    chance = random.Random(seed)
    rows = []
    for number in range(messages):
        ts = START + number * 20 * SECOND // messages // (50 * MS) * (50 * MS)
        late = chance.choice([0, 0, 0, 0, 900, 3000]) * MS
        common = {"ts": ts, "seq": number, "received_at": ts + 30 * MS + late}
        whole = number > 20 and chance.random() < 0.02
        for _ in range(chance.randint(1, 9 if whole else 3)):
            side = chance.choice(["bid", "ask"])
            price = 100 + chance.randint(1, 30) / 10 * (1 if side == "ask" else -1)
            amount = float(whole or chance.random() < 0.6) * chance.randint(1, 50) / 7
            rows.append({**common, "side": side, "price": price, "amount": amount, "is_snapshot": whole})
    return rows


@pytest.fixture(params=["one piece", pytest.param("many pieces", marks=pytest.mark.slow)])
def lake(request, monkeypatch):
    if request.param == "many pieces":
        monkeypatch.setattr(book_rows, "_AT_ONCE", 0)
        monkeypatch.setattr(read, "CHUNK_ROWS", 60)
    with memory_lake(clock=lambda: START + DAY) as lake:
        rows = rows_of(7)
        for place in range(0, len(rows), 40):
            lake.save(BOOK, rows[place : place + 40])
        yield lake


def levels(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.select(pl.col("side").cast(pl.String), "price", "amount").rows()


@pytest.mark.parametrize("knowledge", KNOWN)
def test_a_series_has_the_book_at_each_instant(lake, knowledge):
    series = lake.books("binance", "BTC/USDT", START, START + 22 * SECOND, "900ms", None, knowledge=knowledge).collect()
    filled = 0
    for at in range(START, START + 22 * SECOND, 900 * MS):
        single = lake.book("binance", "BTC/USDT", at, knowledge=knowledge)
        assert levels(series.filter(pl.col("ts").to_physical() == at)) == levels(single)
        filled += single.height > 0
    assert filled > 18


def test_levels_are_numbered_from_the_best_on_and_cut_at_a_depth(lake):
    series = lake.books("binance", "BTC/USDT", START, START + 20 * SECOND, "5s", 3).collect()
    every = lake.books("binance", "BTC/USDT", START, START + 20 * SECOND, "5s", None).collect()
    assert series.equals(every.filter(pl.col("level") <= 3))
    assert series["level"].unique().sort().to_list() == [1, 2, 3]


def test_there_is_a_book_after_each_message(lake):
    series = lake.books("binance", "BTC/USDT", START + 5 * SECOND, START + 9 * SECOND, None, None).collect()
    rows = lake.load(BOOK, START + 5 * SECOND, START + 9 * SECOND)
    whole = lake.load(BOOK).filter("is_snapshot")["ts"].min()
    messages = rows.filter(pl.col("ts") >= whole).select("ts", "seq").unique(maintain_order=True)
    assert series.select("ts", "seq").unique(maintain_order=True).equals(messages)
    last = messages.group_by("ts", maintain_order=True).last()
    for ts, seq in last.select(pl.col("ts").to_physical(), "seq").gather_every(7).rows():
        single = lake.book("binance", "BTC/USDT", ts, knowledge="event")
        assert levels(series.filter(pl.col("ts").to_physical() == ts, seq=seq)) == levels(single)


def test_a_wide_series_has_a_row_for_each_instant(lake):
    wide = lake.books("binance", "BTC/USDT", START, START + 20 * SECOND, depth=2, wide=True).collect()
    long = lake.books("binance", "BTC/USDT", START, START + 20 * SECOND, depth=2).collect()
    assert wide.height == 20
    for side in ("bid", "ask"):
        for level in (1, 2):
            expected = long.filter(pl.col("side").cast(pl.String) == side, level=level)
            column = wide.select("ts", f"{side}_price_{level}", f"{side}_amount_{level}").drop_nulls()
            assert column.rows() == expected.select("ts", "price", "amount").rows()


def test_a_depth_may_be_more_than_there_is(lake):
    span = (START + 10 * SECOND, START + 12 * SECOND)
    deep = lake.books("binance", "BTC/USDT", *span, depth=10**15).collect()
    assert deep.equals(lake.books("binance", "BTC/USDT", *span, depth=None).collect())
    stats = lake.book_stats("binance", "BTC/USDT", *span, depths=[10**15]).collect()
    assert (
        stats["bid_amount_1000000000000000"][0]
        == lake.book("binance", "BTC/USDT", span[0]).bids["amount"].cum_sum()[-1]
    )
    wide = lake.books("binance", "BTC/USDT", *span, depth=40, wide=True).collect()
    assert (wide.width, wide["bid_price_40"].null_count()) == (161, 2)


def test_prices_are_summed_up_in_ranges(lake):
    fine = lake.books("binance", "BTC/USDT", START + 10 * SECOND, START + 11 * SECOND, depth=None).collect()
    coarse = lake.books("binance", "BTC/USDT", START + 10 * SECOND, START + 11 * SECOND, depth=None, bucket=2).collect()
    assert coarse.height < fine.height
    assert (coarse["price"] % 2 == 0).all()
    for side, sign in (("bid", -1), ("ask", 1)):
        prices = coarse.filter(pl.col("side").cast(pl.String) == side)["price"].to_list()
        assert all(sign * first < sign * second for first, second in pairwise(prices))
        assert coarse.filter(pl.col("side").cast(pl.String) == side)["amount"].sum() == pytest.approx(
            fine.filter(pl.col("side").cast(pl.String) == side)["amount"].sum()
        )


def test_figures_are_those_of_each_book(lake):
    stats = lake.book_stats("binance", "BTC/USDT", START, START + 20 * SECOND, depths=(1, 4)).collect()
    assert stats.height == 20
    for row in stats.gather_every(3).iter_rows(named=True):
        book = lake.book("binance", "BTC/USDT", row["ts"])
        assert (row["spread"], row["mid"], row["microprice"]) == (book.spread, book.mid, book.microprice)
        assert (row["imbalance_1"], row["imbalance_4"]) == (book.imbalance(1), book.imbalance(4))


def test_order_flow_is_what_came_and_went_at_the_best_prices(lake):
    stats = lake.book_stats("binance", "BTC/USDT", START + 8 * SECOND, START + 12 * SECOND).collect()
    later = lake.book_stats("binance", "BTC/USDT", START + 9 * SECOND, START + 12 * SECOND).collect()
    assert stats.slice(1).equals(later)
    for before, row in pairwise(stats.iter_rows(named=True)):
        came = (row["bid_price"] >= before["bid_price"]) * row["bid_amount"]
        came -= (row["bid_price"] <= before["bid_price"]) * before["bid_amount"]
        came -= (row["ask_price"] <= before["ask_price"]) * row["ask_amount"]
        came += (row["ask_price"] >= before["ask_price"]) * before["ask_amount"]
        assert row["order_flow"] == pytest.approx(came)


def test_imbalances_are_means_over_windows_and_the_same_one_by_one(lake):
    series = lake.imbalances("binance", "BTC/USDT", START, START + 22 * SECOND, windows=("1s", "5s"), depth=3).collect()
    single = [book.imbalance(3) for book in (lake.book("binance", "BTC/USDT", ts) for ts in series["ts"])]
    assert series["imbalance_1s"].to_list() == single
    windows = (SECOND, 5 * SECOND)
    for ts, mean in series.select(pl.col("ts").to_physical(), "imbalance_5s").gather_every(4).rows():
        alone = imbalances_at(lake.engine, BOOK, ts, windows, 3)
        assert alone["imbalance_5s"].to_list() == [mean]
    place = series["imbalance_5s"].is_not_null().arg_max()
    assert series["imbalance_5s"][place] == pytest.approx(sum(single[place - 4 : place + 1]) / 5)


def test_instants_may_come_in_any_order_and_far_apart(lake):
    times = [START + 15 * SECOND, START - 30 * DAY, START + 6 * SECOND, START + 15 * SECOND]
    seen = imbalances_at(lake.engine, BOOK, times, (SECOND,))
    assert seen["ts"].to_physical().to_list() == times
    values = seen["imbalance_1s"].to_list()
    assert values[0] == values[3] == lake.book("binance", "BTC/USDT", times[0]).imbalance(10)
    assert values[1] is None
    assert imbalances_at(lake.engine, BOOK, [], (SECOND,)).height == 0


def test_a_series_is_read_when_it_is_collected_and_can_be_narrowed(lake):
    series = lake.books("binance", "BTC/USDT", depth=2)
    assert isinstance(series, pl.LazyFrame)
    whole = series.collect()
    assert (
        series.filter(pl.col("price") > 100)
        .select("ts")
        .collect()
        .equals(whole.filter(pl.col("price") > 100).select("ts"))
    )
    assert series.head(3).collect().equals(whole.head(3))
    assert whole.schema["ts"] == TIME


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"every": "0s"}, "longer than 0"),
        ({"depth": 0}, "depth"),
        ({"wide": True, "depth": None}, "wide=True needs a depth"),
        ({"bucket": -1}, "bucket=-1 is no width"),
        ({"wide": True, "depth": 2_000}, "too much for a wide table"),
        ({"knowledge": "all"}, "knowledge='all' is not known"),
    ],
)
def test_what_makes_no_series_is_refused(lake: Lake, named, words):
    with pytest.raises(BadInput, match=words):
        lake.books("binance", "BTC/USDT", **named)
    with pytest.raises(BadInput, match="whole seconds"):
        lake.imbalances("binance", "BTC/USDT", windows="1500ms")
