"""Alerts that were told: remembered in the catalog, so that one of many processes tells each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Row

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.catalog.upsert import insert_or_replace
from ticklake.core.alerts import Alert, AlertRule, Decision, Key

__all__ = ["AlertRecords"]


class AlertRecords:
    """What is remembered of troubles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Alert]:
        """Return everything that is remembered, by rule and subject."""
        query = rows_of(schema.alerts).order_by(schema.alerts.c.rule, schema.alerts.c.subject)
        with self._database.read() as connection:
            return [_alert(row) for row in connection.execute(query)]

    def settle(
        self, concerns: Callable[[Key], bool], decide: Callable[[Mapping[Key, Alert]], Decision]
    ) -> tuple[Decision, Mapping[Key, Alert]]:
        """Let *decide* say what becomes of what is remembered of the keys it *concerns*, while nobody else does.

        Returns
        -------
        tuple
            What was decided, and what was remembered before.
        """
        with self._database.write() as connection:
            all_known = (_alert(row) for row in connection.execute(rows_of(schema.alerts)))
            known = {alert.key: alert for alert in all_known if concerns(alert.key)}
            decision = decide(known)
            gone = known.keys() - {alert.key for alert in decision.alerts}
            _put(connection, gone, [alert for alert in decision.alerts if known.get(alert.key) != alert])
        return decision, known

    def restore(self, alerts: Iterable[Alert]) -> None:
        """Remember *alerts* instead of what was decided about them: it could not be told."""
        with self._database.write() as connection:
            _put(connection, [], alerts)


def _put(connection: Any, gone: Iterable[Key], alerts: Iterable[Alert]) -> None:
    table = schema.alerts
    for rule, subject in gone:
        connection.execute(table.delete().where(table.c.rule == rule, table.c.subject == subject))
    rows = [_row(alert) for alert in alerts]
    if rows:
        connection.execute(insert_or_replace(table), rows)


def _row(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in ("rule", "subject", "text", "since", "told_at", "is_told")}


def _alert(row: Row[Any]) -> Alert:
    return Alert(AlertRule(row.rule), row.subject, row.text, row.since, row.told_at, row.is_told)
