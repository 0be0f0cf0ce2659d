"""The audit log of a server: who changed what, who signed in, and who was refused."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AuditEntry", "is_refusal"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request that changed something, a sign-in, a query, or a refusal.

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
        How many such requests the entry stands for: queries and refusals that are alike are counted.
    id
        Its number in the log; 0 until it is written.
    is_query
        Whether the request only read, and had a body to say what.
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
    is_query: bool = False

    @property
    def is_minor(self) -> bool:
        """Whether nothing was changed: callers may send very many of these."""
        return self.is_query or is_refusal(self.status)


def is_refusal(status: int) -> bool:
    """Whether an answer with that status refuses who sent a request, or how often."""
    return status in {401, 403, 429}
