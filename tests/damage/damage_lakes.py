"""Lakes, rows and accidents for the damage tests: only what a user has."""

import re
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl
import pytest

from tests.forked import run_script
from ticklake.app import CATALOG_FILE, open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.errors import TicklakeError
from ticklake.testing.clocks import OffsetClock
from ticklake.testing.rows import START, bars

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
ETH = Dataset.parse("x:ohlcv:1m:ETH/USDT")
MINUTE = 60 * 10**9
YEAR = 366 * 1440
MANY = 17_000
"""More rows than an inline segment takes: a file."""
HERE = Path(__file__).parent
CURE = re.compile(r"backup|rebuild|repair|verify|delete its span|free some|check the|read again")
FOREIGN = re.compile(r"Traceback|sqlite3\.|sqlalchemy|polars\.exceptions|\[SQL|Background on this error")


def at(minute):
    return START + minute * MINUTE


def full(*frames):
    """Bars as load() gives them."""
    kind = BARS.spec
    return pl.concat([kind.empty().select(kind.names), *frames], how="diagonal").select(kind.names)


def minutes_of(frame):
    return ((frame["ts"].to_physical() - START) // MINUTE).to_list()


def lake_in(root, clock=None):
    return open_lake(root, settings=Settings(min_free=0), clock=clock or OffsetClock())


def fill(root, copy=None):
    """Make a lake with a file and an inline segment, and a backup of it; close it."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(2 * MANY, 2 * MANY + 500))
        if copy is not None:
            lake.backup(copy)


def tree(root):
    """The Parquet files of a lake, live ones and retired ones."""
    return sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("*.parquet"))


def file_of(root, word=""):
    """The only live file whose path contains *word*."""
    (name,) = [name for name in tree(root) if word in name and not name.startswith("retired/")]
    return root / name


@contextmanager
def refused(*words, kind=TicklakeError):
    """The block ends in one clear error of ours that contains *words* and a cure."""
    with pytest.raises(kind) as caught:
        yield caught
    text = str(caught.value)
    assert all(str(word) in text for word in words), text
    assert CURE.search(text), f"no cure in: {text}"
    assert not FOREIGN.search(text), text
    assert "\n" not in text, text


READS = {
    "load": lambda lake: lake.load(BARS),
    "scan": lambda lake: lake.scan(BARS).collect(),
    "one column": lambda lake: lake.load(BARS, columns=["ts", "close"]),
    "span": lambda lake: lake.load(BARS, at(10), at(MANY - 10)),
    "last": lambda lake: lake.load(BARS, last=5),
    "filter": lambda lake: lake.scan(BARS).filter(pl.col("close") > 700).collect(),
    "head": lambda lake: lake.scan(BARS).head(10).collect(),
}


def flip(path, place, bit=0):
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def blob_places(root):
    """Where in the catalog's file the bytes of its first inline segment stand, in order."""
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        query = "select data from segments where data is not null order by added_in limit 1"
        (blob,) = connection.execute(query).fetchone()
    whole = (root / CATALOG_FILE).read_bytes()
    found = ((start, whole.find(blob[start : start + 24])) for start in range(0, len(blob) - 24, 24))
    return [place + step for _, place in found if place >= 0 for step in range(24)]


def child(script, *words):
    """Run a Python text in a process of its own; return what it printed, line by line."""
    code, printed, complained = run_script(script, *map(str, words), folder=HERE)
    assert code == 0, complained
    return printed.splitlines()


@contextmanager
def mounted(place, *words):
    """Mount something at *place* for the block; skips the test where that is not permitted."""
    done = subprocess.run(["mount", *map(str, words), str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT TESTED: mounting is not permitted here ({done.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
