"""Requests for jobs: which operations a caller may ask for, and with which parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ticklake.core.access import Role
from ticklake.core.jobs import Job
from ticklake.core.selection import is_unicode
from ticklake.errors import BadInput, NotAllowed
from ticklake.interfaces.api.server import Server, server_of
from ticklake.jobs.operations import Operation

__all__ = ["Body", "Priority", "allowed_operation", "create_job", "kept_parameters", "refuse_role"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class Body(BaseModel):
    """A JSON body; a field that there is not is an error and not a typing mistake that nobody sees."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, body: Any) -> Any:
        """Refuse what Python reads in JSON and nothing can store: halves of characters, and numbers that are none."""
        # Not by recursion: a body may be as deep as Python's reader of JSON lets it be.
        waiting = [body]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += [*value, *value.values()]
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str) and not is_unicode(value):
                raise ValueError(f"{value!r} is no text of Unicode: send whole characters")
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{value} is no number that JSON has: leave it out, or send null")
        return body


class Priority(Body):
    """How a job is queued."""

    priority: int = Field(0, ge=-(2**31), le=2**31, description="Jobs with a higher one come first.")
    max_attempts: int | None = Field(None, ge=1, le=1000, description="How often it is tried if trying again can help.")


def create_job(
    request: Request, operation: str, parameters: Mapping[str, Any], options: Priority, what: Sequence[Any] = ()
) -> Job:
    """Put a job into the queue, if the caller may ask for it.

    Parameters
    ----------
    parameters
        Those of the operation, by name.
    what
        Its first parameters, without their names.

    Raises
    ------
    NotAllowed
        If the operation needs another role.
    BadInput
        If there is no such operation, or it does not take that.
    """
    server = server_of(request)
    kept = kept_parameters(server, allowed_operation(request, operation), parameters, what)
    job = server.lake.jobs.create(operation, priority=options.priority, max_attempts=options.max_attempts, **kept)
    request.state.audit = f"job {job.id}: {operation} {job.subject}"
    return job


def kept_parameters(
    server: Server, operation: Operation, parameters: Mapping[str, Any], what: Sequence[Any] = ()
) -> dict[str, Any]:
    """Return the parameters of a job as they are stored.

    Raises
    ------
    BadInput
        If the operation does not take them.
    """
    for name in parameters:
        # Checked before they become arguments of Python's functions, which have parameters of their own.
        if name not in operation.takes:
            raise BadInput(f"{operation.name} has no parameter {name!r}: it takes {', '.join(operation.takes)}")
    return _with_folder(server, operation, operation.parameters(*what, **parameters))


def allowed_operation(request: Request, name: str) -> Operation:
    """Return an operation that the caller may ask for.

    Raises
    ------
    NotAllowed, BadInput
    """
    operation = server_of(request).lake.jobs.operations[name]
    refuse_role(request, operation.role, f"the operation {name!r}")
    return operation


def refuse_role(request: Request, role: Role, what: str) -> None:
    """Refuse a caller whose role does not include *role*."""
    # Known since the route itself was allowed, which asks for less than some operations.
    caller = request.state.caller
    if not caller.role.includes(role):
        raise NotAllowed(f"{caller.name!r} has the role {caller.role}, and {what} needs {role}: ask for another token")


def _with_folder(server: Server, operation: Operation, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the folder that they name below the server's folder for such: no caller writes anywhere else.

    Raises
    ------
    BadInput
        If the server has no such folder, or the name is a path.
    """
    if operation.folder is None:
        return parameters
    name = parameters.get(operation.folder)
    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
        raise BadInput(
            f"{operation.folder}={name!r} is no name of a folder: over HTTP write a plain name, like 'monday'"
        )
    if server.options.exports is None:
        raise BadInput(
            f"this server writes no folders: to let it {operation.name}, set server.exports to the folder that may hold them"
        )
    return {**parameters, operation.folder: str(Path(server.options.exports).expanduser().resolve() / name)}
