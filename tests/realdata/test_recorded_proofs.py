"""Recorded streams prove themselves: every checksum and chain that they carry, and no book is ever crossed."""

from __future__ import annotations

import gzip

import pytest

from ticklake.app import memory_lake
from ticklake.core.time import parse_time
from ticklake.sources.wire.decode import decode
from ticklake.sources.wire.messages import read_message
from ticklake.sources.wire.proof import Prover

PROOFS = {
    "ws_rec/KRAKEN.jsonl.zst": ("4,269 checksums of books passed, 0 failed", "10 books followed"),
    "ws_rec/OKX.jsonl.zst": ("290 checksums of books passed, 0 failed", "3 books followed"),
    "ws_rec/COINBASE.jsonl.zst": ("1,029 messages followed on the one before by number, 0 chain breaks", "2 books followed"),
    "ws_rec/BYBIT.jsonl.zst": ("2,142 messages followed on the one before by number, 0 chain breaks", "6 books followed"),
    "ws_rec/DERIBIT.jsonl.zst": ("36 messages followed on the one before by number, 0 chain breaks", "10 books followed"),
    "ws_rec/BITFINEX.jsonl.zst": ("1,669 messages followed on the one before by number, 0 chain breaks", "7 books followed"),
    "ws_rec/BINANCE.jsonl.zst": ("172 messages followed on the one before by number, 0 chain breaks", "4 books followed"),
    "ws_rec/BINANCE_FUTURES.jsonl.zst": ("749 messages followed on the one before by number, 0 chain breaks", "4 books followed"),
    "ws_rec/BITMEX.ws.1.0.zst": ("", "10 books followed"),
}  # fmt: skip


@pytest.mark.parametrize("file", PROOFS)
def test_a_recording_is_proven_by_what_its_exchange_sends(file, recorded):
    chain, books = PROOFS[file]
    with memory_lake(clock=lambda: parse_time("2026-09-01")) as lake:
        proofs = lake.import_files(recorded / file, dry_run=True)[0].proofs
    expected = [f"{books} change by change, crossed after 0 messages"]
    if chain:
        expected.insert(0, chain)
    assert list(proofs) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("market", "days", "followed"),
    [("spot", ("20240808", "20240809"), 6_495), ("usdm", ("20240718", "20240719"), 9_022)],
)
def test_two_days_of_binance_are_one_chain(market, days, followed, recorded):
    """The whole book was fetched after the first change of the first day; it holds to the end of the second."""
    prover = Prover("binance")
    for day in days:
        for line in gzip.decompress((recorded / f"ws_raw/binance_{market}_btcusdt_{day}.gz").read_bytes()).splitlines():
            received, _, text = line.partition(b" ")
            reading = read_message(decode(text), int(received), exchange="binance")
            assert reading is not None
            prover.check(reading)
    assert prover.total("chain followed") == followed
    assert [prover.total(found) for found in ("chain broken", "crossed book", "not proven")] == [0, 0, 0]
    assert prover.ladder("BTCUSDT") is not None


def test_the_changes_of_an_hour_end_with_the_book_that_is_known(recorded):
    prover = Prover("binance")
    for part in ("snapshot", "update"):
        text = gzip.decompress((recorded / f"book/binance_ETHBTC_20201101T09_{part}.json.gz").read_bytes())
        content = decode(text)
        for message in content if isinstance(content, list) else [content]:
            reading = read_message(message, 1, exchange="binance")
            assert reading is not None
            prover.check(reading)
    assert [prover.total(found) for found in ("chain broken", "crossed book")] == [0, 0]
    ladder = prover.ladder("ETHBTC")
    assert ladder is not None
    assert (ladder.top("bid", 1)[0][0], ladder.top("ask", 1)[0][0]) == ("0.02820000", "0.02820100")
    assert (len(ladder.top("bid", 9_999)), len(ladder.top("ask", 9_999))) == (1_140, 1_212)
