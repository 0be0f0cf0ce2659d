"""Access to a server: what its callers may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Caller", "Role"]


class Role(StrEnum):
    """What a caller may do; each role includes those before it."""

    READ = "read"
    COLLECT = "collect"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: the name of a token, or whoever reaches the server where no token is needed."""

    name: str
    role: Role
