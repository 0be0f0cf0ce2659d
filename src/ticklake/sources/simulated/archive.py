"""Binance's dump site over a simulated market: zips of CSV with ``.CHECKSUM`` files, made when asked for.

Paths, columns and checksums follow https://github.com/binance/binance-public-data: spot files have no header and
count microseconds from 2025 on, futures files have a header. A period is published once it is over.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, MINUTE, MS, US, parse_time
from ticklake.core.timeframe import Timeframe
from ticklake.errors import UnknownTimeframe
from ticklake.sources.simulated.faults import Faults
from ticklake.sources.simulated.market import Market
from ticklake.sources.simulated.replies import bursting

__all__ = ["SimulatedArchive"]

MICROSECONDS_FROM = parse_time("2025-01-01")
_PATH = re.compile(
    r"data/(?P<family>spot|futures/um)/(?P<period>daily|monthly)/(?P<name>[A-Za-z]+)/(?P<symbol>[A-Z0-9]+)/"
    r"(?:(?P<frame>\w+)/)?(?P=symbol)-(?P<mark>\w+)-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.zip(?P<sum>\.CHECKSUM)?"
)
_KLINE = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_HEADERS = {
    "klines": _KLINE,
    "markPriceKlines": _KLINE,
    "indexPriceKlines": _KLINE,
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
    "metrics": "create_time,symbol,sum_open_interest,sum_open_interest_value",
    "bookTicker": "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
}
_KINDS = {"klines": "ohlcv", "markPriceKlines": "mark_ohlcv", "indexPriceKlines": "index_ohlcv"}
_MONTH = Timeframe(1, "M")


@dataclass
class SimulatedArchive:
    """Answers for the files of one exchange; built files are kept."""

    market: Market
    exchange: str
    _built: dict[tuple[str, bool, int], bytes] = field(default_factory=dict)

    def answer(self, path: str, now: int, faults: Faults) -> bytes | None:
        """Return the bytes of a file at the exchange's time *now*, or ``None`` if it is not published."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        start = parse_time(match["date"])
        monthly = match["period"] == "monthly"
        end = _MONTH.next(start) if monthly else start + DAY
        if end > now or (len(match["date"]) == 7) is not monthly:
            return None
        if not monthly and faults.archive_missing_every and (start // DAY) % faults.archive_missing_every == 0:
            return None
        data = self._file(match, start, end, faults)
        if data is None or match["sum"] is None:
            return data
        wrong = faults.archive_corrupt_every and (start // DAY) % faults.archive_corrupt_every == 0
        digest = hashlib.sha256(data + b"!" if wrong else data).hexdigest()
        return f"{digest}  {path.rpartition('/')[2].removesuffix('.CHECKSUM')}\n".encode()

    def _file(self, match: re.Match[str], start: int, end: int, faults: Faults) -> bytes | None:
        key = (match[0].removesuffix(".CHECKSUM"), faults.archive_header, faults.burst)
        if key not in self._built:
            symbol = self._symbol(match["family"], match["symbol"])
            text = None if symbol is None else self._csv(match, symbol, start, end, faults)
            if text is None:
                return None
            self._built[key] = _zipped(key[0].rpartition("/")[2].removesuffix(".zip") + ".csv", text)
        return self._built[key]

    def _symbol(self, family: str, native: str) -> Symbol | None:
        wanted = "spot" if family == "spot" else "swap"
        listed = self.market.symbols(self.exchange)
        return next((s for s in listed if s.market_type == wanted and f"{s.base}{s.quote}" == native), None)

    def _csv(self, match: re.Match[str], symbol: Symbol, start: int, end: int, faults: Faults) -> str | None:
        name, spot = match["name"], match["family"] == "spot"
        rows = self._rows(match, symbol, faults)
        if rows is None:
            return None
        shift = 5 * MINUTE if name == "metrics" else 0
        ts = rows["ts"].to_physical()
        inside = rows.filter((ts >= start + shift) & (ts < end + shift)).with_columns(ts=pl.col("ts").to_physical())
        if not inside.height:
            return None
        unit = US if spot and start >= MICROSECONDS_FROM else MS
        body = _WRITERS[name](inside, unit, match).write_csv(include_header=False)
        return body if spot and not faults.archive_header else f"{_HEADERS[name]}\n{body}"

    def _rows(self, match: re.Match[str], symbol: Symbol, faults: Faults) -> pl.DataFrame | None:
        name, monthly = match["name"], match["period"] == "monthly"
        if name in _KINDS:
            try:
                frame = Timeframe.parse((match["frame"] or "").replace("1mo", "1M"))
            except UnknownTimeframe:
                return None
            return self.market.rows(self.exchange, symbol, _KINDS[name], frame)
        if name == "aggTrades":
            return bursting(self.market.rows(self.exchange, symbol, "trades"), faults)
        if name == "fundingRate" and monthly:
            return self.market.rows(self.exchange, symbol, "funding")
        if name == "metrics" and not monthly:
            return self.market.rows(self.exchange, symbol, "open_interest")
        if name == "bookTicker":
            return self.market.rows(self.exchange, symbol, "quotes")
        return None


def _klines(rows: pl.DataFrame, unit: int, match: re.Match[str]) -> pl.DataFrame:
    frame = Timeframe.parse(match["frame"].replace("1mo", "1M"))
    closes = pl.col("ts") + frame.length
    if frame.is_month:
        closes = pl.col("ts").cast(TIME).dt.offset_by(f"{frame.count}mo").to_physical()
    zero = pl.lit(0)
    return rows.select(
        pl.col("ts") // unit,
        "open",
        "high",
        "low",
        "close",
        pl.col("volume").fill_null(0.0),
        (closes // unit - 1).alias("close_time"),
        "quote_volume",
        "trades",
        zero.alias("_1"),
        zero.alias("_2"),
        zero.alias("_3"),
    )


def _agg_trades(rows: pl.DataFrame, unit: int, _match: re.Match[str]) -> pl.DataFrame:
    return rows.select(
        "id",
        "price",
        "amount",
        pl.col("id").alias("first"),
        pl.col("id").alias("last"),
        pl.col("ts") // unit,
        pl.when(pl.col("side") == "sell").then(pl.lit("true")).otherwise(pl.lit("false")).alias("maker"),
    )


def _funding(rows: pl.DataFrame, unit: int, _match: re.Match[str]) -> pl.DataFrame:
    return rows.select(pl.col("ts") // unit, pl.lit(8).alias("hours"), "rate")


def _metrics(rows: pl.DataFrame, _unit: int, match: re.Match[str]) -> pl.DataFrame:
    text = pl.col("ts").cast(TIME).dt.strftime("%Y-%m-%d %H:%M:%S")
    return rows.select(text, pl.lit(match["symbol"]).alias("symbol"), "open_interest", "open_interest_value")


def _book_ticker(rows: pl.DataFrame, unit: int, _match: re.Match[str]) -> pl.DataFrame:
    times = (pl.col("ts") // unit, (pl.col("ts") // unit).alias("event_time"))
    return rows.select("seq", "bid_price", "bid_amount", "ask_price", "ask_amount", *times)


_WRITERS: dict[str, Callable[[pl.DataFrame, int, re.Match[str]], pl.DataFrame]] = {
    "klines": _klines,
    "markPriceKlines": _klines,
    "indexPriceKlines": _klines,
    "aggTrades": _agg_trades,
    "fundingRate": _funding,
    "metrics": _metrics,
    "bookTicker": _book_ticker,
}


def _zipped(name: str, text: str) -> bytes:
    """Return a zip of one file, the same bytes every time."""
    buffer = io.BytesIO()
    member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()
