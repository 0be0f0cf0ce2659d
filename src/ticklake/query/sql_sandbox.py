"""Untrusted SQL: each query in a process of its own, which cannot write, read files, or take more than its limits.

The process never sees the lake. It gets the rows that its query needs as Arrow through a pipe, and its answer comes back the same
way. It ends with its query, or is killed. What such a process gives up stands in :mod:`ticklake.query.sql_confine`.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from importlib.util import find_spec
from json import JSONDecodeError
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.selection import parse_text
from ticklake.core.span import Span
from ticklake.core.sql import OF_QUERIES, SqlLimits, SqlResult
from ticklake.engine.engine import Engine
from ticklake.engine.read import chunks_of
from ticklake.errors import (
    BadInput,
    Cancelled,
    InvalidQuery,
    MissingExtra,
    QueryTooLarge,
    StorageError,
    TicklakeError,
    Unsupported,
)
from ticklake.query.sql import parsed_parameters
from ticklake.query.sql_errors import NO_MEMORY, refusal
from ticklake.query.sql_scan import span_of
from ticklake.query.sql_views import LakeViews, NameColumns, SqlView, lake_views, naive
from ticklake.storage.arrow_stream import (
    Cut,
    StreamTooLong,
    frame_of,
    read_message,
    receive,
    send_frames,
    write_message,
)

__all__ = ["Sandbox", "SandboxedQuery"]

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from ticklake.query.sql_confine import hide_libraries
hide_libraries()
from ticklake.query.sql_child import main
main()
"""
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system", "LC_ALL": "C.UTF-8"}
"""All that the process knows of the environment. With one heap for all threads, the address space is mostly memory in use."""
_EMPTY_PROCESS = 512 * 1024**2
"""The address space of a process without rows, and some more."""
_SHARE_OF_ROWS = 0.6
"""Of the memory that is left, so much may be rows of the lake; the rest is for computing."""
_LEAST_ROWS = 16 * 1024**2
_MOST_MESSAGE = 1 << 24
_THREADS = 2


class Sandbox:
    """Runs queries in processes of their own, some of which are started ahead.

    Parameters
    ----------
    spare
        How many processes wait for a query: one that waits answers in tens of milliseconds, a new one in a third of a second.
    refill
        Whether another one is started for each that a query takes.
    """

    def __init__(self, limits: SqlLimits = OF_QUERIES, spare: int = 0, *, refill: bool = True) -> None:
        self.limits = limits
        self._refill = refill
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting = deque(_started() for _ in range(spare))

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(
        self, engine: Engine, query: str, parameters: Any = None, limits: SqlLimits | None = None
    ) -> SandboxedQuery:
        """Return a query that :meth:`SandboxedQuery.run` answers, and that any thread may cancel."""
        text = parse_text("query", query)
        return SandboxedQuery(self, engine, text, _sent(parsed_parameters(parameters)), limits or self.limits)

    def close(self) -> None:
        """End the processes that wait."""
        with self._lock:
            self._is_closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for process in waiting:
            end(process)

    def take(self) -> subprocess.Popen[bytes]:
        """Return a process that waits for a query, or start one."""
        with self._lock:
            if not self._waiting:
                return _started()
            process = self._waiting.popleft()
            # At once, so that it is ready when the next query comes.
            if self._refill and not self._is_closed:
                self._waiting.append(_started())
        if process.poll() is None:
            return process
        # Somebody killed it, or the machine was short of memory.
        end(process)
        return _started()


class SandboxedQuery:
    """One query. :meth:`run` answers it, once, and blocks; :meth:`cancel` may be called from any thread."""

    def __init__(
        self, sandbox: Sandbox, engine: Engine, query: str, parameters: list[Any] | dict[str, Any], limits: SqlLimits
    ) -> None:
        self._sandbox = sandbox
        self._engine = engine
        self._query = query
        self._parameters = parameters
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._why_ended = ""

    def run(self) -> SqlResult:
        """Return the answer.

        Raises
        ------
        InvalidQuery
            If it cannot be run, or is more than one SELECT.
        QueryTooLarge
            If it needs more memory or time than its limits allow.
        Cancelled
            If it was cancelled.
        """
        # Made before the clock begins to count: a lake of many datasets is listed once for many queries.
        lake = lake_views(self._engine)
        process = self._begin()
        timer = threading.Timer(self._limits.seconds, self._end, ["deadline"])
        timer.daemon = True
        timer.start()
        try:
            return self._answered(lake, process)
        except (OSError, EOFError, Cut, UnicodeDecodeError, JSONDecodeError) as error:
            raise self._reason(process) from error
        finally:
            timer.cancel()
            with self._lock:
                self._process = None
            end(process)

    def cancel(self) -> None:
        """End the query: its process is killed, and :meth:`run` raises :class:`Cancelled`."""
        self._end("cancelled")

    def _begin(self) -> subprocess.Popen[bytes]:
        process = self._sandbox.take()
        with self._lock:
            self._process = process
            if self._why_ended:
                process.kill()
        return process

    def _end(self, why: str) -> None:
        with self._lock:
            self._why_ended = self._why_ended or why
            if self._process is not None:
                kill(self._process)

    def _reason(self, process: subprocess.Popen[bytes]) -> TicklakeError:
        """Return the error for a process that is gone."""
        if self._why_ended == "cancelled":
            return Cancelled("the query was cancelled")
        seconds = f"{self._limits.seconds:g}"
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.returncode is None and not self._why_ended:
            return StorageError("the process of the query said what is no answer: the query is ended, try it again")
        is_out_of_time = process.returncode in (-signal.SIGXCPU,) or self._why_ended == "deadline"
        if is_out_of_time:
            return QueryTooLarge(
                f"the query took longer than {seconds} s: narrow it by symbol and time, or allow more (sql.seconds)"
            )
        return QueryTooLarge(f"the query ended its process, most likely for want of memory: {NO_MEMORY}")

    def _answered(self, lake: LakeViews, process: subprocess.Popen[bytes]) -> SqlResult:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        limits = self._limits
        header = {
            "query": self._query,
            "parameters": self._parameters,
            "views": lake.columns,
            "memory": limits.memory,
            "cpu_seconds": math.ceil(limits.seconds * _THREADS) + 1,
            "rows": limits.rows,
            "bytes": limits.bytes,
        }
        write_message(process.stdin, header)
        send_frames(process.stdin, [naive(lake.names)], limits.memory)
        needs = self._message(process.stdout, lake).get("needs")
        room = max(int((limits.memory - _EMPTY_PROCESS) * _SHARE_OF_ROWS), _LEAST_ROWS)
        _send(lake, needs, process.stdin, room)
        self._message(process.stdout, lake)
        table = receive(process.stdout, 2 * limits.bytes + _LEAST_ROWS)
        cut = str(self._message(process.stdout, lake).get("cut"))
        rows = frame_of(table)
        return SqlResult(rows, lake.version, not cut, _note(cut, rows.height, limits))

    def _message(self, source: IO[bytes], lake: LakeViews) -> dict[str, Any]:
        """Return the next message of the process; one that tells of an error is raised."""
        message = read_message(source, _MOST_MESSAGE)
        if not isinstance(message, dict):
            raise Cut(f"the process of the query said {message!r}")
        if "error" not in message:
            return message
        kind, text = str(message["error"]), str(message.get("message"))
        if kind == "Refused":
            raise InvalidQuery(f"the query is not run: {text}")
        if kind in ("MemoryError", "ArrowMemoryError", "OutOfMemoryException"):
            text = "out of memory"
        raise refusal(text, self._query, lake.columns)


def _note(cut: str, rows: int, limits: SqlLimits) -> str:
    """Say what was left out of an answer."""
    if not cut:
        return ""
    limit = f"{limits.rows:,} rows (what was asked for, or the setting sql.rows; of a server's JSON server.most_rows)"
    if cut == "bytes":
        limit = f"{limits.bytes:,} bytes (the setting sql.bytes)"
    return f"cut after {rows:,} rows: this answer may have at most {limit}; there is more"


@dataclass(frozen=True, slots=True)
class _Need:
    """The rows that a process asks for of one view."""

    view: str
    columns: frozenset[str]
    parts: tuple[tuple[Dataset, Span | None], ...]

    @classmethod
    def read(cls, lake: LakeViews, view: Any, wanted: Any) -> _Need:
        """Read what a process says. It runs what a stranger wrote: nothing of it is believed unseen.

        Raises
        ------
        Cut
            If it makes no sense.
        """
        try:
            if view not in lake.columns:
                raise ValueError(view)
            parts = tuple(_part(lake, view, *part) for part in wanted["parts"])
            return cls(view, frozenset(map(str, wanted["columns"])), parts)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise Cut(f"the process of the query asked for {error}") from error

    def frames(self, lake: LakeViews) -> Iterator[pl.DataFrame]:
        """Yield the rows, without the zone of their times."""
        if lake.is_table(self.view):
            yield naive(lake.table(self.view))
            return
        view = lake.views[self.view]
        # Without any column, rows could not be counted.
        columns = [column for column in view.columns if column in self.columns or column == "ts"]
        names = NameColumns([dataset for dataset, _ in self.parts], [name for name in view.names if name in columns])
        yield naive(names.empty(view.kind, columns))
        for dataset, span in self.parts:
            if span is not None:
                for rows in chunks_of(lake.engine.store, lake.engine.store.view(dataset, span), _stored(view, columns)):
                    yield naive(names.add(rows, dataset).select(columns))


def _part(lake: LakeViews, view: str, number: int, low: int | None, high: int | None) -> tuple[Dataset, Span | None]:
    """Return a dataset and the span of its rows that are wanted."""
    if number < 0 or lake.datasets[number].kind_text != view:
        raise ValueError(number)
    return lake.datasets[number], span_of(low, high)


def _stored(view: SqlView, columns: Sequence[str]) -> list[str]:
    return [column for column in columns if column in view.kind.schema]


def _send(lake: LakeViews, needs: Any, sink: IO[bytes], most_bytes: int) -> None:
    """Write the rows that a process needs, those of each view as one stream.

    Raises
    ------
    QueryTooLarge
        If they do not fit into its memory.
    """
    if not isinstance(needs, dict):
        raise Cut(f"the process of the query asked for {needs!r}")
    try:
        for view, wanted in needs.items():
            most_bytes -= send_frames(sink, _Need.read(lake, view, wanted).frames(lake), most_bytes)
    except StreamTooLong:
        raise QueryTooLarge(f"the query reads more rows than its memory holds: {NO_MEMORY}") from None


def _sent(parameters: list[Any] | dict[str, Any]) -> list[Any] | dict[str, Any]:
    """Return parameters as JSON can hold them.

    Raises
    ------
    BadInput
        If one has another type.
    """
    if isinstance(parameters, dict):
        return {name: _plain(value) for name, value in parameters.items()}
    return [_plain(value) for value in parameters]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadInput(f"params has {value!r}: pass texts, numbers, times, true, false or nothing")


def _started() -> subprocess.Popen[bytes]:
    """Start a process that waits for a query."""
    if os.name != "posix":
        raise Unsupported(
            "SQL that is not trusted needs a POSIX system: in Python lake.sql(), in a shell --trusted, run here"
        )
    if find_spec("duckdb") is None:
        raise MissingExtra("SQL that is not trusted needs DuckDB: pip install 'ticklake[sql]'")
    package = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-c", _PROGRAM, package]
    try:
        return subprocess.Popen(  # noqa: S603 - a program of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            # Ctrl-C in a shell is for the shell's own command, which then ends the process.
            start_new_session=True,
        )
    except OSError as error:
        raise StorageError(
            f"the process of a query cannot be started ({error.strerror}): see the system's limits"
        ) from error


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and all that belong to it."""
    # The number of one that has ended may belong to another process.
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and forget it."""
    kill(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What it did not read is lost, as it should be.
            with suppress(OSError):
                pipe.close()
    process.wait()
