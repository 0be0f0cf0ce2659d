"""What is known of the datasets of a remote lake: what there is, what is missing, how good it is, where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import polars as pl

from ticklake.core.coverage import Coverage
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap, GapReport
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.quality import Quality, trend_of
from ticklake.core.selection import parse_count, parse_text
from ticklake.core.span import Span
from ticklake.core.sql import SqlResult
from ticklake.core.time import TimeLike
from ticklake.core.words import DatasetLike
from ticklake.errors import BadInput
from ticklake.interfaces.client.asking import Asking
from ticklake.interfaces.client.connection import ARROW, json_of
from ticklake.interfaces.client.rows import frame_of
from ticklake.interfaces.client.wire import in_path, json_value, parameters
from ticklake.interfaces.decoding import frame_from_json, from_json, rows_from_json

__all__ = ["RemoteFacts"]

_INVENTORY: dict[str, Any] = {
    "dataset": pl.String(),
    "rows": pl.Int64(),
    "bytes": pl.Int64(),
    "first": TIME,
    "last": TIME,
    "exchange": pl.String(),
    "symbol": pl.String(),
    "kind": pl.String(),
    "timeframe": pl.String(),
    "files": pl.Int64(),
}
_PAGE = 10_000
"""The most datasets of a page."""
_GAPS = 100_000
"""The most holes of a page."""
_ROWS = 100_000
"""The most refused or changed rows of an answer."""


class RemoteFacts(Asking):
    """The verbs that answer with what is known of datasets."""

    def datasets(self, search: str = "") -> list[Dataset]:
        """Return the datasets whose name contains *search*."""
        return list(map(Dataset.parse, self.inventory(search)["dataset"]))

    def inventory(self, search: str = "") -> pl.DataFrame:
        """Return a row a dataset: see :meth:`Lake.inventory <ticklake.Lake.inventory>`."""
        part = parse_text("search", search)
        rows: list[dict[str, Any]] = []
        while True:
            asked = {
                **self._pin.parameters,
                **parameters({"search": part or None, "limit": _PAGE, "offset": len(rows)}),
            }
            page = json_of(self._connection.get("/datasets", asked))
            rows += page["data"]
            if page["complete"]:
                break
        listed = frame_from_json(rows, _INVENTORY)
        # The server looks in any case.
        return listed.filter(listed["dataset"].str.contains(part, literal=True))

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        engine: Literal["duckdb", "polars"] | None = None,
    ) -> SqlResult:
        """Answer an SQL query over the views of the lake: see :meth:`Lake.sql <ticklake.Lake.sql>`.

        It runs on the server, in a sandbox: one SELECT, by DuckDB, with limits. An answer that is cut says so: ``complete`` is false.
        """
        if engine not in (None, "duckdb"):
            raise BadInput(f"engine={engine!r} is for a lake at hand: a server answers by DuckDB")
        body = {"query": query, "params": json_value("", params)}
        answer = self._connection.send("POST", "/sql", body, self._pin.parameters, accept=ARROW, is_read=True)
        complete = answer.headers.get("ticklake-complete", "true") == "true"
        note = ""
        if not complete:
            note = "rows were left out, as the server limits the size of answers: ask for fewer"
        return SqlResult(frame_of(answer), int(answer.headers["ticklake-version"]), complete, note)

    def last_timestamp(self, dataset: DatasetLike) -> int | None:
        """Return the time of the newest row in nanoseconds, or ``None``."""
        last: int | None = self._ask("last_timestamp", dataset=Dataset.parse(dataset))
        return last

    def missing_intervals(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> list[Span]:
        """Return the spans without rows that should have them; by default inside what the lake holds."""
        spans: list[Span] = self._ask("missing_intervals", dataset=Dataset.parse(dataset), start=start, end=end)
        return spans

    def gaps(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> list[Gap]:
        """Return every hole with its bounds, size and reason: see :meth:`Lake.gaps <ticklake.Lake.gaps>`."""
        return list(self.gap_report(dataset, start, end, quick=quick).gaps)

    def gap_report(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> GapReport:
        """Return the holes of :meth:`gaps`, with ``notes`` on what looks like one and is none, like ids that begin anew."""
        asked = parameters({"start": start, "end": end, "quick": quick, "limit": _GAPS})
        path = f"/datasets/{in_path(Dataset.parse(dataset))}/gaps"
        pin = self._pin.parameters
        gaps: list[Gap] = []
        while True:
            page = json_of(self._connection.get(path, {**asked, **pin, "offset": str(len(gaps))}))
            gaps += from_json(list[Gap], page["data"])
            if page["complete"]:
                return GapReport(tuple(gaps), tuple(page["notes"]))
            # All pages are of one version, whoever writes meanwhile.
            pin = pin or {"version": str(page["version"])}

    def condition(
        self,
        dataset: DatasetLike,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        quick: bool = False,
    ) -> pl.DataFrame:
        """Return the condition of each UTC day in a word: see :meth:`Lake.condition <ticklake.Lake.condition>`."""
        days: pl.DataFrame = self._ask("condition", dataset=Dataset.parse(dataset), start=start, end=end, quick=quick)
        return days

    def coverage(self, dataset: DatasetLike) -> Coverage:
        """Return which spans were looked at, and what was found."""
        coverage: Coverage = self._ask("coverage", dataset=Dataset.parse(dataset))
        return coverage

    def provenance(self, dataset: DatasetLike, at: TimeLike | None = None) -> list[Provenance]:
        """Return where the rows of a dataset came from, or those at exactly one time."""
        origins: list[Provenance] = self._ask("provenance", dataset=Dataset.parse(dataset), at=at)
        return origins

    def provenance_by_file(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return a row for each file and origin of its rows: see :meth:`Lake.provenance_by_file <ticklake.Lake.provenance_by_file>`."""
        rows: pl.DataFrame = self._ask("provenance_by_file", dataset=Dataset.parse(dataset))
        return rows

    def quarantine(self, dataset: DatasetLike | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the refused rows of a dataset with ``ts``, ``reason``, ``row`` (JSON) and ``created_at``; without one, of all datasets."""
        path = "/quarantine"
        if dataset is not None:
            path = f"/datasets/{in_path(Dataset.parse(dataset))}/quarantine"
        return self._listed(path, limit)

    def _listed(self, path: str, limit: int | None) -> list[dict[str, Any]]:
        """Return the rows of a list, or the first so many."""
        most = _ROWS
        if limit is not None:
            most = min(parse_count("limit", limit), _ROWS)
        # Of none, too, it is looked at whether the lake has the dataset.
        asked = {**self._pin.parameters, "limit": str(max(most, 1))}
        page = json_of(self._connection.get(path, asked))
        if not page["complete"] and (limit is None or limit > most):
            raise BadInput(f"these are more than {most:,} rows: pass limit={most}, or read them where the lake is")
        return rows_from_json(page["data"])[:limit]

    def revisions(self, dataset: DatasetLike, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Return the changed rows with ``ts``, ``before`` and ``after`` (JSON), ``commit_id``, ``created_at``."""
        return self._listed(f"/datasets/{in_path(Dataset.parse(dataset))}/revisions", limit)

    def quality(self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None) -> Quality:
        """Return how complete and how sound a dataset is, with its days: see :meth:`Lake.quality <ticklake.Lake.quality>`."""
        quality: Quality = self._ask("quality", dataset=Dataset.parse(dataset), start=start, end=end, days=True)
        span = quality.span
        if span is None:
            return quality
        # Asked for only if somebody looks at them.
        return replace(quality, find_gaps=lambda: self.gaps(quality.dataset, *span))

    def quality_trend(
        self, dataset: DatasetLike, start: TimeLike | None = None, end: TimeLike | None = None
    ) -> pl.DataFrame:
        """Return the figures of :meth:`quality` as a row for each UTC day."""
        return trend_of(self.quality(dataset, start, end).days)

    def continuity(self, dataset: DatasetLike) -> pl.DataFrame:
        """Return how each committed batch of rows joined the rows before it: see :meth:`Lake.continuity <ticklake.Lake.continuity>`."""
        rows: pl.DataFrame = self._ask("continuity", dataset=Dataset.parse(dataset))
        return rows
