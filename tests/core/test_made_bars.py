"""Bars by any rule: what a loop over the rows gives, whatever the size of the frames in which these come."""

import datetime as dt
import random
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.bar_edges import GridEdges, SessionEdges
from ticklake.core.bars import Bars
from ticklake.core.kinds import TIME
from ticklake.core.resample import BAR_COLUMNS, fill_bars, make_bars
from ticklake.core.sessions import SessionDay
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.core.timeframe import MONDAY, THURSDAY, Timeframe
from ticklake.errors import BadInput, UnknownTimeframe

T = parse_time("2024-03-09")
NEW_YORK = SessionDay("America/New_York")
SIDES = ("buy", "sell", None)


def frame(rows):
    """Trades as (ts, price, amount, side)."""
    columns = list(zip(*rows, strict=True)) or [()] * 4
    data = dict(zip(("ts", "price", "amount", "side"), columns, strict=True))
    schema = {"ts": pl.Int64, "price": pl.Float64, "amount": pl.Float64, "side": pl.String}
    trades = pl.DataFrame(data, schema=schema).with_columns(pl.col("ts").cast(TIME))
    return trades.with_columns(close_time=pl.col("ts"))


def cut(trades, size):
    return [trades.slice(start, size) for start in range(0, trades.height, size)]


def made(chunks, bars, edges=None, day=None):
    frames = list(make_bars(chunks, bars, edges, day))
    return pl.concat(frames).with_columns(pl.col("ts", "close_time").to_physical()) if frames else None


def edges_of(bars):
    return GridEdges(bars.timeframe, None, bars.origin) if bars.is_time else None


prices = st.floats(0.01, 1e5).map(lambda value: round(value, 3))
amounts = st.floats(1e-4, 1e3).map(lambda value: round(value, 5))
ticks = st.lists(
    st.tuples(
        st.integers(T, T + 2 * HOUR).map(lambda ts: ts // SECOND * SECOND), prices, amounts, st.sampled_from(SIDES)
    ),
    min_size=1,
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
rules = st.sampled_from(["1s", "1m", "5m", "1h", "1d", "1M", "3ticks", "250volume", "100000dollars"])


@given(ticks, rules, st.integers(1, 61), st.integers(1, 61))
def test_bars_are_the_same_bit_by_bit_whatever_the_size_of_frames(rows, rule, one, other):
    trades, bars = frame(rows), Bars.parse(rule)
    first, second = (made(cut(trades, size), bars, edges_of(bars)) for size in (one, other))
    assert first.equals(second)
    assert first.rows() == second.rows()


@given(
    ticks, st.sampled_from(["1s", "1m", "5m", "1h", "1d", "1w", "1M"]), st.sampled_from([None, MONDAY, THURSDAY, DAY])
)
def test_time_bars_are_what_a_loop_gives(rows, name, anchor):
    timeframe, groups = Timeframe.parse(name), {}
    for row in rows:
        groups.setdefault(timeframe.floor(row[0], anchor), []).append(row)
    bars = made([frame(rows)], Bars.time(name), GridEdges(timeframe, anchor))
    assert bars["ts"].to_list() == list(groups)
    assert bars["close_time"].to_list() == [timeframe.next(ts, anchor) for ts in groups]
    for bar, group in zip(bars.iter_rows(named=True), groups.values(), strict=True):
        assert_is_bar_of(bar, group)


def assert_is_bar_of(bar, group):
    _, price, amount, side = zip(*group, strict=True)
    assert (bar["open"], bar["high"], bar["low"], bar["close"], bar["trades"]) == (
        price[0],
        max(price),
        min(price),
        price[-1],
        len(group),
    )
    sums = {
        "volume": sum(amount),
        "quote_volume": sum(p * a for p, a in zip(price, amount, strict=True)),
        "buy_volume": sum(a for a, s in zip(amount, side, strict=True) if s == "buy"),
        "sell_volume": sum(a for a, s in zip(amount, side, strict=True) if s == "sell"),
    }
    for name, expected in sums.items():
        assert bar[name] == pytest.approx(expected, rel=1e-12)
    assert bar["vwap"] == pytest.approx(sums["quote_volume"] / sums["volume"], rel=1e-12)


WEIGHTS = {"ticks": lambda _row: 1.0, "volume": lambda row: row[2], "dollars": lambda row: row[1] * row[2]}


@given(ticks, st.sampled_from(["1ticks", "3ticks", "250volume", "0.5volume", "100000dollars"]))
def test_the_trade_that_reaches_the_size_closes_the_bar_and_is_not_split(rows, rule):
    bars, groups, total = Bars.parse(rule), [[]], 0.0
    for row in rows:
        groups[-1].append(row)
        total += WEIGHTS[bars.unit](row)
        if total >= bars.size * (1 - 1e-9):
            groups.append([])
            total = 0.0
    is_whole = [True] * (len(groups) - 1) + [False]
    if not groups[-1]:
        groups.pop()
    found = made([frame(rows)], bars)
    assert found["number"].to_list() == list(range(len(groups)))
    assert found["is_whole"].to_list() == is_whole[: len(groups)]
    for bar, group in zip(found.iter_rows(named=True), groups, strict=True):
        assert (bar["ts"], bar["close_time"]) == (group[0][0], group[-1][0])
        assert_is_bar_of(bar, group)


def test_decimal_amounts_fill_a_bar_although_floats_are_a_little_off():
    rows = [(T + second, 10.0, 0.1, "buy") for second in range(100)]
    assert sum([0.1] * 10) < 1.0
    assert made([frame(rows)], Bars.volume(1))["trades"].to_list() == [10] * 10


@pytest.mark.parametrize("rule", ["1m", "1h", "1d", "1000volume", "7777ticks"])
def test_many_rows_make_the_same_bars_bit_by_bit_in_frames_of_any_size(rule):
    """Sums of floats are added up in blocks: their number must not depend on where a frame begins."""
    numbers = random.Random(5)
    count = 60_000
    trades = pl.DataFrame(
        {
            "ts": sorted(numbers.randrange(T, T + 30 * HOUR) for _ in range(count)),
            "price": [numbers.random() for _ in range(count)],
            "amount": [numbers.random() for _ in range(count)],
            "side": [numbers.choice(SIDES) for _ in range(count)],
        }
    ).with_columns(pl.col("ts").cast(TIME))
    trades, bars = trades.with_columns(close_time="ts"), Bars.parse(rule)
    whole = made([trades], bars, edges_of(bars))
    for size in (50_001, 9_973, 1_024):
        assert made(cut(trades, size), bars, edges_of(bars)).equals(whole)


def test_large_bars_that_end_with_a_trade_are_added_up_from_parts():
    """Also where a part ends inside a frame and a bar holds many parts, memory holds one part only."""
    count = 200_000
    trades = pl.DataFrame({"ts": range(T, T + count), "price": 1.0, "amount": 0.1, "side": "buy"})
    trades = trades.with_columns(pl.col("ts").cast(TIME)).with_columns(close_time="ts")
    first = made(cut(trades, 70_001), Bars.ticks(150_000))
    assert first.equals(made(cut(trades, 3_333), Bars.ticks(150_000)))
    assert first["trades"].to_list() == [150_000, 50_000]
    assert first["is_whole"].to_list() == [True, False]


@given(ticks, st.integers(1, 61))
def test_bars_that_end_with_a_trade_begin_anew_with_each_day(rows, size):
    spread = [(T + (ts - T) * 40, price, amount, side) for ts, price, amount, side in rows]
    spread.sort(key=lambda row: row[0])
    found = made(cut(frame(spread), size), Bars.ticks(4), day=NEW_YORK)
    days = {}
    for row in spread:
        days.setdefault(NEW_YORK.day(row[0]), []).append(row)
    expected = [(number, min(4, len(day) - 4 * number)) for day in days.values() for number in range(-(-len(day) // 4))]
    assert found.select("number", "trades").rows() == expected


class TestEdges:
    def test_a_trade_at_an_edge_opens_a_bar_or_closes_one(self):
        trades = frame([(T, 1.0, 1.0, None), (T + MINUTE, 2.0, 1.0, None), (T + MINUTE + 1, 3.0, 1.0, None)])
        grid = GridEdges(Timeframe(1, "m"))
        left = made([trades], Bars.time("1m"), grid)
        assert left.select("ts", "open", "close").rows() == [(T, 1.0, 1.0), (T + MINUTE, 2.0, 3.0)]
        right = made([trades], Bars.time("1m", closed="right"), grid)
        assert right.select("ts", "open", "close").rows() == [
            (T - MINUTE, 1.0, 1.0),
            (T, 2.0, 2.0),
            (T + MINUTE, 3.0, 3.0),
        ]

    def test_hours_that_count_from_an_origin(self):
        grid = GridEdges(Timeframe(4, "h"), origin=T + 30 * MINUTE)
        trades = frame([(T + 29 * MINUTE, 1.0, 1.0, None), (T + 30 * MINUTE, 2.0, 1.0, None)])
        assert made([trades], Bars.time("4h", origin=T + 30 * MINUTE), grid)["ts"].to_list() == [
            T + 30 * MINUTE - 4 * HOUR,
            T + 30 * MINUTE,
        ]

    @pytest.mark.parametrize(
        ("date", "hours"),
        [("2024-03-09", 24), ("2024-03-10", 23), ("2024-11-03", 25)],
        ids=["usual", "spring", "autumn"],
    )
    def test_days_of_a_session_are_as_long_as_the_clock_makes_them(self, date, hours):
        midnight = dt.datetime.combine(dt.date.fromisoformat(date), dt.time(), ZoneInfo("America/New_York"))
        start = parse_time(midnight)
        days = SessionEdges(Timeframe(1, "d"), NEW_YORK)
        assert (days.floor(start + 5 * HOUR), days.next(start)) == (start, start + hours * HOUR)
        fours = SessionEdges(Timeframe(4, "h"), NEW_YORK).opens(Span(start, days.next(start)))
        assert fours.to_list() == list(range(start, start + hours * HOUR, 4 * HOUR))
        assert SessionEdges(Timeframe(4, "h"), NEW_YORK).close_times(fours)[-1] == start + hours * HOUR

    @given(
        st.lists(st.integers(parse_time("2023-10-01"), parse_time("2024-12-01")), min_size=1, max_size=30).map(sorted),
        st.sampled_from(["7m", "1h", "4h", "1d", "3d", "1w", "1M"]),
        st.sampled_from([NEW_YORK, SessionDay("America/New_York", 17 * 60), SessionDay("Asia/Kolkata", 9 * 60 + 15)]),
    )
    def test_series_of_session_times_are_what_single_ones_are(self, stamps, name, day):
        edges = SessionEdges(Timeframe.parse(name), day)
        opens = edges.open_times(pl.Series(stamps, dtype=pl.Int64))
        assert opens.to_list() == [edges.floor(ts) for ts in stamps]
        assert edges.close_times(opens).to_list() == [edges.next(ts) for ts in stamps]
        for ts in stamps:
            assert edges.floor(ts) <= ts < edges.next(ts) == edges.ceil(edges.floor(ts) + 1)

    def test_weeks_begin_on_the_monday_of_the_session(self):
        weeks = SessionEdges(Timeframe(1, "w"), SessionDay("America/New_York", 17 * 60))
        sunday = dt.datetime(2024, 3, 10, 17, tzinfo=ZoneInfo("America/New_York"))
        assert weeks.floor(parse_time("2024-03-13")) == parse_time(sunday)

    def test_three_days_count_from_the_anchor_of_the_exchange(self):
        grid = GridEdges(Timeframe(3, "d"), DAY)
        assert grid.floor(T) == Timeframe(3, "d").floor(T, DAY)


class TestFill:
    TRADES = frame([(T, 1.0, 1.0, "buy"), (T + 3 * MINUTE, 5.0, 2.0, "sell")])
    GRID = GridEdges(Timeframe(1, "m"))

    def filled(self, how, span):
        bars = pl.concat(list(make_bars([self.TRADES], Bars.time("1m"), self.GRID)))
        return fill_bars(bars, self.GRID, span, how)

    def test_forward_carries_the_close_and_no_volume(self):
        bars = self.filled("forward", Span(T - 2 * MINUTE, T + 5 * MINUTE))
        rows = bars.with_columns(pl.col("ts").to_physical() - T).select(
            "ts", "open", "high", "low", "close", "volume", "trades", "buy_volume"
        )
        nothing = [(n * MINUTE, 1.0, 1.0, 1.0, 1.0, 0.0, 0, 0.0) for n in (1, 2)]
        assert rows.rows() == [
            (0, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 1.0),
            *nothing,
            (3 * MINUTE, 5.0, 5.0, 5.0, 5.0, 2.0, 1, 0.0),
            (4 * MINUTE, 5.0, 5.0, 5.0, 5.0, 0.0, 0, 0.0),
        ]
        assert bars["vwap"].to_list() == [1.0, None, None, 5.0, None]

    def test_zero_has_no_volume_and_unknown_prices(self):
        bars = self.filled("zero", Span(T - MINUTE, T + 2 * MINUTE))
        assert bars.select("open", "close", "volume", "trades").rows()[:1] == [(None, None, 0.0, 0)]
        assert bars["ts"].to_physical().to_list() == [T + n * MINUTE for n in (-1, 0, 1, 3)]

    def test_nothing_is_carried_from_nowhere(self):
        empty = pl.DataFrame(schema={**pl.concat(make_bars([self.TRADES], Bars.time("1m"), self.GRID)).schema})
        assert fill_bars(empty, self.GRID, Span(T, T + HOUR), "forward").is_empty()


class TestRules:
    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("1h", Bars.time("1h")),
            ("60m", Bars.time("1h")),
            ("100ticks", Bars.ticks(100)),
            ("1tick", Bars.ticks(1)),
            ("5volume", Bars.volume(5)),
            ("0.5volume", Bars.volume(0.5)),
            ("1000000dollars", Bars.dollars(1e6)),
            ("1e6dollar", Bars.dollars(1_000_000)),
        ],
    )
    def test_texts_are_read_and_written(self, text, rule):
        assert Bars.parse(text) == rule == Bars.parse(str(rule)) == Bars.from_json(rule.to_json())

    def test_edges_are_kept(self):
        rule = Bars.parse("4h", closed="right", label="close", session="17:00 America/New_York", fill="forward")
        assert Bars.from_json(rule.to_json()) == rule
        counted = Bars.parse("10ticks", origin="2024-01-01")
        assert counted.to_json() == {"bars": "10ticks", "origin": "2024-01-01T00:00:00Z"}
        assert Bars.from_json(counted.to_json()) == counted

    @pytest.mark.parametrize("text", ["", "0ticks", "1.5ticks", "-1volume", "ticks", "1x", None, 5, "infdollars"])
    def test_what_is_no_rule_is_refused(self, text):
        with pytest.raises((BadInput, UnknownTimeframe)):
            Bars.parse(text)

    @pytest.mark.parametrize(
        ("rule", "edges"),
        [
            ("1h", {"closed": "both"}),
            ("1h", {"label": "end"}),
            ("1h", {"fill": "backward"}),
            ("1h", {"session": "Nowhere/Town"}),
            ("1h", {"session": "25:00 UTC"}),
            ("1h", {"session": "UTC", "origin": "2024-01-01"}),
            ("1M", {"origin": "2024-01-01"}),
            ("36h", {"session": "UTC"}),
            ("10ticks", {"closed": "right"}),
            ("10ticks", {"fill": "zero"}),
            ("1h", {"clozed": "left"}),
        ],
    )
    def test_edges_that_are_none_are_refused(self, rule, edges):
        with pytest.raises(BadInput):
            Bars.parse(rule, **edges)


def test_every_bar_has_all_that_can_be_known_of_it():
    [bars] = list(make_bars([frame([(T, 1.0, 1.0, "buy")])], Bars.time("1m"), GridEdges(Timeframe(1, "m"))))
    assert bars.columns == [*BAR_COLUMNS, "is_whole"]
