"""Verification: every segment exists and is what was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.merge import Keying, key_of
from ticklake.core.results import Problem
from ticklake.core.segment import Segment
from ticklake.core.time import SECOND
from ticklake.engine.read import read_chunks
from ticklake.engine.store import LIVE_FOLDERS, DatasetView, Store, retried
from ticklake.engine.vacuum import unnamed
from ticklake.errors import CatalogDamaged, CatalogOutdated, CorruptSegment, MissingSegment, StorageError
from ticklake.storage.files import file_digest
from ticklake.storage.segments import decode_inline

__all__ = ["CATALOG", "problems_of", "verify", "verify_lake"]


CATALOG = "the catalog"
"""The name that problems of the catalog itself have in the place of a segment."""
FRESH = 60 * SECOND
"""A file that no commit names is reported once it is this old: a younger one may be about to be committed."""


def verify(store: Store, dataset: Dataset, *, deep: bool = False) -> Iterator[Problem]:
    """Check that each live segment exists, has its digest, count and range, is sorted, and has unique keys.

    With *deep*, every value is decoded again, and rows of files are compared with their footer.
    """
    try:
        view = store.view(dataset)
        # Coverage is read only to compare its checksums.
        store.catalog.coverage(dataset)
    except CatalogDamaged as error:
        yield Problem(str(dataset), CATALOG, str(error))
        return
    for segment in view.segments:
        try:
            problems = problems_of(store, dataset, segment, view.keying, deep=deep)
        except StorageError as error:
            problems = [str(error)]
        for problem in problems:
            yield Problem(str(dataset), segment.name, problem)


def verify_lake(store: Store, *, deep: bool = False) -> Iterator[Problem]:
    """Check the catalog, every dataset, and that the tree has no files that no commit names."""
    damage = list(_verify_catalog(store))
    yield from damage
    try:
        for row in store.catalog.datasets():
            for problem in verify(store, row.dataset, deep=deep):
                if not damage or problem.segment != CATALOG:
                    yield problem
        yield from _strays(store)
    except CatalogDamaged:
        # If damage of the catalog was reported, what cannot be read because of it is not reported again.
        if not damage:
            raise


def _verify_catalog(store: Store) -> Iterator[Problem]:
    """Check the catalog itself: its pages, and the checksums of its rows."""
    try:
        for problem in store.catalog.problems():
            yield Problem("", CATALOG, f"{problem}: restore a backup, or run 'ticklake rebuild'")
        store.catalog.check_current()
    except (CatalogDamaged, CatalogOutdated) as error:
        yield Problem("", CATALOG, str(error))


def _strays(store: Store) -> Iterator[Problem]:
    """Yield the files in the tree that no commit names: a writer was killed, or the catalog lost its newest commits.

    Files that were written just now are left out: they may be about to be committed.
    """
    for item in unnamed(store, LIVE_FOLDERS):
        if item.modified < store.now() - FRESH:
            yield Problem(
                "", item.key, "no commit names it: vacuum removes it, and rebuild takes it in if the commit may be lost"
            )


def problems_of(store: Store, dataset: Dataset, segment: Segment, keying: Keying, *, deep: bool = False) -> list[str]:
    """Return the problems of one segment.

    Raises
    ------
    StorageError
        If it cannot be read now, which does not mean that it is damaged.
    """
    try:
        return retried(lambda: list(_problems(store, dataset, segment, keying, deep=deep)))
    except (CorruptSegment, MissingSegment, pl.exceptions.PolarsError) as error:
        return [f"cannot be read: {str(error).partition(chr(10))[0]}"]


def _problems(store: Store, dataset: Dataset, segment: Segment, keying: Keying, *, deep: bool) -> Iterator[str]:
    if segment.path is None:
        yield from _content(dataset, segment, [decode_inline(segment, dataset.spec)], keying, deep=deep)
        return
    from ticklake.storage.encoding import read_footer

    source = store.source(segment)
    if _digest(source, segment) != segment.digest:
        yield "its bytes are not those that were written"
        return
    footer = read_footer(source, segment.name)
    if (footer.dataset, footer.id, footer.seq) != (dataset, segment.id, segment.seq):
        yield "its footer belongs to another segment"
    frames = read_chunks(store, DatasetView.of_segment(dataset, segment))
    yield from _content(dataset, segment, frames, keying, deep=deep)


def _digest(source: Path | bytes, segment: Segment) -> str:
    try:
        return file_digest(source)
    except FileNotFoundError as error:
        raise MissingSegment(f"{segment.name} is not there") from error
    except OSError as error:
        raise StorageError(f"{segment.name} cannot be read ({error.strerror}): check the file's permissions") from error


def _content(
    dataset: Dataset, segment: Segment, frames: Iterable[pl.DataFrame], keying: Keying, *, deep: bool
) -> Iterator[str]:
    kind = dataset.spec
    key = key_of(kind, keying)
    rows = 0
    last = segment.min_ts
    bounds: list[int] = []
    for frame in frames:
        ts = frame["ts"].to_physical()
        rows += frame.height
        # Reads skip segments by their recorded range: a wrong one would hide rows.
        bounds = [*bounds[:1], int(ts[0]), int(ts[-1])]
        if not ts.is_sorted() or ts[0] < last:
            yield "its rows are not sorted by ts"
        if frame.select(pl.struct(key).is_duplicated().any()).item():
            yield "two of its rows have the same key"
        if deep:
            for name in kind.required:
                if frame[name].null_count():
                    yield f"column {name} has nulls"
        last = int(ts[-1])
    if rows != segment.rows:
        yield f"has {rows} rows, not {segment.rows}"
    elif (bounds[0], bounds[-1]) != (segment.min_ts, segment.max_ts):
        yield "its time range is not the recorded one"
