"""Trade times keep every digit that the exchange sent; ccxt cuts them to milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from ticklake.core.time import MS
from ticklake.sources.ccxt.exact_time import event_time, exact_time

MILLISECOND = 1_700_000_000_123
EXACT = 1_700_000_000_123_456_000
RAW: list[tuple[dict[str, Any], int]] = [
    ({"id": "1", "create_time": "1700000000", "create_time_ms": "1700000000123.456000"}, EXACT),
    ({"time": 1700000000123456789, "sequence": "1700000000123999999"}, EXACT + 789),
    ({"t": "1700000000123", "tn": "1700000000123456789", "d": "1700000000123999999"}, EXACT + 789),
    ({"trade_time": "2023-11-14T22:13:20.123456789Z", "sequence_timestamp": "2023-11-14T22:13:20.1239Z"}, EXACT + 789),
    ({"time": "2023-11-14T22:13:20.123456Z", "trade_id": 7}, EXACT),
    ({"microtimestamp": "1700000000123456", "timestamp": "1700000000"}, EXACT),
    ({"timestamp": 1700000000.123456, "price": "1700000000.1239"}, EXACT),
    ({"T": 1700000000123, "p": "1"}, MILLISECOND * MS),
    ({"tradeId": "1700000000123456", "ts": "1700000000123"}, MILLISECOND * MS),
    ({}, MILLISECOND * MS),
]


@pytest.mark.parametrize(("info", "ns"), RAW)
def test_the_field_that_says_the_same_millisecond_and_more_is_the_time(info, ns):
    assert exact_time({"timestamp": MILLISECOND, "info": info}) == ns


def test_a_millisecond_that_a_float_of_ccxt_rounded_down_does_not_hide_the_digits():
    assert exact_time({"timestamp": MILLISECOND - 1, "info": {"time": "1700000000.1230004"}}) == MILLISECOND * MS + 400


def test_digits_are_read_as_decimals_never_as_floats():
    """Field note: float x 1e9 is off by up to 100 ns."""
    info = ["65000.1", "0.1", "1762820035.982277754", "b", "m", "", 9]

    assert exact_time({"timestamp": 1_762_820_035_982, "info": info}) == 1_762_820_035_982_277_754


@pytest.mark.parametrize("ms", [None, 10**17, float("nan")])
def test_a_time_that_64_bits_do_not_hold_is_none(ms):
    assert exact_time({"timestamp": ms, "info": {}}) is None


def test_a_time_that_ccxt_reads_in_the_wrong_unit_is_taken_from_the_row():
    row = {"timestamp": 1_700_000, "info": {"timestamp": "1700000000", "funding_rate": "0.0001"}}

    assert event_time(row) == 1_700_000_000_000 * MS
