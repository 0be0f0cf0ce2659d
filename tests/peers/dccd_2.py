"""Runs where dccd 2 is installed: writes rows with its store. Usage: dccd_2.py ROOT EXCHANGE PAIR TYPE SPAN FILE."""

from __future__ import annotations

import sys

import polars as pl
from dccd.storage import DataStore


def main(root, exchange, pair, kind, span, file):
    DataStore(root, exchange, pair, int(span) if span else None, kind).save(pl.read_parquet(file))


main(*sys.argv[1:])
