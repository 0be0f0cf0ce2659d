"""Lakes for queries: rows in files, inline, merged and cut, of several exchanges, derived ones and features."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ticklake.app import open_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR
from ticklake.lake import Lake
from ticklake.testing.rows import START, bars, trades

BTC, ETH = "BTC/USDT", "ETH/USDT"


def filled(folder: Path) -> Lake:
    """Return a lake with every way in which rows can be stored; brackets in its name mean nothing to anybody."""
    lake = open_lake(folder / "lake [a*]'s", create=True)
    lake.save(f"x:ohlcv:1h:{BTC}", bars(0, 200, interval=HOUR))
    lake.save(f"x:ohlcv:1h:{ETH}", bars(0, 50, 100.0, interval=HOUR))
    lake.save(f"y:ohlcv:1d:{BTC}", bars(0, 9, interval=DAY))
    lake.save(f"x:trades:{BTC}", trades(0, 500))
    lake.save(f"y:trades:{ETH}", trades(100, 300))
    lake.save("x:funding:BTC/USDT:USDT", funding(0, 10))
    lake.compact()
    # Corrections over the end of a file, and new rows behind it: merged, and inline.
    lake.save(f"x:ohlcv:1h:{BTC}", bars(150, 160, 3.0, interval=HOUR))
    lake.save(f"x:ohlcv:1h:{BTC}", bars(200, 210, interval=HOUR))
    lake.save(f"x:trades:{BTC}", trades(500, 600))
    lake.save(f"x:quotes:{BTC}", quotes(0, 30))
    lake.derive("from_trades", f"x:trades:{BTC}", "1m", kind="ohlcv")
    lake.derived.refresh()
    return lake


def funding(first: int, last: int) -> pl.DataFrame:
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    interval = pl.Series([8 * HOUR]).new_from_index(0, numbers.len()).cast(pl.Duration("ns"))
    return pl.DataFrame({"ts": (numbers * 8 * HOUR + START).cast(TIME), "rate": numbers / 1e4, "interval": interval})


def quotes(first: int, last: int) -> pl.DataFrame:
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    price = numbers.cast(pl.Float64) + 1
    return pl.DataFrame({"ts": (numbers * 10**10 + START).cast(TIME), "bid_price": price, "ask_price": price + 0.5})
