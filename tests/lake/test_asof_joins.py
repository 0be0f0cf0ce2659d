"""Rows of datasets as they were known at the times of other rows."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, UnknownDataset
from ticklake.query.asof import load_known
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades

QUOTES = "x:quotes:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
HOURS = "x:ohlcv:1h:BTC/USDT"
MONTHS = "x:ohlcv:1M:BTC/USDT"
FUNDING = "x:funding:BTC/USDT:USDT"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


def quotes(*rows: tuple[int, int | None, float]) -> pl.DataFrame:
    """Return quotes of ``(ts, received_at, bid price)``, in nanoseconds after START."""
    return pl.DataFrame(
        {
            "ts": pl.Series([START + ts for ts, _, _ in rows], dtype=pl.Int64).cast(TIME),
            "received_at": pl.Series(
                [None if received is None else START + received for _, received, _ in rows], dtype=pl.Int64
            ).cast(TIME),
            "bid_price": [price for *_, price in rows],
        }
    )


def instants(*times: int, **columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"ts": pl.Series([START + ts for ts in times], dtype=pl.Int64).cast(TIME), **columns})


def bids(frame: pl.DataFrame) -> list[float | None]:
    return frame["bid_price"].to_list()


def test_a_quote_counts_from_when_it_was_received(lake):
    lake.save(QUOTES, quotes((10, 30, 1.0), (20, 25, 2.0), (40, None, 3.0)))
    assert bids(lake.asof(instants(20, 25, 30, 39, 40), QUOTES)) == [None, 2.0, 2.0, 2.0, 3.0]
    assert bids(lake.asof(instants(20, 25, 30, 40), QUOTES, knowledge="event")) == [2.0, 2.0, 2.0, 3.0]
    assert bids(lake.asof(instants(20, 25, 30, 40), QUOTES, knowledge="received")) == [None, 2.0, 2.0, 2.0]


def test_a_bar_counts_from_its_close(lake):
    lake.save(HOURS, bars(0, 3, interval=HOUR))
    joined = lake.asof(instants(HOUR - 1, HOUR, 2 * HOUR + 1), HOURS, columns=["ts"])
    assert (joined["ts_right"].to_physical() - START).to_list() == [None, 0, HOUR]
    assert lake.asof(instants(HOUR), HOURS, allow_exact=False)["close"].to_list() == [None]
    assert lake.asof(instants(HOUR, HOUR + SECOND), HOURS, lags={"ohlcv": "1s"})["close"].null_count() == 1


def test_the_bar_of_a_month_counts_from_the_end_of_that_month(lake):
    starts = [parse_time(f"2024-0{month}-01") for month in (1, 2, 3)]
    lake.save(MONTHS, bars(0, 3).with_columns(ts=pl.Series(starts, dtype=pl.Int64).cast(TIME)))
    at = [parse_time("2024-02-29T23:59:59.999999999"), parse_time("2024-03-01"), parse_time("2024-03-31")]
    left = pl.DataFrame({"ts": pl.Series(at, dtype=pl.Int64).cast(TIME)})
    joined = lake.asof(left, MONTHS, columns="ts")
    assert joined["ts_right"].to_physical().to_list() == [starts[0], starts[1], starts[1]]


def test_the_rows_of_a_dataset_of_bars_are_joined_as_of_their_close(lake):
    lake.save(HOURS, bars(0, 3, interval=HOUR))
    settled = [START - HOUR, START + HOUR, START + 2 * HOUR + 1]
    lake.save(FUNDING, pl.DataFrame({"ts": pl.Series(settled, dtype=pl.Int64).cast(TIME), "rate": [0.0, 0.1, 0.2]}))
    joined = lake.asof(HOURS, FUNDING)
    assert joined["rate"].to_list() == [0.1, 0.1, 0.2]
    assert joined["ts"].to_list() == lake.load(HOURS)["ts"].to_list()
    assert lake.asof(HOURS, FUNDING, at="ts")["rate"].to_list() == [0.0, 0.1, 0.1]
    assert lake.asof(HOURS, FUNDING, START + HOUR, START + 2 * HOUR)["rate"].to_list() == [0.1]


def test_rows_that_are_too_old_do_not_count(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    assert bids(lake.asof(instants(5 * SECOND, 5 * SECOND + 1), QUOTES, max_age="5s")) == [1.0, None]
    lake.save(HOURS, bars(0, 1, interval=HOUR))
    # The age of a bar counts from its close.
    assert lake.asof(instants(HOUR + 5, HOUR + 6), HOURS, max_age="5ns")["close"].null_count() == 1


def test_a_row_from_years_ago_is_found(lake):
    lake.save(QUOTES, quotes((-3000 * DAY, None, 1.0), (-2000 * DAY, None, 2.0), (-40 * DAY, None, 3.0)))
    times = (0, -40 * DAY - 1, -1999 * DAY, -2500 * DAY, -3001 * DAY)
    assert bids(lake.asof(instants(*times), QUOTES)) == [3.0, 2.0, 2.0, 1.0, None]


def test_what_lies_between_instants_is_not_read(lake, monkeypatch):
    monkeypatch.setattr("ticklake.query.asof._APART", 100)
    lake.save(TRADES, trades(0, 15_000))
    read: list[int] = []

    def counted(*arguments: Any, **named: Any) -> pl.DataFrame:
        rows = load_known(*arguments, **named)
        read.append(rows.height)
        return rows

    monkeypatch.setattr("ticklake.query.asof.load_known", counted)
    joined = lake.asof(instants(14_000 * SECOND, 100 * SECOND, 14_001 * SECOND), TRADES, columns="id")
    assert joined["id"].to_list() == [trades(number, number + 1)["id"][0] for number in (14_000, 100, 14_001)]
    assert sum(read) < 200


def test_each_row_gets_one_of_its_own_symbol(lake):
    lake.save("x:quotes:ETH/USDT", quotes((0, None, 10.0)))
    lake.save("x:quotes:NEW/USDT", quotes((5, None, 30.0)))
    lake.save(QUOTES, quotes((0, None, 1.0), (4, None, 2.0)))
    left = instants(9, 1, 5, 4, 9, symbol=["ETH/USDT", "BTC/USDT", "BTC/USDT", "NEW/USDT", "XRP/USDT"])
    assert bids(lake.asof(left, "x:quotes:*")) == [10.0, 1.0, 2.0, None, None]
    assert bids(lake.asof(left, [QUOTES, "x:quotes:NEW/USDT"])) == [None, 1.0, 2.0, None, None]


def test_the_same_symbol_of_two_exchanges_needs_the_exchange(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    lake.save("y:quotes:BTC/USDT", quotes((0, None, 2.0)))
    left = instants(1, 1, symbol=["BTC/USDT", "BTC/USDT"])
    with pytest.raises(BadInput, match="exchange"):
        lake.asof(left, "*:quotes:*")
    assert bids(lake.asof(left.with_columns(exchange=pl.Series(["y", "x"])), "*:quotes:*")) == [2.0, 1.0]


def test_an_empty_dataset_and_an_empty_frame_have_one_row_for_each_row(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    assert lake.asof(instants(), QUOTES).height == 0
    lake.delete(QUOTES)
    assert bids(lake.asof(instants(1, 2), QUOTES)) == [None, None]


def test_a_null_time_gets_nothing(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    left = pl.DataFrame({"ts": pl.Series([None, START + 1], dtype=pl.Int64).cast(TIME)})
    assert bids(lake.asof(left, QUOTES)) == [None, 1.0]


def test_times_in_1970_are_times_like_others(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    left = instants(-START + DAY).with_columns(price=1.0, side=pl.lit("buy"))
    assert bids(lake.asof(left, QUOTES)) == [None]
    assert lake.markout(left, QUOTES, offsets="0s", price="bid_price")["markout_0s"].to_list() == [None]


def test_what_cannot_be_joined_is_refused(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    lake.save(HOURS, bars(0, 3, interval=HOUR))
    lake.save("x:quotes:ETH/USDT", quotes((0, None, 1.0)))
    for wrong, word in [
        (lambda: lake.asof(instants(1), [QUOTES, HOURS]), "one kind"),
        (lambda: lake.asof(instants(1), "x:quotes:*"), "'symbol'"),
        (lambda: lake.asof(instants(1), QUOTES, at="time"), "'time'"),
        (lambda: lake.asof(instants(1), QUOTES, columns="bid"), "bid"),
        (lambda: lake.asof(instants(1), QUOTES, knowledge="now"), "knowledge"),
        (lambda: lake.asof(instants(1), QUOTES, max_age=5), "no unit"),
        (lambda: lake.asof([1], QUOTES), "list is no frame"),
        (lambda: lake.asof(instants(1).lazy(), QUOTES), "LazyFrame is no frame"),
        (lambda: lake.asof(instants(1), None), "right=None is no list"),
        (lambda: lake.asof(instants(1), QUOTES, suffix=None), "suffix"),
        (lambda: lake.asof(instants(1), []), "names no dataset"),
    ]:
        with pytest.raises(BadInput, match=word):
            wrong()
    with pytest.raises(UnknownDataset):
        lake.asof(instants(1), "x:quotes:XRP/USDT")


def test_frames_of_pandas_are_joined_too(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    assert bids(lake.asof(instants(-1, 1).to_pandas(), QUOTES)) == [None, 1.0]


def test_the_hour_that_daylight_saving_time_repeats(lake):
    # 02:30 in Berlin came twice: at 00:30 and at 01:30 UTC.
    night = [parse_time(f"2024-10-27T0{hour}:30:00Z") for hour in (0, 1)]
    rows = quotes((night[0] - START, None, 1.0), (night[1] - START, None, 2.0))
    lake.save(QUOTES, rows)
    local = rows.select(pl.col("ts").dt.convert_time_zone("Europe/Berlin").dt.cast_time_unit("ms"))
    assert bids(lake.asof(local, QUOTES)) == [1.0, 2.0]
    assert bids(lake.asof(local, QUOTES, allow_exact=False)) == [None, 1.0]


def test_a_value_that_was_changed_is_known_from_the_commit_that_changed_it():
    clock = ManualClock(START + 3 * HOUR)
    with memory_lake(clock=clock) as lake:
        lake.save(HOURS, bars(0, 3, interval=HOUR))
        clock.now = START + 5 * HOUR
        lake.save(HOURS, bars(1, 2, bump=10.0, interval=HOUR))
        old, new = (bars(1, 2, bump=bump, interval=HOUR)["close"][0] for bump in (0.0, 10.0))
        last = bars(2, 3, interval=HOUR)["close"][0]
        left = instants(2 * HOUR, 3 * HOUR - 1, 3 * HOUR, 6 * HOUR)
        assert lake.asof(left, HOURS)["close"].to_list() == [old, old, last, last]
        assert lake.asof(left, HOURS, knowledge="event")["close"].to_list() == [new, new, last, last]
        lake.delete(HOURS, START + 2 * HOUR)
        assert lake.asof(instants(5 * HOUR - 1, 5 * HOUR), HOURS)["close"].to_list() == [old, new]
        for at, close in [(5 * HOUR - 1, old), (5 * HOUR, new)]:
            panel = lake.panel("x", "BTC/USDT", "1h", known_at=START + at)
            assert panel["BTC/USDT"].to_list() == [bars(0, 1, interval=HOUR)["close"][0], close]
        assert lake.panel("x", "BTC/USDT", "1h")["BTC/USDT"].to_list()[1] == new


def test_a_snapshot_joins_the_rows_of_its_version(lake):
    lake.save(QUOTES, quotes((0, None, 1.0)))
    version = lake.engine.catalog.version()
    lake.save(QUOTES, quotes((5, None, 2.0)))
    assert bids(lake.at(version).asof(instants(9), QUOTES)) == [1.0]


def known_from(ts: int, received: int | None) -> int:
    """From when on a quote is known, said again in other words than the code's."""
    if received is None or received > ts + DAY:
        return ts
    return max(received, ts)


@pytest.mark.parametrize("apart", [1, 1 << 17])
def test_joins_equal_a_search_through_every_row(lake, monkeypatch, apart):
    monkeypatch.setattr("ticklake.query.asof._APART", apart)
    monkeypatch.setattr("ticklake.query.asof._MOST_ROWS", 10 * apart)
    monkeypatch.setattr("ticklake.query.asof._ROWS_EACH", 0)
    rng = random.Random(7)
    rows = []
    for number in range(3_000):
        ts = rng.randrange(2 * HOUR)
        delay = rng.choice([None, 0, 5, MINUTE, 3 * MINUTE, 2 * DAY, -SECOND])
        rows.append((ts, None if delay is None else ts + delay, float(number)))
    for part in range(0, len(rows), 500):
        lake.save(QUOTES, quotes(*rows[part : part + 500]))
    stored = lake.load(QUOTES).with_columns(pl.col("ts", "received_at").to_physical() - START)
    facts = [(known_from(ts, got), ts, bid) for ts, got, bid in stored.select("ts", "received_at", "bid_price").rows()]
    times = [rng.randrange(-MINUTE, 3 * HOUR) for _ in range(300)]
    expected = []
    for time in times:
        known = [(ts, place) for place, (known, ts, _) in enumerate(facts) if known <= time]
        expected.append(facts[max(known)[1]][2] if known else None)
    assert bids(lake.asof(instants(*times), QUOTES)) == expected


def test_trades_are_joined_with_the_trade_before_them(lake):
    lake.save(TRADES, trades(0, 20_000))
    joined = lake.asof(TRADES, TRADES, columns=["ts", "id"], allow_exact=False)
    assert joined["ts_right"].to_list() == [None, *joined["ts"].to_list()[:-1]]
