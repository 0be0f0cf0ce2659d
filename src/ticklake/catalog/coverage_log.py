"""The log of coverage: what each commit replaced, so that the coverage of an older version can be computed.

The table of coverage holds only the newest state. Each commit that changes it logs the pieces that were there before; the
coverage of a version is the newest one with all later commits undone, newest first.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from ticklake.catalog import schema
from ticklake.catalog.checksums import intact, with_check
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.span import Span
from ticklake.errors import CatalogDamaged, VersionGone

__all__ = ["Replaced", "coverage_at", "log_coverage", "read_coverage", "refuse_forgotten", "trim_coverage_log"]

_META = schema.meta
_SINCE = "coverage_since"
"""The key of the first version from which the log, and the list of batches, are complete."""
_SINCE_WHEN = select(intact(_META.c.value)).where(_META.c.key == _SINCE)
_NEW_ENTRIES = _META.insert()
_PREFIX = "coverage/"
# Keys are compared as text: with leading zeros they are in the order of versions.
_DIGITS = 20


def read_coverage(rows: Iterable[Sequence[Any]]) -> Coverage:
    """Return the coverage of rows of its table, which are sorted by their start."""
    return Coverage(tuple(Covered(Span(start, end), Found(found), reason) for _, start, end, found, reason in rows))


class Replaced(NamedTuple):
    """What a commit replaces of the coverage of a dataset: the pieces that touch *reach*."""

    dataset_id: int
    reach: Span
    before: Sequence[Covered]


def log_coverage(connection: Connection, version: int, replaced: Sequence[Replaced]) -> None:
    """Log what commit *version* replaces; nothing of it is replaced yet."""
    if not replaced:
        return
    if _since(connection) is None:
        since = 0
        if _has_coverage(connection):
            # A catalog of an older Ticklake has coverage without a log: its history begins with this commit.
            since = version - 1
        connection.execute(_META.insert(), {"key": _SINCE, "value": str(since)})
    connection.execute(_NEW_ENTRIES, [_entry(version, item) for item in replaced])


def _entry(version: int, replaced: Replaced) -> dict[str, Any]:
    """Return the row that logs what was replaced of one dataset."""
    reach = replaced.reach
    pieces = [(piece.span.start, piece.span.end, piece.found.value, piece.reason) for piece in replaced.before]
    text = json.dumps({"reach": [reach.start, reach.end], "pieces": pieces}, separators=(",", ":"))
    return with_check(_META, {"key": _key(replaced.dataset_id, version), "value": f"{_check(text)} {text}"})


def coverage_at(
    connection: Connection, dataset_id: int, version: int, newest: Coverage, *, is_newest: bool
) -> Coverage:
    """Return the coverage of a dataset as of *version*, given the *newest* one.

    Raises
    ------
    VersionGone
        If the log does not reach back so far.
    """
    refuse_forgotten(connection, version)
    if _since(connection) is None and newest.pieces and not is_newest:
        raise VersionGone(
            f"what was covered in version {version} is not known: an older ticklake wrote it and kept none"
        )
    later = select(intact(_META.c.value)).where(
        _META.c.key > _key(dataset_id, version), _META.c.key <= f"{_PREFIX}{dataset_id}/{'9' * _DIGITS}"
    )
    coverage = newest
    for value in connection.execute(later.order_by(_META.c.key.desc())).scalars():
        check, _, text = value.partition(" ")
        if check != _check(text):
            raise CatalogDamaged(
                f"the log of coverage is damaged: restore a backup, or ask for a newer version than {version}"
            )
        coverage = _undone(coverage, json.loads(text))
    return coverage


def refuse_forgotten(connection: Connection, version: int) -> None:
    """Refuse a version whose history vacuum has removed, even if its rows can still be read.

    Raises
    ------
    VersionGone
        If the history of *version* was removed.
    """
    since = _since(connection)
    if since is not None and version < since:
        raise VersionGone(
            f"what was covered in version {version} is no longer known: it was vacuumed or lost with a damaged "
            f"catalog, and history is kept from version {since} on"
        )


def trim_coverage_log(connection: Connection, version: int) -> None:
    """Remove the log of coverage of versions older than *version*."""
    since = _since(connection)
    if version <= (since or 0):
        return
    if since is None and _has_coverage(connection):
        # An older Ticklake wrote coverage without a log: no earlier state can be computed.
        version = int(connection.execute(select(func.max(schema.commits.c.id))).scalar_one())
    number = func.substr(_META.c.key, func.length(_META.c.key) - _DIGITS + 1, _DIGITS)
    old = _META.c.key.like(f"{_PREFIX}%") & (number <= f"{version:0{_DIGITS}d}")
    connection.execute(_META.delete().where(old))
    connection.execute(insert_or_replace(_META), {"key": _SINCE, "value": str(version)})


def _check(text: str) -> str:
    """Return the checksum of an entry: SQLite does not notice a flipped bit in it."""
    return f"{zlib.crc32(text.encode()):08x}"


def _undone(coverage: Coverage, entry: dict[str, Any]) -> Coverage:
    """Return the coverage before the commit that wrote *entry*."""
    reach = Span(*entry["reach"])
    pieces = [piece for piece in coverage.pieces if not piece.span.touches(reach)]
    for start, end, found, reason in entry["pieces"]:
        pieces.append(Covered(Span(start, end), Found(found), reason))
    return Coverage(tuple(sorted(pieces)))


def _has_coverage(connection: Connection) -> bool:
    return connection.execute(select(schema.coverage.c.start).limit(1)).first() is not None


def _since(connection: Connection) -> int | None:
    value = connection.execute(_SINCE_WHEN).scalar()
    if value is None:
        return None
    return int(value)


def _key(dataset_id: int, version: int) -> str:
    return f"{_PREFIX}{dataset_id}/{version:0{_DIGITS}d}"
