"""Deriving: datasets that are made of others, kept up to date from the change feed.

What a derived dataset holds is what its rule makes of its inputs in the version up to which the rule has read them. A refresh looks at what
changed since, computes the bars that this touches from a snapshot of the newest version, and commits the rows that differ, coverage and the
version of the rule together. So a refresh that is killed, or two at once, change nothing but once. Rows that were made of inputs which retention has
removed since stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise

import polars as pl

from ticklake.catalog.change_feed import changes_since
from ticklake.catalog.changes import Change
from ticklake.catalog.rules import RuleTable, StoredRule, advance_within
from ticklake.core.batch import canonical
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.resample import BAR_COLUMNS
from ticklake.core.rules import Refreshed, Rule
from ticklake.core.segment import Segment
from ticklake.core.span import ALL_TIME, Span, common, hull_of, normalise, outside
from ticklake.engine.delete import leaving
from ticklake.engine.engine import Engine
from ticklake.engine.read import count_rows
from ticklake.engine.replacement import Replaced, replace_rows
from ticklake.engine.store import Store, retried
from ticklake.errors import CatalogError, Conflict
from ticklake.query.resample import Resampling, whole_bars_in

__all__ = ["SOURCE", "made_of", "outputs_of", "refresh", "remove"]

SOURCE = "derived"
"""The source in the provenance of derived rows."""
_MOST_SPANS = 100
"""In so many reads an input is read again at most."""


def refresh(engine: Engine, rules: RuleTable, name: str) -> Refreshed:
    """Bring what a rule makes up to the newest version; the same again changes nothing.

    Raises
    ------
    BadInput
        If there is no such rule.
    """
    return retried(lambda: _attempt(engine, rules, rules.get(name)))


def outputs_of(engine: Engine, rule: Rule) -> list[Dataset]:
    """Return the datasets of the lake that a rule has made."""
    return list(filter(rule.makes, _datasets(engine)))


def _datasets(engine: Engine) -> list[Dataset]:
    return [row.dataset for row in engine.catalog.datasets()]


def made_of(engine: Engine, dataset: Dataset) -> Dataset:
    """Return the dataset that a derived one is made of in the end, directly or through others; itself if that is not known."""
    rules = RuleTable(engine.catalog.database, engine.now)
    while dataset.variant is not None:
        stored = rules.find(dataset.variant)
        if stored is None:
            break
        rule = Rule.from_json(stored.name, stored.definition)
        source = rule.input_of(dataset)
        if not rule.makes(dataset) or not engine.catalog.has(source):
            break
        dataset = source
    return dataset


def remove(engine: Engine, rules: RuleTable, name: str) -> int:
    """Remove a rule and, in one commit, the datasets that it has made; return how many rows went.

    Older versions have the rows until vacuum. Killed between the two, the rule is gone last: run it again.
    """
    # Looked up first: a name that is no rule must not remove anything.
    stored = rules.get(name)
    made = outputs_of(engine, Rule.from_json(name, stored.definition))
    gone = retried(partial(_drop_all, engine.store, made))
    rules.remove(name)
    return gone


def _drop_all(store: Store, datasets: Sequence[Dataset]) -> int:
    changes = list(map(partial(_leaving, store), datasets))
    if changes:
        store.commit("drop", *changes)
    return -sum(change.new_rows for change in changes)


def _leaving(store: Store, dataset: Dataset) -> Change:
    view = store.view(dataset)
    return leaving(view, count_rows(store, view))


def _attempt(engine: Engine, rules: RuleTable, stored: StoredRule) -> Refreshed:
    version = engine.catalog.version()
    if version == stored.read_version:
        return Refreshed(stored.name, version)
    work = _Work(engine, stored, Rule.from_json(stored.name, stored.definition), version)
    written: list[Segment] = []
    with engine.store.swept_if_it_fails(written):
        try:
            return work.run(rules, written)
        except CatalogError as error:
            # A vacuum that keeps no old versions may remove the one that is read, once there is a newer one.
            if engine.catalog.version() == version:
                raise
            raise Conflict(f"version {version} was vacuumed while the rule {stored.name!r} was refreshed") from error


@dataclass
class _Work:
    """One refresh of a rule from the version that it has read to another."""

    engine: Engine
    stored: StoredRule
    rule: Rule
    version: int

    def run(self, rules: RuleTable, written: list[Segment]) -> Refreshed:
        self._snapshot = self.engine.at(self.version, self.engine.now())
        touched = self._touched()
        # Names of the newest version: those of an older one would be summed up from all segments.
        datasets = _datasets(self.engine)
        done: dict[Dataset, Replaced] = {}
        wanted: set[Dataset] = set()
        for dataset in filter(self.rule.takes, datasets):
            output = self.rule.output_of(dataset)
            wanted.add(output)
            spans = [ALL_TIME]
            if touched is not None:
                spans = touched.get(dataset, [])
            replaced = self._replaced(output, dataset, spans, written)
            if replaced is not None and not replaced.change.is_empty:
                done[output] = replaced
        # What was made of inputs that have been dropped since goes, too.
        orphans = [dataset for dataset in datasets if self.rule.makes(dataset) and dataset not in wanted]
        self._commit(rules, done, orphans)
        return self._refreshed(done, orphans, is_recomputed=touched is None)

    def _commit(self, rules: RuleTable, done: Mapping[Dataset, Replaced], orphans: Sequence[Dataset]) -> None:
        """Commit what changed and how far the rule has read, as one."""
        changes = [replaced.change for replaced in done.values()]
        changes += map(partial(_leaving, self.engine.store), orphans)
        if changes:
            self.engine.store.commit(
                "derive", *changes, also=lambda connection: advance_within(connection, self.stored, self.version)
            )
        else:
            # Without a commit: a version in which nothing changed would wake all who wait for changes.
            rules.advance(self.stored, self.version)

    def _refreshed(
        self, done: Mapping[Dataset, Replaced], orphans: Sequence[Dataset], *, is_recomputed: bool
    ) -> Refreshed:
        new = changed = removed = 0
        for replaced in done.values():
            new += replaced.new
            changed += replaced.changed
            removed += replaced.removed
        made, dropped = tuple(map(str, done)), tuple(map(str, orphans))
        return Refreshed(self.rule.name, self.version, made, new, changed, removed, dropped, recomputed=is_recomputed)

    def _touched(self) -> dict[Dataset, list[Span]] | None:
        """Return the spans in which inputs changed since the rule has read them; ``None`` if that is not known any more."""
        if not self.stored.read_version:
            return None
        try:
            changes = changes_since(self.engine.catalog.database, self.stored.read_version)
        except CatalogError:
            # Vacuum has removed what left since: everything is computed from the newest version.
            return None
        touched: dict[Dataset, list[Span]] = {}
        for change in changes:
            # What came since the version that is read is for the next refresh.
            if change.version <= self.version and self.rule.takes(change.dataset):
                touched.setdefault(change.dataset, []).extend(change.spans)
        return {dataset: normalise(spans) for dataset, spans in touched.items()}

    def _replaced(
        self, output: Dataset, dataset: Dataset, spans: list[Span], written: list[Segment]
    ) -> Replaced | None:
        """Return the change of an output after its input changed inside *spans*; ``None`` if there is none."""
        resampling = Resampling.of(dataset, self.rule.bars, self.engine.sessions, sides=self.rule.kind == "bars")
        of_input, before = self._snapshot.catalog.coverage(dataset), self.engine.catalog.coverage(output)
        expired = _expired(resampling, of_input, before)
        after = _inherited(before, of_input, resampling, expired)
        known = self._known(resampling, dataset)
        looked_at = [*_newly_covered(before, after), *self._unread(resampling, output, known)]
        if ALL_TIME in spans:
            looked_at.append(ALL_TIME)
        else:
            looked_at += map(resampling.touched, spans)
        looked_at = list(outside(_joined(normalise(looked_at)), expired))
        if not looked_at and after == before:
            return None
        make = partial(self._made, resampling, output, known, self._provenance())
        pieces = chain.from_iterable(map(make, looked_at))
        # Coverage alone may change: then no rows are compared.
        reach = Span(0, 1)
        if looked_at:
            reach = hull_of(looked_at)
        return replace_rows(self.engine.store, output, reach, pieces, after, written)

    def _known(self, resampling: Resampling, dataset: Dataset) -> Span | None:
        """Return the span of the bars that are whole; of those that end with a trade, any may be."""
        if resampling.edges is None:
            return ALL_TIME
        return whole_bars_in(self._snapshot.store, dataset, ALL_TIME, resampling.edges, resampling.shift)

    def _unread(self, resampling: Resampling, output: Dataset, known: Span | None) -> list[Span]:
        """Return the whole bars before the first and after the last one that are stored: time alone may have made them whole."""
        if known is None or resampling.edges is None:
            return []
        row = self.engine.catalog.dataset(output)
        if row is None or row.min_ts is None or row.max_ts is None:
            return [known]
        # In whole bars: how long a bar of a session lasts is not in its dataset's name.
        stored = Span(row.min_ts, resampling.edges.next(row.max_ts))
        return list(outside([known], [stored]))

    def _made(
        self, resampling: Resampling, output: Dataset, known: Span | None, provenance: int, span: Span
    ) -> Iterator[tuple[Span, pl.DataFrame]]:
        """Yield all bars inside *span*, frame by frame, each with the part of the span that it fills."""
        kind = output.spec
        names = [name for name in BAR_COLUMNS if name in kind.names]
        start, held = span.start, kind.empty()
        for frame in self._chunks(resampling, span, known):
            rows = pl.concat([held, canonical(frame.select(names), kind, provenance)])
            if rows.is_empty():
                continue
            # Two bars that end with a trade may open at one instant: the second may come with the next frame.
            opens = rows["ts"].to_physical()
            last = opens[-1]
            place = opens.search_sorted(last, side="left")
            held = rows.slice(place)
            if place:
                yield Span(start, last), rows.head(place)
                start = last
        yield Span(start, span.end), held

    def _chunks(self, resampling: Resampling, span: Span, known: Span | None) -> Iterator[pl.DataFrame]:
        """Yield the whole bars inside *span*: none where nothing is known."""
        if known is None:
            return
        inside = span.intersect(known)
        if inside is not None:
            yield from resampling.chunks(self._snapshot.store, inside)

    def _provenance(self) -> int:
        """Return the number of the origin of what this refresh makes; written only if it makes something."""
        note = f"rule {self.stored.hash} of version {self.version}"
        return self.engine.catalog.provenance_id(Provenance(SOURCE, self.rule.name, self.engine.store.tool, note=note))


def _expired(resampling: Resampling, of_input: Coverage, of_output: Coverage) -> list[Span]:
    """Return the spans of the bars of which rows were removed by retention, here or there: they stay as they are."""
    there = map(resampling.touched, of_input.spans(Found.EXPIRED))
    return normalise([*there, *of_output.spans(Found.EXPIRED)])


def _newly_covered(before: Coverage, after: Coverage) -> list[Span]:
    """Return the spans that are covered from now on, and those whose rows were lost here and not in the input: they are computed anew."""
    data = outside(after.spans(Found.DATA), before.spans(Found.DATA))
    lost = outside(before.spans(Found.LOST), after.spans(Found.LOST))
    return [*data, *lost]


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join the nearest of sorted spans until few are left: to read a little more costs less than many reads."""
    gaps = sorted(after.start - before.end for before, after in pairwise(spans))
    if len(gaps) < _MOST_SPANS:
        return list(spans)
    widest = gaps[len(gaps) - _MOST_SPANS]
    joined = [spans[0]]
    for span in spans[1:]:
        if span.start - joined[-1].end <= widest:
            joined[-1] = joined[-1].hull(span)
        else:
            joined.append(span)
    return joined


def _inherited(before: Coverage, of_input: Coverage, resampling: Resampling, expired: list[Span]) -> Coverage:
    """Return the coverage of an output: data where its input is covered from end to end of a bar, else what the input says.

    Where rows of the input have expired, it stays as it was *before*.
    """
    pieces: list[Covered] = []
    for piece in before.pieces:
        pieces += _parts(piece, common([piece.span], expired))
    for piece in _in_bars(of_input, resampling).pieces:
        pieces += _parts(piece, outside([piece.span], expired))
    return Coverage.of(sorted(pieces, key=lambda piece: piece.span.start))


def _parts(piece: Covered, spans: Iterable[Span]) -> list[Covered]:
    return [replace(piece, span=span) for span in spans]


def _in_bars(coverage: Coverage, resampling: Resampling) -> Coverage:
    """Return the coverage of the bars that are made of rows; what has expired is left out."""
    pieces: list[Covered] = []
    for piece in coverage.pieces:
        if piece.found in (Found.DATA, Found.EXPIRED):
            continue
        span = piece.span
        if resampling.edges is not None:
            # A bar with a hole in it is no whole bar.
            span = resampling.touched(span)
        pieces.append(replace(piece, span=span))
    for span in normalise(coverage.spans(Found.DATA)):
        whole = resampling.whole_inside(span)
        if whole is not None:
            pieces.append(Covered(whole))
    return Coverage.of(pieces)
