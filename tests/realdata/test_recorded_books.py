"""Books of imported recordings are those of their exchange, after every message and at every checksum."""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from ticklake import Book, Mapping
from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.files.message_counts import Tally
from ticklake.lake import Lake

CHECKED = {"KRAKEN": 4_269, "OKX": 290}
"""How many checksums of books each recording has. That of Bitfinex has none: its books are compared with those that its messages make."""
FOLLOWED = ("BITFINEX", "BINANCE", "GATEIO")
ALSO = ("KRAKEN", "BYBIT", "BINANCE_FUTURES", "DERIBIT", "KUCOIN", "COINBASE")


class State(NamedTuple):
    """A book after a message, with the text of prices and amounts, and the exchange's checksum of it."""

    ts: int
    seq: int
    sides: dict[str, list[tuple[Any, Any]]]
    checksum: int | None
    counts: bool


@pytest.fixture
def states(monkeypatch) -> dict[str, list[State]]:
    """Collect the books that messages make as they are read, one change after the other, by market."""
    found: dict[str, list[State]] = defaultdict(list)
    prove = Tally.prove

    def collect(self: Tally, reading: Any, connection: str = "") -> None:
        prove(self, reading, connection)
        for mark in reading.marks:
            rows = [row for row in reading.rows if row.kind == "book" and row.native == mark.native]
            if mark.kind != "book" or not rows or self.prover is None:
                continue
            ladder = self.prover.ladder(mark.native, mark.channel, connection)
            if ladder is None:
                continue
            sides = {side: ladder.top(side, 10**6) for side in ("bid", "ask")}
            ts, seq = rows[0].values[0], int(rows[0].values[2])
            found[mark.native].append(State(ts, seq, sides, mark.checksum, not mark.fetched))

    monkeypatch.setattr(Tally, "prove", collect)
    return found


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: parse_time("2026-12-31")) as lake:
        yield lake


def numbers(state: State) -> list[list[tuple[float, float]]]:
    return [[(float(price), float(amount)) for price, amount in state.sides[side]] for side in ("bid", "ask")]


def levels(frame: pl.DataFrame) -> list[list[tuple[float, float]]]:
    sides = frame.select(pl.col("side").cast(pl.String), "price", "amount")
    return [sides.filter(side=side).select("price", "amount").rows() for side in ("bid", "ask")]


def books_of(
    lake: Lake, recorded: Path, name: str, states: dict[str, list[State]]
) -> list[tuple[str, str, list[State]]]:
    """Import a recording; return exchange, symbol and states of each book in it."""
    books = []
    for done in lake.import_files(recorded / f"ws_rec/{name}.jsonl.zst"):
        if ":book:" not in done.dataset:
            continue
        keys = set(lake.load(done.dataset).select(pl.col("ts").to_physical(), "seq").unique().rows())
        # Of Bybit's spot and linear markets, which have the same names, each has its own messages.
        found = max(states.values(), key=lambda part: sum((state.ts, state.seq) in keys for state in part))
        mine = [state for state in found if (state.ts, state.seq) in keys]
        exchange, _, symbol = done.dataset.split(":", 2)
        books.append((exchange, symbol, mine))
    return books


def text(value: float, like: Any) -> str:
    """Write a number with as many decimals as the exchange did."""
    return f"{value:.{max(-Decimal(str(like)).as_tuple().exponent, 0)}f}"


def checksum_of(exchange: str, book: Book, state: State) -> int:
    """Return the checksum of a book by the exchange's documentation; the recording says only how many decimals it writes."""
    written: dict[str, list[tuple[str, str]]] = {}
    for side, rows in (("bid", book.bids.rows()), ("ask", book.asks.rows())):
        like = {float(price): (price, amount) for price, amount in state.sides[side]}
        pairs = [(price, amount, *like[price]) for price, amount in rows]
        written[side] = [(text(price, price_like), text(amount, like)) for price, amount, price_like, like in pairs]
    if exchange == "kraken":
        best = chain.from_iterable((*written["ask"][:10], *written["bid"][:10]))
        return zlib.crc32("".join(part.replace(".", "").lstrip("0") for part in best).encode())
    pairs_of_levels = zip_longest(written["bid"][:25], written["ask"][:25], fillvalue=())
    return zlib.crc32(":".join(chain.from_iterable(chain.from_iterable(pairs_of_levels))).encode())


@pytest.mark.parametrize("name", CHECKED)
def test_a_book_has_the_checksum_of_its_exchange_at_every_check(name, recorded, lake, states, capsys):
    checked = 0
    for exchange, symbol, mine in books_of(lake, recorded, name, states):
        series = lake.books(exchange, symbol, every=None, depth=25).collect()
        parts = series.partition_by("ts", "seq", maintain_order=True)
        assert len(parts) == len(mine)
        for part, state in zip(parts, mine, strict=True):
            assert (int(part["ts"].to_physical()[0]), part["seq"][0]) == (state.ts, state.seq)
            if state.checksum is None:
                continue
            book = Book(part.select(pl.col("side").cast(pl.String), "price", "amount"))
            assert checksum_of(exchange, book, state) == state.checksum & 0xFFFFFFFF
            checked += 1
    with capsys.disabled():
        sys.stdout.write(f" {name}: {checked:,} checksums ")
    assert checked == CHECKED[name]


@pytest.mark.parametrize("name", ["OKX", *FOLLOWED, *(pytest.param(name, marks=pytest.mark.slow) for name in ALSO)])
def test_a_book_is_what_the_messages_of_its_exchange_make(name, recorded, lake, states):
    compared = 0
    for exchange, symbol, mine in books_of(lake, recorded, name, states):
        whole = lake.load(f"{exchange}:book:{symbol}").filter("is_snapshot")
        since, base = int(whole["ts"].to_physical()[0]), int(whole["seq"][0])
        last_at = {state.ts: state for state in mine if state.counts and state.ts >= since and state.seq >= base}
        instants = list(last_at.values())
        # A book at each of some instants; the series above has them all.
        for state in instants[:: max(len(instants) // 6, 1)] + instants[-1:]:
            book = lake.book(exchange, symbol, state.ts, knowledge="event")
            assert levels(book) == numbers(state), (symbol, state.ts)
            assert "crossed" not in book.flags
            compared += 1
    assert compared > 7


@pytest.mark.parametrize("at", ["2020-11-01T09:00:02Z", pytest.param("2020-11-01T09:00:20Z", marks=pytest.mark.slow)])
def test_an_hour_of_changes_ends_with_the_book_that_is_known(at, recorded, lake):
    """The fetched book has no time. Whenever it is said to be, its number tells which changes are in it."""
    dataset, mapping = "binance:book:ETH/BTC", Mapping(constants={"ts": at})
    lake.import_files(recorded / "book/binance_ETHBTC_20201101T09_snapshot.json.gz", dataset, mapping=mapping)
    lake.import_files(recorded / "book/binance_ETHBTC_20201101T09_update.json.gz", dataset)
    book = lake.book("binance", "ETH/BTC")
    assert (book.bids.height, book.asks.height) == (1_140, 1_212)
    assert (book.bids["price"][0], book.asks["price"][0]) == (0.0282, 0.028201)
    crossed = lake.book_stats("binance", "ETH/BTC").filter(pl.col("spread") <= 0).collect()
    assert crossed.height == 0
