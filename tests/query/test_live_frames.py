"""Frames while rows are collected live: those that are not committed yet are in them, and once they are, nothing changes."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, SECOND
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars

TRADES = Dataset.parse("x:trades:BTC/USDT")
BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
NOW = START + 10 * MINUTE


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def lake(clock):
    with memory_lake(clock=clock) as opened:
        yield opened


def raw(first: int, last: int, delay: int = 1) -> list[tuple[object, ...]]:
    """Trades of these seconds as a stream brings them."""
    return [
        (START + second * SECOND, START + (second + delay) * SECOND, str(second), float(second), 1.0, "buy")
        for second in range(first, last)
    ]


def committed(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(TRADES.spec.schema), orient="row")


def receive(lake, dataset, rows):
    lake.streams._live.rows(dataset, rows, NOW)


def commit(lake, rows, until: int) -> None:
    """Commit rows and what they cover, as the service does."""
    piece = Covered(Span(START, START + until * SECOND + 1))
    lake.engine.append(TRADES, committed(rows), Provenance("x"), [piece])


def digest(lake, at):
    return lake.frame("x", "BTC/USDT", at).digest()


def test_rows_are_there_before_their_commit_and_then_nothing_changes(lake):
    commit(lake, raw(0, 300), 299)
    receive(lake, TRADES, raw(250, 600))
    instants = [NOW - 100 * SECOND, NOW - SECOND, NOW, START + 200 * SECOND]
    live = lake.frame("x", "BTC/USDT", NOW, window="5m")
    assert live.trades.height == 300
    assert live.complete
    assert live.sources["trades"] == "cache"
    assert lake.frame("x", "BTC/USDT", NOW).sources["trades"] == "cache, inline"
    before = [digest(lake, at) for at in instants]
    batched = [frame.digest() for frame in lake.frames("x", "BTC/USDT", instants)]
    assert batched == before
    commit(lake, raw(300, 600), 600)
    assert [digest(lake, at) for at in instants] == before
    lake.streams.forget(TRADES)
    assert [digest(lake, at) for at in instants] == before
    assert lake.frame("x", "BTC/USDT", NOW).sources["trades"] == "inline"


def test_a_row_that_comes_out_of_order_is_there(lake):
    commit(lake, raw(0, 500), 499)
    receive(lake, TRADES, [*raw(400, 500), *raw(500, 600)[::-1]])
    late = (START + 450 * SECOND + 1, NOW - SECOND, "late", 7.0, 1.0, "sell")
    receive(lake, TRADES, [late])
    before = digest(lake, NOW)
    assert "late" in lake.frame("x", "BTC/USDT", NOW).trades["id"].to_list()
    commit(lake, [*raw(500, 600), late], 600)
    lake.streams.forget(TRADES)
    assert digest(lake, NOW) == before


def test_a_dataset_that_has_only_live_rows(lake):
    receive(lake, TRADES, raw(550, 600))
    frame = lake.frame("x", "BTC/USDT")
    assert (frame.trades.height, frame.latest_price()) == (50, 599.0)
    assert [(part.reason, part.end) for part in frame.missing if part.part == "trades"] == [
        ("not_fetched", START + 550 * SECOND + 1)
    ]


def test_a_bar_that_was_just_received_is_there_and_a_correction_in_the_lake_holds(lake):
    lake.save(BARS, bars(0, 8))
    rows = [(row[0], *row[1:], None, None) for row in bars(7, 10).with_columns(pl.col("ts").to_physical()).iter_rows()]
    receive(lake, BARS, rows)
    frame = lake.frame("x", "BTC/USDT", NOW, window="10m", indicators="sma_5")
    assert frame.bars["1m"].height == 10
    assert frame.complete
    lake.save(BARS, bars(8, 9, bump=1.0))
    corrected = lake.frame("x", "BTC/USDT", NOW, window="10m", indicators="sma_5")
    assert corrected.bars["1m"]["close"][8] == bars(8, 9, bump=1.0)["close"].item()
    assert corrected.bars["1m"]["close"][9] == bars(9, 10)["close"].item()


def test_a_hole_in_the_stream_ends_what_is_known_without_one(lake):
    commit(lake, raw(0, 500), 499)
    receive(lake, TRADES, raw(450, 520))
    lake.streams.forget(TRADES)
    receive(lake, TRADES, raw(560, 600))
    frame = lake.frame("x", "BTC/USDT", NOW, window="5m", timeframes=())
    (hole,) = frame.missing
    assert (hole.reason, hole.start, hole.end) == (
        "not_fetched",
        START + 499 * SECOND + 1,
        START + 560 * SECOND + 1,
    )


def test_a_version_of_the_lake_has_no_live_rows(lake):
    commit(lake, raw(0, 300), 299)
    receive(lake, TRADES, raw(300, 600))
    version = lake.engine.catalog.version()
    assert lake.at(version).frame("x", "BTC/USDT", START + 300 * SECOND).trades.height == 299


def levels(first: int, last: int) -> list[tuple[object, ...]]:
    """A change of the best bid every second, and a snapshot of both sides at the begin."""
    rows: list[tuple[object, ...]] = []
    for second in range(first, last):
        ts = START + second * SECOND
        rows.append((ts, ts, second, "bid", 99.0, 1.0 + second % 7, None, second == 0))
        if second == 0:
            rows.append((ts, ts, second, "ask", 101.0, 2.0, None, True))
    return rows


def test_the_book_has_changes_that_are_not_committed_yet(lake):
    book = Dataset.parse("x:book:BTC/USDT")

    def committed_levels(first: int, last: int) -> pl.DataFrame:
        return pl.DataFrame(levels(first, last), schema=dict(book.spec.schema), orient="row")

    lake.save(book, committed_levels(0, 500))
    receive(lake, book, levels(450, 600))
    instants = [NOW, NOW - 50 * SECOND, NOW - 120 * SECOND]
    live = lake.frame("x", "BTC/USDT", NOW, kinds="book", timeframes=())
    assert live.book["seq"].max() == 599
    frames = [lake.frame("x", "BTC/USDT", at, kinds="book") for at in instants]
    before = [(frame.digest(), frame.imbalances) for frame in frames]
    lake.save(book, committed_levels(500, 600))
    lake.streams.forget(book)
    after = [lake.frame("x", "BTC/USDT", at, kinds="book") for at in instants]
    assert [(frame.digest(), frame.imbalances) for frame in after] == before
    # What was caught with a frame stays, whatever was committed since.
    assert live.book["seq"].max() == 599


def test_a_live_row_at_the_time_of_a_stored_one_is_there(lake):
    commit(lake, raw(0, 500), 499)
    (ts, received, _, *values) = raw(499, 500)[0]
    other = (ts, received, "other", *values)
    receive(lake, TRADES, [other])
    before = digest(lake, NOW)
    assert lake.frame("x", "BTC/USDT", NOW).trades["id"][-2:].to_list() == ["499", "other"]
    commit(lake, [other], 600)
    assert digest(lake, NOW) == before
    lake.streams.forget(TRADES)
    assert digest(lake, NOW) == before
