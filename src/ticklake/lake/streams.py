"""The namespace ``lake.streams``: live collection from the sockets of exchanges."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Collection, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ticklake.core.selection import parse_count
from ticklake.core.streams import StreamRequest, StreamStatus
from ticklake.errors import BadInput, TicklakeError, TicklakeWarning
from ticklake.lake.arguments import as_path

if TYPE_CHECKING:
    from ticklake.catalog.runs import Runs
    from ticklake.collect.broadcast import Broadcast, Subscriber
    from ticklake.collect.streaming import Streaming, StreamWatch
    from ticklake.core.dataset import Dataset
    from ticklake.core.runs import Run
    from ticklake.query.hot_cache import CacheStats

__all__ = ["Streams"]


@dataclass
class _Session:
    """Streams that are collected in a thread of this process."""

    request: StreamRequest
    thread: threading.Thread | None = None
    end: Callable[[], object] | None = None
    """Ends it in good order; it may be called from any thread."""
    datasets: Collection[Dataset] = ()
    status: Sequence[StreamStatus] = ()
    run: Run | None = None
    error: BaseException | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    """Set once somebody wants it to end: it may not even have a loop yet."""
    is_running: bool = True


class Streams:
    """Live collection.

    Streams of this process run in threads of their own, until they are stopped or the lake is closed. :meth:`status` shows those of
    other processes, too: each records how its streams go every five seconds.
    """

    def __init__(self, streaming: Streaming, runs: Runs, live: Broadcast) -> None:
        self._streaming = streaming
        self._live = live
        self._runs = runs
        self._sessions: MutableSequence[_Session] = []
        self._claiming = threading.Lock()
        self._is_closed = False

    def run(
        self,
        requests: StreamRequest | Sequence[StreamRequest],
        *,
        seconds: float | None = None,
        watch: StreamWatch = lambda _status: None,
        capture: str | Path | None = None,
    ) -> Run:
        """Collect streams until it is interrupted, *watch* raises, or for so many *seconds*; return the finished run.

        What was received is committed before this returns or raises.

        Parameters
        ----------
        requests
            What to collect; of several exchanges at once, if there are several.
        watch
            Is called about every second with a :class:`~ticklake.core.streams.StreamStatus` for each stream.
        capture
            A folder to which messages are written as they were received, a file for each exchange.

        Raises
        ------
        UnknownExchange, UnknownSymbol, Unsupported
            If a stream does not exist.
        """
        from ticklake.collect.collector import run_async

        if isinstance(requests, StreamRequest):
            requests = [requests]
        return run_async(self._streaming.run(requests, watch, seconds, [self._live], _folder(capture)))

    def replay(
        self,
        captures: str | Path | Sequence[str | Path],
        *,
        speed: float = 0.0,
        watch: StreamWatch = lambda _status: None,
    ) -> Run:
        """Send captures through the pipeline again, as if their messages came now, and return the finished run.

        What happened to the streams, like a lost connection, happens again. Rows that the lake has stay as they are.

        Parameters
        ----------
        captures
            Files that :meth:`run` wrote with *capture*.
        speed
            How many times as fast as messages were received; 0 is as fast as rows can be stored.

        Raises
        ------
        InvalidData
            If a file is no capture, or is cut short: then what can be read of it is in the lake.
        """
        from ticklake.collect.collector import run_async

        if isinstance(captures, str | Path):
            captures = [captures]
        paths = [as_path("captures", path) for path in captures]
        for path in paths:
            if not path.is_file():
                raise BadInput(f"there is no file {path}: name a capture, or several")
        return run_async(self._streaming.replay(paths, speed, watch))

    def start(
        self,
        exchange: str,
        symbols: str | Sequence[str],
        kinds: str | Sequence[str] = ("trades",),
        *,
        timeframes: str | Sequence[str] = ("1m",),
        depth: int | None = None,
        wait: float = 30.0,
    ) -> None:
        """Begin to collect streams in the background.

        Parameters
        ----------
        kinds
            ``trades``, ``book``, ``quotes``, ``ohlcv`` (final bars only), ``predicted_funding``, ``liquidations``, ...
        timeframes
            Of bars.
        depth
            Levels of a book on each side; all that the exchange sends, by default.
        wait
            Seconds until it is an error that the streams have not begun.

        Raises
        ------
        BadInput
            If a stream does not exist or is collected by this process already, or the lake was closed.
        """
        self._refuse_if_closed()
        session = _Session(StreamRequest.of(exchange, symbols, kinds, timeframes, depth))
        session.thread = threading.Thread(target=self._collect, args=(session,), name="ticklake-streams", daemon=True)
        self._sessions.append(session)
        session.thread.start()
        if not session.begun.wait(wait):
            self._stop(session)
            raise TicklakeError(f"{exchange} has not opened a stream within {wait:g} s")
        if session.error is not None:
            self._forget(session)
            raise session.error

    def stop(self, exchange: str | None = None) -> Sequence[Run]:
        """Stop the streams of this process, of one *exchange* or all, commit what they received, and return their runs.

        Raises
        ------
        TicklakeError
            If streams had ended with an error: this one. All are stopped all the same.
        """
        stopped = [session for session in self._sessions if exchange in (None, session.request.exchange)]
        if exchange is not None and not stopped:
            raise BadInput(f"no stream of {exchange} was started by this process: streams.status() lists all")
        for session in stopped:
            self._stop(session)
        for session in stopped:
            if session.error is not None:
                raise session.error
        return [session.run for session in stopped if session.run is not None]

    def list(self) -> Sequence[str]:
        """Return the names of the datasets that are collected now, by whichever process."""
        return sorted({stream.dataset for stream in self.status()})

    def status(self) -> Sequence[StreamStatus]:
        """Return how each stream goes that is collected now: those of this process as of the last second, of others as recorded."""
        status: MutableSequence[StreamStatus] = []
        own: set[str] = set()
        for session in self._sessions:
            if session.is_running:
                status += session.status
                own.update(stream.dataset for stream in session.status)
        for run in self._runs.active():
            if run.operation == "stream":
                recorded = [StreamStatus(**stream) for stream in run.progress.get("streams", ())]
                status += [stream for stream in recorded if stream.dataset not in own]
        return sorted(status, key=lambda stream: stream.dataset)

    def subscribe(
        self,
        *patterns: str,
        since: int | None = None,
        most_rows: int = 100_000,
        committed: bool = False,
        poll_seconds: float | None = None,
    ) -> Subscriber:
        """Return new rows of datasets as they come, whoever collects them: ``for batch in ...``, or ``async for``.

        Rows of streams of this process come as they are received, before their commit. Rows that anybody else commits (another
        process, a backfill) come in the order of commits, at most ``live.poll_seconds`` after theirs; each once. A row that is
        committed with other values than before comes again.

        Parameters
        ----------
        patterns
            Names of datasets, or patterns like ``binance:trades:*``; all, if there are none.
        since
            Begin with what was committed after this version: the ``version`` of the last batch that was read. By default, with what comes
            from now on.
        most_rows
            How many rows of this process's streams may wait to be read. A subscriber that does not read fast enough is told, and gets no
            more; it delays nobody. What was committed waits in the lake.
        committed
            Rows of streams of this process come after their commit, too: then each comes once, also to a subscription that
            goes on from the ``version`` of the last batch.
        poll_seconds
            How often commits of other processes are looked for; the setting ``live.poll_seconds`` by default.

        Raises
        ------
        BadInput
            If the lake has no such version yet, or was closed.
        """
        self._refuse_if_closed()

        def wanted(dataset: Dataset) -> bool:
            return not patterns or any(map(dataset.matches, patterns))

        if since is not None:
            since = parse_count("since", since, of="versions")
        most = parse_count("most_rows", most_rows, 1)
        return self._live.subscribe(wanted, most, since, committed=committed, poll_seconds=poll_seconds)

    def newest(self, dataset: Dataset, count: int) -> pl.DataFrame | None:
        """Return the newest rows of a dataset that this process collects, or ``None`` if its cache does not have so many."""
        return self._live.cache.newest(dataset, count)

    def rows(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return all rows that are kept of a dataset that this process collects, without a hole; else ``None``."""
        return self._live.cache.rows(dataset)

    def forget(self, dataset: Dataset) -> None:
        """Empty the cache of a dataset, whose rows in the lake were removed or changed."""
        self._live.cache.forget(dataset)

    def stats(self) -> CacheStats:
        """Return what the cache of live rows holds."""
        return self._live.cache.stats()

    def close(self) -> None:
        """Stop all streams of this process, and end all subscriptions. What streams had ended with is a warning."""
        self._is_closed = True
        try:
            self.stop()
        except TicklakeError as error:
            warnings.warn(f"streams ended with an error: {error}", TicklakeWarning, stacklevel=3)
        finally:
            self._live.close()

    def _refuse_if_closed(self) -> None:
        # Nobody would stop the stream, and nothing would ever come to the subscriber.
        if self._is_closed:
            raise BadInput("this lake was closed, and its streams with it: open the lake again")

    def _collect(self, session: _Session) -> None:
        def watch(status: Sequence[StreamStatus]) -> None:
            session.status = status
            if status:
                session.begun.set()

        def claim(datasets: Collection[Dataset]) -> None:
            with self._claiming:
                for other in self._sessions:
                    if other.is_running and (both := set(datasets) & set(other.datasets)):
                        first = min(map(str, both))
                        raise BadInput(f"{first} is collected by this process already: streams.stop() ends that")
                session.datasets = datasets

        async def go() -> Run:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            collecting = asyncio.ensure_future(
                self._streaming.run([session.request], watch, listeners=[self._live], stop=stop, claim=claim)
            )

            def end() -> None:
                stop.set()
                # Before the first stream is open there is nothing to commit, and the exchange may not even answer.
                if not session.begun.is_set():
                    collecting.cancel()

            session.end = lambda: loop.call_soon_threadsafe(end)
            if session.ending.is_set():
                end()
            return await collecting

        try:
            session.run = asyncio.run(go())
        except asyncio.CancelledError:
            # Nothing had begun that could have failed.
            pass
        except BaseException as error:
            session.error = error
        session.is_running = False
        session.begun.set()

    def _stop(self, session: _Session) -> None:
        session.ending.set()
        if session.end is not None:
            with suppress(RuntimeError):  # it ended just now
                session.end()
        if session.thread is not None:
            session.thread.join()
        self._forget(session)

    def _forget(self, session: _Session) -> None:
        # Another thread may have stopped it, too.
        with suppress(ValueError):
            self._sessions.remove(session)


def _folder(capture: str | Path | None) -> Path | None:
    """Make the folder for captures, if one is named."""
    if capture is None:
        return None
    folder = as_path("capture", capture)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"capture={folder} cannot be made ({error.strerror}): name another folder") from error
    return folder
