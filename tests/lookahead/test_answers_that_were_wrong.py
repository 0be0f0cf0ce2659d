"""Answers that were wrong once: each stays right."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades

MINUTES = "x:ohlcv:1m:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
FUNDING = "x:funding:BTC/USDT"
YEAR_LATER = START + 365 * DAY


@pytest.fixture
def clock():
    return ManualClock(YEAR_LATER)


@pytest.fixture
def lake(clock):
    with memory_lake(clock=clock) as opened:
        yield opened


def frame(lake, at, **options):
    return lake.frame("x", "BTC/USDT", at, **options)


def test_a_frame_between_two_that_are_far_apart_has_its_rows(lake):
    lake.save(MINUTES, bars(0, 300_000))
    lake.frames("x", "BTC/USDT", [START + 100 * MINUTE, START + 290_000 * MINUTE])
    assert frame(lake, START + 150_000 * MINUTE).bars["1m"].height == 60


@pytest.mark.parametrize(
    ("later", "rows"),
    [
        ("x:ohlcv:1h:BTC/USDT", bars(30, 35, interval=HOUR)),
        ("x:ohlcv:15m:BTC/USDT", bars(120, 125, interval=15 * MINUTE)),
    ],
)
def test_bars_that_came_later_take_no_bars_from_earlier_frames(lake, later, rows):
    lake.save(MINUTES, bars(0, 24 * 60))
    at, options = START + 12 * HOUR, {"timeframes": ["1h"], "window": "4h"}
    before = frame(lake, at, **options).digest()
    lake.save(later, rows)
    assert frame(lake, at, **options).bars["1h"].height == 4
    assert frame(lake, at, **options).digest() == before


def test_indicators_without_bars_are_none(lake):
    lake.save(FUNDING, pl.DataFrame({"ts": [START], "rate": [0.1]}).with_columns(pl.col("ts").cast(TIME)))
    assert frame(lake, START + HOUR, indicators=["sma_2"]).indicators == {"sma_2": None}


def test_a_window_of_one_bar_that_is_not_there_is_incomplete(lake):
    lake.save(MINUTES, bars(0, 60))
    assert not frame(lake, START + 2 * HOUR, window="1m").complete


def test_a_frame_without_the_bars_of_its_indicators_is_incomplete(lake):
    lake.save(MINUTES, bars(0, 60))
    cold = frame(lake, START + 10 * MINUTE, window="5m", indicators=["sma_20"])
    assert cold.indicators == {"sma_20": None}
    assert not cold.complete


def test_indicators_of_made_bars_have_no_part_of_the_first_cut_bar(lake):
    lake.save(MINUTES, bars(4, 60))
    made = frame(lake, START + 15 * MINUTE, timeframes=["5m"], indicators=["sma_3"])
    assert made.bars["5m"].height == 2
    assert made.indicators == {"sma_3": None}


def test_a_kind_that_came_later_stays_absent_before(lake):
    lake.save(TRADES, trades(0, 60))
    at, options = START + 30 * SECOND, {"kinds": ["funding"], "timeframes": ()}
    before = frame(lake, at, **options).digest()
    lake.save(FUNDING, pl.DataFrame({"ts": [at + 1], "rate": [0.1]}).with_columns(pl.col("ts").cast(TIME)))
    assert frame(lake, at, **options).digest() == before


def test_bars_closed_on_the_right_are_as_many_as_those_on_the_left(lake):
    lake.save(TRADES, trades(1, 7000))
    left = lake.resample(TRADES, "1h")
    assert lake.resample(TRADES, "1h", closed="right")["ts"].to_list() == left["ts"].to_list()


def two_trades(first_amount: float) -> pl.DataFrame:
    at_once = {
        "ts": START + SECOND,
        "price": [1.0, 2.0],
        "amount": [first_amount, 1.0],
        "side": "buy",
        "id": ["1", "2"],
    }
    return pl.DataFrame(at_once).with_columns(pl.col("ts").cast(TIME))


def test_a_corrected_amount_changes_no_close(lake, clock):
    lake.save(TRADES, two_trades(1.0))
    before = frame(lake, START + MINUTE).digest()
    clock.now += DAY
    lake.save(TRADES, two_trades(1.5).head(1))
    assert lake.resample(TRADES, "1m")["close"].to_list() == [2.0]
    assert frame(lake, START + MINUTE).digest() == before


def test_a_feature_that_is_corrected_later_has_its_old_value_before(lake, clock):
    lake.save(MINUTES, bars(0, 10))
    lake.features.register("flow", "v1", {"value": "float64"})
    rows = pl.DataFrame({"ts": [START], "symbol": ["BTC/USDT"], "value": [1.0]}).with_columns(pl.col("ts").cast(TIME))
    lake.features.write("flow", "v1", rows, exchange="x")
    clock.now += DAY
    lake.features.write("flow", "v1", rows.with_columns(value=pl.lit(2.0)), exchange="x")
    at = START + MINUTE
    instants = pl.DataFrame({"ts": [at]}).with_columns(pl.col("ts").cast(TIME))
    assert lake.asof(instants, "x:flow@v1:BTC/USDT", columns=["value"])["value"].to_list() == [1.0]
    assert lake.features.join(instants, ["flow@v1"], symbol="BTC/USDT", exchange="x")["value"].to_list() == [1.0]
    assert frame(lake, at, features=["flow@v1:value"]).features["flow@v1:value"] == 1.0


def test_a_frame_whose_book_lacks_changes_is_incomplete(lake):
    book = Dataset.parse("x:book:BTC/USDT")
    snapshot = {"ts": START, "received_at": START, "seq": 0, "side": ["bid", "ask"], "price": [9.0, 10.0]}
    rows = pl.DataFrame({**snapshot, "amount": 1.0, "is_snapshot": True}).with_columns(
        pl.col("ts", "received_at").cast(TIME)
    )
    pieces = [Covered(Span(START, START + SECOND)), Covered(Span(START + SECOND, START + MINUTE), Found.LOST)]
    lake.engine.append(book, rows, Provenance("x"), pieces)
    broken = frame(lake, START + 2 * MINUTE, kinds=["book"], timeframes=())
    assert "gap" in broken.book.flags
    assert not broken.complete


def test_resampled_bars_have_no_known_at(lake):
    from ticklake.errors import InvalidData

    lake.save(TRADES, trades(0, 60))
    with pytest.raises(InvalidData, match="known_at"):
        lake.resample(TRADES, "1m", columns=["known_at"])


def test_a_live_trade_of_the_time_of_a_stored_one_is_in_the_frame(lake, clock):
    dataset = Dataset.parse(TRADES)
    clock.now = START + 10 * MINUTE
    ts = START + 500 * SECOND
    stored, live = ((ts, ts, name, 1.0, 1.0, "buy") for name in ("A", "B"))
    rows = pl.DataFrame([stored], schema=dict(dataset.spec.schema), orient="row")
    lake.engine.append(dataset, rows, Provenance("x"), [Covered(Span(START, ts + 1))])
    lake.streams._live.rows(dataset, [live], clock.now)
    assert frame(lake, clock.now, timeframes=()).trades["id"].to_list() == ["A", "B"]


def test_a_feature_without_a_value_yet_is_missing_whatever_comes_later(lake):
    lake.save(MINUTES, bars(0, 10))
    lake.features.register("late", "v1", {"value": "float64"})
    at, options = START + 5 * MINUTE, {"timeframes": (), "features": ["late@v1:value"]}
    before = frame(lake, at, **options)
    assert not before.complete
    rows = pl.DataFrame({"ts": [START + HOUR], "symbol": "BTC/USDT", "value": 1.0}).with_columns(
        pl.col("ts").cast(TIME)
    )
    digest = before.digest()
    lake.features.write("late", "v1", rows, exchange="x")
    assert not frame(lake, at, **options).complete
    assert frame(lake, at, **options).digest() == digest


def test_bars_of_a_frame_are_those_that_are_resampled(lake):
    for name in (5, 3, 9, 1):
        rows = {"ts": [START + SECOND], "price": [float(name)], "amount": [1.0], "side": ["buy"], "id": [str(name)]}
        lake.save(TRADES, pl.DataFrame(rows).with_columns(pl.col("ts").cast(TIME)))
    prices = ["open", "high", "low", "close"]
    made = frame(lake, START + MINUTE).bars["1m"].select(prices)
    assert made.equals(lake.resample(TRADES, "1m").select(prices))
