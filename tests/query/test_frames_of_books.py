"""The order book of a frame, and its imbalances: as they were known at the instant."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake, open_lake
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, SECOND
from ticklake.testing.clocks import ManualClock
from ticklake.testing.lookahead import CHANGES, World
from ticklake.testing.rows import START, bars

BOOK = "x:book:BTC/USDT"
AT = START + 90 * SECOND


@pytest.fixture
def lake():
    """A book with a snapshot at the begin and a change of both sides every second, received two seconds late."""
    rows = []
    for second in range(120):
        for side, price in (("bid", 99.0), ("ask", 101.0)):
            amount = 1.0 + (second * 7 % 5 if side == "bid" else second % 3)
            rows.append((START + second * SECOND, second, side, price, amount, second == 0))
    names = ["ts", "seq", "side", "price", "amount", "is_snapshot"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("ts").cast(TIME))
    with memory_lake(clock=ManualClock(START + 60 * MINUTE)) as opened:
        opened.save(BOOK, frame.with_columns(received_at=pl.col("ts") + pl.duration(seconds=2)))
        opened.save("x:ohlcv:1m:BTC/USDT", bars(0, 2))
        yield opened


def test_the_book_is_that_of_the_instant(lake):
    frame = lake.frame("x", "BTC/USDT", AT, book_depth=1)
    assert frame.book.equals(lake.book("x", "BTC/USDT", AT, depth=1))
    assert frame.book["seq"].to_list() == [88, 88]
    want = lake.imbalances("x", "BTC/USDT", AT, AT + SECOND, "1s", depth=1).collect().drop("ts").row(0, named=True)
    assert frame.imbalances == want
    assert list(want) == ["imbalance_1s", "imbalance_5s", "imbalance_15s", "imbalance_60s"]
    assert frame.to_dict()["imbalances"] == want
    assert frame.to_numpy()["book"]["price"].tolist() == [99.0, 101.0]


def test_many_books_equal_single_ones(lake):
    instants = [AT + number * SECOND for number in (5, 0, 11)]
    frames = lake.frames("x", "BTC/USDT", instants, kinds="book")
    singles = [lake.frame("x", "BTC/USDT", at, kinds="book") for at in instants]
    assert [frame.digest() for frame in frames] == [frame.digest() for frame in singles]
    assert len({frame.digest() for frame in frames}) == 3


def test_a_book_that_is_not_there_says_why(lake):
    frame = lake.frame("x", "BTC/USDT", START - MINUTE, kinds="book")
    (part,) = [part for part in frame.missing if part.part == "book"]
    assert part.detail == f"no snapshot of {BOOK} was known"
    assert lake.frame("x", "BTC/USDT", AT, kinds=()).book is None
    assert lake.frame("x", "BTC/USDT", AT, kinds=()).imbalances == {}


def test_a_book_does_not_look_ahead(lake):
    instants = [AT, AT + 1, AT - 1, AT - 10 * SECOND]
    world = World.of(lake, "x", "BTC/USDT", pl.Series(instants).to_numpy())
    want = [frame.digest() for frame in world.view(AT * 2).frames("x", "BTC/USDT", instants)]
    for change in CHANGES:
        changed = world.changed(AT + 1, change).view(AT * 2)
        assert [frame.digest() for frame in changed.frames("x", "BTC/USDT", instants)] == want


def test_a_book_has_the_lag_of_the_settings_as_a_frame_has(tmp_path):
    settings = Settings.model_validate({"knowledge": {"lag": {"book": "10s"}}})
    rows = levels_of([0, 5])
    with open_lake(tmp_path / "lake", settings=settings, clock=ManualClock(START + HOUR)) as lake:
        lake.save(BOOK, rows)
        at = START + 12 * SECOND
        assert lake.book("x", "BTC/USDT", at)["seq"].to_list() == [0, 0]
        assert lake.frame("x", "BTC/USDT", at, kinds="book").book.equals(lake.book("x", "BTC/USDT", at))
        assert lake.book("x", "BTC/USDT", at, knowledge="event")["seq"].to_list() == [5, 5]


def test_changes_of_the_book_that_are_missing_are_listed(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings(), clock=ManualClock(START + HOUR)) as lake:
        lost = Covered(Span(START + 20 * SECOND, START + 40 * SECOND), Found.LOST, "the stream broke")
        whole = Covered(Span(START + 40 * SECOND, START + 100 * SECOND))
        lake.engine.append(Dataset.parse(BOOK), levels_of([0]), Provenance("test"), [lost, whole])
        for kinds in (None, ["book"]):
            options = {"kinds": kinds, "timeframes": (), "window": "10s"}
            assert lake.frame("x", "BTC/USDT", START + 10 * SECOND, **options).complete
            frame = lake.frame("x", "BTC/USDT", START + 60 * SECOND, **options)
            (part,) = frame.missing
            assert (part.part, part.reason, part.detail) == ("book", "lost", "the stream broke")
            assert not frame.complete
        # After the time that somebody looked at, the newest book may be an old one.
        old = lake.frame("x", "BTC/USDT", START + 40 * MINUTE, kinds=["book"], timeframes=())
        assert [part.reason for part in old.missing] == ["not_fetched", "lost"]


def levels_of(seconds: list[int]) -> pl.DataFrame:
    """Snapshots of one level a side."""
    rows = []
    for second in seconds:
        for side, price in (("bid", 99.0), ("ask", 101.0)):
            rows.append((START + second * SECOND, second, side, price, 1.0, True))
    names = ["ts", "seq", "side", "price", "amount", "is_snapshot"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("ts").cast(TIME))
