"""Rows for tests, of which every value follows from its number: the same numbers are the same rows, wherever they are made."""

from __future__ import annotations

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import MINUTE, SECOND

__all__ = ["START", "bars", "trades"]

START = 1_704_067_200 * SECOND
"""2024-01-01 UTC, the time of number 0."""


def bars(first: int, last: int, bump: float = 0.0, step: int = 1, *, interval: int = MINUTE) -> pl.DataFrame:
    """Return bars number *first* up to *last*.

    Parameters
    ----------
    bump
        Added to every price: bars of the same times with other values.
    step
        Only every so many numbers.
    interval
        Nanoseconds from one number to the next.

    Returns
    -------
    DataFrame
        ``ts``, ``open``, ``high``, ``low``, ``close``, ``volume``.
    """
    numbers = pl.int_range(first, last, step, dtype=pl.Int64, eager=True)
    price = (numbers * 7919 % 10007).cast(pl.Float64) / 7 + 1 + bump
    return pl.DataFrame(
        {
            "ts": (numbers * interval + START).cast(TIME),
            "open": price,
            "high": price + 1,
            "low": price - 1,
            "close": price,
            "volume": price * 0.5,
        }
    )


def trades(first: int, last: int, ids: bool = True, *, interval: int = SECOND) -> pl.DataFrame:
    """Return trades number *first* up to *last*, *interval* nanoseconds apart.

    Returns
    -------
    DataFrame
        ``ts``, ``price``, ``amount``, ``side``, ``id`` (null without *ids*; else one more than the id before).
    """
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    third = numbers % 3 == 0
    frame = pl.DataFrame(
        {
            "ts": (numbers * interval + START).cast(TIME),
            "price": (numbers % 97).cast(pl.Float64) + 0.1,
            "amount": (numbers % 13).cast(pl.Float64) + 0.5,
            "side": third.replace_strict({True: "sell", False: "buy"}, return_dtype=pl.String),
        }
    )
    if not ids:
        return frame.with_columns(id=pl.lit(None, pl.String))
    return frame.with_columns(id=(numbers + 10**6).cast(pl.String))
