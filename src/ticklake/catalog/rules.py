"""The table of rules by which derived rows are made; each knows the version up to which it has read its inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, update

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.errors import BadInput, Conflict, NotFound

__all__ = ["RuleTable", "StoredRule", "advance_within"]

_TABLE = schema.rules


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as the catalog keeps it.

    ``hash`` is that of all in the definition that can change a value, ``read_version`` the version up to which its inputs
    were read: 0 if they never were.
    """

    name: str
    definition: Mapping[str, Any]
    hash: str
    read_version: int = 0
    state: str = "active"
    created_at: int = 0


class RuleTable:
    """Rules in the catalog, by name, which is the variant of their datasets."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now

    def add(self, name: str, definition: Mapping[str, Any], digest: str) -> StoredRule:
        """Add a rule that has read nothing yet.

        Raises
        ------
        BadInput
            If there is one of that name; nothing is changed then.
        """
        values = {
            "name": name,
            "definition": json.dumps(definition, ensure_ascii=False, sort_keys=True),
            "hash": digest,
            "read_version": 0,
            "state": "active",
            "created_at": self._now(),
        }
        with self._database.write() as connection:
            if _row(connection, name) is not None:
                raise BadInput(f"there is a rule {name!r} already: choose another name, or drop that one first")
            connection.execute(_TABLE.insert(), values)
        return self.get(name)

    def find(self, name: str) -> StoredRule | None:
        """Return one rule, or ``None``."""
        with self._database.read() as connection:
            row = _row(connection, name)
        if row is None:
            return None
        return _rule(row)

    def get(self, name: str) -> StoredRule:
        """Return one rule.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        rule = self.find(name)
        if rule is None:
            raise NotFound(f"there is no rule {name!r}: 'ticklake derive list' shows them")
        return rule

    def list(self) -> list[StoredRule]:
        """Return all rules, sorted by name."""
        with self._database.read() as connection:
            return list(map(_rule, connection.execute(rows_of(_TABLE).order_by(_TABLE.c.name))))

    def set_state(self, name: str, state: str) -> None:
        """Change the state of a rule."""
        self.get(name)
        with self._database.write() as connection:
            connection.execute(update(_TABLE).where(_TABLE.c.name == name).values(state=state))

    def remove(self, name: str) -> None:
        """Remove a rule; rows that it made stay."""
        self.get(name)
        with self._database.write() as connection:
            connection.execute(_TABLE.delete().where(_TABLE.c.name == name))

    def advance(self, rule: StoredRule, version: int) -> None:
        """Record that the inputs of a rule were read up to *version* and nothing had to change.

        Raises
        ------
        Conflict
            If another process has advanced or removed the rule since it was read.
        """
        with self._database.write() as connection:
            advance_within(connection, rule, version)


def advance_within(connection: Connection, rule: StoredRule, version: int) -> None:
    """Do what :meth:`RuleTable.advance` does inside the transaction that commits the rows: both are done, or neither."""
    unmoved = (
        _TABLE.c.name == rule.name,
        _TABLE.c.hash == rule.hash,
        _TABLE.c.read_version == rule.read_version,
        _TABLE.c.created_at == rule.created_at,
    )
    if not connection.execute(update(_TABLE).where(*unmoved).values(read_version=version)).rowcount:
        raise Conflict(f"the rule {rule.name!r} was refreshed, changed or dropped by another process meanwhile")


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(rows_of(_TABLE).where(_TABLE.c.name == name)).first()


def _rule(row: Row[Any]) -> StoredRule:
    definition = json.loads(row.definition)
    return StoredRule(row.name, definition, row.hash, row.read_version, row.state, row.created_at)
