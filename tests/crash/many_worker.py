"""Many processes on one lake: ``many_worker.py folder seconds``. They are forked here and tell what they did as JSON.

Writers save overlapping batches until the time is over and check that they see their own rows; readers read until
the writers are gone; one process compacts, and vacuums once.
"""

import json
import os
import random
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

import pandas  # noqa: F401  (pyarrow would import it in every child)
from crash_model import BARS, FILE, OTHER_BARS, PRINTS, TRADES, loaded, open_, rows

from ticklake.core.dataset import Dataset

DATASETS = (BARS, OTHER_BARS, TRADES, PRINTS)
WRITERS, READERS = 8, 4
REACH = 40_000
"""Rows that a dataset has at most, about; so many batches meet others."""
KEPT = timedelta(seconds=6)
"""No reader needs a version for longer."""


def write(root, number, seconds, _stop):
    """Save batches until the time is over."""
    chance, end = random.Random(number), time.monotonic() + seconds
    told = {"sent": [], "new": 0, "received": 0, "bad": []}
    with open_(root) as lake:
        while time.monotonic() < end:
            dataset, first = chance.choice(DATASETS), chance.randrange(REACH) // 25 * 25
            last = first + (FILE if chance.random() < 0.04 else chance.randrange(25, 300))
            batch = rows(dataset, first, last)
            receipt = lake.save(dataset, batch)
            told["sent"].append([dataset, first, last])
            told["new"] += receipt.new
            told["received"] += receipt.received - batch.height
            if receipt.changed or receipt.quarantined:
                told["bad"].append(f"{dataset} {first}..{last}: {receipt}")
            if chance.random() < 0.2 and batch.join(loaded(lake, dataset), on="ts", how="anti").height:
                told["bad"].append(f"{dataset} {first}..{last} was acknowledged and cannot be seen")
    return told


def read(root, number, _seconds, stop):
    """Read until the writers are gone; nothing that was seen may go, come twice or be out of order."""
    seen, told = {dataset: rows(dataset, 0, 0) for dataset in DATASETS}, {"reads": 0, "bad": []}
    with open_(root) as lake:
        while not stop.exists():
            dataset = DATASETS[(told["reads"] + number) % len(DATASETS)]
            lazily = told["reads"] // len(DATASETS) % 2
            now = lake.engine.scan(Dataset.parse(dataset)).collect() if lazily else loaded(lake, dataset)
            told["bad"] += [
                f"{'scan' if lazily else 'load'} of {dataset}: {what}" for what in wrong(dataset, seen[dataset], now)
            ]
            seen[dataset] = now
            told["reads"] += 1
    return told


def wrong(dataset, before, now):
    """Say what cannot be: rows that went away, that are out of order, or there too often."""
    if now.height < before.height or before.join(now, on="ts", how="anti").height:
        yield f"{before.height} rows, then {now.height}"
    if not now["ts"].is_sorted():
        yield "not sorted"
    often = now.group_by("ts").len()["len"].max() or 0
    if often > (2 if dataset == PRINTS else 1):
        yield f"a row is there {often} times"


def keep(root, _number, seconds, stop):
    """Compact until the writers are gone; vacuum once, late enough to find something."""
    end, told = time.monotonic() + 0.7 * seconds, {"rounds": 0, "vacuumed": None, "bad": []}
    with open_(root) as lake:
        while not stop.exists():
            lake.compact()
            told["rounds"] += 1
            if told["vacuumed"] is None and time.monotonic() > end:
                told["vacuumed"] = lake.vacuum(keep=KEPT).segments
            time.sleep(0.2)
    return told


def fork(role, folder, number, seconds):
    """Start a process; it leaves what it has to tell, or how it failed, in a file."""
    pid = os.fork()
    if pid:
        return pid
    try:
        told = role(folder / "lake", number, seconds, folder / "stop")
    except BaseException:
        told = {"bad": [traceback.format_exc()]}
    (folder / f"{role.__name__}-{number}.json").write_text(json.dumps(told))
    os._exit(0)


def main():
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    open_(folder / "lake").close()
    others = [fork(read, folder, number, seconds) for number in range(READERS)]
    others.append(fork(keep, folder, 0, seconds))
    for writer in [fork(write, folder, number, seconds) for number in range(WRITERS)]:
        os.waitpid(writer, 0)
    (folder / "stop").touch()
    for other in others:
        os.waitpid(other, 0)


if __name__ == "__main__":
    main()
