"""Recorded data to replay: the dataset of each file in a data folder, and its reader."""

from __future__ import annotations

import gzip
import json
import lzma
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.time import MS, SECOND
from ticklake.errors import BadInput
from ticklake.testing.exchange.market import Market

__all__ = ["FILES", "recorded_files", "recorded_market"]

_TRADE = {"ts": pl.Int64, "id": pl.String, "price": pl.Float64, "amount": pl.Float64, "side": pl.String}
_BARS = ("ts", "open", "high", "low", "close", "volume")


def _feather(path: Path) -> pl.DataFrame:
    return pl.read_ipc(path).rename({"date": "ts"}).with_columns(pl.col("ts").cast(TIME))


def _feather_funding(path: Path) -> pl.DataFrame:
    return _feather(path).select("ts", rate="open")


def _ms(rows: Sequence[Sequence[object]], columns: tuple[str, ...]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={name: _TRADE[name] for name in columns}, orient="row", strict=False)
    return frame.with_columns((pl.col("ts") * MS).cast(TIME))


def _vision_csv(path: Path) -> pl.DataFrame:
    return pl.read_csv(gzip.decompress(path.read_bytes())).select(
        "open",
        "high",
        "low",
        "close",
        "volume",
        ts=(pl.col("open_time") * MS).cast(TIME),
        quote_volume="quote_volume",
        trades=pl.col("count"),
    )


def _binanceus_csv(path: Path) -> pl.DataFrame:
    frame = pl.read_csv(lzma.decompress(path.read_bytes()))
    return frame.select(*_BARS[1:], ts=pl.col("open_time").str.to_datetime(time_unit="ns", time_zone="UTC"))


def _kraken_ohlcvt(path: Path) -> pl.DataFrame:
    names = [*_BARS, "trades"]
    frame = pl.read_csv(lzma.decompress(path.read_bytes()), has_header=False, new_columns=names)
    return frame.with_columns((pl.col("ts").cast(pl.Int64) * SECOND).cast(TIME))


def _octobot(timeframe: str, path: Path) -> pl.DataFrame:
    """Read one timeframe of the SQLite file; the open time stands inside the candle's JSON."""
    with tempfile.NamedTemporaryFile(suffix=".db") as copy:
        Path(copy.name).write_bytes(gzip.decompress(path.read_bytes()))
        connection = sqlite3.connect(copy.name)
        try:
            found = connection.execute("select candle from ohlcv where time_frame = ?", (timeframe,)).fetchall()
        finally:
            connection.close()
    rows = [json.loads(candle) for (candle,) in found]
    frame = pl.DataFrame(rows, schema=list(_BARS), orient="row", strict=False)
    bars = frame.with_columns((pl.col("ts").cast(pl.Int64) * SECOND).cast(TIME)).sort("ts")
    return bars.unique("ts", keep="last", maintain_order=True)


def _agg_trades(path: Path) -> pl.DataFrame:
    """Read aggTrade events; ``m`` says that the buyer was the maker: the taker sold."""
    rows = [
        [event["T"], str(event["a"]), float(event["p"]), float(event["q"]), "sell" if event["m"] else "buy"]
        for event in json.loads(gzip.decompress(path.read_bytes()))
    ]
    return _ms(rows, ("ts", "id", "price", "amount", "side"))


def _list_trades(path: Path) -> pl.DataFrame:
    rows = [
        [ts, identity, price, amount, side]
        for ts, identity, _, side, price, amount, _ in json.loads(gzip.decompress(path.read_bytes()))
    ]
    return _ms(rows, ("ts", "id", "price", "amount", "side"))


_Reader = Callable[[Path], pl.DataFrame]
_OCTOBOT = "ohlcv/octobot_binance_BTC_USDT_14tf_2018.sqlite.gz"
_OCTOBOT_FRAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "3d", "1w", "1M")

FILES: tuple[tuple[str, str, _Reader], ...] = (
    ("ohlcv/binance_BTC_USDT_1m_202408.feather", "binance:ohlcv:1m:BTC/USDT", _feather),
    ("ohlcv/freqtrade_XRP_ETH-1m.feather", "binance:ohlcv:1m:XRP/ETH", _feather),
    ("ohlcv/freqtrade_XRP_ETH-5m.feather", "binance:ohlcv:5m:XRP/ETH", _feather),
    ("ohlcv/binanceusdm_BTC_USDT_1m_2025.feather", "binance:ohlcv:1m:BTC/USDT:USDT", _feather),
    ("ohlcv/binanceusdm_BTC_USDT_5m_2025.feather", "binance:ohlcv:5m:BTC/USDT:USDT", _feather),
    ("ohlcv/binanceusdm_BTC_USDT_15m_2025.feather", "binance:ohlcv:15m:BTC/USDT:USDT", _feather),
    ("ohlcv/binanceusdm_BTC_USDT_1h_2025.feather", "binance:ohlcv:1h:BTC/USDT:USDT", _feather),
    ("ohlcv/vision_um_NEARUSDT-1m-2023-09.csv.gz", "binance:ohlcv:1m:NEAR/USDT:USDT", _vision_csv),
    ("ohlcv/binanceus_BTCUSD_1m_202303.csv.xz", "binanceus:ohlcv:1m:BTC/USD", _binanceus_csv),
    *((_OCTOBOT, f"binance:ohlcv:{text}:BTC/USDT", partial(_octobot, text)) for text in _OCTOBOT_FRAMES),
    ("ohlcv/kraken_XBTUSD_60m.csv.xz", "kraken:ohlcv:1h:BTC/USD", _kraken_ohlcvt),
    ("ohlcv/kraken_BTCUSDC_1m_2023.csv.xz", "kraken:ohlcv:1m:BTC/USDC", _kraken_ohlcvt),
    ("trades/binance_BTCUSDT_aggTrades_20201101T09.json.gz", "binance:trades:BTC/USDT", _agg_trades),
    ("trades/binance_ETHUSDT_aggTrades_20201101T09.json.gz", "binance:trades:ETH/USDT", _agg_trades),
    ("trades/binance_XRPETH_aggTrades_201910.json.gz", "binance:trades:XRP/ETH", _list_trades),
    ("trades/kraken_XRP_EUR_trades_2022.json.gz", "kraken:trades:XRP/EUR", _list_trades),
    ("funding/binanceusdm_BTC_USDT_funding_2025.feather", "binance:funding:BTC/USDT:USDT", _feather_funding),
    (
        "funding/binanceusdm_LAYER_USDT_funding_2025.feather",
        "binance:funding:LAYER/USDT:USDT",
        _feather_funding,
    ),
    ("funding/binanceusdm_XRP_USDT_funding_2021.feather", "binance:funding:XRP/USDT:USDT", _feather_funding),
)
"""File, dataset it is replayed as, and its reader. USD-M futures are markets of ``binance``."""


def recorded_files(folder: Path) -> Iterator[tuple[Path, Dataset, _Reader]]:
    """Yield the known files that are in *folder*."""
    for name, dataset, read in FILES:
        path = folder / name
        if path.is_file():
            yield path, Dataset.parse(dataset), read


def recorded_market(folder: Path) -> Market:
    """Return a market that replays the recorded files in *folder*.

    Raises
    ------
    BadInput
        If none of the known files is there.
    """
    market = Market()
    for path, dataset, read in recorded_files(folder):
        market.add(dataset, partial(read, path))
    if not market.series:
        raise BadInput(f"{folder} holds no recorded data that can be replayed: leave --data out to generate a market")
    return market
