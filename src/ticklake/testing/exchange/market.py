"""What the simulated exchange replays: series of rows by exchange, kind, symbol and timeframe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import KINDS
from ticklake.core.resample import bars_from_bars, bars_from_trades
from ticklake.core.symbol import Symbol
from ticklake.core.timeframe import Timeframe

__all__ = ["Market", "Series"]

Series = Callable[[], pl.DataFrame]
"""Loads the rows of one dataset when they are first asked for; columns may be a subset of the kind's."""


@dataclass
class Market:
    """Recorded or generated data, served as if it were live.

    Bars that were not recorded are made from finer ones, or from trades.
    """

    series: dict[Dataset, list[Series]] = field(default_factory=dict)
    _frames: dict[Dataset, pl.DataFrame] = field(default_factory=dict)

    def add(self, dataset: Dataset, load: Series) -> None:
        """Add rows of a dataset; several additions are merged by time."""
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

    def rows(self, exchange: str, symbol: Symbol, kind: str, timeframe: Timeframe | None = None) -> pl.DataFrame:
        """Return all rows of a dataset with every column of its kind; none if it is not simulated."""
        dataset = Dataset(exchange, kind, symbol, timeframe)
        if dataset in self.series or dataset in self._frames:
            return self._frame(dataset)
        made = self._derived(dataset) if timeframe else None
        self._frames[dataset] = KINDS[kind].empty().select(KINDS[kind].names) if made is None else made
        return self._frames[dataset]

    def _derived(self, dataset: Dataset) -> pl.DataFrame | None:
        target = dataset.timeframe
        if target is None:
            return None
        finer = sorted(
            (held for held in self.series if _same_market(held, dataset) and _shorter(held.timeframe, target)),
            key=lambda held: held.timeframe.length if held.timeframe else 0,
        )
        if finer:
            made = (bars_from_bars(self._frame(held).lazy(), target, dataset.anchor) for held in reversed(finer))
            return pl.concat(made).unique("ts", keep="first", maintain_order=True).sort("ts").collect()
        trades = Dataset(dataset.exchange, "trades", dataset.symbol)
        if dataset.kind == "ohlcv" and trades in self.series:
            return bars_from_trades(self._frame(trades).lazy(), target, dataset.anchor).collect()
        return None

    def _frame(self, dataset: Dataset) -> pl.DataFrame:
        if dataset not in self._frames:
            self._frames[dataset] = _joined((load() for load in self.series[dataset]), dataset)
        return self._frames[dataset]


def _joined(frames: Iterable[pl.DataFrame], dataset: Dataset) -> pl.DataFrame:
    schema = dataset.spec.schema
    whole = [
        frame.select(
            pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in schema.items()
        )
        for frame in frames
    ]
    joined = pl.concat(whole).sort("ts", maintain_order=True)
    return joined.unique("ts", keep="first", maintain_order=True) if dataset.timeframe else joined


def _same_market(held: Dataset, wanted: Dataset) -> bool:
    return (held.exchange, held.kind, held.symbol) == (wanted.exchange, wanted.kind, wanted.symbol)


def _shorter(held: Timeframe | None, target: Timeframe) -> bool:
    return held is not None and held.length < target.length and target.length % held.length == 0
