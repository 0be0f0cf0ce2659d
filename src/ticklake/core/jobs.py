"""Jobs as values: what is to be done, and its state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ticklake.core.display import Displayed, moment
from ticklake.core.time import MINUTE, SECOND

__all__ = [
    "ACTIVE",
    "ENDED",
    "ENDLESS",
    "LONG_RUN",
    "LONGEST_PAUSE",
    "Job",
    "JobState",
    "NewJob",
    "abandoned",
    "fingerprint",
]


class JobState(StrEnum):
    """The state of a job. ``incomplete`` has ended, with spans that are known to be missing."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING})
"""States in which a job has not ended."""
ENDED = frozenset(JobState) - ACTIVE
ENDLESS = frozenset({"stream", "poll"})
"""Operations that go on until they are cancelled: nothing that may pass makes their jobs fail, however often it happens."""
LONG_RUN = 10 * MINUTE
"""After a try of an endless job that ran so long its tries are counted anew: what fails at once, again and again, fails sooner."""
LONGEST_PAUSE = 5 * MINUTE
"""The longest pause of an endless job whose workers die one soon after the other."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is to be done: an operation with its parameters.

    ``dataset`` is the dataset that it works on, if it is a single one: no other job works on that meanwhile. ``subject``
    is its description for people. Waiting jobs run by ``priority``, the highest first, then by age.
    """

    operation: str
    subject: str
    dataset: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    max_attempts: int = 5

    @property
    def fingerprint(self) -> str:
        """A digest that identical jobs share."""
        return fingerprint(self.operation, self.subject, self.parameters)


@dataclass(frozen=True, slots=True, repr=False)
class Job(Displayed):
    """One job as the catalog knows it.

    Times are nanoseconds: it waits until ``due_at``; the lease of its worker ends at ``expires_at``. ``attempts``
    counts its tries; ``fence`` grows with each, so that a worker that lost its lease cannot end the job. ``done`` is the
    finished share, 0 to 1.
    """

    id: int
    operation: str
    subject: str
    dataset: str | None
    parameters: dict[str, Any]
    priority: int
    state: JobState
    attempts: int
    max_attempts: int
    created_at: int
    due_at: int
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    owner: str = ""
    fence: int = 0
    done: float = 0.0
    cancelling: bool = False
    outcome: str = ""

    def _summary(self) -> dict[str, Any]:
        done = due = None
        if self.is_active:
            done = f"{self.done:.0%}"
        if self.state is JobState.QUEUED:
            due = moment(self.due_at)
        return {
            "id": str(self.id),
            "operation": self.operation,
            "subject": self.subject,
            "state": self.state.value,
            "done": done,
            "tries": self.tries,
            "due": due,
            "outcome": self.outcome,
        }

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE

    @property
    def is_endless(self) -> bool:
        """Whether it goes on until it is cancelled."""
        return self.operation in ENDLESS

    @property
    def tries(self) -> str:
        """How often it was tried, and how often it may be: ``2 of 5``; of an endless job how often in a row."""
        if self.is_endless:
            return str(self.attempts)
        return f"{self.attempts} of {self.max_attempts}"

    def counted_tries(self, now: int) -> int:
        """Return how many tries count if the one that runs fails *now*."""
        if self.is_endless and self.started_at is not None and now - self.started_at >= LONG_RUN:
            return 1
        return self.attempts

    @property
    def status(self) -> str:
        """The value of ``state``, as text."""
        return self.state.value

    @property
    def progress(self) -> float:
        """The finished share, 0 to 1."""
        return self.done

    def seconds_left(self, now: int) -> float | None:
        """Estimate the seconds until it is done from its finished share and the time so far; ``None`` if neither is known."""
        if self.state is not JobState.RUNNING or self.started_at is None or not 0 < self.done <= 1:
            return None
        return (now - self.started_at) / SECOND * (1 - self.done) / self.done


def fingerprint(operation: str, subject: str, parameters: dict[str, Any]) -> str:
    """Return a digest that is the same for jobs that do the same."""
    # Sorted, because parameters mean the same in any order.
    text = json.dumps([operation, subject, parameters], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def abandoned(jobs: Iterable[Job]) -> list[Job]:
    """Return the endless jobs that failed and collect something that no later job was created for; *jobs* are the newest first."""
    found: list[Job] = []
    created_later = set[str]()
    for job in jobs:
        wanted = set(_wanted(job))
        if job.is_endless and job.state is JobState.FAILED and not wanted <= created_later:
            found.append(job)
        # Also of one that was cancelled: then somebody wanted it to end.
        created_later |= wanted
    return found


def _wanted(job: Job) -> Iterator[str]:
    """Yield what an endless job collects: its dataset, or each kind of each symbol of its streams."""
    if job.dataset is not None:
        yield job.dataset
    for stream in job.parameters.get("streams", ()):
        for kind in stream["kinds"]:
            for symbol in stream["symbols"]:
                yield f"{stream['exchange']}:{kind}:{symbol}"
