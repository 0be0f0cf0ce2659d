"""Presets of vendors whose rows name exchange and symbol themselves: Tardis and cryptofeed.

Sources
-------
tardis
    https://docs.tardis.dev/downloadable-csv-files: microseconds, ``exchange`` and ``symbol`` in every row. Books have no numbers of
    updates: the time at which a message was received, which all its rows share, takes their place. Its ``bybit`` is the derivatives
    part of Bybit.
cryptofeed
    https://github.com/bmoscon/cryptofeed (Parquet of cryptostore and of the backends): decimal seconds, ``BTC-USDT``, ``BTC-USDT-PERP``;
    the exchange is ``feed``, in later versions ``exchange``. Books have a row a level, with ``delta``.
"""

from __future__ import annotations

from dataclasses import replace

from ticklake.files.mapping import Mapping
from ticklake.files.preset import BARS, Preset, same_names

__all__ = ["FEEDS", "TICKER"]

_PRINT = ("id", "side", "price", "amount")
_QUOTE = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_TIME_NUMBERS = "time"
"""The numbering of books that are numbered by times: such numbers have no sequence gaps."""

_TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp")
_TARDIS_TIMES = {"ts": "timestamp", "received_at": "local_timestamp", "symbol": "symbol", "exchange": "exchange"}
_DATA_TYPES = r"trades|quotes|book_ticker|incremental_book_L2|book_snapshot_\d+"
_TARDIS_NAME = rf"(?:(?P<exchange>[a-z0-9-]+)_(?:{_DATA_TYPES})_\d{{4}}-\d\d-\d\d_(?P<symbol>[A-Z0-9_-]+))?[^/]*"
_LIQUIDATIONS = (
    r"(?:(?P<exchange>[a-z0-9-]+)_liquidations_\d{4}-\d\d-\d\d_(?P<symbol>[A-Z0-9_-]+)|"
    r"liquidations/\d{4}/\d\d/\d\d/[^/]+)"
)
_DERIVATIVES = ("bybit", "phemex")
_BEST = ("asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount")


def _tardis(
    name: str,
    kind: str,
    columns: dict[str, str],
    header: tuple[str, ...],
    *,
    pattern: str = _TARDIS_NAME,
    wide: bool = False,
) -> Preset:
    constants, id_space = {}, ""
    if wide:
        constants["is_snapshot"] = "true"
    if kind == "book":
        id_space = _TIME_NUMBERS
    return Preset(
        f"tardis-{name}",
        kind,
        Mapping({**_TARDIS_TIMES, **columns}, unit="us", constants=constants),
        pattern,
        header=(*_TARDIS, *header),
        wide=wide,
        id_space=id_space,
        derivatives=_DERIVATIVES,
    )


def _cryptofeed(owner: str) -> tuple[Preset, ...]:
    """Return the presets of files whose column of the exchange is called *owner*."""
    common = (owner, "symbol", "timestamp", "receipt_timestamp")
    times = {"ts": "timestamp", "received_at": "receipt_timestamp", "symbol": "symbol", "exchange": owner}

    def preset(name: str, kind: str, columns: dict[str, str], header: tuple[str, ...]) -> Preset:
        mapping = Mapping({**times, **columns}, unit="s")
        return Preset(f"cryptofeed-{name}", kind, mapping, header=(*common, *header))

    funding = same_names("rate", "predicted_rate", "mark_price", next_ts="next_funding_time")
    book = same_names("side", "price", amount="size", seq_time="receipt_timestamp", is_delta="delta")
    bars = same_names(*BARS, "trades", ts="start", timeframe="interval", received_at="")
    candles = preset("candles", "ohlcv", bars, ("start", "stop", "interval", *BARS))
    return (
        replace(candles, only="closed", left_out="candles that were not closed"),
        replace(preset("book", "book", book, ("delta", "side", "price", "size")), id_space=_TIME_NUMBERS),
        preset("trades", "trades", same_names(*_PRINT), ("side", "amount", "price")),
        preset("ticker", "quotes", {"bid_price": "bid", "ask_price": "ask"}, ("bid", "ask")),
        preset("funding", "funding", funding, ("rate", "next_funding_time")),
        preset("open-interest", "open_interest", same_names("open_interest"), ("open_interest",)),
    )


_LEVELS = same_names("side", "price", "amount", seq_time="local_timestamp")
FEEDS: tuple[Preset, ...] = (
    _tardis("liquidations", "liquidations", same_names(*_PRINT), _PRINT, pattern=_LIQUIDATIONS),
    _tardis("trades", "trades", same_names(*_PRINT), _PRINT),
    _tardis("quotes", "quotes", same_names(*_QUOTE), _QUOTE),
    _tardis(
        "incremental-book",
        "book",
        {**_LEVELS, "is_snapshot": "is_snapshot"},
        ("is_snapshot", "side", "price", "amount"),
    ),
    _tardis("book-snapshot", "book", _LEVELS, _BEST, wide=True),
    *_cryptofeed("feed"),
    *_cryptofeed("exchange"),
)
"""Tables of Tardis and cryptofeed."""

TICKER = Preset(
    "tardis-derivative-ticker",
    "",
    shape="derivative-ticker",
    begins=rb"exchange,symbol,timestamp,local_timestamp,funding_timestamp,",
    left_out="last_price and index_price, and mark_price where the funding rate did not change",
)
"""Tardis' tickers of contracts: rows of two kinds, so no table of one."""
