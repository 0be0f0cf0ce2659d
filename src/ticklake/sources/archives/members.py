"""Read downloaded archives: one member, streamed, never more than a bound. Names inside an archive are never used."""

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
"""Bytes of text that become one frame, so that memory does not grow with the file."""
MOST_WHOLE = 4 * 2**30
"""The most bytes that are unpacked of an archive that must be sorted as a whole."""
LATE = 10**9
"""Nanoseconds by which rows may be out of order across the edge of two chunks."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as ``sha256sum`` writes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_whole(path: Path) -> None:
    """Unpack a file and discard the bytes, so that its CRC is checked before any row of it is used.

    Raises
    ------
    InvalidData
        If it is truncated, damaged, or unpacks to too many bytes.
    """
    with _opened(path, MOST_BYTES) as stream:
        while stream.read(CHUNK):
            pass


def read_rows(path: Path, layout: Layout, span: Span) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yield the rows of a file in time order, chunk by chunk, each with the instant up to which all rows were yielded.

    Parameters
    ----------
    span
        The time that the file holds by its name.

    Raises
    ------
    InvalidData
        If the file is damaged or unpacks to too many bytes, if its columns or values do not fit the layout, if
        it has rows outside *span*, or if its rows are not in order where the layout says that they are.
    """
    frames = _frames(path, layout, span)
    if layout.ordered:
        yield from _in_order(frames, span)
        return
    yield _sort_whole(frames, layout), span.end


def _sort_whole(frames: Iterator[pl.DataFrame], layout: Layout) -> pl.DataFrame:
    """Return all rows in time order; rows of one instant stay in the order in which they happened."""
    ascending: list[pl.DataFrame] = []
    for frame in frames:
        if _is_descending(frame):
            frame = frame[::-1]
        ascending.append(frame)
    if not ascending:
        return kind_of(layout.kind).empty().select("ts")
    # A stable sort alone would leave rows of one instant in reverse, where a file begins with its newest row.
    first_rows = pl.concat([frame.head(1) for frame in ascending])
    if _is_descending(first_rows):
        ascending.reverse()
    return pl.concat(ascending).sort("ts", maintain_order=True)


def _in_order(frames: Iterator[pl.DataFrame], span: Span) -> Iterator[tuple[pl.DataFrame, int]]:
    """Yield the rows of frames that are in order, but for rows that are late by up to ``LATE``.

    The last second of a frame waits for the next one, which may have rows that belong there.
    """
    pending = next(frames, None)
    done = span.start
    if pending is None:
        return
    for frame in frames:
        rows = _sort_after(pending, done)
        ts = rows["ts"].to_physical()
        cut = done
        if rows.height:
            cut = max(int(ts[-1]) - LATE, done)
        ready = int(ts.search_sorted(cut, "left"))
        if ready:
            yield rows.head(ready), cut
        pending = pl.concat([rows.slice(ready), frame])
        done = cut
    yield _sort_after(pending, done), span.end


def _sort_after(rows: pl.DataFrame, done: int) -> pl.DataFrame:
    """Sort rows by time. Refuse rows before *done*, because the rows up to there have been yielded."""
    ordered = rows.sort("ts", maintain_order=True)
    if ordered.height and int(ordered["ts"].to_physical()[0]) < done:
        raise InvalidData("an archive file is not as its layout says: its rows are not in order of time")
    return ordered


def _frames(path: Path, layout: Layout, span: Span) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file in its order, all of them inside *span*."""
    most = MOST_WHOLE
    if layout.ordered:
        most = MOST_BYTES
    allowed = Span(span.start, span.end + max(layout.grid, 1))
    with _opened(path, most) as stream:
        header: Header | None = None
        for number, lines in enumerate(whole_lines(stream, CHUNK)):
            if number == 0:
                header, lines = _split_header(lines, layout)
            frame = rows_of(lines, header, layout)
            _check_inside(frame, allowed)
            yield frame


def _split_header(lines: bytes, layout: Layout) -> tuple[Header | None, bytes]:
    """Return the header and the lines below it, or ``None`` and all lines if there is no header."""
    first_line, _, below = lines.partition(b"\n")
    header = read_header(first_line, layout)
    if header is None:
        return None, lines
    return header, below


def _check_inside(frame: pl.DataFrame, allowed: Span) -> None:
    ts = frame["ts"].to_physical()
    outside = (ts < allowed.start) | (ts >= allowed.end)
    if outside.any():
        first = frame.filter(outside)["ts"][0]
        raise InvalidData(f"an archive file is not as its layout says: it has a row at {first}, outside {allowed}")


def _is_descending(frame: pl.DataFrame) -> bool:
    return frame.height > 1 and frame["ts"][0] > frame["ts"][-1]


@contextmanager
def _opened(path: Path, most: int) -> Iterator[Bounded]:
    """Open the only file inside an archive as a stream that raises after *most* bytes."""
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
