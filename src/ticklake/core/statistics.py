"""Statistics of a lake: how much it holds, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.display import Displayed, moment
from ticklake.core.kinds import TIME, Kind, kind_of

__all__ = ["GroupStats", "GroupTotals", "LakeStats", "inventory_frame", "raw_width", "width_of"]

_WIDTHS = {"String": 16, "Enum": 4, "Int32": 4, "Boolean": 1, "Int8": 1}
"""Bytes of a value in memory; all others take 8."""


@lru_cache(maxsize=64)
def raw_width(kind: str) -> int:
    """Return how many bytes a row of a built-in kind takes uncompressed; a variant has the rows of its kind."""
    return width_of(kind_of(kind.partition("@")[0]))


def width_of(kind: Kind) -> int:
    """Return how many bytes a row takes uncompressed: 8 a number or time, 16 a text, 4 a word of a list."""
    schema = pl.Schema(kind.schema)
    return sum(_WIDTHS.get(str(dtype.base_type()), 8) for dtype in schema.values())


@dataclass(frozen=True, slots=True, repr=False)
class GroupStats(Displayed):
    """What the lake holds of one kind of one exchange.

    ``rows`` are those that are read. ``files`` and ``file_bytes`` are Parquet files, ``inline_*`` the small segments that wait
    in the catalog, ``retired_*`` what was replaced or removed and waits for vacuum. Times are nanoseconds. ``width`` is what a row of a
    kind takes that the lake declares, uncompressed.
    """

    exchange: str
    kind: str
    datasets: int
    rows: int
    files: int
    file_bytes: int
    inline_segments: int
    inline_rows: int
    inline_bytes: int
    retired_segments: int
    retired_bytes: int
    first: int | None
    last: int | None
    width: int | None = None

    def _summary(self) -> dict[str, Any]:
        return {
            "exchange": self.exchange,
            "kind": self.kind,
            "datasets": self.datasets,
            "rows": self.rows,
            "files": self.files,
            "bytes": self.bytes,
            "first": moment(self.first),
            "last": moment(self.last),
        }

    @property
    def raw_bytes(self) -> int:
        """What the rows take uncompressed."""
        if self.width is not None:
            return self.rows * self.width
        return self.rows * raw_width(self.kind)

    @property
    def bytes(self) -> int:
        """What the rows take, in files and inline."""
        return self.file_bytes + self.inline_bytes


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """What the lake holds of one kind of one exchange, as its datasets say, without a look at their segments."""

    exchange: str
    kind: str
    datasets: int
    rows: int
    bytes: int
    last: int | None


@dataclass(frozen=True, slots=True, repr=False)
class LakeStats(Displayed):
    """What a lake holds, in all and by exchange and kind.

    ``catalog_bytes`` is the SQLite file with the inline rows in it, ``wal_bytes`` its write-ahead log; both are 0 for a lake in
    memory.
    """

    groups: tuple[GroupStats, ...]
    catalog_bytes: int
    wal_bytes: int

    def total(self, name: str) -> int:
        """Return the sum of a figure over all groups, like ``rows``."""
        return sum(map(attrgetter(name), self.groups))

    @property
    def datasets(self) -> int:
        """How many datasets there are."""
        return self.total("datasets")

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.total("rows")

    @property
    def files(self) -> int:
        """How many Parquet files hold them."""
        return self.total("files")

    @property
    def bytes(self) -> int:
        """What the rows take, in files and inline."""
        return self.total("bytes")

    @property
    def raw_bytes(self) -> int:
        """What the rows take uncompressed."""
        return self.total("raw_bytes")

    @property
    def compression(self) -> float | None:
        """How many times smaller the rows are than uncompressed; ``None`` if there are none."""
        if not self.bytes:
            return None
        return self.raw_bytes / self.bytes

    def _summary(self) -> dict[str, Any]:
        return {"datasets": self.datasets, "rows": self.rows, "files": self.files, "bytes": self.bytes}


def inventory_frame(rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Return the inventory as a frame; column by column, which takes a quarter of the time that rows take."""
    columns = list(zip(*rows, strict=True)) or [()] * 6
    names, counts, sizes, first, last, files = columns
    parts = list(zip(*map(_parts, names), strict=True)) or [()] * 4
    exchanges, symbols, kinds, timeframes = parts
    return pl.DataFrame(
        [
            pl.Series("dataset", names, pl.String),
            pl.Series("rows", counts, pl.Int64),
            pl.Series("bytes", sizes, pl.Int64),
            pl.Series("first", first, pl.Int64).cast(TIME),
            pl.Series("last", last, pl.Int64).cast(TIME),
            pl.Series("exchange", exchanges, pl.String),
            pl.Series("symbol", symbols, pl.String),
            pl.Series("kind", kinds, pl.String),
            pl.Series("timeframe", timeframes, pl.String),
            pl.Series("files", files, pl.Int64),
        ]
    )


def _parts(name: str) -> tuple[str, str, str, str | None]:
    dataset = Dataset.parse(name)
    return dataset.exchange, str(dataset.symbol), dataset.kind_text, dataset.timeframe_text
