"""Rebuilding: a new catalog from the files alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.segment import Segment
from ticklake.engine.place import Store
from ticklake.engine.reading import count_rows, read_chunks
from ticklake.errors import StorageError, TicklakeError
from ticklake.storage.encoding import read_footer
from ticklake.storage.files import file_digest, read_blocks
from ticklake.storage.objects import ObjectStore
from ticklake.storage.segments import Footer, corrupt

__all__ = ["Rebuilt", "rebuild"]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found: datasets, files, rows, and the files it could not read."""

    datasets: int
    files: int
    rows: int
    unreadable: tuple[str, ...]


def rebuild(objects: ObjectStore, store: Store) -> Rebuilt:
    """Fill the empty catalog of *store* from the footers of the files in the tree.

    Rows that were inline, runs, revisions and quarantine live in the catalog only: a backup holds those.
    """
    found: dict[Dataset, list[tuple[Footer, Segment]]] = defaultdict(list)
    unreadable = []
    for kind in KINDS:
        for item in objects.list(kind):
            try:
                footer, segment = _read(objects, item.key, item.size)
                found[footer.dataset].append((footer, segment))
            except StorageError:
                unreadable.append(item.key)
    rows = 0
    for dataset, pieces in found.items():
        bad = [segment for footer, segment in pieces if not _is_readable(store, footer, segment)]
        unreadable += [segment.path or "" for segment in bad]
        pieces[:] = [(footer, segment) for footer, segment in pieces if segment not in bad]
        rows += _restore(store, store.catalog, dataset, pieces) if pieces else 0
    files = sum(len(pieces) for pieces in found.values())
    return Rebuilt(sum(1 for pieces in found.values() if pieces), files, rows, tuple(sorted(unreadable)))


def _is_readable(store: Store, footer: Footer, segment: Segment) -> bool:
    """Whether the rows of a file are what its footer says."""
    try:
        chunks = read_chunks(store, [segment], footer.dataset.spec, footer.keying, segment.span)
        return sum(frame.height for frame in chunks) == footer.rows
    except TicklakeError:
        return False


def _read(objects: ObjectStore, key: str, size: int) -> tuple[Footer, Segment]:
    source = objects.source(key)
    footer = read_footer(source, key)
    if key != f"{footer.dataset.path}/{footer.period}-{footer.id}.parquet":
        raise corrupt(key, "its footer belongs to another place")
    segment = Segment(
        id=footer.id,
        seq=footer.seq,
        rows=footer.rows,
        min_ts=footer.min_ts,
        max_ts=footer.max_ts,
        size=size,
        digest=file_digest(source),
        path=key,
        period=footer.period,
        packed=read_blocks(source, footer),
        observed_at=footer.observed_at,
    )
    return footer, segment


def _restore(store: Store, catalog: Catalog, dataset: Dataset, pieces: list[tuple[Footer, Segment]]) -> int:
    alive = sorted(pieces, key=lambda piece: piece[0].seq)
    for footer, _ in alive:
        catalog.restore_provenance(dict(footer.provenance))
    keying = alive[-1][0].keying
    segments = tuple(segment for _, segment in alive)
    rows = count_rows(store, segments, dataset.spec, keying)
    change = Change(
        dataset,
        keying=keying,
        id_space=next((p.id_space for f, _ in alive for p in f.provenance.values() if p.id_space), ""),
        add=segments,
        coverage=tuple(piece for footer, _ in alive for piece in footer.coverage),
        new_rows=rows,
    )
    catalog.commit("rebuild", [change])
    return rows
