"""Reading: which version of the lake a request is answered of, and what its parameters mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from ticklake.core.knowledge import Knowledge
from ticklake.core.time import TimeLike
from ticklake.errors import BadInput
from ticklake.interfaces.api.server import server_of
from ticklake.lake import Snapshot
from ticklake.lake.arguments import version_and_time
from ticklake.lake.view import View

__all__ = [
    "Columns",
    "Depth",
    "End",
    "Exchange",
    "Instant",
    "InstantOfVersion",
    "KnownBy",
    "Lags",
    "MaxAge",
    "Name",
    "OfVersion",
    "Pinned",
    "Start",
    "Symbol",
    "Symbols",
    "as_time",
    "lags_in",
    "names_in",
]

_NANOSECONDS = re.compile(r"-?[0-9]{12,19}")
"""Shorter numbers are years, like 2024."""

Version = Annotated[
    int | None, Query(ge=0, le=2**63 - 1, description="The version to read; the newest by default.", examples=[12])
]
At = Annotated[
    str | None,
    Query(
        description="The lake as it was at this time: ISO 8601, or nanoseconds since 1970.",
        examples=["2024-06-01T00:00:00Z"],
    ),
]
Name = Annotated[
    str,
    Path(
        description="A dataset, `exchange:kind[:timeframe]:symbol`; the symbol may be the exchange's own id of a market.",
        examples=["binance:ohlcv:1h:BTC/USDT"],
        min_length=1,
    ),
]
Start = Annotated[
    str | None,
    Query(
        description="First time, inclusive: ISO 8601, or nanoseconds since 1970. All from the beginning by default.",
        examples=["2024-01-01T00:00:00Z"],
    ),
]
End = Annotated[
    str | None,
    Query(description="Last time, exclusive. All to the end by default.", examples=["2024-01-02T00:00:00Z"]),
]
Symbols = Annotated[
    str,
    Query(
        description="Symbols or native ids with commas between them, or patterns like `BTC/*`.",
        examples=["BTC/USDT,ETH/USDT"],
        min_length=1,
    ),
]
Exchange = Annotated[str, Query(description="The id of an exchange, in any case.", examples=["binance"], min_length=1)]
Symbol = Annotated[
    str, Query(description="A symbol, or the exchange's own id of a market.", examples=["BTC/USDT"], min_length=1)
]
Columns = Annotated[
    str | None, Query(description="Only these columns, with commas between them.", examples=["ts,close,volume"])
]
Instant = Annotated[
    str | None,
    Query(
        description="The instant: ISO 8601, or nanoseconds since 1970; now by default.",
        examples=["2024-01-01T12:00:00Z"],
    ),
]
Depth = Annotated[
    int | None, Query(ge=1, le=100_000, description="Levels of each side; all by default.", examples=[10])
]
KnownBy = Annotated[
    Knowledge,
    Query(description="From when on rows count: `default`, when they were `received`, or by the time of the `event`."),
]
Lags = Annotated[
    str | None,
    Query(
        description="How long after they happened rows are known, by kind; as the lake is set, by default.",
        examples=["ohlcv=2s,trades=1s"],
    ),
]
MaxAge = Annotated[str | None, Query(description="Rows that happened longer ago do not count.", examples=["5m"])]


class Pinned:
    """One version of the lake: all that a request reads is of it, whatever is committed meanwhile."""

    def __init__(self, request: Request, version: Version = None, at: At = None) -> None:
        if version is not None and at is not None:
            raise BadInput(f"version={version} and at={at} are two ways to say one thing: give one of them")
        self.lake = server_of(request).lake
        self._version, self._at = version, at

    @property
    def is_newest(self) -> bool:
        """Whether no version is asked for."""
        return self._version is None and self._at is None

    def number(self) -> int | None:
        """Return the version that is asked for; ``None`` for the newest, whichever it is by then. It may read the catalog."""
        if self.is_newest:
            return None
        return version_and_time(self.lake.engine, self._moment())[0]

    def chosen(self, *, live: bool) -> View:
        """Return the lake at that version, or with *live* what :meth:`live` returns."""
        if live:
            return self.live()
        return self.view()

    def view(self) -> Snapshot:
        """Return the lake at that version; it reads the catalog."""
        if self.is_newest:
            return self.lake.at(self.lake.engine.catalog.version())
        return self.lake.at(self._moment())

    def live(self) -> View:
        """Return the lake itself for the newest version, which also has rows that wait for their commit; else the lake at the version."""
        if self.is_newest:
            return self.lake
        return self.view()

    def _moment(self) -> TimeLike:
        if self._version is not None:
            return self._version
        return as_time(self._at) or 0


async def _of_version(request: Request, version: Version = None, at: At = None) -> Pinned:
    return Pinned(request, version, at)


async def _instant_of_version(request: Request, version: Version = None) -> Pinned:
    return Pinned(request, version)


# Dependencies are coroutines: FastAPI would call functions in a thread each.
OfVersion = Annotated[Pinned, Depends(_of_version)]
InstantOfVersion = Annotated[Pinned, Depends(_instant_of_version)]
"""For requests whose ``at`` is an instant inside the data."""


def as_time(text: str | None) -> TimeLike | None:
    """Return the time of a parameter: a number of nanoseconds, or text that is parsed with all other times."""
    if text is None:
        return None
    if _NANOSECONDS.fullmatch(text):
        return int(text)
    return text


def names_in(text: str | None) -> Sequence[str] | None:
    """Return the names of a parameter, which have commas between them; ``None`` if it was left out."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def lags_in(text: str | None) -> dict[str, str] | None:
    """Return lags by kind, as they are written in a parameter.

    Raises
    ------
    BadInput
        If they are written in another way.
    """
    if text is None:
        return None
    lags: dict[str, str] = {}
    for part in names_in(text) or ():
        kind, equals, lag = part.partition("=")
        if not (kind and equals and lag):
            raise BadInput(f"lags={text[:80]!r} are none: write them like ohlcv=2s,trades=1s")
        lags[kind.strip()] = lag.strip()
    return lags
