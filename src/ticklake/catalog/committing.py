"""How one dataset's change is applied inside a catalog transaction."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Case, ColumnElement, Connection, and_, case, exists, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from ticklake.catalog import schema
from ticklake.catalog.changes import Change, Quarantined
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import Conflict, InvalidData

__all__ = ["apply_change"]


def apply_change(connection: Connection, change: Change, version: int, now: int) -> None:
    """Apply *change* as part of commit *version*, or raise :class:`Conflict`."""
    dataset_id = _dataset_id(connection, change, now)
    _refuse_stale(connection, dataset_id, change)
    _remove(connection, dataset_id, change.remove, version)
    _add(connection, dataset_id, change.add, version)
    if change.coverage or change.forget:
        _cover(connection, dataset_id, change)
    _quarantine(connection, dataset_id, change.quarantine, version, now)
    if change.revisions:
        connection.execute(
            schema.revisions.insert(),
            [
                {"dataset_id": dataset_id, "commit_id": version, "created_at": now, **asdict(revision)}
                for revision in change.revisions
            ],
        )
    _summarise(connection, dataset_id, change, now)


def _dataset_id(connection: Connection, change: Change, now: int) -> int:
    table, dataset = schema.datasets, change.dataset
    row = connection.execute(
        select(table.c.id, table.c.keying, table.c.id_space).where(table.c.name == str(dataset))
    ).first()
    if row is None:
        inserted = connection.execute(
            table.insert().values(
                name=str(dataset),
                exchange=dataset.exchange,
                kind=dataset.kind,
                symbol=str(dataset.symbol),
                timeframe=str(dataset.timeframe) if dataset.timeframe else None,
                keying=change.keying,
                id_space=change.id_space,
                updated_at=now,
            )
        )
        return int(inserted.inserted_primary_key[0])  # type: ignore[index]
    if change.add and row.keying != change.keying:
        _settle_keying(connection, row.id, row.keying, change)
    if change.id_space and row.id_space and change.id_space != row.id_space:
        raise InvalidData(
            f"{dataset} holds {row.id_space!r} trade ids and these are {change.id_space!r}: "
            "two id spaces in one dataset would double its trades"
        )
    if change.id_space and not row.id_space:
        connection.execute(table.update().where(table.c.id == row.id).values(id_space=change.id_space))
    return int(row.id)


def _settle_keying(connection: Connection, dataset_id: int, known: str, change: Change) -> None:
    """Let the first rows decide how rows are told apart; later on it is fixed."""
    held = select(exists().where(schema.segments.c.dataset_id == dataset_id))
    if connection.execute(held).scalar():
        raise Conflict(f"{change.dataset} is keyed by {known}")
    table = schema.datasets
    connection.execute(table.update().where(table.c.id == dataset_id).values(keying=change.keying))


def _refuse_stale(connection: Connection, dataset_id: int, change: Change) -> None:
    if change.read_span is None or change.read_version is None:
        return
    table = schema.segments
    moved = select(
        exists().where(
            table.c.dataset_id == dataset_id,
            table.c.max_ts >= change.read_span.start,
            table.c.min_ts < change.read_span.end,
            or_(table.c.added_in > change.read_version, table.c.removed_in > change.read_version),
        )
    )
    if connection.execute(moved).scalar():
        raise Conflict(f"{change.dataset} changed inside {change.read_span} since version {change.read_version}")


def _remove(connection: Connection, dataset_id: int, removed: tuple[Segment, ...], version: int) -> None:
    table = schema.segments
    for segment in removed:
        result = connection.execute(
            table.update()
            .where(table.c.id == segment.id, table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
            .values(removed_in=version)
        )
        if result.rowcount != 1:
            raise Conflict(f"{segment.name} was replaced meanwhile")


def _add(connection: Connection, dataset_id: int, added: tuple[Segment, ...], version: int) -> None:
    if added:
        rows = [{"dataset_id": dataset_id, "added_in": version, **asdict(segment)} for segment in added]
        connection.execute(schema.segments.insert(), rows)


def _cover(connection: Connection, dataset_id: int, change: Change) -> None:
    table = schema.coverage
    touched = [*(piece.span for piece in change.coverage), *change.forget]
    reach = Span(min(span.start for span in touched), max(span.end for span in touched))
    near = and_(table.c.dataset_id == dataset_id, table.c.start <= reach.end, table.c.end >= reach.start)
    rows = connection.execute(select(table).where(near)).all()
    old = Coverage(tuple(sorted(Covered(Span(row.start, row.end), Found(row.found), row.reason) for row in rows)))
    new = old
    for span in change.forget:
        new = new.without(span)
    for piece in change.coverage:
        new = new.add(piece)
    if new == old:
        return
    connection.execute(table.delete().where(near))
    if new.pieces:
        connection.execute(
            table.insert(),
            [
                {
                    "dataset_id": dataset_id,
                    "start": piece.span.start,
                    "end": piece.span.end,
                    "found": piece.found.value,
                    "reason": piece.reason,
                }
                for piece in new.pieces
            ],
        )


def _quarantine(
    connection: Connection, dataset_id: int, refused: tuple[Quarantined, ...], version: int, now: int
) -> None:
    if not refused:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(schema.quarantine).on_conflict_do_nothing()
    connection.execute(
        insert,
        [{"dataset_id": dataset_id, "commit_id": version, "created_at": now, **asdict(row)} for row in refused],
    )


def _summarise(connection: Connection, dataset_id: int, change: Change, now: int) -> None:
    table = schema.datasets
    if not (change.add or change.remove):
        return
    size = sum(segment.size for segment in change.add) - sum(segment.size for segment in change.remove)
    values: dict[str, object] = {
        "rows": table.c.rows + change.new_rows,
        "bytes": table.c.bytes + size,
        "updated_at": now,
    }
    if change.add:
        values["seq"] = _greater(table.c.seq, max(segment.seq for segment in change.add))
    if change.remove:
        values |= _bounds(connection, dataset_id)
    else:
        values["min_ts"] = _lesser(table.c.min_ts, min(segment.min_ts for segment in change.add))
        values["max_ts"] = _greater(table.c.max_ts, max(segment.max_ts for segment in change.add))
    connection.execute(table.update().where(table.c.id == dataset_id).values(**values))


def _bounds(connection: Connection, dataset_id: int) -> dict[str, object]:
    table = schema.segments
    live = and_(table.c.dataset_id == dataset_id, table.c.removed_in.is_(None))
    low, high = connection.execute(select(func.min(table.c.min_ts), func.max(table.c.max_ts)).where(live)).one()
    return {"min_ts": low, "max_ts": high}


def _greater(column: ColumnElement[int], value: int) -> Case[int]:
    return case((column.is_(None) | (column < value), value), else_=column)


def _lesser(column: ColumnElement[int], value: int) -> Case[int]:
    return case((column.is_(None) | (column > value), value), else_=column)
