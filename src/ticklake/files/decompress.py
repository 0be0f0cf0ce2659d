"""Unpacking: layers of compression are taken off by their content, and members of zips are files of their own."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ticklake.errors import InvalidData
from ticklake.files.formats import HEAD, packing_of
from ticklake.sources.archives.members import sha256_of
from ticklake.sources.compressed import DAMAGE, MOST_BYTES, Bounded

__all__ = ["Entry", "Unpacked", "entries_of", "opened", "refuse_other_checksum", "spooled"]

_DEEPEST = 4
_DAMAGE = (*DAMAGE, lzma.LZMAError, OSError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or one member of a zip."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The name without folders."""
        return f"{self.path.name}!{self.member}" if self.member else self.path.name

    @property
    def label(self) -> str:
        """The whole name in one style, to be matched with patterns."""
        return f"{self.path.as_posix()}/{self.member}" if self.member else self.path.as_posix()


class Unpacked(io.BufferedReader):
    """The innermost bytes, with what had to be taken off: ``layers`` like ``('zip', 'gz')``."""

    layers: tuple[str, ...] = ()

    def head(self) -> bytes:
        """Return the first bytes and leave them to be read."""
        return self.peek(HEAD)[:HEAD]


def entries_of(path: Path) -> list[Entry]:
    """Return the files that a path holds: itself, or the members of a zip.

    Raises
    ------
    InvalidData
        If it cannot be opened, or is a damaged zip.
    """
    try:
        if not zipfile.is_zipfile(path):
            return [Entry(path)]
        with zipfile.ZipFile(path) as archive:
            members = [one.filename for one in archive.infolist() if not one.is_dir() and not _is_litter(one.filename)]
    except _DAMAGE as error:
        raise InvalidData(_damage(error)) from error
    return [Entry(path, member) for member in members]


def refuse_other_checksum(path: Path) -> None:
    """Compare a file with the SHA-256 that lies beside it as ``NAME.CHECKSUM``, as dump sites publish them, if it does.

    Raises
    ------
    InvalidData
        If they differ.
    """
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not (path.is_file() and beside.is_file()):
        return
    words = beside.read_text("utf-8", "replace").split()
    if words and sha256_of(path) != words[0].lower():
        raise InvalidData(f"its SHA-256 is not the one in {beside.name}: fetch it again")


@contextmanager
def opened(entry: Entry) -> Iterator[Unpacked]:
    """Open the innermost bytes of an entry; damage found while they are read is an :class:`InvalidData`."""
    with ExitStack() as stack:
        try:
            raw: IO[bytes] = stack.enter_context(entry.path.open("rb"))
            layers: tuple[str, ...] = ()
            if entry.member:
                archive = stack.enter_context(zipfile.ZipFile(raw))
                raw, layers = stack.enter_context(archive.open(entry.member)), ("zip",)
            stream = _peeled(raw, layers)
            yield stream
        except _DAMAGE as error:
            raise InvalidData(_damage(error)) from error


@contextmanager
def spooled(stream: Unpacked, entry: Entry) -> Iterator[Path]:
    """Give the bytes a path of their own, for formats that are not read from the front."""
    if not stream.layers:
        yield entry.path
        return
    with tempfile.NamedTemporaryFile(prefix="ticklake-") as copy:
        while data := stream.read(2**24):
            copy.write(data)
        copy.flush()
        yield Path(copy.name)


def _peeled(raw: Any, layers: tuple[str, ...]) -> Unpacked:
    for _ in range(_DEEPEST):
        stream = Unpacked(_Raw(raw), HEAD)
        packing = packing_of(stream.head())
        if packing in {"", "zip"}:
            stream.layers = layers
            return stream
        raw, layers = _OPENERS[packing](stream), (*layers, packing)
    raise InvalidData(f"it is packed more than {_DEEPEST} times")


class _Raw(io.RawIOBase):
    """A bounded stream under a buffer."""

    def __init__(self, stream: Any) -> None:
        self._stream = Bounded(stream, MOST_BYTES)

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill *buffer* as far as one read goes."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _zstd(stream: Any) -> Any:
    import pyarrow

    return pyarrow.input_stream(stream, compression="zstd")


_OPENERS: dict[str, Callable[[Any], Any]] = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open, "zst": _zstd}


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def _damage(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return f"it is cut short: {error}"
    return f"it is damaged or cannot be read: {error or type(error).__name__}"
