"""What a query sees of a lake: a view for each kind, of one version, and which rows are behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
from polars._typing import PolarsDataType

from ticklake.core.coverage import Covered
from ticklake.core.dataset import BAR_KINDS, USUAL_FRAMES, Dataset
from ticklake.core.kinds import KINDS, TIME, Kind
from ticklake.core.statistics import inventory_frame
from ticklake.engine.engine import Engine
from ticklake.storage.arrow_stream import table_of

__all__ = ["DATASETS", "NAMES", "SQL_TYPES", "LakeViews", "NameColumns", "SqlView", "lake_views", "naive", "name_part"]

DATASETS = "datasets"
COVERAGE = "coverage"
NAMES = ("exchange", "symbol", "timeframe", "variant")
"""The columns that say to which dataset a row belongs."""
SQL_TYPES: dict[Any, str] = {
    pl.Float64: "DOUBLE",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.String: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    TIME: "TIMESTAMP_NS",
    pl.Duration("ns"): "INTERVAL",
}
_TABLES: dict[str, dict[str, PolarsDataType]] = {
    DATASETS: {
        "dataset": pl.String,
        "exchange": pl.String,
        "symbol": pl.String,
        "kind": pl.String,
        "timeframe": pl.String,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "first": TIME,
        "last": TIME,
        "files": pl.Int64,
    },
    COVERAGE: {
        "dataset": pl.String,
        "exchange": pl.String,
        "symbol": pl.String,
        "kind": pl.String,
        "timeframe": pl.String,
        "start": TIME,
        "end": TIME,
        "found": pl.String,
        "reason": pl.String,
    },
}
"""The views that are no kind, and their columns."""
_WITH_TIMEFRAME = BAR_KINDS | set(USUAL_FRAMES) | {"bars"}


@dataclass(frozen=True)
class SqlView:
    """A view over the rows of all datasets of one kind. Derived rows have views of their own, like ``"ohlcv@from_trades"``."""

    name: str
    kind: Kind

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Those of :data:`NAMES` that its rows have."""
        kind, _, variant = self.name.partition("@")
        names = ["exchange", "symbol"]
        if kind in _WITH_TIMEFRAME:
            names.append("timeframe")
        if variant:
            names.append("variant")
        return tuple(names)

    @cached_property
    def columns(self) -> dict[str, str]:
        """The SQL types of its columns, in order. Hidden columns are left out."""
        types = dict.fromkeys(self.names, "VARCHAR")
        for name, dtype in self.kind.schema.items():
            types[name] = SQL_TYPES[dtype]
        return types


class LakeViews:
    """The views of one version of a lake.

    Attributes
    ----------
    engine
        Reads that version.
    datasets
        All datasets, sorted by name.
    views
        The views over rows, by name.
    """

    def __init__(self, engine: Engine, listed: Sequence[Sequence[Any]]) -> None:
        self.engine = engine
        self.datasets = engine.catalog.with_kinds(Dataset.parse(name) for name, *_ in listed)
        self.views = _views_of(self.datasets)
        self._listed = listed

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.engine.catalog.version()

    @cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        """The SQL types of the columns of every view."""
        columns = {name: view.columns for name, view in self.views.items()}
        for name, schema in _TABLES.items():
            columns[name] = {column: SQL_TYPES[dtype] for column, dtype in schema.items()}
        return columns

    @cached_property
    def names(self) -> pl.DataFrame:
        """For each dataset the view of its rows, the parts of its name, and the times of its first and last row."""
        frame = inventory_frame(self._listed)
        variants = pl.Series("variant", [dataset.variant for dataset in self.datasets], pl.String)
        names = frame.with_columns(pl.col("kind").alias("view"), variants).select("view", *NAMES, "first", "last")
        return names.with_row_index("number")

    @cached_property
    def names_table(self) -> Any:
        """The same as a table of Arrow."""
        return table_of(naive(self.names))

    def is_table(self, name: str) -> bool:
        """Whether a view is no kind, but what the catalog knows of datasets."""
        return name in _TABLES

    def table(self, name: str) -> pl.DataFrame:
        """Return all rows of a view that is no kind."""
        # Of an older version, the rows of each dataset are counted here.
        inventory = inventory_frame(self.engine.listing())
        if name == COVERAGE:
            inventory = self._coverage().join(inventory, on="dataset", how="left", maintain_order="left")
        return inventory.select(list(_TABLES[name]))

    def _coverage(self) -> pl.DataFrame:
        pieces: list[tuple[str, int, int, str, str]] = []
        for dataset in self.datasets:
            covered = self.engine.catalog.coverage(dataset).pieces
            pieces += [(str(dataset), *_facts(piece)) for piece in covered]
        schema = {"dataset": pl.String, "start": pl.Int64, "end": pl.Int64, "found": pl.String, "reason": pl.String}
        return pl.DataFrame(pieces, schema=schema, orient="row").with_columns(pl.col("start", "end").cast(TIME))


def lake_views(engine: Engine) -> LakeViews:
    """Return the views of the version that an engine reads; of a lake, of the version that is newest now."""
    return engine.cached("sql views", lambda _version: _views_now(engine))


def _views_now(engine: Engine) -> LakeViews:
    catalog = engine.catalog
    if catalog.pinned is not None:
        return LakeViews(engine, catalog.inventory())
    while True:
        version = catalog.version()
        listed = catalog.inventory()
        # A commit in between may have added a dataset or dropped one.
        if catalog.version() == version:
            return LakeViews(engine.at(version, engine.now()), listed)


def _facts(piece: Covered) -> tuple[int, int, str, str]:
    return piece.span.start, piece.span.end, piece.found.value, piece.reason


def _views_of(datasets: Sequence[Dataset]) -> dict[str, SqlView]:
    views = {name: SqlView(name, kind) for name, kind in KINDS.items()}
    for dataset in datasets:
        name = dataset.kind_text
        if name not in views:
            views[name] = SqlView(name, dataset.spec)
    return views


class NameColumns:
    """Adds the columns of their names to rows of datasets: as enums, which take four bytes a row."""

    def __init__(self, datasets: Iterable[Dataset], names: Sequence[str]) -> None:
        self._types: dict[str, pl.Enum] = {}
        of_view = list(datasets)
        for name in names:
            texts = {name_part(dataset, name) for dataset in of_view}
            self._types[name] = pl.Enum(sorted(text for text in texts if text is not None))

    def add_all(self, rows: Mapping[Dataset, Sequence[pl.DataFrame]]) -> pl.DataFrame:
        """Return the rows of several datasets as one frame with the columns."""
        heights = [sum(frame.height for frame in frames) for frames in rows.values()]
        # A call for each column, and not for each dataset: there may be thousands.
        repeated = pl.Series(range(len(heights))).repeat_by(pl.Series(heights)).explode()
        columns: list[pl.Series] = []
        for name, dtype in self._types.items():
            texts = pl.Series(name, [name_part(dataset, name) for dataset in rows], dtype)
            columns.append(texts.gather(repeated))
        return pl.concat([frame for frames in rows.values() for frame in frames]).with_columns(columns)

    def add(self, rows: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
        """Return the rows of a dataset with the columns."""
        literals = {name: pl.lit(name_part(dataset, name), dtype) for name, dtype in self._types.items()}
        return rows.with_columns(**literals)

    def empty(self, kind: Kind, columns: Sequence[str]) -> pl.DataFrame:
        """Return a frame without rows of these columns."""
        return kind.empty().with_columns(pl.lit(None, dtype).alias(name) for name, dtype in self._types.items())[
            list(columns)
        ]


def name_part(dataset: Dataset, name: str) -> str | None:
    """Return a part of the name of a dataset as text; ``None`` if it has none."""
    if name == "timeframe":
        return dataset.timeframe_text
    value = getattr(dataset, name)
    if value is None:
        return None
    return str(value)


def naive(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose times have no zone: DuckDB computes less with those that have one."""
    return frame.with_columns(pl.selectors.datetime(time_zone="*").dt.replace_time_zone(None))
