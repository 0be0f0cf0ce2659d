"""SQL: what a query may use, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polars import DataFrame, Series

__all__ = ["LEAST_MEMORY", "OF_QUERIES", "SqlLimits", "SqlResult"]


LEAST_MEMORY = 768 * 1024**2
"""The process of a query takes nearly half a GiB before it begins."""


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """What a query in the sandbox may use.

    Attributes
    ----------
    memory
        Bytes of the address space of its process.
    seconds
        From its start to the last row of its answer.
    rows, bytes
        How much its answer may have. A larger one is cut, and says so.
    """

    memory: int = 2 * 1024**3
    seconds: float = 30.0
    rows: int = 1_000_000
    bytes: int = 256 * 1024**2


OF_QUERIES = SqlLimits()
"""The limits that hold unless others are set."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SqlResult:
    """The answer to a query, in memory.

    Attributes
    ----------
    frame
        The rows, as a Polars frame. Times are UTC.
    version
        The version of the lake that was read.
    complete
        False if rows were left out because the answer was larger than its limits.
    note
        What was left out, in words; empty if nothing was.
    """

    frame: DataFrame
    version: int
    complete: bool = True
    note: str = ""

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.frame.columns

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.frame.height

    def pl(self) -> DataFrame:
        """Return the rows as a Polars frame."""
        return self.frame

    def df(self) -> Any:
        """Return the rows as a pandas frame."""
        return self.frame.to_pandas()

    def arrow(self) -> Any:
        """Return the rows as a table of pyarrow."""
        return self.frame.to_arrow()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples. Times are those of Python, which have no nanoseconds."""
        return self.frame.rows()

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the first row as a tuple; ``None`` if there is none."""
        if self.frame.is_empty():
            return None
        return self.frame.row(0)

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.frame.iter_rows()

    def __getitem__(self, column: str) -> Series:
        return self.frame.get_column(column)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        # By this, Polars, pandas, pyarrow and DuckDB take the answer as if it were their own.
        return self.frame.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"{self.frame}{self._remark()}"

    def _repr_html_(self) -> str:
        return f"{self.frame._repr_html_()}{self._remark()}"

    def _remark(self) -> str:
        if self.note:
            return f"\n{self.note}"
        return ""
