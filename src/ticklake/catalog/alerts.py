"""Records of alerts: kept in the catalog, so that only one of many processes sends each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.parameters import attributes
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.alerts import Alert, AlertRule, Decision, Key

__all__ = ["AlertRecords"]

_COLUMNS = ("rule", "subject", "text", "since", "told_at", "is_told")


class AlertRecords:
    """The alerts that were sent or are to be sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Alert]:
        """Return all recorded alerts, sorted by rule and subject."""
        query = rows_of(schema.alerts).order_by(schema.alerts.c.rule, schema.alerts.c.subject)
        with self._database.read() as connection:
            return list(map(_alert, connection.execute(query)))

    def settle(
        self, concerns: Callable[[Key], bool], decide: Callable[[Mapping[Key, Alert]], Decision]
    ) -> tuple[Decision, Mapping[Key, Alert]]:
        """Replace the records of the keys that *concerns* accepts by what *decide* returns for them.

        Both happen in one transaction, so that no other process decides about the same records.

        Returns
        -------
        tuple
            The decision, and the records before it.
        """
        recorded: dict[Key, Alert] = {}
        with self._database.write() as connection:
            for row in connection.execute(rows_of(schema.alerts)):
                alert = _alert(row)
                if concerns(alert.key):
                    recorded[alert.key] = alert
            decision = decide(recorded)
            changed: list[Alert] = []
            removed = set(recorded)
            for alert in decision.alerts:
                removed.discard(alert.key)
                if recorded.get(alert.key) != alert:
                    changed.append(alert)
            _delete(connection, removed)
            _put(connection, changed)
        return decision, recorded

    def restore(self, alerts: Iterable[Alert]) -> None:
        """Put back the records as they were before a decision whose messages could not be sent."""
        with self._database.write() as connection:
            _put(connection, alerts)


def _delete(connection: Connection, keys: Iterable[Key]) -> None:
    table = schema.alerts
    for rule, subject in keys:
        connection.execute(table.delete().where(table.c.rule == rule, table.c.subject == subject))


def _put(connection: Connection, alerts: Iterable[Alert]) -> None:
    rows = [attributes(alert, _COLUMNS) for alert in alerts]
    if rows:
        connection.execute(insert_or_replace(schema.alerts), rows)


def _alert(row: Row[Any]) -> Alert:
    return Alert(AlertRule(row.rule), row.subject, row.text, row.since, row.told_at, row.is_told)
