"""Corporate actions: raw prices, and what they look like when splits and dividends are taken out.

A split of ratio *r* (4 for four new shares for an old one) on its ex-date divides prices before it by *r* and multiplies
volumes. A dividend of amount *D*, in the money of its day, multiplies prices before its ex-date by ``1 - D / C``, where
*C* is the raw close of the last session before. Factors of later dates multiply. These are the multipliers of the Center
for Research in Security Prices (CRSP), by which Yahoo says that its adjusted closes are made.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from ticklake.core.time import DAY, format_time
from ticklake.errors import BadInput

__all__ = ["ADJUSTMENTS", "Adjust", "adjusted", "dividend_multipliers", "session_dates", "split_divisors", "unadjusted"]

Adjust = Literal["splits", "all"]
ADJUSTMENTS: tuple[Adjust, ...] = ("splits", "all")
_PRICES = ("open", "high", "low", "close")
_STALE = 14 * DAY
"""A close this much older than an ex-date is not that of the session before."""
_FLOAT32 = 1e-7
"""Relative error of a 32-bit float, with some room for one multiplication."""


def session_dates(ts: pl.Series, zone: str) -> pl.Series:
    """Return the dates of sessions, as ``Int64`` nanoseconds of their UTC midnight, of the instants *ts* in a zone.

    Bars of a day or longer are named by their date already: their zone is ``UTC``.
    """
    local = ts.dt.convert_time_zone(zone).dt.date()
    return local.cast(pl.Datetime("ns")).to_physical()


def split_divisors(dates: pl.Series, splits: pl.DataFrame) -> pl.Series:
    """Return for each sorted date the product of the ratios of all splits after it: ``Float64``, 1 if there is none.

    *dates* are ``Int64`` nanoseconds; *splits* has the columns of kind ``splits``.
    """
    return _later(dates, splits["ts"], splits["ratio"])


def dividend_multipliers(dates: pl.Series, dividends: pl.DataFrame, closes: pl.DataFrame) -> pl.Series:
    """Return for each sorted date the product of ``1 - D / C`` over all dividends after it.

    Parameters
    ----------
    dividends
        Columns of kind ``dividends``: raw amounts.
    closes
        ``ts`` (dates of sessions) and raw ``close``, sorted.

    Raises
    ------
    BadInput
        If the close before a dividend that matters is not there.
    """
    if not dates.len():
        return pl.Series([], dtype=pl.Float64)
    # Earlier dividends change none of these dates, so their closes need not be known.
    matter = dividends.filter(dividends["ts"].to_physical() > dates[0])
    before = closes.select("ts", "close", seen="ts").drop_nulls("close")
    # On the ex-date itself the price is without the dividend already.
    paid = matter.join_asof(before, on="ts", strategy="backward", allow_exact_matches=False)
    late = (paid["ts"] - paid["seen"]).dt.total_nanoseconds() > _STALE
    unknown = paid.filter(late.fill_null(True) | (paid["amount"] >= paid["close"]))
    if unknown.height:
        day = format_time(unknown["ts"].to_physical()[0])[:10]
        raise BadInput(
            f"the dividend of {day} has no close before it to measure it by: bring in the 1d bars until {day}"
        )
    return _later(dates, paid["ts"], 1 - paid["amount"] / paid["close"])


def adjusted(bars: pl.DataFrame, divisors: pl.Series, multipliers: pl.Series | None = None) -> pl.DataFrame:
    """Return bars with prices divided and volumes multiplied by *divisors*, and prices multiplied by *multipliers*."""
    factor = 1 / divisors
    if multipliers is not None:
        factor = multipliers / divisors
    return bars.with_columns(pl.col(_PRICES) * factor, bars["volume"] * divisors)


def unadjusted(bars: pl.DataFrame, divisors: pl.Series) -> pl.DataFrame:
    """Return the raw bars of split-adjusted ones that went through 32-bit floats.

    Every price is the shortest decimal that such a float may have meant; volumes are whole.
    """
    raw = bars.with_columns(pl.col(_PRICES) * divisors, volume=(bars["volume"] / divisors).round(0))
    return raw.with_columns(shortest(pl.col(name)) for name in _PRICES)


def shortest(price: pl.Expr) -> pl.Expr:
    """Return the decimal with the fewest places that a 32-bit float may have meant.

    >>> pl.select(shortest(pl.lit(46.78749847412109 * 4))).item()
    187.15
    """
    tolerance = _FLOAT32 * price.abs()
    candidates: list[pl.Expr] = []
    for places in range(9):
        rounded = price.round(places)
        candidates.append(pl.when((rounded - price).abs() <= tolerance).then(rounded))
    # Fewest places first: the price that was meant is a round one, its float seldom is.
    return pl.coalesce(*candidates, price)


def _later(dates: pl.Series, at: pl.Series, factors: pl.Series) -> pl.Series:
    """Return for each of the sorted dates the product of the factors at later ones."""
    events = pl.DataFrame({"ts": at.to_physical(), "factor": factors}).sort("ts")
    products = events.with_columns(pl.col("factor").cum_prod(reverse=True))
    later = pl.DataFrame({"ts": dates}).join_asof(products, on="ts", strategy="forward", allow_exact_matches=False)
    return later["factor"].fill_null(1.0)
