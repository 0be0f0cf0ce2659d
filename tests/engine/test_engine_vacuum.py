"""Vacuum: old versions and garbage leave for good, nothing that is live or young does."""

import os
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest
from engine_lakes import BARS, MANY, MINUTE, at, full, lake_in, tree

from ticklake.catalog.removal import known_paths
from ticklake.engine.vacuum import is_garbage
from ticklake.errors import TicklakeError
from ticklake.testing.clocks import OffsetClock
from ticklake.testing.rows import bars

HOUR = 60 * MINUTE
DAY = 24 * HOUR


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


def test_files_of_a_declared_kind_are_vacuumed_like_others(lake, root):
    """They all lie under one folder, so that they are found whatever this process knows of the lake's kinds."""
    replaced(lake)
    folder = root / "derived" / "momentum" / "variant=v1"
    folder.mkdir(parents=True)
    (folder / "2024-old.parquet").write_bytes(b"left by a write that was killed")
    aged(folder / "2024-old.parquet", 2)
    assert lake.vacuum().garbage == 1
    assert list(folder.iterdir()) == []


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


# clocks that jump, writers that stall


def stalled(lake, meanwhile):
    """Let *meanwhile* happen once between the file of the next append and its commit."""
    commit = lake.engine.catalog.commit

    def late(*args, **named):
        lake.engine.catalog.commit = commit
        meanwhile()
        return commit(*args, **named)

    lake.engine.catalog.commit = late


def test_a_vacuum_whose_clock_runs_two_hours_ahead_leaves_a_new_file_alone(lake, root):
    ahead = OffsetClock()
    ahead.ahead = 2 * HOUR
    with lake_in(root, ahead) as other:
        stalled(lake, other.vacuum)
        (before,) = [lake.save(BARS, bars(0, MANY)).new]
    assert before == MANY
    assert lake.load(BARS).equals(full(bars(0, MANY)))
    assert len(tree(root)) == 1


def test_a_file_that_was_removed_before_its_commit_is_written_again(lake, root):
    """Whatever removed it: what is acknowledged is there."""
    ahead = OffsetClock()
    ahead.ahead = 400 * DAY
    removed = []
    with lake_in(root, ahead) as other:
        stalled(lake, lambda: removed.append(other.vacuum().garbage))
        assert lake.save(BARS, bars(0, MANY)).new == MANY
    assert removed == [1]
    assert lake.load(BARS).equals(full(bars(0, MANY)))
    assert lake.verify(deep=True) == []
    assert set(tree(root)) == known_paths(lake.engine.catalog.database)


def test_a_writer_that_stalls_for_hours_between_file_and_commit_loses_nothing(lake, root):
    def stall():
        for name in tree(root):
            aged(root / name, 30)
        with lake_in(root) as other:
            other.save(BARS, bars(5 * MANY, 5 * MANY + 10))
            assert other.vacuum().garbage == 1

    stalled(lake, stall)
    assert lake.save(BARS, bars(0, MANY)).new == MANY
    assert lake.load(BARS).height == MANY + 10
    assert lake.verify(deep=True) == []


@pytest.mark.parametrize("act", [lambda lake: lake.compact(), lambda lake: lake.delete(BARS, at(5), at(9))])
def test_whatever_writes_files_writes_them_again(lake, root, act):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    live = set(tree(root))
    stalled(lake, lambda: [(root / name).unlink() for name in set(tree(root)) - live])
    act(lake)
    assert lake.load(BARS).height in {MANY + 10, MANY + 6}
    assert lake.verify(deep=True) == []


def test_a_file_that_is_removed_each_time_fails_the_append_and_acknowledges_nothing(lake, root, monkeypatch):
    exists = lake.engine.objects.exists
    monkeypatch.setattr(lake.engine.objects, "exists", lambda key: exists(key) and "2024-" not in key)
    monkeypatch.setattr("ticklake.engine.store.ATTEMPTS", 3)
    with pytest.raises(TicklakeError, match="removed before its commit") as caught:
        lake.save(BARS, bars(0, MANY))
    assert caught.value.retriable
    assert lake.datasets() == []
    assert tree(root) == []


def test_vacuum_deletes_files_only_while_it_holds_the_write_lock(lake, root, monkeypatch):
    replaced(lake)
    seen = []

    def delete(key):
        connection = sqlite3.connect(root / "catalog.db", timeout=0, isolation_level=None)
        with closing(connection), pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("begin immediate")
        seen.append(key)

    (live,) = [name for name in tree(root) if not name.startswith("retired/")]
    shutil.copy(root / live, (root / live).with_name("2024-old.parquet"))
    aged((root / live).with_name("2024-old.parquet"), 30)
    monkeypatch.setattr(lake.engine.objects, "delete", delete)
    lake.vacuum(keep=0)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("modified", "newest", "garbage"),
    [(-0.5, 0, False), (-2, 0, True), (-2, -1.5, False), (-20, -30, False), (-25, -30, True), (-25, 0, True)],
)
def test_the_age_of_garbage_is_judged_by_the_clock_and_by_the_catalog(modified, newest, garbage):
    now = 10**18
    assert is_garbage(int(now + modified * HOUR), now, int(now + newest * HOUR)) is garbage


@pytest.mark.parametrize("act", [lambda lake: lake.compact(), lambda lake: lake.save(BARS, bars(20, MANY, bump=1.0))])
def test_a_file_that_is_removed_as_soon_as_it_is_written_is_written_again(lake, root, monkeypatch, act):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    live, create, removed = set(tree(root)), lake.engine.objects.create, []

    @contextmanager
    def create_and_lose(key):
        with create(key) as sink:
            yield sink
        if not removed:
            removed.append(key)
            (root / key).unlink()

    monkeypatch.setattr(lake.engine.objects, "create", create_and_lose)
    act(lake)
    assert set(removed) - live == set(removed)
    assert lake.load(BARS).height == MANY + 10
    assert lake.verify(deep=True) == []
