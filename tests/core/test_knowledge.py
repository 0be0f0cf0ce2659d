"""From when on a row is known."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.knowledge import Lags, known_at, parse_knowledge
from ticklake.core.time import DAY, HOUR, SECOND, parse_time
from ticklake.errors import BadInput

BARS = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
MONTHS = Dataset.parse("binance:ohlcv:1M:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")
FUNDING = Dataset.parse("binance:funding:BTC/USDT:USDT")
T = parse_time("2024-01-31T12:00:00Z")


def rows(**columns: int | None) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series([value], dtype=pl.Int64).cast(TIME) for name, value in columns.items()})


def known(frame: pl.DataFrame, dataset: Dataset, *rest: object) -> int | None:
    return known_at(frame, dataset, *rest).item()


def test_a_bar_is_known_when_it_closes():
    assert known(rows(ts=T), BARS) == T + HOUR


def test_a_bar_of_a_month_is_known_when_the_month_is_over():
    assert known(rows(ts=parse_time("2024-02-01")), MONTHS) == parse_time("2024-03-01")


def test_the_lag_of_its_kind_is_added_to_a_row_that_was_not_received_live():
    lags = Lags.parse({"ohlcv": "2s", "trades": "1s"})
    assert known(rows(ts=T), BARS, "default", lags) == T + HOUR + 2 * SECOND
    assert known(rows(ts=T, received_at=None), TRADES, "default", lags) == T + SECOND
    assert known(rows(ts=T, received_at=T + 5), TRADES, "default", lags) == T + 5
    assert known(rows(ts=T), FUNDING, "default", lags) == T


def test_a_live_row_is_known_when_it_was_received():
    assert known(rows(ts=T, received_at=T + 7 * SECOND), TRADES) == T + 7 * SECOND


def test_a_live_row_is_not_known_before_it_happened():
    assert known(rows(ts=T, received_at=T - 5), TRADES) == T


def test_a_row_that_was_received_years_later_was_not_received_live():
    assert known(rows(ts=T, received_at=T + 700 * DAY), TRADES) == T
    assert known(rows(ts=T, received_at=T + DAY), TRADES) == T + DAY


def test_received_is_strict():
    assert known(rows(ts=T, received_at=T + 700 * DAY), TRADES, "received") == T + 700 * DAY
    assert known(rows(ts=T, received_at=T - 5), TRADES, "received") == T - 5
    assert known(rows(ts=T, received_at=None), TRADES, "received") is None
    assert known(rows(ts=T), BARS, "received") is None


def test_event_is_the_time_of_the_event_alone():
    lags = Lags.parse({"ohlcv": "2s"})
    assert known(rows(ts=T, received_at=T + 5), TRADES, "event", lags) == T
    assert known(rows(ts=T), BARS, "event", lags) == T + HOUR


def test_a_row_that_says_when_it_was_known_is_believed():
    said = rows(ts=T, known_at=T + 9)
    assert known(said, FUNDING) == T + 9
    assert known(said, FUNDING, "received") == T + 9
    assert known(said, FUNDING, "event") == T


def test_a_row_with_a_close_time_happened_then():
    assert known(rows(ts=T, close_time=T + 3), FUNDING) == T + 3


def test_no_rows_have_no_times():
    assert known_at(rows(ts=T).clear(), BARS).to_list() == []


def test_a_word_that_is_none_is_refused():
    assert parse_knowledge("event") == "event"
    with pytest.raises(BadInput, match="use one of default, received, event"):
        parse_knowledge("recieved")


def test_a_lag_of_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match=r"'ohlvc' is not a kind .did you mean 'ohlcv'"):
        Lags.parse({"ohlvc": "2s"})
