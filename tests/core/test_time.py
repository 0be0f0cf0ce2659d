import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.time import DAY, HOUR, MINUTE, MS, SECOND, US, decimal_to_ns, format_time, parse_time
from ticklake.errors import BadInput, InvalidTime

NEW_YEAR = 1_704_067_200 * SECOND  # 2024-01-01T00:00:00Z, from `date -d 2024-01-01 +%s`
BOUND = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024", NEW_YEAR),
        ("2024-01", NEW_YEAR),
        ("2024-01-01", NEW_YEAR),
        ("2024-01-01T00", NEW_YEAR),
        ("2024-01-01 00:00", NEW_YEAR),
        ("  2024-01-01T00:00:00Z ", NEW_YEAR),
        ("2024-01-01T00:00:00z", NEW_YEAR),
        ("2024-01-01 00:00:00 UTC", NEW_YEAR),
        ("2024-01-01T02:00:00+02:00", NEW_YEAR),
        ("2024-01-01T02:00:00+0200", NEW_YEAR),
        ("2023-12-31T18:30:00-05:30", NEW_YEAR),
        ("2024-01-01T00:00:00.1", NEW_YEAR + 100 * MS),
        ("2024-01-01T00:00:00,123456789Z", NEW_YEAR + 123_456_789),
        ("2024-02-29", NEW_YEAR + 59 * DAY),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01", 0),
    ],
)
def test_text_is_read_as_nanoseconds_utc(text, ns):
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "24-01-01",
        "2024-1-1",
        "2024-13",
        "2023-02-29",
        "2024-01-01T24:00",
        "2024-01-01T00:60",
        "2024-01-01T00:00:00.1234567890",
        "2024-01-01T00:00:00+25:00",
        "2024-01-01T",
        "1704067200",
        "0000",
        "1600-01-01",
        "2263-01-01",
    ],
)
def test_text_that_is_no_time_is_refused_by_its_value(text):
    with pytest.raises(InvalidTime) as caught:
        parse_time(text)
    assert repr(text) in str(caught.value)


def test_an_offset_with_more_than_59_minutes_is_refused():
    with pytest.raises(InvalidTime):
        parse_time("2024-01-01T00:00:00+01:99")


def test_a_naive_datetime_means_utc():
    assert parse_time(dt.datetime(2024, 1, 1, 0, 0, 0, 5)) == NEW_YEAR + 5 * US


def test_an_aware_datetime_is_converted():
    zone = dt.timezone(dt.timedelta(hours=9))
    assert parse_time(dt.datetime(2024, 1, 1, 9, tzinfo=zone)) == NEW_YEAR


def test_a_date_means_its_midnight():
    assert parse_time(dt.date(2024, 1, 2)) == NEW_YEAR + DAY


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_a_pandas_timestamp_keeps_its_nanoseconds(zone):
    stamp = pd.Timestamp(NEW_YEAR + 123_456_789, tz="UTC").tz_convert(zone)
    assert parse_time(stamp) == NEW_YEAR + 123_456_789


def test_an_integer_is_taken_as_it_is():
    assert parse_time(NEW_YEAR + 1) == NEW_YEAR + 1
    assert parse_time(-DAY) == -DAY


@pytest.mark.parametrize("value", [0, 1_704_067_200, 1_704_067_200_000, 1_704_067_200_000_000])
def test_an_integer_in_another_unit_is_refused(value):
    with pytest.raises(InvalidTime, match=str(value)):
        parse_time(value)


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**30])
def test_an_integer_beyond_64_bits_is_refused(value):
    with pytest.raises(InvalidTime):
        parse_time(value)


@pytest.mark.parametrize("value", [True, None, 1.7e18, b"2024", [2024]])
def test_what_is_not_a_time_at_all_is_refused(value):
    with pytest.raises(InvalidTime):
        parse_time(value)


@pytest.mark.parametrize(
    "value", [dt.date(9999, 12, 31), dt.date(1, 1, 1), dt.datetime(9999, 1, 1), dt.datetime(1, 1, 1, tzinfo=dt.UTC)]
)
def test_a_date_or_datetime_beyond_64_bits_is_refused_like_its_text(value):
    with pytest.raises(InvalidTime):
        parse_time(value.isoformat())
    with pytest.raises(InvalidTime):
        parse_time(value)


def test_a_pandas_not_a_time_is_refused():
    with pytest.raises(InvalidTime):
        parse_time(pd.NaT)


def test_a_bad_time_is_bad_input_and_a_value_error():
    assert issubclass(InvalidTime, BadInput)
    assert issubclass(InvalidTime, ValueError)


@given(st.integers(-BOUND, BOUND))
def test_formatting_and_reading_are_inverse(ns):
    assert parse_time(format_time(ns)) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (NEW_YEAR, "2024-01-01T00:00:00Z"),
        (NEW_YEAR + 1, "2024-01-01T00:00:00.000000001Z"),
        (NEW_YEAR + 120 * MS, "2024-01-01T00:00:00.12Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_with_no_more_decimals_than_needed(ns, text):
    assert format_time(ns) == text


@given(
    st.datetimes(
        dt.datetime(1700, 1, 1),
        dt.datetime(2250, 1, 1),
        timezones=st.sampled_from([dt.UTC, dt.timezone(-5 * dt.timedelta(hours=1))]),
    )
)
def test_a_datetime_and_its_iso_text_are_the_same_time(moment):
    assert parse_time(moment) == parse_time(moment.isoformat())


def test_decimal_text_becomes_nanoseconds_exactly_where_floats_would_not():
    """Field note: float * 1e9 is off by up to 100 ns."""
    text = "1688669448.2439244"
    assert decimal_to_ns(text) == 1_688_669_448_243_924_400
    assert int(float(text) * 1e9) != decimal_to_ns(text)


@given(st.integers(10**9, 2 * 10**9), st.integers(0, 10**9 - 1))
def test_any_decimal_seconds_text_is_exact(seconds, nanoseconds):
    assert decimal_to_ns(f"{seconds}.{nanoseconds:09d}") == seconds * SECOND + nanoseconds


@pytest.mark.parametrize(
    ("value", "unit", "ns"),
    [
        (1_704_067_200_000, MS, NEW_YEAR),
        ("1704067200000000", US, NEW_YEAR),
        (1_704_067_200.5, SECOND, NEW_YEAR + 500 * MS),
        (1616663618.1234, SECOND, 1_616_663_618_123_400_000),
        ("1.5e9", SECOND, 15 * 10**17),
    ],
)
def test_a_decimal_count_of_any_unit_is_read(value, unit, ns):
    assert decimal_to_ns(value, unit) == ns


@pytest.mark.parametrize("value", ["", "abc", "nan", "inf", None, float("nan"), float("-inf")])
def test_a_decimal_that_is_no_number_is_refused(value):
    with pytest.raises(InvalidTime):
        decimal_to_ns(value)


def test_units_are_multiples_of_each_other():
    assert [DAY // HOUR, HOUR // MINUTE, MINUTE // SECOND, SECOND // MS, MS // US] == [24, 60, 60, 1000, 1000]
