"""Figures, their sums, and the score."""

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.core.quality import DayQuality, Figures, Holes, days_of, holes_by_day, total, trend_of
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time

T = parse_time("2024-01-01")
BARS = Dataset.parse("x:ohlcv:1h:BTC/USDT")
WEEKS = Dataset.parse("x:ohlcv:1w:BTC/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT")


def bars(present, **gaps):
    return Figures(on_grid=True, present_records=present, gaps={name: Holes(1, count) for name, count in gaps.items()})


class TestCompleteness:
    def test_of_bars_it_is_the_share_of_those_expected(self):
        figures = bars(90, not_fetched=4, lost=3, invalid=2, unavailable=1)
        assert (figures.expected_records, figures.missing_records, figures.data_gaps) == (100, 10, 4)
        assert figures.completeness_ratio == 0.9
        assert not figures.is_complete

    def test_where_nothing_was_to_be_had_nothing_is_missing(self):
        """Field note: some exchanges omit bars without trades; an outage has no data anywhere."""
        figures = bars(90, no_trades=8, outage=2)
        assert (figures.expected_records, figures.completeness_ratio, figures.is_complete) == (90, 1.0, True)

    def test_of_other_kinds_it_is_the_share_of_the_time(self):
        figures = Figures(open_time=DAY, present_records=5, gaps={"not_fetched": Holes(1, 0, 6 * HOUR)})
        assert figures.expected_records is None
        assert figures.completeness_ratio == 0.75

    def test_it_is_whole_only_where_nothing_is_missing(self):
        years = Figures(open_time=10 * 365 * DAY, present_records=5, gaps={"lost": Holes(1, 1, 1)})
        assert years.completeness_ratio < 1
        assert bars(90, not_fetched=0).completeness_ratio < 1

    def test_it_is_unknown_where_nobody_said_what_was_looked_at(self):
        assert Figures(present_records=5).completeness_ratio is None
        assert Figures(present_records=5).score is None
        assert bars(0).completeness_ratio is None


class TestScore:
    def test_all_there_and_sound_is_a_hundred(self):
        assert bars(1000).score == 100.0

    @pytest.mark.parametrize(
        "figures",
        [
            bars(10_000_000, lost=1),
            Figures(open_time=10 * 365 * DAY, present_records=5, gaps={"lost": Holes(1, 1, 1)}),
            Figures(on_grid=True, present_records=10_000_000, outliers=1),
        ],
    )
    def test_it_is_a_hundred_only_where_nothing_is_missing_or_wrong(self, figures):
        assert figures.score == 99.99

    def test_it_is_completeness_times_soundness(self):
        figures = Figures(on_grid=True, present_records=500, gaps={"lost": Holes(1, 500)}, outliers=5, stale_prices=100)
        assert figures.soundness == pytest.approx(1 - 10 * 5 / 500 - 0.25 * 100 / 500)
        assert figures.score == pytest.approx(100 * 0.5 * 0.85)

    def test_refused_rows_count_once(self):
        """Refused bars are missing already."""
        refused = {"high_below_low": 10}
        assert Figures(on_grid=True, present_records=90, quarantined=refused).soundness == 1
        assert Figures(open_time=DAY, present_records=90, quarantined=refused).soundness == pytest.approx(0.9)

    def test_crossed_books_are_a_share_of_those_judged(self):
        figures = Figures(open_time=DAY, present_records=1000, crossed_books=1, judged_books=4)
        assert figures.score == 75.0

    def test_it_never_falls_below_zero(self):
        assert Figures(on_grid=True, present_records=10, outliers=10).score == 0.0

    def test_identical_prints_and_quiet_bars_cost_nothing(self):
        assert Figures(on_grid=True, present_records=10, duplicates=9, zero_volumes=9).score == 100.0


class TestHolesByDay:
    def test_a_hole_over_days_begins_once_and_is_shared_out(self):
        gap = Gap(Span(T + 20 * HOUR, T + 2 * DAY + 3 * HOUR), 31, GapReason.LOST)
        shared = holes_by_day(BARS, [gap], Span(T, T + 3 * DAY))
        assert shared == {
            T: {"lost": Holes(1, 4, 4 * HOUR)},
            T + DAY: {"lost": Holes(0, 24, DAY)},
            T + 2 * DAY: {"lost": Holes(0, 3, 3 * HOUR)},
        }

    def test_one_that_began_before_is_not_counted_again(self):
        gap = Gap(Span(T - HOUR, T + HOUR), 2, GapReason.LOST)
        assert holes_by_day(BARS, [gap], Span(T, T + DAY)) == {T: {"lost": Holes(0, 1, HOUR)}}

    def test_a_missing_week_belongs_to_the_day_on_which_it_opens(self):
        gap = Gap(Span(T, T + 7 * DAY), 1, GapReason.LOST)
        shared = holes_by_day(WEEKS, [gap], Span(T, T + 3 * DAY))
        assert [day["lost"].records for day in shared.values()] == [1, 0, 0]

    def test_refused_trades_are_records_that_are_missing(self):
        gaps = [Gap(Span(T + n, T + n + 1), None, GapReason.INVALID) for n in (5, 9)]
        assert holes_by_day(TRADES, gaps, Span(T, T + DAY)) == {T: {"invalid": Holes(2, 2, 2)}}

    def test_days_begin_at_midnight_before_1970_too(self):
        parts = list(days_of(Span(-DAY - 5, DAY // 2)))
        assert parts == [Span(-DAY - 5, -DAY), Span(-DAY, 0), Span(0, DAY // 2)]


def test_the_total_is_the_sum_of_the_days():
    one = DayQuality(day=T, on_grid=True, open_time=DAY, present_records=10, gaps={"lost": Holes(1, 2, 3)}, outliers=1)
    two = DayQuality(day=T + DAY, on_grid=True, open_time=DAY, gaps={"lost": Holes(0, 1, 1)}, quarantined={"off": 2})
    both = total([one, two])
    assert both.gaps == {"lost": Holes(1, 3, 4)}
    assert (both.present_records, both.outliers, both.quarantined, both.open_time) == (10, 1, {"off": 2}, 2 * DAY)
    assert total([]).open_time is None


def test_the_trend_has_a_row_a_day_and_says_null_where_nothing_is_known():
    days = [DayQuality(day=T, on_grid=True, present_records=2), DayQuality(day=T + DAY, present_records=MINUTE)]
    trend = trend_of(days)
    assert trend["score"].to_list() == [100.0, None]
    assert trend["expected_records"].to_list() == [2, None]
    assert trend.schema["day"] == pl.Datetime("ns", "UTC")
    assert trend_of([]).schema == trend.schema
