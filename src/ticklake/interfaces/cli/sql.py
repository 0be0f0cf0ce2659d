"""The command ``sql``: a query over the views of the lake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.output import print_error
from ticklake.interfaces.cli.read import Format, Limit, Output, Version, format_of, version_or_time

if TYPE_CHECKING:
    from ticklake.core.sql import SqlResult
    from ticklake.lake.view import View
    from ticklake.query.sql_sandbox import Sandbox

__all__ = ["sql"]

INCOMPLETE = 3


def sql(
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help='Like "select symbol, max(high) from ohlcv group by 1".')
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Read the query from this file; - is standard input.")
    ] = None,
    at: Version = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    trusted: Annotated[
        bool,
        typer.Option(
            "--trusted", help="Run it in this process, with all of DuckDB and without limits: it may write files."
        ),
    ] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Answer an SQL query: one SELECT over ohlcv, trades, funding, ..., datasets and coverage. Exit code 3: the answer was cut.

    It runs in a process of its own, which cannot write and has limits (sql.memory, sql.seconds, sql.rows).
    """
    from ticklake.interfaces.cli.formats import usual_format, write_rows
    from ticklake.interfaces.sql_text import as_text

    form = format_of(form, as_json=as_json)
    text = _text(query, file)
    with _begun(trusted=trusted) as sandbox, o.opened(lake_path) as lake:
        view: View = lake
        if at is not None:
            view = lake.at(version_or_time(at))
        answer = _answer(sandbox, view, text)
    form = form or usual_format(output)
    write_rows(as_text(answer.frame, form), form, output, limit)
    if not answer.complete:
        print_error(f"note: {answer.note}")
        raise typer.Exit(INCOMPLETE)


def _text(query: str | None, file: Path | None) -> str:
    """Return the query, from wherever it is to be read."""
    from ticklake.errors import BadInput

    if (query is None) == (file is None):
        raise BadInput("one query is needed: write it in quotes, or name a file with --file")
    if file is None:
        return query or ""
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--file {file} cannot be read ({error.strerror}): name the file of the query") from error
    except UnicodeDecodeError:
        raise BadInput(f"{file} is no text: write the query in UTF-8") from None


@contextmanager
def _begun(*, trusted: bool) -> Iterator[Sandbox | None]:
    """Start the process of the query: it gets ready while the lake is opened."""
    if trusted:
        yield None
        return
    from ticklake.config import load_settings
    from ticklake.query.sql_sandbox import Sandbox

    with Sandbox(load_settings().sql.limits, spare=1, refill=False) as sandbox:
        yield sandbox


def _answer(sandbox: Sandbox | None, view: View, query: str) -> SqlResult:
    from ticklake.lake.view import View

    # A lake that is served elsewhere has a sandbox there.
    if sandbox is None or not isinstance(view, View):
        return view.sql(query)
    return sandbox.query(view.engine, query).run()
