"""Uploads: files that wait in the lake's folder until they are imported, or are forgotten."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import anyio

from ticklake.core.os_errors import as_storage_error
from ticklake.errors import BadInput, NotFound, StorageError
from ticklake.interfaces.api.body import too_large
from ticklake.lake import Lake

__all__ = ["FOLDER", "Uploads"]

FOLDER = "uploads"
"""The folder inside the lake."""
KEPT = 86_400.0
"""Seconds after which an upload is forgotten."""
MOST = 20
"""Uploads that may wait at the same time."""
_NAME = re.compile(r"[^\x00-\x1f/\\\\:*?\"<>|]{1,200}")
_ID = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """The uploads of one lake, a folder each. Processes that serve the same lake share them.

    Parameters
    ----------
    most_bytes
        The largest file.
    """

    def __init__(self, lake: Lake, most_bytes: int) -> None:
        self._lake = lake
        self._most_bytes = most_bytes
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> str:
        """Write a file as it comes, and return its id.

        Raises
        ------
        BadInput
            If the name is a path, or as many files wait as may.
        HTTPException
            If the file is too large.
        StorageError
            If it cannot be written, or too little space is free.
        """
        number, path = await anyio.to_thread.run_sync(self._begin, name)
        try:
            size = 0
            with as_storage_error(path):
                async with await anyio.open_file(path, "xb") as file:
                    async for block in body:
                        # Counted here as well: a body that comes in chunks does not say its size.
                        size += len(block)
                        if size > self._most_bytes:
                            raise too_large(self._most_bytes)
                        await file.write(block)
            await anyio.to_thread.run_sync(self._lake.engine.check_space)
        except BaseException:
            self.forget(number)
            raise
        return number

    def path_of(self, number: str) -> Path:
        """Return the file of an upload.

        Raises
        ------
        NotFound
            If there is none of that id, or it was forgotten.
        """
        folder = self._folder() / number
        # Nothing but what was made here: the id is part of a path.
        if _ID.fullmatch(number) and folder.is_dir():
            for path in folder.iterdir():
                return path
        raise NotFound(f"there is no upload {number[:40]!r}: files wait for a day; upload it again")

    def forget(self, number: str) -> None:
        """Remove an upload."""
        if not _ID.fullmatch(number):
            return
        shutil.rmtree(self._folder() / number, ignore_errors=True)
        # The last one leaves no trace in the lake. Where others wait, the folder is not empty.
        with suppress(OSError):
            self._folder().rmdir()

    def close(self) -> None:
        """Remove those of a lake in memory."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def _begin(self, name: str) -> tuple[str, Path]:
        """Make the folder of a new upload, and forget old ones."""
        if not _NAME.fullmatch(name) or name.startswith(".") or not name.strip(" ."):
            raise BadInput(
                f"filename={name[:100]!r} is no plain name of a file: write it without folders, like trades.csv.gz"
            )
        self._lake.engine.check_space()
        folder = self._folder()
        with as_storage_error(folder):
            if folder.is_symlink():
                raise StorageError(f"{FOLDER} is a link: uploads stay inside the lake; remove it")
            # Made here alone: to ask for an upload creates nothing.
            folder.mkdir(mode=0o700, exist_ok=True)
            waiting = sum(1 for _ in _recent(folder))
            if waiting >= MOST:
                raise BadInput(f"{waiting} uploads wait already: import them, or remove them with DELETE /imports/ID")
            number = secrets.token_hex(16)
            # With its parent: another request may have removed that just now.
            (folder / number).mkdir(mode=0o700, parents=True)
        return number, folder / number / name

    def _folder(self) -> Path:
        root = self._lake.root
        if root is None:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="ticklake-uploads-")
            return Path(self._temporary.name)
        return root / FOLDER


def _recent(folder: Path) -> Iterator[Path]:
    """Yield the uploads that are kept, and remove the others."""
    for upload in folder.iterdir():
        try:
            age = time.time() - upload.lstat().st_mtime
        except FileNotFoundError:
            continue
        if age > KEPT:
            shutil.rmtree(upload, ignore_errors=True)
        else:
            yield upload
