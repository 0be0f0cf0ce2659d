"""What frames say that they lack, and that rows which came later do not change it."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades

BARS = "x:ohlcv:1m:BTC/USDT"
QUARTERS = "x:ohlcv:15m:BTC/USDT"
HOURS = "x:ohlcv:1h:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
FUNDING = "x:funding:BTC/USDT"
NOON = START + 12 * HOUR


@pytest.fixture
def lake():
    with memory_lake(clock=ManualClock(START + 400 * DAY)) as opened:
        yield opened


def of(lake, at, **options):
    return lake.frame("x", "BTC/USDT", at, **options)


def rates() -> pl.DataFrame:
    return pl.DataFrame({"ts": pl.Series([START], dtype=pl.Int64).cast(TIME), "rate": [0.1]})


def quotes(at: int) -> pl.DataFrame:
    times = pl.Series([at], dtype=pl.Int64).cast(TIME)
    return pl.DataFrame({"ts": times, "bid": [1.0], "bid_amount": [1.0], "ask": [2.0], "ask_amount": [1.0]})


def test_rows_between_windows_that_are_far_apart_are_read(lake):
    lake.save(BARS, bars(0, 300_000))
    lake.frames("x", "BTC/USDT", [START + 100 * MINUTE, START + 290_000 * MINUTE])
    frame = of(lake, START + 150_000 * MINUTE)
    assert frame.bars["1m"].height == 60
    assert frame.complete


def test_shorter_bars_that_came_later_do_not_change_of_what_bars_are_made(lake):
    lake.save(BARS, bars(0, 1440))
    before = of(lake, NOON, timeframes="1h", window="4h")
    lake.save(QUARTERS, bars(72, 77, interval=15 * MINUTE))
    after = of(lake, NOON, timeframes="1h", window="4h")
    assert after.bars["1h"].height == 4
    assert after.digest() == before.digest()
    assert after.sources == before.sources
    # Of many frames, those from before the first quarter are made of minutes, and the others of quarters.
    instants = [NOON, START + 19 * HOUR + 15 * MINUTE]
    frames = lake.frames("x", "BTC/USDT", instants, timeframes="1h", window="4h")
    assert [frame.sources["bars.1h"].rpartition(" ")[2] for frame in frames] == [BARS, QUARTERS]
    assert frames[0].digest() == before.digest()


@pytest.mark.parametrize(
    ("dataset", "rows"), [(HOURS, bars(24, 29, interval=HOUR)), (QUARTERS, bars(96, 101, interval=15 * MINUTE))]
)
def test_bars_that_came_later_do_not_change_why_there_are_none(lake, dataset, rows):
    lake.save(FUNDING, rates())
    before = of(lake, NOON, timeframes="1h")
    lake.save(dataset, rows)
    assert of(lake, NOON, timeframes="1h").digest() == before.digest()
    both = lake.frames("x", "BTC/USDT", [NOON, START + 27 * HOUR], timeframes="1h")
    assert both[0].digest() == before.digest()
    assert both[1].bars["1h"].height == 1


@pytest.mark.parametrize("kind", ["trades", "quotes", "book"])
def test_rows_that_came_later_do_not_change_why_a_part_that_was_asked_for_is_absent(lake, kind):
    lake.save(BARS, bars(0, 1440))
    before = of(lake, NOON, kinds=[kind])
    (part,) = before.missing
    assert (part.part, part.reason) == (kind, "absent")
    later = {"trades": trades(86_400, 86_500), "quotes": quotes(START + DAY), "book": levels(START + DAY)}
    lake.save(f"x:{kind}:BTC/USDT", later[kind])
    after = of(lake, NOON, kinds=[kind])
    assert after.missing == before.missing
    assert after.digest() == before.digest()


def levels(at: int) -> pl.DataFrame:
    times = pl.Series([at, at], dtype=pl.Int64).cast(TIME)
    sides = {"side": ["bid", "ask"], "price": [1.0, 2.0], "amount": [1.0, 1.0], "is_snapshot": [True, True]}
    return pl.DataFrame({"ts": times, "seq": [1, 1], **sides})


def test_indicators_of_bars_that_are_not_there_are_missing(lake):
    lake.save(FUNDING, rates())
    frame = of(lake, START + HOUR, kinds=(), indicators=["rsi_14"])
    assert frame.indicators == {"rsi_14": None}
    assert frame.to_dict()["indicators"] == {"rsi_14": None}
    assert {part.part for part in frame.missing} == {"bars.1m", "indicators"}
    lake.save(BARS, bars(1440, 1500))
    assert of(lake, START + HOUR, kinds=(), indicators=["rsi_14"]).digest() == frame.digest()


def test_an_indicator_without_a_value_is_missing(lake):
    lake.save(BARS, bars(0, 60))
    options = {"window": "5m", "indicators": ["sma_20", "sma_5"]}
    frame = of(lake, START + 10 * MINUTE, **options)
    (part,) = frame.missing
    assert (part.part, part.dataset, part.reason) == ("indicators", BARS, "absent")
    assert part.detail == "sma_20: it needs 20 bars and there are 10"
    assert not frame.complete
    instants = [START + 10 * MINUTE, START + 20 * MINUTE]
    many = lake.frames("x", "BTC/USDT", instants, **options)
    assert [one.complete for one in many] == [False, True]
    assert many[0].digest() == frame.digest()


@pytest.mark.parametrize(("timeframe", "window"), [("1m", "1m"), ("1h", "60m")])
def test_a_bar_from_before_the_window_is_none_of_it(lake, timeframe, window):
    length = {"1m": MINUTE, "1h": HOUR}[timeframe]
    lake.save(f"x:ohlcv:{timeframe}:BTC/USDT", bars(0, 60, interval=length))
    at = START + 120 * length
    options = {"timeframes": timeframe, "window": window}
    for frame in (of(lake, at, **options), lake.frames("x", "BTC/USDT", [at, at], **options)[1]):
        assert frame.bars[timeframe].height == 1
        (part,) = frame.missing
        assert (part.start, part.end, part.reason) == (at - length, at, "not_fetched")
        assert not frame.complete
    assert of(lake, START + 60 * length, **options).complete


@pytest.mark.parametrize("knowledge", ["default", "received"])
def test_trades_that_all_came_later_are_not_missing_before(lake, knowledge):
    lake.save(BARS, bars(0, 1440))
    options = {"window": "1m", "knowledge": knowledge, "timeframes": ()}
    before = of(lake, NOON, **options)
    assert "trades" not in {part.part for part in before.missing}
    rows = trades(6 * 3600, 6 * 3600 + 100).with_columns(received_at=pl.lit(NOON + 1, dtype=pl.Int64).cast(TIME))
    lake.save(TRADES, rows)
    assert of(lake, NOON, **options).digest() == before.digest()
    # Once it was known that there are trades, those of the window are missing.
    assert "trades" in {part.part for part in of(lake, NOON + 1, **options).missing}


def test_the_newest_made_bar_that_was_known_is_found_before_many_that_were_not(lake):
    late = pl.lit(NOON + 1, dtype=pl.Int64).cast(TIME)
    known = trades(5 * 60, 5 * 60 + 60).with_columns(received_at="ts")
    lake.save(TRADES, pl.concat([known, trades(6 * 60, 12 * 3600, interval=SECOND).with_columns(received_at=late)]))
    options = {"window": "1m", "knowledge": "received"}
    frame = of(lake, NOON, **options)
    assert ((frame.bars["1m"]["ts"].to_physical() - START) // MINUTE).to_list() == [5]
    both = lake.frames("x", "BTC/USDT", [START + 10 * MINUTE, NOON], **options)
    assert both[1].digest() == frame.digest()


def test_indicators_are_not_made_of_a_first_bar_that_is_cut(lake):
    lake.save(BARS, bars(4, 60))
    options = {"timeframes": "5m", "indicators": ["sma_3"]}
    instants = [START + 15 * MINUTE, START + 20 * MINUTE]
    for frames in ([of(lake, at, **options) for at in instants], lake.frames("x", "BTC/USDT", instants, **options)):
        assert [frame.bars["5m"].height for frame in frames] == [2, 3]
        assert frames[0].indicators == {"sma_3": None}
        assert frames[1].indicators["sma_3"] == pytest.approx(frames[1].bars["5m"]["close"].mean())


def test_what_was_looked_at_from_the_instant_on_says_nothing(lake):
    lake.save(BARS, bars(0, 1440))
    before = of(lake, NOON, kinds=["trades"])
    piece = Covered(Span(NOON, NOON + HOUR))
    lake.engine.append(Dataset.parse(TRADES), [], Provenance("test"), [piece])
    assert of(lake, NOON, kinds=["trades"]).digest() == before.digest()
    assert [part.reason for part in of(lake, NOON + 1, kinds=["trades"]).missing] == ["not_fetched"]
