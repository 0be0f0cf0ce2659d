"""Rows out of the answers of exchanges' public REST APIs: which host is whose, and which call is read how. One row a fact.

An answer is told by its address. Where none was recorded it is told by its look among the calls of one exchange, which must then be
known otherwise: answers of two exchanges look alike too often.

Sources
-------
The public API documentation of each exchange, and for the first versions of their APIs what was recorded of them. What is easily
mistaken:

- Order of prices: Binance, Kraken, OKX, Bybit and Deribit write open, high, low, close; Bitfinex and KuCoin open, close, high, low;
  Coinbase Exchange low, high, open, close; Gate close, high, low, open.
- Volumes are amounts of the base currency here. Of contracts OKX writes those in its 7th column, Bybit's inverse contracts and Binance's
  COIN-M have them where others have the quote volume, BitMEX in ``homeNotional``.
- Sides are the taker's. Coinbase writes the maker's; Binance whether the buyer was the maker; Bitfinex a sign.
- BitMEX names bars by their ends.
- Whether the newest bar is over: OKX and Gate say so; Kraken's never is; else the time of the answer tells, and without one it counts as not over.
- The third entry of a level is its number of orders on Coinbase and OKX (the fourth in OKX' later APIs), and a time on Kraken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ticklake.core.native_ids import Market
from ticklake.sources.wire.answer_bars import BARS
from ticklake.sources.wire.answer_books import BOOKS
from ticklake.sources.wire.answer_trades import FUNDING, TRADES
from ticklake.sources.wire.call import Answer, Call, market_of
from ticklake.sources.wire.rows import Row

__all__ = ["EXCHANGES", "Answer", "Reading", "host_of", "is_reference", "read_answer"]

_HOSTS: dict[str, tuple[str, Market | None]] = {
    **dict.fromkeys(
        [f"{name}.binance.com" for name in ("api", "api1", "api2", "api3", "api4", "data")], ("binance", "spot")
    ),
    "data-api.binance.vision": ("binance", "spot"),
    "fapi.binance.com": ("binance", "linear"),
    "dapi.binance.com": ("binance", "inverse"),
    "api.binance.us": ("binanceus", "spot"),
    "api.kraken.com": ("kraken", "spot"),
    "futures.kraken.com": ("krakenfutures", None),
    "api.bitfinex.com": ("bitfinex", None),
    "api-pub.bitfinex.com": ("bitfinex", None),
    "www.bitmex.com": ("bitmex", None),
    "api.bybit.com": ("bybit", None),
    "api.bytick.com": ("bybit", None),
    "www.okex.com": ("okx", None),
    "www.okx.com": ("okx", None),
    "aws.okx.com": ("okx", None),
    "api.gdax.com": ("coinbase", "spot"),
    "api.pro.coinbase.com": ("coinbase", "spot"),
    "api.exchange.coinbase.com": ("coinbase", "spot"),
    "api.coinbase.com": ("coinbase", None),
    "api.kucoin.com": ("kucoin", "spot"),
    "openapi-v2.kucoin.com": ("kucoin", "spot"),
    "data.gate.io": ("gate", "spot"),
    "data.gateapi.io": ("gate", "spot"),
    "api.gateio.ws": ("gate", "spot"),
    "api.huobi.pro": ("htx", "spot"),
    "api-aws.huobi.pro": ("htx", "spot"),
    "www.deribit.com": ("deribit", None),
}
"""Whose a host is. The hosts of Huobi in Japan, Korea and Indonesia are other exchanges, and so are its contracts' (``api.hbdm.com``), whose
names of markets change their meaning every week."""

EXCHANGES = frozenset(exchange for exchange, _ in _HOSTS.values())
"""The exchanges of which answers are read."""

_CALLS: tuple[Call, ...] = (*BARS, *TRADES, *BOOKS, *FUNDING)
_REFERENCE = re.compile(
    r"/(?:exchangeInfo|instruments(?:-info)?|instrument/active(?:Intervals)?|get[_-]?instruments|symbols|AssetPairs|Assets|(?:currency_)?pairs|products|"
    r"currencies|markets?/all|markets|time|ping|status|\w*contract_info|conf/[\w:.]+)/?$"
)


_WORD = re.compile(r"OHLC|(?=.*[a-z])(?!t[A-Z])[A-Za-z_-]{3,}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer holds: its channel (the call), and its rows, or ``None`` if no call of the table reads it.

    ``refused`` says why its rows may not come in, although they are understood.
    """

    channel: str
    rows: list[Row] | None = None
    refused: str = ""
    market: Market | None = None


def host_of(host: str) -> tuple[str, Market | None]:
    """Return the exchange of a host, and which part of it; nothing if it is not known.

    >>> host_of("api.gdax.com"), host_of("api-cloud.huobi.co.jp")
    (('coinbase', 'spot'), ('', None))
    """
    return _HOSTS.get(host.lower(), ("", None))


def is_reference(path: str) -> bool:
    """Whether a call asks for lists of markets, the time or the state of the exchange: no market data."""
    return _REFERENCE.search(path) is not None


def read_answer(answer: Answer) -> Reading:
    """Return what an answer holds."""
    for call in _CALLS:
        if answer.exchange not in call.exchanges:
            continue
        match = re.search(call.path, answer.path) if answer.path else None
        is_told = match is not None if answer.path else call.by_look
        if not is_told or not call.fits(answer.body):
            continue
        told = answer.with_parts(match.groupdict() if match else {})
        return _read(call, told)
    return Reading(_called(answer))


def _read(call: Call, answer: Answer) -> Reading:
    channel = _called(answer) if answer.path else call.kind
    problem = call.refuses(answer)
    if problem:
        return Reading(channel, refused=problem)
    return Reading(channel, list(call.read(answer)), market=market_of(answer))


def _called(answer: Answer) -> str:
    """Return the name of a call: the last step of its path that is no parameter."""
    if not answer.exchange:
        return f"{answer.host}{answer.path}"
    return next(
        (step for step in reversed(answer.path.split("/")) if _WORD.fullmatch(step) and step != "hist"), "answer"
    )
