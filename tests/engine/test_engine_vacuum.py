"""Vacuum: old versions and garbage leave for good, nothing that is live or young does."""

import os
import shutil
import time

import pytest
from engine_lakes import BARS, MANY, MINUTE, at, bars, full, tree

from ticklake.errors import TicklakeError

DAY = 24 * 60 * MINUTE


def replaced(lake):
    """Fill a lake so that a file and an inline segment were replaced; return the version before."""
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    version = lake.engine.catalog.version()
    lake.compact()
    return version


def aged(path, hours):
    then = time.time() - hours * 3_600
    os.utime(path, (then, then))


def test_replaced_segments_stay_readable_for_as_long_as_they_are_kept(any_lake, clock):
    version = replaced(any_lake)
    clock.ahead += 6 * DAY
    assert any_lake.vacuum().segments == 0
    assert any_lake.at(version).load(BARS).equals(full(bars(0, MANY + 10)))


def test_segments_replaced_longer_ago_leave_for_good(lake, root, clock):
    replaced(lake)
    clock.ahead += 8 * DAY
    size = sum((root / name).stat().st_size for name in tree(root) if name.startswith("retired/"))
    done = lake.vacuum()
    assert (done.segments, done.garbage) == (2, 0)
    assert done.bytes > size
    assert len(tree(root)) == 1
    assert lake.load(BARS).equals(full(bars(0, MANY + 10)))
    assert lake.verify() == []


def test_vacuum_again_finds_nothing(any_lake, clock):
    replaced(any_lake)
    clock.ahead += 8 * DAY
    any_lake.vacuum()
    assert (any_lake.vacuum().segments, any_lake.vacuum().garbage, any_lake.vacuum().bytes) == (0, 0, 0)


def test_how_long_to_keep_can_be_said(any_lake, clock):
    replaced(any_lake)
    clock.ahead += DAY
    assert any_lake.vacuum(keep=2 * DAY).segments == 0
    assert any_lake.vacuum(keep=DAY // 2).segments == 2


def test_only_versions_older_than_kept_are_lost(any_lake, clock):
    first = replaced(any_lake)
    clock.ahead += 8 * DAY
    kept = any_lake.engine.catalog.version()
    any_lake.save(BARS, bars(0, 5, bump=1.0))
    any_lake.compact()
    any_lake.vacuum()
    assert any_lake.at(kept).load(BARS).equals(full(bars(0, MANY + 10)))
    with pytest.raises(TicklakeError):
        any_lake.at(first).load(BARS)


def test_the_version_that_was_current_when_keeping_began_can_still_be_read(any_lake, clock):
    """It was live within the kept time, however long ago it was committed."""
    any_lake.save(BARS, bars(0, 10))
    version = any_lake.engine.catalog.version()
    clock.ahead += 30 * DAY
    any_lake.save(BARS, bars(10, 20))
    any_lake.compact()
    any_lake.vacuum()
    assert any_lake.at(version).load(BARS).equals(full(bars(0, 10)))


def test_an_old_file_that_nobody_names_is_garbage_and_a_young_one_is_left_alone(lake, root):
    replaced(lake)
    (live,) = [name for name in tree(root) if not name.startswith("retired/")]
    folder = (root / live).parent
    for name, hours in (("2024-old.parquet", 2), ("2024-young.parquet", 0)):
        shutil.copy(root / live, folder / name)
        aged(folder / name, hours)
    shutil.copy(root / live, root / "retired" / "2024-old.parquet")
    aged(root / "retired" / "2024-old.parquet", 2)
    done = lake.vacuum()
    assert (done.segments, done.garbage) == (0, 2)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["2024-young.parquet", (root / live).name])
    assert lake.load(BARS).equals(full(bars(0, MANY + 10)))


def test_live_and_kept_files_are_no_garbage_however_old(lake, root):
    version = replaced(lake)
    for name in tree(root):
        aged(root / name, 10_000)
    assert lake.vacuum().garbage == 0
    assert lake.verify() == []
    assert lake.at(version).load(BARS).height == MANY + 10


def test_a_replaced_file_that_a_crash_left_in_the_tree_leaves_too(lake, root, clock):
    replaced(lake)
    (old,) = [name for name in tree(root) if name.startswith("retired/")]
    (root / old).rename(root / old.removeprefix("retired/"))
    clock.ahead += 8 * DAY
    lake.vacuum()
    assert len(tree(root)) == 1
    assert lake.load(BARS).equals(full(bars(0, MANY + 10)))


def test_a_file_put_just_now_is_young_in_memory_too(any_lake):
    any_lake.save(BARS, bars(0, 5))
    any_lake.engine.objects.put("ohlcv/about-to-be-committed.parquet", b"data")
    assert any_lake.vacuum().garbage == 0
    assert any_lake.engine.objects.exists("ohlcv/about-to-be-committed.parquet")


def test_a_lake_goes_on_after_vacuum(any_lake):
    replaced(any_lake)
    any_lake.vacuum(keep=0)
    assert any_lake.save(BARS, bars(0, MANY + 20)).new == 10
    any_lake.compact()
    assert any_lake.load(BARS, at(0)).equals(full(bars(0, MANY + 20)))
