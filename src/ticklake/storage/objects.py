"""Object stores: bytes under keys, written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from ticklake.errors import InvalidName

__all__ = ["ObjectStore", "Sink", "StoredObject", "checked_key"]


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


def checked_key(key: str) -> str:
    """Return *key*, or raise :class:`InvalidName` if it would leave the store."""
    path = PurePosixPath(key)
    if not key or path.is_absolute() or any(part in {".", ".."} for part in key.split("/")):
        raise InvalidName(f"{key!r} would leave the lake's folder")
    return key
