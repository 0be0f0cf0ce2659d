"""Deleting: the only way rows leave, from what is read now and not from the past."""

import polars as pl
import pytest
from engine_lakes import BARS, MANY, USER, Overtaking, at, full, minutes_of, span, tree

from ticklake.core.coverage import Covered
from ticklake.testing.rows import bars


def test_the_rows_of_a_span_go_and_are_counted(any_lake):
    any_lake.save(BARS, bars(0, 100))
    assert any_lake.delete(BARS, at(10), at(20)) == 10
    assert any_lake.load(BARS).equals(full(pl.concat([bars(0, 10), bars(20, 100)])))
    assert any_lake.engine.inventory()[0].rows == 90
    assert any_lake.delete(BARS, at(10), at(20)) == 0


def test_the_span_is_half_open(any_lake):
    any_lake.save(BARS, bars(0, 10))
    assert any_lake.delete(BARS, at(3), at(5)) == 2
    assert any_lake.delete(BARS, at(7) + 1, at(8)) == 0
    assert minutes_of(any_lake.load(BARS)) == [0, 1, 2, 5, 6, 7, 8, 9]


def test_a_row_that_several_segments_hold_counts_once_and_does_not_come_back(any_lake):
    for bump in (0.0, 1.0, 2.0):
        any_lake.save(BARS, bars(0, 20, bump))
    assert any_lake.delete(BARS, at(5), at(10)) == 5
    expected = full(pl.concat([bars(0, 5, 2.0), bars(10, 20, 2.0)]))
    assert any_lake.load(BARS).equals(expected)
    any_lake.compact()
    assert any_lake.load(BARS).equals(expected)


def test_a_change_outside_the_span_stays_the_newest(any_lake):
    any_lake.save(BARS, bars(0, 20))
    any_lake.save(BARS, bars(10, 30, 1.0))
    any_lake.delete(BARS, at(0), at(5))
    assert any_lake.load(BARS).equals(full(pl.concat([bars(5, 10), bars(10, 30, 1.0)])))


def test_the_rest_of_a_large_file_stays_exact(lake, root):
    lake.save(BARS, bars(0, 3 * MANY))
    assert lake.delete(BARS, at(100), at(MANY)) == MANY - 100
    assert lake.load(BARS).equals(full(pl.concat([bars(0, 100), bars(MANY, 3 * MANY)])))
    assert lake.verify(deep=True) == []
    named = {segment.path for segment in lake.engine.catalog.snapshot(BARS)[2] if segment.path}
    assert {name for name in tree(root) if not name.startswith("retired/")} == named


def test_what_was_deleted_is_no_longer_covered(any_lake):
    any_lake.engine.append(BARS, bars(0, 10), USER, [Covered(span(0, 20))])
    any_lake.delete(BARS, at(5), at(15))
    assert any_lake.coverage(BARS).spans() == [span(0, 5), span(15, 20)]


def test_coverage_is_forgotten_where_there_was_no_row(any_lake):
    any_lake.engine.append(BARS, bars(0, 10), USER, [Covered(span(0, 20))])
    assert any_lake.delete(BARS, at(10), at(20)) == 0
    assert any_lake.coverage(BARS).spans() == [span(0, 10)]


def test_deleting_everything_leaves_an_empty_dataset_that_can_be_filled_again(any_lake):
    any_lake.save(BARS, bars(0, 10))
    assert any_lake.delete(BARS) == 10
    assert any_lake.last_timestamp(BARS) is None
    assert any_lake.load(BARS).height == 0
    assert any_lake.engine.inventory()[0].bytes == 0
    assert any_lake.save(BARS, bars(0, 10)).new == 10
    assert any_lake.load(BARS).equals(full(bars(0, 10)))


def test_older_versions_still_hold_what_was_deleted(any_lake):
    any_lake.save(BARS, bars(0, MANY))
    before = any_lake.engine.catalog.version()
    any_lake.delete(BARS, at(5), at(MANY - 5))
    assert any_lake.at(before).load(BARS).equals(full(bars(0, MANY)))
    assert any_lake.load(BARS).height == 10


def test_the_newest_row_moves_back_when_the_end_is_deleted(any_lake):
    any_lake.save(BARS, bars(0, 10))
    any_lake.save(BARS, bars(20, 30))
    any_lake.delete(BARS, at(25))
    assert any_lake.last_timestamp(BARS) == at(24)
    any_lake.delete(BARS, at(15))
    assert any_lake.last_timestamp(BARS) == at(9)


def test_a_delete_overtaken_by_an_append_takes_the_new_rows_too(engine_in, root):
    engine, rival = engine_in(root, catalog=Overtaking), engine_in(root)
    engine.append(BARS, bars(0, 10), USER)
    engine.catalog.before_commit = lambda: rival.append(BARS, bars(5, 20), USER)
    assert engine.delete(BARS, span(0, 15)) == 15
    assert minutes_of(engine.load(BARS)) == [15, 16, 17, 18, 19]


def test_a_delete_overtaken_by_a_compaction_still_deletes(engine_in, root):
    engine, rival = engine_in(root, catalog=Overtaking), engine_in(root)
    engine.append(BARS, bars(0, 10), USER)
    engine.append(BARS, bars(10, 20), USER)
    engine.catalog.before_commit = lambda: rival.compact()
    assert engine.delete(BARS, span(5, 15)) == 10
    assert minutes_of(engine.load(BARS)) == [0, 1, 2, 3, 4, 15, 16, 17, 18, 19]


@pytest.mark.parametrize("accident", ["damaged", "missing"])
def test_a_lost_file_can_be_deleted_by_its_span_and_ingested_again(lake, root, accident):
    """It is the cure that the error names."""
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(2 * MANY, 3 * MANY))
    first = min(lake.engine.catalog.snapshot(BARS)[2], key=lambda segment: segment.min_ts).path
    if accident == "damaged":
        (root / first).write_bytes((root / first).read_bytes()[:1_000])
    else:
        (root / first).unlink()
    lake.delete(BARS, at(0), at(MANY))
    assert lake.load(BARS).equals(full(bars(2 * MANY, 3 * MANY)))
    assert lake.engine.inventory()[0].rows == MANY
    assert lake.save(BARS, bars(0, MANY)).new == MANY
    assert lake.verify() == []


def test_a_damaged_inline_segment_can_be_deleted_by_its_span(lake):
    lake.save(BARS, bars(0, 10))
    lake.save(BARS, bars(20, 30))
    with lake.engine.catalog.database.write() as connection:
        connection.exec_driver_sql(f"update segments set data = zeroblob(100) where min_ts = {at(0)}")
    lake.delete(BARS, at(0), at(10))
    assert lake.load(BARS).equals(full(bars(20, 30)))
