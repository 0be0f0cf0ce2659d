"""Equities through the real yfinance, from a fake Yahoo on loopback."""

from __future__ import annotations

import datetime as dt

import pytest
import yfinance
from fake_yahoo import FakeYahoo, Stock

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import BadInput, UnknownSymbol, UnknownTimeframe, Unsupported
from ticklake.sources.calendars import KnownSessions
from ticklake.sources.yahoo.venues import ticker_of

NOW = parse_time("2025-01-10")
AAPL = "nasdaq:ohlcv:1d:AAPL/USD"
SPLIT_DAY, EX_DAY = dt.date(2024, 8, 30), dt.date(2024, 8, 9)


def sessions(start, end):
    """The dates on which New York trades."""
    span = Span.parse(start, end)
    closed = KnownSessions().closed(Dataset.parse(AAPL), span)
    day = dt.date.fromisoformat(start)
    while day < dt.date.fromisoformat(end):
        if not any(parse_time(day) in rest for rest in closed):
            yield day
        day += dt.timedelta(days=1)


def price(day):
    """Raw cents that a walk gives, a quarter of it from the split on."""
    cents = 40_000 + 37 * (day - dt.date(2023, 12, 1)).days
    return round(cents / (400 if day >= SPLIT_DAY else 100), 2)


def stock(start="2023-12-01", end="2025-01-09"):
    days = list(sessions(start, end))
    bars = {day: (price(day), price(day) + 1, price(day) - 1, price(day), 1000.0) for day in days}
    return Stock(bars, {SPLIT_DAY: 4}, {EX_DAY: 0.82, dt.date(2024, 11, 8): 0.25})


@pytest.fixture
def yahoo(tmp_path_factory):
    # The first test of the process decides where it stays, so it must outlive that test.
    yfinance.set_tz_cache_location(str(tmp_path_factory.getbasetemp() / "yfinance"))
    fake = FakeYahoo(NOW // 10**9)
    fake.stocks["AAPL"] = stock()
    yield fake
    fake.close()


@pytest.fixture
def lake(yahoo):
    quick = {"attempts": 3, "first_wait": 0, "longest_wait": 0}
    settings = Settings(exchanges={name: {"url": yahoo.url} for name in ("nasdaq", "nyse", "lse")}, retry=quick)
    with memory_lake(settings, lambda: NOW) as lake:
        yield lake


def bring(lake, kind=None, start="2024-01-01", end="2025-01-01"):
    return lake.backfill("nasdaq", "AAPL/USD", None if kind else "1d", kind=kind, start=start, end=end)


def test_a_year_of_days_with_its_holidays_has_no_gap(lake):
    run = bring(lake)
    assert run.state == "succeeded", run.outcome
    assert lake.load(AAPL).height == 252
    assert lake.gaps(AAPL, "2024-01-01", "2025-01-01") == []
    assert lake.missing_intervals(AAPL, "2024-01-01", "2025-01-01") == []


def test_a_missing_trading_day_is_a_gap(lake, yahoo):
    del yahoo.stocks["AAPL"].bars[dt.date(2024, 5, 28)]
    bring(lake)
    (gap,) = lake.gaps(AAPL, "2024-01-01", "2025-01-01")
    assert (gap.span, gap.missing, gap.reason) == (Span.parse("2024-05-28", "2024-05-29"), 1, GapReason.NO_TRADES)


def test_prices_and_volumes_are_what_was_traded_on_the_day(lake):
    """Yahoo sends prices adjusted for splits, as 32-bit floats: a later split must not change a row."""
    bring(lake)
    rows = lake.load(AAPL)
    assert dict(zip(rows["ts"].dt.date(), rows["close"], strict=True)) == {
        day: price(day) for day in sessions("2024-01-01", "2025-01-01")
    }
    assert rows["volume"].unique().to_list() == [1000.0]


def test_a_split_after_the_backfill_changes_no_row(lake, yahoo):
    bring(lake)
    yahoo.stocks["AAPL"].splits[dt.date(2025, 1, 7)] = 7
    lake.delete(AAPL, "2024-06-01", "2024-07-01")
    before = lake.load(AAPL)
    bring(lake)
    assert lake.revisions(AAPL) == []
    assert lake.load(AAPL).height == before.height + 19
    assert lake.load(AAPL, "2024-06-03", "2024-06-04")["close"].to_list() == [price(dt.date(2024, 6, 3))]


def test_splits_and_dividends_are_datasets_with_raw_values(lake):
    assert bring(lake, "splits").state == "succeeded"
    assert bring(lake, "dividends").state == "succeeded"
    splits, dividends = lake.load("nasdaq:splits:AAPL/USD"), lake.load("nasdaq:dividends:AAPL/USD")
    assert list(zip(splits["ts"].dt.date(), splits["ratio"], strict=True)) == [(SPLIT_DAY, 4.0)]
    assert list(zip(dividends["ts"].dt.date(), dividends["amount"], strict=True)) == [
        (EX_DAY, 0.82),
        (dt.date(2024, 11, 8), 0.25),
    ]
    assert lake.gaps("nasdaq:splits:AAPL/USD") == []


def test_the_adjusted_series_is_continuous_over_the_split(lake):
    bring(lake)
    bring(lake, "splits")
    raw = lake.ohlcv("nasdaq", "AAPL/USD", "1d")
    assert (raw["close"].pct_change().min() or 0) < -0.7
    smooth = lake.ohlcv("nasdaq", "AAPL/USD", "1d", adjust="splits")
    assert smooth["close"].pct_change().drop_nulls().abs().max() < 0.02
    first, last = smooth.row(0, named=True), smooth.row(-1, named=True)
    assert (first["close"], first["volume"]) == (pytest.approx(price(dt.date(2024, 1, 2)) / 4), 4000)
    assert (last["close"], last["volume"]) == (price(dt.date(2024, 12, 31)), 1000)


def test_dividends_are_taken_out_by_the_close_before(lake):
    for kind in (None, "splits", "dividends"):
        bring(lake, kind)
    rows = lake.ohlcv("nasdaq", "AAPL/USD", "1d", "2024-08-07", "2024-08-10", adjust="all")
    november = 1 - 0.25 / price(dt.date(2024, 11, 7))
    august = 1 - 0.82 / price(dt.date(2024, 8, 8))
    wanted = [price(dt.date(2024, 8, day)) / 4 * november * (august if day < 9 else 1) for day in (7, 8, 9)]
    assert rows["close"].to_list() == pytest.approx(wanted)


def test_bars_whose_splits_were_never_asked_for_are_not_adjusted_wrongly(lake):
    bring(lake)
    with pytest.raises(BadInput, match="ticklake backfill nasdaq AAPL/USD --kind splits"):
        lake.ohlcv("nasdaq", "AAPL/USD", "1d", adjust="splits")
    bring(lake, "splits", start="2024-03-01")
    with pytest.raises(BadInput, match="not known for"):
        lake.ohlcv("nasdaq", "AAPL/USD", "1d", adjust="splits")


def test_a_listing_is_found(lake):
    run = lake.backfill("nasdaq", "AAPL/USD", "1d", start="2023-06-01")
    assert run.state == "succeeded", run.outcome
    assert lake.load(AAPL)["ts"].dt.date()[0] == dt.date(2023, 12, 1)
    assert lake.gaps(AAPL, "2023-06-01", "2024-01-01") == []


def test_minutes_of_recent_days(lake, yahoo):
    one = yahoo.stocks["AAPL"]
    one.splits[dt.date(2025, 1, 8)] = 2
    for day in (dt.date(2025, 1, 7), dt.date(2025, 1, 8)):
        one.minutes |= {one.stamp(day) + 60 * n: (100.01, 101.0, 99.0, 100.01, 50.0) for n in range(390)}
    run = lake.backfill("nasdaq", "AAPL/USD", "1m", start="2025-01-07", end="2025-01-09")
    assert run.state == "succeeded", run.outcome
    rows = lake.load("nasdaq:ohlcv:1m:AAPL/USD")
    assert rows.height == 780
    assert rows["close"].unique().to_list() == [100.01], "raw on both sides of the split"
    assert rows["ts"].to_physical()[0] == parse_time("2025-01-07T14:30")
    assert lake.gaps("nasdaq:ohlcv:1m:AAPL/USD", "2025-01-07", "2025-01-09") == [], "the night is no gap"
    del one.minutes
    bring(lake, "splits", start="2024-12-01", end="2025-01-10")
    adjusted = lake.ohlcv("nasdaq", "AAPL/USD", "1m", adjust="splits")
    assert sorted(adjusted["close"].unique().to_list()) == [50.005, 100.01]


def test_older_minutes_are_unavailable_in_the_plan(lake):
    (plan,) = lake.plan("nasdaq", "AAPL/USD", "1m", start="2024-11-01", end="2025-01-09")
    assert plan.unavailable == Span.parse("2024-11-01", NOW - 29 * 1440 * MINUTE)


def test_hours_are_refused_with_what_is_possible(lake):
    with pytest.raises(UnknownTimeframe, match=r"lake\.resample"):
        lake.backfill("nasdaq", "AAPL/USD", "1h", start="2024-01-01")


def test_other_kinds_are_refused(lake):
    with pytest.raises(Unsupported, match="ohlcv, splits, dividends"):
        lake.backfill("nasdaq", "AAPL/USD", kind="trades", start="2024-01-01")


def test_patterns_are_refused_because_yahoo_has_no_list(lake):
    with pytest.raises(Unsupported, match="name symbols, like AAPL/USD"):
        lake.backfill("nasdaq", "A*", "1d", start="2024-01-01")


def test_an_unknown_ticker_is_named(lake):
    with pytest.raises(UnknownSymbol, match="'NOPE'"):
        lake.backfill("nasdaq", "NOPE/USD", "1d", start="2024-01-01")


def test_a_symbol_in_another_money_is_refused(lake, yahoo):
    yahoo.stocks["VOD.L"] = Stock(
        {dt.date(2025, 1, 8): (70.0, 71.0, 69.0, 70.0, 10.0)}, currency="GBp", zone="Europe/London"
    )
    with pytest.raises(UnknownSymbol, match="write VOD/GBX"):
        lake.backfill("lse", "VOD/GBP", "1d", start="2025-01-01")
    assert lake.backfill("lse", "VOD/GBX", "1d", start="2025-01-08", end="2025-01-09").state == "succeeded"


@pytest.mark.parametrize(
    ("exchange", "symbol", "ticker"),
    [("nyse", "BRK.B/USD", "BRK-B"), ("lse", "VOD/GBX", "VOD.L"), ("hongkong", "0700/HKD", "0700.HK")],
)
def test_tickers(exchange, symbol, ticker):
    assert ticker_of(exchange, Symbol(symbol)) == ticker


@pytest.mark.parametrize("failure", [(502, "<html>bad gateway</html>"), (200, "{}"), (200, "Will be right back")])
def test_a_bad_answer_is_asked_again(lake, yahoo, failure):
    yahoo.failures = [failure] * 2
    run = bring(lake)
    assert run.state == "succeeded", run.outcome


def test_what_yahoo_serves_without_a_price_is_no_bar(lake, yahoo):
    yahoo.stocks["AAPL"].bars[dt.date(2024, 5, 28)] = (None,) * 5
    bring(lake)
    assert [gap.span for gap in lake.gaps(AAPL, "2024-01-01", "2025-01-01")] == [Span.parse("2024-05-28", "2024-05-29")]


def test_provenance_says_what_was_undone(lake):
    bring(lake)
    (origin,) = lake.provenance(AAPL, "2024-01-02")
    assert (origin.source, origin.note) == ("yahoo", "raw: Yahoo's adjustment for splits undone")
    assert origin.tool == f"yfinance {yfinance.__version__}"
