"""Reading downloaded archives: one member, streamed, never past a bound; names inside are never used."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from ticklake.core.kinds import kind_of
from ticklake.core.span import Span
from ticklake.errors import InvalidData
from ticklake.sources.archives.columns import Header, read_header, rows_of
from ticklake.sources.archives.layouts import Layout
from ticklake.sources.compressed import DAMAGE, MOST_BYTES, Bounded, whole_lines

__all__ = ["CHUNK", "check_whole", "read_rows", "sha256_of"]

CHUNK = 32 * 2**20
"""So many bytes of text become one frame: memory does not grow with the file."""
MOST_WHOLE = 4 * 2**30
"""No archive that must be sorted as a whole is unpacked past this."""
LATE = 10**9
"""Rows may come this much out of order across the edge of two chunks, in nanoseconds."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as ``sha256sum`` writes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_whole(path: Path, most: int = MOST_BYTES) -> None:
    """Unpack a file to nowhere, so that the CRC inside it is checked before a row of it is believed.

    Raises
    ------
    InvalidData
        If it is cut short, damaged, or larger than *most* bytes.
    """
    with _opened(path, most) as stream:
        while stream.read(CHUNK):
            pass


def read_rows(
    path: Path, layout: Layout, span: Span, chunk: int = CHUNK, most: int = MOST_BYTES
) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yield the rows of a file in time order, piece by piece, each with the instant up to which they are whole.

    Parameters
    ----------
    span
        What the file holds by its name.

    Raises
    ------
    InvalidData
        If it is no archive of this layout: damaged, larger than *most* bytes unpacked, columns or values that do not
        fit, rows outside *span*, or rows out of order where the layout says they are in order.
    """
    reach = Span(span.start, span.end + max(layout.grid, 1))
    frames = (_inside(frame, reach) for frame in _frames(path, layout, chunk, most))
    if layout.ordered:
        yield from _in_order(frames, span)
        return
    whole = [frame[::-1] if _descends(frame) else frame for frame in frames]
    if whole and _descends(pl.concat([frame.head(1) for frame in whole])):
        whole.reverse()
    rows = pl.concat(whole) if whole else kind_of(layout.kind).empty().select("ts")
    yield rows.sort("ts", maintain_order=True), span.end


def _in_order(frames: Iterator[pl.DataFrame], span: Span) -> Iterator[tuple[pl.DataFrame, int]]:
    """Hold back a chunk until the next one is there, and then its last second, as rows of the next may belong there."""
    held, done = next(frames, None), span.start
    if held is None:
        return
    for frame in frames:
        rows = _sorted_from(held, done)
        ts = rows["ts"].to_physical()
        cut = max(int(ts[-1]) - LATE, done) if rows.height else done
        ready = int(ts.search_sorted(cut, "left"))
        if ready:
            yield rows.head(ready), cut
        held, done = pl.concat([rows.slice(ready), frame]), cut
    yield _sorted_from(held, done), span.end


def _sorted_from(rows: pl.DataFrame, done: int) -> pl.DataFrame:
    """Sort rows by time; refuse those that belong before *done*, up to which all was given out already."""
    ordered = rows.sort("ts", maintain_order=True)
    if ordered.height and int(ordered["ts"].to_physical()[0]) < done:
        raise InvalidData("an archive file is not as its layout says: its rows are not in order of time")
    return ordered


def _frames(path: Path, layout: Layout, chunk: int, most: int) -> Iterator[pl.DataFrame]:
    limit = most if layout.ordered else min(most, MOST_WHOLE)
    with _opened(path, limit) as stream:
        header, first = None, True
        for lines in whole_lines(stream, chunk):
            if first:
                header, lines, first = _beginning(lines, layout)
            yield rows_of(lines, header, layout)


def _beginning(lines: bytes, layout: Layout) -> tuple[Header | None, bytes, bool]:
    """Take the header off the first lines, if there is one."""
    top, _, below = lines.partition(b"\n")
    header = read_header(top, layout)
    return header, lines if header is None else below, False


def _inside(frame: pl.DataFrame, reach: Span) -> pl.DataFrame:
    ts = frame["ts"].to_physical()
    outside = (ts < reach.start) | (ts >= reach.end)
    if outside.any():
        strange = frame.filter(outside)["ts"][0]
        raise InvalidData(f"an archive file is not as its layout says: it has a row at {strange}, outside {reach}")
    return frame


def _descends(frame: pl.DataFrame) -> bool:
    return frame.height > 1 and frame["ts"][0] > frame["ts"][-1]


@contextmanager
def _opened(path: Path, most: int) -> Iterator[Bounded]:
    """Open the one file inside an archive as a stream that ends in an error past *most* bytes."""
    try:
        with path.open("rb") as raw:
            if raw.read(2) == b"\x1f\x8b":
                raw.seek(0)
                with gzip.open(raw) as stream:
                    yield Bounded(stream, most)
                return
            with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, most)) as stream:
                yield Bounded(stream, most)
    except DAMAGE as error:
        raise InvalidData(f"an archive file is damaged: {error}") from error


def _only_member(archive: zipfile.ZipFile, most: int) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise InvalidData(f"an archive file is not as its layout says: it holds {len(members)} files, not one")
    if members[0].file_size > most:
        raise InvalidData(f"an archive file would unpack to {members[0].file_size:,} bytes: more than {most:,}")
    return members[0]
