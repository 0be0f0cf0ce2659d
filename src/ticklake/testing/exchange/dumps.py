"""The content of files on simulated dump sites: a header and a writer for each layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import MS, US, parse_time
from ticklake.core.timeframe import Timeframe

__all__ = ["HEADERS", "KINDS", "DumpFile", "csv_of"]

MICROSECONDS_FROM = parse_time("2025-01-01")
CONTRACT = 100.0
"""The value of one COIN-M contract of Binance in dollars, for BTC."""


@dataclass(frozen=True, slots=True)
class DumpFile:
    """A file by its path: the part of a site, the data and market, and the time that it holds (nanoseconds)."""

    family: str
    name: str
    symbol: str
    frame: str
    start: int
    end: int
    is_monthly: bool = False

    @property
    def layout(self) -> str:
        """Its key in the tables below."""
        if self.family in {"bybit", "okx"}:
            return f"{self.family} {self.name}"
        return self.name

    @property
    def unit(self) -> int:
        """The unit of its integer times, in nanoseconds."""
        if self.family == "spot" and self.start >= MICROSECONDS_FROM:
            return US
        return MS


KINDS = {
    "klines": "ohlcv",
    "markPriceKlines": "mark_ohlcv",
    "indexPriceKlines": "index_ohlcv",
    "aggTrades": "trades",
    "trades": "trades",
    "fundingRate": "funding",
    "metrics": "open_interest",
    "bookTicker": "quotes",
    "bybit trading": "trades",
    "okx trades": "trades",
    "okx candlesticks": "ohlcv",
}
_KLINE = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
HEADERS = {
    "klines": _KLINE,
    "markPriceKlines": _KLINE,
    "indexPriceKlines": _KLINE,
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
    "metrics": "create_time,symbol,sum_open_interest,sum_open_interest_value",
    "bookTicker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
    "bybit trading": "timestamp,symbol,side,size,price,tickDirection,trdMatchID",
    "okx trades": "instrument_name,trade_id,side,price,size,created_time",
    "okx candlesticks": "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm",
}


def csv_of(rows: pl.DataFrame, file: DumpFile) -> bytes:
    """Return *rows* (with ``ts`` as integers) as the lines of a file, without the header."""
    return _WRITERS[file.layout](rows, file).write_csv(include_header=False).encode()


def _klines(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    frame, unit, zero = Timeframe.parse(file.frame), file.unit, pl.lit(0)
    closes = pl.col("ts") + frame.length
    if frame.is_month:
        closes = pl.col("ts").cast(TIME).dt.offset_by(f"{frame.count}mo").to_physical()
    volume, quote_volume = pl.col("volume").fill_null(0.0), pl.col("quote_volume")
    if file.family == "futures/cm":
        volume, quote_volume = (volume * pl.col("close") / CONTRACT).round(), volume
    return rows.select(
        pl.col("ts") // unit,
        "open",
        "high",
        "low",
        "close",
        volume.alias("volume"),
        (closes // unit - 1).alias("close_time"),
        quote_volume.alias("quote_volume"),
        "trades",
        zero.alias("_1"),
        zero.alias("_2"),
        zero.alias("_3"),
    )


def _maker() -> pl.Expr:
    return pl.when(pl.col("side") == "sell").then(pl.lit("true")).otherwise(pl.lit("false")).alias("maker")


def _agg_trades(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    ids = (pl.col("id").alias("first"), pl.col("id").alias("last"))
    return rows.select("id", "price", "amount", *ids, pl.col("ts") // file.unit, _maker())


def _raw_trades(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    quote = (pl.col("price") * pl.col("amount")).alias("quote_qty")
    return rows.select("id", "price", "amount", quote, pl.col("ts") // file.unit, _maker())


def _funding(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    return rows.select(pl.col("ts") // file.unit, pl.lit(8).alias("hours"), "rate")


def _metrics(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    text = pl.col("ts").cast(TIME).dt.strftime("%Y-%m-%d %H:%M:%S")
    return rows.select(text, pl.lit(file.symbol).alias("symbol"), "open_interest", "open_interest_value")


def _book_ticker(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    times = (pl.col("ts") // file.unit, (pl.col("ts") // file.unit).alias("event_time"))
    return rows.select("seq", "bid_price", "bid_amount", "ask_price", "ask_amount", *times)


def _bybit_trades(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    seconds = pl.col("ts").cast(TIME).dt.strftime("%s.%6f")
    side = pl.col("side").str.to_titlecase()
    words = (pl.lit(file.symbol).alias("symbol"), pl.lit("ZeroPlusTick").alias("tick"))
    return rows.select(seconds, words[0], side, "amount", "price", words[1], "id").reverse()


def _okx_trades(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    side = pl.col("side").str.to_uppercase()
    return rows.select(pl.lit(file.symbol).alias("name"), "id", side, "price", "amount", pl.col("ts") // MS)


def _okx_bars(rows: pl.DataFrame, file: DumpFile) -> pl.DataFrame:
    """Return bars. ``vol`` and ``vol_ccy`` are contracts and coins for swaps, coins and quote for spot."""
    volume, quote = pl.col("volume"), pl.col("quote_volume")
    vol, ccy = volume, quote
    if file.symbol.endswith("-SWAP"):
        vol, ccy = (volume * CONTRACT).round(), volume
    sizes = (vol.alias("vol"), ccy.alias("vol_ccy"), quote.alias("vol_quote"))
    name, last = pl.lit(file.symbol).alias("name"), pl.lit(1).alias("confirm")
    return rows.select(name, "open", "high", "low", "close", *sizes, pl.col("ts") // MS, last)


_WRITERS: dict[str, Callable[[pl.DataFrame, DumpFile], pl.DataFrame]] = {
    "klines": _klines,
    "markPriceKlines": _klines,
    "indexPriceKlines": _klines,
    "aggTrades": _agg_trades,
    "trades": _raw_trades,
    "fundingRate": _funding,
    "metrics": _metrics,
    "bookTicker": _book_ticker,
    "bybit trading": _bybit_trades,
    "okx trades": _okx_trades,
    "okx candlesticks": _okx_bars,
}
