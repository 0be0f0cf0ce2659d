"""Options that every command spells the same way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.core.display import moment

if TYPE_CHECKING:
    from ticklake.lake import Lake

__all__ = [
    "FEW",
    "LONGEST_DAYS",
    "AllQuote",
    "AsJson",
    "Depth",
    "EachFile",
    "EachHole",
    "End",
    "ExchangeName",
    "ExchangeUrl",
    "KindName",
    "LakePath",
    "NoArchives",
    "Retry",
    "Start",
    "TimeframeText",
    "length_of",
    "moment",
    "names_in",
    "opened",
    "opened_for",
]

LONGEST_DAYS = 36_500
"""More days mean for ever: 300 years of nanoseconds do not fit into 64 bits."""

FEW = 20
"""Up to this many files, datasets or batches are listed one by one; of more, only those with a note, unless ``--all`` is given."""

LakePath = Annotated[
    str | None,
    typer.Option(
        "--lake",
        metavar="PATH",
        help="The lake's folder, or the address of its server. [default: $TICKLAKE_LAKE, ticklake.toml or ./data]",
    ),
]
EachFile = Annotated[
    bool, typer.Option("--all", help="List each file, however many. [default: of many those with a note]")
]
EachHole = Annotated[
    bool, typer.Option("--all", help="A line for each hole. [default: one for each dataset and reason]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ExchangeName = Annotated[str, typer.Argument(metavar="EXCHANGE", help="CCXT's id of the exchange, like binance.")]
TimeframeText = Annotated[str | None, typer.Option("--timeframe", "-t", help="Length of bars: 1m, 5m, 1h, 1d, ...")]
KindName = Annotated[
    str | None,
    typer.Option(
        "--kind",
        "-k",
        help="ohlcv, mark_ohlcv, index_ohlcv, trades, funding, open_interest, book, predicted_funding, quotes.",
    ),
]
Start = Annotated[
    str | None, typer.Option("--start", "-s", help="First time, inclusive; ISO 8601, UTC unless it says otherwise.")
]
End = Annotated[str | None, typer.Option("--end", "-e", help="Last time, exclusive.")]
AllQuote = Annotated[
    str | None, typer.Option("--all-quote", metavar="CURRENCY", help="Every active spot market priced in it.")
]
Retry = Annotated[bool, typer.Option("--retry", help="Ask again for what was unavailable or lost.")]
NoArchives = Annotated[
    bool, typer.Option("--no-archives", help="Ask the exchange only, not the files of its public dump site.")
]
Depth = Annotated[int | None, typer.Option("--depth", min=1, help="Levels of a book on each side.")]
ExchangeUrl = Annotated[
    str | None,
    typer.Option(
        "--exchange-url", metavar="URL", help="Reach exchanges here: a simulated exchange. [$TICKLAKE_EXCHANGE_URL]"
    ),
]


def length_of(text: str, days: float | None) -> str | timedelta:
    """Return the length of time that an option says, or the older option in days that scripts may still use."""
    if days is None:
        return text
    # Not refused: scripts say --days 999999 when they mean for ever.
    return timedelta(days=min(days, LONGEST_DAYS))


def names_in(texts: Iterable[str] | None) -> list[str] | None:
    """Return the names of an option that may be repeated, and whose values may be lists with commas; ``None`` if it is not given."""
    if texts is None:
        return None
    names: list[str] = []
    for text in texts:
        names += map(str.strip, text.split(","))
    return names


def opened(path: str | None, *, create: bool = False, exchange_url: str | None = None) -> Lake:
    """Open the lake that the options name."""
    # Imported on use: the help of a command must not wait for polars and SQLAlchemy.
    from ticklake.config import load_settings
    from ticklake.interfaces.opening import open_lake

    settings = load_settings(exchange_url=exchange_url)
    if settings.log.is_wanted:
        from ticklake.interfaces.logs import configure_logs

        configure_logs(settings.log)
    return open_lake(path, create=create, settings=settings)


def opened_for(path: str | None, *, dry_run: bool) -> Lake:
    """Open the lake that the options name, made on first use; a dry run makes none, and gets an empty one in memory."""
    from ticklake.app import memory_lake
    from ticklake.errors import NoLake

    try:
        return opened(path, create=not dry_run)
    except NoLake:
        return memory_lake()
