"""Alerts: which problems a user is notified of, when again, and when they are over."""

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
    "Freshness",
    "Key",
    "Message",
    "Policy",
    "Trouble",
    "decide",
    "gap_trouble",
    "is_late",
    "late_after",
    "stale_trouble",
    "summary",
]

Key = tuple[str, str]
"""A rule and its subject."""
LINES = 20
"""The most lines of a notification; those left out are counted."""


class AlertRule(StrEnum):
    """What alerts are about."""

    RUN_FAILED = "run_failed"
    STALE = "stale"
    GAPS = "gaps"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a user is notified of, and how often. Times are nanoseconds.

    Parameters
    ----------
    on
        The rules that are active.
    cooldown
        The least time between two notifications of one problem.
    stale_bars, stale_after
        Bars are stale this many bars after the newest one closed, other kinds this long after their newest row.
    gap_window
        How far back from now gaps are looked for.
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
        """Whether ``stale`` and ``gaps`` apply to a dataset."""
        return any(map(dataset.matches, self.datasets))


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem that exists now: its rule, its subject (a dataset, an operation, a folder), and a text about it."""

    rule: AlertRule
    subject: str
    text: str

    @property
    def key(self) -> Key:
        """What identifies it: its rule and its subject."""
        return self.rule.value, self.subject


@dataclass(frozen=True, slots=True, repr=False)
class Alert(Displayed):
    """The record of a problem.

    ``since`` is when it began, ``None`` once it is over; ``told_at`` when the user was last notified, ``None`` if never;
    ``is_told`` whether the user was notified since it began.
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
        """What identifies it: its rule and its subject."""
        return self.rule.value, self.subject


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Message(Displayed):
    """A message to the user: something is wrong, still wrong, or well again."""

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


@dataclass(frozen=True, slots=True, repr=False)
class Freshness(Displayed):
    """How fresh a dataset is. Times are nanoseconds.

    ``newest`` is the time of its newest row; after ``expected_by`` without another one it is stale. Of a dataset that is not kept up to
    now, like one of files, nothing is expected.
    """

    dataset: str
    newest: int | None
    is_kept_up: bool = False
    expected_by: int | None = None
    is_stale: bool = False

    def _summary(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "newest": moment(self.newest),
            "is_kept_up": self.is_kept_up,
            "expected_by": moment(self.expected_by),
            "is_stale": self.is_stale,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """The messages to send now, and the records to keep of the subjects that were checked."""

    messages: tuple[Message, ...]
    alerts: tuple[Alert, ...]


def decide(troubles: Iterable[Trouble], known: Mapping[Key, Alert], cooldown: int, now: int) -> Decision:
    """Decide which messages are sent.

    The user is notified of a problem when it begins and again every *cooldown*, even if it was over in between. The
    end of a problem is reported if the problem was.

    Parameters
    ----------
    known
        The records of the subjects that were checked, with a problem now or without.
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
    """Return the message about a problem, if it is due, and its new record."""
    since, told_at, is_told = now, None, False
    if known is not None:
        # Kept even if it was over meanwhile: a problem that comes and goes is reported once in a cooldown.
        told_at = known.told_at
        if known.since is not None:
            since, is_told = known.since, known.is_told
    alert = Alert(trouble.rule, trouble.subject, trouble.text, since, told_at, is_told)
    if told_at is not None and now - told_at < cooldown:
        return None, alert
    message = Message(False, trouble.rule, trouble.subject, trouble.text, since)
    return message, replace(alert, told_at=now, is_told=True)


def _recovery(known: Alert, cooldown: int, now: int) -> tuple[Message | None, Alert | None]:
    """Return the message that a problem is over, and its record, which is kept until the cooldown ends."""
    message = None
    if known.since is not None and known.is_told:
        message = Message(True, known.rule, known.subject, known.text, known.since)
    if known.told_at is None or now - known.told_at >= cooldown:
        return message, None
    return message, replace(known, since=None, is_told=False)


def late_after(dataset: Dataset, newest: int, policy: Policy, closed: int = 0) -> int:
    """Return the time after which the *newest* row (its ``ts``) is too old; a time in which the market was *closed* does not count."""
    frame = dataset.timeframe
    if frame is None:
        return newest + policy.stale_after + closed
    # One bar more: a bar is named by its open time, and the next one cannot come before it has closed.
    return frame.advance(newest, 1 + policy.stale_bars, dataset.anchor) + closed


def is_late(dataset: Dataset, newest: int, policy: Policy, now: int, closed: int = 0) -> bool:
    """Whether the *newest* row is too old *now*."""
    return late_after(dataset, newest, policy, closed) < now


def stale_trouble(dataset: Dataset, newest: int) -> Trouble:
    """Return the problem that a dataset has no new rows."""
    return Trouble(AlertRule.STALE, str(dataset), f"nothing new since {format_time(newest)}")


def gap_trouble(dataset: Dataset, gaps: Sequence[Gap]) -> Trouble | None:
    """Return the problem that rows are missing; ``None`` if none are."""
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
    lines = list(map(_line, messages[:LINES]))
    if len(messages) > LINES:
        lines.append(f"and {len(messages) - LINES:,} more")
    return f"ticklake {name}: {', '.join(counts)}", "\n".join(lines)


def _line(message: Message) -> str:
    if message.is_recovery:
        return f"well again: {message.rule} {message.subject} (wrong since {format_time(message.since)})"
    return f"{message.rule} {message.subject}: {message.text} (since {format_time(message.since)})"
