"""Requests: one value from what users write to what jobs keep."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.dataset import Dataset
from ticklake.core.requests import BackfillRequest, usual_kind
from ticklake.core.time import DAY, parse_time
from ticklake.errors import InvalidName, InvalidTime

MOMENTS = st.integers(1_000_000_000, 2_000_000_000).map(lambda seconds: seconds * 10**9)


@given(
    exchange=st.sampled_from(["binance", "kraken"]),
    symbols=st.lists(st.sampled_from(["BTC/USDT", "ETH/*", "BTCUSDT", "BTC/USDT:USDT"]), max_size=5),
    timeframe=st.sampled_from([None, "1m", "1h"]),
    start=st.none() | MOMENTS,
    length=st.none() | st.integers(1, 10**6).map(lambda seconds: seconds * 10**9),
    options=st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["ohlcv", "trades", "funding"]),
            "all_quote": st.just("USDT"),
            "retry": st.booleans(),
            "depth": st.integers(1, 100),
            "archives": st.booleans(),
            "last_days": st.integers(1, 365),
        },
    ),
)
def test_what_is_kept_as_json_is_the_same_request(exchange, symbols, timeframe, start, length, options):
    end = None if start is None or length is None else start + length
    request = BackfillRequest.of(exchange, symbols, timeframe, start=start, end=end, **options)
    assert BackfillRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


def test_only_what_is_not_usual_is_kept():
    request = BackfillRequest.of("Binance", "BTC/USDT", "1h", start="2024")
    kept = {"exchange": "binance", "symbols": ["BTC/USDT"], "timeframe": "1h", "start": "2024-01-01T00:00:00Z"}
    assert request.to_json() == kept


def test_one_symbol_is_one_dataset():
    assert BackfillRequest.of("binance", "BTC/USDT", "1h").dataset == Dataset.parse("binance:ohlcv:1h:BTC/USDT")
    assert BackfillRequest.of("binance", "BTC/USDT").dataset == Dataset.parse("binance:trades:BTC/USDT")


@pytest.mark.parametrize(
    "request_", [BackfillRequest.of("x", ["A/B", "C/D"]), BackfillRequest.of("x", "A/*"), BackfillRequest.of("x")]
)
def test_several_symbols_or_a_pattern_are_not_one_dataset(request_):
    assert request_.dataset is None


def test_bars_need_a_timeframe():
    with pytest.raises(InvalidName, match="mark_ohlcv needs a timeframe, like 1h"):
        _ = BackfillRequest.of("x", "A/B", kind="mark_ohlcv").dataset


def test_times_in_the_wrong_order_are_refused():
    with pytest.raises(InvalidTime):
        BackfillRequest.of("x", "A/B", start="2024-02-01", end="2024-01-01")


def test_the_last_days_bound_the_start():
    now = parse_time("2024-03-10T12:00")
    request = BackfillRequest.of("x", "A/B", start="2024-01-01", last_days=2)
    assert request.start_at(now) == parse_time("2024-03-08")
    assert BackfillRequest.of("x", "A/B", start="2024-03-09", last_days=2).start_at(now) == parse_time("2024-03-09")
    assert BackfillRequest.of("x", "A/B", last_days=2).start_at(now) == parse_time("2024-03-10") - 2 * DAY
    assert BackfillRequest.of("x", "A/B").start_at(now) is None


def test_the_subject_names_few_symbols():
    assert BackfillRequest.of("x", [f"A{n}/B" for n in range(5)], "1h").subject == "x 1h A0/B A1/B A2/B and 2 more"
    assert BackfillRequest.of("x", all_quote="USDT").subject == "x */USDT"


def test_bars_are_usual_where_there_is_a_timeframe():
    assert (usual_kind("1h"), usual_kind(None)) == ("ohlcv", "trades")
