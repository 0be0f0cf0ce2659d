"""Backing up: a copy that is itself a lake, whatever writers do meanwhile."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from engine_lakes import BARS, MANY, MINUTE, TRADES, USER, Overtaken, at, full, lake_in, tree

import ticklake
from ticklake.app import CATALOG_FILE
from ticklake.engine import backup
from ticklake.errors import BadInput, DiskFull, MissingSegment, StorageError, TicklakeError
from ticklake.testing.rows import bars, trades

SOURCES = Path(ticklake.__file__).parents[1]


def test_a_backup_is_a_lake_with_the_same_rows(any_lake, tmp_path):
    any_lake.save(BARS, bars(0, MANY))
    any_lake.save(BARS, bars(5, 10, bump=1.0))
    any_lake.save(TRADES, trades(0, 50))
    done = any_lake.backup(tmp_path / "deep" / "copy")
    assert (done.copied, done.kept) == (1, 0)
    with lake_in(tmp_path / "deep" / "copy") as copy:
        assert copy.load(BARS).equals(any_lake.load(BARS))
        assert copy.load(TRADES).equals(any_lake.load(TRADES))
        assert copy.revisions(BARS) == any_lake.revisions(BARS)
        assert copy.engine.inventory() == any_lake.engine.inventory()
        assert copy.verify(deep=True) == []
        assert copy.save(BARS, bars(MANY, MANY + 1)).new == 1
    assert any_lake.load(BARS).height == MANY


def test_a_repeated_backup_copies_only_what_is_new(lake, root, tmp_path):
    lake.save(BARS, bars(0, MANY))
    first = lake.backup(tmp_path / "copy")
    lake.save(BARS, bars(MANY, 2 * MANY))
    second, third = (lake.backup(tmp_path / "copy") for _ in range(2))
    assert [(done.copied, done.kept) for done in (first, second, third)] == [(1, 0), (1, 1), (0, 2)]
    sizes = [(root / name).stat().st_size for name in tree(root)]
    assert (first.bytes + second.bytes, third.bytes) == (sum(sizes), 0)
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(full(bars(0, 2 * MANY)))


def test_a_backup_after_compaction_follows_it(lake, tmp_path):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, 2 * MANY))
    lake.backup(tmp_path / "copy")
    lake.compact()
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(full(bars(0, 2 * MANY)))
        assert copy.verify() == []


def test_a_backup_of_an_empty_lake_is_an_empty_lake(lake, tmp_path):
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.datasets() == []


def test_a_copy_that_was_cut_short_is_made_again(lake, tmp_path):
    lake.save(BARS, bars(0, MANY))
    lake.backup(tmp_path / "copy")
    (name,) = tree(tmp_path / "copy")
    (tmp_path / "copy" / name).write_bytes(b"half")
    assert lake.backup(tmp_path / "copy").copied == 1
    with lake_in(tmp_path / "copy") as copy:
        assert copy.verify() == []


def test_backups_taken_while_others_write_and_compact_are_sound(root, lake, tmp_path):
    """What was acknowledged before a backup began is in it."""
    lake.save(BARS, bars(0, MANY))
    stop, acknowledged, errors = threading.Event(), [MANY], []

    def write():
        try:
            with lake_in(root) as other:
                while not stop.is_set():
                    first = acknowledged[0]
                    many = first // 10 % 7 == 0
                    last = first + (MANY if many else 10)
                    other.save(BARS, bars(first, last))
                    acknowledged[0] = last
                    if many:
                        other.compact()
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(6):
            before = acknowledged[0]
            lake.backup(tmp_path / f"copy{number % 2}")
            with lake_in(tmp_path / f"copy{number % 2}") as copy:
                rows = copy.load(BARS)
                assert rows.height >= before
                assert rows.equals(full(bars(0, rows.height)))
                assert copy.verify() == []
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert acknowledged[0] > MANY


def test_a_file_retired_while_it_is_copied_is_copied_from_where_it_is_now(engine_in, root, tmp_path):
    engine = engine_in(root, Overtaken)
    engine.append(BARS, bars(0, MANY), USER)
    engine.objects.overtaking = True
    backup.backup(engine.store, tmp_path / "copy", CATALOG_FILE)
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(full(bars(0, MANY)))


def test_a_backup_that_fails_leaves_the_one_before_it(lake, root, tmp_path):
    lake.save(BARS, bars(0, 10))
    lake.backup(tmp_path / "copy")
    lake.save(BARS, bars(10, MANY))
    (name,) = tree(root)
    (root / name).unlink()
    with pytest.raises(StorageError, match=Path(name).name):
        lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(full(bars(0, 10)))


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(lake, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/copy"):
        lake.backup(tmp_path / "file" / "copy")


def test_a_full_disk_is_disk_full(lake, tmp_path, monkeypatch):
    lake.save(BARS, bars(0, MANY))

    def refuse(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "replace_file", refuse)
    with pytest.raises(DiskFull, match=r"no space for .*parquet"):
        lake.admin.backup(tmp_path / "copy")


def test_a_lake_is_not_backed_up_onto_itself(lake, root):
    """Replacing the catalog under its own writers would lose what they write next."""
    lake.save(BARS, bars(0, 10))
    with pytest.raises(TicklakeError):
        lake.backup(root)
    lake.save(BARS, bars(10, 20))
    with lake_in(root) as again:
        assert again.load(BARS).height == 20


_KILLED_IN_THE_COPY = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engine_lakes import BARS, lake_in
from ticklake.testing.rows import bars

lake = lake_in(Path(sys.argv[1]))
for minute in range(10_000, 10_200):
    lake.save(BARS, bars(minute, minute + 1))
print("written", flush=True)
time.sleep(60)
"""


def test_a_backup_over_a_copy_in_which_a_process_was_killed_is_the_backup(lake, tmp_path):
    """The dead process leaves a write-ahead log that must not be replayed into the new catalog."""
    lake.save(BARS, bars(0, 300))
    lake.backup(tmp_path / "copy")
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED_IN_THE_COPY, str(tmp_path / "copy"), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    lake.save(BARS, bars(300, 310))
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        with copy.engine.catalog.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert copy.load(BARS).equals(full(bars(0, 310)))
        assert copy.last_timestamp(BARS) == at(309) == at(310) - MINUTE


def test_everything_is_on_the_disk_before_the_catalog_of_a_backup_takes_its_place(lake, tmp_path, monkeypatch):
    """What a power cut takes is what was not fsynced: neither a file's bytes nor its name may be among it."""
    lake.save(BARS, bars(0, MANY))
    synced, fsync, replace = [], os.fsync, os.replace

    def sync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def put(source, target):
        if Path(target).name == "catalog.db":
            synced.append("the catalog is in place")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", put)
    lake.backup(tmp_path / "copy")
    place = synced.index("the catalog is in place")
    (copied,) = (tmp_path / "copy").rglob("*.parquet")
    assert f"{copied}.part" in synced[:place]
    folders = {str(parent) for parent in copied.parents if parent.is_relative_to(tmp_path)}
    assert folders <= set(synced[:place])
    assert str(tmp_path / "copy") in synced[place:]


def test_a_backup_over_a_copy_that_was_used_as_a_lake_is_the_backup_without_an_alarm(lake, tmp_path, caplog):
    lake.save(BARS, bars(0, 100))
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        for number in range(10):
            copy.save(BARS, bars(200 + number, 201 + number))
    lake.save(BARS, bars(100, 150))
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(full(bars(0, 150)))
        assert copy.verify(deep=True) == []
        assert copy.save(BARS, bars(150, 160)).new == 10
    assert caplog.records == []


def test_a_backup_over_a_copy_that_is_open_does_not_mix_with_its_log(lake, tmp_path):
    lake.save(BARS, bars(0, 100))
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as used:
        for number in range(30):
            used.save(TRADES, trades(number * 50, number * 50 + 50))
        lake.save(BARS, bars(100, 150))
        lake.backup(tmp_path / "copy")
        with lake_in(tmp_path / "copy") as copy:
            assert copy.verify(deep=True) == []
            assert copy.load(BARS).equals(full(bars(0, 150)))


def test_a_backup_over_a_copy_that_another_process_reads_a_log_of_is_refused(lake, tmp_path):
    lake.save(BARS, bars(0, 100))
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as used:
        with used.engine.catalog.database.read() as connection:
            connection.exec_driver_sql("select count(*) from commits").fetchone()
            used.save(TRADES, trades(0, 50))
            with pytest.raises(BadInput, match="another process"):
                lake.backup(tmp_path / "copy")
        assert used.load(TRADES).height == 50
    lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert (str(TRADES) in map(str, copy.datasets()), copy.verify(deep=True)) == (False, [])


def test_a_backup_beside_a_vacuum_that_keeps_nothing_is_whole(lake, root, tmp_path, monkeypatch):
    for number in range(3):
        lake.save(BARS, bars(number * MANY, number * MANY + MANY))
    lake.save(BARS, bars(3 * MANY, 3 * MANY + 5))
    copy_file, happened = backup.digest, []

    def compacted_and_vacuumed_meanwhile(data):
        if not happened:
            happened.append(1)
            with lake_in(root) as other:
                other.save(BARS, bars(0, 3 * MANY, bump=1.0))
                other.compact()
                other.vacuum(0)
        return copy_file(data)

    monkeypatch.setattr(backup, "digest", compacted_and_vacuumed_meanwhile)
    lake.backup(tmp_path / "copy")
    assert happened
    with lake_in(tmp_path / "copy") as copy:
        assert copy.load(BARS).equals(lake.load(BARS))
        assert copy.verify(deep=True) == []


def test_a_backup_of_a_lake_that_lacks_a_file_says_which(lake, root, tmp_path):
    lake.save(BARS, bars(0, MANY))
    (name,) = tree(root)
    (root / name).unlink()
    with pytest.raises(MissingSegment, match="parquet"):
        lake.backup(tmp_path / "copy")
