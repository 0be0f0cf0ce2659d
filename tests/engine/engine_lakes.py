"""Lakes, rows and accidents for the engine's tests."""

from pathlib import Path

import duckdb
import polars as pl

from ticklake.app import open_lake
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.database import Database
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.engine.engine import Engine
from ticklake.engine.store import retired_path
from ticklake.storage.local import LocalStore
from ticklake.testing.clocks import OffsetClock
from ticklake.testing.rows import START

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT:USDT")
USER = Provenance("user")
MINUTE = 60 * 10**9
MANY = 17_000
"""More rows than an inline segment takes: a file."""


def at(minute):
    return START + minute * MINUTE


def span(first, last):
    """The span of the bars from minute *first* up to, not including, minute *last*."""
    return Span(at(first), at(last))


def full(frame, dataset=BARS):
    """The frame as load() gives it: every column of the kind."""
    kind = dataset.spec
    return pl.concat([kind.empty().select(kind.names), frame], how="diagonal").select(kind.names)


def lake_in(folder, clock=None):
    return open_lake(folder, settings=Settings(), clock=clock or OffsetClock())


def engine_in(folder, objects=LocalStore, catalog=Catalog):
    """An engine on a folder whose halves a test may replace."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database.in_file(folder / "catalog.db")
    return Engine(
        catalog(database, OffsetClock()), objects(folder), OffsetClock(), "ticklake test", open_folder=LocalStore
    )


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
