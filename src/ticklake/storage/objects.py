"""Object stores: bytes under keys, written once."""

from __future__ import annotations

import errno
import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from ticklake.errors import DiskFull, InvalidName, MissingSegment, ReadOnlyLake, StorageError

__all__ = [
    "LocalStore",
    "MemoryStore",
    "ObjectStore",
    "Sink",
    "StoredObject",
    "make_folder",
    "replace_file",
    "sync_folder",
]


class Sink(Protocol):
    """A target for the bytes of a new object, in order."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Append *data*."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its key, its size in bytes, when it was written, and when it came to its place (nanoseconds UTC).

    A file that was copied may keep the time when it was written; it came to its place when it was copied.
    """

    key: str
    size: int
    modified: int
    arrived: int


class ObjectStore(ABC):
    """The storage of segments. Keys are relative POSIX paths; objects are never modified."""

    @abstractmethod
    def create(self, key: str) -> AbstractContextManager[Sink]:
        """Open a new object to be written in pieces. When the block has ended, the object survives a power cut.

        Raises
        ------
        DiskFull, ReadOnlyLake, StorageError
            If it cannot be written. Then, and if the block raises, nothing is left under *key*.
        """

    def put(self, key: str, data: bytes) -> None:
        """Store *data* as a new object, durably."""
        with self.create(key) as sink:
            sink.write(data)

    @abstractmethod
    def get(self, key: str) -> bytes:
        """Return the bytes under *key*, or raise :class:`MissingSegment`."""

    @abstractmethod
    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return *length* bytes from offset *start* on, fewer at the end of the object.

        Raises
        ------
        MissingSegment
            If there is no such object.
        """

    @abstractmethod
    def source(self, key: str) -> Path | bytes:
        """Return the object as a path or bytes for a Parquet reader, or raise :class:`MissingSegment`."""

    @abstractmethod
    def move(self, key: str, to: str) -> None:
        """Give the object another key. Do nothing if it does not exist."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object. Do nothing if it does not exist."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is an object under *key*."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every object under the folder *prefix*, in no particular order."""


class MemoryStore(ObjectStore):
    """Objects in memory, for tests and temporary lakes."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, int]] = {}

    @contextmanager
    def create(self, key: str) -> Iterator[Sink]:
        """Collect the bytes, and store them when the block ends."""
        if _checked(key) in self._objects:
            raise StorageError(f"{key} exists: an object is never modified")
        buffer = io.BytesIO()
        yield buffer
        self._objects[key] = (buffer.getvalue(), time.time_ns())

    def get(self, key: str) -> bytes:
        """Return the bytes under *key*."""
        try:
            return self._objects[_checked(key)][0]
        except KeyError:
            raise MissingSegment(f"{key} is not there") from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of the bytes under *key*."""
        return self.get(key)[start : start + length]

    def source(self, key: str) -> Path | bytes:
        """Return the bytes under *key*."""
        return self.get(key)

    def move(self, key: str, to: str) -> None:
        """Give the object another key."""
        if _checked(key) in self._objects and _checked(to):
            self._objects[to] = self._objects.pop(key)

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._objects.pop(_checked(key), None)

    def exists(self, key: str) -> bool:
        """Whether there is an object under *key*."""
        return _checked(key) in self._objects

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every object under *prefix*."""
        for key, (data, written) in list(self._objects.items()):
            if not prefix or key.startswith(f"{prefix}/"):
                yield StoredObject(key, len(data), written, written)


class LocalStore(ObjectStore):
    """Objects as files in a folder. :meth:`create` fsyncs the file and the folders above it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._synced: set[Path] = set()
        """Folders that this process has fsynced already: a folder's own name needs that once."""

    @contextmanager
    def create(self, key: str) -> Iterator[Sink]:
        """Write a new file and make it durable. A half-written file is removed."""
        path = self._path(key)
        with _translated(path):
            self._make_folder(path.parent)
            # O_EXCL: two processes that would write one key must not mix their bytes.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with _durably(descriptor) as sink:
                    yield sink
                sync_folder(path.parent)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def get(self, key: str) -> bytes:
        """Return the file's bytes."""
        path = self._path(key)
        with _translated(path):
            return path.read_bytes()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of the file's bytes."""
        path = self._path(key)
        with _translated(path), path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def source(self, key: str) -> Path | bytes:
        """Return the file's path."""
        path = self._path(key)
        if not path.is_file():
            raise MissingSegment(f"{path} is not there: 'ticklake verify' lists what is damaged")
        return path

    def move(self, key: str, to: str) -> None:
        """Rename the file. Do nothing if it does not exist."""
        source, target = self._path(key), self._path(to)
        with _translated(source):
            self._make_folder(target.parent)
            try:
                source.rename(target)
            except FileNotFoundError:
                return
            # The new name first: a power cut in between may leave both names, but never none.
            sync_folder(target.parent)
            sync_folder(source.parent)

    def delete(self, key: str) -> None:
        """Remove the file. Do nothing if it does not exist."""
        path = self._path(key)
        with _translated(path):
            path.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Whether the file exists."""
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every file under *prefix*."""
        base = self.root
        if prefix:
            base = self._path(prefix)
        for folder, _, names in os.walk(base):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.stat()
                except FileNotFoundError:
                    # Another process removed it since the folder was read.
                    continue
                key = path.relative_to(self.root).as_posix()
                yield StoredObject(key, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _path(self, key: str) -> Path:
        return self.root / _checked(key)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._synced and folder.is_dir():
            return
        make_folder(folder)
        self._synced.add(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for new_folder in missing:
        sync_folder(new_folder.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file or replace an existing one. When this returns, the file is complete and survives a power cut."""
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with _durably(descriptor) as sink:
        sink.write(data)
    part.replace(path)
    sync_folder(path.parent)


def _checked(key: str) -> str:
    path = PurePosixPath(key)
    if not key or path.is_absolute() or any(part in {".", ".."} for part in key.split("/")):
        raise InvalidName(f"{key!r} would leave the lake's folder")
    return key


@dataclass(frozen=True, slots=True)
class _FileSink:
    descriptor: int

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self.descriptor, view)
            view = view[written:]


@contextmanager
def _durably(descriptor: int) -> Iterator[Sink]:
    """Fsync the file if the block ends without an error, and close it in any case."""
    try:
        yield _FileSink(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingSegment(f"{path} is not there: 'ticklake verify' lists what is damaged") from error
    except OSError as error:
        raise _storage_error(error, path) from error


def _storage_error(error: OSError, path: Path) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return DiskFull(f"no space for {path} ({error.strerror}): free some, nothing acknowledged was lost")
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return ReadOnlyLake(f"{path} cannot be written ({error.strerror}): check the folder's permissions")
    return StorageError(f"{path}: {error.strerror or error}")
