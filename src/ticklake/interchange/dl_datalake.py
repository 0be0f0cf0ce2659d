"""dl-datalake: a file a month, and a manifest in SQLite that names every file.

The layout, the columns and the manifest's one table are those of https://github.com/vladtarrow/dl-datalake
(``storage/writer.py``, ``ingest/exchange_connector.py``, ``metadata/manifest.py``).
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import polars as pl

from ticklake.core.compaction_plan import Grain
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.symbol import Symbol
from ticklake.core.time import MS
from ticklake.errors import StorageError, Unsupported
from ticklake.interchange.columns import fitted, inverse, nanoseconds, renamed
from ticklake.interchange.layout import NO_NAMES, Layout, Names, Written
from ticklake.interchange.parquet import digest_of

__all__ = ["MANIFEST", "DlDatalake"]

MANIFEST = "manifest.db"
_TABLE = """
    CREATE TABLE IF NOT EXISTS manifest (
        id INTEGER NOT NULL,
        exchange VARCHAR NOT NULL,
        market VARCHAR NOT NULL,
        symbol VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        type VARCHAR NOT NULL,
        time_from BIGINT,
        time_to BIGINT,
        version VARCHAR,
        checksum VARCHAR,
        created_at DATETIME,
        script_git_hash VARCHAR,
        metadata_json VARCHAR,
        PRIMARY KEY (id),
        UNIQUE (path)
    )
"""
"""The table that SQLAlchemy creates from dl-datalake's model."""
_INSERT = """
    INSERT INTO manifest (exchange, market, symbol, path, type, time_from, time_to, version, checksum, created_at, metadata_json)
    VALUES (:exchange, :market, :symbol, :path, :type, :time_from, :time_to, '1.0.0', :checksum, :created_at, :metadata_json)
"""
_UPDATE = """
    UPDATE manifest SET time_from = :time_from, time_to = :time_to, checksum = :checksum WHERE path = :path
"""
_SELECT_BY_TAIL = r"SELECT path, checksum FROM manifest WHERE substr(replace(path, '\', '/'), -?) = ?"
_PATH = re.compile(
    r"(?:.*/)?(?P<exchange>[^/]+)/(?P<market>[^/]+)/(?P<symbol>[^/]+)/(?P<type>raw|ticks|alt|agg)/(?P<folder>[^/]+)/"
    r"\d{4}/\d\d/(?:\d\d/)?(?P=symbol)_(?P<period>[^_/]+)_\d{6}(?:\d\d)?\.parquet"
)
_TYPES = {"ohlcv": "raw", "trades": "ticks", "funding": "alt"}
_KINDS = inverse(_TYPES)
_PERIODS = {"trades": "tick", "funding": "funding"}
_IDS = ["tid", "trade_id"]
_SPOT, _CONTRACTS = "SPOT", "FUTURE"
_AGGREGATED = "AGG"
"""The market of bars that dl-datalake built from shorter ones, whatever market those were of."""
_LOSSES = {
    "ohlcv": "quote_volume and trades have no column",
    "trades": "received_at has no column; ts is in milliseconds, ts_ns exact",
    "funding": "only time (in milliseconds) and rate have a column",
}


class DlDatalake(Layout):
    """``{EXCHANGE}/{MARKET}/{SYMBOL}/{type}/{period}/{YYYY}/{MM}/SYMBOL_period_YYYYMM.parquet`` and ``manifest.db``."""

    name = "dl-datalake"
    times = ("ts", "timestamp")
    ids = ("id", *_IDS)

    def dataset_of(self, path: PurePosixPath, names: Names = NO_NAMES) -> Dataset | None:
        """Return the dataset of a file; its folders may lie in another one, like ``data`` beside the manifest."""
        match = _PATH.fullmatch(str(path))
        if match is None:
            return None
        market, kind, period = match["market"].upper(), _KINDS.get(match["type"]), match["period"]
        if market == _AGGREGATED or kind is None:
            raise Unsupported(f"{path}: bars that it made itself do not say of which market they are")
        if kind == "funding" and period != "funding":
            raise Unsupported(f"{path}: {period} has no kind here")
        timeframe = None
        if kind == "ohlcv":
            timeframe = re.sub(r"min$", "m", period)
        symbol = names.get(f"{market}/{match['symbol']}") or _symbol(match["symbol"], market)
        return Dataset.of(match["exchange"].lower(), symbol, kind, timeframe)

    def to_ours(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with our columns; times are milliseconds, or exact in a column that our export adds."""
        kind = dataset.spec
        names = {"ts": ["timestamp"], "rate": ["fundingRate"]}
        if kind.name == "trades":
            names["amount"] = ["qty", "quantity", "size", "volume"]
            names["id"] = _IDS
        rows = renamed(rows, names)
        times = nanoseconds(rows["ts"], ("ms",))
        if "ts_ns" in rows.columns:
            times = rows["ts_ns"].cast(pl.Int64)
        return fitted(rows.with_columns(times.cast(TIME).alias("ts")), kind.schema, kind.required)

    def grain(self, dataset: Dataset) -> Grain:  # noqa: ARG002
        """Return a month."""
        return "month"

    def place(self, dataset: Dataset, period: str) -> str:
        """Return the path of a file, as dl-datalake itself would name it."""
        folder = _TYPES.get(dataset.kind)
        if folder is None:
            raise Unsupported(f"{dataset}: dl-datalake has no place for {dataset.kind}")
        if dataset.timeframe and dataset.timeframe.is_month:
            raise Unsupported(f"{dataset}: dl-datalake would put bars of months into the folder of minutes")
        name, market = _name(dataset.symbol), _market(dataset.symbol)
        length = _PERIODS.get(dataset.kind) or str(dataset.timeframe)
        year, _, month = period.partition("-")
        parts = [dataset.exchange.upper(), market, name, folder, length, year, month]
        return "/".join([*parts, f"{name}_{length}_{year}{month}.parquet"])

    def to_theirs(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the columns that dl-datalake itself writes, as it could not add to a file with others."""
        ns = pl.col("ts").to_physical()
        ms = (ns // MS).alias("ts")
        if dataset.kind == "ohlcv":
            return rows.select(ms, "open", "high", "low", "close", "volume")
        if dataset.kind == "trades":
            return rows.select(ms, "price", pl.col("amount").alias("qty"), "side", "id", ns.alias("ts_ns"))
        return rows.select(
            pl.lit(str(dataset.symbol)).alias("symbol"),
            pl.col("rate").alias("fundingRate"),
            ms.alias("timestamp"),
            pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias("datetime"),
        )

    def losses(self, dataset: Dataset) -> str:
        """Say what has no column in dl-datalake."""
        return _LOSSES[dataset.kind]

    def register(self, root: Path, written: Written) -> None:
        """Add a file to the manifest, by its absolute path, or update its entry."""
        file = (root / written.path).resolve()
        exchange, market, symbol, folder, length, *_ = PurePosixPath(written.path).parts
        metadata = {"timeframe": length}
        if folder == "alt":
            metadata = {"category": "funding"}
        values = {
            "exchange": exchange,
            "market": market,
            "symbol": symbol,
            "path": str(file),
            "type": folder,
            "time_from": written.first // MS,
            "time_to": written.last // MS,
            "checksum": digest_of(file),
            "created_at": dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
            "metadata_json": json.dumps(metadata),
        }
        with _manifest(root / MANIFEST) as manifest, manifest:
            manifest.execute(_TABLE)
            # Its paths may be absolute, of Windows, or of a folder that was moved since: the end is what they share.
            tail = f"/{written.path}"
            row = manifest.execute(_SELECT_BY_TAIL, (len(tail), tail)).fetchone()
            if row is None:
                manifest.execute(_INSERT, values)
                return
            path, checksum = row
            if checksum != values["checksum"]:
                manifest.execute(_UPDATE, {**values, "path": path})

    def registered(self, root: Path) -> dict[str, str]:
        """Return the files that the manifest names, wherever they lay when it was written."""
        for path in (root / MANIFEST, root.parent / MANIFEST):
            if path.is_file():
                return _files_of(path, root)
        return {}


def _files_of(manifest_path: Path, root: Path) -> dict[str, str]:
    """Return path below *root* and checksum of each file that a manifest names."""
    with _manifest(manifest_path, read_only=True) as manifest:
        rows = manifest.execute("SELECT path, checksum FROM manifest").fetchall()
    files = {}
    for name, checksum in rows:
        path = _below(root, PurePosixPath(name.replace("\\", "/")))
        if path:
            files[path] = checksum or ""
    return files


@contextmanager
def _manifest(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a manifest; opened read-only, not even SQLite's own files are written beside it."""
    mode = "mode=rwc"
    if read_only:
        mode = "mode=ro&immutable=1"
    try:
        address = f"file:{quote(str(path.resolve()))}?{mode}"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as manifest:
            yield manifest
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error


def _below(root: Path, name: PurePosixPath) -> str | None:
    """Return where a file that the manifest names should lie below *root*; ``None`` if it is no file of the layout."""
    match = _PATH.fullmatch(str(name))
    if match is None:
        return None
    tail = PurePosixPath(str(name)[match.start("exchange") :])
    if not (root / tail).is_file() and (root / "data" / tail).is_file():
        return str("data" / tail)
    return str(tail)


def _symbol(name: str, market: str) -> str:
    """Read a symbol whose ``/`` and ``:`` became ``_``: three parts are a contract; fewer are spot, and only in the market SPOT."""
    parts = name.split("_")
    if len(parts) == 3 and all(parts) and market != _SPOT:
        return f"{parts[0]}/{parts[1]}:{parts[2]}"
    if len(parts) < 3 and all(parts) and market == _SPOT:
        return "/".join(parts)
    raise Unsupported(f"{market}/{name} does not say which market it is: say it, as {market}/{name}=SYMBOL")


def _market(symbol: Symbol) -> str:
    if symbol.market_type == "spot":
        return _SPOT
    return _CONTRACTS


def _name(symbol: Symbol) -> str:
    name = re.sub(r"[/:]", "_", str(symbol))
    if not _means(name, symbol):
        raise Unsupported(f"{symbol}: dl-datalake's name for it, {name.upper()}, would be that of another symbol")
    return name


def _means(name: str, symbol: Symbol) -> bool:
    try:
        return name == re.sub(r"[\\\s]", "", name).upper() and _symbol(name, _market(symbol)) == str(symbol)
    except Unsupported:
        return False
