"""Runs as values: one execution of an operation each, and the lines of its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ticklake.core.display import Displayed, moment

__all__ = ["LogLine", "Run", "RunState", "kept_up_by"]

KEEP_UP = frozenset({"backfill", "poll", "stream"})
"""Operations that bring datasets up to now, if they are asked for no end. :meth:`Lake.update` records backfills."""


class RunState(StrEnum):
    """The state of a run. ``incomplete`` has ended, with spans that are known to be missing."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, repr=False)
class Run(Displayed):
    """One execution.

    ``progress`` holds the counts (``received``, ``new``, ``changed``, ``duplicate``, ``quarantined``,
    ``requests``, ...); ``done`` is the finished share, 0 to 1; times are nanoseconds. ``job_id`` is the job that it
    was one try of, if it was.
    """

    id: int
    operation: str
    subject: str
    state: RunState
    started_at: int
    heartbeat_at: int
    finished_at: int | None = None
    done: float = 0.0
    outcome: str = ""
    process: str = ""
    job_id: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)

    def _summary(self) -> dict[str, Any]:
        done = None
        if self.is_active:
            done = f"{self.done:.0%}"
        return {
            "id": str(self.id),
            "operation": self.operation,
            "subject": self.subject,
            "state": self.state.value,
            "started": moment(self.started_at),
            "finished": moment(self.finished_at),
            "done": done,
            "outcome": self.outcome,
        }

    @property
    def is_active(self) -> bool:
        """Whether it is still going on."""
        return self.state is RunState.RUNNING

    @property
    def kept_up(self) -> tuple[str, ...]:
        """The datasets that were asked for up to now: without new rows they are stale, others are history."""
        return kept_up_by(self.operation, self.parameters)

    def __getitem__(self, name: str) -> Any:
        """Return a count by name, 0 if it was never counted."""
        return self.progress.get(name, 0)


@dataclass(frozen=True, slots=True, repr=False)
class LogLine(Displayed):
    """One line of a run's log."""

    at: int
    level: str
    message: str

    def _summary(self) -> dict[str, Any]:
        return {"at": moment(self.at), "level": self.level, "message": self.message}


def kept_up_by(operation: str, parameters: dict[str, Any]) -> tuple[str, ...]:
    """Return the datasets that an operation with these *parameters* brings up to now."""
    if operation not in KEEP_UP or parameters.get("end") is not None:
        return ()
    return tuple(parameters.get("datasets", ()))
