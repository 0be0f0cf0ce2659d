"""The audit log of a server: who changed what, who signed in, and who was refused."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuditEntry"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request that changed something, a sign-in, or a refusal.

    Attributes
    ----------
    at
        When it was answered, in nanoseconds UTC.
    caller, role
        The name of the token, or ``owner`` where none is needed; empty if nobody was known.
    address
        Where the request came from.
    method, path
        What was asked for, without the query.
    status
        The status of the answer.
    detail
        What came of it, like ``job 12``, or why it was refused.
    count
        How many such requests the entry stands for: refusals that are alike are counted.
    id
        Its number in the log; 0 until it is written.
    """

    at: int
    caller: str
    role: str
    address: str
    method: str
    path: str
    status: int
    detail: str = ""
    count: int = 1
    id: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether the request was refused for who sent it, or how often."""
        return self.status in _REFUSALS


_REFUSALS = frozenset({401, 403, 421, 429})
