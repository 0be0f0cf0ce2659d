"""The catalog is lost, cut or overwritten: it says so, makes nothing up, and a backup or the files bring it back."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from damage_lakes import BARS, ETH, HERE, MANY, file_of, fill, full, lake_in, refused, tree

import ticklake
from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.errors import CatalogError, TicklakeError
from ticklake.testing.clocks import OffsetClock
from ticklake.testing.rows import bars

IN_FILES = full(bars(0, MANY))
ALL = full(bars(0, MANY), bars(2 * MANY, 2 * MANY + 500))


def cut(share):
    def accident(path):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return accident


def overwritten(first, last):
    def accident(path):
        data = bytearray(path.read_bytes())
        data[first:last] = random.Random(7).randbytes(len(data[first:last]))
        path.write_bytes(data)

    return accident


ACCIDENTS = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut to two bytes": lambda path: path.write_bytes(path.read_bytes()[:2]),
    "cut to a page": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "cut to a tenth": cut(0.1),
    "cut to a half": cut(0.5),
    "header overwritten": overwritten(0, 100),
    "schema overwritten": overwritten(100, 4096),
    "all but the header overwritten": overwritten(4096, None),
    "garbage": overwritten(0, None),
}


@pytest.fixture(params=ACCIDENTS)
def hurt(request, filled):
    """A lake whose catalog met an accident while nobody had it open."""
    ACCIDENTS[request.param](filled / CATALOG_FILE)
    return filled


def test_reading_says_so_and_names_the_cure(hurt):
    with refused(hurt, kind=CatalogError), lake_in(hurt) as lake:
        lake.load(BARS)


def test_writing_is_refused_and_touches_no_file(hurt):
    before = tree(hurt)
    with refused(hurt, kind=CatalogError), lake_in(hurt) as lake:
        lake.save(BARS, bars(5 * MANY, 6 * MANY))
    assert tree(hurt) == before


@pytest.mark.parametrize("keep", [lambda lake: lake.verify(), lambda lake: lake.vacuum(0), lambda lake: lake.compact()])
def test_keeping_house_says_so_and_removes_nothing(hurt, keep):
    before = tree(hurt)
    with refused(hurt, kind=CatalogError), lake_in(hurt) as lake:
        keep(lake)
        lake.load(BARS)
    assert tree(hurt) == before


def test_a_catalog_cut_to_one_byte_is_no_new_lake(filled):
    """As a new lake, all its files would be garbage, and the next vacuum would delete them."""
    (filled / CATALOG_FILE).write_bytes(b"S")
    with refused(filled, kind=CatalogError), lake_in(filled) as lake:
        lake.load(BARS)


def test_a_rebuild_brings_back_what_was_in_files(hurt):
    rebuild_lake(hurt)
    with lake_in(hurt) as lake:
        assert lake.load(BARS).equals(IN_FILES)
        assert lake.verify(deep=True) == []
        assert lake.save(BARS, bars(2 * MANY, 2 * MANY + 500)).new == 500


def test_the_catalog_of_a_backup_brings_back_everything(hurt, tmp_path):
    for suffix in ("", "-wal", "-shm"):
        (hurt / f"{CATALOG_FILE}{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy" / CATALOG_FILE, hurt / CATALOG_FILE)
    with lake_in(hurt) as lake:
        assert lake.load(BARS).equals(ALL)
        assert lake.verify(deep=True) == []


def test_the_damaged_catalog_is_kept_by_a_rebuild(filled):
    overwritten(0, None)(filled / CATALOG_FILE)
    damage = (filled / CATALOG_FILE).read_bytes()
    rebuild_lake(filled)
    assert damage in [path.read_bytes() for path in filled.glob(f"{CATALOG_FILE}.*.old")]


@pytest.mark.parametrize("seed", range(12))
def test_a_page_overwritten_anywhere_never_shows_other_rows(filled, seed):
    """A page that is not asked for may be damaged unseen; one that is asked for may not give wrong rows."""
    path = filled / CATALOG_FILE
    page = random.Random(seed).randrange(path.stat().st_size // 4096)
    overwritten(page * 4096, page * 4096 + 4096)(path)
    try:
        with lake_in(filled) as lake:
            assert lake.load(BARS).equals(ALL)
    except TicklakeError as error:
        told = str(error)
        assert any(word in told for word in ("backup", "rebuild")), told


# while a process has it open


OPEN_ACCIDENTS = {
    "deleted": lambda root: (root / CATALOG_FILE).unlink(),
    "deleted with its log": lambda root: [path.unlink() for path in root.glob(f"{CATALOG_FILE}*")],
    "replaced by an older one": lambda root: (
        shutil.copy(root.parent / "copy" / CATALOG_FILE, root / "new") and (root / "new").replace(root / CATALOG_FILE)
    ),
    "its folder moved": lambda root: root.rename(root.with_name("moved")),
}


@pytest.mark.parametrize("rows", [10, MANY])
@pytest.mark.parametrize("accident", OPEN_ACCIDENTS)
def test_an_append_after_the_open_catalog_is_gone_is_not_acknowledged_into_nowhere(filled, accident, rows):
    with lake_in(filled) as lake:
        lake.load(BARS)
        OPEN_ACCIDENTS[accident](filled)
        with refused("catalog"):
            lake.save(BARS, bars(5 * MANY, 5 * MANY + rows))


@pytest.mark.parametrize("accident", OPEN_ACCIDENTS)
def test_a_refused_append_leaves_no_file_and_makes_no_folder(filled, accident):
    before = tree(filled)
    with lake_in(filled) as lake:
        OPEN_ACCIDENTS[accident](filled)
        with pytest.raises(TicklakeError):
            lake.save(BARS, bars(5 * MANY, 6 * MANY))
    where = filled if filled.exists() else filled.with_name("moved")
    assert tree(where) == before
    assert accident != "its folder moved" or not filled.exists()


@pytest.mark.parametrize("accident", ["deleted", "deleted with its log"])
def test_after_the_open_catalog_was_deleted_a_rebuild_brings_the_files_back(filled, accident):
    with lake_in(filled) as lake:
        lake.load(BARS)
        OPEN_ACCIDENTS[accident](filled)
    rebuild_lake(filled)
    with lake_in(filled) as lake:
        assert lake.load(BARS).equals(IN_FILES)


# its log is lost


_KILLED = """
import sys, time
from damage_lakes import BARS, ETH, MANY, lake_in
from ticklake.testing.rows import bars
lake = lake_in(sys.argv[1])
lake.save(ETH, bars(0, MANY))
for number in range(10):
    lake.save(BARS, bars(3 * MANY + number, 3 * MANY + number + 1))
print("saved", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """A lake whose last commits stand in the log only, because their process was killed."""
    root = tmp_path_factory.mktemp("killed") / "lake"
    fill(root)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(ticklake.__file__).parents[1]), str(HERE)])},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    assert (root / f"{CATALOG_FILE}-wal").stat().st_size
    return root


@pytest.fixture
def killed(killed_once, root):
    """A copy of it."""
    return Path(shutil.copytree(killed_once, root))


def test_with_the_log_nothing_acknowledged_is_lost(killed):
    with lake_in(killed) as lake:
        assert lake.load(BARS).equals(full(ALL, bars(3 * MANY, 3 * MANY + 10)))
        assert lake.load(ETH).height == MANY


@pytest.mark.parametrize("lost", [["-wal"], ["-wal", "-shm"]])
def test_without_the_log_an_earlier_version_is_shown_whole(killed, lost):
    """SQLite cannot know that a log was there: what it holds is an earlier version, never a part of one."""
    for suffix in lost:
        (killed / f"{CATALOG_FILE}{suffix}").unlink()
    with lake_in(killed) as lake:
        assert lake.load(BARS).equals(ALL)
        (problem,) = lake.verify(deep=True)
        assert "versions 3 to 13 are missing" in problem.problem


def test_without_the_log_a_rebuild_still_finds_every_file(killed):
    (killed / f"{CATALOG_FILE}-wal").unlink()
    rebuild_lake(killed)
    with lake_in(killed) as lake:
        assert lake.load(ETH).equals(full(bars(0, MANY)))
        assert lake.load(BARS).equals(ALL)


def test_without_the_log_verify_tells_of_files_that_the_catalog_does_not_name(killed):
    """They are the only trace of a lost log, and vacuum would take them for garbage an hour later."""
    (killed / f"{CATALOG_FILE}-wal").unlink()
    clock = OffsetClock()
    clock.ahead = 120 * 10**9
    with lake_in(killed, clock) as lake:
        assert any("ETH" in problem.segment for problem in lake.verify())


@pytest.mark.parametrize("seed", range(6))
def test_a_log_with_a_flipped_bit_shows_an_earlier_version_whole(killed, seed):
    log = killed / f"{CATALOG_FILE}-wal"
    data = bytearray(log.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 4
    log.write_bytes(data)
    (killed / f"{CATALOG_FILE}-shm").unlink()
    with lake_in(killed) as lake:
        rows = lake.load(BARS)
    assert rows.equals(full(ALL, bars(3 * MANY, 3 * MANY + rows.height - ALL.height)))


def test_a_catalog_that_was_deleted_and_left_its_log_is_not_a_new_lake(killed):
    """Even where no file tells of it, the log does: rows were here."""
    shutil.rmtree(killed / "ohlcv")
    (killed / CATALOG_FILE).unlink()
    with refused(killed), lake_in(killed) as lake:
        lake.load(BARS)


def test_an_index_of_another_file_does_no_harm(killed):
    (killed / f"{CATALOG_FILE}-shm").write_bytes(os.urandom(32_768))
    with lake_in(killed) as lake:
        assert lake.load(BARS).height == ALL.height + 10


def test_a_row_of_the_catalog_that_is_wrong_is_found(filled):
    with closing(sqlite3.connect(filled / CATALOG_FILE)) as connection:
        connection.execute("update segments set digest = 'x' where path is null")
        connection.commit()
    with lake_in(filled) as lake:
        assert len(lake.verify()) == 1
        with refused("inline segment"):
            lake.load(BARS)
        assert file_of(filled).exists()
