"""Indicators of recorded bars: what came before the warm-up does not count, in calm markets and in crashes."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ticklake.core.indicator_names import parse_indicators, usual_name
from ticklake.core.indicator_table import DEFINITIONS
from ticklake.core.indicators import compute, compute_at

RECURSIVE = parse_indicators(
    [usual_name(name, definition) for name, definition in DEFINITIONS.items() if definition.memory == "recursive"]
)
PRICES = ["open", "high", "low", "close", "volume"]


def bars_of(path):
    read = {".gz": lambda: pl.read_csv(gzip.decompress(path.read_bytes())), ".feather": lambda: pl.read_ipc(path)}
    return read[path.suffix]().select(pl.col(PRICES).cast(pl.Float64))


@pytest.mark.parametrize(
    "name",
    ["binance_BTC_USDT_1m_202408.feather", "vision_um_NEARUSDT-1m-2023-09.csv.gz", "freqtrade_XRP_ETH-1m.feather"],
)
def test_a_longer_history_changes_no_value_of_recorded_bars(recorded, name):
    bars = bars_of(recorded / "ohlcv" / name)
    ends = np.random.default_rng(7).integers(1_500, bars.height, 40)
    for indicator in RECURSIVE:
        values = compute_at(bars, ends, [indicator])
        for place, end in enumerate(ends.tolist()):
            rows = min(end, 3 * indicator.warm_up)
            longer = compute(bars[:end], [replace(indicator, warm_up=rows)])
            for output in indicator.outputs:
                difference = abs(values[output][place] - longer[output])
                assert difference < 1e-7 * max(abs(longer[output]), around_zero(indicator.name, bars["close"][end - 1]))


def around_zero(name, price):
    """What a value that may be near 0 is compared with: the price for differences of prices, 100 for percents."""
    if name.startswith("macd"):
        return price
    if name.startswith(("cmo", "trix")):
        return 100
    return 0
