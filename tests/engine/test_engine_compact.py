"""Compaction: many small segments become few large ones, and nothing else changes."""

import io
import itertools
from contextlib import contextmanager

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, by_duckdb, by_polars, full, lake_in, physical, span, tree
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ticklake.app import memory_lake
from ticklake.catalog.catalog import Catalog
from ticklake.config import Settings
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.engine.compact import compact
from ticklake.engine.store import Store
from ticklake.errors import CorruptSegment, StorageError, TicklakeError
from ticklake.storage.local import LocalStore
from ticklake.testing.rows import bars, trades

YEAR = 366 * 24 * 60
"""Minutes of 2024."""


def live_paths(lake, dataset=BARS):
    return sorted(segment.path for segment in lake.engine.catalog.snapshot(dataset)[2])


def hive(root):
    return [name for name in tree(root) if not name.startswith("retired/")]


def test_many_small_appends_become_one_file_for_each_period(lake, root):
    for first in range(0, 300, 10):
        lake.save(BARS, bars(first, first + 10))
    lake.save(BARS, bars(YEAR, YEAR + 5))
    before = lake.load(BARS)
    (done,) = lake.compact()
    assert (done.segments_before, done.segments_after, done.rows) == (31, 2, 305)
    assert lake.load(BARS).equals(before)
    assert live_paths(lake) == hive(root)
    assert [segment.period for segment in sorted(lake.engine.catalog.snapshot(BARS)[2], key=lambda s: s.min_ts)] == [
        "2024",
        "2025",
    ]


def test_compacting_twice_is_the_same_as_once(lake, root):
    for first in range(0, 100, 10):
        lake.save(BARS, bars(first, first + 15, bump=first))
    lake.compact()
    before = lake.engine.catalog.version(), tree(root), live_paths(lake)
    (again,) = lake.compact()
    assert (lake.engine.catalog.version(), tree(root), live_paths(lake)) == before
    assert again.segments_before == again.segments_after == 1


def test_compacting_an_empty_lake_or_an_unknown_dataset_does_nothing(any_lake):
    assert any_lake.compact() == []
    (done,) = any_lake.engine.compact([BARS])
    assert (done.segments_before, done.segments_after, done.rows) == (0, 0, 0)
    assert any_lake.datasets() == []


def test_compacting_changes_nothing_that_is_known_about_the_rows(any_lake):
    one, other = Provenance("ccxt", "a"), Provenance("ccxt", "b")
    any_lake.engine.append(BARS, bars(0, 10), one, [Covered(span(0, 20))])
    any_lake.engine.append(BARS, bars(5, 12, bump=1.0), other, [Covered(span(20, 30))])
    any_lake.save(BARS, bars(12, 13).with_columns(high=pl.lit(0.1)))

    def known():
        row = any_lake.engine.inventory()[0]
        return (
            any_lake.load(BARS, provenance=True).rows(),
            any_lake.coverage(BARS),
            any_lake.revisions(BARS),
            any_lake.quarantine(BARS),
            [any_lake.provenance(BARS, at(minute)) for minute in range(12)],
            (row.rows, row.min_ts, row.max_ts),
        )

    before = known()
    any_lake.compact()
    assert known() == before


def test_identical_prints_survive_compaction_and_a_download_after_it(any_lake):
    prints = pl.concat([trades(0, 5, ids=False), *[trades(2, 3, ids=False)] * 2]).sort("ts", maintain_order=True)
    any_lake.save(TRADES, prints[:4])
    any_lake.save(TRADES, prints)
    any_lake.compact()
    assert any_lake.load(TRADES).height == 7
    assert any_lake.save(TRADES, prints).new == 0
    assert any_lake.load(TRADES).height == 7


def test_replaced_files_leave_the_hive_tree(lake, root):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, 2 * MANY))
    old = hive(root)
    lake.compact()
    assert sorted(name for name in tree(root) if name.startswith("retired/")) == [f"retired/{name}" for name in old]
    assert hive(root) == live_paths(lake)


@pytest.mark.parametrize("read", [by_duckdb, by_polars])
def test_other_engines_read_from_the_tree_what_the_lake_loads(lake, root, read):
    other = Dataset.parse("x:ohlcv:1m:ETH/USDT")
    lake.save(other, bars(0, 7))
    for first in range(0, 50, 10):
        lake.save(BARS, bars(first, first + 12))
    seen = []
    lake.compact()
    seen.append(read(root) == physical(lake.load(BARS)))
    lake.save(BARS, bars(40, 70, bump=1.0))
    lake.compact()
    seen.append(read(root) == physical(lake.load(BARS)))
    lake.delete(BARS, "2024-01-01T00:05", "2024-01-01T00:20")
    lake.compact()
    seen.append(read(root) == physical(lake.load(BARS)))
    seen.append(read(root, other) == physical(lake.load(other)))
    assert seen == [True] * 4
    assert lake.load(BARS).height == 55


@pytest.mark.parametrize("read", [by_duckdb, by_polars])
def test_other_engines_read_trades_with_their_hidden_columns_out_of_the_way(lake, root, read):
    lake.save(TRADES, trades(0, 500))
    lake.save(TRADES, trades(400, 900))
    lake.compact()
    assert read(root, TRADES) == physical(lake.load(TRADES))


def test_a_replaced_file_that_a_crash_left_in_the_tree_is_settled_by_the_next_compaction(lake, root):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 5))
    (old,) = hive(root)
    lake.compact()
    (root / "retired" / old).rename(root / old)
    assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
    lake.compact()
    assert hive(root) == live_paths(lake)
    assert (root / "retired" / old).is_file()
    assert by_duckdb(root) == physical(lake.load(BARS))


_BATCHES = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 40), st.integers(1, 200), st.sampled_from([1, 60, 1440]), st.integers(0, 2)),
    min_size=1,
    max_size=4,
)


def saved(batches):
    """A lake in memory with these batches: first minute, count, step, and how values differ."""
    lake = memory_lake(Settings())
    for first, count, step, bump in batches:
        lake.save(BARS, bars(first, first + count * step, float(bump), step))
    return lake


def store_of(lake):
    return Store(lake.engine.catalog, lake.engine.objects, lambda: at(10**6), "ticklake test")


@given(batches=_BATCHES, target=st.sampled_from([20, 100, 300, 10**6]))
@settings(max_examples=12, deadline=None)
def test_no_compaction_changes_a_row_whatever_the_size_of_its_files(batches, target):
    with saved(batches) as lake:
        before = lake.load(BARS, provenance=True)
        compact(store_of(lake), BARS, target)
        found = sorted(lake.engine.catalog.snapshot(BARS)[2], key=lambda segment: segment.min_ts)
        assert lake.load(BARS, provenance=True).equals(before)
        assert all(left.max_ts < right.min_ts for left, right in itertools.pairwise(found))
        assert sum(segment.rows for segment in found) == before.height == lake.engine.inventory()[0].rows
        assert lake.verify(deep=True) == []


@given(batches=_BATCHES, target=st.sampled_from([20, 100, 300, 10**6]))
@example(batches=[(0, 200, 1440, 0), (0, 200, 1440, 1)], target=300)
@settings(max_examples=12, deadline=None)
def test_the_second_compaction_finds_nothing_to_do(batches, target):
    with saved(batches) as lake:
        compact(store_of(lake), BARS, target)
        version = lake.engine.catalog.version()
        compact(store_of(lake), BARS, target)
        assert lake.engine.catalog.version() == version


def rotten(spoil):
    """A folder that keeps other bytes than it was given."""

    class Rotten(LocalStore):
        @contextmanager
        def create(self, key):
            whole = io.BytesIO()
            with super().create(key) as sink:
                yield whole
                sink.write(spoil(whole.getvalue()))

    return Rotten


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-50], lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:]],
    ids=["cut", "flipped"],
)
def test_a_file_that_does_not_read_back_replaces_nothing(engine_in, root, spoil):
    engine = engine_in(root)
    for first in range(0, 500, 50):
        engine.append(BARS, bars(first, first + 50), USER)
    with pytest.raises(StorageError, match=r"nothing was (replaced|committed)"):
        engine_in(root, rotten(spoil)).compact()
    assert tree(root) == []
    assert engine.load(BARS).equals(full(bars(0, 500)))


def test_a_damaged_input_is_named_and_replaces_nothing(lake, root):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    (name,) = tree(root)
    (root / name).write_bytes((root / name).read_bytes()[:1_000])
    with pytest.raises(CorruptSegment, match=name.rpartition("/")[2]):
        lake.compact()
    assert tree(root) == [name]
    assert len(lake.engine.catalog.snapshot(BARS)[2]) == 2


def test_a_refused_commit_leaves_no_file_and_the_rows_as_they_were(engine_in, root):
    class Refusing(Catalog):
        def commit(self, operation, changes):
            raise TicklakeError("no")

    engine = engine_in(root)
    engine.append(BARS, bars(0, 10), USER)
    engine.append(BARS, bars(10, 20), USER)
    with pytest.raises(TicklakeError, match="no"):
        engine_in(root, catalog=Refusing).compact()
    assert tree(root) == []
    assert engine.load(BARS).equals(full(bars(0, 20)))


def test_every_dataset_is_compacted_unless_one_is_named(lake):
    others = [Dataset.parse(f"x:ohlcv:1m:{base}/USDT") for base in ("A", "B")]
    for dataset in others:
        lake.save(dataset, bars(0, 5))
        lake.save(dataset, bars(5, 9))
    lake.compact(others[0])
    assert [len(lake.engine.catalog.snapshot(dataset)[2]) for dataset in others] == [1, 2]
    assert [done.dataset for done in lake.compact()] == [str(dataset) for dataset in others]
    assert [len(lake.engine.catalog.snapshot(dataset)[2]) for dataset in others] == [1, 1]


def test_a_compacted_lake_opens_again_with_the_same_rows(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 20))
        lake.save(BARS, bars(10, 30, bump=1.0))
        lake.compact()
        before = lake.load(BARS)
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(before)
        assert lake.save(BARS, bars(30, 31)).new == 1


def test_a_compaction_whose_old_files_cannot_be_moved_is_done_all_the_same(engine_in, root):
    """The disk is full just after the commit: the next compaction moves what stayed in the tree."""

    class Stuck(LocalStore):
        def move(self, key, to):
            raise StorageError("no space")

    engine = engine_in(root, Stuck)
    engine.append(BARS, bars(0, MANY), USER)
    engine.append(BARS, bars(MANY, MANY + 5), USER)
    assert [done.segments_after for done in engine_in(root).compact()] == [1]
    engine.append(BARS, bars(MANY + 5, MANY + 10), USER)
    compact(engine.store, BARS)
    assert engine.load(BARS).equals(full(bars(0, MANY + 10)))
    assert len([name for name in tree(root) if name.startswith("ohlcv")]) == 2
    engine_in(root).compact()
    assert len([name for name in tree(root) if name.startswith("ohlcv")]) == 1
