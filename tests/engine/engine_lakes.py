"""Lakes, rows and accidents for the engine's tests."""

import time
from pathlib import Path

import duckdb
import polars as pl

from ticklake.app import open_lake
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.engine.store import retired_path
from ticklake.storage.local import LocalStore

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT:USDT")
USER = Provenance("user")
MINUTE = 60 * 10**9
START = 1_704_067_200 * 10**9
"""2024-01-01, where minute 0 of :func:`bars` is."""
MANY = 17_000
"""More rows than an inline segment takes: a file."""


class Clock:
    """The real time, moved by hand."""

    def __init__(self):
        self.ahead = 0

    def __call__(self):
        return time.time_ns() + self.ahead


def at(minute):
    return START + minute * MINUTE


def span(first, last):
    """The span of the bars from minute *first* up to, not including, minute *last*."""
    return Span(at(first), at(last))


def bars(first, last, bump=0.0, step=1):
    """Bars for every *step* minutes from *first* up to *last*; values follow from the minute and *bump*."""
    minutes = pl.int_range(first, last, step, dtype=pl.Int64, eager=True)
    value = (minutes * 7919 % 10007).cast(pl.Float64) / 7 + 1 + bump
    frame = pl.DataFrame({"ts": (minutes * MINUTE + START).cast(TIME), "open": value})
    return frame.with_columns(
        high=pl.col("open") + 1, low=pl.col("open") - 1, close=pl.col("open"), volume=pl.col("open") * 0.5
    )


def trades(first, last, ids=True):
    """Trades a second apart, numbered from *first* up to *last*."""
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    return pl.DataFrame(
        {
            "ts": (numbers * 10**9 + START).cast(TIME),
            "price": (numbers % 97).cast(pl.Float64) + 0.1,
            "amount": (numbers % 13).cast(pl.Float64) + 0.5,
            "side": ["buy" if number % 3 else "sell" for number in numbers],
            "id": [str(10**6 + number) if ids else None for number in numbers],
        }
    )


def full(frame, dataset=BARS):
    """The frame as load() gives it: every column of the kind."""
    kind = dataset.spec
    return pl.concat([kind.empty().select(kind.names), frame], how="diagonal").select(kind.names)


def lake_in(folder, clock=None):
    return open_lake(folder, settings=Settings(), clock=clock or Clock())


def engine_in(folder, objects=LocalStore, catalog=Catalog):
    """An engine on a folder whose halves a test may replace."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database.in_file(folder / "catalog.db")
    return Engine(catalog(database, Clock()), objects(folder), Clock(), "ticklake test", open_folder=LocalStore)


def minutes_of(frame):
    """The minutes that the rows of a frame stand for."""
    return ((frame["ts"].to_physical() - START) // MINUTE).to_list()


def tree(root):
    """Every file that stands in the Hive tree or is retired, without the catalog."""
    return sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("*.parquet"))


def by_duckdb(root, dataset=BARS):
    """The dataset's rows as DuckDB reads them from the tree."""
    names = ", ".join(dataset.spec.names)
    query = (
        f"select {names} from read_parquet('{root}/{dataset.kind}/**/*.parquet', hive_partitioning=true) "
        f"where exchange = '{dataset.exchange}' and symbol = '{dataset.symbol}' order by ts"
    )
    # A connection of our own: on the one that all share, another test may have left rows unread.
    with duckdb.connect() as connection:
        return connection.sql(query).fetchall()


def by_polars(root, dataset=BARS):
    """The dataset's rows as Polars reads them from the tree."""
    lazy = pl.scan_parquet(f"{root}/{dataset.kind}/**/*.parquet", hive_partitioning=True)
    mine = lazy.filter(exchange=dataset.exchange, symbol=str(dataset.symbol))
    return mine.select(dataset.spec.names).sort("ts", maintain_order=True).collect().rows()


def physical(frame):
    """The rows with plain integer times, as other engines give them."""
    return frame.with_columns(pl.selectors.temporal().to_physical()).rows()


class Overtaken(LocalStore):
    """A folder in which another process retires each file between its being found and its being opened."""

    def __init__(self, root):
        super().__init__(root)
        self.overtaking = False

    def source(self, key):
        path = super().source(key)
        if self.overtaking and not key.startswith("retired/"):
            self.move(key, retired_path(key))
        return path


class Overtaking(Catalog):
    """A catalog where something else happens, once, just before the next commit."""

    before_commit = None

    def commit(self, operation, changes):
        happens, self.before_commit = self.before_commit, None
        if happens is not None:
            happens()
        return super().commit(operation, changes)
