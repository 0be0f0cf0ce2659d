"""What only a folder can do wrong: full disks, forbidden places, half-written files."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ticklake
from ticklake.errors import DiskFull, ReadOnlyLake, StorageError
from ticklake.storage.local import LocalStore

SOURCES = Path(ticklake.__file__).parents[1]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def refusing(number, real, *, after=0):
    """A system call that works *after* times and then fails with an error number."""
    left = [after]

    def call(*arguments, **options):
        if left[0]:
            left[0] -= 1
            return real(*arguments, **options)
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_disk_full_and_leaves_no_file(store, tmp_path, monkeypatch, number):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(number, os.write))
        with pytest.raises(DiskFull, match="a/b"):
            store.put("a/b", b"data")
    assert files(tmp_path) == []


def test_a_disk_that_fills_up_half_way_leaves_no_file(store, tmp_path, monkeypatch):
    real, written = os.write, []

    def short(descriptor, data):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(descriptor, bytes(data[:10])))
        return written[0]

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        with pytest.raises(DiskFull):
            store.put("a/b", b"x" * 1_000)
    assert written == [10]
    assert files(tmp_path) == []


def test_a_write_that_takes_only_a_part_is_continued(store, monkeypatch):
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
        store.put("a/b", bytes(range(100)))
    assert store.get("a/b") == bytes(range(100))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_forbidden_place_is_a_read_only_lake_and_leaves_no_file(store, tmp_path, monkeypatch, number):
    (tmp_path / "a").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing(number, os.open))
        with pytest.raises(ReadOnlyLake, match="a/b"):
            store.put("a/b", b"data")
    assert files(tmp_path) == []


def test_any_other_failure_is_a_storage_error_that_names_the_file(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(errno.EIO, os.write))
        with pytest.raises(StorageError, match="a/b") as caught:
            store.put("a/b", b"data")
    assert type(caught.value) is StorageError
    assert isinstance(caught.value.__cause__, OSError)
    assert files(tmp_path) == []


def test_a_file_that_cannot_be_synced_is_not_left_behind(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(errno.ENOSPC, os.fsync))
        with pytest.raises(DiskFull):
            store.put("b", b"data")
    assert files(tmp_path) == []


def test_a_file_whose_folder_cannot_be_synced_is_not_left_behind(store, tmp_path, monkeypatch):
    store.put("first", b"1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(errno.EIO, os.fsync, after=1))
        with pytest.raises(StorageError):
            store.put("second", b"data")
    assert files(tmp_path) == ["first"]


def test_after_a_failure_the_same_key_can_be_put(store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(errno.ENOSPC, os.write))
        with pytest.raises(DiskFull):
            store.put("a/b", b"data")
    store.put("a/b", b"data")
    assert store.get("a/b") == b"data"


def test_an_interrupted_write_leaves_no_file(store, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.put("a/b", b"data")
    assert files(tmp_path) == []


def test_the_file_its_folder_and_every_new_folder_are_synced(store, tmp_path, monkeypatch):
    real, synced = os.fsync, []

    def recording(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", recording)
        store.put("a/b/c", b"data")
    paths = [tmp_path, tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c"]
    assert {path.stat().st_ino for path in paths} <= set(synced)
    assert synced[-2:] == [(tmp_path / "a/b/c").stat().st_ino, (tmp_path / "a/b").stat().st_ino]


def test_a_folder_that_another_process_removed_is_made_again(store, tmp_path):
    store.put("a/b", b"1")
    store.delete("a/b")
    (tmp_path / "a").rmdir()
    store.put("a/b", b"2")
    assert store.get("a/b") == b"2"


def test_reading_and_removing_make_no_folder(tmp_path):
    store = LocalStore(tmp_path / "root")
    assert list(store.list()) == []
    assert not store.exists("a/b")
    store.delete("a/b")
    assert not (tmp_path / "root").exists()


_LIMITED = """
import resource, sys
from pathlib import Path
from ticklake.errors import DiskFull
from ticklake.storage.local import LocalStore

root = Path(sys.argv[1])
store = LocalStore(root)
store.put("a/small", b"x" * 1_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
try:
    store.put("a/large", b"x" * 200_000)
except DiskFull:
    print(sorted(path.name for path in root.rglob("*") if path.is_file()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.put("a/large", b"x" * 200_000)
print(len(store.get("a/large")))
"""


def test_a_real_limit_on_the_size_of_files_is_disk_full_and_leaves_no_file(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["['small']", "200000"], done.stderr
