"""The supported layouts, and which of them a folder has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ticklake.errors import BadInput, InvalidName, UnknownTimeframe, Unsupported
from ticklake.interchange.dccd import Dccd
from ticklake.interchange.dl_datalake import DlDatalake
from ticklake.interchange.hive import Hive
from ticklake.interchange.layout import Layout

__all__ = ["LAYOUTS", "guess_layout", "layout_of", "parquet_files"]

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (Dccd(), DlDatalake(), Hive())}
"""By the name that users call them."""


def layout_of(name: str) -> Layout:
    """Return the layout of that name.

    Raises
    ------
    BadInput
        If there is none.
    """
    try:
        return LAYOUTS[name]
    except KeyError:
        raise BadInput(f"{name!r} is not a layout: use {', '.join(LAYOUTS)}") from None


def guess_layout(root: Path) -> Layout:
    """Return the layout that recognises the first file, in order, that any does.

    Raises
    ------
    BadInput
        If no layout knows any file below *root*.
    """
    for path in parquet_files(root):
        for layout in LAYOUTS.values():
            if _recognises(layout, path):
                return layout
    raise BadInput(f"{root} has no file of a known layout: name it, one of {', '.join(LAYOUTS)}")


def parquet_files(root: Path) -> Iterator[PurePosixPath]:
    """Yield the Parquet files below *root*, as paths relative to it, in order.

    Raises
    ------
    BadInput
        If *root* is no folder.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is not a folder")
    for path in sorted(root.rglob("*.parquet")):
        if path.is_file():
            yield PurePosixPath(path.relative_to(root).as_posix())


def _recognises(layout: Layout, path: PurePosixPath) -> bool:
    try:
        return layout.dataset_of(path) is not None
    except (Unsupported, InvalidName, UnknownTimeframe):
        # A file of the layout, though what it holds has no place in our lake.
        return True
