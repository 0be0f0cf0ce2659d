"""Columns of times: every way of writing them is the same instant, to the nanosecond."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.time import DAY, HOUR, SECOND, decimal_to_ns, parse_time
from ticklake.errors import InvalidData, InvalidTime
from ticklake.files.times import UNITS, TimeWords, has_zone, is_counted, read_durations, read_times, unit_of

NOW = parse_time("2026-01-01")
AT = parse_time("2024-01-31T13:05:09")


def read(*values, dtype=None, **words) -> list[int | None]:
    return read_times(pl.Series("t", values, dtype=dtype), TimeWords(**words), NOW).to_physical().to_list()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2024-01-31T13:05:09Z", {}),
        ("2024-01-31 13:05:09+00:00", {}),
        ("2024-01-31T16:05:09+0300", {}),
        ("2024-01-31 13:05:09", {"zone": "UTC"}),
        ("2024-01-31 16:05:09", {"zone": "Europe/Moscow"}),
        ("2024-01-31 08:05:09", {"zone": "UTC-05"}),
        ("2024-01-31 08:05:09", {"zone": "America/New_York"}),
        ("2024.01.31 13:05:09", {"zone": "UTC"}),
        ("2024/01/31 13:05:09", {"zone": "UTC"}),
        ("20240131 13:05:09", {"zone": "UTC"}),
        ("20240131 130509", {"zone": "UTC"}),
        ("31.01.2024 13:05:09", {"zone": "UTC"}),
        ("31.01.2024 14:05:09.000 GMT+0100", {}),
        ("01/31/2024 13:05:09", {"zone": "UTC"}),
        ("31/01/2024 13:05:09", {"zone": "UTC"}),
        ("Jan 31 2024 13:05:09", {"zone": "UTC", "form": "%b %d %Y %H:%M:%S"}),
        ("1706706309", {}),
        ("1706706309.000", {}),
        ("1706706309000", {}),
        ("1706706309000000", {}),
        ("1706706309000000000", {}),
        ("47109000", {"since": parse_time("2024-01-31"), "zone": "UTC"}),
        ("47109", {"since": parse_time("2024-01-31"), "zone": "UTC", "unit": "s"}),
    ],
)
def test_every_way_of_writing_is_the_same_instant(text, words):
    assert read(text, **words) == [AT]


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2019-10-17 09-AM", 9), ("2019-10-17 12-AM", 0), ("2019-10-17 12-PM", 12), ("2019-10-17 01-PM", 13)],
)
def test_halves_of_days(text, hour):
    assert read(text, zone="UTC") == [parse_time("2019-10-17") + hour * HOUR]


@given(ns=st.integers(parse_time("1990-01-01"), NOW))
def test_decimal_seconds_lose_no_nanosecond(ns):
    """Field note: ``float * 1e9`` is off by up to 100 ns."""
    seconds, rest = divmod(ns, SECOND)
    assert read(f"{seconds}.{rest:09d}") == [ns]


@given(seconds=st.floats(1e9, 1.7e9))
def test_floats_are_read_by_their_shortest_text(seconds):
    assert read(seconds, dtype=pl.Float64) == [decimal_to_ns(repr(seconds))]


@given(ns=st.integers(parse_time("1990-01-01"), NOW), unit=st.sampled_from(list(UNITS)))
def test_the_unit_is_told_by_size(ns, unit):
    count = ns // UNITS[unit]
    assert unit_of(count) == unit
    assert read(count) == [count * UNITS[unit]]


def test_frames_times_keep_their_instant():
    aware = dt.datetime(2024, 1, 31, 14, 5, 9, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert read(aware) == [AT]
    assert read(dt.datetime(2024, 1, 31, 13, 5, 9), zone="UTC") == [AT]
    assert read(dt.date(2024, 1, 31), zone="UTC") == [AT // DAY * DAY]


def test_nulls_and_empty_texts_stay_null():
    assert read("2024-01-31T13:05:09Z", "", None) == [AT, None, None]
    assert read(None, dtype=pl.Null) == [None]


def test_shift_comes_last():
    assert read("2024-01-31T13:05:09Z", shift=-HOUR) == [AT - HOUR]


@pytest.mark.parametrize(
    ("values", "words", "reason"),
    [
        (["2024-01-31 13:05"], {}, "do not say their zone"),
        (["2024-01-31", "x"], {"zone": "UTC"}, "'x' is not a time"),
        (["2024-02-30"], {"zone": "UTC"}, "'2024-02-30' is not a time"),
        (["1706706309", "soon"], {"zone": "UTC"}, "'soon' is not a time"),
        (["01/02/2024"], {"zone": "UTC"}, "may begin with the day or the month"),
        (["1706706309"], {"unit": "ms"}, "by its size it counts s"),
        (["1706706309000"], {"unit": "s"}, "by its size it counts ms"),
        (["2024-01-31 13:05"], {"zone": "Mars/Phobos"}, "Mars/Phobos"),
        (["2024-01-31"], {"zone": "UTC", "form": "%d.%m.%Y"}, "is not written like"),
        (["2024-01-31T00:00:00Z", "2024-01-31T00:00:00"], {"zone": "UTC"}, "some times say their zone"),
        (["2024-10-27 02:30:00"], {"zone": "Europe/Berlin"}, "ambiguous"),
        (["2024-03-31 02:30:00"], {"zone": "Europe/Berlin"}, "non-existent"),
        (["4102444800"], {}, "gives 2100-01-01"),
    ],
)
def test_what_is_no_instant_is_refused_by_name(values, words, reason):
    with pytest.raises((InvalidData, InvalidTime), match=reason):
        read(*values, **words)


def test_what_tells_its_zone():
    assert has_zone(pl.Series(["2024-01-31T00:00:00Z"]))
    assert has_zone(pl.Series([1706706309]))
    assert not has_zone(pl.Series(["2024-01-31 00:00:00"]))
    assert not has_zone(pl.Series([dt.datetime(2024, 1, 31)]))


def test_eight_digits_are_a_date_and_no_count():
    assert not is_counted(pl.Series(["20240131"]))
    assert read("20240131", zone="UTC") == [parse_time("2024-01-31")]


def test_durations_are_read_as_they_are_written():
    lengths = [8 * HOUR, DAY + 90 * SECOND, 1, 1_500_000_000]
    durations = pl.Series("interval", lengths, dtype=pl.Int64).cast(pl.Duration("ns"))
    texts = durations.dt.to_string("iso")
    assert read_durations(texts).to_physical().to_list() == lengths
    assert read_durations(durations).equals(durations)
    assert read_durations(pl.Series(["PT8H", "", None])).to_physical().to_list() == [8 * HOUR, None, None]


@pytest.mark.parametrize("wrong", [["8h"], [8], ["PT8H", "x"]])
def test_a_number_of_something_is_no_duration(wrong):
    with pytest.raises(InvalidData, match="is not a duration like PT8H"):
        read_durations(pl.Series("interval", wrong))
