"""Parameters of addresses: one that a route does not have is an error. Misspelt, it would quietly ask for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection

from ticklake.core.lookup import did_you_mean
from ticklake.errors import BadInput

__all__ = ["add_parameters", "check_parameters"]


def add_parameters(app: FastAPI) -> None:
    """Let an application know the parameters of its routes, once it has all of them."""
    known: dict[Callable[..., Any], list[str]] = {}
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if dependant is not None and context.endpoint is not None:
            known[context.endpoint] = list(dict.fromkeys(_names(dependant)))
    app.state.parameters = known


def check_parameters(connection: HTTPConnection) -> None:
    """Check that a request has no parameter that its route does not have, and none twice.

    Raises
    ------
    BadInput
    """
    if not connection.scope["query_string"]:
        return
    known = connection.app.state.parameters.get(connection.scope["endpoint"], ())
    seen: set[str] = set()
    for name, _ in connection.query_params.multi_items():
        if name not in known:
            raise BadInput(f"there is no parameter {name[:50]!r}{did_you_mean(name, known)}: {_those(known)}")
        if name in seen:
            raise BadInput(f"the parameter {name!r} is there twice: send it once")
        seen.add(name)


def _names(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the parameters of a route, and of all that it depends on."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for each in dependant.dependencies:
        yield from _names(each)


def _those(known: list[str]) -> str:
    if not known:
        return "this address has none"
    return f"this address has {', '.join(known)}"
