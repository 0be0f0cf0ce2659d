"""How the changes of one commit are applied in a catalog transaction: one statement of each kind for all changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, or_, select
from sqlalchemy.exc import IntegrityError

from ticklake.catalog import schema, segment_columns
from ticklake.catalog.changes import Change
from ticklake.catalog.checksums import changed, rows_of, with_check
from ticklake.catalog.coverage_log import Replaced, log_coverage, read_coverage
from ticklake.catalog.dataset_names import drop_name
from ticklake.catalog.parameters import among, as_list, attributes, bind_new, new_values
from ticklake.catalog.prepared import PreparedChange
from ticklake.catalog.rename import carry_over
from ticklake.catalog.upsert import insert_new
from ticklake.core.append_log import Arrival, joins
from ticklake.core.coverage import Coverage, Covered
from ticklake.core.span import Span
from ticklake.errors import Conflict, InvalidData

__all__ = ["apply_changes"]

Pairs = Sequence[tuple[Row[Any], Change]]
"""The changes of a commit, each with the row of its dataset before it."""

_REFUSED, _REVISED = ("ts", "reason", "row"), ("ts", "before", "after")
_AT_ONCE = 500
"""How many names or ids go into one statement."""
_ANY = rows_of(schema.datasets)
_DATASETS = _ANY.where(among(schema.datasets.c.name, "names"))
_DATASET = _ANY.where(schema.datasets.c.name == bindparam("name"))
"""A single dataset is most common, and for it a list takes longer than the row."""
_TOUCHES = and_(schema.coverage.c.start <= bindparam("last"), schema.coverage.c.end >= bindparam("first"))
"""Pieces that only touch a span are read, too: neighbours with the same finding become one piece."""
_NEAR = and_(schema.coverage.c.dataset_id == bindparam("dataset"), _TOUCHES)
_COVERAGE_NEAR = rows_of(schema.coverage).where(_NEAR).order_by(schema.coverage.c.start)
_COVERAGES_NEAR = (
    rows_of(schema.coverage)
    .where(among(schema.coverage.c.dataset_id, "datasets"), _TOUCHES)
    .order_by(schema.coverage.c.start)
)
_SUMMARY = ("rows", "bytes", "seq", "min_ts", "max_ts", "updated_at", "changed_in", "last_id")
_SUMMARISE = PreparedChange(
    schema.datasets.update()
    .where(schema.datasets.c.id == bindparam("dataset"))
    .values(changed(schema.datasets, bind_new(_SUMMARY)))
)
# Statements are made once: to make an insert takes SQLAlchemy longer than to look up its SQL.
_NEW_DATASETS = schema.datasets.insert()
_NEW_SEGMENTS = PreparedChange(schema.segments.insert())
_NEW_COVERAGE = PreparedChange(schema.coverage.insert())
_NO_COVERAGE = PreparedChange(schema.coverage.delete().where(_NEAR))
_NEW_BATCHES = PreparedChange(schema.batches.insert())
_NEW_REFUSED = insert_new(schema.quarantine)
_NEW_REVISIONS = schema.revisions.insert()
_REMOVED = changed(schema.segments, bind_new(["removed_in"]))


def apply_changes(connection: Connection, changes: Sequence[Change], version: int, now: int) -> None:
    """Apply *changes*, one per dataset, as commit *version*; if it raises :class:`Conflict`, nothing is changed."""
    rows = _datasets(connection, changes, now)
    pairs = [(rows[str(change.dataset)], change) for change in changes]
    for row, change in pairs:
        _settle_names(connection, row, change)
        _refuse_stale(connection, row, change)
        _remove(connection, row.id, change, version)
    _cover(connection, pairs, version)
    _insert_segments(connection, pairs, version)
    _insert_history(connection, pairs, version, now)
    _insert_batches(connection, pairs, version)
    _summarise(connection, pairs, version, now)
    for row, change in pairs:
        if change.successor is not None:
            carry_over(connection, row, rows[str(change.successor)], version)
        if change.drop:
            drop_name(connection, row.id, row.name, version)


def _datasets(connection: Connection, changes: Sequence[Change], now: int) -> dict[str, Row[Any]]:
    """Return the row of each change's dataset by name; missing rows are created."""
    by_name = {str(change.dataset): change for change in changes}
    rows = _rows_by_name(connection, list(by_name))
    new = [name for name in by_name if name not in rows]
    if new:
        connection.execute(_NEW_DATASETS, [_dataset(by_name[name], now) for name in new])
        rows |= _rows_by_name(connection, new)
    return rows


def _rows_by_name(connection: Connection, names: Sequence[str]) -> dict[str, Row[Any]]:
    if len(names) == 1:
        return {row.name: row for row in connection.execute(_DATASET, {"name": names[0]})}
    rows: dict[str, Row[Any]] = {}
    for start in range(0, len(names), _AT_ONCE):
        for row in connection.execute(_DATASETS, {"names": as_list(names[start : start + _AT_ONCE])}):
            rows[row.name] = row
    return rows


def _dataset(change: Change, now: int) -> dict[str, Any]:
    dataset = change.dataset
    return {
        "name": str(dataset),
        "exchange": dataset.exchange,
        "kind": dataset.kind_text,
        "symbol": str(dataset.symbol),
        "timeframe": dataset.timeframe_text,
        "keying": change.keying,
        "id_space": change.id_space,
        "updated_at": now,
    }


def _settle_names(connection: Connection, row: Row[Any], change: Change) -> None:
    """Record how the first rows are keyed and numbered; refuse later rows that differ."""
    table = schema.datasets
    # Another writer may have committed the first rows, with another key, after this change was computed.
    if change.add and row.keying != change.keying:
        # Retired segments count, too: older versions read them with this keying.
        has_segments = select(exists().where(schema.segments.c.dataset_id == row.id))
        if connection.execute(has_segments).scalar():
            raise Conflict(f"{change.dataset} is keyed by {row.keying}")
        connection.execute(table.update().where(table.c.id == row.id).values(keying=change.keying))
    if change.id_space and row.id_space and change.id_space != row.id_space:
        raise InvalidData(
            f"{change.dataset} holds {row.id_space!r} trade ids and these are {change.id_space!r}: "
            "two id spaces in one dataset would double its trades"
        )
    if change.id_space and not row.id_space:
        connection.execute(table.update().where(table.c.id == row.id).values(id_space=change.id_space))


def _refuse_stale(connection: Connection, row: Row[Any], change: Change) -> None:
    if change.read_span is None or change.read_version is None or row.changed_in <= change.read_version:
        return
    table = schema.segments
    moved = select(
        exists().where(
            table.c.dataset_id == row.id,
            table.c.max_ts >= change.read_span.start,
            table.c.min_ts < change.read_span.end,
            or_(table.c.added_in > change.read_version, table.c.removed_in > change.read_version),
        )
    )
    if connection.execute(moved).scalar():
        raise Conflict(f"{change.dataset} changed inside {change.read_span} since version {change.read_version}")


def _remove(connection: Connection, dataset_id: int, change: Change, version: int) -> None:
    table = schema.segments
    ids = [segment.id for segment in change.remove]
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        live = and_(table.c.id.in_(part), table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
        if connection.execute(table.update().where(live).values(_REMOVED), {"new_removed_in": version}).rowcount != len(
            part
        ):
            raise Conflict(f"a segment of {change.dataset} was replaced meanwhile")


def _insert_segments(connection: Connection, pairs: Pairs, version: int) -> None:
    segments: list[dict[str, Any]] = []
    for row, change in pairs:
        for segment in change.add:
            values = attributes(segment, segment_columns.NAMES)
            new = {"dataset_id": row.id, "added_in": version, "removed_in": None, **values}
            segments.append(with_check(schema.segments, new))
    try:
        _NEW_SEGMENTS.execute(connection, segments)
    except IntegrityError as error:
        # The ids of segments are in the footers of their files, by which a rebuild takes in files without a commit.
        raise Conflict("a rebuild took in what is to be committed before its commit") from error


def _cover(connection: Connection, pairs: Pairs, version: int) -> None:
    """Replace the pieces of coverage that the changes touch, and log what was there before."""
    touching = {row.id: change for row, change in pairs if change.coverage or change.forget}
    reaches = {number: _reach(change) for number, change in touching.items()}
    logged: list[Replaced] = []
    deleted: list[dict[str, Any]] = []
    inserted: list[dict[str, Any]] = []
    for number, old in _coverage_near(connection, reaches):
        new = _covered_after(old, touching[number])
        if new == old:
            continue
        reach = reaches[number]
        logged.append(Replaced(number, reach, old.pieces))
        deleted.append({"dataset": number, "first": reach.start, "last": reach.end})
        inserted += [_coverage(number, piece) for piece in new.pieces]
    log_coverage(connection, version, logged)
    _NO_COVERAGE.execute(connection, deleted)
    _NEW_COVERAGE.execute(connection, inserted)


def _reach(change: Change) -> Span:
    """Return the span of all coverage that a change adds or forgets."""
    touched = [*change.forget, *(piece.span for piece in change.coverage)]
    reach = touched[0]
    for span in touched:
        reach = reach.hull(span)
    return reach


def _covered_after(coverage: Coverage, change: Change) -> Coverage:
    for span in change.forget:
        coverage = coverage.without(span)
    for piece in change.coverage:
        coverage = coverage.add(piece)
    return coverage


def _coverage_near(connection: Connection, reaches: Mapping[int, Span]) -> Iterator[tuple[int, Coverage]]:
    """Yield the coverage of each dataset that touches its span of *reaches*."""
    if len(reaches) == 1:
        # Most commits change one dataset: its statement needs no list, which takes longer than the rows.
        [(number, reach)] = reaches.items()
        values = {"dataset": number, "first": reach.start, "last": reach.end}
        yield number, read_coverage(connection.execute(_COVERAGE_NEAR, values))
        return
    numbers = list(reaches)
    for start in range(0, len(numbers), _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        first, last = min(reaches[number].start for number in part), max(reaches[number].end for number in part)
        near: dict[int, list[Row[Any]]] = {number: [] for number in part}
        for row in connection.execute(_COVERAGES_NEAR, {"datasets": as_list(part), "first": first, "last": last}):
            reach = reaches[row.dataset_id]
            if row.start <= reach.end and row.end >= reach.start:
                near[row.dataset_id].append(row)
        for number, rows in near.items():
            yield number, read_coverage(rows)


def _coverage(dataset_id: int, piece: Covered) -> dict[str, Any]:
    values = {
        "dataset_id": dataset_id,
        "start": piece.span.start,
        "end": piece.span.end,
        "found": piece.found.value,
        "reason": piece.reason,
    }
    return with_check(schema.coverage, values)


def _summarise(connection: Connection, pairs: Pairs, version: int, now: int) -> None:
    """Update the rows of the datasets whose segments or number of rows change."""
    summaries: list[dict[str, Any]] = []
    for row, change in pairs:
        if change.add or change.remove or change.new_rows:
            summary = _summary(connection, row, change, version, now)
            summaries.append({"dataset": row.id, **new_values(summary)})
    _SUMMARISE.execute(connection, summaries)


def _summary(connection: Connection, row: Row[Any], change: Change, version: int, now: int) -> dict[str, Any]:
    """Return the new values of a dataset's row; the transaction holds the write lock, so nobody else changes it."""
    first, last = row.min_ts, row.max_ts
    if change.remove:
        # Bounds only widen by themselves. The new segments are inserted by now, so they are counted.
        first, last = _bounds(connection, row.id)
    size, seq = row.bytes, row.seq
    for segment in change.add:
        size += segment.size
        seq = max(seq, segment.seq)
        if first is None or segment.min_ts < first:
            first = segment.min_ts
        if last is None or segment.max_ts > last:
            last = segment.max_ts
    for segment in change.remove:
        size -= segment.size
    return {
        "rows": row.rows + change.new_rows,
        "bytes": size,
        "seq": seq,
        "min_ts": first,
        "max_ts": last,
        "updated_at": now,
        "changed_in": version,
        "last_id": _last_id(row, change, last),
    }


def _last_id(row: Row[Any], change: Change, last: int | None) -> str | None:
    """Return the id of the newest row, which is at *last*, if it is known."""
    if change.arrival is not None and change.arrival.end == last:
        return change.arrival.last_id
    # A deletion took away the newest row, and the id of the row before it is not known here.
    if row.max_ts != last:
        return None
    last_id: str | None = row.last_id
    return last_id


def _insert_batches(connection: Connection, pairs: Pairs, version: int) -> None:
    batches: list[dict[str, Any]] = []
    for row, change in pairs:
        if change.add and change.arrival:
            batches.append(with_check(schema.batches, _batch(row, change, change.arrival, version)))
    _NEW_BATCHES.execute(connection, batches)


def _batch(row: Row[Any], change: Change, arrival: Arrival, version: int) -> dict[str, Any]:
    """Return how a batch joins the rows that its dataset had before; *row* is still the old one."""
    bounds: tuple[int, int] | None = None
    if row.min_ts is not None:
        bounds = (row.min_ts, row.max_ts)
    how, missing = joins(change.dataset, change.id_space or row.id_space, bounds, row.last_id, arrival)
    return {
        "dataset_id": row.id,
        "commit_id": version,
        "batches": 1,
        "received": arrival.received,
        "new": arrival.new,
        "changed": arrival.changed,
        "duplicate": arrival.duplicate,
        "start": arrival.start,
        "end": arrival.end,
        "first_id": arrival.first_id,
        "last_id": arrival.last_id,
        "before_ts": row.max_ts,
        "before_id": row.last_id,
        "joins": how.value,
        "missing": missing,
    }


def _bounds(connection: Connection, dataset_id: int) -> tuple[int | None, int | None]:
    """Return the times of the first and the last row in live segments, the new ones included."""
    table = schema.segments
    live = and_(table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
    low, high = connection.execute(select(func.min(table.c.min_ts), func.max(table.c.max_ts)).where(live)).one()
    return low, high


def _insert(connection: Connection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Execute *statement* once for all *rows*, if there are any."""
    if rows:
        connection.execute(statement, rows)


def _insert_history(connection: Connection, pairs: Pairs, version: int, now: int) -> None:
    """Insert the refused rows and the revisions of a commit."""
    refused: list[dict[str, Any]] = []
    revised: list[dict[str, Any]] = []
    for row, change in pairs:
        stamp = {"dataset_id": row.id, "commit_id": version, "created_at": now}
        refused += [{**stamp, **attributes(bad, _REFUSED)} for bad in change.quarantine]
        revised += [{**stamp, **attributes(revision, _REVISED)} for revision in change.revisions]
    # A row that is refused again is not recorded again.
    _insert(connection, _NEW_REFUSED, refused)
    _insert(connection, _NEW_REVISIONS, revised)
