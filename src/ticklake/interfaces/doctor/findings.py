"""Findings: what a check of the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "State", "ok", "warning", "wrong"]


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what helps."""

    check: str
    state: State
    text: str
    cure: str = ""


def ok(check: str, text: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(check, State.OK, text)


def warning(check: str, text: str, cure: str) -> Finding:
    """Return the finding that something may become a problem."""
    return Finding(check, State.WARNING, text, cure)


def wrong(check: str, text: str, cure: str) -> Finding:
    """Return the finding that something does not work."""
    return Finding(check, State.WRONG, text, cure)
