"""The object store in memory."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticklake.errors import MissingSegment, StorageError
from ticklake.storage.objects import ObjectStore, Sink, StoredObject, checked_key

__all__ = ["MemoryStore"]


class MemoryStore(ObjectStore):
    """The in-memory twin: for tests and for lakes that need not last."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, int]] = {}

    @contextmanager
    def create(self, key: str) -> Iterator[Sink]:
        """Collect the bytes and keep them when the block ends."""
        if checked_key(key) in self._objects:
            raise StorageError(f"{key} exists: an object is never modified")
        buffer = io.BytesIO()
        yield buffer
        self._objects[key] = (buffer.getvalue(), time.time_ns())

    def get(self, key: str) -> bytes:
        """Return the bytes under *key*."""
        try:
            return self._objects[checked_key(key)][0]
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
        if checked_key(key) in self._objects and checked_key(to):
            self._objects[to] = self._objects.pop(key)

    def delete(self, key: str) -> None:
        """Remove the object."""
        self._objects.pop(checked_key(key), None)

    def exists(self, key: str) -> bool:
        """Whether there is an object under *key*."""
        return checked_key(key) in self._objects

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every object under *prefix*."""
        for key, (data, written) in list(self._objects.items()):
            if not prefix or key.startswith(f"{prefix}/"):
                yield StoredObject(key, len(data), written, written)
