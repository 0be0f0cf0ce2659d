"""Commands about live collection: stream, streams."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake.core.display import counts_text
from ticklake.errors import Cancelled
from ticklake.interfaces.cli import options as o
from ticklake.interfaces.cli.long_running import collect_garbage_seldom
from ticklake.interfaces.cli.output import errors, print_error, print_json, print_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from ticklake.core.runs import Run
    from ticklake.core.streams import StreamStatus

__all__ = ["replay", "stream", "streams"]

LINE_EVERY = 5.0
"""Seconds between two plain lines where the output is no terminal."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the streams of other processes."""
_COLUMNS = ("dataset", "state", "proof", "rows/s", "stored", "waiting", "lag", "holes", "reconnects", "last event")
_NUMBERS = ("rows/s", "stored", "waiting", "lag", "holes", "reconnects")
_MOST_PROBLEMS = 3
"""Different ones that a line names."""
_MOST_LINES = 40
"""Streams that a moving table shows."""


def stream(
    exchange: o.ExchangeName,
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="Like BTC/USDT, or patterns like 'BTC/*'.")],
    kinds: Annotated[
        str,
        typer.Option("--kinds", help="What to collect, with commas: trades, book, quotes, ohlcv, liquidations, ..."),
    ] = "trades",
    timeframes: Annotated[str, typer.Option("--timeframes", "-t", help="Lengths of bars, with commas.")] = "1m",
    depth: o.Depth = None,
    length: Annotated[
        str | None, typer.Option("--for", metavar="LENGTH", help="Stop after so long, like 30s or 1h.")
    ] = None,
    capture: Annotated[
        str | None, typer.Option("--capture", metavar="FOLDER", help="Write messages as they were received, too.")
    ] = None,
    lake_path: o.LakePath = None,
    exchange_url: o.ExchangeUrl = None,
    as_json: o.AsJson = False,
) -> None:
    """Collect what an exchange sends over its sockets, until it is interrupted.

    Rows are committed about every five seconds. After a lost connection, and after the command was stopped for less than a day, what is
    missing is asked for by calls. Exit code 3: some streams were refused.
    """
    from ticklake.core.schedules import parse_every
    from ticklake.core.streams import StreamRequest
    from ticklake.core.time import SECOND

    request = StreamRequest.of(exchange.lower(), symbols, _words(kinds), _words(timeframes), depth)
    seconds = None
    if length is not None:
        seconds = parse_every(length) / SECOND
    with o.opened(lake_path, create=True, exchange_url=exchange_url) as lake, _shown(quiet=as_json) as watch:
        try:
            collect_garbage_seldom()
            run = lake.streams.run(request, seconds=seconds, watch=_until_sigterm(watch), capture=capture)
        except Cancelled as error:
            # Other processes may have cancelled runs, too.
            if error.run_id is None:
                raise
            run = lake.runs.get(error.run_id)
    if as_json:
        return print_json(run)
    say(f"run {run.id} {run.state}: {run.outcome}")
    return _exit(run)


def replay(
    captures: Annotated[list[str], typer.Argument(metavar="FILE...", help="Captures that 'ticklake stream' wrote.")],
    speed: Annotated[
        float, typer.Option("--speed", min=0, help="Times as fast as they were received; 0 is at once.")
    ] = 0.0,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Send captured messages through the pipeline again, as if they came now."""
    with o.opened(lake_path, create=True) as lake, _shown(quiet=as_json) as watch:
        run = lake.streams.replay(captures, speed=speed, watch=watch)
    if as_json:
        return print_json(run)
    say(f"run {run.id} {run.state}: {run.outcome}")
    return _exit(run)


def streams(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show it moving, until interrupted.")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Print metrics in Prometheus' text format.")] = False,
    lake_path: o.LakePath = None,
    as_json: o.AsJson = False,
) -> None:
    """Show how the streams go that are collected now, by whichever process."""
    with o.opened(lake_path) as lake:
        if as_json:
            return print_json(lake.streams.status())
        if prometheus:
            from ticklake.interfaces.prometheus import stream_metrics

            return say("\n".join(stream_metrics(lake.streams.status())))
        if not follow:
            return _print(lake.streams.status())
        with _shown(quiet=False) as watch:
            while True:
                watch(lake.streams.status())
                time.sleep(LOOK_EVERY)
    return None


def _until_sigterm(watch: Callable[[Sequence[StreamStatus]], None]) -> Callable[[Sequence[StreamStatus]], None]:
    """Return a watch that ends the streams in good order after SIGTERM; a second one ends the process at once."""
    is_watched, is_told = threading.Event(), threading.Event()

    def handle(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        is_told.set()
        if not is_watched.is_set():
            raise KeyboardInterrupt

    def watch_both(status: Sequence[StreamStatus]) -> None:
        is_watched.set()
        if is_told.is_set():
            raise Cancelled("ended by SIGTERM; what was received is committed")
        watch(status)

    signal.signal(signal.SIGTERM, handle)
    return watch_both


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _exit(run: Run) -> None:
    if run.state == "incomplete":
        raise typer.Exit(3)


def _print(status: Sequence[StreamStatus]) -> None:
    if not status:
        return say("nothing is collected live: 'ticklake stream binance BTC/USDT' begins")
    return print_table(list(_COLUMNS), list(map(_row, status)), numbers=_NUMBERS)


def _row(stream: StreamStatus) -> tuple[str, ...]:
    lag = ""
    if stream.lag is not None:
        lag = f"{stream.lag:.1f} s"
    state = stream.state
    if stream.text:
        state += f": {stream.text}"
    return (
        stream.dataset,
        state,
        stream.proof,
        f"{stream.rate:,.1f}",
        f"{stream.stored:,}",
        f"{stream.waiting:,}",
        lag,
        f"{stream.gaps:,}",
        f"{stream.reconnects:,}",
        o.moment(stream.last_event) or "",
    )


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Sequence[StreamStatus]], None]]:
    """Show streams while the block runs: a moving table on a terminal, else a line every few seconds."""
    console = errors()
    if quiet:
        yield lambda _status: None
    elif console.is_terminal:
        from rich.live import Live

        with Live(console=console, refresh_per_second=2) as live:
            yield lambda status: live.update(_table(status))
    else:
        yield _Lines()


def _table(status: Sequence[StreamStatus]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=column == "dataset")
    for stream in status[:_MOST_LINES]:
        table.add_row(*_row(stream))
    if len(status) > _MOST_LINES:
        table.caption = f"and {len(status) - _MOST_LINES:,} more"
    return table


class _Lines:
    """Prints a line every few seconds: a log file has no use for a moving table."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, status: Sequence[StreamStatus]) -> None:
        if time.monotonic() - self._last < LINE_EVERY:
            return
        self._last = time.monotonic()
        states: dict[str, int] = {}
        rate, stored = 0.0, 0
        # Keys of a dict are a set that keeps the order in which they came.
        problems: dict[str, None] = {}
        for stream in status:
            states[stream.state] = states.get(stream.state, 0) + 1
            rate += stream.rate
            stored += stream.stored
            if stream.text:
                problems[stream.text] = None
        counts = [counts_text(states), f"{rate:,.1f} rows/s", f"{stored:,} stored"]
        print_error("; ".join([*counts, *list(problems)[:_MOST_PROBLEMS]]))
