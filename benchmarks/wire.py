"""Messages a second that one core decodes, reads and proves: ``python -m benchmarks.wire``, from recorded streams."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ticklake.sources.wire.channels import Channels
from ticklake.sources.wire.decode import decode
from ticklake.sources.wire.messages import READERS
from ticklake.sources.wire.proof import Prover
from ticklake.sources.wire.reading import read_with

STREAMS = {
    "binance": ("BINANCE_FUTURES", "BINANCE"),
    "kraken": ("KRAKEN",),
    "okx": ("OKX",),
    "bybit": ("BYBIT",),
    "coinbase": ("COINBASE",),
}
TIMES = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print for each exchange how many messages and rows a second go through."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="recorded data (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    print(
        f"{'exchange':<10} {'messages':>9} {'rows':>8} {'decode/s':>10} {'read/s':>10} {'prove/s':>10} {'rows/s read':>12}"
    )
    for exchange, names in STREAMS.items():
        texts = [text for name in names for text in _received(options.data / f"ws_rec/{name}.jsonl.zst")]
        seconds = [_fastest(step, exchange, texts) for step in (_decode, _read, _prove)]
        rows = _read(exchange, texts)
        rates = " ".join(f"{len(texts) / taken:>10,.0f}" for taken in seconds)
        print(f"{exchange:<10} {len(texts):>9,} {rows:>8,} {rates} {rows / seconds[1]:>12,.0f}", flush=True)
    return 0


def _received(path: Path) -> list[bytes]:
    """Return the messages of a recording as they came."""
    lines = pa.input_stream(str(path), compression="zstd").read().splitlines()
    records = map(json.loads, lines)
    return [record["data"].encode() for record in records if record["t"] == "recv"]


def _fastest(step: Callable[[str, list[bytes]], Any], exchange: str, texts: list[bytes]) -> float:
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        step(exchange, texts)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _decode(exchange: str, texts: list[bytes]) -> int:
    del exchange
    return sum(decode(text) is not None for text in texts)


def _read(exchange: str, texts: list[bytes], prover: Prover | None = None) -> int:
    """Read all messages as the live feed does, and return the number of their rows."""
    readers, channels, rows = READERS[exchange], Channels(), 0
    for text in texts:
        message = decode(text)
        reading = read_with(readers, message, 1, None, channels.memory)
        if reading is not None:
            rows += len(reading.rows)
            if prover is not None:
                prover.check(reading)
    return rows


def _prove(exchange: str, texts: list[bytes]) -> int:
    return _read(exchange, texts, Prover(exchange))


if __name__ == "__main__":
    sys.exit(main())
