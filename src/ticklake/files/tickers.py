"""Tickers of contracts as Tardis writes them: funding rates and open interest, each where it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from ticklake.core.native_ids import contract_market
from ticklake.files.decompress import Entry, Unpacked
from ticklake.files.filenames import venue_of
from ticklake.files.formats import Format
from ticklake.files.frames import Shaped
from ticklake.files.tables import frames_of, layout_of

__all__ = ["derivative_ticker"]

_FUNDING = {
    "rate": "funding_rate",
    "predicted_rate": "predicted_funding_rate",
    "next_ts": "funding_timestamp",
    "mark_price": "mark_price",
}
_INTEREST = {"open_interest": "open_interest"}


def derivative_ticker(stream: Unpacked, entry: Entry) -> Iterator[Shaped]:
    """Yield a row where the funding rate, its forecast or its time changed, and one where the open interest did.

    A ticker repeats them with every change of a price: what did not change says nothing new. ``ts`` is the ticker's time; the rate is
    the one that was current then, for the funding at ``next_ts``.
    """
    last: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for raw in frames_of(stream, Format.CSV, entry, layout_of(stream.head())):
        for (name, native), rows in raw.group_by("exchange", "symbol", maintain_order=True):
            exchange, market = venue_of(str(name))
            market = market or contract_market(str(native), exchange)
            for kind, columns, watched in (
                ("funding", _FUNDING, ("rate", "predicted_rate", "next_ts")),
                ("open_interest", _INTEREST, ("open_interest",)),
            ):
                known = rows.filter(pl.col(columns[watched[0]]).fill_null("") != "")
                frame = known.select(ts="timestamp", **{ours: pl.col(theirs) for ours, theirs in columns.items()})
                key = (str(name), str(native), kind)
                changed = _changed(frame, watched, last.get(key))
                if frame.height:
                    last[key] = frame.select(watched).row(-1)
                if changed.height:
                    yield Shaped(changed, kind, str(native), exchange=exchange, market=market)


def _changed(frame: pl.DataFrame, watched: Sequence[str], before: tuple[object, ...] | None) -> pl.DataFrame:
    """Return the rows that differ from the one before them, the first from what came *before* the frame."""
    if not frame.height:
        return frame
    differs = frame.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in watched))
    mask = differs.to_series()
    mask[0] = frame.select(watched).row(0) != before
    return frame.filter(mask)
