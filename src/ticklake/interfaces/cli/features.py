"""Commands about feature sets: values of symbols for models, as they were known at each instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.datasets import some_of
from ticklake.interfaces.cli.delete import UNDO, DryRun, Yes, ask
from ticklake.interfaces.cli.feature_diff import diff
from ticklake.interfaces.cli.feature_files import read_file
from ticklake.interfaces.cli.feature_options import Exchange, Knowing, MaxAge, SetName, Symbols, warned
from ticklake.interfaces.cli.materialise import function_of, materialise, verify
from ticklake.interfaces.cli.output import count_of, print_error, print_json, print_records, print_table, say
from ticklake.interfaces.cli.read import Columns, Format, Limit, Output, format_of, version_or_time

if TYPE_CHECKING:
    from ticklake.core.feature_values import FeatureDescription
    from ticklake.lake import Lake
    from ticklake.lake.feature_reads import FeatureReads

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Values of symbols for models, as they were known at each instant.")


@app.command("list")
def list_sets(
    search: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """List feature sets: a line for each version."""
    from ticklake.interfaces.schema import to_json

    with o.opened(lake_path) as lake:
        rows = to_json(lake.features.list(search))
    if as_json:
        return print_json(rows)
    if not rows and not search:
        return say("the lake has no feature set: 'ticklake features register' makes one")
    if not rows:
        return say(f"the lake has no feature set whose name contains {search!r}")
    for row in rows:
        row["columns"] = ", ".join(row["columns"])
        row["tags"] = ", ".join(row["tags"])
    columns = ("name", "version", "state", "columns", "symbols", "rows", "first", "last", "tags", "description")
    return print_records(columns, rows, numbers=("symbols", "rows"))


@app.command("describe")
def describe(
    name: SetName,
    statistics: Annotated[bool, typer.Option(help="Read the values, and sum up each day.")] = True,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say what a feature set is and what the lake holds of it, with the statistics of each day."""
    from ticklake.interfaces.schema import to_json

    with o.opened(lake_path) as lake:
        described = lake.features.describe(name, statistics=statistics)
    if as_json:
        return print_json(described)
    print_table(["", ""], [(fact, text) for fact, text in _facts_of(described).items() if text])
    print_records(("name", "dtype", "unit", "description"), [column.to_dict() for column in described.features.columns])
    if described.days.height:
        numbers = ("count", "nulls", "mean", "min", "max")
        print_records(("day", "column", *numbers), to_json(described.days), numbers=numbers)
    return None


def _facts_of(described: FeatureDescription) -> dict[str, str | None]:
    features = described.features
    return {
        "feature set": str(features),
        "state": described.state,
        "description": features.description,
        "tags": ", ".join(features.tags),
        "keys": ", ".join(features.keys),
        "code": features.code_name,
        "inputs": ", ".join(features.inputs),
        "symbols": f"{len(described.datasets):,}",
        "rows": f"{described.rows:,}",
        "first": o.moment(described.first) or "",
        "last": o.moment(described.last) or "",
    }


@app.command("register")
def register(
    name: SetName,
    columns: Annotated[
        list[str],
        typer.Option(
            "--column",
            metavar="NAME[:TYPE[:UNIT]]",
            help="float64 (default), int64, bool, string or time. Repeated for each.",
        ),
    ],
    description: Annotated[str, typer.Option("--description", help="What the values are.")] = "",
    tags: Annotated[list[str] | None, typer.Option("--tag", help="May be repeated.")] = None,
    keys: Annotated[list[str] | None, typer.Option("--key", help="symbol (default), or exchange and symbol.")] = None,
    code: Annotated[
        str | None, typer.Option("--code", metavar="MODULE:FUNCTION", help="The function that makes the values.")
    ] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="A dataset or pattern. May be repeated.")] = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Declare a version of a feature set; the same again changes nothing."""
    from ticklake.core.features import FeatureRef

    ref = FeatureRef.parse(name)
    function: Callable[..., Any] | None = None
    if code is not None:
        function = function_of(code)
    with o.opened(lake_path, create=True) as lake:
        features = lake.features.register(
            ref.name,
            ref.version,
            list(map(_column, columns)),
            keys=o.names_in(keys) or ("symbol",),
            description=description,
            tags=tags or (),
            code=function,
            inputs=inputs or (),
        )
    if as_json:
        return print_json(features)
    return say(f"{features} is registered: {', '.join(features.names)}")


def _column(text: str) -> tuple[str, str, str]:
    name, _, rest = text.partition(":")
    dtype, _, unit = rest.partition(":")
    return name, dtype or "float64", unit


@app.command("read")
def read(
    name: SetName,
    symbols: Symbols = None,
    start: o.Start = None,
    end: o.End = None,
    exchange: Exchange = None,
    columns: Columns = None,
    history: Annotated[bool, typer.Option("--history", help="Every value that an instant ever had.")] = False,
    at: Annotated[str | None, typer.Option("--at", help="The lake as it was at this time, or version.")] = None,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Read stored values, as a table or in a format that other programs read."""
    from ticklake.interfaces.cli.formats import write_rows

    form = format_of(form, as_json=as_json)
    names = o.names_in(columns)
    with warned(), o.opened(lake_path) as lake:
        features: FeatureReads = lake.features
        if at is not None:
            features = lake.at(version_or_time(at)).features
        rows = features.read(name, None, symbols or None, start, end, exchange=exchange, columns=names, history=history)
        reason = ""
        if not rows.height:
            reason = _why_empty(features, name, exchange)
    # On standard error: the rows may go into a file or another program.
    if reason:
        print_error(f"note: {reason}")
    write_rows(rows, form, output, limit)


def _why_empty(features: FeatureReads, name: str, exchange: str | None) -> str:
    """Say why there are no rows: no values at all, none of the exchange, or none in the span."""
    from ticklake.core.dataset import Dataset
    from ticklake.core.symbol import exchange_id

    described = features.describe(name, statistics=False)
    if not described.rows:
        return f"{described.features} has no values: 'ticklake features write' and 'ticklake features materialise' bring some"
    exchanges = sorted({Dataset.parse(dataset).exchange for dataset in described.datasets})
    if exchange is not None and exchange_id(exchange) not in exchanges:
        return f"{described.features} has no values of {exchange_id(exchange)}: it has some of {', '.join(exchanges)}"
    first, last = o.moment(described.first), o.moment(described.last)
    return f"{described.features} has no such values in this span: its {count_of(described.rows, 'row')} are from {first} to {last}"


@app.command("write")
def write(
    name: SetName,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet with ts, symbol and the columns.", dir_okay=False)],
    exchange: Exchange = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="The symbol of all rows.")] = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Add values from a file: all of its rows, or none."""
    with warned(), o.opened(lake_path) as lake:
        features = lake.features.describe(name, statistics=False).features
        rows = read_file(file, ("ts", "known_at"), features)
        receipt = lake.features.write(name, None, rows, exchange=exchange, symbol=symbol)
    if as_json:
        return print_json(receipt)
    counts = f"{receipt.new:,} new, {receipt.changed:,} changed, {receipt.duplicate:,} there already"
    return say(f"{count_of(receipt.received, 'row')}: {counts}, {receipt.quarantined:,} refused")


app.command("materialise")(materialise)
app.command("verify")(verify)
app.command("diff")(diff)


@app.command("join")
def join(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet with instants and symbols.", dir_okay=False)],
    features: Annotated[
        list[str], typer.Option("--feature", help="Like momentum@v3:ret_5m or momentum@v3. Repeated for each.")
    ],
    at: Annotated[str, typer.Option("--at", help="The column of instants.")] = "ts",
    by: Annotated[str, typer.Option("--by", help="The column of symbols.")] = "symbol",
    symbol: Annotated[str | None, typer.Option("--symbol", help="The symbol of all rows, instead of a column.")] = None,
    exchange: Exchange = None,
    max_age: MaxAge = None,
    knowledge: Knowing = "default",
    full_names: Annotated[bool, typer.Option("--full-names", help="Name columns like momentum@v3:ret_5m.")] = False,
    form: Format = None,
    output: Output = None,
    limit: Limit = 20,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Add to each row of a file the values that were known at its instant: one row for each, in the same order."""
    from ticklake.core.knowledge import parse_knowledge
    from ticklake.interfaces.cli.formats import write_rows

    form = format_of(form, as_json=as_json)
    rows = read_file(file, (at,))
    features = o.names_in(features) or []
    with warned(), o.opened(lake_path) as lake:
        if symbol is not None:
            _check_symbol(lake, features, symbol)
        joined = lake.features.join(
            rows,
            features,
            at=at,
            by=by,
            symbol=symbol,
            exchange=exchange,
            max_age=max_age,
            knowledge=parse_knowledge(knowledge),
            full_names=full_names,
        )
    write_rows(joined, form, output, limit)


def _check_symbol(lake: Lake, features: Sequence[str], symbol: str) -> None:
    """Refuse a symbol for all rows of which no feature has values: each row would get nothing."""
    from ticklake.core.dataset import Dataset
    from ticklake.core.features import FeatureRef
    from ticklake.core.lookup import did_you_mean
    from ticklake.errors import UnknownDataset

    known: set[str] = set()
    for ref in map(FeatureRef.parse, features):
        described = lake.features.describe(ref.name, ref.version, statistics=False)
        known.update(str(Dataset.parse(name).symbol) for name in described.datasets)
    if symbol not in known:
        hint = did_you_mean(symbol, sorted(known))
        raise UnknownDataset(
            f"{', '.join(features)} have no values of {symbol}{hint}: 'ticklake features describe' counts their symbols"
        )


@app.command("lineage")
def lineage(
    name: SetName,
    symbols: Symbols = None,
    start: o.Start = None,
    end: o.End = None,
    exchange: Exchange = None,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Say where values came from: the function and its code, the version of the lake, the datasets."""
    from ticklake.interfaces.schema import to_json

    with o.opened(lake_path) as lake:
        found = lake.features.lineage(name, None, symbols or None, start, end, exchange=exchange)
    if as_json:
        return print_json(found)
    if not found.height:
        return say("there are no rows")
    rows = to_json(found)
    for row in rows:
        versions = row["lake_versions"] or []
        row["inputs"] = some_of(row["inputs"] or [])
        row["of versions"] = " .. ".join(str(version) for version in sorted({*versions[:1], *versions[-1:]}))
    columns = ("dataset", "rows", "first", "last", "source", "code", "of versions", "inputs")
    return print_records(columns, rows, numbers=("rows",))


@app.command("deprecate")
def deprecate(name: SetName, lake_path: o.LakePath = None, as_json: o.AsJson = False) -> None:
    """Mark a feature set as one that is not to be used any more; each use warns. Its values stay."""
    with o.opened(lake_path) as lake:
        lake.features.deprecate(name)
        state = lake.features.describe(name, statistics=False).state
    if as_json:
        return print_json({"features": name, "state": state})
    return say(f"{name} is {state}")


@app.command("delete")
def delete(
    name: SetName,
    dry_run: DryRun = False,
    yes: Yes = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Remove a feature set and all of its values."""
    with o.opened(lake_path) as lake:
        rows = lake.features.delete(name, dry_run=True)
        if not dry_run:
            ask(f"remove {name} with {count_of(rows, 'row')}?", yes=yes, as_json=as_json)
            rows = lake.features.delete(name)
    if as_json:
        return print_json({"features": name, "rows": rows, "dry_run": dry_run})
    if dry_run:
        return say(f"would remove {name} with {count_of(rows, 'row')}")
    return say(f"removed {name} with {count_of(rows, 'row')}; {UNDO}")
