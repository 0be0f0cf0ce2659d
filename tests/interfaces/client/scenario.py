"""One lake, and the questions that are put to it: at hand, over HTTP, through the client and in the shell."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import polars as pl

from ticklake.core.kinds import TIME
from ticklake.core.time import HOUR, MINUTE, SECOND, format_time
from ticklake.lake import Lake
from ticklake.testing.rows import START, bars, trades

BARS = "binance:ohlcv:1m:BTC/USDT"
OTHER = "binance:ohlcv:1m:ETH/USDT"
TRADES = "binance:trades:BTC/USDT"
QUOTES = "binance:quotes:BTC/USDT"
MANY = 20_000
"""Trades of a file; more come inline, and over it."""


def text(offset: int) -> str:
    """Return a time that lies *offset* nanoseconds after the first row."""
    return format_time(START + offset)


def fill(lake: Lake) -> None:
    """Store files, inline rows, rows that overlap, changed and refused rows, holes, books, funding and features."""
    lake.save(BARS, bars(0, 2_000))
    lake.save(BARS, bars(2_010, 2_020))
    lake.save(BARS, bars(100, 110, bump=1.0))
    lake.save(OTHER, bars(0, 300))
    lake.save(TRADES, trades(0, MANY))
    lake.save(TRADES, trades(MANY - 10, MANY + 500), provenance="file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lake.save(BARS, bars(2_020, 2_021).with_columns(high=pl.lit(-1.0)))
    lake.save(QUOTES, _quotes())
    lake.save("binance:book:BTC/USDT", _book())
    lake.save("binance:funding:BTC/USDT", _funding())
    lake.features.register("momentum", "v1", ["ret", "vol"])
    lake.features.write("momentum", "v1", _features())


def _quotes() -> pl.DataFrame:
    times = [START + number * SECOND + 1 for number in range(600)]
    price = pl.Series("bid_price", [100 + number / 7 for number in range(600)])
    return pl.DataFrame({"ts": pl.Series(times).cast(TIME), "seq": range(600), "bid_price": price, "bid_amount": 1.5, "ask_price": price + 0.5, "ask_amount": 2.5})  # fmt: skip


def _book() -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for level in range(5):
        for side, sign in (("bid", -1), ("ask", 1)):
            rows.append({"ts": START, "seq": 1, "side": side, "price": 100 + sign * (level + 1) / 3, "amount": level + 1.5, "is_snapshot": True})  # fmt: skip
    changes = range(30)
    rows += [{"ts": START + (number + 1) * SECOND, "seq": number + 2, "side": "bid", "price": 99 + number / 100, "amount": number / 3, "is_snapshot": False} for number in changes]  # fmt: skip
    return pl.DataFrame(rows).with_columns(pl.col("ts").cast(TIME))


def _funding() -> pl.DataFrame:
    times = [START + number * 8 * HOUR for number in range(4)]
    return pl.DataFrame({"ts": pl.Series(times).cast(TIME), "rate": [0.0001, -1 / 3e5, 0.0002, 0.0003], "interval": pl.Series([8 * HOUR] * 4).cast(pl.Duration("ns"))})  # fmt: skip


def _features() -> pl.DataFrame:
    times = [START + number * MINUTE for number in range(50)]
    values = {"ret": [number / 3 for number in range(50)], "vol": [None, *range(49)]}
    ts = pl.Series(times).cast(TIME)
    frame = pl.DataFrame({"exchange": "binance", "symbol": "BTC/USDT", "ts": ts, "known_at": ts, **values})
    return frame.with_columns(pl.col("vol").cast(pl.Float64))


class Question(NamedTuple):
    """A verb that reads, how it is called, and what of its answer is compared."""

    verb: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def ask(self, lake: Any) -> Any:
        """Put it to a lake."""
        method = lake
        for name in self.verb.split("."):
            method = getattr(method, name)
        return method(*self.arguments, **self.options)


def _q(verb: str, *arguments: Any, **options: Any) -> Question:
    return Question(verb, arguments, options)


BTC = ("binance", "BTC/USDT")
NOON = text(12 * HOUR)
LEFT = pl.DataFrame({"ts": pl.Series([START + MINUTE, START + 5 * MINUTE + 1]).cast(TIME), "symbol": "BTC/USDT", "x": [1, 2]})  # fmt: skip
FILLS = LEFT.with_columns(price=pl.lit(100.5), side=pl.Series(["buy", "sell"]))

QUESTIONS = [
    _q("load", BARS),
    _q("load", TRADES),
    _q("load", TRADES, text(MINUTE), text(HOUR), columns=["price", "ts"]),
    _q("load", TRADES, text(MINUTE), text(5 * HOUR)),
    _q("load", TRADES, columns="id"),
    _q("load", TRADES, last=7),
    _q("load", TRADES, last=0),
    _q("load", TRADES, provenance=True),
    _q("load", TRADES, columns=["ts", "price", "id", "side", "amount", "provenance"]),
    _q("load", TRADES, "2031", None),
    _q("load", "binance:funding:BTC/USDT"),
    _q("load", "binance:momentum@v1:BTC/USDT"),
    _q("load", "binance:book:BTC/USDT", START, START + 20 * SECOND),
    _q("scan", TRADES, text(0), text(HOUR)),
    _q("scan", TRADES, columns=["ts", "price"], last=100),
    _q("ohlcv", *BTC, "1m", text(0), text(3 * HOUR)),
    _q("ohlcv", *BTC, "1m", columns=["ts", "close"], last=3),
    _q("trades", *BTC, last=3),
    _q("funding", *BTC),
    _q("resample", TRADES, "5m"),
    _q("resample", TRADES, "1h", text(0), text(4 * HOUR), columns=["ts", "vwap", "close_time"], last=2),
    _q("resample", BARS, "15m", partial=True, label="close"),
    _q("resample", TRADES, "100ticks", last=5),
    _q("book", *BTC, text(9 * SECOND)),
    _q("book", *BTC, text(9 * SECOND), 2, columns=["side", "price"]),
    _q("book", *BTC),
    _q("book", *BTC, "2001-01-01"),
    _q("books", *BTC, text(0), text(9 * SECOND)),
    _q("books", *BTC, text(0), text(9 * SECOND), None, None),
    _q("books", *BTC, text(0), text(9 * SECOND), "3s", 2, wide=True),
    _q("book_stats", *BTC, text(0), text(9 * SECOND), depths=[1, 2]),
    _q("imbalances", *BTC, text(0), text(9 * SECOND), "3s", ["1s", "2s"], 3),
    _q("frame", *BTC, NOON, timeframes=["1m", "1h"], features=["momentum@v1:ret"]),
    _q("frame", *BTC, text(20 * SECOND), window="30s", kinds=["trades", "quotes", "book"], book_depth=2),
    _q("frame", *BTC, text(2_016 * MINUTE), window="30m", fill="forward"),
    _q("frames", *BTC, [NOON, text(HOUR)], kinds=["funding"]),
    _q("frames", *BTC, []),
    _q("asof", TRADES, QUOTES, text(0), text(60 * SECOND), columns=["bid_price"], max_age="5s"),
    _q("asof", LEFT, "binance:ohlcv:1m:*", columns=["close", "volume"], lags={"ohlcv": "2s"}),
    _q("asof", LEFT, QUOTES, at="ts", allow_exact=False, suffix="_q"),
    _q("panel", "binance", ["BTC/USDT", "ETH/USDT"], "1m", start=text(0), end=text(HOUR)),
    _q("panel", "binance", "*", "1m", ["close"], text(0), text(MINUTE * 5)),
    _q("panel", "binance", "*", "1m", ["close", "volume"], text(0), text(MINUTE * 5), wide=False, how="inner"),
    _q("panel", "binance", "*", "1m", start=text(0), end=text(HOUR), known_at=text(MINUTE * 9), lags={"ohlcv": "1m"}),
    _q("markout", TRADES, QUOTES, text(0), text(60 * SECOND), offsets=["1s", "-2s"], unit="bps"),
    _q("markout", FILLS, QUOTES, offsets="10s", price="microprice"),
    _q("iterate", [BARS, TRADES], text(0), text(5 * MINUTE)),
    _q("iterate", "binance:*:BTC/USDT", text(0), text(5 * SECOND), by="received", batch=3),
    _q("iterate", [BARS, QUOTES], text(0), text(HOUR), as_="frames", batch=100, columns=["close", "bid_price"]),
    _q("iterate", "binance:momentum@v1:BTC/USDT"),
    _q("datasets"),
    _q("datasets", "ETH"),
    _q("datasets", "eth"),
    _q("inventory"),
    _q("inventory", "trades"),
    _q("sql", "select symbol, max(high) as high, count(*) as n, min(ts) as ts from ohlcv group by symbol order by 1"),
    _q("sql", "select * from trades where symbol = ? order by ts limit 3", ["BTC/USDT"]),
    _q("last_timestamp", TRADES),
    _q("missing_intervals", BARS),
    _q("missing_intervals", BARS, text(0), text(HOUR)),
    _q("gaps", BARS),
    _q("gaps", TRADES, quick=True),
    _q("gap_report", BARS, text(0), text(5_000 * MINUTE)),
    _q("condition", BARS),
    _q("estimate", TRADES, text(0), text(HOUR), columns=["ts", "price"]),
    _q("coverage", BARS),
    _q("provenance", TRADES),
    _q("provenance", TRADES, text(0)),
    _q("provenance_by_file", TRADES),
    _q("quarantine", BARS),
    _q("quarantine"),
    _q("quarantine", BARS, limit=0),
    _q("revisions", BARS),
    _q("quality", BARS),
    _q("quality", TRADES, text(0), text(HOUR)),
    _q("quality_trend", BARS),
    _q("continuity", TRADES),
    _q("features.list"),
    _q("features.describe", "momentum", "v1"),
    _q("features.describe", "momentum@v1", statistics=False),
    _q("features.read", "momentum", "v1", "BTC/USDT", text(0), text(9 * MINUTE), columns="ret"),
    _q("features.latest", "momentum@v1", at=text(9 * MINUTE)),
    _q("features.at", ["momentum@v1:ret"], *BTC, [text(MINUTE), text(7 * MINUTE)]),
    _q("features.join", LEFT, ["momentum@v1"], exchange="binance", full_names=True),
    # What cannot be answered is refused in the same words.
    _q("load", "binance:ohlcv:1m:BTC/USD"),
    _q("load", TRADES, columns="prize"),
    _q("load", TRADES, "yesterday-ish"),
    _q("load", TRADES, text(HOUR), text(0)),
    _q("load", TRADES, last=-1),
    _q("gaps", "kraken:trades:BTC/USD"),
    _q("resample", TRADES, "1fortnight"),
    _q("book", "kraken", "BTC/USD"),
    _q("frame", *BTC, "2300-01-01"),
    _q("panel", "binance", "DOGE/*", "1m"),
    _q("features.read", "nothing", "v1"),
    _q("iterate", BARS, by="nothing"),
    _q("sql", "select nothing from ohlcv"),
    _q("at", 10**6),
]
