"""The workloads of indicators. The limit is TA-Lib alone: the same calls on arrays that are ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import talib

from benchmarks.figures import Target
from benchmarks.workload import Kind, Market, Scale, Step, Steps, Workload
from ticklake.core.indicators import compute, compute_at, parse_indicators

__all__ = ["indicator_workloads"]

INDICATORS = parse_indicators(
    [
        "sma_20",
        "ema_50",
        "rsi_14",
        "macd_12_26_9",
        "bbands_20_2",
        "atr_14",
        "adx_14",
        "obv_60",
        "vwap_60",
        "stoch_14_3_3",
        "roc_10",
        "mom_10",
        "natr_14",
        "stddev_20",
        "mfi_14",
        "ad_60",
    ]
)
HOT = 700
"""Bars that are in memory: enough for the longest warm-up."""
CALLS = 200
"""Calls of which a sample is the mean: one is as short as a look at the clock is noisy."""


def indicator_workloads(scale: Scale) -> list[Workload]:
    """Return the workloads of a scale."""
    row = partial(Workload, repeats=max(scale.few, 3), only=("ticklake", "limit"))
    count, instants = len(INDICATORS), scale.events // 100
    hot = f"{count} indicators at the newest of {HOT} bars; limit: TA-Lib alone"
    many = f"{count} indicators at {instants:,} instants at once; limit: TA-Lib alone"
    return [
        row("indicators", hot, newest, (Target(100),), unit="us of CPU", returns=True),
        row("indicators-at", many, partial(at_instants, instants), (Target(3, "limit"),)),
    ]


def newest(kind: Kind, folder: Path, market: Market) -> Steps:
    """Compute at the newest bar, as a frame of now does."""
    del folder
    bars = market.bars.tail(HOT)
    run: Callable[[], object] = partial(compute, bars, INDICATORS)
    if kind.name == "limit":
        run = partial(_bare, [(function, [bars[-n:] for bars in columns], n) for function, columns, n in _calls(bars)])
    while True:
        yield Step(partial(_microseconds, run))


def at_instants(instants: int, kind: Kind, folder: Path, market: Market) -> Steps:
    """Compute at many bars of a year, as frames of many instants do."""
    del folder
    ends = np.linspace(HOT, market.bars.height, instants).astype(np.int64)
    run: Callable[[], object] = partial(compute_at, market.bars, ends, INDICATORS)
    if kind.name == "limit":
        run = partial(_bare_at, _calls(market.bars), ends.tolist())
    while True:
        yield Step(run)


Call = tuple[Callable[..., object], list[Any], int]


def _calls(bars: pl.DataFrame) -> list[Call]:
    """Return for each indicator TA-Lib's function with its numbers, whole columns, and how many rows it reads."""
    calls: list[Call] = []
    for indicator in INDICATORS:
        # Without the wrapper that looks for frames, as ours calls it.
        function = getattr(talib, indicator.function).__wrapped__
        columns = [bars[name].to_numpy() for name in indicator.columns]
        calls.append((partial(_with_numbers, function, indicator.arguments), columns, indicator.warm_up))
    return calls


def _with_numbers(function: Callable[..., object], numbers: tuple[float, ...], *columns: object) -> object:
    return function(*columns, *numbers)


def _bare(calls: list[Call]) -> None:
    for function, columns, _ in calls:
        function(*columns)


def _bare_at(calls: list[Call], ends: list[int]) -> None:
    for function, columns, warm_up in calls:
        for end in ends:
            function(*[column[end - warm_up : end] for column in columns])


def _microseconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        run()
    return (time.process_time() - began) / CALLS * 1e6
