"""Writing of the audit log, by a thread of its own: no answer waits for it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ticklake.catalog.audit_log import AuditLog
from ticklake.core.audit_log import AuditEntry
from ticklake.errors import TicklakeError
from ticklake.log import Log

__all__ = ["AuditWriter"]

_MOST_WAITING = 10_000
"""Entries that wait; what was done is written all the same."""
_MOST_AT_ONCE = 500
_PAUSE = 0.25
"""Seconds after queries and refusals in which more come together: those that are alike are one entry."""
_LOG = Log("api")


class AuditWriter:
    """Appends entries to the audit log, in order, soon after they are written here.

    Parameters
    ----------
    now
        The time in nanoseconds UTC.
    """

    def __init__(self, log: AuditLog, now: Callable[[], int]) -> None:
        self.now = now
        self._audit_log = log
        self._waiting: queue.SimpleQueue[AuditEntry | None] = queue.SimpleQueue()
        """The entries that are to be written; ``None`` ends the thread."""
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def write(self, entry: AuditEntry) -> None:
        """Append an entry soon. If queries or refusals come faster than they are written, some of them are left out."""
        if entry.is_minor and self._waiting.qsize() > _MOST_WAITING:
            return
        self._waiting.put(entry)
        self._begin()

    def close(self) -> None:
        """Write what waits, and end."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _begin(self) -> None:
        # On first use: a server that is only read from needs no thread for this.
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ticklake-audit", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            entries, is_over = self._next_entries()
            if entries:
                self._append(together(entries))
            # Deeds are written at once, each as good as lost if the process is killed before.
            if not is_over and all(entry.is_minor for entry in entries):
                time.sleep(_PAUSE)

    def _next_entries(self) -> tuple[list[AuditEntry], bool]:
        """Wait for entries; return them, and whether they are the last."""
        entries: list[AuditEntry] = []
        waiting = self._waiting.get()
        while waiting is not None:
            entries.append(waiting)
            if self._waiting.empty() or len(entries) == _MOST_AT_ONCE:
                return entries, False
            waiting = self._waiting.get()
        return entries, True

    def _append(self, entries: list[AuditEntry]) -> None:
        try:
            self._audit_log.add(entries)
        except TicklakeError as error:
            # Not tried again: while the disk is full, more and more would wait. The log of the process has them.
            _LOG.error("the audit log cannot be written", reason=error, entries=entries)


def together(entries: list[AuditEntry]) -> list[AuditEntry]:
    """Return entries with queries and refusals that are alike as one, where the first of them was."""
    counts: dict[tuple[object, ...], int] = {}
    kept: list[AuditEntry] = []
    for entry in entries:
        key = (entry.caller, entry.address, entry.method, entry.status, entry.path if entry.is_query else None)
        if not entry.is_minor:
            kept.append(entry)
        elif key not in counts:
            counts[key] = len(kept)
            kept.append(entry)
        else:
            place = counts[key]
            kept[place] = replace(kept[place], count=kept[place].count + entry.count)
    return kept
