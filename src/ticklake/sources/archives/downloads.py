"""Downloads that resume where they stopped: one ``.part`` file per URL, with the file's size and ETag beside it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from ticklake.core.os_errors import as_storage_error
from ticklake.errors import BadResponse, InvalidData, StorageError
from ticklake.sources.archives.http import Site
from ticklake.sources.retry import retrying

__all__ = ["FOLDER", "Downloads"]

FOLDER = "downloads"
"""The folder inside the lake that holds files while they are downloaded and read."""
BLOCK = 256 * 1024
STALE = 7 * 86_400
"""Age in seconds at which the files of a killed run are removed."""


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """The headers of a file when its download began."""

    url: str
    size: int | None = None
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """The value of ``If-Range``: the ETag, or the date if there is none."""
        # A weak ETag must not be sent with If-Range (RFC 9110 section 13.1.5): the bytes may differ.
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


class Downloads:
    """The folder of downloads of one lake.

    File names are hashes of the addresses: nothing that a site sends becomes part of a path.

    Parameters
    ----------
    root
        The folder of the lake; ``None`` for a lake in memory, whose downloads go to a temporary folder.
    check_space
        Called with the number of bytes that are about to come. It raises if they would fill the disk.
    """

    def __init__(self, root: Path | None, site: Site, check_space: Callable[[int], None] = lambda _size: None) -> None:
        self._root = root
        self._site = site
        self._check_space = check_space
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None

    @asynccontextmanager
    async def fetched(self, url: str) -> AsyncIterator[Path]:
        """Give the whole file behind *url* while the block lasts. It is removed if the block ends without an error.

        Bytes that were received before, by this process or one that died, are not requested again if the site says
        that the file has not changed. Two processes that download the same file each have their own copy.

        Raises
        ------
        NotThere, SourceError
            See :meth:`Site.get`.
        DiskFull, DiskAlmostFull, ReadOnlyLake, StorageError
            If the file cannot be written.
        """
        folder = self._open_folder()
        name = hashlib.sha256(url.encode()).hexdigest()[:40]
        with as_storage_error(folder):
            path, descriptor = _open_locked(folder / name)
        try:
            with as_storage_error(path):
                async for attempt in retrying(self._site.retry):
                    with attempt:
                        await self._receive(url, path, descriptor)
            yield path
            self.forget(path)
        finally:
            os.close(descriptor)

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Remove *path* if the block finds that its content is invalid, so that it is not read again."""
        try:
            yield
        except InvalidData:
            self.forget(path)
            raise

    def forget(self, path: Path) -> None:
        """Remove a file, so that its next download starts from the beginning."""
        with suppress(OSError):
            path.unlink(missing_ok=True)
            _headers_path(path).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder of a lake in memory."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self._folder = None

    async def _receive(self, url: str, path: Path, descriptor: int) -> None:
        """Request the bytes that are missing, and write them as they come."""
        remote = _read_headers(path, url)
        size = os.fstat(descriptor).st_size
        if size and remote.size == size:
            return
        resume = {}
        if size and remote.validator:
            resume = {"Range": f"bytes={size}-", "If-Range": remote.validator}
        async with self._site.get(url, resume) as response:
            if response.status == 206:
                _check_range(response, size, remote)
            elif response.status == 200:
                # The whole file: nothing was here, or the site says by If-Range that the file has changed.
                remote = _remote_file(response, url)
                size = 0
                os.ftruncate(descriptor, 0)
                _headers_path(path).write_text(json.dumps(asdict(remote)))
            else:
                os.ftruncate(descriptor, 0)
                raise BadResponse(f"{url}: status {response.status} for a resumed download; it starts again")
            self._check_space(max((remote.size or 0) - size, 0))
            async for block in response.content.iter_chunked(BLOCK):
                _write_at(descriptor, block, size)
                size += len(block)
        if remote.size is not None and size != remote.size:
            raise BadResponse(f"{url}: received {size:,} bytes of {remote.size:,}")

    def _open_folder(self) -> Path:
        """Return the folder. On first use it is made and rid of old files."""
        if self._folder is None:
            if self._root is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="ticklake-")
                self._folder = Path(self._temporary.name)
                return self._folder
            folder = self._root / FOLDER
            with as_storage_error(folder):
                if folder.is_symlink():
                    raise StorageError(f"{folder} is a link: downloads stay inside the lake; remove it")
                folder.mkdir(exist_ok=True)
                _remove_old(folder, time.time() - STALE)
            self._folder = folder
        return self._folder


def _open_locked(base: Path) -> tuple[Path, int]:
    """Open ``{base}.part`` for this process alone, or a file with our process id if another process has locked it."""
    for path in (base.with_suffix(".part"), base.with_name(f"{base.name}-{os.getpid()}.part")):
        for _ in range(3):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                break
            # The process that held the lock may have removed the file between our open and our lock.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return path, descriptor
            os.close(descriptor)
    raise StorageError(f"{base}.part is being downloaded twice by this process")


def _headers_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_headers(path: Path, url: str) -> _RemoteFile:
    """Return what is stored of the headers of *url*. If nothing is, or it is of another address, all are unknown."""
    try:
        remote = _RemoteFile(**json.loads(_headers_path(path).read_text()))
    except (OSError, ValueError, TypeError):
        return _RemoteFile(url)
    if remote.url != url:
        return _RemoteFile(url)
    return remote


def _remote_file(response: aiohttp.ClientResponse, url: str) -> _RemoteFile:
    headers = response.headers
    return _RemoteFile(url, response.content_length, headers.get("ETag", ""), headers.get("Last-Modified", ""))


def _check_range(response: aiohttp.ClientResponse, start: int, remote: _RemoteFile) -> None:
    text = response.headers.get("Content-Range", "")
    total = text.rpartition("/")[2]
    if not text.startswith(f"bytes {start}-") or total not in {str(remote.size), "*"}:
        raise BadResponse(f"{response.url}: requested bytes from {start} on and got {text!r}")


def _write_at(descriptor: int, block: bytes, offset: int) -> None:
    written = 0
    # pwrite may write a part only, as on a disk that is nearly full.
    while written < len(block):
        written += os.pwrite(descriptor, block[written:], offset + written)


def _remove_old(folder: Path, before: float) -> None:
    for path in folder.iterdir():
        if path.suffix in {".part", ".json"} and path.lstat().st_mtime < before:
            path.unlink(missing_ok=True)
