"""Rows of several datasets of a remote lake, brought together by time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.duration import DurationLike
from ticklake.core.event_rows import BYS, FORMS, ROWS, By, Form, as_arrow, as_events, as_lists, in_batches
from ticklake.core.feature_values import FeatureDescription
from ticklake.core.kinds import KINDS
from ticklake.core.knowledge import Knowledge
from ticklake.core.selection import parse_count, parse_names, parse_word
from ticklake.core.time import TimeLike
from ticklake.core.timeframe import Timeframe
from ticklake.core.words import Columns, DatasetLike, Fill, How, Label, Unit
from ticklake.interfaces.client.asking import Asking
from ticklake.interfaces.client.connection import ARROW
from ticklake.interfaces.client.rows import ask_with_rows, frame_of
from ticklake.interfaces.client.wire import as_list, named, parameters

__all__ = ["RemoteJoins"]

_MOST = 1_000_000
"""Rows of a frame that a server sends."""


class RemoteJoins(Asking):
    """The verbs that bring rows of several datasets together."""

    def asof(
        self,
        left: pl.DataFrame | DatasetLike,
        right: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        at: str | None = None,
        columns: Columns | None = None,
        max_age: DurationLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
        allow_exact: bool = True,
        suffix: str = "_right",
    ) -> pl.DataFrame:
        """Return *left* with the newest row of *right* that was known at the time of each row: see :meth:`Lake.asof <ticklake.Lake.asof>`."""
        return self._join(
            "/asof",
            left,
            right=as_list("right", right),
            start=start,
            end=end,
            instants=at,
            columns=named("columns", columns),
            max_age=max_age,
            knowledge=knowledge,
            lags=lags,
            allow_exact=allow_exact,
            suffix=suffix,
        )

    def panel(
        self,
        exchange: str,
        symbols: str | Sequence[str],
        timeframe: str | Timeframe | None = None,
        column: Columns = "close",
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        kind: str = "ohlcv",
        wide: bool = True,
        how: How = "outer",
        label: Label = "open",
        fill: Fill | None = None,
        known_at: TimeLike | None = None,
        knowledge: Knowledge = "default",
        lags: Mapping[str, DurationLike] | None = None,
    ) -> pl.DataFrame:
        """Return one table of many symbols by time: see :meth:`Lake.panel <ticklake.Lake.panel>`."""
        rows: pl.DataFrame = self._ask(
            "panel",
            exchange=exchange,
            symbols=parse_names("symbols", symbols),
            timeframe=timeframe,
            column=column,
            columns=None if isinstance(column, str) else as_list("column", column),
            start=start,
            end=end,
            kind=kind,
            wide=wide,
            how=how,
            label=label,
            fill=fill,
            known_at=known_at,
            knowledge=knowledge,
            lags=lags,
        )
        return rows

    def markout(
        self,
        trades: pl.DataFrame | DatasetLike,
        against: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        offsets: DurationLike | Sequence[DurationLike] = ("1s", "5s", "1m", "5m"),
        price: str | None = None,
        unit: Unit = "price",
        at: str = "ts",
        max_age: DurationLike | None = None,
    ) -> pl.DataFrame:
        """Return trades with how far the price had moved in their direction some time later: see :meth:`Lake.markout <ticklake.Lake.markout>`."""
        return self._join(
            "/markout",
            trades,
            against=as_list("against", against),
            start=start,
            end=end,
            offsets=_offsets(offsets),
            price=price,
            unit=unit,
            instants=at,
            max_age=max_age,
        )

    def _join(self, path: str, left: pl.DataFrame | DatasetLike, **options: Any) -> pl.DataFrame:
        """Return the join of sent rows, or of those of a dataset."""
        asked = {**parameters(options), **self._pin.of_instant}
        if isinstance(left, str | Dataset):
            asked["left"] = str(Dataset.parse(left))
            return frame_of(self._connection.send("POST", path, None, asked, accept=ARROW, is_read=True))
        return ask_with_rows(self._connection, path, left, asked)

    def iterate(
        self,
        datasets: DatasetLike | Sequence[DatasetLike],
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        by: By = "exchange",
        as_: Form = "objects",
        batch: int | None = None,
        columns: Sequence[str] | None = None,
        lags: Mapping[str, DurationLike] | None = None,
    ) -> Iterator[Any]:
        """Return the rows of several datasets as events in order: see :meth:`Lake.iterate <ticklake.Lake.iterate>`."""
        form = parse_word("as_", as_, FORMS)
        rows = None
        if batch is not None:
            rows = parse_count("batch", batch, 1)
        asked = parameters(
            {
                "datasets": as_list("datasets", datasets),
                "start": start,
                "end": end,
                "by": parse_word("by", by, BYS),
                "batch": min(rows or ROWS, _MOST),
                "columns": columns,
                "lags": lags,
            }
        )
        blocks = self._connection.blocks("/iterate", {**asked, **self._pin.parameters})
        # Asked for at once: an error is of the call, and not of the first event.
        first = next(blocks, None)
        frames: Iterator[pl.DataFrame] = map(_frame, chain(filter(None, [first]), blocks))
        if rows is not None and rows > _MOST:
            frames = in_batches(frames, rows)
        if form == "frames":
            return frames
        if form == "arrow":
            return as_arrow(frames)
        names = None
        if columns is not None:
            names = parse_names("columns", columns)
        if rows is None:
            return self._events(frames, names, as_events)
        return self._events(frames, names, as_lists)

    def _events(
        self, frames: Iterator[pl.DataFrame], columns: Sequence[str] | None, make: Callable[..., Iterator[Any]]
    ) -> Iterator[Any]:
        datasets: list[Dataset] | None = None
        for frame in frames:
            if datasets is None:
                datasets = list(map(self._with_kind, cast(pl.Enum, frame.schema["dataset"]).categories))
            yield from make([frame], datasets, columns)

    def _with_kind(self, name: str) -> Dataset:
        """Return a dataset that knows what its rows are; of features, the lake says that."""
        dataset = Dataset.parse(name)
        if dataset.kind in KINDS:
            return dataset
        told: FeatureDescription = self._ask("features.describe", features=dataset.kind_text, statistics=False)
        return dataset.with_kind(told.features.kind)


def _frame(block: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(block))


def _offsets(offsets: DurationLike | Sequence[DurationLike]) -> list[DurationLike]:
    if isinstance(offsets, list | tuple):
        return list(offsets)
    return [cast("DurationLike", offsets)]
