"""DuckDB: one database file, a table a dataset, a primary key against duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from benchmarks.contenders.base import SYMBOL, Contender

_BARS = "ts TIMESTAMP_NS PRIMARY KEY, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE, quote_volume DOUBLE, trades BIGINT"
_TRADES = "ts TIMESTAMP_NS, id VARCHAR, price DOUBLE, amount DOUBLE, side VARCHAR, PRIMARY KEY (ts, id)"


class DuckDB(Contender):
    """Arrow in, Polars out."""

    name = "duckdb"
    packages = ("duckdb",)
    durability = "1 fdatasync of its log a commit"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._database = duckdb.connect(str(folder / "bench.duckdb"))
        self._known: set[str] = set()

    def close(self) -> None:
        self._database.close()

    def bars(self, frame: pl.DataFrame, symbol: str = SYMBOL) -> Any:
        self._make(_table(symbol), _BARS)
        return _naive(frame)

    def trades(self, frame: pl.DataFrame) -> Any:
        self._make("trades", _TRADES)
        return _naive(frame)

    def append_bars(self, rows: Any, symbol: str = SYMBOL) -> None:
        self._insert("INSERT", _table(symbol), rows)

    def append_group(self, items: Sequence[tuple[str, Any]]) -> None:
        self._database.begin()
        super().append_group(items)
        self._database.commit()

    def append_trades(self, rows: Any) -> None:
        self._insert("INSERT OR IGNORE", "trades", rows)

    def compact(self) -> None:
        self._database.execute("CHECKPOINT")

    def correct_bar(self, rows: Any) -> None:
        self._insert("INSERT OR REPLACE", _table(SYMBOL), rows)

    def read_bars(self, start: int | None = None, end: int | None = None) -> pl.DataFrame:
        where = "" if start is None or end is None else _inside(start, end)
        return self._query(f"SELECT * FROM {_table(SYMBOL)} {where} ORDER BY ts")

    def read_trades(self, start: int, end: int) -> pl.DataFrame:
        return self._query(f"SELECT * FROM trades {_inside(start, end)} ORDER BY ts")

    def latest_trades(self, count: int) -> pl.DataFrame:
        return self._query(f"SELECT * FROM trades ORDER BY ts DESC LIMIT {count}")

    def last_bar(self) -> int:
        row = self._database.execute(f"SELECT epoch_ns(max(ts)) FROM {_table(SYMBOL)}").fetchone()
        assert row is not None
        return int(row[0])

    def resample(self, start: int, end: int) -> pl.DataFrame:
        return self._query(
            "SELECT time_bucket(INTERVAL 1 minute, ts::TIMESTAMP) AS ts, arg_min(price, (ts, id)) AS open,"
            " max(price) AS high, min(price) AS low, arg_max(price, (ts, id)) AS close, sum(amount) AS volume,"
            f" sum(price * amount) AS quote_volume, count(*) AS trades FROM trades {_inside(start, end)}"
            " GROUP BY 1 ORDER BY 1"
        )

    def _make(self, table: str, columns: str) -> None:
        if table not in self._known:
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
            self._known.add(table)

    def _insert(self, verb: str, table: str, rows: Any) -> None:
        self._database.register("incoming", rows)
        self._database.execute(f"{verb} INTO {table} BY NAME SELECT * FROM incoming")
        self._database.unregister("incoming")

    def _query(self, sql: str) -> pl.DataFrame:
        found: pl.DataFrame = self._database.sql(sql).pl()
        return found


def _table(symbol: str) -> str:
    return f"bars_{symbol.replace('/', '_')}"


def _naive(frame: pl.DataFrame) -> Any:
    """Return Arrow without a zone: a TIMESTAMPTZ of DuckDB would lose the nanoseconds."""
    return frame.with_columns(pl.col("ts").dt.replace_time_zone(None)).to_arrow()


def _inside(start: int, end: int) -> str:
    return f"WHERE ts >= make_timestamp_ns({start}) AND ts < make_timestamp_ns({end})"
