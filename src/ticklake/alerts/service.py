"""Alerts: a notification when a trouble begins, again after a while, and when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ticklake.alerts.conditions import Look, Troubles
from ticklake.catalog.alerts import AlertRecords
from ticklake.catalog.runs import Runs
from ticklake.core.alerts import Alert, Decision, Freshness, Key, Message, decide, summary
from ticklake.core.runs import Run
from ticklake.errors import AlertNotSent, BadInput, TicklakeError
from ticklake.log import Log

if TYPE_CHECKING:
    from ticklake.alerts.notify import Notifier

__all__ = ["Alerts", "WithAlerts", "check_alerts"]


_LOG = Log("alerts")


class WithAlerts(Protocol):
    """A lake."""

    @property
    def alerts(self) -> Alerts:
        """Its alerts."""


class Alerts:
    """The alerts of a lake. The catalog stores which were sent, so that only one of many processes sends each.

    Parameters
    ----------
    name
        The name of the lake in notifications.
    """

    def __init__(
        self,
        troubles: Troubles,
        records: AlertRecords,
        notifier: Notifier,
        runs: Runs,
        now: Callable[[], int],
        name: str,
    ) -> None:
        self._troubles = troubles
        self._records = records
        self._notifier = notifier
        self._runs = runs
        self._now = now
        self._name = name
        self._background: ThreadPoolExecutor | None = None

    @property
    def is_on(self) -> bool:
        """Whether any address is set."""
        return bool(self._notifier.urls)

    def check(self, now: int | None = None) -> Sequence[Message]:
        """Check the whole lake, send the messages that are due, and return them. Without an address, return all troubles.

        Raises
        ------
        AlertNotSent
            If an address did not accept them. If none did, they are sent at the next check.
        MissingExtra
            If there is something to send and apprise is not installed.
        """
        if now is None:
            now = self._now()
        return self._notify(self._troubles.look(now), now)

    def known(self) -> Sequence[Alert]:
        """Return the troubles that checks have found and that are not over."""
        return [alert for alert in self._records.all() if alert.since is not None]

    def freshness(self) -> Sequence[Freshness]:
        """Return how fresh each dataset is, by the rule of stale ones; with or without an address."""
        return list(self._troubles.freshness(self._now()))

    def test(self) -> None:
        """Send a notification to every address, whatever the state of the lake.

        Raises
        ------
        BadInput
            If no address is set.
        AlertNotSent, MissingExtra
        """
        if not self.is_on:
            raise BadInput("there is nobody to tell: set alerts.urls, see docs/how-to/alerts.md")
        self._notifier.send(f"ticklake {self._name}: a test", "Alerts of this lake arrive here.", is_good=True)

    def after(self, run: Run) -> None:
        """Send the alerts about an ended run in another thread, so that the run neither waits for them nor fails."""
        if self.is_on:
            if self._background is None:
                self._background = ThreadPoolExecutor(1, "ticklake-alerts")
            self._background.submit(self._check_run, run)

    def close(self) -> None:
        """Wait until all messages are sent."""
        if self._background is not None:
            self._background.shutdown()
            self._background = None

    def _check_run(self, run: Run) -> None:
        try:
            now = self._now()
            self._notify(self._troubles.look(now, run), now)
        except Exception as error:
            # Errors of other libraries may show an address, which holds secrets: only their type is logged.
            reason = type(error).__name__
            if isinstance(error, TicklakeError):
                reason = str(error)
            _LOG.error("alert not sent", run=run.id, reason=reason)
            with suppress(TicklakeError):
                self._runs.append_log(run.id, f"no alert: {reason}", "warning")

    def _notify(self, look: Look, now: int) -> Sequence[Message]:
        def choose(known: Mapping[Key, Alert]) -> Decision:
            return decide(look.troubles, known, self._troubles.policy.cooldown, now)

        if not self.is_on:
            return choose({}).messages
        # Stored as sent before it is sent: two processes that check at the same time must not both send it.
        decision, before = self._records.settle(look.concerns, choose)
        if not decision.messages:
            return ()
        title, text = summary(decision.messages, self._name)
        try:
            self._notifier.send(title, text, is_good=all(message.is_recovery for message in decision.messages))
        except TicklakeError as error:
            if not isinstance(error, AlertNotSent) or error.nobody:
                self._records.restore(_unsent(decision, before))
            raise
        _LOG.info("alerts sent", messages=len(decision.messages), title=title)
        return decision.messages


def check_alerts(lake: WithAlerts, now: int | None = None) -> Sequence[Message]:
    """Check the alerts of a lake if any address is set, and do nothing else: a job that checks at an interval calls this.

    Raises
    ------
    AlertNotSent, MissingExtra
    """
    if not lake.alerts.is_on:
        return ()
    return lake.alerts.check(now)


def _unsent(decision: Decision, before: Mapping[Key, Alert]) -> list[Alert]:
    """Return the records of messages that did not arrive, as they must be stored to be sent the next time."""
    keys = {(message.rule.value, message.subject) for message in decision.messages}
    unsent = [before[key] for key in keys if key in before]
    new = [alert for alert in decision.alerts if alert.key in keys and alert.key not in before]
    unsent += [replace(alert, told_at=None, is_told=False) for alert in new]
    return unsent
