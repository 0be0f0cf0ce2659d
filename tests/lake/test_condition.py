"""The condition of days in a word."""

from __future__ import annotations

import pytest

from ticklake.app import memory_lake
from ticklake.audit.condition import condition_at_once
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY, HOUR, parse_time

BARS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")
START = parse_time("2024-01-01")
NOW = parse_time("2024-01-06T06:00:00Z")


def bar(ts):
    return {"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}


def bars(start, end):
    return [bar(ts) for ts in range(start, end, HOUR)]


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: NOW) as lake:
        yield lake


def fill(lake):
    """The first day is whole, the second has a hole that was lost, of the third nothing was asked, the fifth goes on until noon."""
    day = [START + number * DAY for number in range(7)]
    rows = [*bars(day[0], day[1] + 6 * HOUR), *bars(day[1] + 8 * HOUR, day[2]), *bars(day[3], NOW)]
    looks = [
        Covered(Span(day[0], day[1] + 6 * HOUR)),
        Covered(Span(day[1] + 6 * HOUR, day[1] + 8 * HOUR), Found.LOST, "too many"),
        Covered(Span(day[1] + 8 * HOUR, day[2])),
        Covered(Span(day[3], NOW)),
    ]
    lake.engine.append(BARS, rows, Provenance("binance"), looks)


def words(frame):
    return dict(zip(frame["day"].dt.strftime("%d"), frame["condition"], strict=True))


def test_each_day_has_its_word(lake):
    fill(lake)
    days = lake.condition(BARS, START, START + 7 * DAY)
    assert words(days) == {
        "01": "complete",
        "02": "gaps",
        "03": "missing",
        "04": "complete",
        "05": "complete",
        "06": "pending",
        "07": "pending",
    }
    lost = days.row(1, named=True)
    assert (lost["missing"], lost["reasons"]) == (2, "lost")


def test_a_day_says_when_it_changed_last(lake):
    versions = [lake.save(BARS, bars(START + day * DAY, START + (day + 1) * DAY)).version for day in (0, 1, 3)]
    lake.delete(BARS, START + DAY, START + 2 * DAY)
    days = lake.condition(BARS)
    assert days["changed_in"].to_list() == [versions[0], versions[-1] + 1, None, versions[2]]
    assert set(days["changed_at"].drop_nulls().to_physical()) == {NOW}
    # A version of the lake has nothing of later ones.
    assert lake.at(versions[-1]).condition(BARS)["changed_in"].to_list() == [
        versions[0],
        versions[1],
        None,
        versions[2],
    ]


def test_of_saved_trades_nobody_knows_whether_there_are_others(lake):
    lake.save(TRADES, [{"ts": START + 1, "price": 1.0, "amount": 1.0, "side": "buy", "id": "1"}])
    assert lake.condition(TRADES)["condition"].to_list() == ["unknown"]


def test_a_dataset_that_was_asked_for_in_vain_so_far_is_pending(lake):
    lake.engine.want(BARS, Span(START, START + DAY))
    assert words(lake.condition(BARS)) == {"01": "pending"}


@pytest.mark.parametrize(
    ("span", "word"),
    [
        (Span(START, START + DAY), "complete"),
        (Span(START, START + 2 * DAY), "gaps"),
        (Span(START + 2 * DAY, START + 3 * DAY), "missing"),
        (Span(NOW - HOUR, NOW + HOUR), "pending"),
        (Span(START + 3 * DAY, ALL_TIME.end), "complete"),
        (ALL_TIME, "gaps"),
    ],
)
def test_a_span_has_a_word_at_once(lake, span, word):
    fill(lake)
    row = lake.engine.catalog.dataset(BARS)
    assert condition_at_once(lake.engine, BARS, row, span) == word


def test_a_hole_before_rows_of_today_is_no_longer_to_come(lake):
    today = NOW - 6 * HOUR
    lake.save(BARS, [*bars(today, today + 2 * HOUR), *bars(today + 4 * HOUR, today + 6 * HOUR)])
    assert words(lake.condition(BARS)) == {"06": "gaps"}
