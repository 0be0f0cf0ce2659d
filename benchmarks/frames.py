"""Frames: what one costs, from memory, from files, and as one of many: ``python -m benchmarks.frames``.

A year of one-minute bars and a day of trades are stored. Measured: a frame of 60 bars with 16 indicators, again and again; a frame of a lake that has
just been opened; many past instants in one call, and in as many calls on warm memory. With ``--pace`` trades of 500 streams come meanwhile.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import ticklake
from benchmarks import data

INDICATORS = [
    *("sma_20", "ema_20", "wma_20", "macd_12_26_9", "adx_14", "rsi_14", "stoch_14_3_3", "cci_20"),
    *("roc_10", "mom_10", "willr_14", "bbands_20_2", "atr_14", "natr_14", "obv_60", "mfi_14"),
]
SINGLES = 500
"""So many single calls stand for all: each costs the same."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what frames cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    parser.add_argument("--instants", type=int, default=10_000)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to store (default: the system's temp)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        print(json.dumps(measured(Path(folder), options.instants, options.trades), indent=1))
    return 0


def measured(folder: Path, instants: int, trades: int) -> dict[str, float]:
    """Return the figures."""
    with ticklake.open(folder) as lake:
        lake.save("binance:ohlcv:1m:BTC/USDT", data.bars())
        lake.save("binance:trades:BTC/USDT", next(data.days_of_trades(trades)))
        lake.compact()
        figures = _hot(lake) | _many(lake, instants)
    return figures | _cold(folder)


def _hot(lake: ticklake.Lake) -> dict[str, float]:
    at = data.START + data.DAY // 2

    def frame() -> None:
        made = lake.frame("binance", "BTC/USDT", at, kinds=(), indicators=INDICATORS)
        assert made.bars["1m"].height == 60
        assert len(made.indicators) >= len(INDICATORS)

    wall, cpu = _timed(frame, 2_000)
    figures: dict[str, float] = {}
    for name, seconds in (("hot", wall), ("hot_cpu", cpu)):
        figures |= {f"{name}_p{percent}_ms": _percentile(seconds, percent) * 1e3 for percent in (50, 99)}
    return figures


def _cold(folder: Path) -> dict[str, float]:
    seconds: list[float] = []
    for turn in range(30):
        with ticklake.open(folder) as lake:
            began = time.perf_counter()
            frame = lake.frame(
                "binance", "BTC/USDT", data.START + data.DAY // 2 + turn * 97 * data.MINUTE % data.DAY // 2
            )
            assert frame.bars["1m"].height == 60
            assert frame.latest_price() is not None
            seconds.append(time.perf_counter() - began)
    # The first one imports what frames need.
    return {"cold_p50_ms": _percentile(seconds[1:], 50) * 1e3, "cold_min_ms": min(seconds[1:]) * 1e3}


def _many(lake: ticklake.Lake, count: int) -> dict[str, float]:
    random = np.random.default_rng(1)
    instants = data.START + random.integers(data.DAY // 24, data.DAY, count)
    options = {"timeframes": ["1m", "1h"], "indicators": INDICATORS[:4]}

    def read(frame: ticklake.Frame) -> tuple[int, float | None]:
        return frame.bars["1m"].height, frame.latest_price()

    for instant in np.sort(instants)[::100].tolist():
        read(lake.frame("binance", "BTC/USDT", instant, **options))
    gc.collect()
    began = time.process_time()
    singles = [read(lake.frame("binance", "BTC/USDT", instant, **options)) for instant in instants[:SINGLES].tolist()]
    single = (time.process_time() - began) / len(singles)
    began = time.process_time()
    frames = lake.frames("binance", "BTC/USDT", instants, **options)
    made = time.process_time() - began
    batched = [read(frame) for frame in frames]
    seconds = time.process_time() - began
    assert batched[:SINGLES] == singles
    for place in range(0, min(count, SINGLES), 50):
        assert frames[place].digest() == lake.frame("binance", "BTC/USDT", int(instants[place]), **options).digest()
    return {
        "single_us": single * 1e6,
        "batched_us": seconds / count * 1e6,
        "batch_read_ms": made * 1e3,
        "times_faster": single * count / seconds,
    }


def _timed(run: Callable[[], None], times: int) -> tuple[list[float], list[float]]:
    """Return how long each run took, and the processor time of it, to which a busy machine adds nothing."""
    for _ in range(20):
        run()
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(times):
        began, begun = time.perf_counter(), time.thread_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - begun)
    return wall, cpu


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


if __name__ == "__main__":
    raise SystemExit(main())
