"""Hive trees: a file a month below ``ohlcv|trades|orderbook|funding_rates`` and folders that name venue and instrument.

No single program writes this layout, so names of columns differ: the usual ones are read, ours are written.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

import polars as pl

from ticklake.core.compaction_plan import Grain
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.selection import picked
from ticklake.core.symbol import Symbol
from ticklake.errors import Unsupported
from ticklake.interchange.columns import fitted, inverse, nanoseconds, renamed
from ticklake.interchange.layout import NO_NAMES, Layout, Names

__all__ = ["Hive"]

_FOLDERS = {"ohlcv": "ohlcv", "trades": "trades", "book": "orderbook", "funding": "funding_rates"}
_KINDS = inverse(_FOLDERS)
_PART = re.compile(r"([a-z]+)=(.+)")
_PAIR = re.compile(r"(?P<base>[^-]+)-(?P<quote>[^-]+?)(?P<perpetual>-(?:PERP|SWAP))?")
_UNCLEAR = "USD"
"""A perpetual with this quote currency may be settled in it or in its base."""
_UNITS = ("s", "ms", "us", "ns")
_NAMES = {
    "volume": ("vol", "base_volume"),
    "trades": ("trade_count", "num_trades", "count"),
    "amount": ("qty", "quantity", "size"),
    "id": ("trade_id", "tid"),
    "rate": ("funding_rate", "fundingRate"),
    "seq": ("sequence", "update_id"),
}
"""Our columns, and the names that others have for them."""


class Hive(Layout):
    """``ohlcv/venue=/instrument=/timeframe=/year=/month=/data.parquet``, and the same without timeframe for other kinds."""

    name = "hive"
    ids = ("id", *_NAMES["id"])
    times = ("timestamp", "ts", "time", "open_time", "datetime", "date")

    def dataset_of(self, path: PurePosixPath, names: Names = NO_NAMES) -> Dataset | None:
        """Return the dataset of a file."""
        if len(path.parts) < 2 or path.suffix != ".parquet":
            return None
        kind = _KINDS.get(path.parts[0])
        keys = _keys(path.parts[1:-1])
        if kind is None or keys is None or not {"venue", "instrument", "year", "month"} <= keys.keys():
            return None
        timeframe = None
        if kind == "ohlcv":
            if "timeframe" not in keys:
                return None
            timeframe = keys["timeframe"]
        symbol = names.get(keys["instrument"]) or _symbol(keys["instrument"])
        return Dataset.of(unquote(keys["venue"]).lower(), symbol, kind, timeframe)

    def to_ours(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with our columns, whichever of the usual names and units of time they had."""
        kind = dataset.spec
        rows = renamed(rows, {"ts": self.times, **picked(_NAMES, kind.names)})
        rows = rows.with_columns(nanoseconds(rows["ts"], _UNITS).cast(TIME))
        # Books without numbers are snapshots, one an instant.
        if kind.name == "book" and "seq" not in rows.columns:
            rows = rows.with_columns(seq=pl.lit(0, pl.Int64))
        if kind.name == "book" and "is_snapshot" not in rows.columns:
            rows = rows.with_columns(is_snapshot=pl.lit(True))
        if "side" in kind.names and "side" in rows.columns:
            rows = rows.with_columns(pl.col("side").str.to_lowercase())
        return fitted(rows, kind.schema, kind.required)

    def grain(self, dataset: Dataset) -> Grain:  # noqa: ARG002
        """Return a month."""
        return "month"

    def place(self, dataset: Dataset, period: str) -> str:
        """Return the path of a file."""
        folder = _FOLDERS.get(dataset.kind)
        if folder is None:
            raise Unsupported(f"{dataset}: the layout has no place for {dataset.kind}")
        folders = [folder, f"venue={dataset.exchange}", f"instrument={_instrument(dataset.symbol)}"]
        if dataset.timeframe is not None:
            folders.append(f"timeframe={dataset.timeframe}")
        year, _, month = period.partition("-")
        return "/".join([*folders, f"year={year}", f"month={month}", "data.parquet"])

    def to_theirs(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """Return all our columns; the time is called ``timestamp``."""
        return rows.rename({"ts": "timestamp"})


def _keys(folders: tuple[str, ...]) -> dict[str, str] | None:
    """Return the values of folders like ``year=2024``; ``None`` if one is none."""
    values = {}
    for folder in folders:
        match = _PART.fullmatch(folder)
        if match is None:
            return None
        values[match[1]] = match[2]
    return values


def _symbol(instrument: str) -> str:
    """Read a name: with a percent sign it is the symbol itself, escaped; else a pair, if it looks like one."""
    if "%" in instrument:
        return unquote(instrument)
    match = _PAIR.fullmatch(instrument)
    if match is None:
        return instrument
    base, quote_currency = match["base"], match["quote"]
    if not match["perpetual"]:
        return f"{base}/{quote_currency}"
    if quote_currency == _UNCLEAR:
        raise Unsupported(f"{instrument} does not say in which currency it is settled: say it, as {instrument}=SYMBOL")
    return f"{base}/{quote_currency}:{quote_currency}"


def _instrument(symbol: Symbol) -> str:
    """Name a symbol so that :func:`_symbol` reads the same again."""
    pair = f"{symbol.base}-{symbol.quote}"
    if symbol.market_type != "spot":
        pair += "-PERP"
    if _means(pair, symbol):
        return pair
    return quote(str(symbol), safe="").replace("-", "%2D")


def _means(name: str, symbol: Symbol) -> bool:
    try:
        return name == quote(name, safe="") and _symbol(name) == str(symbol)
    except Unsupported:
        return False
