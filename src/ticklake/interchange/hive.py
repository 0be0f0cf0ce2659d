"""Hive trees: a file a month below ``ohlcv|trades|orderbook|funding_rates`` and folders that name venue and instrument.

There is no one program behind this layout, so that names of columns differ: those that are usual are read, ours are written.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

import polars as pl

from ticklake.core.compaction_plan import Grain
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.symbol import Symbol
from ticklake.errors import Unsupported
from ticklake.interchange.columns import fitted, nanoseconds, renamed
from ticklake.interchange.layout import NO_NAMES, Layout, Names

__all__ = ["Hive"]

_FOLDERS = {"ohlcv": "ohlcv", "trades": "trades", "book": "orderbook", "funding": "funding_rates"}
_KINDS = {folder: kind for kind, folder in _FOLDERS.items()}
_PART = re.compile(r"([a-z]+)=(.+)")
_PAIR = re.compile(r"(?P<base>[^-]+)-(?P<quote>[^-]+?)(?P<perpetual>-(?:PERP|SWAP))?")
_UNCLEAR = "USD"
"""A perpetual in this currency may be settled in it or in its base."""
_UNITS = ("s", "ms", "us", "ns")
_NAMES = {
    "volume": ("vol", "base_volume"),
    "trades": ("trade_count", "num_trades", "count"),
    "amount": ("qty", "quantity", "size"),
    "id": ("trade_id", "tid"),
    "rate": ("funding_rate", "fundingRate"),
    "seq": ("sequence", "update_id"),
}
"""Of our columns, what others call them."""


class Hive(Layout):
    """``ohlcv/venue=/instrument=/timeframe=/year=/month=/data.parquet``, and the same without timeframe for other kinds."""

    name = "hive"
    ids = ("id", *_NAMES["id"])
    times = ("timestamp", "ts", "time", "open_time", "datetime", "date")

    def dataset_of(self, path: PurePosixPath, names: Names = NO_NAMES) -> Dataset | None:
        """Return the dataset of a file."""
        folder, *middle, _name = path.parts if len(path.parts) > 1 else ("", "")
        pairs = [_PART.fullmatch(part) for part in middle]
        kind, given = _KINDS.get(folder), {match[1]: match[2] for match in pairs if match}
        needed = {"venue", "instrument", "year", "month", *(["timeframe"] if kind == "ohlcv" else [])}
        if kind is None or path.suffix != ".parquet" or not all(pairs) or not needed <= given.keys():
            return None
        timeframe = given["timeframe"] if kind == "ohlcv" else None
        symbol = names.get(given["instrument"]) or _symbol(given["instrument"])
        return Dataset.of(unquote(given["venue"]).lower(), symbol, kind, timeframe)

    def to_ours(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with our columns, whichever of the usual names and units of time they had."""
        kind = dataset.spec
        rows = renamed(rows, {"ts": self.times, **{name: _NAMES[name] for name in kind.names if name in _NAMES}})
        rows = rows.with_columns(nanoseconds(rows["ts"], _UNITS).cast(TIME))
        if kind.name == "book":
            defaults = {"seq": pl.lit(0, pl.Int64), "is_snapshot": pl.lit(True)}
            rows = rows.with_columns(value.alias(name) for name, value in defaults.items() if name not in rows.columns)
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
        frame = [f"timeframe={dataset.timeframe}"] if dataset.timeframe else []
        year, _, month = period.partition("-")
        parts = [folder, f"venue={dataset.exchange}", f"instrument={_instrument(dataset.symbol)}", *frame]
        return "/".join([*parts, f"year={year}", f"month={month}", "data.parquet"])

    def to_theirs(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """Return all our columns; the time is called ``timestamp``."""
        return rows.rename({"ts": "timestamp"})


def _symbol(instrument: str) -> str:
    """Read a name: with a percent sign it is the symbol itself, escaped; else a pair, if it looks like one."""
    if "%" in instrument:
        return unquote(instrument)
    match = _PAIR.fullmatch(instrument)
    if match is None:
        return instrument
    base, priced = match["base"], match["quote"]
    if match["perpetual"] and priced == _UNCLEAR:
        raise Unsupported(f"{instrument} does not say in which currency it is settled: say it, as {instrument}=SYMBOL")
    return f"{base}/{priced}:{priced}" if match["perpetual"] else f"{base}/{priced}"


def _instrument(symbol: Symbol) -> str:
    """Name a symbol so that :func:`_symbol` reads the same again."""
    plain = f"{symbol.base}-{symbol.quote}{'' if symbol.market_type == 'spot' else '-PERP'}"
    return plain if _means(plain, symbol) else quote(str(symbol), safe="").replace("-", "%2D")


def _means(name: str, symbol: Symbol) -> bool:
    try:
        return name == quote(name, safe="") and _symbol(name) == str(symbol)
    except Unsupported:
        return False
