"""Knowing what is there and what is missing, in words that tell the reasons apart."""

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, lake_in, minutes_of, span

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReason
from ticklake.testing.rows import bars, trades


def looked(lake, first, last, found=Found.DATA, why="", dataset=BARS, rows=()):
    lake.engine.append(dataset, rows, USER, [Covered(span(first, last), found, why)])


def words(gaps):
    return [(minutes_of_span(gap.span), gap.missing, gap.reason.value) for gap in gaps]


def minutes_of_span(one):
    return ((one.start - at(0)) // (at(1) - at(0)), (one.end - at(0)) // (at(1) - at(0)))


def test_the_last_timestamp_is_that_of_the_newest_row(any_lake):
    any_lake.save(BARS, bars(5, 10))
    any_lake.save(BARS, bars(0, 3))
    assert any_lake.last_timestamp(BARS) == at(9)
    any_lake.compact()
    assert any_lake.last_timestamp(BARS) == at(9)


def test_coverage_does_not_move_the_last_timestamp(any_lake):
    any_lake.save(BARS, bars(0, 3))
    looked(any_lake, 3, 50)
    assert any_lake.last_timestamp(BARS) == at(2)


def test_the_inventory_has_a_row_for_each_dataset(any_lake):
    other = Dataset.parse("x:trades:ETH/USDT")
    any_lake.save(BARS, bars(0, 10))
    any_lake.save(other, trades(0, 7))
    frame = any_lake.inventory()
    assert frame["dataset"].to_list() == [str(BARS), str(other)]
    assert frame["rows"].to_list() == [10, 7]
    assert frame["first"].to_physical().to_list() == [at(0), at(0)]
    assert frame["last"].to_physical().to_list() == [at(9), at(0) + 6 * 10**9]
    assert any_lake.inventory("ETH")["rows"].to_list() == [7]


def test_the_inventory_is_listed_anew_only_after_a_change(lake, root, monkeypatch):
    lake.save(BARS, bars(0, 3))
    listing, listed = lake.engine.listing, []
    monkeypatch.setattr(lake.engine, "listing", lambda: listed.append(1) or listing())
    first = lake.inventory()
    assert lake.inventory().equals(first)
    assert lake.inventory(search="ETH").is_empty()
    assert len(listed) == 1
    with lake_in(root) as other:
        other.save(BARS, bars(3, 5))
    assert lake.inventory()["rows"].to_list() == [5]
    lake.save(BARS, bars(5, 6))
    assert lake.inventory()["rows"].to_list() == [6]
    assert len(listed) == 3


def test_a_changed_inventory_is_a_copy(lake):
    lake.save(BARS, bars(0, 3))
    frame = lake.inventory()
    frame[0, "rows"] = 100
    frame.drop_in_place("files")
    assert lake.inventory().select("rows", "files").rows() == [(3, 0)]


def test_the_inventory_counts_the_bytes_of_what_is_live(lake):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    lake.compact()
    (segment,) = lake.engine.catalog.snapshot(BARS)[2]
    assert lake.inventory()["bytes"].to_list() == [segment.size]
    assert lake.inventory()["rows"].to_list() == [MANY + 10]


def test_missing_bars_are_runs_of_the_calendar(any_lake):
    any_lake.save(BARS, pl.concat([bars(0, 3), bars(5, 6), bars(8, 10)]))
    assert any_lake.missing_intervals(BARS) == [span(3, 5), span(6, 8)]
    assert any_lake.missing_intervals(BARS, at(-2), at(4)) == [span(-2, 0), span(3, 4)]
    assert any_lake.missing_intervals(BARS, at(0), at(3)) == []


def test_missing_bars_do_not_depend_on_where_segments_end(any_lake):
    for first in range(0, 40, 4):
        any_lake.save(BARS, bars(first, first + 3))
    before = any_lake.missing_intervals(BARS)
    any_lake.compact()
    assert any_lake.missing_intervals(BARS) == before == [span(first + 3, first + 4) for first in range(0, 36, 4)]


def test_missing_trades_are_the_spans_never_looked_at(any_lake):
    looked(any_lake, 0, 10, dataset=TRADES, rows=trades(0, 5))
    looked(any_lake, 20, 30, dataset=TRADES)
    assert any_lake.missing_intervals(TRADES, at(0), at(40)) == [span(10, 20), span(30, 40)]


def test_months_are_missing_by_the_calendar(any_lake):
    months = Dataset.parse("x:ohlcv:1M:BTC/USDT")
    any_lake.save(months, bars(0, 1))
    any_lake.save(months, bars(60 * 1440, 60 * 1440 + 1))
    assert any_lake.missing_intervals(months) == [span(31 * 1440, 60 * 1440)]


def test_what_nobody_asked_for_is_not_fetched(any_lake):
    looked(any_lake, 0, 5, rows=bars(0, 5))
    assert words(any_lake.gaps(BARS, at(0), at(8))) == [((5, 8), 3, "not_fetched")]


def test_a_quiet_minute_in_a_looked_at_span_had_no_trades(any_lake):
    looked(any_lake, 0, 10, rows=pl.concat([bars(0, 4), bars(6, 10)]))
    assert words(any_lake.gaps(BARS)) == [((4, 6), 2, "no_trades")]


@pytest.mark.parametrize("found", [Found.UNAVAILABLE, Found.LOST])
def test_what_the_exchange_could_not_give_says_so_and_why(any_lake, found):
    looked(any_lake, 0, 5, rows=bars(0, 5))
    looked(any_lake, 5, 9, found, "recent only")
    (gap,) = any_lake.gaps(BARS)
    assert gap == Gap(span(5, 9), 4, GapReason(found.value), "recent only")


def test_a_refused_bar_is_invalid_not_quiet(any_lake):
    wrong = bars(4, 5).with_columns(high=pl.lit(0.1))
    looked(any_lake, 0, 10, rows=pl.concat([bars(0, 4), wrong, bars(6, 10)]))
    assert words(any_lake.gaps(BARS)) == [((4, 5), 1, "invalid"), ((5, 6), 1, "no_trades")]
    any_lake.save(BARS, bars(4, 5))
    assert words(any_lake.gaps(BARS)) == [((5, 6), 1, "no_trades")]


def test_before_its_listing_nothing_is_missing(any_lake):
    looked(any_lake, -1000, 3, Found.UNLISTED)
    looked(any_lake, 3, 10, rows=bars(3, 8))
    assert any_lake.missing_intervals(BARS, at(-1000), at(10)) == [span(8, 10)]
    assert words(any_lake.gaps(BARS, at(-1000), at(10))) == [((8, 10), 2, "no_trades")]


def test_gaps_of_trades_come_from_coverage_alone(any_lake):
    looked(any_lake, 0, 10, dataset=TRADES, rows=trades(0, 5))
    looked(any_lake, 10, 12, Found.LOST, "a full second", dataset=TRADES)
    looked(any_lake, -50, 0, Found.UNLISTED, dataset=TRADES)
    found = any_lake.gaps(TRADES, at(-50), at(20))
    assert found == [
        Gap(span(10, 12), None, GapReason.LOST, "a full second"),
        Gap(span(12, 20), None, GapReason.NOT_FETCHED),
    ]


def test_all_reasons_stand_side_by_side_in_order(any_lake):
    looked(any_lake, 0, 5, Found.UNAVAILABLE, "old")
    looked(any_lake, 5, 20, rows=pl.concat([bars(5, 10), bars(12, 20)]))
    looked(any_lake, 22, 24, Found.LOST, "full")
    assert words(any_lake.gaps(BARS, at(0), at(30))) == [
        ((0, 5), 5, "unavailable"),
        ((10, 12), 2, "no_trades"),
        ((20, 22), 2, "not_fetched"),
        ((22, 24), 2, "lost"),
        ((24, 30), 6, "not_fetched"),
    ]


def test_deleted_bars_were_not_fetched(any_lake):
    looked(any_lake, 0, 10, rows=bars(0, 10))
    any_lake.delete(BARS, at(3), at(6))
    assert words(any_lake.gaps(BARS)) == [((3, 6), 3, "not_fetched")]
    assert any_lake.missing_intervals(BARS) == [span(3, 6)]


def test_every_missing_bar_has_exactly_one_reason(any_lake):
    looked(any_lake, 0, 50, rows=pl.concat([bars(0, 7), bars(9, 30), bars(31, 50)]))
    looked(any_lake, 60, 70, Found.UNAVAILABLE, "old")
    any_lake.save(BARS, bars(65, 68))
    gaps = any_lake.gaps(BARS, at(0), at(90))
    absent = sorted(set(range(90)) - set(minutes_of(any_lake.load(BARS))))
    told = [minute for gap in gaps for minute in range(*minutes_of_span(gap.span))]
    assert told == absent
    assert sum(gap.missing for gap in gaps) == len(absent)


def test_gaps_of_bars_hold_neither_all_times_nor_the_text_of_refused_rows(lake, monkeypatch):
    """Both grow with the dataset; what is kept of them depends on the holes."""
    lake.save(BARS, bars(0, 3))
    looked(lake, 3, 10)
    lake.engine.append(BARS, bars(5, 6).with_columns(high=pl.lit(0.5)), USER)
    expected = [((3, 5), 2, "no_trades"), ((5, 6), 1, "invalid"), ((6, 10), 4, "no_trades")]

    def everything(*_parts, **_names):
        pytest.fail("all rows were asked for at once")

    monkeypatch.setattr("ticklake.audit.gaps.load", everything)
    monkeypatch.setattr("ticklake.catalog.catalog.Catalog.quarantined", everything)
    assert words(lake.gaps(BARS)) == expected
    assert [minutes_of_span(one) for one in lake.missing_intervals(BARS)] == [(3, 10)]
