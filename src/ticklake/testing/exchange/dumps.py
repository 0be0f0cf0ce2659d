"""What stands in the files of simulated dump sites: a header and a writer for each layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import MS, US, parse_time
from ticklake.core.timeframe import Timeframe

__all__ = ["HEADERS", "KINDS", "Asked", "csv_of"]

MICROSECONDS_FROM = parse_time("2025-01-01")
CONTRACT = 100.0
"""Dollars that one contract of Binance's COIN-M stands for, of BTC at least."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which file was asked for: the part of a site, what of which market, and from when to when (nanoseconds)."""

    family: str
    name: str
    symbol: str
    frame: str
    start: int
    end: int
    is_monthly: bool = False

    @property
    def layout(self) -> str:
        """Its row in the tables below."""
        return f"{self.family} {self.name}" if self.family in {"bybit", "okx"} else self.name

    @property
    def unit(self) -> int:
        """In how many nanoseconds its integer times count."""
        return US if self.family == "spot" and self.start >= MICROSECONDS_FROM else MS


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


def csv_of(rows: pl.DataFrame, asked: Asked) -> bytes:
    """Return *rows* (with ``ts`` as integers) as the lines of a file, without the header."""
    return _WRITERS[asked.layout](rows, asked).write_csv(include_header=False).encode()


def _klines(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    frame, unit, zero = Timeframe.parse(asked.frame), asked.unit, pl.lit(0)
    closes = pl.col("ts") + frame.length
    if frame.is_month:
        closes = pl.col("ts").cast(TIME).dt.offset_by(f"{frame.count}mo").to_physical()
    volume, quote_volume = pl.col("volume").fill_null(0.0), pl.col("quote_volume")
    if asked.family == "futures/cm":
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


def _agg_trades(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    ids = (pl.col("id").alias("first"), pl.col("id").alias("last"))
    return rows.select("id", "price", "amount", *ids, pl.col("ts") // asked.unit, _maker())


def _raw_trades(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    quote = (pl.col("price") * pl.col("amount")).alias("quote_qty")
    return rows.select("id", "price", "amount", quote, pl.col("ts") // asked.unit, _maker())


def _funding(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    return rows.select(pl.col("ts") // asked.unit, pl.lit(8).alias("hours"), "rate")


def _metrics(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    text = pl.col("ts").cast(TIME).dt.strftime("%Y-%m-%d %H:%M:%S")
    return rows.select(text, pl.lit(asked.symbol).alias("symbol"), "open_interest", "open_interest_value")


def _book_ticker(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    times = (pl.col("ts") // asked.unit, (pl.col("ts") // asked.unit).alias("event_time"))
    return rows.select("seq", "bid_price", "bid_amount", "ask_price", "ask_amount", *times)


def _bybit_trades(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    seconds = pl.col("ts").cast(TIME).dt.strftime("%s.%6f")
    side = pl.col("side").str.to_titlecase()
    words = (pl.lit(asked.symbol).alias("symbol"), pl.lit("ZeroPlusTick").alias("tick"))
    return rows.select(seconds, words[0], side, "amount", "price", words[1], "id").reverse()


def _okx_trades(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    side = pl.col("side").str.to_uppercase()
    return rows.select(pl.lit(asked.symbol).alias("name"), "id", side, "price", "amount", pl.col("ts") // MS)


def _okx_bars(rows: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    """Write bars; sizes of swaps are contracts in ``vol`` and coins in ``vol_ccy``, those of spot coins and quote."""
    is_swap = asked.symbol.endswith("-SWAP")
    volume, quote = pl.col("volume"), pl.col("quote_volume")
    vol, ccy = ((volume * CONTRACT).round(), volume) if is_swap else (volume, quote)
    sizes = (vol.alias("vol"), ccy.alias("vol_ccy"), quote.alias("vol_quote"))
    name, last = pl.lit(asked.symbol).alias("name"), pl.lit(1).alias("confirm")
    return rows.select(name, "open", "high", "low", "close", *sizes, pl.col("ts") // MS, last)


_WRITERS: dict[str, Callable[[pl.DataFrame, Asked], pl.DataFrame]] = {
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
