"""The interface of a layout: from a file's path to a dataset and back, and from its rows to ours and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from ticklake.core.compaction_plan import Grain
from ticklake.core.dataset import Dataset

if TYPE_CHECKING:
    import polars as pl


__all__ = ["NO_NAMES", "Layout", "Names", "Written"]

Names = Mapping[str, str]
"""Our symbols by the name that another lake has for them."""
NO_NAMES: Names = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Written:
    """A file that an export wrote: where, of what, its first and last time (inclusive)."""

    path: str
    dataset: Dataset
    first: int
    last: int


class Layout(ABC):
    """How another lake keeps its rows in Parquet files below one folder.

    What a layout cannot represent exactly is refused with :class:`~ticklake.errors.Unsupported`:
    ``dataset_of(place(d) / ...) == d`` holds for every dataset that has a place.
    """

    name: str
    """What users call it."""
    times: tuple[str, ...]
    """The column that orders its rows, by any of these names."""
    ids: tuple[str, ...]
    """The column with the ids of trades, by any of these names."""

    @abstractmethod
    def dataset_of(self, path: PurePosixPath, names: Names = NO_NAMES) -> Dataset | None:
        """Return which dataset a file holds, from its path below the root; ``None`` if it is no file of the layout.

        *names* are symbols that the caller gives for names of the layout that do not say theirs.

        Raises
        ------
        Unsupported, InvalidName, UnknownTimeframe
            If it is one, but what it holds has no place in our lake.
        """

    @abstractmethod
    def to_ours(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a file with the columns of the dataset's kind.

        Raises
        ------
        InvalidData
            If they lack columns of the layout, or have times in no unit that it uses.
        """

    @abstractmethod
    def grain(self, dataset: Dataset) -> Grain:
        """Return how much time one file holds."""

    @abstractmethod
    def place(self, dataset: Dataset, period: str) -> str:
        """Return the path of the file of a dataset for a period like ``2024``, ``2024-01`` or ``2024-01-31``.

        Raises
        ------
        Unsupported
            If the layout has no place for the dataset.
        """

    @abstractmethod
    def to_theirs(self, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a dataset (whole instants) with the columns of the layout."""

    def id_space(self, dataset: Dataset) -> str:  # noqa: ARG002
        """Return the numbering of the ids of trades that the other program collected, where it is known."""
        return ""

    def footer(self, dataset: Dataset) -> Mapping[bytes, bytes]:  # noqa: ARG002
        """Return what the other program looks for in the footer of a file."""
        return {}

    def collected_by(self, footer: Mapping[bytes, bytes]) -> tuple[str, str]:  # noqa: ARG002
        """Return which program wrote a file, and where its footer says that the rows came from; empty if nowhere."""
        return "", ""

    def losses(self, dataset: Dataset) -> str:  # noqa: ARG002
        """Say what of a dataset's rows has no column in the layout; empty if nothing."""
        return ""

    def register(self, root: Path, written: Written) -> None:  # noqa: ARG002
        """Add a file to the layout's own catalog, if it has one; the same again changes nothing."""
        return

    def registered(self, root: Path) -> dict[str, str]:  # noqa: ARG002
        """Return the files in the layout's own catalog, if it has one: paths below the root with a SHA-256 or nothing."""
        return {}
