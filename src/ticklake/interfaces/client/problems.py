"""Problems of a server as the errors that the same call of a lake at hand raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ticklake import errors
from ticklake.errors import TicklakeError

__all__ = ["error_of"]

_LONGEST_TEXT = 200
_OF_STATUS: dict[int, type[TicklakeError]] = {
    400: errors.BadInput,
    401: errors.NotSignedIn,
    403: errors.NotAllowed,
    422: errors.BadInput,
    429: errors.ServerUnavailable,
    502: errors.ServerUnavailable,
    503: errors.ServerUnavailable,
    504: errors.ServerUnavailable,
}
"""Of answers that name no error of ours: they may be those of a proxy."""


def error_of(status: int, body: bytes, headers: Mapping[str, str], where: str) -> TicklakeError:
    """Return the error that an answer tells of: the same class with the same words as from a lake at hand."""
    told = _problem(body)
    title, detail = str(told.get("title", "")), str(told.get("detail", ""))
    kind = getattr(errors, title, None)
    if not (isinstance(kind, type) and issubclass(kind, TicklakeError)):
        return _with_wait(_unnamed(status, detail or _text(body), where), headers)
    error = kind(detail)
    return _with_wait(error, headers)


def _with_wait(error: TicklakeError, headers: Mapping[str, str]) -> TicklakeError:
    if isinstance(error, errors.RateLimited | errors.Banned | errors.ServerUnavailable):
        error.retry_after = _retry_after(headers)
    return error


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which a server asks to be asked again, if it says so."""
    text = headers.get("retry-after", "")
    # It may be a date, too: that is not worth a reader of dates.
    if text.isdigit():
        return float(text)
    return None


def _problem(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    if isinstance(told, dict):
        return told
    return {}


def _unnamed(status: int, detail: str, where: str) -> TicklakeError:
    kind = _OF_STATUS.get(status, TicklakeError)
    if 300 <= status < 400:
        return kind(f"{where} sends elsewhere (status {status}): connect to the address of the server itself")
    if status == 404 and not detail:
        detail = "there is no such address: is it a server of a lake, and of this version?"
    return kind(f"{where} answered with status {status}: {detail or 'it says nothing more'}")


def _text(body: bytes) -> str:
    """Return the beginning of an answer that is no problem of ours, unless it is a page for browsers."""
    text = body[:_LONGEST_TEXT].decode(errors="replace").strip()
    if text.startswith("<"):
        return ""
    return " ".join(text.split())
