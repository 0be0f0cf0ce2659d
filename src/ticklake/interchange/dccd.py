"""dccd 3: a file a year for bars and funding, a file a day for trades and order books; files of dccd 2 are read, too.

The layout and its columns are those that dccd 3.8.1 (PyPI) writes and reads (``dccd.storage.parquet``); the v2 form is
that of dccd 2.4.0 (``dccd.storage``, ``dccd.histo_dl``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import polars as pl

from ticklake.core.compaction_plan import Grain
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidData, Unsupported
from ticklake.interchange.columns import fitted, inverse, nanoseconds, renamed
from ticklake.interchange.layout import NO_NAMES, Layout, Names

__all__ = ["SCHEMAS", "Dccd", "from_v2"]

SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "ohlc": {
        "TS": pl.Int64(),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "quote_volume": pl.Float64(),
        "trades": pl.Int64(),
    },
    "trades": {
        "TS": pl.Int64(),
        "price": pl.Float64(),
        "amount": pl.Float64(),
        "side": pl.String(),
        "tid": pl.String(),
    },
    "orderbook": {
        "TS": pl.Int64(),
        "side": pl.String(),
        "price": pl.Float64(),
        "amount": pl.Float64(),
        "count": pl.Int64(),
        "is_snapshot": pl.Boolean(),
    },
    "funding": {"TS": pl.Int64(), "rate": pl.Float64(), "mark_price": pl.Float64()},
}
"""The columns of each of dccd's data types, in its order; ``TS`` is nanoseconds."""
_FOLDERS = {"ohlcv": "ohlc", "trades": "trades", "book": "orderbook", "funding": "funding"}
_KINDS = inverse(_FOLDERS)
_NEEDED = {
    "ohlc": ("TS", "open", "high", "low", "close"),
    "trades": ("TS", "price", "amount"),
    "orderbook": ("TS", "side", "price", "amount"),
    "funding": ("TS", "rate"),
}
_RENAMED = {"tid": "id"}
_V2_NAMES = {"quote_volume": ("quoteVolume",), "side": ("type",)}
"""Columns that v2 called otherwise; its ``weightedAverage`` has no column in v3, where dccd drops it."""
_NAMED_SPANS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
_LABELS = {Timeframe.parse(label).length: label for label in _NAMED_SPANS}
"""Lengths whose folder has this name; all others have one of their seconds, like ``7777s``."""
_MONTH = 30 * DAY
"""dccd's length of monthly bars."""
_SYNONYMS = {"kraken_futures": "krakenfutures"}
_OWN_NAMES = inverse(_SYNONYMS)
"""dccd's names for exchanges that ccxt calls otherwise."""
_TIMEFRAME_UNITS = ((7 * DAY, "w"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"))
_PAIR = re.compile(r"(?P<base>[^-]+)-(?P<quote>[^-_]+)(?:_(?P<market>[A-Z_]+))?")
_PERIOD = {"year": re.compile(r"\d{4}"), "day": re.compile(r"\d{4}-\d\d-\d\d")}
_ALIASED = "XBT"
"""dccd reads this currency as BTC."""


class Dccd(Layout):
    """``{exchange}/ohlc/{BASE-QUOTE}/{span}/YYYY.parquet``, ``{exchange}/trades|orderbook/{BASE-QUOTE}/YYYY-MM-DD.parquet``."""

    name = "dccd"
    times = ("TS",)
    ids = ("tid",)

    def dataset_of(self, path: PurePosixPath, names: Names = NO_NAMES) -> Dataset | None:
        """Return the dataset of a file; linear perpetuals are those whose pair ends in ``_PERP``."""
        if len(path.parts) not in {4, 5} or path.suffix != ".parquet":
            return None
        exchange, folder, pair, *spans, _name = path.parts
        if folder == "open_interest" and spans:
            raise Unsupported(f"{path}: open interest has a span in dccd and none here: it cannot be imported")
        kind = _KINDS.get(folder)
        if kind is None or (kind == "ohlcv") != bool(spans):
            return None
        if not _PERIOD[self._grain(kind)].fullmatch(path.stem):
            return None
        timeframe = None
        if spans:
            timeframe = _timeframe(spans[0])
        return Dataset.of(_SYNONYMS.get(exchange, exchange), names.get(pair) or _symbol(pair), kind, timeframe)

    def to_ours(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a v3 or v2 file, or of one that holds both; a book's rows of one instant are one unit."""
        theirs = from_v2(_FOLDERS[dataset.kind], rows)
        ours = theirs.rename({"TS": "ts", **_RENAMED}, strict=False).with_columns(pl.col("ts").cast(TIME))
        # dccd has no numbers of updates; rows without the flag are of snapshots.
        if dataset.kind == "book":
            return ours.with_columns(pl.col("is_snapshot").fill_null(True), seq=pl.lit(0, pl.Int64))
        return ours

    def grain(self, dataset: Dataset) -> Grain:
        """Return a year for bars and funding, a day for trades and books."""
        return self._grain(dataset.kind)

    def place(self, dataset: Dataset, period: str) -> str:
        """Return the path of a file, as dccd itself would name it."""
        folder = _FOLDERS.get(dataset.kind)
        if folder is None:
            raise Unsupported(f"{dataset}: dccd has no place for {dataset.kind}")
        parts = [_OWN_NAMES.get(dataset.exchange, dataset.exchange), folder, _pair(dataset.symbol)]
        if dataset.timeframe is not None:
            parts.append(_label(dataset.timeframe, dataset))
        return f"{'/'.join(parts)}/{period}.parquet"

    def to_theirs(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with dccd's columns."""
        if dataset.kind == "book":
            rows = _one_book_an_instant(rows)
        theirs = rows.with_columns(pl.col("ts").to_physical()).rename({"ts": "TS", "id": "tid"}, strict=False)
        return theirs.select(list(SCHEMAS[_FOLDERS[dataset.kind]]))

    def id_space(self, dataset: Dataset) -> str:
        """Return the numbering of Binance's aggregated trades, which dccd collects."""
        if (dataset.exchange, dataset.kind) == ("binance", "trades"):
            return "agg"
        return ""

    def footer(self, dataset: Dataset) -> dict[bytes, bytes]:
        """Return the provenance of rows, as dccd writes it."""
        return {b"dccd.provenance": json.dumps({"source": f"ticklake:{dataset}", "derived_from": None}).encode()}

    def collected_by(self, footer: Mapping[bytes, bytes]) -> tuple[str, str]:
        """Return dccd, and the source that its provenance names, with what the rows were derived from."""
        try:
            provenance = json.loads(footer[b"dccd.provenance"])
            note = f"source {provenance['source']}"
            if provenance["derived_from"]:
                note += f", derived from {provenance['derived_from']}"
        except (KeyError, TypeError, ValueError):
            return "dccd", ""
        return "dccd", note

    def losses(self, dataset: Dataset) -> str:
        """Say what has no column in dccd."""
        return {
            "trades": "received_at has no column",
            "book": "received_at and seq have no column: of books that share an instant the last is kept",
            "funding": "predicted_rate, next_ts and interval have no column",
        }.get(dataset.kind, "")

    @staticmethod
    def _grain(kind: str) -> Grain:
        if kind in {"ohlcv", "funding"}:
            return "year"
        return "day"


def from_v2(folder: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of a file below *folder* (``ohlc``, ...) with the columns and nanoseconds of v3, from either version.

    Raises
    ------
    InvalidData
        If a needed column is missing, or ``TS`` is neither seconds nor nanoseconds.
    """
    if "TS" not in rows.columns:
        raise InvalidData(f"column 'TS' is missing: there are {', '.join(rows.columns)}")
    in_ns = rows.with_columns(nanoseconds(rows["TS"], ("s", "ns")))
    return fitted(renamed(in_ns, _V2_NAMES), SCHEMAS[folder], _NEEDED[folder])


def _timeframe(label: str) -> str:
    seconds = re.fullmatch(r"([1-9]\d*)s", label)
    if seconds is None:
        return label
    length = int(seconds[1]) * SECOND
    if length == _MONTH:
        return "1M"
    for unit, name in _TIMEFRAME_UNITS:
        if length % unit == 0:
            return f"{length // unit}{name}"
    return label


def _label(timeframe: Timeframe, dataset: Dataset) -> str:
    """Return the folder of a timeframe; dccd knows months by their usual length, so only bars of one month have a folder."""
    length = timeframe.length
    if timeframe == Timeframe(1, "M"):
        length = _MONTH
    label = _LABELS.get(length, f"{length // SECOND}s")
    if (timeframe.is_month and timeframe.count > 1) or Timeframe.parse(_timeframe(label)) != timeframe:
        raise Unsupported(f"{dataset}: dccd would take {timeframe} bars for {_timeframe(label)} bars")
    return label


def _symbol(pair: str) -> str:
    match = _PAIR.fullmatch(pair)
    if match is None:
        raise Unsupported(f"{pair!r} is not a pair like BTC-USDT")
    base, quote, market = match["base"], match["quote"], match["market"]
    if market not in {None, "PERP"}:
        raise Unsupported(
            f"{pair} is a series of contracts that follow each other: if it is one, say which, as {pair}=SYMBOL"
        )
    if market:
        return f"{base}/{quote}:{quote}"
    return f"{base}/{quote}"


def _pair(symbol: Symbol) -> str:
    base, quote = symbol.base, symbol.quote
    if base is None or quote is None or symbol.market_type not in {"spot", "swap"}:
        raise Unsupported(f"{symbol}: dccd has no place for this market: only for spot and linear perpetuals")
    if symbol.settle not in {None, quote}:
        raise Unsupported(f"{symbol}: dccd's perpetuals are settled in their quote currency")
    # dccd reads names in capitals, XBT as BTC, and divides a pair at ``-`` and ``_``.
    for name in (base, quote):
        if name != name.upper() or name == _ALIASED or re.search(r"[-_]", name):
            raise Unsupported(f"{symbol}: dccd would read {name!r} as another currency")
    if symbol.settle:
        return f"{base}-{quote}_PERP"
    return f"{base}-{quote}"


def _one_book_an_instant(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep of each instant the last snapshot and the changes after it, each level with its last amount."""
    last_snapshot = pl.col("seq").filter("is_snapshot").max().over("ts")
    first_update = pl.col("seq").min().over("ts")
    newest = rows.filter(pl.col("seq") >= last_snapshot.fill_null(first_update))
    return newest.unique(["ts", "side", "price"], keep="last", maintain_order=True)
