"""What this process itself committed: whoever has read the version before such a commit need not ask the catalog what it changed."""

from __future__ import annotations

from collections.abc import Collection, Set
from threading import Lock

from ticklake.core.dataset import Dataset

__all__ = ["OwnCommits"]

_REMEMBERED = 1_000
"""So many commits are remembered."""


class OwnCommits:
    """The datasets that each of the newest commits of this process changed. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed: dict[int, Set[Dataset]] = {}
        self._lock = Lock()

    def note(self, version: int, datasets: Collection[Dataset]) -> None:
        """Note what a commit changed."""
        with self._lock:
            self._changed[version] = frozenset(datasets)
            if len(self._changed) > _REMEMBERED:
                del self._changed[next(iter(self._changed))]

    def left_alone(self, datasets: Collection[Dataset], since: int, until: int) -> bool:
        """Whether all commits after version *since* up to *until* are known, and changed none of the datasets."""
        if since == until:
            return True
        if not since < until <= since + _REMEMBERED:
            return False
        for version in range(since + 1, until + 1):
            changed = self._changed.get(version)
            if changed is None or not changed.isdisjoint(datasets):
                return False
        return True
