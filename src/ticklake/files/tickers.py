"""Tickers of contracts as Tardis writes them: the rows where funding rate or open interest changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from ticklake.core.native_ids import contract_market
from ticklake.files.decompress import Entry, Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.formats import Format
from ticklake.files.frames import RecordFrame
from ticklake.files.tables import frames_of, layout_of

__all__ = ["derivative_ticker"]

_COLUMNS = {
    "funding": {
        "rate": "funding_rate",
        "predicted_rate": "predicted_funding_rate",
        "next_ts": "funding_timestamp",
        "mark_price": "mark_price",
    },
    "open_interest": {"open_interest": "open_interest"},
}
"""The columns of each kind, and Tardis' names for them."""
_WATCHED = {"funding": ("rate", "predicted_rate", "next_ts"), "open_interest": ("open_interest",)}
"""The columns whose changes count: the mark price changes with every ticker. The first one is never null in a row."""


def derivative_ticker(stream: Unpacked, entry: Entry) -> Iterator[RecordFrame]:
    """Yield a row where the funding rate, its forecast or its time changed, and one where the open interest did.

    A ticker repeats them with every change of a price. ``ts`` is the ticker's time; the rate is the one that was current then,
    for the funding at ``next_ts``.
    """
    last: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for raw in frames_of(stream, Format.CSV, entry, layout_of(stream.head())):
        for (name, native), rows in raw.group_by("exchange", "symbol", maintain_order=True):
            exchange, market = venue_of(str(name))
            market = market or contract_market(str(native), exchange)
            for kind, watched in _WATCHED.items():
                frame = _rows_of(kind, rows)
                if not frame.height:
                    continue
                key = (str(name), str(native), kind)
                changed = _changed(frame, watched, last.get(key))
                last[key] = frame.select(watched).row(-1)
                if changed.height:
                    yield RecordFrame(changed, kind, str(native), exchange=exchange, market=market)


def _rows_of(kind: str, tickers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of tickers that have values of *kind*."""
    columns = {"ts": pl.col("timestamp")}
    for ours, theirs in _COLUMNS[kind].items():
        columns[ours] = pl.col(theirs)
    main_column = _COLUMNS[kind][_WATCHED[kind][0]]
    return tickers.filter(pl.col(main_column).fill_null("") != "").select(**columns)


def _changed(frame: pl.DataFrame, watched: Sequence[str], before: tuple[object, ...] | None) -> pl.DataFrame:
    """Return the rows that differ from the one before them; *before* is the one before the frame."""
    differs = frame.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in watched))
    is_changed = differs.to_series()
    # A change may lie between two chunks.
    is_changed[0] = frame.select(watched).row(0) != before
    return frame.filter(is_changed)
