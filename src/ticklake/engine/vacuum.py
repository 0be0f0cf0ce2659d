"""Vacuum: old versions and garbage are deleted for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ticklake.catalog.append_log import Batches
from ticklake.catalog.removal import forget_history, forget_segments, known_paths, remove_unnamed, retired_segments
from ticklake.core.results import Vacuumed
from ticklake.core.segment import Segment, size_of_all
from ticklake.core.time import DAY, HOUR
from ticklake.engine.store import LIVE_FOLDERS, RETIRED, Store, retired_path
from ticklake.storage.objects import StoredObject

__all__ = ["is_garbage", "unnamed", "vacuum", "would_vacuum"]

KEEP = 7 * DAY
"""How long replaced segments stay readable by default."""
GRACE = HOUR
"""Younger files that the catalog does not name are kept: they may be about to be committed."""
_AT_ONCE = 200
"""How many segments are deleted in one commit: on a full disk, the files of the first ones make space for the next commit."""
QUIET_GRACE = DAY
"""The same if nothing was committed since: then the age of a file depends on the clock alone, and clocks jump."""


def vacuum(store: Store, keep: int = KEEP) -> Vacuumed:
    """Remove segments replaced more than *keep* nanoseconds ago, and files the catalog does not name.

    Versions from before that time can no longer be read with ``at``.

    Raises
    ------
    CatalogOutdated
        If acknowledged commits are missing in the catalog: their files would be taken for garbage.
    """
    store.catalog.check_current()
    store.settle()
    database = store.catalog.database
    horizon = store.catalog.version_at(store.now() - keep)
    old = _outdated(store, horizon)
    for start in range(0, len(old), _AT_ONCE):
        part = old[start : start + _AT_ONCE]
        # Forgotten first: if vacuum is killed in between, it leaves garbage, not versions without their files.
        forget_segments(database, part)
        _remove(store, _keys_of(part))
    forget_history(database, horizon)
    Batches(database).fold(horizon)
    garbage = _garbage(store)
    removed = _remove(store, garbage)
    freed = _size_of(old)
    for key in removed:
        freed += garbage[key]
    return Vacuumed(len(old), len(removed), freed)


def _keys_of(retired: Iterable[tuple[int, Segment]]) -> Iterator[str]:
    """Yield the keys under which the files of retired segments can be."""
    for _, segment in retired:
        if segment.path:
            yield retired_path(segment.path)
            # A file that could not be moved when it was replaced is still in the tree.
            yield segment.path


def _size_of(retired: Iterable[tuple[int, Segment]]) -> int:
    return size_of_all(segment for _, segment in retired)


def would_vacuum(store: Store, keep: int) -> Vacuumed:
    """Return what :func:`vacuum` would remove."""
    old = _outdated(store, store.catalog.version_at(store.now() - keep))
    garbage = _garbage(store)
    return Vacuumed(len(old), len(garbage), _size_of(old) + sum(garbage.values()))


def _outdated(store: Store, horizon: int) -> list[tuple[int, Segment]]:
    """Return the segments that were replaced up to a version, oldest first."""
    retired = retired_segments(store.catalog.database)
    outdated = [(removed_in, segment) for removed_in, segment in retired if removed_in <= horizon]
    return sorted(outdated, key=lambda item: item[0])


def _garbage(store: Store) -> dict[str, int]:
    """Return the files that no commit names and that are old enough to be deleted, with their sizes."""
    garbage: dict[str, int] = {}
    newest = store.catalog.newest_commit_at()
    for item in unnamed(store):
        if is_garbage(item.modified, store.now(), newest):
            garbage[item.key] = item.size
    return garbage


def is_garbage(modified: int, now: int, newest_commit: int) -> bool:
    """Whether a file that no commit names is old enough to be deleted, by the clock and by the commits since.

    Commits check that their files exist: if the answer is wrong, a writer has to repeat its work, but no rows are lost.
    """
    return modified < now - GRACE and (modified < newest_commit - GRACE or modified < now - QUIET_GRACE)


def _remove(store: Store, keys: Iterable[str]) -> list[str]:
    """Delete files unless a commit names them by now; return those that were deleted."""
    paths = {key: key.removeprefix(f"{RETIRED}/") for key in keys}
    return remove_unnamed(store.catalog.database, paths, store.objects.delete)


def unnamed(store: Store, folders: Iterable[str] | None = None) -> Iterator[StoredObject]:
    """Yield the files in *folders*, or in all, that the catalog does not name, live or retired."""
    if folders is None:
        folders = (*LIVE_FOLDERS, RETIRED)
    named = known_paths(store.catalog.database)
    for folder in folders:
        for item in store.objects.list(folder):
            if item.key.removeprefix(f"{RETIRED}/") not in named:
                yield item
