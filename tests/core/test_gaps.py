import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.growth import growth
from ticklake.core.coverage import COMPLETE, Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason, bar_holes, gaps_of, missing_words, with_jumps
from ticklake.core.sequence import Jump, spared
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, parse_time

T = parse_time("2024-01-01")
HOURLY = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")
MANY = 30


def hours(start, end):
    return Span(T + start * HOUR, T + end * HOUR)


def series(times):
    return pl.Series("ts", sorted(times), dtype=pl.Int64)


def gaps(want, *pieces, present=(), invalid=(), dataset=HOURLY):
    times = series(T + hour * HOUR for hour in present)
    return gaps_of(dataset, want, Coverage.of(pieces), [times], [pl.Series(invalid, dtype=pl.Int64)])


looks = st.builds(
    lambda start, length, found: Covered(hours(start, start + length), found, found.value),
    st.integers(0, MANY),
    st.integers(1, 12),
    st.sampled_from(list(Found)),
)
hour_sets = st.sets(st.integers(0, MANY - 1))
WORDS = {
    Found.NOT_FETCHED: GapReason.NOT_FETCHED,
    Found.UNAVAILABLE: GapReason.UNAVAILABLE,
    Found.LOST: GapReason.LOST,
}


@given(st.lists(looks, max_size=6), hour_sets, hour_sets, st.integers(0, 59))
def test_every_bar_that_is_not_there_has_its_word(pieces, present, refused, minute):
    want, coverage = hours(0, MANY), Coverage.of(pieces)
    found = {ts: piece.found for piece in coverage.pieces for ts in range(piece.span.start, piece.span.end, HOUR)}
    expected = {}
    for hour in range(MANY):
        ts = T + hour * HOUR
        if hour in present or found.get(ts) in COMPLETE:
            continue
        quiet = GapReason.INVALID if hour in refused else GapReason.NO_TRADES
        expected[ts] = WORDS.get(found.get(ts, Found.NOT_FETCHED), quiet)

    result = gaps(want, *pieces, present=present, invalid=[T + hour * HOUR + minute * MINUTE for hour in refused])

    told = [(ts, gap.reason) for gap in result for ts in range(gap.span.start, gap.span.end, HOUR)]
    assert told == sorted(told), "in order"
    assert dict(told) == expected
    assert len(told) == len(expected), "nothing twice"
    assert all(gap.missing == gap.span.length // HOUR for gap in result)


@given(st.lists(looks, max_size=6), hour_sets)
def test_holes_are_the_bars_that_are_absent_since_the_listing_and_were_not_removed(pieces, present):
    coverage = Coverage.of(pieces)
    complete = {ts for span in coverage.spans(*COMPLETE) for ts in range(span.start, span.end, HOUR)}
    holes = bar_holes(HOURLY, hours(0, MANY), [series(T + hour * HOUR for hour in present)], coverage)
    told = [ts for hole in holes for ts in range(hole.start, hole.end, HOUR)]
    assert told == [ts for hour in range(MANY) if hour not in present and (ts := T + hour * HOUR) not in complete]


def test_nothing_is_missing_where_every_bar_is_there():
    assert gaps(hours(0, 5), present=range(5)) == []


def test_what_was_never_asked_is_not_fetched():
    assert gaps(hours(0, 5), present=[0, 1]) == [Gap(hours(2, 5), 3, GapReason.NOT_FETCHED)]


def test_what_was_asked_and_is_silent_had_no_trades():
    """Field note: never invent; 'no trades happened' differs from 'never asked'."""
    assert gaps(hours(0, 5), Covered(hours(0, 5)), present=[0, 1, 4]) == [Gap(hours(2, 4), 2, GapReason.NO_TRADES)]


def test_a_bar_in_quarantine_is_invalid():
    result = gaps(hours(0, 3), Covered(hours(0, 3)), present=[0, 2], invalid=[T + HOUR])
    assert result == [Gap(hours(1, 2), 1, GapReason.INVALID)]


def test_a_quarantined_row_beside_a_good_bar_is_no_gap():
    assert gaps(hours(0, 3), Covered(hours(0, 3)), present=[0, 1, 2], invalid=[T + HOUR]) == []


@pytest.mark.parametrize("found", [Found.UNAVAILABLE, Found.LOST])
def test_what_could_not_be_had_says_why(found):
    result = gaps(hours(0, 3), Covered(hours(0, 3), found, "because"))
    assert result == [Gap(hours(0, 3), 3, GapReason(found.value), "because")]


def test_rows_in_a_span_that_was_lost_are_no_gap():
    result = gaps(hours(0, 3), Covered(hours(0, 3), Found.LOST, "because"), present=[1])
    assert [(gap.span, gap.missing) for gap in result] == [(hours(0, 1), 1), (hours(2, 3), 1)]


def test_nothing_is_missing_before_the_listing():
    pieces = Covered(hours(0, 2), Found.UNLISTED), Covered(hours(2, 4))
    assert gaps(hours(0, 4), *pieces, present=[2, 3]) == []


@pytest.mark.parametrize(
    ("dataset", "start", "end", "missing"),
    [
        ("binance:ohlcv:1d:BTC/USDT", "2024-02-01", "2024-03-01", 29),
        ("binance:ohlcv:1M:BTC/USDT", "2023-01-01", "2024-01-01", 12),
        ("binance:ohlcv:1w:BTC/USDT", "2024-01-01", "2024-01-29", 4),
        ("kraken:ohlcv:1w:BTC/USD", "2024-01-04", "2024-02-01", 4),
    ],
)
def test_missing_bars_are_counted_by_the_calendar(dataset, start, end, missing):
    span = Span.parse(start, end)
    assert gaps(span, dataset=Dataset.parse(dataset)) == [Gap(span, missing, GapReason.NOT_FETCHED)]


def test_weeks_are_missed_on_the_exchanges_own_grid():
    dataset = Dataset.parse("kraken:ohlcv:1w:BTC/USD")
    weeks = [parse_time(day) for day in ("2024-01-04", "2024-01-18")]
    result = gaps_of(dataset, Span.parse("2024-01-04", "2024-01-25"), Coverage(), [series(weeks)], ())
    assert [gap.span for gap in result] == [Span.parse("2024-01-11", "2024-01-18")]


def test_for_other_kinds_only_coverage_tells():
    pieces = Covered(hours(1, 2)), Covered(hours(2, 3), Found.LOST, "full"), Covered(hours(3, 4), Found.UNLISTED)
    assert gaps(hours(0, 5), *pieces, dataset=TRADES) == [
        Gap(hours(0, 1), None, GapReason.NOT_FETCHED),
        Gap(hours(2, 3), None, GapReason.LOST, "full"),
        Gap(hours(4, 5), None, GapReason.NOT_FETCHED),
    ]


def test_quiet_stretches_of_other_kinds_are_no_gaps():
    assert gaps(hours(0, 5), Covered(hours(0, 5)), dataset=TRADES) == []


def test_other_kinds_have_no_bar_holes():
    assert bar_holes(TRADES, hours(0, 5), [series([])], Coverage()) == []


def test_a_bar_that_ends_after_the_asked_span_is_not_missed():
    """The bar under way at the end of the span cannot be there yet."""
    result = gaps(Span(T, T + HOUR + HOUR // 2))
    assert sum(gap.missing for gap in result) == 1


def test_a_bar_that_opens_before_the_asked_span_is_not_counted():
    want = Span(T + HOUR // 2, T + 2 * HOUR)
    assert [(gap.span, gap.missing) for gap in gaps(want)] == [(hours(1, 2), 1)]


def test_a_refused_trade_is_a_hole_of_its_instant():
    trades = Dataset.parse("binance:trades:BTC/USDT")
    coverage = Coverage().add(Covered(Span(T, T + HOUR)))
    found = gaps_of(trades, Span(T, T + HOUR), coverage, (), [pl.Series([T + 5, T + 5, T + 2 * HOUR])])
    assert [(gap.span, gap.reason) for gap in found] == [(Span(T + 5, T + 6), "invalid")]


def placed_jumps(count):
    """Return the gaps of a dataset with a lost tenth and *count* jumps of ids."""
    end = count * 10
    lost = Span(end // 2, end // 2 + end // 10)
    looked = Coverage.of(
        [Covered(Span(0, lost.start)), Covered(lost, Found.LOST, "gone"), Covered(Span(lost.end, end))]
    )
    known = [Gap(lost, None, GapReason.LOST, "gone")]
    jumps = [Jump(at, at + 5, at, at + 4) for at in range(0, end, 10)]
    return with_jumps(known, spared(jumps, set(range(0, end, 10))), looked, "ids")


def test_jumps_on_both_sides_of_a_row_share_its_instant_and_do_not_overlap():
    looked = Coverage.of([Covered(Span(0, 100))])
    found = with_jumps([], [Jump(10, 20, 4, 5), Jump(20, 30, 7, 7), Jump(30, 30, 9, 9)], looked, "ids")
    assert [(gap.span, gap.missing) for gap in found] == [(Span(10, 21), 2), (Span(21, 31), 2)]


def test_the_instant_after_a_jump_belongs_to_it_only_if_it_was_looked_at():
    looked = Coverage.of([Covered(Span(0, 20))])
    (found,) = with_jumps([], [Jump(10, 20, 4, 5)], looked, "ids")
    assert found.span == Span(10, 20)


def test_each_jump_of_ids_is_looked_up_and_not_compared_with_every_gap():
    gaps_found = placed_jumps(11_000)
    assert len(gaps_found) == 11_000 - 1_100 + 1
    assert sum(gap.missing for gap in gaps_found) == 4 * 11_000
    assert growth(placed_jumps, 1_000, 10_000) < 30
    assert [gap.missing for gap in gaps_found if gap.detail == "gone"] == [4 * 1_100]


def test_one_property_says_which_reasons_mean_missing():
    missing = {reason.value for reason in GapReason if reason.is_missing}
    assert missing == {"not_fetched", "unavailable", "lost", "invalid"}


def test_what_is_absent_without_being_missing_is_not_called_missing():
    quiet = [Gap(Span(0, 9), 3, GapReason.NO_TRADES), Gap(Span(9, 12), None, GapReason.OUTAGE)]
    assert missing_words([]) == "nothing is missing"
    assert missing_words(quiet) == "nothing is missing (and 3 no_trades, 1 span outage)"
    lost = Gap(Span(20, 30), 1_000, GapReason.LOST)
    assert missing_words([*quiet, lost]) == "missing: 1,000 lost (and 3 no_trades, 1 span outage)"
