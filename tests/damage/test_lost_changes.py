"""Rows that are no part of a version are taken back by a damaged log: that is said, and they are not written over."""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from damage_lakes import BARS, CURE, at, child, flip, lake_in, refused

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.catalog.witness import Witness
from ticklake.core.coverage import Covered, Found
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.errors import CatalogError, CatalogOutdated
from ticklake.testing.rows import bars

_KILLED = """
import os, signal, sys
from damage_lakes import BARS, at, lake_in
from ticklake.catalog.gap_notes import GapNotes
from ticklake.catalog.instruments import Instruments
from ticklake.core.instrument import Instrument
from ticklake.core.span import Span
lake = lake_in(sys.argv[1])
database = lake.engine.catalog.database
for number in range(3):
    run = lake.runs.create("backfill", str(BARS), {"number": number})
    lake.runs.append_log(run.id, f"line {number}")
    lake.runs.finish(run.id, "succeeded", {"new": number}, f"{number} new")
lake.quality(BARS)
Instruments(database, lambda: 5).snapshot("x", [Instrument("x", "BTC/USDT", tick_size=0.5)], 3)
GapNotes(database, lambda: 5).want(BARS, Span(at(0), at(400)))
lake.runs.create("backfill", str(BARS), {"number": 3})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def noted(root):
    """A lake with one version, and notes of a killed process that are in the log alone."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
    with pytest.raises(AssertionError):
        child(_KILLED, root)
    return root


def notes(lake):
    runs = [(run.id, str(run.state).replace("killed", "running"), run.outcome[:5]) for run in lake.runs.list()]
    tails = [lake.runs.tail(number) for number, *_ in runs]
    return repr([[(run[:2]) for run in runs], tails, lake.instruments("x")])


@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_of_the_log_takes_no_note_back_unsaid(noted, seed):
    copy = noted.parent / "whole"
    shutil.copytree(noted, copy)
    with lake_in(copy) as lake:
        whole = notes(lake)
    log = noted / f"{CATALOG_FILE}-wal"
    chance = random.Random(seed)
    flip(log, chance.randrange(log.stat().st_size), chance.randrange(8))
    with lake_in(noted) as lake:
        said = lake.verify() != []
        assert said or notes(lake) == whole


def test_no_run_is_written_over_those_that_are_missing(noted, caplog):
    log = noted / f"{CATALOG_FILE}-wal"
    flip(log, log.stat().st_size // 2)
    with lake_in(noted) as lake:
        with refused("later changes are missing", kind=CatalogOutdated):
            lake.runs.create("backfill")
        with refused("later changes are missing", kind=CatalogOutdated):
            lake.save(BARS, bars(60, 70))
    assert CURE.search(caplog.records[0].message)


def test_a_rebuild_goes_on_after_the_changes_that_are_missing(noted):
    log = noted / f"{CATALOG_FILE}-wal"
    flip(log, log.stat().st_size // 2)
    rebuild_lake(noted)
    with lake_in(noted) as lake:
        assert lake.verify() == []
        lake.runs.finish(lake.runs.create("backfill").id)
        assert lake.save(BARS, bars(60, 70)).new == 10


def test_quality_can_be_read_where_changes_are_missing(noted):
    log = noted / f"{CATALOG_FILE}-wal"
    flip(log, log.stat().st_size // 2)
    with lake_in(noted) as lake:
        assert lake.quality(BARS, at(0), at(50)).missing_records == 0


def test_a_rebuild_takes_no_version_twice(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 10))
    shutil.copy(root / CATALOG_FILE, root.parent / "old.db")
    with lake_in(root) as lake:
        for number in range(1, 5):
            lake.save(BARS, bars(number * 10, number * 10 + 10))
        newest = lake.engine.catalog.version()
    shutil.copy(root.parent / "old.db", root / CATALOG_FILE)
    rebuild_lake(root)
    with lake_in(root) as lake:
        assert lake.engine.catalog.version() > newest
        assert lake.verify() == []


def test_changes_whose_numbers_begin_anew_are_told_apart(tmp_path):
    witness = Witness(tmp_path / "w")
    for number in (2**32 - 2, 2**32 - 1, 0, 1, 2**32 - 3):
        witness.acknowledge_change("lake", number, durable=True)
    assert witness.newest_change("lake") == 1
    assert witness.acknowledged("lake").missing_in(0, 2**32 - 1) is not None
    assert witness.acknowledged("lake").missing_in(0, 2) is None


def test_what_waits_for_no_disk_counts_until_the_machine_starts_anew(tmp_path, monkeypatch):
    witness = Witness(tmp_path / "w")
    witness.acknowledge_change("lake", 5, durable=True)
    witness.acknowledge_change("lake", 6, durable=False)
    assert witness.newest_change("lake") == 6
    monkeypatch.setattr("ticklake.catalog.witness._boot", lambda: "another")
    assert witness.newest_change("lake") == 5


@pytest.mark.parametrize(
    "damage",
    ["coverage set reason = '?' where reason = 'reason 0'", "meta set value = '?' where key like 'coverage/%'"],
)
def test_the_past_is_not_told_from_coverage_that_was_saved_in_part(root, damage):
    with lake_in(root) as lake:
        for number in range(3):
            looked = Covered(Span(at(number * 10), at(number * 10 + 5)), Found.LOST, f"reason {number}")
            lake.engine.append(BARS, bars(number, number + 1), Provenance("user"), [looked])
    with closing(sqlite3.connect(root / CATALOG_FILE)) as connection, connection:
        connection.execute(f"update {damage}")
    rebuild_lake(root)
    with lake_in(root) as lake:
        with pytest.raises(CatalogError, match="lost with a damaged catalog"):
            lake.at(2).coverage(BARS)
        assert lake.verify() == []
