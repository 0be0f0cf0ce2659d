"""Which rows a subscriber has already: those of this process's streams come before their commit, all others after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import polars as pl

from ticklake.core.batch import canonical, from_rows, number_prints, sort
from ticklake.core.dataset import Dataset
from ticklake.core.merge import difference, key_of_batch

__all__ = ["Delivered", "physical_rows"]

Rows = Sequence[Sequence[Any]]
REMEMBERED = 600.0
"""Seconds for which committed rows are remembered: a stream of this process may bring them, too."""


@dataclass(slots=True)
class _OwnStream:
    """Rows that a stream of this process brought and that are not committed yet.

    ``is_whole`` tells whether the subscriber got all rows since the last commit began: it may have come in between.
    """

    waiting: list[Rows] = field(default_factory=list)
    flushing: list[Rows] = field(default_factory=list)
    is_whole: bool = False
    is_flush_whole: bool = False


class _OwnCommit(NamedTuple):
    version: int
    dataset: Dataset
    rows: list[Rows]
    is_whole: bool


class Delivered:
    """Leaves out what a subscriber has from the other side.

    Of the rows in a commit, those that a stream of this process brought before: they wait for their own commit, or their commit is
    newer. Of the rows of a stream, those that somebody else had committed first. *most_rows* of these are remembered.
    """

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._own: dict[Dataset, _OwnStream] = {}
        self._commits: deque[_OwnCommit] = deque()
        self._remembered: dict[Dataset, deque[pl.DataFrame]] = {}
        self._order: deque[tuple[float, Dataset]] = deque()
        self._count = 0

    # What the streams of this process do: called in their event loops.

    def bring(self, dataset: Dataset, rows: Rows) -> None:
        """Note rows of a stream of this process."""
        with self._lock:
            self._own.setdefault(dataset, _OwnStream()).waiting.append(rows)

    def flush(self, datasets: Iterable[Dataset]) -> None:
        """Note that the commit of all rows that wait begins."""
        with self._lock:
            for dataset in datasets:
                stream = self._own.setdefault(dataset, _OwnStream())
                stream.flushing += stream.waiting
                stream.waiting = []
                stream.is_flush_whole, stream.is_whole = stream.is_whole, True

    def commit(self, versions: Mapping[Dataset, int]) -> None:
        """Note which version has the rows of the last flush."""
        with self._lock:
            for dataset, version in versions.items():
                stream = self._own.setdefault(dataset, _OwnStream())
                self._commits.append(_OwnCommit(version, dataset, stream.flushing, stream.is_flush_whole))
                stream.flushing = []

    def end(self, dataset: Dataset) -> None:
        """Note that the stream of a dataset has ended: what was not committed by then is lost."""
        with self._lock:
            self._own.pop(dataset, None)

    # What the subscriber reads: called by one thread at a time.

    @property
    def is_flushing(self) -> bool:
        """Whether a commit of this process is being made: its version is not known yet."""
        with self._lock:
            return any(stream.flushing for stream in self._own.values())

    def has_all_of(self, version: int, dataset: Dataset) -> bool:
        """Whether all rows that a version added to a dataset were brought by streams of this process."""
        with self._lock:
            return any(
                commit.is_whole and (commit.version, commit.dataset) == (version, dataset) for commit in self._commits
            )

    def passed(self, version: int) -> None:
        """Forget the rows of commits up to *version*, which has been read."""
        with self._lock:
            self._commits = deque(commit for commit in self._commits if commit.version > version)

    def new_in_commit(self, dataset: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a commit that no stream of this process has brought, and remember them."""
        with self._lock:
            own = self._rows_of(dataset)
        if own:
            keying = key_of_batch(frame, dataset.spec)
            frame = difference(frame, _stored_form(dataset, own, keying), dataset.spec, keying).add
        if frame.height:
            self._remember(dataset, frame)
        return frame

    def new_in_stream(self, dataset: Dataset, rows: Rows) -> Rows:
        """Return the rows of a stream that were in no commit before."""
        self._forget_old()
        known = self._remembered.get(dataset)
        if not known or not rows:
            return rows
        kind = dataset.spec
        keying = key_of_batch(known[-1], kind)
        # Identical prints without ids are real: they cannot be told from a second delivery.
        if keying == "print":
            return rows
        existing = sort(pl.concat(known), kind)
        added = difference(_stored_form(dataset, rows, keying), existing, kind, keying).add
        if added.height == len(rows):
            return rows
        return physical_rows(added.select(kind.names))

    def _rows_of(self, dataset: Dataset) -> Rows:
        lists = [commit.rows for commit in self._commits if commit.dataset == dataset]
        stream = self._own.get(dataset)
        if stream is not None:
            lists += [stream.flushing, stream.waiting]
        return list(chain.from_iterable(chain.from_iterable(lists)))

    def _remember(self, dataset: Dataset, frame: pl.DataFrame) -> None:
        self._remembered.setdefault(dataset, deque()).append(frame)
        self._order.append((time.monotonic(), dataset))
        self._count += frame.height
        self._forget_old()

    def _forget_old(self) -> None:
        since = time.monotonic() - REMEMBERED
        while self._order and (self._order[0][0] < since or self._count > self._most_rows):
            _, dataset = self._order.popleft()
            frames = self._remembered[dataset]
            self._count -= frames.popleft().height
            if not frames:
                del self._remembered[dataset]


def physical_rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Return the rows of a frame as readers of messages make them: times are integers."""
    return pl.DataFrame([series.to_physical() for series in frame.get_columns()]).rows()


def _stored_form(dataset: Dataset, rows: Rows, keying: str) -> pl.DataFrame:
    """Return rows of a stream as the lake stores them."""
    kind = dataset.spec
    frame = canonical(from_rows(rows, kind), kind)
    frame = sort(frame.filter(frame["ts"].is_not_null()), kind)
    if keying == "print":
        frame = number_prints(frame)
    return frame
