"""Statistics from the catalog alone: two statements, whatever the number of datasets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from ticklake.catalog import schema
from ticklake.catalog.database import Database
from ticklake.catalog.dataset_names import IS_HERE
from ticklake.catalog.feature_sets import FeatureSetTable
from ticklake.core.features import FeatureSet
from ticklake.core.statistics import GroupStats, GroupTotals, LakeStats, width_of

__all__ = ["lake_stats", "lake_totals"]

_COUNTS = (
    *("datasets", "rows", "files", "file_bytes"),
    *("inline_segments", "inline_rows", "inline_bytes", "retired_segments", "retired_bytes"),
)
_D, _S = schema.datasets.c, schema.segments.c
_LIVE = _S.removed_in.is_(None)
_FILE, _INLINE = and_(_LIVE, _S.path.is_not(None)), and_(_LIVE, _S.path.is_(None))


def lake_stats(database: Database) -> LakeStats:
    """Count what the lake holds by exchange and kind."""
    with database.read() as connection:
        rows = _by_group(connection, _rows())
        stored = _by_group(connection, _stored())
    groups = [_group(key, rows.get(key, {}), stored.get(key, {})) for key in sorted({*rows, *stored})]
    catalog_bytes, wal_bytes = database.sizes()
    widths = _widths(database)
    groups = [replace(group, width=widths.get(group.kind)) for group in groups]
    return LakeStats(tuple(groups), catalog_bytes, wal_bytes)


def lake_totals(database: Database) -> list[GroupTotals]:
    """Add up what datasets hold by exchange and kind: some milliseconds for ten thousand of them, however many segments they have."""
    columns = [_D.exchange, _D.kind, func.count(), func.sum(_D.rows), func.sum(_D.bytes), func.max(_D.max_ts)]
    query = select(*columns).where(IS_HERE).group_by(_D.exchange, _D.kind).order_by(_D.exchange, _D.kind)
    with database.read() as connection:
        return [GroupTotals(*row) for row in connection.execute(query)]


def _widths(database: Database) -> dict[str, int]:
    """Return how many bytes a row takes of each kind that the lake declares."""
    widths: dict[str, int] = {}
    for declared in FeatureSetTable(database, lambda: 0).list():
        features = FeatureSet.from_dict(declared.definition)
        widths[str(features)] = width_of(features.kind)
    return widths


def _by_group(connection: Connection, query: Select[Any]) -> dict[tuple[str, str], Any]:
    return {(row.exchange, row.kind): row._mapping for row in connection.execute(query)}


def _rows() -> Select[Any]:
    """Count datasets and their rows, and find the first and the last row."""
    return (
        select(
            _D.exchange,
            _D.kind,
            func.count().label("datasets"),
            func.sum(_D.rows).label("rows"),
            func.min(_D.min_ts).label("first"),
            func.max(_D.max_ts).label("last"),
        )
        .where(IS_HERE)
        .group_by(_D.exchange, _D.kind)
    )


def _stored() -> Select[Any]:
    """Count segments and bytes: in files, inline, and of older versions."""
    return (
        select(
            _D.exchange,
            _D.kind,
            _sum(_FILE, 1).label("files"),
            _sum(_FILE, _S.size).label("file_bytes"),
            _sum(_INLINE, 1).label("inline_segments"),
            _sum(_INLINE, _S.rows).label("inline_rows"),
            _sum(_INLINE, _S.size).label("inline_bytes"),
            _sum(_S.removed_in.is_not(None), 1).label("retired_segments"),
            _sum(_S.removed_in.is_not(None), _S.size).label("retired_bytes"),
        )
        .select_from(schema.segments.join(schema.datasets))
        .group_by(_D.exchange, _D.kind)
    )


def _sum(where: ColumnElement[bool], value: Any) -> Any:
    return func.coalesce(func.sum(case((where, value), else_=0)), 0)


def _group(key: tuple[str, str], rows: Any, stored: Any) -> GroupStats:
    """Return the statistics of an exchange and kind; one of the queries may have no row for it."""
    exchange, kind = key
    counts = {name: int(rows.get(name) or stored.get(name) or 0) for name in _COUNTS}
    return GroupStats(exchange=exchange, kind=kind, **counts, first=rows.get("first"), last=rows.get("last"))
