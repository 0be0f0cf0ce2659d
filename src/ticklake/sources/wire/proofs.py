"""What proves, for each exchange and kind, that no message is missing, and what remains unseen all the same."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["PROOFS", "By", "StreamProof", "proof_of"]

By = Literal["checksum", "chain", "counter", "ids", "time only", "none"]
"""``checksum``: the exchange sums up the book after each change. ``chain``: each message names the number of the one before, or follows
it by one. ``counter``: all messages of a connection are counted. ``ids``: the ids of rows ascend without holes. ``time only``: rows
come in a known rhythm. ``none``: a missing message leaves no trace."""


class StreamProof(NamedTuple):
    """What proves a kind of an exchange, and its blind spots in words."""

    exchange: str
    kind: str
    by: By
    blind: str = ""


_STATE = "a state: a missing message is replaced by the next one"
_BARS = "a bar that is missing shows as a hole between the bars around it"
_IDS = "ids are not said to follow one another"
_COUNTED = "messages that the exchange dropped before it counted them"
_UNSEEN = "a missing message leaves no trace but a crossed book"

PROOFS: tuple[StreamProof, ...] = (
    StreamProof(
        "binance",
        "trades",
        "ids",
        "trades after the last one, until the next comes; ids of trades and of aggregated trades are two numberings",
    ),
    StreamProof(
        "binance",
        "book",
        "chain",
        "levels that were in the book before its stream began, beyond the depth of the fetched book",
    ),
    StreamProof("binance", "quotes", "none", _STATE),
    StreamProof("binance", "ohlcv", "time only", _BARS),
    StreamProof("binance", "mark_ohlcv", "time only", _BARS),
    StreamProof("binance", "index_ohlcv", "time only", _BARS),
    StreamProof("binance", "predicted_funding", "time only", "a row every one or three seconds"),
    StreamProof("binance", "open_interest", "time only", "asked for by calls every minute: a row every five minutes"),
    StreamProof("binance", "liquidations", "none", "the exchange sends the largest order of each second alone"),
    StreamProof("kraken", "trades", "ids", "the first API sends no ids: there a missing trade leaves no trace"),
    StreamProof(
        "kraken",
        "book",
        "checksum",
        "the ten best levels of each side are summed up: an error below them shows when it comes up",
    ),
    StreamProof("kraken", "quotes", "none", _STATE),
    StreamProof(
        "kraken",
        "ohlcv",
        "time only",
        "a bar is taken as over when the next one comes: in a market without trades that is late",
    ),
    StreamProof(
        "okx",
        "trades",
        "none",
        "the channel trades sums up fills of one order and gives the last id, so ids have holes; those of trades-all have none",
    ),
    StreamProof(
        "okx",
        "book",
        "chain",
        "checksums are proven, too, where they are sent: since 2026 OKX sends 0, which proves nothing; before 2023 no numbers",
    ),
    StreamProof("okx", "quotes", "none", _STATE),
    StreamProof("okx", "ohlcv", "time only", _BARS),
    StreamProof("okx", "mark_ohlcv", "time only", _BARS),
    StreamProof("okx", "index_ohlcv", "time only", _BARS),
    StreamProof("okx", "funding", "time only", "a row an interval"),
    StreamProof("okx", "predicted_funding", "time only", "a row every 30 to 90 seconds"),
    StreamProof("okx", "open_interest", "time only", "a row every three seconds where it changed"),
    StreamProof("okx", "liquidations", "none", "at most one order a second of each contract is sent"),
    StreamProof("bybit", "trades", "none", "ids are random for contracts, and ascend with holes for the spot market"),
    StreamProof(
        "bybit",
        "book",
        "chain",
        "the number 1 begins a new book after a restart of the exchange: what changed before it is lost",
    ),
    StreamProof("bybit", "quotes", "none", _STATE),
    StreamProof("bybit", "ohlcv", "time only", _BARS),
    StreamProof("bybit", "predicted_funding", "none", _STATE),
    StreamProof("bybit", "open_interest", "none", _STATE),
    StreamProof(
        "bybit",
        "liquidations",
        "none",
        "the channel liquidation, until 2025, sent one a second; the side of the position is turned to that of the order",
    ),
    StreamProof("coinbase", "trades", "ids", "and by counter; " + _COUNTED),
    StreamProof(
        "coinbase",
        "book",
        "counter",
        _COUNTED + "; the Exchange API (level2) counts nothing: there only a crossed book tells",
    ),
    StreamProof("coinbase", "quotes", "counter", _COUNTED),
    StreamProof("coinbase", "ohlcv", "counter", "a bar is taken as over when the next one comes"),
    StreamProof("deribit", "trades", "chain", "trades after the last one of an instrument, until its next comes"),
    StreamProof(
        "deribit",
        "book",
        "chain",
        "books of some levels (book.X.none.20.100ms) come whole each time, and have no chain",
    ),
    StreamProof("deribit", "quotes", "none", _STATE),
    StreamProof("deribit", "ohlcv", "time only", "a bar is taken as over when the next one comes"),
    StreamProof("deribit", "predicted_funding", "none", _STATE),
    StreamProof("deribit", "open_interest", "none", _STATE),
    StreamProof("deribit", "liquidations", "none", "they are among the trades"),
    StreamProof(
        "bitfinex",
        "trades",
        "counter",
        "with the flag SEQ_ALL (65536) alone; ids have holes; trades that come settled alone (tu) are not read",
    ),
    StreamProof(
        "bitfinex",
        "book",
        "checksum",
        "with the flag OB_CHECKSUM (131072), of the 25 best levels, or by counter with SEQ_ALL (65536); without both nothing",
    ),
    StreamProof("bitfinex", "quotes", "counter", "with the flag SEQ_ALL (65536) alone"),
    StreamProof("bitfinex", "ohlcv", "time only", "a bar is taken as over when the next one comes"),
    StreamProof("bitfinex", "predicted_funding", "none", _STATE),
    StreamProof("bitfinex", "open_interest", "none", _STATE),
    StreamProof("bitfinex", "liquidations", "none", "parts of one liquidation are separate rows"),
    StreamProof("bitmex", "trades", "none", "ids are random: a missing trade leaves no trace"),
    StreamProof("bitmex", "book", "none", _UNSEEN),
    StreamProof("bitmex", "quotes", "none", _STATE),
    StreamProof("bitmex", "ohlcv", "time only", _BARS),
    StreamProof("bitmex", "funding", "time only", "a row an interval"),
    StreamProof("bitmex", "predicted_funding", "none", _STATE),
    StreamProof("bitmex", "open_interest", "none", _STATE),
    StreamProof("bitmex", "liquidations", "none", "orders that change before they are filled are rows as they began"),
    StreamProof("bitget", "trades", "none", _IDS + "; the first API sends none"),
    StreamProof(
        "bitget",
        "book",
        "checksum",
        "of the 25 best levels (APIs 1 and 2); the third API has a chain of numbers instead",
    ),
    StreamProof("krakenfutures", "trades", "chain", "trades after the last one of a market, until its next comes"),
    StreamProof("krakenfutures", "book", "chain"),
    StreamProof("kucoin", "trades", "none", _IDS),
    StreamProof("kucoin", "book", "chain", "changes from before the fetched book"),
    StreamProof("gate", "trades", "none", _IDS),
    StreamProof("gate", "book", "chain", "the third API, until 2021, numbers nothing: there only a crossed book tells"),
    StreamProof(
        "dydx", "trades", "counter", "it is told up to 200 messages later: answers to subscriptions overtake others"
    ),
    StreamProof(
        "dydx", "book", "counter", "it is told up to 200 messages later: answers to subscriptions overtake others"
    ),
    StreamProof("poloniex", "trades", "none", _IDS),
    StreamProof("poloniex", "book", "chain", "changes after the last one of a market, until its next comes"),
    StreamProof("hitbtc", "trades", "none", _IDS),
    StreamProof("hitbtc", "book", "chain", "changes after the last one of a market, until its next comes"),
    StreamProof("gemini", "trades", "none", "the first API counts the messages of a connection"),
    StreamProof("gemini", "book", "none", _UNSEEN + "; the first API counts the messages of a connection"),
    StreamProof("bitstamp", "trades", "none", _IDS),
    StreamProof("bitstamp", "book", "none", _UNSEEN),
    StreamProof("phemex", "trades", "none", "they have no ids"),
    StreamProof("phemex", "book", "none", _UNSEEN + ": numbers ascend, but not by one"),
    StreamProof("bitflyer", "trades", "none", _IDS),
    StreamProof("bitflyer", "book", "none", _UNSEEN),
    StreamProof("bithumb", "trades", "none", _IDS + "; the first API sends none"),
    StreamProof("bithumb", "book", "none", _UNSEEN),
    StreamProof("cryptocom", "trades", "none", _IDS),
    StreamProof("cryptocom", "book", "chain", "of the channel with changes; whole books replace one another"),
    StreamProof("htx", "trades", "none", _IDS),
    StreamProof("htx", "book", "chain", "of the channels with changes; whole books replace one another"),
    StreamProof("hyperliquid", "trades", "none", _IDS),
    StreamProof("hyperliquid", "book", "none", _STATE),
    StreamProof("upbit", "trades", "none", _IDS),
    StreamProof("upbit", "book", "none", _STATE),
)
"""Every kind that the readers of :mod:`~ticklake.sources.wire.messages` take from a stream of the exchanges down to BitMEX, and the trades
and books of the others."""

_FAMILIES = {"binanceusdm": "binance", "binancecoinm": "binance", "binanceus": "binance"}
"""Exchanges that send what another one sends."""


def proof_of(exchange: str, kind: str) -> By:
    """Return what proves a kind of an exchange; ``none`` where nothing is known to."""
    name = _FAMILIES.get(exchange, exchange)
    for proof in PROOFS:
        if (proof.exchange, proof.kind) == (name, kind):
            return proof.by
    return "none"
