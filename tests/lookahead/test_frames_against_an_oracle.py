"""Frames hold exactly the rows that a plain loop over everything finds, version by version of each row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, HOUR, MINUTE
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START

from .lookahead_lakes import BARS, LATER, TRADES, fill, instants_before

WINDOW = 20 * MINUTE


@pytest.fixture(scope="module")
def lake():
    clock = ManualClock(LATER)
    with memory_lake(clock=clock) as opened:
        fill(opened, clock)
        yield opened


def versions(lake, name: str) -> list[list[tuple[int, dict[str, Any]]]]:
    """Return each row as its versions, the first one first: from when on each is known, and its values."""
    dataset = Dataset.parse(name)
    revisions: dict[int, list[dict[str, Any]]] = {}
    for revision in lake.revisions(name):
        revisions.setdefault(revision["ts"], []).append(revision)
    found = []
    for row in lake.load(name).with_columns(pl.selectors.temporal().to_physical()).iter_rows(named=True):
        changes = revisions.get(row["ts"], []) if dataset.kind == "ohlcv" else []
        values = [json.loads(change["before"]) for change in changes] + [row]
        since = [first_known(values[0], dataset), *(change["created_at"] for change in changes)]
        found.append(list(zip(since, values, strict=True)))
    return found


def first_known(row: dict[str, Any], dataset: Dataset) -> int:
    happened = row["ts"] + (dataset.timeframe.length if dataset.timeframe else 0)
    received = row.get("received_at")
    if received is not None and received - happened <= DAY:
        return max(received, happened)
    return happened


def expected(rows: list[list[tuple[int, dict[str, Any]]]], at: int, length: int) -> list[dict[str, Any]]:
    found = []
    newest = None
    for row in rows:
        known = [values for since, values in row if since <= at]
        happened = row[-1][1]["ts"] + length
        if not known or happened > at:
            continue
        newest = known[-1]
        if (happened > at - WINDOW) if length else (happened >= at - WINDOW):
            found.append(known[-1])
    if not found and length and newest is not None:
        found.append(newest)
    return found


@pytest.mark.parametrize(("name", "length"), [(BARS, MINUTE), (TRADES, 0)])
def test_frames_hold_what_a_plain_loop_finds(lake, name, length):
    rows = versions(lake, name)
    instants = np.concatenate([instants_before(START + hour * HOUR, 12, hour)[-6:] for hour in (3, 7, 9, 30, 47)])
    frames = lake.frames("x", "BTC/USDT", instants, window="20m")
    for instant, frame in zip(instants.tolist(), frames, strict=True):
        part = frame.bars["1m"] if length else frame.trades
        got = part.with_columns(pl.selectors.temporal().to_physical()).to_dicts()
        assert got == expected(rows, instant, length), instant
