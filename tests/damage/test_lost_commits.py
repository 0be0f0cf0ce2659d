"""Commits that were acknowledged and are missing: it is said, and nothing of theirs is removed."""

import logging
import random
import shutil

import pytest
from damage_lakes import BARS, CURE, ETH, MANY, at, child, flip, full, lake_in, refused, tree

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.catalog.witness import WITNESS_FILE, Witness
from ticklake.errors import CatalogOutdated
from ticklake.testing.rows import bars

_KILLED = """
import os, signal, sys
from damage_lakes import BARS, MANY, lake_in
from ticklake.testing.rows import bars
lake = lake_in(sys.argv[1])
for number in range(8):
    lake.save(BARS, bars(number * 10, number * 10 + 10))
lake.save(BARS, bars(MANY, 2 * MANY))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def yesterday(root):
    """A lake whose catalog of yesterday was put back: a file was committed since."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
    shutil.copy(root / CATALOG_FILE, root.parent / "old.db")
    with lake_in(root) as lake:
        lake.save(BARS, bars(MANY, 2 * MANY))
        lake.save(ETH, bars(0, 5))
    shutil.copy(root.parent / "old.db", root / CATALOG_FILE)
    return root


def test_opening_says_so_in_one_line_and_what_is_there_is_read(yesterday, caplog):
    with lake_in(yesterday) as lake:
        assert lake.load(BARS).equals(full(bars(0, 50)))
    (record,) = [record for record in caplog.records if record.name == "ticklake"]
    assert "versions 2 to 3 are missing" in record.message
    assert CURE.search(record.message)
    assert (record.levelno, "\n" in record.message) == (logging.WARNING, False)


def test_verify_names_the_versions_that_are_missing(yesterday):
    with lake_in(yesterday) as lake:
        assert any("versions 2 to 3" in problem.problem for problem in lake.verify())


@pytest.mark.parametrize(
    "verb",
    [
        lambda lake: lake.vacuum(0),
        lambda lake: lake.save(BARS, bars(60, 70)),
        lambda lake: lake.delete(BARS, at(0), at(10)),
        lambda lake: lake.backup(lake.root.parent / "copy"),
    ],
)
def test_nothing_is_written_or_removed(yesterday, verb):
    before = tree(yesterday)
    with lake_in(yesterday, lambda: 2 * 10**18) as lake, refused("missing", kind=CatalogOutdated):
        verb(lake)
    assert tree(yesterday) == before


def test_a_rebuild_takes_the_missing_files_in(yesterday):
    rebuild_lake(yesterday)
    with lake_in(yesterday) as lake:
        assert lake.load(BARS, at(MANY)).height == MANY
        assert lake.verify() == []
        lake.save(BARS, bars(60, 70))


def test_an_older_catalog_that_is_meant_is_taken_once_the_witness_is_gone(yesterday, caplog):
    (yesterday / WITNESS_FILE).unlink()
    with lake_in(yesterday) as lake:
        assert lake.save(BARS, bars(60, 70)).new == 10
    assert caplog.records == []


@pytest.mark.parametrize("content", [b"", b"x" * 40, bytes(512)])
def test_a_witness_that_tells_nothing_is_no_obstacle(root, content, caplog):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
    (root / WITNESS_FILE).write_bytes(content)
    with lake_in(root) as lake:
        lake.save(BARS, bars(50, 60))
        assert lake.verify() == []
    assert caplog.records == []


def test_every_flipped_bit_of_the_witness_is_no_false_alarm(root, caplog):
    with lake_in(root) as lake:
        for number in range(10):
            lake.save(BARS, bars(number, number + 1))
    chance = random.Random(3)
    for _ in range(60):
        place, bit = chance.randrange((root / WITNESS_FILE).stat().st_size), chance.randrange(8)
        flip(root / WITNESS_FILE, place, bit)
        with lake_in(root) as lake:
            lake.engine.catalog.check_current()
        flip(root / WITNESS_FILE, place, bit)
    assert caplog.records == []


def test_a_backup_is_a_lake_of_its_own(root, tmp_path, caplog):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
        lake.backup(tmp_path / "copy")
        lake.save(BARS, bars(50, 60))
    with lake_in(tmp_path / "copy") as copy:
        copy.save(BARS, bars(90, 95))
        assert copy.verify() == []
    assert caplog.records == []


@pytest.mark.parametrize("seed", range(8))
def test_a_bit_flipped_in_the_log_of_a_killed_process_takes_nothing_back_unsaid(root, seed):
    with lake_in(root) as lake:
        lake.save(ETH, bars(0, 10))
    with pytest.raises(AssertionError):
        child(_KILLED, root)
    log = root / f"{CATALOG_FILE}-wal"
    chance = random.Random(seed)
    flip(log, chance.randrange(log.stat().st_size), chance.randrange(8))
    with lake_in(root) as lake:
        rows = lake.engine.load(BARS).height
        said = lake.verify() != []
    assert said or rows == 80 + MANY


def test_a_log_that_is_damaged_at_its_start_is_no_new_lake(root, caplog):
    with pytest.raises(AssertionError):
        child(_KILLED, root)
    flip(root / f"{CATALOG_FILE}-wal", 3_000)
    before = tree(root)
    with lake_in(root) as lake:
        assert any("another lake" in problem.problem for problem in lake.verify())
        for verb in (lambda: lake.save(BARS, bars(0, 10)), lambda: lake.vacuum(0)):
            with refused("another lake", "version 9", kind=CatalogOutdated):
                verb()
    assert CURE.search(caplog.records[0].message)
    assert tree(root) == before
    rebuild_lake(root)
    with lake_in(root) as lake:
        assert (lake.load(BARS).height, lake.verify()) == (MANY, [])
        lake.save(BARS, bars(0, 10))


def test_a_commit_of_another_process_while_it_is_looked_for_lost_ones_is_no_alarm(root):
    with lake_in(root) as lake, lake_in(root) as other:
        lake.save(BARS, bars(0, 50))
        catalog = lake.engine.catalog
        version = catalog.version

        def version_before_a_commit():
            found = version()
            other.save(BARS, bars(found * 50, found * 50 + 50))
            return found

        catalog.version = version_before_a_commit
        catalog.check_current()


def test_a_process_that_writes_late_does_not_hide_a_newer_version(tmp_path):
    witness = Witness(tmp_path / "w")
    for version in (1, 3, 2, 11, 4, 3):
        witness.acknowledge("lake", version)
    assert (witness.newest("lake"), witness.newest("other")) == (11, 0)
