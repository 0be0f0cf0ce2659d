"""Sessions: nights and weekends are not gaps."""

import polars as pl
import pytest

from ticklake.core.coverage import Coverage, Covered
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason, bar_holes, gaps_of
from ticklake.core.sessions import Sessions, between, forex_closed, keeps_days
from ticklake.core.span import Span
from ticklake.core.time import HOUR

NOTHING = pl.Series("ts", [], dtype=pl.Int64)


def span(start, end):
    return Span.parse(start, end)


@pytest.mark.parametrize(
    ("asked", "weekend"),
    [
        (("2024-01-05", "2024-01-08"), ("2024-01-05T22:00", "2024-01-07T22:00")),
        (("2024-07-05", "2024-07-08"), ("2024-07-05T21:00", "2024-07-07T21:00")),
        (("2024-03-08", "2024-03-11"), ("2024-03-08T22:00", "2024-03-10T21:00")),
        (("2024-11-01", "2024-11-04"), ("2024-11-01T21:00", "2024-11-03T22:00")),
    ],
    ids=["winter", "summer", "into summer time", "out of summer time"],
)
def test_forex_rests_from_friday_to_sunday_at_five_in_new_york(asked, weekend):
    assert forex_closed(span(*asked)) == [span(*weekend)]


def test_a_week_from_monday_to_friday_noon_has_no_weekend_in_it():
    assert forex_closed(span("2024-01-08", "2024-01-12T12:00")) == []


def test_a_span_inside_a_weekend_meets_it():
    assert forex_closed(span("2024-01-06T10:00", "2024-01-06T11:00")) == [span("2024-01-05T22:00", "2024-01-07T22:00")]


def test_a_year_has_a_weekend_a_week():
    closed = forex_closed(span("2024-01-01", "2025-01-01"))
    assert len(closed) == 52
    assert closed == sorted(closed)


def test_between_the_sessions_it_is_closed():
    opens = [span("2024-01-02T14:30", "2024-01-02T21:00"), span("2024-01-03T14:30", "2024-01-03T21:00")]
    assert between(opens, span("2024-01-02T14:30", "2024-01-03T15:00")) == [
        span("2024-01-02T21:00", "2024-01-03T14:30")
    ]


def test_only_bars_of_a_day_or_longer_are_named_by_their_date():
    names = {
        "nyse:ohlcv:1h:A/USD": False,
        "nyse:ohlcv:1d:A/USD": True,
        "nyse:ohlcv:1M:A/USD": True,
        "nyse:trades:A/USD": False,
    }
    assert {name: keeps_days(Dataset.parse(name)) for name in names} == names


def test_by_default_nothing_ever_closes():
    assert Sessions().closed(Dataset.parse("binance:trades:BTC/USDT"), span("2024", "2025")) == []


HOURLY = Dataset.parse("dukascopy:ohlcv:1h:EUR/USD")
FRIDAY_TO_MONDAY = span("2024-01-05T20:00", "2024-01-08T01:00")


def test_bars_wholly_inside_a_closed_stretch_are_not_expected():
    holes = bar_holes(HOURLY, FRIDAY_TO_MONDAY, [NOTHING], Coverage(), forex_closed(FRIDAY_TO_MONDAY))
    assert holes == [span("2024-01-05T20:00", "2024-01-05T22:00"), span("2024-01-07T22:00", "2024-01-08T01:00")]


def test_a_bar_that_is_partly_open_is_expected_whole():
    closed = [Span(FRIDAY_TO_MONDAY.start + HOUR // 2, FRIDAY_TO_MONDAY.end)]
    assert bar_holes(HOURLY, FRIDAY_TO_MONDAY, [NOTHING], Coverage(), closed) == [
        span("2024-01-05T20:00", "2024-01-05T21:00")
    ]


def test_months_are_measured_by_the_calendar():
    monthly = Dataset.parse("nyse:ohlcv:1M:A/USD")
    closed = [span("2024-02-01", "2024-03-01")]
    holes = bar_holes(monthly, span("2024-01-01", "2024-04-01"), [NOTHING], Coverage(), closed)
    assert holes == [span("2024-01-01", "2024-02-01"), span("2024-03-01", "2024-04-01")]


def test_ticks_never_asked_are_not_fetched_except_while_closed():
    ticks = Dataset.parse("dukascopy:quotes:EUR/USD")
    coverage = Coverage.of([Covered(span("2024-01-05T20:00", "2024-01-05T22:00"))])
    told = gaps_of(ticks, FRIDAY_TO_MONDAY, coverage, [], [], forex_closed(FRIDAY_TO_MONDAY))
    assert [(gap.span, gap.reason) for gap in told] == [
        (span("2024-01-07T22:00", "2024-01-08T01:00"), GapReason.NOT_FETCHED)
    ]
