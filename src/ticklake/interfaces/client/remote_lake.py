"""A remote lake: the verbs of :class:`~ticklake.Lake` over HTTP."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.jobs import Job
from ticklake.core.progress import Watch
from ticklake.core.provenance import Provenance
from ticklake.core.requests import BackfillRequest
from ticklake.core.results import DatasetChange, Receipt
from ticklake.core.rules import DerivedRule
from ticklake.core.runs import Run, RunState
from ticklake.core.selection import parse_count
from ticklake.core.statistics import LakeStats
from ticklake.core.symbol import exchange_id
from ticklake.core.time import TimeLike, parse_time
from ticklake.core.words import DatasetLike
from ticklake.errors import TicklakeError, TicklakeWarning
from ticklake.interfaces.client.address import is_loopback
from ticklake.interfaces.client.asking import Asking, Pin
from ticklake.interfaces.client.connection import Connection, json_of
from ticklake.interfaces.client.jobs import RemoteJobs, RemoteRuns, RemoteSchedules, RemoteStreams
from ticklake.interfaces.client.lacking import Lacking
from ticklake.interfaces.client.remote_snapshot import RemoteSnapshot
from ticklake.interfaces.client.remote_view import RemoteView
from ticklake.interfaces.client.saving import save_rows
from ticklake.interfaces.client.subscriptions import RemoteSubscriber
from ticklake.interfaces.client.wire import as_list, in_path, json_values, parameters, time_text
from ticklake.interfaces.decoding import from_json

if TYPE_CHECKING:
    from ticklake.core.bars import Bars
    from ticklake.core.timeframe import Timeframe

__all__ = ["RemoteDerived", "RemoteInstruments", "RemoteLake"]

_CHANGES = 10_000
"""The most versions of a page of the change feed."""
_FIRST_TIME = 10**12
"""Smaller integers are versions, as at hand."""


class RemoteInstruments(Asking):
    """What exchanges list and listed, as far as the lake has seen: ``instruments.list("binance")``, or ``instruments("binance")``."""

    def __call__(self, exchange: str, search: str = "", at: TimeLike | None = None) -> pl.DataFrame:
        """Return what :meth:`list` returns."""
        return self.list(exchange, search, at)

    def list(self, exchange: str, search: str = "", at: TimeLike | None = None) -> pl.DataFrame:
        """Return the markets that an exchange lists or listed: a row for each symbol, as last described."""
        rows: pl.DataFrame = self._ask("instruments.list", exchange=exchange_id(exchange), search=search, at=at)
        return rows


class RemoteDerived(Asking, Lacking):
    """Datasets that are made of others by rules: ``derived.list()``, ``derived.get(name)``."""

    lacking: ClassVar = {"refresh": "use it where the lake is"}

    def list(self) -> Sequence[DerivedRule]:
        """Return all rules, sorted by name."""
        rules: Sequence[DerivedRule] = self._ask("derived.list")
        return rules

    def get(self, name: str) -> DerivedRule:
        """Return one rule."""
        rule: DerivedRule = self._ask("derived.get", rule=name)
        return rule

    def drop(self, name: str) -> int:
        """Remove a rule and all that it has made; return how many rows went."""
        return int(json_of(self._connection.send("DELETE", f"/derived/{in_path(name)}"))["done"])


class RemoteLake(RemoteView):
    """A lake that ``ticklake serve`` serves, with the verbs of a lake at hand. Made by :func:`ticklake.connect`.

    Use it as a context manager or call :meth:`close`. Any number of threads may use it.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 60.0) -> None:
        super().__init__(Connection(url, token, timeout=timeout), Pin())
        if token is not None and self._connection.url.startswith("http://") and not is_loopback(self._connection.url):
            warnings.warn(
                f"{self._connection.url} is not encrypted: whoever listens on the way learns the token; use https://",
                TicklakeWarning,
                stacklevel=3,
            )
        # That there is a server, and that it lets us in, is found out now.
        try:
            self._newest()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"RemoteLake({self._connection.url!r})"

    def __enter__(self) -> RemoteLake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def _newest(self) -> int:
        version: int = json_of(self._connection.get("/version"))["version"]
        return version

    def at(self, moment: TimeLike) -> RemoteSnapshot:
        """Return the lake as it was, for reading only: see :meth:`Lake.at <ticklake.Lake.at>`.

        Parameters
        ----------
        moment
            A version (an integer up to the newest one), or a time.

        Raises
        ------
        BadInput
            If the lake has no such version yet.
        CatalogError
            If the version was vacuumed.
        """
        is_version = isinstance(moment, int) and not isinstance(moment, bool) and moment < _FIRST_TIME
        if is_version:
            asked, at = {"version": str(moment)}, None
        else:
            asked, at = {"at": time_text(moment)}, parse_time(moment)
        version: int = json_of(self._connection.get("/version", asked))["version"]
        return RemoteSnapshot(self._connection, version, at)

    def changes_since(self, version: int = 0, *, limit: int | None = None) -> list[DatasetChange]:
        """Return what was committed after *version*: see :meth:`Lake.changes_since <ticklake.Lake.changes_since>`."""
        since = parse_count("version", version, of="versions")
        left = None
        if limit is not None:
            left = parse_count("limit", limit, of="versions")
        changes: list[DatasetChange] = []
        while left != 0:
            most = min(left or _CHANGES, _CHANGES)
            asked = parameters({"since": since, "limit": most, "segments": True})
            page = json_of(self._connection.get("/changes", asked))
            changes += from_json(list[DatasetChange], page["data"])
            if page["next"] is None:
                break
            since = page["next"]
            if left is not None:
                left -= most
        return changes

    def stats(self) -> LakeStats:
        """Return how much the lake holds and how much space that takes."""
        stats: LakeStats = self._ask("stats")
        return stats

    def latest(self, dataset: DatasetLike, count: int = 1) -> pl.DataFrame:
        """Return the newest *count* rows of a dataset; of one that the server collects, also those that wait for their commit."""
        rows: pl.DataFrame = self._ask("latest", dataset=Dataset.parse(dataset), count=parse_count("count", count, 1))
        return rows

    @cached_property
    def instruments(self) -> RemoteInstruments:
        """What exchanges list and listed: ``instruments.list("binance")``, or ``instruments("binance")`` for short."""
        return RemoteInstruments(self._connection, self._pin)

    @cached_property
    def derived(self) -> RemoteDerived:
        """Datasets made of others: ``derived.list()``."""
        return RemoteDerived(self._connection, self._pin)

    # Writing, and what is done there

    def save(self, dataset: DatasetLike, records_or_frame: Any, provenance: Provenance | str = "user") -> Receipt:
        """Add rows of your own: see :meth:`Lake.save <ticklake.Lake.save>`. Many rows are sent in pieces, a commit each."""
        named = Dataset.parse(dataset)
        receipt = save_rows(self._connection, named, records_or_frame, provenance)
        if receipt.quarantined:
            warnings.warn(receipt.refusal(named), TicklakeWarning, stacklevel=2)
        return receipt

    def delete(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        dry_run: bool = False,
    ) -> int:
        """Remove the rows in ``[start, end)``, of which one is named; return how many went: see :meth:`Lake.delete <ticklake.Lake.delete>`."""
        asked = parameters({"start": start, "end": end, "dry_run": dry_run})
        path = f"/datasets/{in_path(Dataset.parse(dataset))}/rows"
        return int(json_of(self._connection.send("DELETE", path, None, asked))["rows"])

    def drop(self, dataset: DatasetLike, *, dry_run: bool = False) -> int:
        """Remove a dataset with all that is known of it; return how many rows went."""
        path = f"/datasets/{in_path(Dataset.parse(dataset))}"
        return int(json_of(self._connection.send("DELETE", path, None, parameters({"dry_run": dry_run})))["rows"])

    def rename(self, old: DatasetLike, new: DatasetLike) -> int:
        """Move a dataset to another name, with all that is known of it; return how many rows moved."""
        path = f"/datasets/{in_path(Dataset.parse(old))}/rename"
        return int(json_of(self._connection.send("POST", path, {"new": str(Dataset.parse(new))}))["rows"])

    def derive(
        self,
        name: str,
        from_: DatasetLike | Iterable[DatasetLike],
        rule: str | Timeframe | Bars,
        *,
        kind: str | None = None,
        **edges: Any,
    ) -> DerivedRule:
        """Declare a rule: see :meth:`Lake.derive <ticklake.Lake.derive>`. A job of ``derive``, like a daemon's, makes its rows."""
        from ticklake.core.bars import Bars

        kept = Bars.parse(rule, **edges).to_json()
        body = {"name": name, "inputs": as_list("from_", from_), "rule": kept.pop("bars"), **kept}
        answer = self._connection.send("POST", "/derived", {**body, **json_values({"kind": kind})})
        return from_json(DerivedRule, json_of(answer)["data"])

    def plan(
        self,
        exchange: str | BackfillRequest,
        symbols: str | Sequence[str] = (),
        timeframe: str | None = None,
        *,
        kind: str | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        all_quote: str | None = None,
        retry: bool = False,
        archives: bool = True,
    ) -> list[FetchPlan]:
        """Return what :meth:`backfill` would fetch: spans, files, pages, seconds and bytes (estimates)."""
        request = _request(
            exchange,
            symbols,
            timeframe,
            kind=kind,
            start=start,
            end=end,
            all_quote=all_quote,
            retry=retry,
            archives=archives,
        )
        answer = self._connection.send("POST", "/plan", request.to_json(), is_read=True)
        return from_json(list[FetchPlan], json_of(answer)["data"])

    def backfill(
        self,
        exchange: str | BackfillRequest,
        symbols: str | Sequence[str] = (),
        timeframe: str | None = None,
        *,
        kind: str | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        all_quote: str | None = None,
        retry: bool = False,
        depth: int | None = None,
        archives: bool = True,
        watch: Watch = lambda _progress: None,
    ) -> Run:
        """Let the server bring history into the lake, and wait for it: see :meth:`Lake.backfill <ticklake.Lake.backfill>`.

        It is done by a job there. If you interrupt, or *watch* raises, the job is cancelled; what it committed stays. If the
        connection is lost, the job goes on: ``lake.jobs.list(state="active")`` has it.

        Raises
        ------
        Cancelled
            If somebody else cancels the job.
        UnknownExchange, UnknownSymbol, UnknownTimeframe, Unsupported, InvalidTime
            As at hand, once the job was refused.
        """
        request = _request(
            exchange,
            symbols,
            timeframe,
            kind=kind,
            start=start,
            end=end,
            all_quote=all_quote,
            retry=retry,
            depth=depth,
            archives=archives,
        )
        job, runs = self.jobs.do("/backfill", request.to_json(), watch)
        if runs and (runs[-1].state is not RunState.FAILED or runs[-1].progress):
            return runs[-1]
        # It was refused before it began, in words alone: planning it is refused with the error of its class.
        self.plan(request)
        raise TicklakeError(f"job {job.id} failed: {job.outcome}")

    def update(
        self,
        dataset: DatasetLike | Sequence[DatasetLike] | None = None,
        *,
        watch: Watch = lambda _progress: None,
    ) -> list[Run]:
        """Let the server bring datasets, or all that were collected, up to now, and wait for it: a run for each exchange."""
        names: list[str | None] = [None]
        if dataset is not None:
            names = list(as_list("dataset", dataset))
        runs: list[Run] = []
        for name in names:
            runs += self.jobs.do("/update", parameters({"dataset": name}), watch)[1]
        return runs

    def repair(
        self, what: DatasetLike | None = None, *, fetch: bool = True, watch: Watch = lambda _progress: None
    ) -> Job:
        """Let the server replace what is damaged and close the gaps that can be closed, and wait for it.

        Returns
        -------
        Job
            As it ended: its ``outcome`` says what was done of each dataset, and :meth:`gaps` what is left.
        """
        body: dict[str, Any] = {"fetch": fetch}
        if what is not None:
            body["dataset"] = str(Dataset.parse(what))
        return self.jobs.do("/repair", body, watch)[0]

    @cached_property
    def jobs(self) -> RemoteJobs:
        """What is to be done there: ``jobs.create("backfill", "binance", "BTC/USDT", "1h")``, ``jobs.list(state="active")``."""
        return RemoteJobs(self._connection)

    @cached_property
    def runs(self) -> RemoteRuns:
        """What was executed and how it went: ``runs.list(state="failed")``, ``runs.get(id)``, ``runs.tail(id)``."""
        return RemoteRuns(self._connection)

    @cached_property
    def schedules(self) -> RemoteSchedules:
        """What is done there again and again: ``schedules.add("bars", "update", cron="5 * * * *")``."""
        return RemoteSchedules(self._connection)

    @cached_property
    def streams(self) -> RemoteStreams:
        """Live collection there: ``streams.start("binance", "BTC/USDT")``, ``streams.status()``, ``streams.stop()``."""
        return RemoteStreams(self._connection)

    def subscribe(self, *patterns: str, since: int | str | None = None, live: bool = False) -> RemoteSubscriber:
        """Return new rows of datasets as they come: ``for batch in ...``, or ``async for``; each row once, also when connections break.

        Parameters
        ----------
        patterns
            Names of datasets, or patterns like ``binance:trades:*``; all, if there are none.
        since
            Begin with what was committed after this version, or after the ``cursor`` of a batch. By default, with what comes from now on.
        live
            Also rows that the server's own streams have received and not committed yet. When the connection breaks, these may come twice.
        """
        if since is None:
            since = self._newest()
        return RemoteSubscriber(self._connection, patterns, str(since), live=live)


def _request(exchange: str | BackfillRequest, *arguments: Any, **options: Any) -> BackfillRequest:
    if isinstance(exchange, BackfillRequest):
        return exchange
    return BackfillRequest.of(exchange, *arguments, **options)
