"""What the processes of the concurrency and crash tests do: ``lake_worker.py verb folder number``."""

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_lakes import BARS, MANY, TRADES, lake_in, minutes_of

from ticklake.testing.rows import bars, trades

BLOCKS, LENGTH, STEP = 28, 50, 25
"""Each block of bars overlaps the next one by half."""
_BORN = time.monotonic()
FILED = (100_000, 100_000 + MANY + 500)


def tell(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def is_over(folder):
    """Whether we were told to stop, or forgotten."""
    return (folder / "stop").exists() or time.monotonic() - _BORN > 120


def append(lake, number):
    """Append three quarters of all blocks in an order of our own, and a large batch that all share."""
    order = [block for block in range(BLOCKS) if block % 4 != number]
    random.Random(number).shuffle(order)
    told = {"new": 0, "received": 0, "trades": 0}
    for count, block in enumerate(order):
        receipt = lake.save(BARS, bars(block * STEP, block * STEP + LENGTH))
        told["trades"] += lake.save(TRADES, trades(block * STEP, block * STEP + LENGTH)).new
        told["new"] += receipt.new
        told["received"] += receipt.received
        if count == 5 + 3 * number:
            told["new"] += lake.save(BARS, bars(FILED[0] + number * 100, FILED[1] + number * 100)).new
    return told


def compact(lake, folder):
    """Compact until told to stop."""
    rounds = 0
    while not is_over(folder):
        lake.compact()
        rounds += 1
        time.sleep(0.05)
    return {"rounds": rounds}


def read(lake, folder):
    """Read until told to stop; no read may be short, doubled or out of order."""
    reads, seen, before = 0, [], 0
    while not is_over(folder):
        if before == 0 and not {BARS, TRADES} <= set(lake.datasets()):  # no writer has committed yet
            continue
        rows = lake.load(BARS) if reads % 2 else lake.scan(BARS).collect()
        minutes = minutes_of(rows)
        whole = minutes == sorted(set(minutes)) and set(seen) <= set(minutes)
        count = lake.load(TRADES).height
        if not whole or count < before:
            return {"reads": reads, "bad": f"{len(seen)} bars then {len(minutes)}, {before} trades then {count}"}
        reads, seen, before = reads + 1, minutes, count
    return {"reads": reads, "bad": None}


def acknowledge(lake):
    """Append and compact until killed; tell what was acknowledged, batch by batch."""
    for number in range(60):
        first, last = number * 20_000, number * 20_000 + (MANY if number % 5 == 0 else 30)
        lake.save(BARS, bars(first, last))
        tell([first, last])
        if number % 3 == 2:
            lake.compact()


def main():
    verb, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with lake_in(folder / "lake") as lake:
        if verb == "acknowledge":
            acknowledge(lake)
            return
        told = append(lake, number) if verb == "append" else {"compact": compact, "read": read}[verb](lake, folder)
    tell(told)


if __name__ == "__main__":
    main()
