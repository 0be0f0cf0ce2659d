import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.core.timeframe import MONDAY, THURSDAY, Timeframe
from ticklake.errors import UnknownTimeframe

NAMES = ["1s", "1m", "3m", "5m", "1h", "4h", "12h", "1d", "3d", "1w", "2w", "1M", "3M", "5M"]
frames = st.sampled_from([Timeframe.parse(name) for name in NAMES])
anchors = st.sampled_from([None, MONDAY, THURSDAY, DAY])
times = st.integers(parse_time("1965-01-01"), parse_time("2060-01-01"))


def moment(ns):
    return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=ns // SECOND)


@pytest.mark.parametrize("name", NAMES)
def test_its_text_is_read_back(name):
    assert str(Timeframe.parse(name)) == name


@pytest.mark.parametrize("text", ["", "m", "0m", "01m", "1", "1D", "1H", "1y", "1 m", "-1m", "1m\n", "99999m", None, 5])
def test_what_is_no_timeframe_is_refused_by_its_value(text):
    with pytest.raises(UnknownTimeframe) as caught:
        Timeframe.parse(text)
    assert repr(text) in str(caught.value)


def test_a_timeframe_is_taken_as_it_is():
    frame = Timeframe(5, "m")
    assert Timeframe.parse(frame) is frame


@pytest.mark.parametrize(
    ("name", "length"), [("1s", SECOND), ("15m", 15 * MINUTE), ("4h", 4 * HOUR), ("1d", DAY), ("2w", 14 * DAY)]
)
def test_its_length_is_in_nanoseconds(name, length):
    assert Timeframe.parse(name).length == length


def test_a_month_is_as_long_as_the_longest():
    assert Timeframe.parse("1M").length == 31 * DAY
    assert Timeframe.parse("1M").is_month
    assert not Timeframe.parse("1m").is_month


@pytest.mark.parametrize(
    ("name", "ts", "floor", "next_open"),
    [
        ("5m", "2024-02-29T12:34:56", "2024-02-29T12:30", "2024-02-29T12:35"),
        ("4h", "2024-02-29T12:34:56", "2024-02-29T12:00", "2024-02-29T16:00"),
        ("1d", "2024-02-29T12:34:56", "2024-02-29", "2024-03-01"),
        ("1w", "2024-02-29T12:34:56", "2024-02-26", "2024-03-04"),
        ("1M", "2024-02-29T12:34:56", "2024-02-01", "2024-03-01"),
        ("1M", "2023-12-31T23:59:59.999999999", "2023-12-01", "2024-01-01"),
        ("3M", "2024-02-29", "2024-01-01", "2024-04-01"),
        ("12M", "2024-02-29", "2024-01-01", "2025-01-01"),
        ("1M", "1969-12-31T23:00", "1969-12-01", "1970-01-01"),
        ("1d", "1969-12-31T23:00", "1969-12-31", "1970-01-01"),
    ],
)
def test_bars_open_where_the_calendar_says(name, ts, floor, next_open):
    frame = Timeframe.parse(name)
    assert frame.floor(parse_time(ts)) == parse_time(floor)
    assert frame.next(parse_time(ts)) == parse_time(next_open)


@given(times, st.sampled_from([MONDAY, THURSDAY]))
def test_weeks_open_on_their_anchor_at_midnight(ts, anchor):
    open_time = Timeframe.parse("1w").floor(ts, anchor)
    assert moment(open_time).weekday() == (0 if anchor == MONDAY else 3)
    assert open_time % DAY == 0
    assert open_time <= ts < open_time + 7 * DAY


@given(times)
def test_weeks_open_on_monday_unless_told_otherwise(ts):
    assert Timeframe.parse("1w").floor(ts) == Timeframe.parse("1w").floor(ts, MONDAY)


@given(st.sampled_from(["1s", "5m", "4h", "1d", "1M"]).map(Timeframe.parse), times, anchors)
def test_only_weeks_and_bars_of_several_days_have_an_anchor(frame, ts, anchor):
    assert frame.floor(ts, anchor) == frame.floor(ts)


def test_bars_of_several_days_count_from_their_anchor():
    frame, ts = Timeframe.parse("3d"), 10 * DAY + HOUR
    assert [frame.floor(ts, anchor) // DAY for anchor in (None, DAY, 2 * DAY)] == [9, 10, 8]


@given(times)
def test_months_open_on_their_first_day(ts):
    open_time = Timeframe.parse("1M").floor(ts)
    assert moment(open_time) == moment(ts).replace(day=1, hour=0, minute=0, second=0)


@given(frames, times, anchors)
def test_floor_and_next_enclose_the_instant(frame, ts, anchor):
    assert frame.floor(ts, anchor) <= ts < frame.next(ts, anchor)


@given(frames, times, anchors)
def test_every_instant_of_a_bar_has_the_same_floor_and_next(frame, ts, anchor):
    first, after = frame.floor(ts, anchor), frame.next(ts, anchor)
    for inside in (first, after - 1):
        assert (frame.floor(inside, anchor), frame.next(inside, anchor)) == (first, after)
    assert frame.floor(after, anchor) == after


@given(frames, times, anchors)
def test_ceil_is_the_instant_itself_at_an_open_and_the_next_open_elsewhere(frame, ts, anchor):
    first, after = frame.floor(ts, anchor), frame.next(ts, anchor)
    assert frame.ceil(ts, anchor) == (ts if ts == first else after)
    assert frame.ceil(first, anchor) == first
    assert frame.ceil(first + 1, anchor) == after


@given(frames, times, st.integers(0, 40), st.integers(1, 10**18), anchors)
def test_opens_and_count_and_floor_agree(frame, start, bars, offset, anchor):
    span = Span(start, frame.advance(start, bars, anchor) + offset % frame.length + 1 + frame.length)
    expected, ts = [], frame.ceil(span.start, anchor)
    while ts < span.end:
        expected.append(ts)
        ts = frame.next(ts, anchor)
    opens = frame.opens(span, anchor)
    assert opens.to_list() == expected
    assert opens.name == "ts"
    assert str(opens.dtype) == "Int64"
    assert frame.count_in(span, anchor) == len(expected)


@given(frames, times, st.integers(1, 60), anchors)
def test_advance_is_next_many_times_and_back_again(frame, ts, bars, anchor):
    step = frame.floor(ts, anchor)
    for _ in range(bars):
        step = frame.next(step, anchor)
    assert frame.advance(ts, bars, anchor) == step
    assert frame.advance(step, -bars, anchor) == frame.floor(ts, anchor)
    assert frame.advance(ts, 0, anchor) == frame.floor(ts, anchor)


@given(frames, times, st.integers(1, 10**17), anchors)
def test_inner_is_the_bars_that_open_inside(frame, start, length, anchor):
    span = Span(start, start + length)
    inner, count = frame.inner(span, anchor), frame.count_in(span, anchor)
    assert (inner is None) == (count == 0)
    if inner:
        assert frame.floor(inner.start, anchor) == inner.start
        assert frame.floor(inner.end, anchor) == inner.end
        assert frame.count_in(inner, anchor) == count


@pytest.mark.parametrize(
    ("name", "start", "end", "count"),
    [
        ("1M", "2023-01-01", "2024-01-01", 12),
        ("1M", "2024-01-02", "2024-02-01", 0),
        ("1M", "2024-01-02", "2024-02-01T00:00:01", 1),
        ("1d", "2024-02-01", "2024-03-01", 29),
        ("1w", "2024-01-01", "2024-01-29", 4),
        ("1h", "2024-01-01T00:30", "2024-01-01T01:00", 0),
    ],
)
def test_bars_are_counted_by_the_calendar(name, start, end, count):
    """Field note: months vary in length, so expected bars are never span * n."""
    assert Timeframe.parse(name).count_in(Span.parse(start, end)) == count


def test_the_anchors_are_a_monday_and_a_thursday():
    assert moment(MONDAY).strftime("%A") == "Monday"
    assert moment(THURSDAY).strftime("%A") == "Thursday"


@pytest.mark.parametrize("name", ["1d", "1w", "1M"])
def test_bars_of_a_span_without_an_end_can_be_listed(name):
    frame = Timeframe.parse(name)
    span = Span(parse_time("2262-01-01"), ALL_TIME.end)
    assert frame.opens(span).len() == frame.count_in(span)


@pytest.mark.parametrize("name", ["1M", "3M", "7M", "1w", "1s", "9999d"])
def test_times_that_no_calendar_reaches_are_the_last_that_there_are(name):
    """A window of many months ended in the year 23863, which no date can be."""
    frame = Timeframe.parse(name)
    assert frame.advance(0, 10**12) == ALL_TIME.end
    assert frame.advance(0, -(10**12)) == ALL_TIME.start
    assert frame.next(ALL_TIME.end) >= ALL_TIME.end
    assert frame.floor(ALL_TIME.start) <= ALL_TIME.start


def test_months_of_all_time_are_counted_and_listed_alike():
    frame = Timeframe.parse("1M")
    assert frame.count_in(ALL_TIME) == frame.opens(ALL_TIME).len() > 7_000


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("60m", "1h"), ("24h", "1d"), ("60s", "1m"), ("3600s", "1h"), ("1440m", "1d"), ("90m", "90m"), ("120m", "2h"),
     ("48h", "2d"), ("36h", "36h"), ("7d", "7d"), ("1w", "1w"), ("30d", "30d"), ("12M", "12M")],
)  # fmt: skip
def test_one_length_has_one_spelling(text, spelled):
    assert str(Timeframe.parse(text)) == spelled
    assert Timeframe.parse(text) == Timeframe.parse(spelled)
    assert hash(Timeframe.parse(text)) == hash(Timeframe.parse(spelled))


class TestUnfinished:
    HOURLY = Timeframe.parse("1h")

    def test_a_bar_is_over_when_the_next_one_opens(self):
        assert not self.HOURLY.is_over(0, HOUR - 1)
        assert self.HOURLY.is_over(0, HOUR)

    def test_the_bar_of_now_is_the_first_that_is_not_over(self):
        assert self.HOURLY.unfinished_from(5 * HOUR + 7) == 5 * HOUR
        assert self.HOURLY.unfinished_from(5 * HOUR) == 5 * HOUR

    @pytest.mark.parametrize(
        ("written", "first"), [(2 * HOUR, 2 * HOUR), (3 * HOUR - 1, 2 * HOUR), (3 * HOUR, 9 * HOUR), (HOUR, 9 * HOUR)]
    )
    def test_what_was_written_while_the_last_bar_was_forming_ends_before_it(self, written, first):
        assert self.HOURLY.unfinished_from(9 * HOUR, last=2 * HOUR, written=written) == first
