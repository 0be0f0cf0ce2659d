"""Rows in every format that ``read`` writes, to the terminal or a file; nothing is left out silently."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO

import polars as pl

from ticklake.errors import BadInput
from ticklake.interfaces.cli.output import new_file, print_table, say
from ticklake.interfaces.schema import frame_text

__all__ = ["FORMATS", "check_format", "usual_format", "write_rows"]

FORMATS = ("table", "csv", "json", "ndjson", "parquet", "arrow")
_SUFFIXES = {"jsonl": "ndjson", "feather": "arrow", "ipc": "arrow", "txt": "table"}


def write_rows(rows: pl.DataFrame, form: str | None, output: Path | None, limit: int, *, safe: bool = False) -> None:
    """Write *rows* in a format; ``None`` chooses by the file's name, or by whether the output is a terminal.

    With *safe*, texts that a spreadsheet would take for formulas are escaped.

    Raises
    ------
    BadInput
        If there is no such format, bytes would go to a terminal, or *safe* is asked of another format than CSV.
    """
    form = form or usual_format(output)
    check_format(form)
    if safe:
        rows = _escaped(rows, form)
    if form == "table" and output is None:
        return _print(rows, limit)
    if output is not None:
        return _to_file(rows, form, output)
    if form in {"parquet", "arrow"} and sys.stdout.isatty():
        raise BadInput(f"{form} is not for a terminal: add --output FILE or pipe it")
    buffer = io.BytesIO()
    _write(rows, form, buffer)
    sys.stdout.buffer.write(buffer.getbuffer())
    sys.stdout.buffer.flush()
    return None


def _escaped(rows: pl.DataFrame, form: str) -> pl.DataFrame:
    from ticklake.core.csv_safety import escape_formulas

    if form != "csv":
        raise BadInput(f"--safe is for csv, not for {form}: add --format csv, or leave it out")
    # First as text: times are then no columns of their own.
    return escape_formulas(frame_text(rows))


def check_format(form: str) -> None:
    """Refuse what is no format.

    Raises
    ------
    BadInput
    """
    if form not in FORMATS:
        raise BadInput(f"{form!r} is not a format: use {', '.join(FORMATS)}")


def usual_format(output: Path | None) -> str:
    """Return the format that the name of a file says, or that suits the terminal."""
    if output is None and sys.stdout.isatty():
        return "table"
    if output is None:
        return "csv"
    suffix = output.suffix.lstrip(".").lower()
    return _SUFFIXES.get(suffix, suffix or "csv")


def _to_file(rows: pl.DataFrame, form: str, output: Path) -> None:
    with new_file(output) as sink:
        _write(rows, form, sink)
    say(f"{rows.height:,} rows written to {output}")


def _write(rows: pl.DataFrame, form: str, sink: IO[bytes]) -> None:
    match form:
        case "parquet":
            rows.write_parquet(sink)
        case "arrow":
            # Newer levels write string views, which many readers of Arrow do not know.
            rows.write_ipc(sink, compat_level=pl.CompatLevel.oldest())
        case "csv":
            frame_text(rows).write_csv(sink)
        case "json":
            sink.write(f"{frame_text(rows).write_json()}\n".encode())
        case "ndjson":
            frame_text(rows).write_ndjson(sink)
        case _:
            frame_text(rows).write_csv(sink, separator="\t")


def _print(rows: pl.DataFrame, limit: int) -> None:
    """Print rows as a table; of more than *limit* the first and the last ones."""
    hidden = 0
    if limit:
        hidden = rows.height - limit
    numbers = [name for name, dtype in rows.schema.items() if dtype.is_numeric()]
    if hidden <= 0:
        print_table(rows.columns, frame_text(rows).rows(), numbers)
        return say(f"{rows.height:,} rows")
    at_end = limit // 2
    first, last = rows.head(limit - at_end), rows.tail(at_end)
    table = [*frame_text(first).rows(), ("...",) * rows.width, *frame_text(last).rows()]
    print_table(rows.columns, table, numbers)
    return say(f"{rows.height:,} rows, {hidden:,} not shown: --limit 0 shows all, --format csv writes all")
