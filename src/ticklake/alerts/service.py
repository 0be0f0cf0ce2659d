"""Alerts: what is wrong is told once, again after a while, and when it is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ticklake.alerts.conditions import Look, Troubles
from ticklake.catalog.alerts import AlertRecords
from ticklake.catalog.runs import Runs
from ticklake.core.alerts import Alert, Decision, Key, Message, decide, summary
from ticklake.core.runs import Run
from ticklake.errors import AlertNotSent, BadInput, TicklakeError

if TYPE_CHECKING:
    from ticklake.alerts.notify import Notifier

__all__ = ["Alerts", "WithAlerts", "check_alerts"]


class WithAlerts(Protocol):
    """A lake."""

    @property
    def alerts(self) -> Alerts:
        """Its alerts."""


class Alerts:
    """The alerts of a lake. What was told is remembered in the catalog: one of many processes tells each.

    Parameters
    ----------
    name
        The lake, as notifications call it.
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
        self._later: ThreadPoolExecutor | None = None

    @property
    def is_on(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._notifier.urls)

    def check(self, now: int | None = None) -> Sequence[Message]:
        """Look at the whole lake, tell what is to be told, and return that; with nobody to tell, what is wrong.

        Raises
        ------
        AlertNotSent
            If an address did not take it. If none did, it is told at the next check.
        MissingExtra
            If there is something to tell and apprise is not installed.
        """
        moment = self._now() if now is None else now
        return self._tell(self._troubles.look(moment), moment)

    def known(self) -> Sequence[Alert]:
        """Return the troubles that are going on, as far as checks have found them, and for how long."""
        return [alert for alert in self._records.all() if alert.since is not None]

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
        """Tell what a run that is over brought about, later and in another thread: it neither waits nor fails."""
        if self.is_on:
            if self._later is None:
                self._later = ThreadPoolExecutor(1, "ticklake-alerts")
            self._later.submit(self._after, run)

    def close(self) -> None:
        """Wait until everything is told."""
        if self._later is not None:
            self._later.shutdown()
            self._later = None

    def _after(self, run: Run) -> None:
        try:
            now = self._now()
            self._tell(self._troubles.look(now, run), now)
        except Exception as error:
            with suppress(TicklakeError):
                self._runs.append_log(run.id, f"no alert: {_text(error)}", "warning")

    def _tell(self, look: Look, now: int) -> Sequence[Message]:
        choose = partial(_decide, look, self._troubles.policy.cooldown, now)
        if not self.is_on:
            return choose({}).messages
        decision, before = self._records.settle(look.concerns, choose)
        if not decision.messages:
            return ()
        title, text = summary(decision.messages, self._name)
        try:
            self._notifier.send(title, text, is_good=all(message.is_recovery for message in decision.messages))
        except TicklakeError as error:
            if not isinstance(error, AlertNotSent) or error.nobody:
                self._records.restore(_untold(decision, before))
            raise
        return decision.messages


def check_alerts(lake: WithAlerts, now: int | None = None) -> Sequence[Message]:
    """Check the alerts of a lake, for those who do so again and again; nothing is done if nobody is to be told.

    Raises
    ------
    AlertNotSent, MissingExtra
    """
    return lake.alerts.check(now) if lake.alerts.is_on else ()


def _decide(look: Look, cooldown: int, now: int, known: Mapping[Key, Alert]) -> Decision:
    return decide(look.troubles, known, cooldown, now)


def _untold(decision: Decision, before: Mapping[Key, Alert]) -> list[Alert]:
    """Return what is to be remembered of messages that did not arrive, so that they are told the next time."""
    told = {(message.rule.value, message.subject) for message in decision.messages}
    fresh = (replace(one, told_at=None, is_told=False) for one in decision.alerts if one.key not in before)
    return [one for one in [*(before[key] for key in told if key in before), *fresh] if one.key in told]


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, TicklakeError) else type(error).__name__
