"""Provenance: which source, endpoint and tool a row came from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

__all__ = ["CHECKED", "Provenance", "depth_in", "depth_note"]

CHECKED = "checked by numbers and checksums"
"""How the note of recorded messages ends: each was compared with what the exchange sends to show that none is missing."""

_DEPTH = re.compile(r"\bdepth (\d+)\b")


def depth_note(depth: int) -> str:
    """Return the note that a subscription to a book had so many levels a side, where levels beyond them must be dropped."""
    return f"depth {depth}"


def depth_in(note: str) -> int | None:
    """Return how many levels a side a subscription had, if the note of its rows says so.

    >>> depth_in(f"preset x, {depth_note(25)}"), depth_in("preset x")
    (25, None)
    """
    match = _DEPTH.search(note)
    if match is None:
        return None
    return int(match[1])


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows came from.

    Parameters
    ----------
    source
        What delivered them: ``ccxt``, ``file``, ``user``, ``simulated``.
    endpoint
        The call or the file: ``fetch_ohlcv``, ``btc.csv.gz``.
    tool
        Name and version of what fetched them.
    id_space
        Which numbering the ids of trades belong to, where the exchange has several
        (``agg`` and ``raw`` on Binance).
    clock
        Whose clock ``ts`` is: ``exchange`` or ``local``.
    note
        Anything else worth keeping.
    """

    source: str
    endpoint: str = ""
    tool: str = ""
    id_space: str = ""
    clock: str = "exchange"
    note: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the fields as a plain mapping."""
        return asdict(self)
