"""Read rows from the answers of exchanges' public REST APIs: the tables of hosts and of calls.

An answer is recognised by its address. If no address was recorded, it is recognised by its form among the calls of one exchange, which
must be known otherwise: answers of two exchanges look alike too often.

Sources
-------
The public API documentation of each exchange, and recordings of the first versions of their APIs. Easily mistaken are:

- Order of prices: Binance, Kraken, OKX, Bybit and Deribit write open, high, low, close; Bitfinex and KuCoin open, close, high, low;
  Coinbase Exchange low, high, open, close; Gate close, high, low, open.
- Volumes are amounts of the base currency here. For contracts OKX writes them in its 7th column, Bybit's inverse contracts and Binance's
  COIN-M where others have the quote volume, BitMEX in ``homeNotional``.
- Sides are the taker's. Coinbase writes the maker's; Binance whether the buyer was the maker; Bitfinex a sign.
- BitMEX stamps bars with their ends.
- The newest bar may not be over. OKX and Gate say whether it is; Kraken's never is; for others the time of the answer decides, and without
  one the bar counts as not over.
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
    "api.binance.com": ("binance", "spot"),
    "api1.binance.com": ("binance", "spot"),
    "api2.binance.com": ("binance", "spot"),
    "api3.binance.com": ("binance", "spot"),
    "api4.binance.com": ("binance", "spot"),
    "www.binance.com": ("binance", "spot"),
    "data.binance.com": ("binance", "spot"),
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
    "www.bitstamp.net": ("bitstamp", None),
}
"""The exchange of each host, and its part. The hosts of Huobi in Japan, Korea and Indonesia are other exchanges. Huobi's contracts
(``api.hbdm.com``) are left out because their names change their meaning every week."""

EXCHANGES = frozenset(exchange for exchange, _ in _HOSTS.values())
"""The exchanges whose answers are read."""

_CALLS: tuple[Call, ...] = (*BARS, *TRADES, *BOOKS, *FUNDING)
_REFERENCE = re.compile(
    r"/(?:exchangeInfo|instruments(?:-info)?|instrument/active(?:Intervals)?|get[_-]?instruments|symbols|AssetPairs|Assets|(?:currency_)?pairs|products|"
    r"currencies|markets?/all|(?:get)?markets(?:/\w+)?|time|ping|status|\w*contract_info|conf/[\w:.]+|"
    r"contracts(?:/active)?|public/symbol|symbols/details/\w+|trading-pairs-info|bullet-public|"
    r"public/ticker/ALL(?:_\w+)?)/?$"
)
_DETAILS = re.compile(r"(?<=/details)/\w+/?$")
_WORD = re.compile(r"OHLC|(?=.*[a-z])(?!t[A-Z])[A-Za-z_-]{3,}")


@dataclass(frozen=True, slots=True)
class Reading:
    """The content of an answer: its channel (the call) and its rows, or ``None`` if no call of the tables reads it.

    ``refused`` is the reason why rows that can be read must not be imported.
    """

    channel: str
    rows: list[Row] | None = None
    refused: str = ""
    market: Market | None = None


def host_of(host: str) -> tuple[str, Market | None]:
    """Return the exchange of a host and its part; empty and ``None`` if the host is unknown.

    >>> host_of("api.gdax.com"), host_of("api-cloud.huobi.co.jp")
    (('coinbase', 'spot'), ('', None))
    """
    return _HOSTS.get(host.lower(), ("", None))


def is_reference(path: str) -> bool:
    """Whether a call returns lists of markets, the time or the state of the exchange, and no market data."""
    return _REFERENCE.search(path) is not None


def read_answer(answer: Answer) -> Reading:
    """Return the content of an answer."""
    for call in _CALLS:
        if answer.exchange not in call.exchanges:
            continue
        if not answer.path:
            if call.by_look and call.fits(answer.body):
                return _read(call, answer, call.kind)
            continue
        match = re.search(call.path, answer.path)
        if match is not None and call.fits(answer.body):
            return _read(call, answer.with_parts(match.groupdict()), _channel_of(answer))
    return Reading(_channel_of(answer))


def _read(call: Call, answer: Answer, channel: str) -> Reading:
    problem = call.refuses(answer)
    if problem:
        return Reading(channel, refused=problem)
    return Reading(channel, list(call.read(answer)), market=market_of(answer))


def _channel_of(answer: Answer) -> str:
    """Return the name of a call: the last step of its path that is no parameter."""
    if not answer.exchange:
        # Gemini describes each market in an answer of its own: hundreds of them are one channel.
        return f"{answer.host}{_DETAILS.sub('', answer.path)}"
    for step in reversed(answer.path.split("/")):
        if _WORD.fullmatch(step) and step != "hist":
            return step
    return "answer"
