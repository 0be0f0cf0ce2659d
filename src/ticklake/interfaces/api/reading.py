"""Reading: which version of the lake a request is answered of."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from ticklake.core.time import TimeLike
from ticklake.errors import BadInput
from ticklake.interfaces.api.server import server_of
from ticklake.lake import Lake, Snapshot

__all__ = ["Pinned", "pinned_version"]

Version = Annotated[int | None, Query(ge=0, description="The version to read; the newest by default.")]
At = Annotated[str | None, Query(description="The lake as it was at this time (ISO 8601, or ns since 1970).")]


class Pinned:
    """One version of the lake: all that a request reads is of it, whatever is committed meanwhile."""

    def __init__(self, request: Request, version: Version = None, at: At = None) -> None:
        if version is not None and at is not None:
            raise BadInput(f"version={version} and at={at} are two ways to say one thing: give one of them")
        self._lake = server_of(request).lake
        self._version, self._at = version, at

    def view(self) -> Snapshot:
        """Return the lake at that version; it reads the catalog."""
        return pinned_version(self._lake, self._version, self._at)


def pinned_version(lake: Lake, version: int | None, at: str | None) -> Snapshot:
    """Return the lake at a version, at a time, or as it is now."""
    moment: TimeLike | None = version
    if at is not None:
        moment = at
    if moment is None:
        moment = lake.engine.catalog.version()
    return lake.at(moment)
