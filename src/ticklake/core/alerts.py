"""Alerts: which troubles a user is told of, when again, and when they are over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, moment
from ticklake.core.gaps import Gap, missing_in
from ticklake.core.time import format_time

__all__ = [
    "Alert",
    "AlertRule",
    "Decision",
    "Key",
    "Message",
    "Policy",
    "Trouble",
    "decide",
    "gap_trouble",
    "is_late",
    "stale_trouble",
    "summary",
]

Key = tuple[str, str]
"""A rule and its subject."""
LINES = 20
"""So many lines a notification has; what is left out is counted."""


class AlertRule(StrEnum):
    """What alerts are about."""

    RUN_FAILED = "run_failed"
    STALE = "stale"
    GAPS = "gaps"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is told, and when again. Times are nanoseconds.

    Parameters
    ----------
    on
        The rules that hold.
    cooldown
        One trouble is told again after so long.
    stale_bars, stale_after
        Bars are stale so many lengths after the newest one closed, other kinds so long after their newest row.
    gap_window
        Gaps are looked for in so much time before now.
    datasets
        Patterns of the datasets that ``stale`` and ``gaps`` are about.
    """

    on: frozenset[AlertRule]
    cooldown: int
    stale_bars: int
    stale_after: int
    gap_window: int
    datasets: tuple[str, ...] = ("*",)

    def covers(self, dataset: Dataset) -> bool:
        """Whether a dataset is one that should be looked after."""
        return any(dataset.matches(pattern) for pattern in self.datasets)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong now: with which subject (a dataset, an operation and its subject, a folder), in words."""

    rule: AlertRule
    subject: str
    text: str

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.rule.value, self.subject


@dataclass(frozen=True, slots=True, repr=False)
class Alert(Displayed):
    """What is remembered of a trouble.

    ``since`` is when it began, ``None`` once it is well again; ``told_at`` when it was told last, ``None`` if never;
    ``is_told`` whether it was told since it began.
    """

    rule: AlertRule
    subject: str
    text: str
    since: int | None
    told_at: int | None
    is_told: bool

    def _summary(self) -> dict[str, Any]:
        return {
            "rule": self.rule.value,
            "subject": self.subject,
            "text": self.text,
            "since": moment(self.since),
            "told": moment(self.told_at),
        }

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.rule.value, self.subject


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Message(Displayed):
    """What is to be told: that something is wrong, still wrong, or well again."""

    is_recovery: bool
    rule: AlertRule
    subject: str
    text: str
    since: int

    def _summary(self) -> dict[str, Any]:
        return {
            "rule": self.rule.value,
            "subject": self.subject,
            "text": self.text,
            "since": moment(self.since),
            "is_recovery": self.is_recovery,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What is told now, and what is to be remembered of the subjects that were looked at."""

    messages: tuple[Message, ...]
    alerts: tuple[Alert, ...]


def decide(troubles: Iterable[Trouble], known: Mapping[Key, Alert], cooldown: int, now: int) -> Decision:
    """Decide what is told.

    A trouble is told when it begins and again every *cooldown*, also if it went and came back meanwhile. That it is
    well again is told if the trouble was.

    Parameters
    ----------
    known
        What is remembered of the subjects that were looked at, with trouble now or without.
    """
    present = {trouble.key: trouble for trouble in troubles}
    messages: list[Message] = []
    alerts: list[Alert] = []
    for key in sorted({*present, *known}):
        message: Message | None = None
        alert: Alert | None = None
        if key in present:
            message, alert = _trouble(present[key], known.get(key), cooldown, now)
        else:
            message, alert = _recovery(known[key], cooldown, now)
        if message is not None:
            messages.append(message)
        if alert is not None:
            alerts.append(alert)
    return Decision(tuple(sorted(messages)), tuple(alerts))


def _trouble(trouble: Trouble, known: Alert | None, cooldown: int, now: int) -> tuple[Message | None, Alert]:
    """Decide about a subject that is in trouble: what is told, and what is remembered."""
    since, told_at, is_told = now, None, False
    if known is not None:
        # Kept even if it was well meanwhile: a trouble that comes and goes is not told more often than every cooldown.
        told_at = known.told_at
        if known.since is not None:
            since, is_told = known.since, known.is_told
    alert = Alert(trouble.rule, trouble.subject, trouble.text, since, told_at, is_told)
    if told_at is not None and now - told_at < cooldown:
        return None, alert
    message = Message(False, trouble.rule, trouble.subject, trouble.text, since)
    return message, replace(alert, told_at=now, is_told=True)


def _recovery(known: Alert, cooldown: int, now: int) -> tuple[Message | None, Alert | None]:
    """Say that it is well again, and remember when trouble was told last for as long as that matters."""
    message = None
    if known.since is not None and known.is_told:
        message = Message(True, known.rule, known.subject, known.text, known.since)
    if known.told_at is None or now - known.told_at >= cooldown:
        return message, None
    return message, replace(known, since=None, is_told=False)


def is_late(dataset: Dataset, newest: int, policy: Policy, now: int, closed: int = 0) -> bool:
    """Whether the *newest* row (its ``ts``) is older than it should ever be, the *closed* time since then left out."""
    frame = dataset.timeframe
    if frame is None:
        return newest + policy.stale_after + closed < now
    return frame.advance(newest, 1 + policy.stale_bars, dataset.anchor) + closed < now


def stale_trouble(dataset: Dataset, newest: int) -> Trouble:
    """Say that nothing new came."""
    return Trouble(AlertRule.STALE, str(dataset), f"nothing new since {format_time(newest)}")


def gap_trouble(dataset: Dataset, gaps: Sequence[Gap]) -> Trouble | None:
    """Say what is missing; ``None`` if nothing is."""
    bad = missing_in(gaps)
    if not bad:
        return None
    first = min(bad)
    missing = f"{first.span} is {first.reason}"
    if len(bad) > 1:
        missing += f", and {len(bad) - 1:,} more"
    text = f"{missing}: ticklake gaps shows all, ticklake repair fills what can be had"
    return Trouble(AlertRule.GAPS, str(dataset), text)


def summary(messages: Sequence[Message], name: str) -> tuple[str, str]:
    """Return the title and the text of one notification about all *messages* of a lake."""
    wrong = sum(not message.is_recovery for message in messages)
    counts: list[str] = []
    if wrong:
        counts.append(f"{wrong:,} wrong")
    if len(messages) > wrong:
        counts.append(f"{len(messages) - wrong:,} well again")
    lines = [_line(message) for message in messages[:LINES]]
    if len(messages) > LINES:
        lines.append(f"and {len(messages) - LINES:,} more")
    return f"ticklake {name}: {', '.join(counts)}", "\n".join(lines)


def _line(message: Message) -> str:
    if message.is_recovery:
        return f"well again: {message.rule} {message.subject} (wrong since {format_time(message.since)})"
    return f"{message.rule} {message.subject}: {message.text} (since {format_time(message.since)})"
