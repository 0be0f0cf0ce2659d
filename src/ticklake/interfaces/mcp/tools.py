"""Tools: what a language model may ask of a lake. None of them changes anything, and each answer is of a bounded size."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from ticklake.core.dataset import Dataset
from ticklake.core.time import parse_time
from ticklake.errors import BadInput
from ticklake.interfaces.mcp.answers import answer_of
from ticklake.interfaces.schema import gaps_to_json, to_json
from ticklake.lake import Lake
from ticklake.query.sql_sandbox import Sandbox

__all__ = ["Tools"]

_FEW = 100
_READING = {"frame": "load", "bars": "resample", "sql": "sql"}


class Tools:
    """The tools of one lake.

    Parameters
    ----------
    sandbox
        Runs queries, which are not trusted.
    address
        How Python opens the lake, for snippets.
    """

    def __init__(self, lake: Lake, sandbox: Sandbox, address: str) -> None:
        self._lake = lake
        self._sandbox = sandbox
        self._address = address

    @property
    def all(self) -> list[Callable[..., str]]:
        """The tools, those that are needed first at the front."""
        return [self.list, self.describe, self.condition, self.gaps, self.estimate, self.query, self.snippet]

    def list(self, search: str = "", limit: int = _FEW) -> str:
        """List the datasets of the lake with their rows, first and last time. Begin here.

        search: only datasets whose name contains this, like BTC or binance:trades.
        limit: at most so many.
        """
        rows = self._lake.inventory(search)
        columns = rows.select("dataset", "rows", "first", "last")
        hint = "Say search to see others."
        return answer_of(to_json(columns), _positive(limit), hint=hint, version=self._lake.engine.catalog.version())

    def describe(self, dataset: str) -> str:
        """Describe one dataset: its columns with their types, how much there is, where its rows came from, and the newest rows.

        dataset: a name, like binance:ohlcv:1h:BTC/USDT.
        """
        known = self._known(dataset)
        (held,) = [row for row in to_json(self._lake.inventory(str(known))) if row["dataset"] == str(known)]
        columns = {name: str(kind) for name, kind in self._lake.load(known, last=1).schema.items()}
        facts = {"dataset": known, "columns": columns, "holds": held, "sources": self._lake.provenance(known)[:20]}
        return answer_of(to_json(self._lake.load(known, last=5)), 5, **facts)

    def condition(self, dataset: str, start: str | None = None, end: str | None = None, limit: int = _FEW) -> str:
        """Say for each UTC day whether the rows are complete, gaps, pending, missing or unknown, and why. The newest days are shown.

        dataset: a name, like binance:trades:BTC/USDT.
        start, end: the time [start, end), ISO 8601; all by default.
        """
        days = self._lake.condition(self._known(dataset), start, end)
        # Of all days, also those that are not shown.
        counts = dict(days["condition"].value_counts().iter_rows())
        newest = to_json(days.tail(_positive(limit)))
        hint = "Say start and end for other days."
        return answer_of(newest, limit, total=days.height, hint=hint, dataset=dataset, days_by_condition=counts)

    def gaps(self, dataset: str, start: str | None = None, end: str | None = None, limit: int = _FEW) -> str:
        """List what is missing of a dataset, each hole with its bounds, its size and its reason.

        dataset: a name, like binance:trades:BTC/USDT.
        start, end: the time [start, end), ISO 8601; all by default.
        """
        known = self._known(dataset)
        report = self._lake.gap_report(known, start, end)
        counts: dict[str, int] = {}
        for gap in report.gaps:
            counts[gap.reason.value] = counts.get(gap.reason.value, 0) + 1
        hint = "Say start and end for others."
        holes = [*gaps_to_json(known, report)]
        return answer_of(holes, _positive(limit), hint=hint, dataset=known, holes_by_reason=counts)

    def estimate(self, dataset: str, start: str | None = None, end: str | None = None) -> str:
        """Estimate how many rows and bytes a read would bring, before it is done.

        dataset: a name, like binance:trades:BTC/USDT.
        start, end: the time [start, end), ISO 8601; all by default.
        """
        known = self._known(dataset)
        return json.dumps({"dataset": str(known), **to_json(self._lake.estimate(known, start, end))})

    def query(self, sql: str, limit: int = _FEW) -> str:
        """Answer one SQL SELECT (DuckDB) over the views of the lake: one for each kind (ohlcv, trades, funding, ...), datasets and coverage.

        Views of rows have the columns exchange, symbol, timeframe and ts (UTC) beside those of their kind. Name an exchange,
        a symbol and a span of ts in WHERE: then only these rows are read. It cannot write, and has limits of time and memory.

        sql: one SELECT, like: select symbol, max(high) from ohlcv where exchange = 'binance' and timeframe = '1h' group by 1
        limit: at most so many rows.
        """
        result = self._sandbox.query(self._lake.engine, sql).run()
        shown = to_json(result.frame.head(_positive(limit)))
        hint = result.note or "Aggregate in SQL, or say limit."
        # A row more than are shown tells that there are others, where the answer itself was cut.
        total = result.rows + (not result.complete)
        return answer_of(shown, limit, total=total, hint=hint, version=result.version)

    def snippet(
        self,
        dataset: str = "",
        start: str | None = None,
        end: str | None = None,
        columns: str = "",
        sql: str = "",
        resample: str = "",
        format: Literal["polars", "pandas"] = "polars",  # noqa: A002 - the word of the tool
    ) -> str:
        """Return Python code that reads what was asked, for the user's own notebook or script: all of it, without the limits of these tools.

        dataset: a name, like binance:trades:BTC/USDT; or say sql.
        start, end: the time [start, end), ISO 8601.
        columns: only these, with commas.
        sql: a query instead of a dataset.
        resample: make bars of this length of the dataset, like 1h.
        format: the frame that the code ends with.
        """
        lines = ["import ticklake", "", f"with ticklake.open({self._address!r}, create=False) as lake:"]
        lines.append(f"    rows = {self._call(dataset, start, end, columns, sql, resample)}")
        if format == "pandas" and sql:
            lines[-1] = lines[-1].removesuffix(".pl()") + ".df()"
        elif format == "pandas":
            lines[-1] += ".to_pandas()"
        return "\n".join([*lines, "print(rows)", ""])

    def _call(self, dataset: str, start: str | None, end: str | None, columns: str, sql: str, resample: str) -> str:
        """Return the call that reads the rows. Every value is a literal: what a model writes is never code here."""
        if bool(dataset) == bool(sql):
            raise BadInput("say one of dataset and sql")
        if sql:
            return f"lake.sql({sql!r}).pl()"
        words = [repr(str(self._known(dataset)))]
        verb = "load"
        if resample:
            verb = "resample"
            words.append(repr(resample))
        for name, moment in (("start", start), ("end", end)):
            if moment is not None:
                # What is no time would be found out only by whoever runs the code.
                parse_time(moment)
                words.append(f"{name}={moment!r}")
        if columns and not resample:
            words.append(f"columns={[name.strip() for name in columns.split(',')]!r}")
        return f"lake.{verb}({', '.join(words)})"

    def _known(self, name: str) -> Dataset:
        """Return the dataset of a name; the error proposes similar ones."""
        from ticklake.lake.arguments import known_dataset

        return known_dataset(self._lake.engine, name)


def _positive(limit: int) -> int:
    if limit < 1:
        raise BadInput(f"limit={limit} is no number of rows: say at least 1")
    return limit
