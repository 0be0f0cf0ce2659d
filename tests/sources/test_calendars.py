"""The sessions of securities exchanges, from the real package."""

import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import format_time
from ticklake.errors import BadInput, MissingExtra
from ticklake.sources.calendars import KnownSessions

SESSIONS = KnownSessions({"mine": "XLON", "wrong": "XXXX", "cfd": "forex"})
DAILY, MINUTES = Dataset.parse("nyse:ohlcv:1d:AAPL/USD"), Dataset.parse("nyse:ohlcv:1m:AAPL/USD")


def closed(dataset, start, end):
    return [tuple(map(format_time, (s.start, s.end))) for s in SESSIONS.closed(dataset, Span.parse(start, end))]


def test_days_without_a_session_are_closed_as_whole_days():
    """New Year's Day 2024 was a Monday, and 15 January Martin Luther King's."""
    assert closed(DAILY, "2023-12-29", "2024-01-02") == [("2023-12-30T00:00:00Z", "2024-01-02T00:00:00Z")]
    assert closed(DAILY, "2024-01-12", "2024-01-17") == [("2024-01-13T00:00:00Z", "2024-01-16T00:00:00Z")]


def test_nights_are_closed_for_minutes():
    assert closed(MINUTES, "2024-01-03", "2024-01-04") == [
        ("2024-01-03T00:00:00Z", "2024-01-03T14:30:00Z"),
        ("2024-01-03T21:00:00Z", "2024-01-04T00:00:00Z"),
    ]


def test_the_day_after_thanksgiving_ends_early():
    assert closed(MINUTES, "2023-11-24T17:00", "2023-11-24T22:00") == [("2023-11-24T18:00:00Z", "2023-11-24T22:00:00Z")]


def test_lunch_in_hong_kong_is_closed():
    minutes = Dataset.parse("hongkong:ohlcv:1m:700/HKD")
    assert closed(minutes, "2024-01-03T03:00", "2024-01-03T06:00") == [("2024-01-03T04:00:00Z", "2024-01-03T05:00:00Z")]


def test_a_session_that_begins_the_evening_before_in_utc_keeps_its_date():
    """Sydney opens on Monday at 23:00 UTC of Sunday: no daily bar is called Sunday."""
    daily = Dataset.parse("asx:ohlcv:1d:BHP/AUD")
    assert closed(daily, "2024-01-12", "2024-01-16") == [("2024-01-13T00:00:00Z", "2024-01-15T00:00:00Z")]


def test_crypto_never_closes():
    assert closed(Dataset.parse("binance:ohlcv:1d:BTC/USDT"), "2024", "2025") == []


def test_a_setting_names_the_calendar_of_another_exchange():
    assert closed(Dataset.parse("mine:ohlcv:1d:VOD/GBX"), "2023-12-25", "2023-12-28") == [
        ("2023-12-25T00:00:00Z", "2023-12-27T00:00:00Z")
    ]
    assert len(closed(Dataset.parse("cfd:trades:EUR/USD"), "2024-01-01", "2024-01-15")) == 2


def test_before_the_calendars_begin_every_time_counts_as_open():
    assert closed(DAILY, "1970-01-02", "1971") == []


def test_a_calendar_that_does_not_exist_is_named():
    with pytest.raises(BadInput, match="'XXXX' is no calendar"):
        SESSIONS.closed(Dataset.parse("wrong:trades:A/B"), Span.parse("2024", "2025"))


def test_without_the_package_the_cure_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ticklake\[equities\]'"):
        SESSIONS.closed(Dataset.parse("swiss:trades:NESN/CHF"), Span.parse("2001", "2002"))
