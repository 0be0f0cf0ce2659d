"""Runs where dccd 3 is installed: writes records with its store, and reads with its store what others wrote.

Usage: dccd_3.py write|read|inventory ROOT [EXCHANGE PAIR TYPE SPAN FILE]; rows go through a Parquet file.
"""

from __future__ import annotations

import json
import sys

import polars as pl
from dccd.domain.dataset import DatasetId, Provenance
from dccd.domain.records import FundingRate, OHLCBar, OrderBookLevel, OrderBookSnapshot, Trade
from dccd.domain.symbol import Symbol
from dccd.domain.types import DataType
from dccd.storage.parquet import ParquetStore

RECORDS = {"ohlc": OHLCBar, "trades": Trade, "funding": FundingRate}


def records(kind, rows):
    dicts = rows.rename({"TS": "ts"}).to_dicts()
    return [RECORDS[kind](**row) for row in dicts] if kind in RECORDS else list(books(dicts))


def books(dicts):
    """One snapshot or change for every instant."""
    for ts in sorted({row["ts"] for row in dicts}):
        rows = [row for row in dicts if row["ts"] == ts]
        bids, asks = ([level(row) for row in rows if row["side"] == side] for side in ("bid", "ask"))
        yield OrderBookSnapshot(ts=ts, bids=bids, asks=asks, is_snapshot=rows[0]["is_snapshot"])


def level(row):
    return OrderBookLevel(price=row["price"], amount=row["amount"], count=row["count"])


def main(verb, root, exchange="", pair="", kind="", span="", file=""):
    store = ParquetStore(root)
    if verb == "inventory":
        print(json.dumps(store.inventory()))
        return
    symbol, span = Symbol.parse(pair), int(span) if span else None
    dataset = DatasetId(exchange=exchange, symbol=symbol, data_type=DataType(kind), span=span)
    if verb == "write":
        store.save(dataset, records(kind, pl.read_parquet(file)), Provenance(source=f"{exchange}:rest"))
    else:
        store.load(dataset).write_parquet(file)


main(*sys.argv[1:])
