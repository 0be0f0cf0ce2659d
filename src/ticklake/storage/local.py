"""The object store in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ticklake.core.os_errors import as_storage_error
from ticklake.errors import MissingSegment
from ticklake.storage.durable import durably, make_folder, sync
from ticklake.storage.objects import ObjectStore, Sink, StoredObject, checked_key

__all__ = ["LocalStore"]


class LocalStore(ObjectStore):
    """A folder. Files and the folders above them are fsynced before :meth:`create` is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._synced: set[Path] = set()

    @contextmanager
    def create(self, key: str) -> Iterator[Sink]:
        """Write a new file and make it durable; a half-written file is removed."""
        path = self._path(key)
        with _translated(path):
            self._make_folder(path.parent)
            # Exclusively: a name that is taken is an error, so no file that the catalog names is ever written over.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with durably(descriptor) as sink:
                    yield sink
                sync(path.parent)
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
        """Rename the file; does nothing if it is already gone."""
        source, target = self._path(key), self._path(to)
        with _translated(source):
            self._make_folder(target.parent)
            try:
                source.rename(target)
            except FileNotFoundError:
                return
            # The new name first: after a loss of power in between the file has two names, and not none.
            sync(target.parent)
            sync(source.parent)

    def delete(self, key: str) -> None:
        """Remove the file; does nothing if it is already gone."""
        path = self._path(key)
        with _translated(path):
            path.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield every file under *prefix*; files that vanish meanwhile are passed over."""
        base = self._path(prefix) if prefix else self.root
        for folder, _, names in os.walk(base):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                key = path.relative_to(self.root).as_posix()
                yield StoredObject(key, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _make_folder(self, folder: Path) -> None:
        # Remembered: making it looks at each folder above. Whoever removed it meanwhile gets it made again.
        if folder in self._synced and folder.is_dir():
            return
        make_folder(folder)
        self._synced.add(folder)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    with as_storage_error(path):
        try:
            yield
        except FileNotFoundError as error:
            raise MissingSegment(f"{path} is not there: 'ticklake verify' lists what is damaged") from error
