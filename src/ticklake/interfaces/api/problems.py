"""Errors as ``application/problem+json`` (RFC 9457): the one place that knows HTTP's status codes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ticklake import errors
from ticklake.interfaces.api.server import server_of
from ticklake.log import Log

__all__ = ["PROBLEM", "STATUS", "Problem", "add_problems", "problem", "problem_of", "status_of"]

PROBLEM = "application/problem+json"
STATUS: dict[type[errors.TicklakeError], int] = {
    errors.BadInput: 400,
    errors.NotFound: 404,
    errors.UnknownDataset: 404,
    errors.UnknownExchange: 404,
    errors.UnknownFeatures: 404,
    errors.UnknownSymbol: 404,
    errors.FeaturesDiffer: 409,
    errors.NotSignedIn: 401,
    errors.NotAllowed: 403,
    errors.TooManyRequests: 429,
    errors.SourceError: 502,
    errors.RateLimited: 503,
    errors.SourceUnavailable: 503,
    errors.DiskFull: 507,
    errors.DiskAlmostFull: 507,
    errors.ReadOnlyLake: 409,
    errors.CatalogBusy: 503,
    errors.VersionGone: 410,
    errors.Conflict: 409,
    errors.LeaseHeld: 409,
    errors.LeaseLost: 409,
    errors.Cancelled: 409,
    errors.QueryTooLarge: 413,
    errors.MissingExtra: 501,
}
"""The status of an error: that of its own class, else of the nearest class above; of others 500."""
_RETRY_AFTER = "5"
"""Seconds that a client is asked to wait when the answer says to come back."""
_LOG = Log("api")


class Problem(BaseModel):
    """What went wrong, and how to do better."""

    type: str = "about:blank"
    title: str
    """The name of the error, as in Python."""
    status: int
    detail: str
    """One line that names the value and the cure."""
    retriable: bool = False
    """Whether the same request may succeed later."""


def add_problems(app: FastAPI) -> None:
    """Let an application answer each error with a problem."""
    app.add_exception_handler(errors.TicklakeError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_defect)


def status_of(error: errors.TicklakeError) -> int:
    """Return the status of one of our errors."""
    for each in type(error).__mro__:
        if each in STATUS:
            return STATUS[each]
    return 500


def problem_of(error: errors.TicklakeError, detail: str = "") -> JSONResponse:
    """Return the answer that tells of one of our errors; *detail* is its text if that may not be told as it is."""
    headers: dict[str, str] = {}
    if isinstance(error, errors.TooManyRequests):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    status, title = status_of(error), type(error).__name__
    return problem(status, title, detail or str(error), retriable=error.retriable, headers=headers)


def problem(
    status: int, title: str, detail: str, *, retriable: bool = False, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that tells of a problem."""
    body = Problem(title=title, status=status, detail=detail, retriable=retriable)
    more = dict(headers or {})
    if status == 503:
        more.setdefault("Retry-After", _RETRY_AFTER)
    if status == 401:
        more.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(body.model_dump(), status, headers=more, media_type=PROBLEM)


async def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.TicklakeError)  # noqa: S101 - the handler is registered for them alone
    if status_of(error) == 500:
        # One that the caller cannot do anything about, like a damaged file.
        _LOG.error("request failed", failure=error, method=request.method, path=request.url.path, reason=error)
    detail = server_of(request).hidden.text(str(error))
    return problem_of(error, detail)


async def _of_parameters(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    return problem(400, "BadInput", "; ".join(_lines(error.errors())))


def _lines(found: Any) -> Iterator[str]:
    """Yield for each invalid parameter which it is and what is wrong with it; values stay out, as they may be secrets."""
    for each in found:
        where = ".".join(str(step) for step in each["loc"][1:]) or str(each["loc"][0])
        yield f"{where}: {each['msg']}"


async def _of_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    titles = {
        404: "NotFound",
        405: "MethodNotAllowed",
        406: "NotAcceptable",
        408: "RequestTimeout",
        413: "ContentTooLarge",
    }
    details = {
        404: "there is no such address: /docs lists those that are",
        405: "this address does not take that method: /docs lists what it takes",
    }
    title = titles.get(error.status_code, "HTTPError")
    return problem(error.status_code, title, details.get(error.status_code, str(error.detail)), headers=error.headers)


async def _of_defect(_request: Request, _error: Exception) -> JSONResponse:
    # The traceback is for whoever runs the server: starlette raises the error again, and uvicorn logs it.
    return problem(500, "InternalError", "the server failed on this request: its log says why")
