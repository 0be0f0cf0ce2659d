"""Migrate a tree of dccd 2 to dccd 3 in place, file by file.

What changes is what dccd's own migration changed while it had one (3.0, ``dccd.storage.migrate``): seconds become
nanoseconds, ``quoteVolume`` becomes ``quote_volume``, ``weightedAverage`` is dropped. Besides, the side of trades is kept
(``type`` becomes ``side``), rows that version 3 already added in nanoseconds are recognised one by one, and a file is
replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.file_reports import MigratedFile
from ticklake.core.progress import Progress, Watch
from ticklake.errors import BadInput, InvalidData
from ticklake.interchange.columns import LAST_SECOND
from ticklake.interchange.dccd import SCHEMAS, from_v2
from ticklake.interchange.layouts import parquet_files
from ticklake.interchange.parquet import count_rows, footer_of, read_chunks, replace_file
from ticklake.storage.local import LocalStore

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

__all__ = ["migrate_dccd", "needs_migration"]


def needs_migration(path: str | Path) -> bool:
    """Return whether a file of dccd's layout is not yet as version 3 writes it; one without rows never is.

    Raises
    ------
    InvalidData
        If it cannot be read, or does not lie where dccd would put it.
    """
    return _FileInfo.at(Path(path)).is_needed


def migrate_dccd(
    root: str | Path, *, dry_run: bool = False, watch: Watch = lambda _progress: None
) -> list[MigratedFile]:
    """Bring every file below *root* to version 3, and return what became of each.

    Killed at any moment, each file is the old or the new one as a whole; the same again changes nothing.

    Parameters
    ----------
    root
        The folder of the exchanges' folders.
    dry_run
        Only say what would be done.
    watch
        Called after every file; what it raises ends the work.

    Raises
    ------
    BadInput
        If *root* is no folder.
    """
    folder = Path(root).expanduser()
    paths, files = list(parquet_files(folder)), []
    progress = Progress.of_steps(len(paths))
    for path in paths:
        file = _migrate(LocalStore(folder), path, dry_run=dry_run)
        files.append(file)
        progress.step()
        progress.counts["received"] += file.rows
        watch(progress)
    return files


@dataclass(frozen=True, slots=True)
class _FileInfo:
    """The data type of a file by dccd's name, its rows and columns, and the units of its times."""

    folder: str
    rows: int
    schema: tuple[tuple[str, PolarsDataType], ...]
    seconds: bool
    nanoseconds: bool

    @classmethod
    def at(cls, file: Path) -> _FileInfo:
        folder, rows = _folder(file), count_rows(file)
        schema = pl.read_parquet_schema(file)
        if "TS" not in schema:
            raise InvalidData(f"column 'TS' is missing: there are {', '.join(schema)}")
        times = pl.scan_parquet(file, glob=False, hive_partitioning=False).filter(pl.col("TS") > 0)
        first, last = times.select(first=pl.col("TS").min(), last=pl.col("TS").max()).collect().row(0)
        return cls(
            folder,
            rows,
            tuple(schema.items()),
            seconds=first is not None and first < LAST_SECOND,
            nanoseconds=last is not None and last >= LAST_SECOND,
        )

    @property
    def is_needed(self) -> bool:
        return self.rows > 0 and (self.seconds or self.schema != tuple(SCHEMAS[self.folder].items()))


def _migrate(objects: LocalStore, path: PurePosixPath, *, dry_run: bool) -> MigratedFile:
    file, report = objects.root / path, MigratedFile(str(path), 0)
    try:
        info = _FileInfo.at(file)
        names = tuple(name for name, _ in info.schema)
        report = replace(report, rows=info.rows, from_schema=names, to_schema=names)
        if not info.is_needed:
            return report
        done = replace(report, to_schema=tuple(SCHEMAS[info.folder]), rescaled=info.seconds, needed=True)
        if dry_run:
            return done
        rows, _ = replace_file(objects, str(path), _converted(file, info), footer_of(file))
        return replace(done, rows=rows, migrated=True)
    except BadInput as error:
        return replace(report, error=str(error))


def _converted(file: Path, info: _FileInfo) -> Iterator[pl.DataFrame]:
    """Yield the rows as version 3 has them. Rows that it added itself win, and all are sorted together."""
    chunks = (from_v2(info.folder, rows) for rows in read_chunks(file, ["TS"]))
    # Version 3 appends to files of version 2 as they are: the same instant may stand in both units, chunks apart.
    if info.seconds and info.nanoseconds:
        rows = pl.concat(list(chunks))
        yield rows.unique(_key(info.folder, rows), keep="last", maintain_order=True).sort("TS", maintain_order=True)
    else:
        yield from chunks


def _key(folder: str, rows: pl.DataFrame) -> list[str]:
    """Return the columns by which dccd identifies rows."""
    if folder == "trades" and rows["tid"].null_count():
        return ["TS", "price", "amount", "side"]
    return {"trades": ["tid"], "orderbook": ["TS", "side", "price"]}.get(folder, ["TS"])


def _folder(file: Path) -> str:
    """Return the folder of its data type that a file lies in: the third above it for bars, else the second."""
    parts = file.absolute().parts
    for folder in SCHEMAS:
        depth = 3
        if folder == "ohlc":
            depth = 4
        if parts[-depth:][0] == folder:
            return folder
    raise InvalidData(f"{file} is not a file of dccd: it would lie in a folder like binance/trades/BTC-USDT")
