"""What the columns of the built-in kinds mean, in words, and in which unit their values are."""

from __future__ import annotations

from typing import NamedTuple

from ticklake.core.dataset import Dataset

__all__ = ["ColumnWords", "columns_of"]


class ColumnWords(NamedTuple):
    """A column as people read it: its unit, empty where it has none, and what its values are."""

    unit: str
    description: str


_TIME = "ns since 1970-01-01T00:00:00Z"
_PRICE = "quote currency"
_AMOUNT = "base currency or contracts"
_COMMON = {
    "ts": ColumnWords(_TIME, "When it happened, by the exchange's clock."),
    "received_at": ColumnWords(
        _TIME, "When it was received, by the collector's clock; null if it was not received live."
    ),
    "open": ColumnWords(_PRICE, "First price."),
    "high": ColumnWords(_PRICE, "Highest price."),
    "low": ColumnWords(_PRICE, "Lowest price."),
    "close": ColumnWords(_PRICE, "Last price."),
    "volume": ColumnWords(_AMOUNT, "Sum of the amounts of all trades."),
    "quote_volume": ColumnWords(_PRICE, "Sum of price times amount of all trades."),
    "trades": ColumnWords("", "How many trades."),
    "id": ColumnWords("", "The exchange's id of the trade."),
    "price": ColumnWords(_PRICE, "Price."),
    "amount": ColumnWords(_AMOUNT, "Amount, as the exchange counts it."),
    "side": ColumnWords("", "Of trades the taker's: buy or sell; of books bid or ask."),
    "seq": ColumnWords("", "The exchange's number of the message."),
    "count": ColumnWords("", "How many orders are at the price."),
    "is_snapshot": ColumnWords("", "Whether the row belongs to a whole book, or to a change of it."),
    "bid_price": ColumnWords(_PRICE, "Best bid."),
    "bid_amount": ColumnWords(_AMOUNT, "Amount at the best bid."),
    "ask_price": ColumnWords(_PRICE, "Best ask."),
    "ask_amount": ColumnWords(_AMOUNT, "Amount at the best ask."),
    "rate": ColumnWords("1", "Funding rate that was settled, for one interval."),
    "predicted_rate": ColumnWords("1", "Funding rate that was expected."),
    "next_ts": ColumnWords(_TIME, "When funding is settled next."),
    "mark_price": ColumnWords(_PRICE, "Mark price."),
    "interval": ColumnWords("ns", "Time between two settlements."),
    "open_interest": ColumnWords(_AMOUNT, "Contracts that are open."),
    "open_interest_value": ColumnWords(_PRICE, "What they are worth."),
    "close_time": ColumnWords(_TIME, "When the last trade of the bar happened."),
    "number": ColumnWords("", "Number of the bar, from 0 on."),
    "vwap": ColumnWords(_PRICE, "Mean price, weighted by amounts."),
    "buy_volume": ColumnWords(_AMOUNT, "Volume of trades whose taker bought."),
    "sell_volume": ColumnWords(_AMOUNT, "Volume of trades whose taker sold."),
    "known_at": ColumnWords(_TIME, "From when on the values could be known."),
    "ratio": ColumnWords("1", "New shares for an old one."),
}
_OWN = {
    ("ohlcv", "ts"): ColumnWords(_TIME, "When the bar opens."),
    ("mark_ohlcv", "ts"): ColumnWords(_TIME, "When the bar opens."),
    ("index_ohlcv", "ts"): ColumnWords(_TIME, "When the bar opens."),
    ("bars", "ts"): ColumnWords(_TIME, "When the first trade of the bar happened."),
    ("splits", "ts"): ColumnWords(_TIME, "Midnight UTC of the ex-date."),
    ("dividends", "ts"): ColumnWords(_TIME, "Midnight UTC of the ex-date."),
    ("dividends", "amount"): ColumnWords(_PRICE, "Dividend of a share."),
}
_UNKNOWN = ColumnWords("", "")


def columns_of(dataset: Dataset) -> list[dict[str, object]]:
    """Return the columns of a dataset: ``name``, ``type``, ``required``, ``unit``, ``description``."""
    columns: list[dict[str, object]] = []
    for column in dataset.spec.columns:
        words = _OWN.get((dataset.kind, column.name)) or _COMMON.get(column.name, _UNKNOWN)
        columns.append({"name": column.name, "type": str(column.dtype), "required": column.required, **words._asdict()})
    return columns
