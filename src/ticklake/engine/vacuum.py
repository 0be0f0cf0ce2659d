"""Vacuum: old versions and garbage leave for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ticklake.catalog.append_log import Batches
from ticklake.catalog.removal import forget_history, forget_segments, known_paths, remove_unnamed, retired_segments
from ticklake.core.results import Vacuumed
from ticklake.core.segment import Segment
from ticklake.core.time import DAY, HOUR
from ticklake.engine.store import RETIRED, Store, retired_path
from ticklake.storage.objects import StoredObject

__all__ = ["is_garbage", "unnamed", "vacuum", "would_vacuum"]

KEEP = 7 * DAY
"""How long replaced segments stay readable by default."""
GRACE = HOUR
"""A file that the catalog does not name may be about to be committed: younger ones are left alone."""
_AT_ONCE = 200
"""How many segments are forgotten in one commit: on a full disk, the files of some make space for forgetting others."""
QUIET_GRACE = DAY
"""The same while nothing is committed: then only the clock tells how old a file is, and clocks jump."""


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
    database = store.catalog.database
    horizon = store.catalog.version_at(store.now() - keep)
    old = _outdated(store, horizon)
    for start in range(0, len(old), _AT_ONCE):
        part = old[start : start + _AT_ONCE]
        forget_segments(database, part)
        paths = [segment.path for _, segment in part if segment.path]
        # A file that could not be moved when it was replaced is still in the tree.
        _remove(store, [*map(retired_path, paths), *paths])
    forget_history(database, horizon)
    Batches(database).fold(horizon)
    garbage = _garbage(store, grace)
    removed = _remove(store, garbage)
    freed = sum(segment.size for _, segment in old) + sum(garbage[key] for key in removed)
    return Vacuumed(len(old), len(removed), freed)


def would_vacuum(store: Store, keep: int = KEEP, grace: int = GRACE) -> Vacuumed:
    """Return what :func:`vacuum` would remove."""
    old = _outdated(store, store.catalog.version_at(store.now() - keep))
    garbage = _garbage(store, grace)
    return Vacuumed(len(old), len(garbage), sum(segment.size for _, segment in old) + sum(garbage.values()))


def _outdated(store: Store, horizon: int) -> list[tuple[int, Segment]]:
    """Return the segments that were replaced up to a version, oldest first."""
    retired = retired_segments(store.catalog.database)
    return sorted((item for item in retired if item[0] <= horizon), key=lambda item: item[0])


def _garbage(store: Store, grace: int) -> dict[str, int]:
    """Return the files that no commit names and that are old enough to go, with their sizes."""
    newest = store.catalog.newest_commit_at()
    return {item.key: item.size for item in unnamed(store) if is_garbage(item.modified, store.now(), newest, grace)}


def is_garbage(modified: int, now: int, newest_commit: int, grace: int = GRACE) -> bool:
    """Whether a file that no commit names is old enough to go, by the clock and by what was committed since.

    A commit checks for itself that its files are there: a wrong answer costs its writer the work, and no rows.
    """
    return modified < now - grace and (modified < newest_commit - grace or modified < now - QUIET_GRACE)


def _remove(store: Store, keys: Iterable[str]) -> list[str]:
    """Delete files unless a commit names them by now; return those that went."""
    paths = {key: key.removeprefix(f"{RETIRED}/") for key in keys}
    return remove_unnamed(store.catalog.database, paths, store.objects.delete)


def unnamed(store: Store, folders: Iterable[str] | None = None) -> Iterator[StoredObject]:
    """Yield the files in *folders*, or in all, that the catalog does not name, live or retired."""
    if folders is None:
        folders = (*store.kinds, RETIRED)
    named = known_paths(store.catalog.database)
    for folder in folders:
        for item in store.objects.list(folder):
            if item.key.removeprefix(f"{RETIRED}/") not in named:
                yield item
