"""Read tables of each format as frames of raw columns, chunk by chunk where the format allows it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars import selectors

from ticklake.errors import InvalidData
from ticklake.files.decompress import Entry, Unpacked, spooled
from ticklake.files.formats import Format, delimiter_of
from ticklake.files.infer import looks_like_header
from ticklake.sources.compressed import whole_lines

__all__ = ["CHUNK", "Layout", "frames_of", "layout_of", "one_row_a_level", "read_json", "sample_of"]

CHUNK = 32 * 2**20
"""This many bytes of text become one frame: memory does not grow with the file."""
_BATCH = 500_000
_SAMPLE = 2**18
"""This many bytes of text are read to guess kind and mapping."""
MOST_JSON = 4 * 2**30
"""A JSON value is read as a whole, so it may not be larger."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the text of a table is laid out.

    ``names`` are those of the columns, or their numbers; ``named`` says whether columns have names, from the file or from the
    caller; ``skip`` lines come before the rows.
    """

    names: tuple[str, ...] = ()
    named: bool = True
    delimiter: str = ","
    skip: int = 0


def layout_of(head: bytes, *, header: bool | None = None, skip: int | None = None) -> Layout:
    """Return the layout of a table of text, from its beginning.

    Parameters
    ----------
    header
        Whether there is a line of names; guessed from its cells if ``None``.
    skip
        Lines before the header or the first row; those that are shorter than the rest, by default.
    """
    delimiter = delimiter_of(head)
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    # The last line may be cut by the end of the head.
    whole_text = text.rpartition("\n")[0] or text
    rows = list(csv.reader(io.StringIO(whole_text), delimiter=delimiter))[:50]
    if skip is None:
        skip = _lines_above(rows)
    if skip >= len(rows):
        raise InvalidData(f"the file ends after the {skip} lines that are to be skipped")
    first = list(map(str.strip, rows[skip]))
    if header is None:
        header = looks_like_header(first)
    if header:
        _refuse_repeated_names(first)
        return Layout(tuple(first), True, delimiter, skip + 1)
    return Layout(tuple(map(str, range(len(first)))), False, delimiter, skip)


def frames_of(
    stream: Unpacked, form: Format, entry: Entry, layout: Layout | None, chunk: int = CHUNK
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file as raw frames: text columns for CSV, typed ones for the other formats.

    Raises
    ------
    InvalidData
        If it is not what it looked like, or is cut short.
    """
    try:
        if form is Format.CSV and layout is not None:
            yield from _csv(stream, layout, chunk)
        elif form is Format.NDJSON:
            for lines in whole_lines(stream, chunk):
                yield _table(_json_lines(lines))
        elif form is Format.JSON:
            yield _table(read_json(stream))
        elif form in {Format.PARQUET, Format.FEATHER}:
            with spooled(stream, entry) as path:
                yield from _columnar(path, form)
        else:
            raise InvalidData(f"a file of {form} is not a table: no preset fits it")
    except (pl.exceptions.PolarsError, ValueError) as error:
        # Our own errors are ValueErrors, too.
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"it is not {form}: {str(error).partition(chr(10))[0][:200]}") from error


def sample_of(stream: Unpacked, form: Format, entry: Entry, layout: Layout | None) -> pl.DataFrame | None:
    """Return some rows from the beginning of a file; ``None`` if it has none.

    Raises
    ------
    InvalidData
        As :func:`frames_of` does.
    """
    if form is Format.JSON:
        value = _beginning_of_json(stream.head())
        # The beginning shows the columns, so a long value is not read twice.
        if value is not None and _rows_in(value):
            return _table(value)
    return next(frames_of(stream, form, entry, layout, _SAMPLE), None)


def one_row_a_level(raw: pl.DataFrame) -> pl.DataFrame:
    """Return books that are a row each as a row for each price level, with ``side``, ``price`` and ``amount``.

    Levels are the columns ``bids[0].price``, ``bids[0].amount``, ``asks[0].price``, ...; those without a price are left out.
    """
    others = [name for name in raw.columns if not name.startswith(("asks[", "bids["))]
    numbered = raw.with_row_index("row of the file")
    levels = []
    for side in ("bid", "ask"):
        for depth in range(raw.width):
            price, amount = f"{side}s[{depth}].price", f"{side}s[{depth}].amount"
            if price not in raw.columns:
                continue
            columns = [pl.lit(side).alias("side"), pl.col(price).alias("price"), pl.col(amount).alias("amount")]
            levels.append(numbered.select("row of the file", *others, *columns))
    has_price = pl.col("price").is_not_null() & (pl.col("price").cast(pl.String) != "")
    # The sort is stable: bids before asks, and the best first, in each row of the file.
    rows = pl.concat(levels).filter(has_price).sort("row of the file", maintain_order=True)
    return rows.drop("row of the file")


def read_json(stream: Unpacked, *, exact: bool = False) -> Any:
    """Return the JSON value of a whole file; several values, one a line, as a list. *exact* numbers with a fraction stay text.

    Raises
    ------
    InvalidData
        If it is cut short, or larger than this machine should hold.
    """
    text = stream.read(MOST_JSON)
    if len(text) == MOST_JSON:
        raise InvalidData(f"a JSON value of more than {MOST_JSON:,} bytes is not read: write one row a line (NDJSON)")
    parse_float: type[str] | type[float] = float
    if exact:
        parse_float = str
    try:
        return json.loads(text, parse_float=parse_float)
    except ValueError as error:
        if "Extra data" in str(error):
            return _json_lines(text, parse_float)
        raise InvalidData(f"it is not complete JSON: {error}") from error


def _json_lines(text: bytes, parse_float: type[str] | type[float] = float) -> list[Any]:
    return [json.loads(line, parse_float=parse_float) for line in text.splitlines() if line.strip()]


def _beginning_of_json(head: bytes) -> Any:
    """Read the beginning of a long JSON value as if it ended after the last whole row; ``None`` if that does not work."""
    for row_end, closings in ((b"}", (b"]", b"]}", b"]]}", b"]}}")), (b"]", (b"]", b"]}", b"]}}"))):
        at = head.rfind(row_end + b",")
        if at <= 0:
            continue
        for closing in closings:
            try:
                return json.loads(head[: at + 1] + closing)
            except ValueError:
                continue
    return None


def _lines_above(rows: Sequence[Sequence[str]]) -> int:
    """Count the lines of words on top that have fewer cells than the table below."""
    width = max(map(len, rows), default=0)
    for number, row in enumerate(rows):
        if len(row) == width or not looks_like_header(row):
            return number
    return 0


def _refuse_repeated_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise InvalidData(f"its header names a column twice: {', '.join(names)[:200]}")


def _csv(stream: Unpacked, layout: Layout, chunk: int) -> Iterator[pl.DataFrame]:
    skip = layout.skip
    for text in whole_lines(stream, chunk):
        lines = text
        while skip and lines:
            lines, skip = lines.partition(b"\n")[2], skip - 1
        if not lines.strip():
            continue
        # Only the last line of a file may lack its newline.
        if not lines.endswith(b"\n"):
            _refuse_cut(lines, layout)
        yield _cells(lines, layout)


def _cells(lines: bytes, layout: Layout) -> pl.DataFrame:
    """Return the cells of lines as text: the mapping knows their types."""
    cells = pl.read_csv(
        lines, has_header=False, infer_schema=False, separator=layout.delimiter, truncate_ragged_lines=False
    )
    if cells.width > len(layout.names):
        raise InvalidData(f"a line has {cells.width} cells, the ones before {len(layout.names)}")
    if cells.width < len(layout.names):
        raise InvalidData(
            f"its lines have {cells.width} cells, not the {len(layout.names)} of the first: {layout.names}"
        )
    return cells.rename(dict(zip(cells.columns, layout.names, strict=True)))


def _refuse_cut(lines: bytes, layout: Layout) -> None:
    """Refuse a last line that lacks cells: the file was not written to its end."""
    last = lines.rpartition(b"\n")[2].decode("utf-8", "replace")
    width = len(next(csv.reader([last], delimiter=layout.delimiter)))
    if width < len(layout.names):
        raise InvalidData(f"it is cut short: its last line has {width} of {len(layout.names)} cells")


def _columnar(path: Path, form: Format) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    try:
        for batch in _batches(path, form):
            frame = pl.from_arrow(batch)
            # Written by pandas, a file may have its index as a column of this name.
            if isinstance(frame, pl.DataFrame):
                yield frame.drop(selectors.starts_with("__index_level_"))
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(f"it is damaged or cut short: {str(error).partition(chr(10))[0][:200]}") from error


def _batches(path: Path, form: Format) -> Iterator[Any]:
    import pyarrow.ipc
    import pyarrow.parquet

    if form is Format.PARQUET:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH)
        return
    with pyarrow.ipc.open_file(path) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _table(value: Any) -> pl.DataFrame:
    """Return the rows that a JSON value holds: the first list of rows in it, or columns of equal length."""
    rows = _rows_in(value)
    if rows is None:
        raise InvalidData("its JSON holds no list of rows")
    if isinstance(rows, Mapping):
        return pl.DataFrame(dict(rows), strict=False)
    _refuse_unlike_rows(rows)
    if rows and isinstance(rows[0], Mapping):
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)
    columns = [pl.Series(str(number), values, strict=False) for number, values in enumerate(zip(*rows, strict=True))]
    return pl.DataFrame(columns)


def _refuse_unlike_rows(rows: Sequence[Any]) -> None:
    for row in rows:
        has_other_length = isinstance(row, list) and len(row) != len(rows[0])
        if type(row) is not type(rows[0]) or has_other_length:
            raise InvalidData("its rows are not all alike: some are cut short, or of another form than the first")


def _rows_in(value: Any) -> Any:
    """Return the first list of rows in a JSON value, or its columns of equal length; ``None`` if there are none."""
    if isinstance(value, list):
        if not value or isinstance(value[0], list | dict):
            return value
        return None
    if not isinstance(value, dict):
        return None
    lists = {name: inner for name, inner in value.items() if isinstance(inner, list)}
    for inner in lists.values():
        if inner and isinstance(inner[0], list | dict):
            return inner
    if len(lists) > 2 and len(set(map(len, lists.values()))) == 1:
        return lists
    for inner in value.values():
        rows = _rows_in(inner)
        if rows is not None:
            return rows
    return None
