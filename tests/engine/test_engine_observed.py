"""The newest observation is the answer, not the newest commit."""

import polars as pl
import pytest
from engine_lakes import BARS, TRADES, USER, full, lake_in, span
from hypothesis import given, settings
from hypothesis import strategies as st

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.testing.rows import START, bars, trades

SECOND = 10**9
NOW = START + 10**15


@pytest.fixture
def lake():
    with memory_lake(Settings(), clock=lambda: NOW) as made:
        yield made


def observe(lake, frame, at, dataset=BARS, coverage=()):
    """Append rows that a source was asked for *at* seconds before now."""
    return lake.engine.append(dataset, frame, USER, coverage, observed_at=NOW + at * SECOND)


def test_a_page_that_is_committed_late_does_not_replace_what_was_observed_meanwhile(lake):
    observe(lake, bars(0, 10), -60)
    observe(lake, bars(0, 10, bump=2.0), -10)
    receipt = observe(lake, bars(0, 10, bump=1.0), -30)
    assert lake.load(BARS).equals(full(bars(0, 10, bump=2.0)))
    assert (receipt.new, receipt.changed, receipt.duplicate) == (0, 0, 10)


def test_the_log_tells_of_the_late_rows_once(lake):
    observe(lake, bars(0, 1, bump=2.0), -10)
    for _ in range(2):
        observe(lake, bars(0, 1, bump=1.0), -30)
    (entry,) = lake.revisions(BARS)
    assert ('"open":2.0' in entry["before"], '"open":3.0' in entry["after"]) == (True, True)


def test_late_rows_that_nobody_else_observed_come_in(lake):
    observe(lake, bars(5, 10, bump=2.0), -10)
    assert observe(lake, bars(0, 8, bump=1.0), -30).new == 5
    assert lake.load(BARS).equals(full(bars(0, 5, bump=1.0), BARS).vstack(full(bars(5, 10, bump=2.0), BARS)))


def test_what_a_user_saves_was_observed_when_it_was_saved(lake):
    observe(lake, bars(0, 10), -60)
    lake.save(BARS, bars(0, 10, bump=2.0))
    observe(lake, bars(0, 10, bump=1.0), -1)
    assert lake.load(BARS).equals(full(bars(0, 10, bump=2.0)))


def test_a_correction_is_not_taken_for_late_because_its_neighbours_are_newer_in_the_same_file(lake):
    observe(lake, bars(0, 10), -60)
    observe(lake, bars(10, 20), -10)
    lake.compact()
    assert observe(lake, bars(0, 10, bump=1.0), -30).changed == 10
    assert lake.load(BARS)["open"].to_list()[:10] == bars(0, 10, bump=1.0)["open"].to_list()


def test_compaction_does_not_forget_which_rows_were_newer(lake):
    observe(lake, bars(0, 10), -60)
    observe(lake, bars(5, 10, bump=2.0), -10)
    lake.compact()
    assert observe(lake, bars(0, 10, bump=1.0), -30).changed == 5
    assert lake.load(BARS)["open"].to_list()[5:] == bars(5, 10, bump=2.0)["open"].to_list()


def test_a_clock_that_was_ahead_freezes_nothing(tmp_path):
    """Rows from tomorrow are no reason to refuse what is observed today."""
    times = [NOW + 10**14, NOW]
    with lake_in(tmp_path / "lake", lambda: times[0]) as lake:
        lake.engine.append(BARS, bars(0, 10), USER, observed_at=times[0])
        del times[0]
        assert lake.engine.append(BARS, bars(0, 10, bump=1.0), USER, observed_at=NOW - 5).changed == 10
        assert lake.load(BARS).equals(full(bars(0, 10, bump=1.0)))


def test_an_observation_is_never_later_than_its_commit(lake):
    observe(lake, bars(0, 10, bump=1.0), 3_600)
    lake.save(BARS, bars(0, 10, bump=2.0))
    assert lake.load(BARS).equals(full(bars(0, 10, bump=2.0)))


def test_a_late_page_does_not_change_what_is_known_of_a_span(lake):
    observe(lake, bars(0, 10), -10, coverage=[Covered(span(0, 10))])
    observe(lake, bars(9, 10, bump=1.0), -30, coverage=[Covered(span(0, 12), Found.LOST, "broken")])
    assert [(piece.span, piece.found) for piece in lake.coverage(BARS).pieces] == [
        (span(0, 10), Found.DATA),
        (span(10, 12), Found.LOST),
    ]


def test_a_trade_whose_time_came_with_another_precision_is_the_same_observation(lake):
    late = trades(0, 5).with_columns(pl.col("ts").dt.offset_by("3ms"), amount=pl.lit(9.0))
    observe(lake, trades(0, 5), -10, TRADES)
    observe(lake, late, -30, TRADES)
    assert lake.load(TRADES)["amount"].to_list() == trades(0, 5)["amount"].to_list()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just("compact"),
            st.tuples(st.integers(-50, -1), st.sets(st.integers(0, 6), min_size=1), st.integers(0, 3)),
        ),
        max_size=8,
    )
)
def test_whatever_the_order_of_commits_each_row_is_its_newest_observation(steps):
    """One that says nothing new is not on record: it writes nothing."""
    newest: dict[int, tuple[int, float]] = {}
    with memory_lake(Settings(), clock=lambda: NOW) as lake:
        for step in steps:
            if step == "compact":
                lake.compact()
                continue
            at, minutes, bump = step
            frame = pl.concat([bars(minute, minute + 1, bump=float(bump)) for minute in sorted(minutes)])
            observe(lake, frame, at)
            observe(lake, frame, at)
            for minute, value in zip(sorted(minutes), frame["open"], strict=True):
                seen, held = newest.get(minute, (at, None))
                if at >= seen and value != held:
                    newest[minute] = (at, value)
        assert lake.engine.load(BARS)["open"].to_list() == [newest[minute][1] for minute in sorted(newest)]
        assert lake.verify(deep=True) == []
