"""Downloads that go on where they stopped: a ``.part`` file a URL, its size and ETag beside it."""

from __future__ import annotations

import errno
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

from ticklake.errors import BadResponse, DiskFull, InvalidData, ReadOnlyLake, StorageError
from ticklake.sources.archives.http import Site
from ticklake.sources.retry import retrying

__all__ = ["FOLDER", "Downloads"]

FOLDER = "downloads"
"""The folder inside the lake where files lie while they are fetched and read."""
BLOCK = 256 * 1024
STALE = 7 * 86_400
"""Seconds after which what a killed run left behind is removed."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What the site said of a file when its download began."""

    url: str
    size: int | None = None
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """What ``If-Range`` may carry: a strong ETag, else the date."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Downloads:
    """The folder of downloads of one lake; *root* is ``None`` for a lake in memory, whose downloads are temporary.

    File names are made of a hash of the address: nothing that a site says becomes part of a path. *check_space* is told
    how many bytes are about to come, and raises if they would fill the disk.
    """

    def __init__(self, root: Path | None, site: Site, check_space: Callable[[int], None] = lambda _size: None) -> None:
        self._root = root
        self._site = site
        self._check_space = check_space
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None

    @asynccontextmanager
    async def fetched(self, url: str) -> AsyncIterator[Path]:
        """Give the whole file behind *url* while the block lasts; it is removed when the block ends well.

        What was received before, by this process or one that died, is not asked for again if the site tells that
        the file is still the same. Another process that fetches the same file has one of its own.

        Raises
        ------
        NotThere, SourceError
            See :meth:`Site.get`.
        DiskFull, DiskAlmostFull, ReadOnlyLake, StorageError
            If it cannot be kept.
        """
        with _translated(self._made()):
            path, descriptor = _locked(self._made() / hashlib.sha256(url.encode()).hexdigest()[:40])
        try:
            with _translated(path):
                async for attempt in retrying(self._site.retry):
                    with attempt:
                        await self._receive(url, path, descriptor)
            yield path
            self.forget(path)
        finally:
            os.close(descriptor)

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Forget a file that turns out not to be what it should, so that it is not read again."""
        try:
            yield
        except InvalidData:
            self.forget(path)
            raise

    def forget(self, path: Path) -> None:
        """Remove a file, so that the next time it is fetched from its beginning."""
        with suppress(OSError):
            path.unlink(missing_ok=True)
            _beside(path).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder of a lake in memory."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self._folder = None

    async def _receive(self, url: str, path: Path, descriptor: int) -> None:
        """Ask for what is not there yet, and write it down as it comes."""
        told, have = _told(path, url), os.fstat(descriptor).st_size
        if have and told.size == have:
            return
        resume = {"Range": f"bytes={have}-", "If-Range": told.validator} if have and told.validator else {}
        async with self._site.get(url, resume) as response:
            if response.status == 206:
                _check_range(response, have, told)
            elif response.status == 200:
                told, have = _said(response, url), 0
                os.ftruncate(descriptor, 0)
                _beside(path).write_text(json.dumps(asdict(told)))
            else:
                os.ftruncate(descriptor, 0)
                raise BadResponse(f"{url}: {response.status} for a download that went on; it begins anew")
            self._check_space(max((told.size or 0) - have, 0))
            async for block in response.content.iter_chunked(BLOCK):
                have += _written(descriptor, block, have)
        if told.size is not None and have != told.size:
            raise BadResponse(f"{url}: {have:,} bytes of {told.size:,} came")

    def _made(self) -> Path:
        """Return the folder, made on first use and rid of what is old."""
        if self._folder is None:
            if self._root is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="ticklake-")
                self._folder = Path(self._temporary.name)
                return self._folder
            folder = self._root / FOLDER
            with _translated(folder):
                if folder.is_symlink():
                    raise StorageError(f"{folder} is a link: downloads stay inside the lake; remove it")
                folder.mkdir(exist_ok=True)
                _sweep(folder, time.time() - STALE)
            self._folder = folder
        return self._folder


def _locked(base: Path) -> tuple[Path, int]:
    """Open ``{base}.part`` for this process alone; where another holds it, one that bears our number."""
    for path in (base.with_suffix(".part"), base.with_name(f"{base.name}-{os.getpid()}.part")):
        for _ in range(3):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                break
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return path, descriptor
            os.close(descriptor)
    raise StorageError(f"{base}.part is being downloaded twice by this process")


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _told(path: Path, url: str) -> _Told:
    """Return what was said of a file, or nothing if that was of another one."""
    try:
        told = _Told(**json.loads(_beside(path).read_text()))
    except (OSError, ValueError, TypeError):
        return _Told(url)
    return told if told.url == url else _Told(url)


def _said(response: aiohttp.ClientResponse, url: str) -> _Told:
    headers = response.headers
    return _Told(url, response.content_length, headers.get("ETag", ""), headers.get("Last-Modified", ""))


def _check_range(response: aiohttp.ClientResponse, have: int, told: _Told) -> None:
    text = response.headers.get("Content-Range", "")
    if not text.startswith(f"bytes {have}-") or text.rpartition("/")[2] not in {str(told.size), "*"}:
        raise BadResponse(f"{response.url}: asked for bytes from {have} on and got {text!r}")


def _written(descriptor: int, block: bytes, at: int) -> int:
    done = 0
    while done < len(block):
        done += os.pwrite(descriptor, block[done:], at + done)
    return done


def _sweep(folder: Path, before: float) -> None:
    for path in folder.iterdir():
        if path.suffix in {".part", ".json"} and path.lstat().st_mtime < before:
            path.unlink(missing_ok=True)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DiskFull(
                f"no space for {path} ({error.strerror}): free some, nothing acknowledged was lost"
            ) from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise ReadOnlyLake(f"{path} cannot be written ({error.strerror}): check its permissions") from error
        raise StorageError(f"{path}: {error.strerror or error}") from error
