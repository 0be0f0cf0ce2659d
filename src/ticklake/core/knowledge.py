"""When a row could be known: the one rule that every answer about a past instant uses.

A row is knowable at an instant *t* if its :func:`known_at` is not after *t*. A null is never known.

======== =========================================================================================================
word     known from
======== =========================================================================================================
default  a row that was received live: from when it was received, but not before it happened. Any other row: from when it
         happened, and the lag of its kind. A row that says itself when it was known, as those of features do: from then
received strictly from when it was received; a row without that time is never known
event    from when it happened
======== =========================================================================================================

A bar happens when it closes, everything else at its ``ts``. A row received more than a day after it happened was not received live: it was
fetched or imported later, and would else be unknown for all of its history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike, parse_length
from ticklake.core.kinds import TIME, kind_of
from ticklake.core.lookup import did_you_mean
from ticklake.core.time import DAY
from ticklake.errors import BadInput

__all__ = [
    "KNOWLEDGE",
    "KNOWN_AT",
    "LIVE_WITHIN",
    "NO_LAG",
    "Knowledge",
    "Lags",
    "happened_at",
    "known_at",
    "parse_knowledge",
]

Knowledge = Literal["default", "received", "event"]
KNOWLEDGE: tuple[Knowledge, ...] = get_args(Knowledge)
KNOWN_AT = "known_at"
"""The column of kinds whose rows say themselves when they were known."""
LIVE_WITHIN = DAY
"""A row that was received later than this after it happened was fetched or imported, not received live."""
_RECEIVED_AT = "received_at"
_CLOSE = "close_time"


@dataclass(frozen=True, slots=True)
class Lags:
    """How long after it happened a row is known that was not received live, in nanoseconds by kind: 0 for those not named."""

    by_kind: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, lags: Mapping[str, DurationLike]) -> Lags:
        """Read durations by kind, like ``{"ohlcv": "2s"}``.

        Raises
        ------
        InvalidName
            If there is no such kind: its rows would be known too early.
        """
        return cls({kind_of(kind).name: parse_length(lag) for kind, lag in lags.items()})

    def of(self, dataset: Dataset) -> int:
        """Return the lag of a dataset's rows in nanoseconds."""
        return self.by_kind.get(dataset.kind, 0)


NO_LAG = Lags()
"""A row that was not received live is known as soon as it happened."""


def parse_knowledge(value: object) -> Knowledge:
    """Return one of the words of :data:`KNOWLEDGE`.

    Raises
    ------
    BadInput
        If it is none of them.
    """
    for word in KNOWLEDGE:
        if value == word:
            return word
    hint = did_you_mean(str(value), list(KNOWLEDGE))
    raise BadInput(f"knowledge={value!r} is not known{hint}: use one of {', '.join(KNOWLEDGE)}")


def happened_at(rows: pl.DataFrame, dataset: Dataset) -> pl.Series:
    """Return when each row happened, in nanoseconds (``Int64``): bars when they close, all others at their ``ts``."""
    # Cast, and not to_physical, which is planned: for the rows of a frame that takes longer than all else here.
    if _CLOSE in rows.columns:
        return rows[_CLOSE].cast(pl.Int64)
    ts = rows["ts"]
    if not dataset.spec.bars or dataset.timeframe is None:
        return ts.cast(pl.Int64)
    if dataset.timeframe.is_month:
        return ts.dt.offset_by(f"{dataset.timeframe.count}mo").cast(TIME).cast(pl.Int64)
    return ts.cast(pl.Int64) + dataset.timeframe.length


def known_at(rows: pl.DataFrame, dataset: Dataset, knowledge: Knowledge = "default", lags: Lags = NO_LAG) -> pl.Series:
    """Return from when on each row is known, in nanoseconds (``Int64``), or null if it never is.

    Parameters
    ----------
    rows
        Rows of *dataset* with ``ts``, and ``received_at``, ``close_time`` and ``known_at`` where its kind has them.

    Examples
    --------
    >>> bars = Dataset.parse("binance:ohlcv:1h:BTC/USDT")
    >>> known_at(pl.DataFrame({"ts": [0]}).cast(TIME), bars, lags=Lags.parse({"ohlcv": "2s"})).to_list()
    [3602000000000]
    """
    happened = happened_at(rows, dataset)
    if knowledge == "event":
        return happened.alias(KNOWN_AT)
    if knowledge == "default" and not _has_values(rows, KNOWN_AT) and not _has_values(rows, _RECEIVED_AT):
        return (happened + lags.of(dataset)).alias(KNOWN_AT)
    # In arrays: rows of a stream come a few at a time, and a planned expression takes a hundred times as long as their values.
    at, happens = _ints(happened)
    said, received = _column(rows, KNOWN_AT), _column(rows, _RECEIVED_AT)
    if knowledge == "received":
        known = np.where(said.is_known, said.values, received.values)
        return _series(known, said.is_known | received.is_known)
    later = at + lags.of(dataset)
    is_live = received.is_known & (received.values - at <= LIVE_WITHIN)
    # Clocks differ by milliseconds: what happened after t is not known at t, whatever clock says that it was received before.
    known = np.where(is_live, np.maximum(received.values, at), later)
    return _series(np.where(said.is_known, said.values, known), said.is_known | happens)


def _has_values(rows: pl.DataFrame, name: str) -> bool:
    return name in rows.columns and rows[name].null_count() < rows.height


class _Times(NamedTuple):
    """Times in nanoseconds, and which of them are no null."""

    values: Any
    is_known: Any


def _column(rows: pl.DataFrame, name: str) -> _Times:
    """Return a column of times; nulls if there is none."""
    if name in rows.columns:
        return _ints(rows[name])
    return _Times(np.zeros(rows.height, dtype=np.int64), np.zeros(rows.height, dtype=np.bool_))


def _ints(times: pl.Series) -> _Times:
    if not times.null_count():
        return _Times(times.to_numpy().view(np.int64), np.ones(len(times), dtype=np.bool_))
    whole = times.to_physical()
    return _Times(whole.fill_null(0).to_numpy(), whole.is_not_null().to_numpy())


def _series(known: Any, is_known: Any) -> pl.Series:
    series = pl.Series(KNOWN_AT, known, dtype=pl.Int64)
    if is_known.all():
        return series
    return series.zip_with(pl.Series(is_known), pl.Series([None], dtype=pl.Int64)).alias(KNOWN_AT)
