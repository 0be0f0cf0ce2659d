"""Retention: from when on rows are kept, and what is said of the time before."""

import pytest

from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.retention import days_by_kind, expired, kept_from, last_uncut
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, format_time, parse_time
from ticklake.errors import BadInput

NOW = parse_time("2024-03-10T15:30:00Z")
TRADES = Dataset.parse("x:trades:BTC/USDT")


@pytest.mark.parametrize(
    ("name", "oldest"),
    [
        ("x:trades:BTC/USDT", "2024-03-08T00:00:00Z"),
        ("x:ohlcv:1m:BTC/USDT", "2024-03-08T00:00:00Z"),
        ("x:ohlcv:7h:BTC/USDT", "2024-03-07T21:00:00Z"),
        ("x:ohlcv:1w:BTC/USDT", "2024-03-04T00:00:00Z"),
        ("x:ohlcv:1M:BTC/USDT", "2024-03-01T00:00:00Z"),
    ],
)
def test_whole_days_and_whole_bars_are_kept(name, oldest):
    assert format_time(kept_from(Dataset.parse(name), 2, NOW)) == oldest


def test_what_was_known_is_expired_with_the_holes_in_it_but_not_what_was_never_listed():
    coverage = Coverage.of(
        [
            Covered(Span(0, 10), Found.UNLISTED, "young"),
            Covered(Span(10, 20)),
            Covered(Span(30, 40), Found.LOST, "ids jump"),
            Covered(Span(60, 90)),
        ]
    )
    known, words = expired(coverage, 12, 70, "old")
    assert known == Span(0, 70)
    assert words == (Covered(Span(0, 10), Found.UNLISTED, "young"), Covered(Span(10, 70), Found.EXPIRED, "old"))


def test_rows_that_were_never_covered_count_too():
    assert expired(Coverage(), 5, 7, "old") == (Span(5, 7), (Covered(Span(5, 7), Found.EXPIRED, "old"),))


@pytest.mark.parametrize("first", [None, 7, 8])
def test_nothing_old_is_nothing_to_say(first):
    assert expired(Coverage(), first, 7, "old") == (None, ())


def test_expired_time_is_not_missing_even_when_asked_to_try_again():
    coverage = Coverage.of([Covered(Span(0, 10), Found.EXPIRED), Covered(Span(10, 20), Found.LOST)])
    assert list(coverage.missing(Span(0, 30))) == [Span(20, 30)]
    assert list(coverage.missing(Span(0, 30), retry=True)) == [Span(10, 30)]


KEEP = {"trades": 30, "book": 7}


class TestDaysByKind:
    def test_the_setting_names_some_kinds(self):
        assert days_by_kind(KEEP) == {"trades": 30, "book": 7}
        assert days_by_kind(KEEP, kinds=["book", "ohlcv"]) == {"book": 7}

    def test_days_hold_for_every_kind_or_the_named_ones(self):
        assert days_by_kind(KEEP, 365)["ohlcv"] == 365
        assert days_by_kind(KEEP, 365, ["funding"]) == {"funding": 365}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (({},), "say --days"),
            ((KEEP, None, ["ohlcv"]), "say --days"),
            ((KEEP, 0), "at least 1"),
            (({"trades": 0},), "at least 1"),
            ((KEEP, 5, ["candles"]), "'candles' is not a kind"),
            (({"tardes": 5},), "'tardes' is not a kind"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, arguments, words):
        with pytest.raises(BadInput, match=words):
            days_by_kind(*arguments)


def test_a_day_is_a_day():
    assert kept_from(TRADES, 1, 5 * DAY) == kept_from(TRADES, 1, 5 * DAY + 23 * HOUR) == 4 * DAY


@pytest.mark.parametrize(
    ("segments", "end"),
    [
        ([], 80),
        ([(0, 50), (50, 80)], 80),
        ([(0, 50), (50, 100)], 50),
        ([(0, 30), (30, 60), (50, 100)], 30),
        ([(0, 100)], 0),
        ([(80, 100), (0, 80)], 80),
    ],
)
def test_what_leaves_without_a_cut_ends_before_every_segment_that_would_be_cut(segments, end):
    assert last_uncut([Span(*segment) for segment in segments], 80) == end
