"""The table of feature sets: each version of each is a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.errors import BadInput

__all__ = ["FeatureSetTable", "StoredFeatureSet"]

_TABLE = schema.feature_sets


@dataclass(frozen=True, slots=True)
class StoredFeatureSet:
    """A version of a feature set as the catalog keeps it; ``hash`` is that of all in the definition that can change a value."""

    name: str
    version: str
    definition: Mapping[str, Any]
    hash: str
    state: str = "active"
    created_at: int = 0


class FeatureSetTable:
    """Feature sets in the catalog, by name and version."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def add(self, name: str, version: str, definition: Mapping[str, Any], digest: str) -> StoredFeatureSet:
        """Add a version of a feature set.

        Raises
        ------
        BadInput
            If there is that version; nothing is changed then.
        """
        values = {
            "name": name,
            "version": version,
            "definition": json.dumps(definition, ensure_ascii=False, sort_keys=True),
            "hash": digest,
            "state": "active",
            "created_at": self._now(),
        }
        with self._database.write() as connection:
            if _row(connection, name, version) is not None:
                raise BadInput(f"there is a feature set {name}@{version} already: choose another version")
            connection.execute(_TABLE.insert(), values)
        return self.get(name, version)

    def find(self, name: str, version: str) -> StoredFeatureSet | None:
        """Return one version of a feature set, or ``None``."""
        with self._database.read() as connection:
            row = _row(connection, name, version)
        if row is None:
            return None
        return _feature_set(row)

    def get(self, name: str, version: str) -> StoredFeatureSet:
        """Return one version of a feature set.

        Raises
        ------
        BadInput
            If there is none of that name and version.
        """
        found = self.find(name, version)
        if found is None:
            raise BadInput(f"there is no feature set {name}@{version}: 'ticklake features list' shows them")
        return found

    def list(self, name: str | None = None) -> list[StoredFeatureSet]:
        """Return all feature sets, or the versions of one, sorted by name and in the order in which they were added."""
        query = rows_of(_TABLE).order_by(_TABLE.c.name, _TABLE.c.created_at, _TABLE.c.version)
        if name is not None:
            query = query.where(_TABLE.c.name == name)
        with self._database.read() as connection:
            return [_feature_set(row) for row in connection.execute(query)]

    def set_state(self, name: str, version: str, state: str) -> None:
        """Change the state of a version, like ``deprecated``."""
        self.get(name, version)
        with self._database.write() as connection:
            connection.execute(update(_TABLE).where(*_is(name, version)).values(state=state))

    def delete(self, name: str, version: str) -> None:
        """Remove a version of a feature set; its values stay."""
        self.get(name, version)
        with self._database.write() as connection:
            connection.execute(_TABLE.delete().where(*_is(name, version)))


def _is(name: str, version: str) -> tuple[Any, Any]:
    return _TABLE.c.name == name, _TABLE.c.version == version


def _row(connection: Connection, name: str, version: str) -> Row[Any] | None:
    return connection.execute(rows_of(_TABLE).where(*_is(name, version))).first()


def _feature_set(row: Row[Any]) -> StoredFeatureSet:
    return StoredFeatureSet(row.name, row.version, json.loads(row.definition), row.hash, row.state, row.created_at)
