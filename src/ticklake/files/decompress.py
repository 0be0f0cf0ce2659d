"""Decompression: each layer is recognised by its first bytes, and each member of a zip is a file of its own."""

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
"""At most this many layers of compression are removed: a file may contain itself."""
_DAMAGE = (*DAMAGE, lzma.LZMAError, OSError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or one member of a zip."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return self._joined(str(self.path), "!")

    @property
    def name(self) -> str:
        """The name without folders."""
        return self._joined(self.path.name, "!")

    @property
    def label(self) -> str:
        """The path with slashes on every system, for patterns to match."""
        return self._joined(self.path.as_posix(), "/")

    def _joined(self, path: str, separator: str) -> str:
        if not self.member:
            return path
        return f"{path}{separator}{self.member}"


class Unpacked(io.BufferedReader):
    """The decompressed bytes of a file; ``layers`` are what was removed, like ``('zip', 'gz')``."""

    layers: tuple[str, ...] = ()

    def head(self) -> bytes:
        """Return the first bytes without consuming them."""
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
            return [Entry(path, member.filename) for member in archive.infolist() if _is_data(member)]
    except _DAMAGE as error:
        raise InvalidData(_damage(error)) from error


def refuse_other_checksum(path: Path) -> None:
    """Compare a file with the SHA-256 beside it in ``NAME.CHECKSUM``, as dump sites publish them, if there is one.

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
    """Open the decompressed bytes of an entry; damage found while they are read raises :class:`InvalidData`."""
    with ExitStack() as stack:
        try:
            raw: IO[bytes] = stack.enter_context(entry.path.open("rb"))
            layers: tuple[str, ...] = ()
            if entry.member:
                archive = stack.enter_context(zipfile.ZipFile(raw))
                raw, layers = stack.enter_context(archive.open(entry.member)), ("zip",)
            yield _decompressed(raw, layers)
        except _DAMAGE as error:
            raise InvalidData(_damage(error)) from error


@contextmanager
def spooled(stream: Unpacked, entry: Entry) -> Iterator[Path]:
    """Write the decompressed bytes to a file, for formats that are not read from the front."""
    # Nothing was unpacked: the file itself can be read.
    if not stream.layers:
        yield entry.path
        return
    with tempfile.NamedTemporaryFile(prefix="ticklake-") as copy:
        while data := stream.read(2**24):
            copy.write(data)
        copy.flush()
        yield Path(copy.name)


def _decompressed(raw: Any, layers: tuple[str, ...]) -> Unpacked:
    for _ in range(_DEEPEST):
        stream = Unpacked(_Raw(raw), HEAD)
        packing = packing_of(stream.head())
        if packing in {"", "zip"}:
            stream.layers = layers
            return stream
        raw, layers = _OPENERS[packing](stream), (*layers, packing)
    raise InvalidData(f"it is packed more than {_DEEPEST} times")


class _Raw(io.RawIOBase):
    """A stream that ends with an error after too many bytes, as a base of a buffered reader."""

    def __init__(self, stream: Any) -> None:
        self._stream = Bounded(stream, MOST_BYTES)

    def readable(self) -> bool:
        """Return ``True``."""
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


def _is_data(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a file that is not hidden; macOS adds a folder of its own to every zip."""
    name = member.filename
    return not (member.is_dir() or name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("."))


def _damage(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return f"it is cut short: {error}"
    return f"it is damaged or cannot be read: {error or type(error).__name__}"
