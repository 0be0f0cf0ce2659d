"""The log of another catalog lies beside a catalog that was put in its place: SQLite would mix the two."""

import shutil

import pytest
from damage_lakes import BARS, ETH, child, lake_in, refused

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.errors import CatalogDamaged
from ticklake.testing.rows import bars

_KILLED = """
import os, signal, sys
from damage_lakes import BARS, ETH, lake_in
from ticklake.testing.rows import bars
lake, first = lake_in(sys.argv[1]), int(sys.argv[3])
for number in range(int(sys.argv[2])):
    lake.save((BARS, ETH)[number % 2], bars(first + number * 10, first + number * 10 + 10))
os.kill(os.getpid(), signal.SIGKILL)
"""
LOG = f"{CATALOG_FILE}-wal"


def killed(root, commits=6, first=1000):
    """Let a process commit and be killed: its commits stay in the log."""
    with pytest.raises(AssertionError):
        child(_KILLED, root, commits, first)
    assert (root / LOG).stat().st_size


@pytest.fixture
def copy(root, tmp_path):
    """A lake with a backup, and then commits in its log."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
        lake.backup(tmp_path / "copy")
        lake.save(ETH, bars(0, 50))
    killed(root)
    return tmp_path / "copy"


def content(root):
    return {path.name: path.read_bytes() for path in root.glob("catalog.db*") if not path.name.endswith("-shm")}


def put(catalog, root, *, witness=True):
    shutil.copy(catalog, root / CATALOG_FILE)
    if not witness:
        (root / f"{CATALOG_FILE}-witness").unlink()


@pytest.mark.parametrize("witness", [True, False])
def test_a_backup_over_a_log_is_refused_and_left_as_it_is(copy, root, witness):
    put(copy / CATALOG_FILE, root, witness=witness)
    before = content(root)
    for verb in (lake_in, rebuild_lake):
        with refused("catalog.db-wal", "a copy was put in its place", kind=CatalogDamaged):
            verb(root)
    assert content(root) == before


def test_a_backup_is_taken_once_the_log_is_gone(copy, root):
    put(copy / CATALOG_FILE, root)
    for suffix in ("-wal", "-shm", "-witness"):
        (root / f"{CATALOG_FILE}{suffix}").unlink()
    with lake_in(root) as lake:
        assert (lake.load(BARS).height, lake.verify()) == (50, [])


def test_a_plain_copy_from_before_the_log_is_refused(root, tmp_path):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
    shutil.copy(root / CATALOG_FILE, tmp_path / "old.db")
    with lake_in(root) as lake:
        lake.save(ETH, bars(0, 50))
    killed(root)
    put(tmp_path / "old.db", root)
    with refused("catalog.db-wal", kind=CatalogDamaged):
        lake_in(root)


def test_a_newer_catalog_over_an_older_log_is_refused(root, tmp_path):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 50))
    killed(root, 2)
    shutil.copy(root / LOG, tmp_path / "log")
    with lake_in(root) as lake:
        lake.save(ETH, bars(0, 50))
        lake.save(ETH, bars(50, 90))
    shutil.copy(tmp_path / "log", root / LOG)
    with refused("catalog.db-wal", kind=CatalogDamaged):
        lake_in(root)


def test_another_lakes_catalog_is_refused(copy, root, tmp_path):
    with lake_in(tmp_path / "other") as lake:
        lake.save(BARS, bars(0, 5))
    put(tmp_path / "other" / CATALOG_FILE, root)
    with refused("catalog.db-wal", kind=CatalogDamaged):
        lake_in(root)


@pytest.mark.parametrize("commits", [1, 6, 400])
def test_the_log_of_a_killed_process_is_its_catalogs(root, commits):
    killed(root, commits)
    killed(root, 2, first=9000)
    with lake_in(root) as lake:
        assert lake.load(BARS).height + lake.load(ETH).height == commits * 10 + 20
        assert lake.verify() == []


def test_a_rebuilt_catalog_and_its_log_belong_together(root):
    killed(root)
    done = child(
        "import os, sys; from ticklake.app import rebuild_lake; from damage_lakes import Path\n"
        "rebuild_lake(Path(sys.argv[1]), force=True); print('done', flush=True)",
        root,
    )
    assert done == ["done"]
    killed(root, 1, first=9000)
    with lake_in(root) as lake:
        assert lake.verify() == []


def test_a_log_that_is_emptied_meanwhile_is_no_other(root):
    """A catalog is opened again and again while another process writes and empties the log."""
    with lake_in(root) as writer:
        for number in range(40):
            writer.save(BARS, bars(number * 5, number * 5 + 5))
            if number % 3 == 0:
                writer.engine.catalog.database.shorten_log()
            lake_in(root).close()
