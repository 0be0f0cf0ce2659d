"""Instruments: markets as the exchange describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Instrument"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A market as the exchange described it.

    ``listed_at`` is when its history begins, once somebody found out; ``valid_from`` is when this
    description of it was first seen; ``details`` holds CCXT's precision, limits and contract size.
    """

    exchange: str
    symbol: str
    native_id: str = ""
    market_type: str = ""
    active: bool = True
    listed_at: int | None = None
    valid_from: int = 0
    valid_to: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
