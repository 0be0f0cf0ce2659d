"""Vacuum: old versions and garbage leave for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ticklake.catalog.batches import Batches
from ticklake.core.kinds import KINDS
from ticklake.core.segment import Segment
from ticklake.core.time import DAY, HOUR
from ticklake.engine.place import RETIRED, Store, retired_path
from ticklake.storage.objects import StoredObject

__all__ = ["Vacuumed", "unnamed", "vacuum"]

KEEP = 7 * DAY
"""For how long replaced segments stay readable, unless told otherwise."""
GRACE = HOUR
"""A file that the catalog does not name may be about to be committed: younger ones are left alone."""


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What vacuum removed: replaced segments, files nobody names, and their bytes."""

    segments: int
    garbage: int
    bytes: int


def vacuum(store: Store, keep: int = KEEP, grace: int = GRACE) -> Vacuumed:
    """Remove segments replaced more than *keep* nanoseconds ago, and files the catalog does not name.

    Versions from before then can no longer be read with ``at``.

    Raises
    ------
    CatalogOutdated
        If the catalog is older than what was acknowledged: the files of the missing commits would be garbage.
    """
    store.catalog.check_current()
    store.settle()
    horizon = store.catalog.version_at(store.now() - keep)
    old = [(removed_in, segment) for removed_in, segment in store.catalog.retired() if removed_in <= horizon]
    store.catalog.forget(old)
    Batches(store.catalog.database).fold(horizon)
    freed = _remove(store, [segment for _, segment in old])
    garbage = [item for item in unnamed(store) if item.modified < store.now() - grace]
    for item in garbage:
        store.objects.delete(item.key)
    return Vacuumed(len(old), len(garbage), freed + sum(item.size for item in garbage))


def _remove(store: Store, segments: Iterable[Segment]) -> int:
    freed = 0
    for segment in segments:
        if segment.path is not None:
            store.objects.delete(retired_path(segment.path))
            store.objects.delete(segment.path)
        freed += segment.size
    return freed


def unnamed(store: Store, folders: Iterable[str] = (*KINDS, RETIRED)) -> Iterator[StoredObject]:
    """Yield the files in *folders* that the catalog does not name, live or retired."""
    named = store.catalog.known_paths()
    for folder in folders:
        for item in store.objects.list(folder):
            if item.key.removeprefix(f"{RETIRED}/") not in named:
                yield item
