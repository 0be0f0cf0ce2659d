"""The data that the simulated exchange replays: series of rows by exchange, kind, symbol and timeframe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.resample import bars_from_bars, bars_from_trades
from ticklake.core.symbol import Symbol
from ticklake.core.timeframe import Timeframe

__all__ = ["Market", "Series"]

Series = Callable[[], pl.DataFrame]
"""Loads the rows of one dataset when they are first needed. It may have some of the kind's columns only."""


@dataclass
class Market:
    """Recorded or generated data, served as if it were live.

    Bars that were not recorded are made from finer ones, or from trades.
    """

    series: dict[Dataset, list[Series]] = field(default_factory=dict)
    _frames: dict[Dataset, pl.DataFrame] = field(default_factory=dict)

    def add(self, dataset: Dataset, load: Series) -> None:
        """Add rows of a dataset. Several additions are merged by time."""
        self.series.setdefault(dataset, []).append(load)

    def exchanges(self) -> list[str]:
        """Return the exchanges that are simulated."""
        return sorted({dataset.exchange for dataset in self.series})

    def symbols(self, exchange: str) -> list[Symbol]:
        """Return the symbols that an exchange lists."""
        return sorted({dataset.symbol for dataset in self.series if dataset.exchange == exchange})

    def listed(self, exchange: str, now: int) -> list[Symbol]:  # noqa: ARG002
        """Return what an exchange lists at its time *now*."""
        return self.symbols(exchange)

    def knows(self, symbol: Symbol, now: int) -> bool:  # noqa: ARG002
        """Whether anything of a symbol is served at *now*."""
        return True

    def served(
        self,
        exchange: str,
        symbol: Symbol,
        kind: str,
        timeframe: Timeframe | None = None,
        *,
        now: int,  # noqa: ARG002
    ) -> pl.DataFrame:
        """Return the rows that calls bring at *now*, later ones included."""
        return self.rows(exchange, symbol, kind, timeframe)

    def end(self) -> int:
        """Return the instant after the newest row of all."""
        ends = [self._frame(dataset)["ts"].to_physical().max() for dataset in self.series]
        return max(int(end) for end in ends if isinstance(end, int)) + 1

    def first_trades(self) -> int:
        """Return when the trades that were recorded last begin; if there are none, when everything ends."""
        trades = [self._frame(dataset)["ts"].to_physical() for dataset in self.series if dataset.kind == "trades"]
        return max((int(ts[0]) for ts in trades), default=self.end())

    def rows(self, exchange: str, symbol: Symbol, kind: str, timeframe: Timeframe | None = None) -> pl.DataFrame:
        """Return all rows of a dataset with every column of its kind; none if it is not simulated."""
        dataset = Dataset(exchange, kind, symbol, timeframe)
        if dataset in self.series or dataset in self._frames:
            return self._frame(dataset)
        frame = self._derived(dataset)
        if frame is None:
            frame = KINDS[kind].empty().select(KINDS[kind].names)
        self._frames[dataset] = frame
        return frame

    def _derived(self, dataset: Dataset) -> pl.DataFrame | None:
        """Return bars made from finer ones or from trades, or ``None`` if there are neither."""
        target = dataset.timeframe
        if target is None:
            return None
        finer = [series for series in self.series if _is_finer(series, dataset, target)]
        if finer:
            # The bars of the longest timeframe win where several series have one.
            finer.sort(key=_length, reverse=True)
            bars = [bars_from_bars(self._frame(series).lazy(), target, dataset.anchor) for series in finer]
            return pl.concat(bars).unique("ts", keep="first", maintain_order=True).sort("ts").collect()
        trades = Dataset(dataset.exchange, "trades", dataset.symbol)
        if dataset.kind == "ohlcv" and trades in self.series:
            return bars_from_trades(self._frame(trades).lazy(), target, dataset.anchor).collect()
        return None

    def _frame(self, dataset: Dataset) -> pl.DataFrame:
        if dataset not in self._frames:
            frames = [_with_all_columns(load(), dataset) for load in self.series[dataset]]
            self._frames[dataset] = _merged(frames, dataset)
        return self._frames[dataset]


def _with_all_columns(frame: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """Return a frame with every column of its kind; missing ones are null."""
    columns: list[pl.Expr] = []
    for name, dtype in dataset.spec.schema.items():
        if name in frame.columns:
            columns.append(pl.col(name).cast(dtype))
        else:
            columns.append(pl.lit(None, dtype).alias(name))
    return frame.select(columns)


def _merged(frames: list[pl.DataFrame], dataset: Dataset) -> pl.DataFrame:
    rows = pl.concat(frames).sort("ts", maintain_order=True)
    if dataset.timeframe:
        return rows.unique("ts", keep="first", maintain_order=True)
    return rows


def _length(series: Dataset) -> int:
    if series.timeframe is None:
        return 0
    return series.timeframe.length


def _is_finer(series: Dataset, dataset: Dataset, target: Timeframe) -> bool:
    """Whether the bars of *series* are of the same market as *dataset* and fill bars of *target* without a rest."""
    if (series.exchange, series.kind, series.symbol) != (dataset.exchange, dataset.kind, dataset.symbol):
        return False
    timeframe = series.timeframe
    return timeframe is not None and timeframe.length < target.length and target.length % timeframe.length == 0
