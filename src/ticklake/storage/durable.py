"""Files and folders that survive a loss of power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ticklake.storage.objects import Sink

__all__ = ["durably", "make_folder", "put_in_place", "replace_file", "sync"]


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file, also in place of one that is there; when this returns it is whole and survives a power cut."""
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with durably(descriptor) as sink:
        sink.write(data)
    part.replace(path)
    sync(path.parent)


@dataclass(frozen=True, slots=True)
class _FileSink:
    descriptor: int

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]


@contextmanager
def durably(descriptor: int) -> Iterator[Sink]:
    """Fsync the file when the block ends well, and close it in any case."""
    try:
        yield _FileSink(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(fresh: Path, path: Path) -> None:
    """Give a finished file its name, durably."""
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
