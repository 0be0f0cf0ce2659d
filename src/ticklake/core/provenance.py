"""Provenance: which source, endpoint and tool a row came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["CHECKED", "Provenance"]

CHECKED = "checked by numbers and checksums"
"""How the note of recorded messages ends: each was compared with what the exchange sends to show that none is missing."""


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
