"""How the changes of one commit are applied inside a catalog transaction, each statement once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, or_, select
from sqlalchemy.exc import IntegrityError

from ticklake.catalog import schema, segment_columns
from ticklake.catalog.changes import Change
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.coverage_log import log_coverage
from ticklake.catalog.dataset_names import drop_name
from ticklake.catalog.rename import carry_over
from ticklake.catalog.upsert import insert_new
from ticklake.core.append_log import Arrival, joins
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import Conflict, InvalidData

__all__ = ["apply_changes"]

_AT_ONCE = 500
"""How many names or ids go into one statement."""
_ANY = rows_of(schema.datasets)
_DATASETS = _ANY.where(schema.datasets.c.name.in_(bindparam("names", expanding=True)))
_DATASET = _ANY.where(schema.datasets.c.name == bindparam("name"))
"""One alone is most common, and a list of names is compiled anew each time."""
_SUMMARY = ("rows", "bytes", "seq", "min_ts", "max_ts", "updated_at", "changed_in", "last_id")
_SUMMARISE = (
    schema.datasets.update()
    .where(schema.datasets.c.id == bindparam("dataset"))
    .values({name: bindparam(f"new_{name}") for name in _SUMMARY})
)


def apply_changes(connection: Connection, changes: Sequence[Change], version: int, now: int) -> None:
    """Apply *changes*, one a dataset, as commit *version*, or raise :class:`Conflict` and let nothing happen."""
    known = _datasets(connection, changes, now)
    rows = [known[str(change.dataset)] for change in changes]
    for row, change in zip(rows, changes, strict=True):
        _settle_names(connection, row, change)
        _refuse_stale(connection, row, change)
        _remove(connection, row.id, change, version)
        if change.coverage or change.forget:
            _cover(connection, row.id, change, version)
    pairs = list(zip(rows, changes, strict=True))
    added = [_segment(row.id, segment, version) for row, change in pairs for segment in change.add]
    try:
        _insert(connection, schema.segments.insert(), added)
    except IntegrityError as error:
        raise Conflict("a rebuild took in what is to be committed before its commit") from error
    _insert_history(connection, pairs, version, now)
    joined = (_batch(row, c, c.arrival, version) for row, c in pairs if c.add and c.arrival)
    _insert(connection, schema.batches.insert(), joined)
    moved = (_summary(connection, row, c, version, now) for row, c in pairs if c.add or c.remove or c.new_rows)
    _insert(connection, _SUMMARISE, moved)
    for row, change in pairs:
        if change.successor is not None:
            carry_over(connection, row, known[str(change.successor)], version)
        if change.drop:
            drop_name(connection, row.id, row.name, version)


def _datasets(connection: Connection, changes: Sequence[Change], now: int) -> dict[str, Row[Any]]:
    """Return the row of each change's dataset, made where there was none."""
    known = _named(connection, [str(change.dataset) for change in changes])
    fresh = [change for change in changes if str(change.dataset) not in known]
    if fresh:
        connection.execute(schema.datasets.insert(), [_dataset(change, now) for change in fresh])
        known |= _named(connection, [str(change.dataset) for change in fresh])
    return known


def _named(connection: Connection, names: Sequence[str]) -> dict[str, Row[Any]]:
    if len(names) == 1:
        return {row.name: row for row in connection.execute(_DATASET, {"name": names[0]})}
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        found |= {row.name: row for row in connection.execute(_DATASETS, {"names": part})}
    return found


def _dataset(change: Change, now: int) -> dict[str, Any]:
    dataset = change.dataset
    return {
        "name": str(dataset),
        "exchange": dataset.exchange,
        "kind": dataset.kind,
        "symbol": str(dataset.symbol),
        "timeframe": str(dataset.timeframe) if dataset.timeframe else None,
        "keying": change.keying,
        "id_space": change.id_space,
        "updated_at": now,
    }


def _settle_names(connection: Connection, row: Row[Any], change: Change) -> None:
    """Let the first rows decide how rows are told apart and numbered; later on it is fixed."""
    table = schema.datasets
    if change.add and row.keying != change.keying:
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
    table, left = schema.segments, iter([segment.id for segment in change.remove])
    while part := list(islice(left, _AT_ONCE)):
        live = and_(table.c.id.in_(part), table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
        if connection.execute(table.update().where(live).values(removed_in=version)).rowcount != len(part):
            raise Conflict(f"a segment of {change.dataset} was replaced meanwhile")


def _segment(dataset_id: int, segment: Segment, version: int) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "added_in": version,
        **{name: getattr(segment, name) for name in segment_columns.NAMES},
    }


def _cover(connection: Connection, dataset_id: int, change: Change, version: int) -> None:
    table = schema.coverage
    touched = [*(piece.span for piece in change.coverage), *change.forget]
    reach = Span(min(span.start for span in touched), max(span.end for span in touched))
    near = and_(table.c.dataset_id == dataset_id, table.c.start <= reach.end, table.c.end >= reach.start)
    rows = connection.execute(rows_of(table).where(near)).all()
    old = Coverage(tuple(sorted(Covered(Span(row.start, row.end), Found(row.found), row.reason) for row in rows)))
    new = old
    for span in change.forget:
        new = new.without(span)
    for piece in change.coverage:
        new = new.add(piece)
    if new == old:
        return
    log_coverage(connection, dataset_id, version, reach, old.pieces)
    connection.execute(table.delete().where(near))
    _insert(connection, table.insert(), (_coverage(dataset_id, piece) for piece in new.pieces))


def _coverage(dataset_id: int, piece: Covered) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "start": piece.span.start,
        "end": piece.span.end,
        "found": piece.found.value,
        "reason": piece.reason,
    }


def _summary(connection: Connection, row: Row[Any], change: Change, version: int, now: int) -> dict[str, Any]:
    """Return what the dataset's row will say; it is locked, so nobody else changes it meanwhile."""
    size = sum(segment.size for segment in change.add) - sum(segment.size for segment in change.remove)
    lows = [row.min_ts, *(segment.min_ts for segment in change.add)]
    highs = [row.max_ts, *(segment.max_ts for segment in change.add)]
    if change.remove:
        low, high = _bounds(connection, row.id)
        lows, highs = [low], [high]
    return {
        "dataset": row.id,
        "new_rows": row.rows + change.new_rows,
        "new_bytes": row.bytes + size,
        "new_seq": max([row.seq, *(segment.seq for segment in change.add)]),
        "new_min_ts": min((ts for ts in lows if ts is not None), default=None),
        "new_max_ts": max((ts for ts in highs if ts is not None), default=None),
        "new_updated_at": now,
        "new_changed_in": version,
        "new_last_id": _last_id(row, change, highs),
    }


def _last_id(row: Row[Any], change: Change, highs: Sequence[int | None]) -> str | None:
    """Return the id of the newest row, if that is known."""
    last = max((ts for ts in highs if ts is not None), default=None)
    if change.arrival is not None and change.arrival.end == last:
        return change.arrival.last_id
    return row.last_id if row.max_ts == last else None


def _batch(row: Row[Any], change: Change, arrival: Arrival, version: int) -> dict[str, Any]:
    """Return how a batch joins the rows of its dataset, whose row is locked and not changed yet."""
    known = None if row.min_ts is None else (row.min_ts, row.max_ts)
    how, missing = joins(change.dataset, change.id_space or row.id_space, known, row.last_id, arrival)
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
    table = schema.segments
    live = and_(table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
    low, high = connection.execute(select(func.min(table.c.min_ts), func.max(table.c.max_ts)).where(live)).one()
    return low, high


def _insert(connection: Connection, statement: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Execute *statement* once for all *rows*, if there are any."""
    values = list(rows)
    if values:
        connection.execute(statement, values)


def _insert_history(connection: Connection, pairs: Sequence[tuple[Row[Any], Change]], version: int, now: int) -> None:
    """Insert the refused rows and the revisions of a commit."""
    refused: list[dict[str, Any]] = []
    revised: list[dict[str, Any]] = []
    for row, change in pairs:
        stamp = {"dataset_id": row.id, "commit_id": version, "created_at": now}
        refused += [{**stamp, **asdict(bad)} for bad in change.quarantine]
        revised += [{**stamp, **asdict(revision)} for revision in change.revisions]
    _insert(connection, insert_new(schema.quarantine), refused)
    _insert(connection, schema.revisions.insert(), revised)
