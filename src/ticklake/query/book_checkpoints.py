"""Checkpoints: books as they were about every minute, so that no read of a book goes back further.

A checkpoint is no row of the lake. It is made of rows, kept beside them in ``checkpoints/``, and says of which segments: a read takes it only if
these are the segments of its version, and else reads the rows alone. So a row that comes late, a deletion and a compaction each put the
checkpoints out of use that they concern, and a file that is missing or damaged costs time and changes no book (docs/adr/0042).
"""

from __future__ import annotations

import hashlib
import io
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from ticklake.core.book_state import Base, Integers, Levels
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import PROVENANCE
from ticklake.core.knowledge import Knowledge, known_at
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import MINUTE
from ticklake.engine.engine import Engine
from ticklake.errors import StorageError, TicklakeError
from ticklake.query.book_rows import BookRows, Checkpoint, Snapshot

__all__ = ["EVERY", "FOLDER", "checkpoint_before", "sweep", "write_checkpoints", "write_newest_checkpoint"]

FOLDER = "checkpoints"
"""The folder of a lake that has them: a folder for each dataset, as the Hive tree has."""
EVERY = MINUTE
_FEWEST_ROWS = 20_000
"""Segments of fewer rows are read as fast as their checkpoints."""
_ROWS_A_LEVEL = 5
"""A checkpoint comes after so many rows for each of its levels at least: more of them would take more space than the rows."""
_TRIED = 3
"""So many checkpoints before an instant are looked at."""
_HEAD = struct.Struct("<8sIQ")
_MAGIC = b"TLBOOKS1"
_FIRST, _NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Made:
    """A checkpoint that was made, and what it was made of.

    ``known`` and ``received`` are when all of its rows are known, by default and by their times of receipt alone. ``first`` is the time from
    when on rows made it, ``segments`` a digest of the segments that they were in.
    """

    ts: int
    seq: int
    base: Base
    known: int
    received: int
    first: int
    segments: str
    levels: bytes

    def to_dict(self, offset: int) -> dict[str, int | str | bool | None]:
        """Return the entry of the index for it."""
        return {
            "ts": self.ts,
            "seq": self.seq,
            "base_ts": self.base.ts,
            "base_seq": self.base.seq,
            "is_passed": self.base.is_passed,
            "depth": self.base.depth,
            "known": self.known,
            "received": self.received,
            "first": self.first,
            "segments": self.segments,
            "offset": offset,
            "length": len(self.levels),
            "crc": zlib.crc32(self.levels),
        }


_INDEX = {
    "ts": pl.Int64,
    "seq": pl.Int64,
    "base_ts": pl.Int64,
    "base_seq": pl.Int64,
    "is_passed": pl.Boolean,
    "depth": pl.Int64,
    "known": pl.Int64,
    "received": pl.Int64,
    "first": pl.Int64,
    "segments": pl.String,
    "offset": pl.Int64,
    "length": pl.Int64,
    "crc": pl.Int64,
}


def checkpoint_before(engine: Engine, dataset: Dataset, at: int, knowledge: Knowledge) -> Checkpoint | None:
    """Return the newest checkpoint up to *at* that is made of what the lake has, and known at *at*; ``None`` if there is none."""
    # Any damage means that it is of no use: its rows are read instead.
    with suppress(TicklakeError, OSError, ValueError, struct.error, pl.exceptions.PolarsError):
        return _newest(engine, dataset, at, knowledge)
    return None


def _newest(engine: Engine, dataset: Dataset, at: int, knowledge: Knowledge) -> Checkpoint | None:
    for key in _keys_before(engine, dataset, at):
        entries, start = _index_of(engine, key)
        fitting = entries.filter(pl.col("ts") <= at)
        if knowledge != "event":
            known = "received"
            if knowledge == "default":
                known = "known"
            fitting = fitting.filter(pl.col(known) <= at)
        for entry in fitting.tail(_TRIED).reverse().iter_rows(named=True):
            view = engine.store.view(dataset, Span(entry["first"], entry["ts"] + 1), data=False)
            if entry["segments"] != _digest(view.segments):
                continue
            data = engine.objects.get_range(key, start + entry["offset"], entry["length"])
            if zlib.crc32(data) != entry["crc"]:
                continue
            base = Base(entry["base_ts"], entry["base_seq"], entry["is_passed"], entry["depth"])
            levels = pl.read_ipc_stream(io.BytesIO(data))
            known, received = entry["known"], entry["received"]
            return Checkpoint(entry["ts"], entry["seq"], base, levels, view.version, known, received)
    return None


def _keys_before(engine: Engine, dataset: Dataset, at: int) -> list[str]:
    """Return the keys of the files that begin at or before *at*, the last one first; no more than are looked at."""
    keys = [(first, last, key) for first, last, _, key in _files(engine, dataset) if first <= at]
    keys.sort(key=lambda file: min(file[1], at), reverse=True)
    return [key for _, _, key in keys[:_TRIED]]


def _files(engine: Engine, dataset: Dataset) -> Iterator[tuple[int, int, str, str]]:
    """Yield the first and the last time, the id and the key of each file of checkpoints."""
    for item in engine.objects.list(_folder(dataset)):
        parts = item.key.rpartition("/")[2].removesuffix(".books").split("_")
        if len(parts) == 3:
            yield int(parts[0]), int(parts[1]), parts[2], item.key


def _folder(dataset: Dataset) -> str:
    return f"{FOLDER}/{dataset.path}"


def _index_of(engine: Engine, key: str) -> tuple[pl.DataFrame, int]:
    """Return the index of a file, and where its checkpoints begin."""
    magic, crc, length = _HEAD.unpack(engine.objects.get_range(key, 0, _HEAD.size))
    data = engine.objects.get_range(key, _HEAD.size, length)
    if magic != _MAGIC or zlib.crc32(data) != crc:
        raise StorageError(f"{key} is no index of checkpoints: it is written again by 'ticklake compact'")
    return pl.read_ipc_stream(io.BytesIO(data)), _HEAD.size + length


def _digest(segments: Iterable[Segment]) -> str:
    ids = sorted(segment.id for segment in segments)
    return hashlib.blake2b("".join(ids).encode(), digest_size=16).hexdigest()


def write_checkpoints(engine: Engine, dataset: Dataset, every: int | None = None) -> int:
    """Write the checkpoints of all files of a dataset that have none; return how many were written.

    It can be repeated, and killed at any time: a file of checkpoints is written as a whole, under the id of its segment.
    """
    if dataset.kind != "book" or dataset.variant:
        return 0
    if every is None:
        every = EVERY
    written = 0
    live = engine.store.view(dataset, data=False).segments
    done = _whole_files(engine, dataset)
    for segment in live:
        if segment.path is not None and segment.rows >= _FEWEST_ROWS and segment.id not in done:
            made = list(_made(engine, dataset, _instants(engine, dataset, segment, every), every))
            # Also without any: so it is not looked at again.
            _write(engine, f"{_folder(dataset)}/{segment.min_ts}_{segment.max_ts}_{segment.id}.books", made)
            written += len(made)
    _remove_unused(engine, dataset, live)
    return written


def _instants(engine: Engine, dataset: Dataset, segment: Segment, every: int) -> Integers:
    """Return the multiples of *every* that follow rows of a segment: where nothing changes there are none."""
    rows = BookRows(engine, dataset)
    view = engine.store.view(dataset, segment.span)
    parts = [np.empty(0, np.int64)]
    for piece in rows.pieces(view.of([segment]), segment.span, ["ts"]):
        times = piece["ts"].to_physical().to_numpy()
        parts.append(np.unique(-(-times // every) * every))
    instants = np.unique(np.concatenate(parts))
    return instants[instants <= segment.max_ts]


def write_newest_checkpoint(engine: Engine, dataset: Dataset, at: int) -> int:
    """Write the checkpoint of a book that is collected live, as it was at *at*; return how many were written."""
    made = list(_made(engine, dataset, np.array([at]), EVERY))
    if made:
        _write(engine, f"{_folder(dataset)}/{made[0].ts}_{made[0].ts}_live-{uuid.uuid4().hex}.books", made)
    return len(made)


def _whole_files(engine: Engine, dataset: Dataset) -> set[str]:
    """Return the ids of the segments whose checkpoints are there; a file that was not written to its end is removed."""
    whole: set[str] = set()
    for _, _, segment, key in list(_files(engine, dataset)):
        try:
            entries, start = _index_of(engine, key)
            end = start + int(entries["length"].sum())
            is_whole = len(engine.objects.get_range(key, end - 1, 2)) == 1
        except (TicklakeError, OSError, ValueError, struct.error, pl.exceptions.PolarsError):
            is_whole = False
        if is_whole:
            whole.add(segment)
        else:
            engine.objects.delete(key)
    return whole


def _write(engine: Engine, key: str, made: Sequence[_Made]) -> None:
    entries = []
    offset = 0
    for checkpoint in made:
        entries.append(checkpoint.to_dict(offset))
        offset += len(checkpoint.levels)
    index = _encoded(pl.DataFrame(entries, schema=_INDEX), "uncompressed")
    head = _HEAD.pack(_MAGIC, zlib.crc32(index), len(index))
    parts = [checkpoint.levels for checkpoint in made]
    # Another process may have written the same file: one is as good as the other.
    with suppress(StorageError):
        engine.objects.put(key, b"".join([head, index, *parts]))


def _encoded(frame: pl.DataFrame, compression: Literal["uncompressed", "zstd"]) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression=compression, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def _made(engine: Engine, dataset: Dataset, instants: Integers, every: int) -> Iterator[_Made]:
    """Yield the checkpoints at sorted *instants*, those that are worth it."""
    if not len(instants):
        return
    rows = BookRows(engine, dataset, "event", find=checkpoint_before)
    view, start = rows.view_of(Span(int(instants[0]), int(instants[-1]) + 1))
    known = _KnownFrom(dataset)
    began = view.span.start
    if isinstance(start, Checkpoint):
        known = _KnownFrom(dataset, start.known, start.received, (start.base.ts, start.base.seq))
        began = Snapshot(start.base.ts, start.base.seq).start
    whole = engine.store.view(dataset, Span(began, view.span.end), data=False)
    if whole.version != view.version:
        # Committed meanwhile: the next compaction, or the next minute, makes them.
        return
    names = [*dataset.spec.names, PROVENANCE]
    last_row = 0
    for moment in rows.moments(view, start, instants, names, keeps_rows=True, applied=known.add):
        known.add(moment.rows, moment.first, moment.levels)
        base, last = moment.base, moment.last
        if base is None or last is None:
            continue
        bids, asks = moment.sides()
        levels = np.concatenate([bids.row, asks.row])
        number = moment.first + moment.levels.done
        # A snapshot is as good as a checkpoint.
        if last[0] - base.ts < every or not _is_worth_it(len(levels), number - last_row):
            continue
        last_row = number
        data = _encoded(moment.rows_of(levels), "zstd")
        first = Snapshot(base.ts, base.seq).start
        inside = [segment for segment in whole.segments if segment.min_ts <= last[0] and segment.max_ts >= first]
        default, received = known.of(moment.rows[moment.extra])
        yield _Made(*last, base, default, received, first, _digest(inside), data)


def _is_worth_it(levels: int, rows: int) -> bool:
    """Whether to read so many levels costs much less than the rows since the last checkpoint; an empty book has none to keep."""
    return levels > 0 and rows >= _ROWS_A_LEVEL * levels


@dataclass(slots=True)
class _KnownFrom:
    """When all rows of a book are known, from its snapshot on."""

    dataset: Dataset
    default: int = 0
    received: int = 0
    base: tuple[int, int] | None = None
    _first: int = -1
    _done: int = 0

    def add(self, rows: pl.DataFrame, first: int, levels: Levels) -> None:
        """Take the rows that were applied since the last call, of those that begin with the number *first*."""
        if first != self._first:
            self._first, self._done = first, 0
        new = rows.slice(self._done, levels.done - self._done)
        self._done = levels.done
        base = levels.base
        if base is None or not new.height:
            return
        # Rows from before a new snapshot count too: that only makes a checkpoint known later than it is.
        if self.base is None or (base.ts, base.seq) != self.base:
            self.base, self.default, self.received = (base.ts, base.seq), base.ts, base.ts
        self.default, self.received = self.of(new)

    def of(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Return when all rows so far and these are known, by default and by their times of receipt alone."""
        default = max(self.default, _latest(known_at(rows, self.dataset, "default")))
        return default, max(self.received, _latest(known_at(rows, self.dataset, "received")))


def _latest(known: pl.Series) -> int:
    if known.null_count():
        return int(_NEVER)
    newest = known.max()
    if not isinstance(newest, int):
        return int(_FIRST)
    return newest


def _remove_unused(engine: Engine, dataset: Dataset, live: Sequence[Segment]) -> None:
    """Remove the checkpoints of segments that are no more, and those written live that files have replaced."""
    ids = {segment.id for segment in live}
    end = max((segment.max_ts for segment in live if segment.path is not None), default=ALL_TIME.start)
    for _, last, name, key in list(_files(engine, dataset)):
        is_used = name in ids
        if name.startswith("live"):
            is_used = last > end
        if not is_used:
            engine.objects.delete(key)


def sweep(engine: Engine) -> int:
    """Remove the checkpoints of datasets that the lake no longer has; return how many files were removed."""
    folders = {f"{_folder(row.dataset)}/" for row in engine.catalog.datasets()}
    removed = 0
    for item in list(engine.objects.list(FOLDER)):
        if f"{item.key.rpartition('/')[0]}/" not in folders:
            engine.objects.delete(item.key)
            removed += 1
    return removed
