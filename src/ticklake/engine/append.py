"""Append: from batches to one durable commit, and from rows to its segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import polars as pl

from ticklake.catalog.changes import Change, DatasetRow, Quarantined, Revision
from ticklake.core.append_log import arrival_of
from ticklake.core.batch import is_ordered, number_prints, sort
from ticklake.core.checks import Checked, check_all
from ticklake.core.compaction_plan import periods
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.joined_batches import IdBounds, id_bounds
from ticklake.core.kinds import Kind
from ticklake.core.merge import Keying, difference, has_repeats, key_of, key_of_batch
from ticklake.core.results import Receipt
from ticklake.core.segment import Segment, rows_in_all
from ticklake.core.span import ALL_TIME, Span, subtract
from ticklake.engine.append_many import append_unmet
from ticklake.engine.incoming import Incoming, Outcome, meets, next_seq, observation_time, reach_of, read_span
from ticklake.engine.observation import observed_after, split_late
from ticklake.engine.read import read_rows
from ticklake.engine.store import DatasetView, HighestId, Store, retried
from ticklake.errors import CorruptSegment, MissingSegment, WriteFailed
from ticklake.storage import segments

__all__ = ["Incoming", "append", "write_file", "write_segments"]

_FEW_ROWS = 4_096
_UNDONE = "nothing was committed, try again, and report it if it stays"


def append(store: Store, batches: Sequence[Incoming], now: int) -> list[Receipt]:
    """Add rows to datasets: check them, compare them with stored rows, write them, and commit once for all datasets.

    When this returns, the rows are durable. Appending the same rows twice changes nothing. Batches of one dataset are
    appended one after the other, each in a commit of its own.
    """
    receipts = [Receipt()] * len(batches)
    # A second batch of a dataset is compared with the rows of the first, which must be committed by then.
    for group in _rounds(batches):
        attempt = partial(_attempt, store, list(group.values()), now)
        for place, receipt in zip(group, retried(attempt), strict=True):
            receipts[place] = receipt
    store.counts.appended(receipts)
    return receipts


def _rounds(batches: Sequence[Incoming]) -> list[dict[int, Incoming]]:
    """Return the batches, by their places, in groups that have no dataset twice."""
    rounds: list[dict[int, Incoming]] = []
    counts: dict[Dataset, int] = {}
    for place, batch in enumerate(batches):
        earlier = counts.get(batch.dataset, 0)
        counts[batch.dataset] = earlier + 1
        if earlier == len(rounds):
            rounds.append({})
        rounds[earlier][place] = batch
    return rounds


def _attempt(store: Store, group: Sequence[Incoming], now: int) -> list[Receipt]:
    version, heads = store.catalog.heads([batch.dataset for batch in group])
    keyings = [_keying(heads.get(batch.dataset), batch) for batch in group]
    written: list[Segment] = []
    # After an interrupt, too: no commit would ever name these files.
    with store.swept_if_it_fails(written):
        outcomes = append_unmet(store, group, keyings, heads, version, now)
        rest = [place for place in range(len(group)) if place not in outcomes]
        unchecked = [(_alone(group, place), group[place].dataset, keyings[place] == "id") for place in rest]
        for place, checked in zip(rest, check_all(unchecked, now), strict=True):
            batch = group[place]
            outcomes[place] = _outcome(store, batch, keyings[place], checked, heads.get(batch.dataset), version)
            written += outcomes[place].change.add
    ordered = [outcomes[place] for place in range(len(group))]
    changes = [outcome.change for outcome in ordered if not outcome.change.is_empty]
    if changes:
        version = store.commit("append", *changes)
    for outcome in ordered:
        if outcome.highest_id is not None:
            store.note_highest_id(outcome.change, outcome.highest_id, version)
    return [replace(outcome.receipt, version=version) for outcome in ordered]


def _alone(group: Sequence[Incoming], place: int) -> pl.DataFrame:
    """Return the rows of one batch of a group in memory of their own."""
    frame = group[place].frame
    if len(group) == 1:
        return frame
    # The frames of a group are parts of one: cached as recent rows, each of them would keep all in memory.
    return frame[list(range(frame.height))]


def _keying(head: DatasetRow | None, batch: Incoming) -> Keying:
    # A dataset without segments is known by its coverage alone: its first rows decide (docs/adr/0005).
    if head is not None and head.seq:
        return head.keying
    return key_of_batch(batch.frame, batch.dataset.spec)


def _outcome(
    store: Store, incoming: Incoming, keying: Keying, checked: Checked, head: DatasetRow | None, version: int
) -> Outcome:
    """Return what becomes of a batch, given the dataset's *head* as of *version*."""
    dataset, kind = incoming.dataset, incoming.dataset.spec
    batch = sort(checked.good, kind)
    if keying == "print":
        batch = number_prints(batch)
    reach = _reach(batch, keying)
    ids = _id_bounds(batch, keying)
    existing, newer = kind.empty(), kind.empty()
    now = store.now()
    # Most batches are newer than all stored rows: they need no read (docs/adr/0010).
    if reach is not None and meets(incoming, reach, ids[0], head, store.highest_ids.get(dataset)):
        # Keyed as the batch was checked: if another writer decided otherwise meanwhile, the commit is a conflict.
        view = replace(store.view(dataset, reach), keying=keying)
        version, head = view.version, view.row
        existing = _existing(store, view)
        if incoming.observed_at is not None:
            # A worker that was stopped between the answer of an exchange and its commit has old rows (docs/adr/0021).
            newer = observed_after(store, view, incoming.observed_at, now)
    late, batch = split_late(batch, newer, kind, keying)
    diff = difference(batch, existing, kind, keying)
    added = write_segments(store, dataset, diff.add, next_seq(head), keying, observation_time(incoming, now))
    # A late row is outdated when it arrives: it counts as one that is there already (docs/adr/0021).
    duplicate = diff.duplicate + late.height
    revisions = _revisions(diff.before, diff.after, kind)
    revisions += _late_revisions(store, dataset, late, existing, keying)
    highest_id = _highest_id(head, reach, ids[1], existing)
    change = Change(
        dataset,
        keying=keying,
        id_space=incoming.origin.id_space,
        add=tuple(added),
        coverage=_coverage(store, incoming, newer),
        quarantine=tuple(_quarantined(checked.bad, kind)),
        revisions=tuple(revisions),
        new_rows=diff.new,
        read_version=version,
        read_span=read_span(reach, highest_id),
        arrival=arrival_of(batch, kind, incoming.frame.height, diff.new, diff.changed, duplicate),
    )
    receipt = Receipt(
        incoming.frame.height, diff.new, diff.changed, duplicate, checked.bad.height, reasons=_counted(checked.bad)
    )
    return Outcome(change, receipt, highest_id)


def _coverage(store: Store, incoming: Incoming, newer: pl.DataFrame) -> tuple[Covered, ...]:
    if newer.height:
        return _uncovered(store, incoming)
    return incoming.coverage


def _existing(store: Store, view: DatasetView) -> pl.DataFrame:
    """Return the rows of a view, without those of damaged segments, which must not prevent an append."""
    try:
        return read_rows(store, view)
    except (CorruptSegment, MissingSegment):
        readable = [segment for segment in view.segments if _can_be_read(store, view.of([segment]))]
        # Each of them can be read by now: a file was moved meanwhile, so the whole attempt is repeated.
        if len(readable) == len(view.segments):
            raise
        return _existing(store, view.of(readable))


def _can_be_read(store: Store, view: DatasetView) -> bool:
    try:
        read_rows(store, view)
    except (CorruptSegment, MissingSegment):
        return False
    return True


def _reach(batch: pl.DataFrame, keying: Keying) -> Span | None:
    if not batch.height:
        return None
    ts = batch["ts"].cast(pl.Int64)
    return reach_of(ts[0], ts[-1], keying)


def _id_bounds(batch: pl.DataFrame, keying: Keying) -> IdBounds:
    # Bounds spare small batches, like those of streams, the read of stored rows; beside the work on a large one it costs little.
    if keying != "id" or batch.height > _FEW_ROWS:
        return None, None
    return id_bounds(batch)


def _highest_id(
    head: DatasetRow | None, reach: Span | None, highest: int | None, existing: pl.DataFrame
) -> HighestId | None:
    """Return the highest id of the dataset from a time on; ``None`` if it is not known.

    *highest* is that of the batch, *existing* are the rows in *reach* that have to be compared with it.
    """
    if reach is None or highest is None:
        return None
    since, changed_in = ALL_TIME.start, 0
    if head is not None and head.max_ts is not None:
        if head.max_ts >= reach.end:
            return None
        since, changed_in = reach.start, head.changed_in
    if existing.height:
        _, stored = id_bounds(existing)
        if stored is None:
            return None
        highest = max(highest, stored)
    return HighestId(changed_in, since, highest)


def _counted(bad: pl.DataFrame) -> dict[str, int]:
    if not bad.height:
        return {}
    return dict(bad["reason"].value_counts(sort=True).iter_rows())


def _quarantined(bad: pl.DataFrame, kind: Kind) -> list[Quarantined]:
    if not bad.height:
        return []
    times = bad["ts"].cast(pl.Int64).to_list()
    texts = _json_rows(bad, kind)
    return [Quarantined(*row) for row in zip(times, bad["reason"].to_list(), texts, strict=True)]


def _revisions(before: pl.DataFrame, after: pl.DataFrame, kind: Kind) -> list[Revision]:
    if not after.height:
        return []
    times = after["ts"].cast(pl.Int64).to_list()
    texts = _json_rows(pl.concat([before, after]), kind)
    return [Revision(*row) for row in zip(times, texts[: len(times)], texts[len(times) :], strict=True)]


def _late_revisions(
    store: Store, dataset: Dataset, late: pl.DataFrame, existing: pl.DataFrame, keying: Keying
) -> list[Revision]:
    """Return a revision for each late row that the log does not have yet.

    A later observation replaced the row before it arrived, so the late row is the value *before*.
    """
    if not late.height:
        return []
    outdated = difference(late, existing, dataset.spec, keying)
    ts = late["ts"].cast(pl.Int64)
    # A job that is repeated may bring the same late page again: the log has its rows once.
    logged = store.catalog.revisions(dataset, Span(ts[0], ts[-1] + 1))
    known = {Revision(row["ts"], row["before"], row["after"]) for row in logged}
    revisions = _revisions(outdated.after, outdated.before, dataset.spec)
    return [revision for revision in revisions if revision not in known]


def _uncovered(store: Store, incoming: Incoming) -> tuple[Covered, ...]:
    """Return the coverage of a late batch, without the spans that were covered since."""
    known = store.catalog.coverage(incoming.dataset).spans()
    uncovered: list[Covered] = []
    for piece in incoming.coverage:
        uncovered += [replace(piece, span=span) for span in subtract(piece.span, known)]
    return tuple(uncovered)


def _json_rows(frame: pl.DataFrame, kind: Kind) -> list[str]:
    # Series by series, and not written as a file: for a correction of one row that would be ten plans.
    physical = list(map(_plain, frame[kind.names].get_columns()))
    return pl.DataFrame(physical).to_struct().struct.json_encode().to_list()


def _plain(series: pl.Series) -> pl.Series:
    """Return times as integers, and other values as they are."""
    if series.dtype.is_temporal():
        return series.cast(pl.Int64)
    return series


def write_segments(
    store: Store, dataset: Dataset, frame: pl.DataFrame, seq: int, keying: Keying, observed_at: int | None = None
) -> list[Segment]:
    """Encode sorted rows as one inline segment, or as one durable file per period.

    Raises
    ------
    WriteFailed
        If the rows are out of order or two share their key, or if what was written does not hold them.
    """
    if not frame.height:
        return []
    _check_rows(dataset, frame, keying)
    if frame.height <= segments.INLINE_ROWS:
        # A small batch is durable sooner in the catalog: a file takes two more fsyncs (docs/adr/0009).
        data = segments.encode_inline(frame)
        if len(data) <= segments.INLINE_BYTES:
            return [store.remember(dataset, segments.inline_segment(frame, seq, data, observed_at), frame)]
    written: list[Segment] = []
    with store.swept_if_it_fails(written):
        for label, part in _by_period(frame):
            segment = write_file(store, dataset, [part], seq, keying, label, observed_at=observed_at)
            if segment is not None:
                written.append(segment)
        count = rows_in_all(written)
        if count != frame.height:
            raise WriteFailed(f"{dataset}: {count:,} rows were written, not {frame.height:,}; {_UNDONE}")
    return written


def write_file(
    store: Store,
    dataset: Dataset,
    frames: Iterable[pl.DataFrame],
    seq: int,
    keying: Keying,
    period: str,
    coverage: Sequence[Covered] = (),
    seen: Callable[[pl.DataFrame], object] = lambda _frame: None,
    observed_at: int | None = None,
) -> Segment | None:
    """Write sorted frames as one durable Parquet file in the dataset's folder; ``None`` if they have no rows."""
    # Most appends are inline: pyarrow is loaded only for those that write a file.
    from ticklake.storage.encoding import check_written
    from ticklake.storage.encoding import write_file as encode

    filled = (frame for frame in frames if frame.height)
    first = next(filled, None)
    if first is None:
        return None
    footer = segments.Footer(
        dataset=dataset,
        id=segments.new_id(),
        seq=seq,
        # Counts and range are not known yet: the writer counts what it writes, and replaces them.
        rows=0,
        min_ts=0,
        max_ts=0,
        keying=keying,
        period=period,
        tool=store.tool,
        provenance=store.catalog.provenances(),
        coverage=tuple(coverage),
        observed_at=observed_at,
    )
    path = f"{dataset.path}/{period}-{footer.id}.parquet"
    with store.objects.create(path) as sink:
        segment = encode(sink, chain([first], filled), footer, path, seen)
    with store.swept_if_it_fails([segment]):
        store.check_there(segment)
        # No commit names the file yet: damage found now costs another attempt, and no row.
        problem = check_written(store.objects.source(path), segment)
        if problem:
            raise WriteFailed(f"{dataset}: {path} {problem}; {_UNDONE}")
    return segment


def _check_rows(dataset: Dataset, frame: pl.DataFrame, keying: Keying) -> None:
    """Refuse unsorted or repeated rows, which would be a bug in the code before."""
    ts = frame["ts"].cast(pl.Int64)
    # Times that only rise are sorted and have no repeats: the common case is checked by one pass.
    if (ts.slice(1) > ts.head(frame.height - 1)).all():
        return
    if not is_ordered(frame, dataset.spec):
        raise WriteFailed(f"{dataset}: the rows to be written are out of order; {_UNDONE}")
    if has_repeats(frame, key_of(dataset.spec, keying)):
        raise WriteFailed(f"{dataset}: two of the rows to be written share their key; {_UNDONE}")


def _by_period(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    ts = frame["ts"].cast(pl.Int64)
    whole = Segment("", 0, frame.height, ts[0], ts[-1], 0, "")
    for period in periods([whole]):
        first = ts.search_sorted(period.span.start)
        yield period.label, frame.slice(first, ts.search_sorted(period.span.end) - first)
