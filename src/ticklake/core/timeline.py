"""Timelines: the rows of a dataset, and which of them were known at an instant.

Times and the instants from which rows are known are kept as arrays, so that a slice for one of many instants takes a look-up and no
plan. Most rows are known in the order in which they happened: there the known rows of a window are a slice. Where one came late, or
was changed later, the rows of a window are chosen one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.knowledge import Knowledge, Lags, happened_at, known_at
from ticklake.core.merge import Keying, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ["NEVER", "Part", "Timeline", "Windows", "known_versions", "row_known_at", "nanoseconds"]

NEVER = 2**63 - 1
"""From when on a row is known that never is."""
_EVENTS, _BARS = "left", "right"
_MOST_SLICES = 32
"""Rows that are not all of a window are put together of so many slices at most."""


class Windows(NamedTuple):
    """Where the rows of each window are: from ``first`` up to ``last``, if they are ``plain``; else some of them are not known."""

    first: Times
    last: Times
    plain: Flags


class Part(Protocol):
    """Rows that can be asked for a window: what happened since an instant, as it was known at another."""

    rows: pl.DataFrame
    happened: Times
    known: Times
    values: tuple[Any, dict[str, float | None]] | None
    """What was computed last of these rows, with that which it depends on besides them."""

    def windows(self, since: Times, at: Times, *, keeps_newest: bool) -> Windows:
        """Return where the rows of windows are, from *since* to *at*."""
        ...

    def known_rows(self, since: int, at: int, *, keeps_newest: bool, known_at: int | None = None) -> pl.DataFrame:
        """Return the rows of one window, chosen one by one: those known at its end, or at another instant."""
        ...

    def newest_known(self, at: int, count: int) -> pl.DataFrame:
        """Return the newest *count* rows that were known at an instant, chosen one by one."""
        ...


@dataclass(frozen=True, slots=True)
class _Changed:
    """The versions that a row had before: the row ``places[0]`` of the changed rows until ``until[0]``, and so on."""

    place: int
    until: tuple[int, ...]
    places: tuple[int, ...]

    def version_at(self, at: int) -> int | None:
        """Return the place of the version that held at an instant; ``None`` for the newest."""
        for until, place in zip(self.until, self.places, strict=True):
            if until > at:
                return place
        return None


class Timeline:
    """Rows of one dataset in order, each with the instant from which it is known.

    Parameters
    ----------
    rows
        With the columns of the kind, sorted as they are stored.
    revisions
        What the log of revisions has of these rows, in order: ``before`` (JSON) and ``created_at``. A changed value is known from the
        commit on that changed it, and before that the value that it replaced. With ``knowledge="event"`` they are not needed.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: pl.DataFrame,
        knowledge: Knowledge,
        lags: Lags,
        keying: Keying = "natural",
        revisions: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.dataset = dataset
        self.values: tuple[Any, dict[str, float | None]] | None = None
        self.side = _EVENTS
        if dataset.spec.bars:
            self.side = _BARS
        known = _known(rows, dataset, knowledge, lags)
        self._changed: dict[int, _Changed] = {}
        self._versions = rows.clear()
        self._versions_known = np.empty(0, dtype=np.int64)
        if revisions and rows.height and knowledge != "event":
            self._read_revisions(rows, known, revisions, keying, knowledge, lags)
        # Rows that are never known are left out, so that all others can be cut out as slices.
        if not self._changed:
            rows, known = _without_unknown(rows, known)
        self.rows = rows.rechunk()
        self.known = known
        self.happened = nanoseconds(happened_at(self.rows, dataset))
        self._latest = np.maximum.accumulate(known)

    def extended(self, rows: pl.DataFrame, knowledge: Knowledge, lags: Lags) -> Timeline:
        """Return a timeline with newer rows behind these: what is known of these is not computed again."""
        longer = copy(self)
        known = _known(rows, self.dataset, knowledge, lags)
        if not self._changed:
            rows, known = _without_unknown(rows, known)
        longer.rows = pl.concat([self.rows, rows])
        longer.known = np.concatenate([self.known, known])
        longer.happened = np.concatenate([self.happened, nanoseconds(happened_at(rows, self.dataset))])
        latest = np.maximum.accumulate(known)
        if self._latest.size:
            latest = np.maximum(latest, self._latest[-1])
        longer._latest = np.concatenate([self._latest, latest])
        vars(longer).pop("_all_versions", None)
        # Not looked for again among all rows: a frame of now is extended with every message.
        longer.first_known = min(self.first_known, int(known.min(initial=NEVER)))
        return longer

    def _read_revisions(
        self,
        rows: pl.DataFrame,
        known: Times,
        revisions: Sequence[Mapping[str, Any]],
        keying: Keying,
        knowledge: Knowledge,
        lags: Lags,
    ) -> None:
        before = _rows_of_json([str(revision["before"]) for revision in revisions], rows.schema)
        owners = _places_of(before, rows, key_of(self.dataset.spec, keying))
        self._changed = _changed_rows(owners, revisions)
        happened = nanoseconds(happened_at(before, self.dataset))
        self._versions = before
        self._versions_known = _known(before, self.dataset, knowledge, lags)
        for row, changed in self._changed.items():
            # The first version is known as any row is, and each later one from the commit on that brought it.
            for place, since in zip(changed.places[1:], changed.until, strict=False):
                if self._versions_known[place] != NEVER:
                    self._versions_known[place] = max(since, int(happened[place]))
            if known[row] != NEVER:
                known[row] = max(changed.until[-1], int(happened[changed.places[-1]]))

    def windows(self, since: Times, at: Times, *, keeps_newest: bool) -> Windows:
        """Return where the rows of windows are.

        Bars belong to the window in which they closed, after its begin; all other rows to that in which they happened, its begin included.
        With *keeps_newest*, a window has the newest row even if that is older.
        """
        last = self.happened.searchsorted(at, side="right")
        first = self.happened.searchsorted(since, side=self.side)  # type: ignore[call-overload]
        if not self.known.size:
            return Windows(first, last, np.ones(len(at), dtype=np.bool_))
        newest = np.maximum(last - 1, 0)
        plain = (last == 0) | (self._latest[newest] <= at)
        # Mostly the newest rows alone are not known yet: those of a source with a lag.
        for place in np.flatnonzero(~plain):
            end = self._plain_end(int(first[place]), int(last[place]), int(at[place]))
            if end is not None:
                last[place] = end
                plain[place] = True
        if keeps_newest:
            first = np.minimum(first, np.maximum(last - 1, 0))
        return Windows(first, last, plain)

    def _plain_end(self, first: int, last: int, at: int) -> int | None:
        """Return up to where the rows of a window are known, if all after it are not; ``None`` if they alternate."""
        unknown = self.known[first:last] > at
        end = last
        if unknown.any():
            end = first + int(unknown.argmax())
            if not unknown[end - first :].all():
                return None
            # What is unknown in the newest version may be known in the one before.
            if self._changed and self.changed_rows[_between(self.changed_rows, end, last)].size:
                return None
        # The newest row may be before the window: whether it is known has to be looked at, too.
        if end == first and first and self._latest[first - 1] > at:
            return None
        return end

    def known_rows(self, since: int, at: int, *, keeps_newest: bool, known_at: int | None = None) -> pl.DataFrame:
        """Return the rows of one window, chosen one by one: those known at its end, or at another instant."""
        last = int(self.happened.searchsorted(at, side="right"))
        first = int(self.happened.searchsorted(since, side=self.side))  # type: ignore[call-overload]
        if known_at is not None:
            at = known_at
        chosen = self._chosen(first, last, at)
        if not chosen.size and keeps_newest:
            chosen = self._newest(first, at, 1)
        return self._gathered(chosen)

    def newest_known(self, at: int, count: int) -> pl.DataFrame:
        """Return the newest *count* rows that were known at an instant, chosen one by one."""
        last = int(self.happened.searchsorted(at, side="right"))
        return self._gathered(self._newest(last, at, count))

    def newest_happened(self, at: int) -> int | None:
        """Return when the newest row happened that was known at an instant."""
        chosen = self._newest(int(self.happened.searchsorted(at, side="right")), at, 1)
        if not chosen.size:
            return None
        place = int(chosen[0])
        if place >= self.rows.height:
            place = self._row_of_version[place - self.rows.height]
        return int(self.happened[place])

    def _newest(self, last: int, at: int, count: int) -> Times:
        """Return the places of the newest known rows before *last*."""
        reach = 2 * count + 64
        while True:
            chosen = self._chosen(max(last - reach, 0), last, at)
            if chosen.size >= count or reach >= last:
                return chosen[-count:]
            reach *= 8

    def known_between(self, first: int, last: int, at: int) -> pl.DataFrame:
        """Return those rows from the place *first* up to *last* that were known at an instant."""
        return self._gathered(self._chosen(first, last, at))

    def _chosen(self, first: int, last: int, at: int) -> Times:
        """Return the places of known rows; those of older versions count on from the end of the rows."""
        known = self.known[first:last] <= at
        places = np.flatnonzero(known) + first
        changed_rows = self.changed_rows[_between(self.changed_rows, first, last)]
        if not changed_rows.size:
            return places
        older: dict[int, int] = {}
        gone: list[int] = []
        for row in changed_rows.tolist():
            version = self._changed[row].version_at(at)
            if version is None:
                continue
            # Its newest values were not known yet; those of the version may not have been, either.
            gone.append(row)
            if self._versions_known[version] <= at:
                older[row] = self.rows.height + version
        kept = np.union1d(np.setdiff1d(places, gone), list(older)).astype(np.int64)
        return np.array([older.get(place, place) for place in kept.tolist()], dtype=np.int64)

    def versions(self) -> tuple[pl.DataFrame, pl.Series]:
        """Return all rows, right before each of them its older versions in order, and from when on each is known; null for never."""
        height = self.rows.height
        owner = [*range(height)]
        places = [*range(height)]
        for changed in self._changed.values():
            owner += [changed.place] * len(changed.places)
            places += [height + place for place in changed.places]
        # The row itself, which is the newest version, stands after the others.
        age = [place < height for place in places]
        order = np.array(places, dtype=np.int64)[np.lexsort((places, age, owner))]
        known = pl.Series("known_at", np.concatenate([self.known, self._versions_known])[order], dtype=pl.Int64)
        return self._all_versions[pl.Series(order)], known.set(known == NEVER, None)

    @cached_property
    def first_known(self) -> int:
        """From when on the first of the rows is known."""
        return int(self.known.min(initial=NEVER))

    @cached_property
    def changed_rows(self) -> Times:
        """The places of rows that had other values before."""
        return np.array(sorted(self._changed), dtype=np.int64)

    @cached_property
    def _all_versions(self) -> pl.DataFrame:
        if not self._versions.height:
            return self.rows
        return pl.concat([self.rows, self._versions], rechunk=True)

    @cached_property
    def _row_of_version(self) -> dict[int, int]:
        rows: dict[int, int] = {}
        for changed in self._changed.values():
            rows.update(dict.fromkeys(changed.places, changed.place))
        return rows

    def _gathered(self, places: Times) -> pl.DataFrame:
        rows = self._all_versions
        if not places.size:
            return rows.clear()
        # Rows that follow one another are a slice, which costs next to nothing. Mostly few rows are left out.
        breaks = np.flatnonzero(places[1:] - places[:-1] != 1) + 1
        if breaks.size >= _MOST_SLICES:
            return rows[pl.Series(places)]
        gathered = rows.clear()
        for run in np.split(places, breaks):
            gathered = gathered.vstack(rows.slice(int(run[0]), len(run)))
        return gathered


def row_known_at(
    rows: pl.DataFrame,
    dataset: Dataset,
    knowledge: Knowledge,
    lags: Lags,
    keying: Keying = "natural",
    revisions: Sequence[Mapping[str, Any]] = (),
) -> tuple[Times, Flags]:
    """Return from when on the newest value of each row is known, and which rows had another value before.

    The arguments are those of :class:`Timeline`.
    """
    timeline = Timeline(dataset, rows, knowledge, lags, keying, revisions)
    known = _known(rows, dataset, knowledge, lags)
    had_others = np.zeros(rows.height, dtype=np.bool_)
    if timeline.changed_rows.size:
        # Where rows were changed, none is left out.
        known = timeline.known
        had_others[timeline.changed_rows] = True
    return known, had_others


def known_versions(
    rows: pl.DataFrame,
    dataset: Dataset,
    knowledge: Knowledge,
    lags: Lags,
    keying: Keying = "natural",
    revisions: Sequence[Mapping[str, Any]] = (),
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows, right before each of them the values that it had earlier, and from when on each is known; null for never.

    The arguments are those of :class:`Timeline`. Of the values of a row that are known at an instant, the last one was its value then.
    """
    timeline = Timeline(dataset, rows, knowledge, lags, keying, revisions)
    if not timeline.changed_rows.size:
        return rows, known_at(rows, dataset, knowledge, lags)
    return timeline.versions()


def _known(rows: pl.DataFrame, dataset: Dataset, knowledge: Knowledge, lags: Lags) -> Times:
    known = known_at(rows, dataset, knowledge, lags)
    if known.null_count():
        known = known.fill_null(NEVER)
    return np.array(known.to_numpy(), dtype=np.int64)


def _without_unknown(rows: pl.DataFrame, known: Times) -> tuple[pl.DataFrame, Times]:
    """Return the rows that are known at some time, and from when on."""
    kept = known != NEVER
    if kept.all():
        return rows, known
    return rows.filter(pl.Series(kept)), known[kept]


def nanoseconds(times: pl.Series) -> Times:
    """Return times without a null in nanoseconds; on few rows, a planned cast would take most of the time."""
    ints: Times = times.to_numpy().view(np.int64)
    return ints


def _between(places: Times, first: int, last: int) -> slice:
    return slice(int(places.searchsorted(first)), int(places.searchsorted(last)))


def _changed_rows(owners: Sequence[int | None], revisions: Sequence[Mapping[str, Any]]) -> dict[int, _Changed]:
    """Return by place which versions each row had before: *owners* are the places of the rows of revisions."""
    until: dict[int, list[int]] = {}
    places: dict[int, list[int]] = {}
    for number, (row, revision) in enumerate(zip(owners, revisions, strict=True)):
        # A row that was deleted since has no place: nothing says from when on it is gone.
        if row is not None:
            until.setdefault(row, []).append(int(revision["created_at"]))
            places.setdefault(row, []).append(number)
    return {row: _Changed(row, tuple(until[row]), tuple(places[row])) for row in until}


def _places_of(before: pl.DataFrame, rows: pl.DataFrame, key: Sequence[str]) -> list[int | None]:
    """Return which of the rows each older version is of; ``None`` for those of rows that are not there."""
    names = [name for name in key if name in rows.columns]
    numbered = rows.select(names).with_row_index("_row").unique(names, keep="first", maintain_order=True)
    found = before.select(names).join(numbered, on=names, how="left", nulls_equal=True, maintain_order="left")
    return found["_row"].to_list()


def _rows_of_json(texts: Sequence[str], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows of the log of revisions: times are integers there."""
    records = [json.loads(text) for text in texts]
    columns: list[pl.Series] = []
    for name, dtype in schema.items():
        values = [record.get(name) for record in records]
        plain = dtype
        if dtype.is_temporal():
            plain = pl.Int64
        columns.append(pl.Series(name, values, dtype=plain).cast(dtype))
    return pl.DataFrame(columns)
