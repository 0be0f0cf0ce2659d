"""Access: who may call a route."""

from __future__ import annotations

from typing import Any

from fastapi import Depends
from fastapi.dependencies.models import Dependant
from starlette.exceptions import WebSocketException
from starlette.requests import HTTPConnection
from starlette.status import WS_1008_POLICY_VIOLATION

from ticklake.core.access import Caller, Role
from ticklake.errors import NotAllowed, NotSignedIn, TicklakeError
from ticklake.interfaces.api.parameters import check_parameters

__all__ = ["SIGN_IN_FIRST", "Allowed", "allow", "anyone", "role_of"]

SIGN_IN_FIRST = "this needs a token: send 'Authorization: Bearer tl_...', or sign in at /login"
"""What a caller without a token is told."""


def allow(role: Role) -> Any:
    """Return what a route depends on that callers with *role* may use. Each route declares one, or :func:`anyone`.

    Raises
    ------
    NotSignedIn
        When a token is needed and none was sent.
    NotAllowed
        When the caller's role does not include *role*.
    """
    return Depends(Allowed(role))


def anyone() -> Any:
    """Return what a route depends on that needs no token, like the one to sign in."""
    return Depends(Allowed(None))


class Allowed:
    """Checks the caller of a request, whom :class:`~ticklake.interfaces.api.gate.Gate` knows.

    Parameters
    ----------
    role
        The role that is needed; ``None`` for none.
    """

    def __init__(self, role: Role | None) -> None:
        self.role = role

    async def __call__(self, connection: HTTPConnection) -> Caller | None:
        """Return the caller; a route may take it as a parameter."""
        caller: Caller | None = getattr(connection.state, "caller", None)
        needed: Role | None = getattr(connection.state, "needed", None)
        # A router may name one role, and a route of it a higher one.
        if self.role is not None and (needed is None or self.role.includes(needed)):
            connection.state.needed = self.role
        try:
            self._check(caller)
            # Here, as every route declares who may call it, and nobody else is told what parameters it has.
            check_parameters(connection)
        except TicklakeError as error:
            if connection.scope["type"] == "websocket":
                raise WebSocketException(WS_1008_POLICY_VIOLATION, str(error)) from error
            raise
        return caller

    def _check(self, caller: Caller | None) -> None:
        if self.role is None:
            return
        if caller is None:
            raise NotSignedIn(SIGN_IN_FIRST)
        if not caller.role.includes(self.role):
            raise NotAllowed(
                f"{caller.name!r} has the role {caller.role}, and this needs {self.role}: ask for another token"
            )


def role_of(route: Dependant) -> Role | None:
    """Return the role that a route with these dependencies needs; ``None`` if anyone may call it.

    Raises
    ------
    LookupError
        If it declares neither a role nor :func:`anyone`.
    """
    found = [each.call.role for each in route.dependencies if isinstance(each.call, Allowed)]
    if not found:
        raise LookupError("the route declares no role: give it a dependency allow(Role...), or anyone()")
    roles = [role for role in found if role is not None]
    return max(roles, key=list(Role).index, default=None)
