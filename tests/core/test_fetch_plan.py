import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.coverage import COMPLETE, LOOKED_AT, Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FINAL_AFTER, FetchPlan, horizon, plan_fetch
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time

T = parse_time("2024-01-01")
HOURLY = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
MINUTELY = Dataset.parse("binance:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("binance:trades:BTC/USDT")


def hours(start, end):
    return Span(T + start * HOUR, T + end * HOUR)


def plan(want, *pieces, dataset=HOURLY, **options):
    usual = {
        "listed_at": None,
        "served_from": None,
        "page_rows": 10,
        "page_span": 10 * HOUR,
        "seconds_per_page": 0.5,
        "at_head": False,
        "now": T + 100 * DAY,
    }
    return plan_fetch(dataset, want, Coverage.of(pieces), **{**usual, **options})


def ticks(spans):
    return [ts for span in spans for ts in range(span.start, span.end, HOUR)]


# The horizon


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2024-01-01T10:00:14.999999999", "2024-01-01T09:00"),
        ("2024-01-01T10:00:15", "2024-01-01T10:00"),
        ("2024-01-01T10:59:59", "2024-01-01T10:00"),
        ("2024-01-01T00:00:00", "2023-12-31T23:00"),
    ],
)
def test_a_bar_is_final_a_grace_after_its_close(now, end):
    """Field note: only final bars are stored; final means closed, plus a grace of 15 s."""
    assert horizon(HOURLY, parse_time(now)) == parse_time(end)


timeframes = st.sampled_from(["1m", "5m", "1h", "1d", "3d", "1w", "1M"])
moments = st.integers(parse_time("2015-01-01"), parse_time("2030-01-01"))


@given(timeframes, st.sampled_from(["binance", "kraken"]), moments)
def test_the_horizon_is_the_open_of_the_first_bar_that_is_still_forming(timeframe, exchange, now):
    dataset = Dataset.of(exchange, "BTC/USDT", "ohlcv", timeframe)
    frame, end = dataset.timeframe, horizon(dataset, now)
    last_final = frame.advance(end, -1, dataset.anchor)
    assert frame.floor(end, dataset.anchor) == end
    assert frame.next(last_final, dataset.anchor) + FINAL_AFTER <= now
    assert frame.next(end, dataset.anchor) + FINAL_AFTER > now


def test_other_kinds_are_final_after_the_grace():
    assert horizon(TRADES, T) == T - 15 * SECOND


# What is asked


def test_everything_is_asked_of_an_empty_lake():
    assert plan(hours(0, 10)).spans == (hours(0, 10),)


def test_nothing_is_asked_that_is_covered():
    assert plan(hours(0, 10), Covered(hours(-5, 20))).spans == ()


def test_both_ends_and_the_holes_are_asked():
    covered = Covered(hours(2, 4)), Covered(hours(5, 8))
    assert plan(hours(0, 10), *covered).spans == (hours(0, 2), hours(4, 5), hours(8, 10))


def test_the_plan_says_what_was_wanted_of_what():
    made = plan(hours(0, 10), note="newest only", now=T + DAY)
    assert (made.dataset, made.want, made.note, made.now) == (HOURLY, hours(0, 10), "newest only", T + DAY)


@pytest.mark.parametrize("found", [Found.UNAVAILABLE, Found.LOST])
def test_what_could_not_be_had_is_asked_again_only_on_retry(found):
    piece = Covered(hours(2, 4), found, "gone")
    assert plan(hours(0, 10), piece).spans == (hours(0, 2), hours(4, 10))
    assert plan(hours(0, 10), piece, retry=True).spans == (hours(0, 10),)


def test_a_retry_does_not_ask_for_data_or_for_time_before_the_listing():
    pieces = Covered(hours(0, 3), Found.UNLISTED), Covered(hours(3, 6))
    assert plan(hours(0, 10), *pieces, retry=True).spans == (hours(6, 10),)


def test_time_before_the_listing_is_known_and_not_asked():
    made = plan(hours(0, 10), listed_at=T + 4 * HOUR)
    assert made.spans == (hours(4, 10),)
    assert [(piece.span, piece.found) for piece in made.known] == [(hours(0, 4), Found.UNLISTED)]
    assert "2024-01-01T04:00:00Z" in made.known[0].reason


@pytest.mark.parametrize("listed_at", [None, T - DAY, T])
def test_a_listing_before_the_span_changes_nothing(listed_at):
    made = plan(hours(0, 10), listed_at=listed_at)
    assert (made.spans, made.known) == ((hours(0, 10),), ())


def test_before_the_listing_there_is_nothing_to_ask():
    made = plan(hours(0, 10), listed_at=T + 20 * HOUR)
    assert made.spans == ()
    assert [piece.span for piece in made.known] == [hours(0, 10)]


def test_data_from_before_a_listing_stays_known():
    """Field note: the same ticker can be two coins; what was found is never unlearned."""
    made = plan(hours(0, 10), Covered(hours(0, 2)), listed_at=T + 4 * HOUR)
    assert made.spans == (hours(4, 10),)


# The live end


@pytest.mark.parametrize(
    ("dataset", "bars"),
    [("1m", 15), ("3m", 5), ("5m", 3), ("15m", 3), ("1h", 3), ("1d", 3), ("1w", 3), ("1M", 3)],
)
def test_the_last_bars_before_the_live_end_are_asked_again(dataset, bars):
    """Field note: late-final bars; re-fetch the last few bars on every run."""
    dataset = Dataset.of("binance", "BTC/USDT", "ohlcv", dataset)
    frame = dataset.timeframe
    start = frame.floor(T)
    known, end = frame.advance(start, 40), frame.advance(start, 50)
    made = plan(Span(start, end), Covered(Span(start, known)), dataset=dataset, at_head=True)
    assert made.spans == (Span(frame.advance(known, -bars), end),)


def test_the_last_bars_are_asked_again_even_if_nothing_is_missing():
    assert plan(hours(0, 40), Covered(hours(0, 40)), at_head=True).spans == (hours(37, 40),)


def test_no_bar_from_before_the_span_is_asked_again():
    assert plan(hours(9, 20), Covered(hours(0, 10)), at_head=True).spans == (hours(9, 20),)
    assert plan(hours(10, 20), Covered(hours(0, 10)), at_head=True).spans == (hours(10, 20),)


def test_a_hole_before_the_last_bars_is_still_asked():
    covered = Covered(hours(0, 5)), Covered(hours(6, 20))
    assert plan(hours(0, 25), *covered, at_head=True).spans == (hours(5, 6), hours(17, 25))


def test_a_hole_before_a_covered_live_end_is_asked_apart_from_the_last_bars():
    covered = Covered(hours(0, 5)), Covered(hours(6, 25))
    assert plan(hours(0, 25), *covered, at_head=True).spans == (hours(5, 6), hours(22, 25))


def test_a_hole_among_the_last_bars_is_asked_once():
    covered = Covered(hours(0, 18)), Covered(hours(19, 20))
    made = plan(hours(0, 25), *covered, at_head=True)
    assert ticks(made.spans) == ticks([hours(18, 25)])


@pytest.mark.parametrize("found", [*COMPLETE, Found.UNAVAILABLE, Found.LOST])
def test_only_data_is_asked_again(found):
    assert plan(hours(0, 25), Covered(hours(0, 20), found), at_head=True).spans == (hours(20, 25),)


def test_the_first_bars_after_a_listing_are_not_preceded_by_any():
    made = plan(hours(0, 25), Covered(hours(10, 11)), listed_at=T + 10 * HOUR, at_head=True)
    assert made.spans == (hours(10, 25),)


@pytest.mark.parametrize("dataset", [HOURLY, TRADES])
def test_away_from_the_live_end_nothing_is_asked_again(dataset):
    at_head = dataset is TRADES
    assert plan(hours(0, 25), Covered(hours(0, 20)), dataset=dataset, at_head=at_head).spans == (hours(20, 25),)


def test_a_covered_span_before_the_live_end_is_not_asked_again_if_the_end_is_elsewhere():
    assert plan(hours(0, 20), Covered(hours(0, 20)), at_head=False).spans == ()


looks = st.builds(
    lambda start, length, found: Covered(hours(start, start + length), found),
    st.integers(-5, 40),
    st.integers(1, 15),
    st.sampled_from(list(Found)),
)
wants = st.builds(lambda start, length: hours(start, start + length), st.integers(0, 30), st.integers(1, 30))
switches = st.fixed_dictionaries({"at_head": st.booleans(), "retry": st.booleans()})
listings = st.none() | st.integers(-5, 40).map(lambda hour: T + hour * HOUR)


@given(wants, st.lists(looks, max_size=8), listings, switches)
def test_all_that_is_missing_and_at_most_the_last_bars_are_asked(want, pieces, listed_at, switches):
    made = plan(want, *pieces, listed_at=listed_at, **switches)
    asked = ticks(made.spans)
    settled = {Found.DATA, *COMPLETE} if switches["retry"] else set(LOOKED_AT)
    coverage = Coverage.of([*pieces, *made.known])
    known = {ts: piece.found for piece in coverage.pieces for ts in ticks([piece.span]) if piece.found in settled}
    missing = [ts for ts in ticks([want]) if ts not in known]

    assert asked == sorted(set(asked)), "in order, and nothing twice"
    assert set(asked) <= set(ticks([want]))
    assert set(missing) <= set(asked)
    again = [ts for ts in asked if ts in known]
    assert len(again) <= (3 if switches["at_head"] else 0)
    assert all(known[ts] is Found.DATA for ts in again)
    if again:
        assert set(range(again[0], want.end, HOUR)) <= set(asked), "the bars asked again lead up to the live end"


@given(wants, st.lists(looks, max_size=8), listings)
def test_a_plan_over_its_own_outcome_is_empty(want, pieces, listed_at):
    made = plan(want, *pieces, listed_at=listed_at)
    after = [*pieces, *made.known, *(Covered(span) for span in made.spans)]
    assert plan(want, *after, listed_at=listed_at).spans == ()


# Estimates and what the exchange no longer serves


def test_what_the_exchange_no_longer_serves_is_told():
    assert plan(hours(0, 10), served_from=T + 4 * HOUR).unavailable == hours(0, 4)
    assert plan(hours(0, 10), served_from=T + 40 * HOUR).unavailable == hours(0, 10)


@pytest.mark.parametrize("served_from", [None, T - DAY, T])
def test_nothing_is_unavailable_if_all_is_served(served_from):
    assert plan(hours(0, 10), served_from=served_from).unavailable is None


def test_what_is_unavailable_costs_nothing_but_is_still_asked_so_that_it_is_recorded():
    """Field note: history may be recent-only; say so before starting, record why older data is unavailable."""
    whole, part = plan(hours(0, 40)), plan(hours(0, 40), served_from=T + 20 * HOUR)
    assert part.spans == whole.spans
    assert (part.pages, part.seconds, part.bytes) == (2, 1.0, whole.bytes // 2)


@pytest.mark.parametrize(("length", "pages"), [(1, 1), (10, 1), (11, 2), (20, 2), (95, 10)])
def test_pages_are_counted_up(length, pages):
    made = plan(hours(0, length))
    assert (made.pages, made.seconds) == (pages, pages * 0.5)


def test_every_span_begins_a_page_of_its_own():
    assert plan(hours(0, 10), Covered(hours(1, 9))).pages == 2


def test_bytes_grow_with_the_rows():
    small, large = plan(hours(0, 10)), plan(hours(0, 100))
    assert 0 < small.bytes * 10 == large.bytes


def test_an_empty_plan_costs_nothing():
    made = plan(hours(0, 10), Covered(hours(0, 10)))
    assert (made.pages, made.seconds, made.bytes) == (0, 0.0, 0)


def test_a_plan_of_nothing_has_defaults():
    made = FetchPlan(HOURLY, None, note="nothing of it is final yet")
    assert dataclasses.asdict(made)["spans"] == ()


def test_minute_bars_are_checked_again_over_a_quarter_of_an_hour():
    want = Span(T, T + DAY)
    made = plan(want, Covered(want), dataset=MINUTELY, at_head=True)
    assert made.spans == (Span(T + DAY - 15 * MINUTE, T + DAY),)
