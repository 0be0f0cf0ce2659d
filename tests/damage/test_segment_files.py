"""A segment's file is lost, cut or something else: reads say which, nothing else is touched, a backup cures."""

import contextlib
import os
import shutil

import pytest
from damage_lakes import BARS, ETH, MANY, READS, YEAR, at, file_of, full, lake_in, minutes_of, refused, tree

from ticklake.app import rebuild_lake
from ticklake.errors import TicklakeError
from ticklake.testing.rows import bars


def _overwrite(path, data):
    path.write_bytes(data)


ACCIDENTS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: _overwrite(path, b""),
    "cut in the footer": lambda path: _overwrite(path, path.read_bytes()[:-1]),
    "cut in the middle": lambda path: _overwrite(path, path.read_bytes()[: path.stat().st_size // 2]),
    "cut at the start": lambda path: _overwrite(path, path.read_bytes()[:3]),
    "garbage": lambda path: _overwrite(path, os.urandom(path.stat().st_size)),
    "longer": lambda path: _overwrite(path, path.read_bytes() + b"\x00" * 100),
    "zeroed": lambda path: _overwrite(path, bytes(path.stat().st_size)),
}


@pytest.fixture(params=ACCIDENTS)
def hurt(request, filled):
    """The path of the file that an accident met."""
    path = file_of(filled)
    ACCIDENTS[request.param](path)
    return path


@pytest.mark.parametrize("read", [read for read in READS if read != "last"])
def test_a_read_names_the_file_and_the_cure(filled, hurt, read):
    with lake_in(filled) as lake, refused(hurt.name):
        READS[read](lake)


def test_rows_elsewhere_are_read(filled, hurt):
    with lake_in(filled) as lake:
        assert lake.load(BARS, at(2 * MANY)).height == 500
        assert lake.load(BARS, last=5).height == 5


def test_verify_finds_it_and_only_it(filled, hurt):
    with lake_in(filled) as lake:
        (problem,) = lake.verify()
    assert problem.segment == hurt.relative_to(filled).as_posix()


def test_the_file_of_a_backup_cures_it(filled, hurt, tmp_path):
    shutil.copy(tmp_path / "copy" / hurt.relative_to(filled), hurt)
    with lake_in(filled) as lake:
        assert lake.verify(deep=True) == []
        assert lake.load(BARS).equals(full(bars(0, MANY), bars(2 * MANY, 2 * MANY + 500)))


def test_its_span_can_be_deleted_and_filled_again(filled, hurt):
    with lake_in(filled) as lake:
        lake.delete(BARS, at(0), at(MANY))
        assert lake.save(BARS, bars(0, MANY)).new == MANY
        assert lake.verify() == []
        assert lake.load(BARS).equals(full(bars(0, MANY), bars(2 * MANY, 2 * MANY + 500)))


def test_a_rebuild_tells_it_or_does_not_count_it(filled, hurt):
    """It stays in the catalog, too: reading names it, and repair takes out of it what it can."""
    found = rebuild_lake(filled, force=True)
    name = hurt.relative_to(filled).as_posix()
    assert found.unreadable == (name,)
    with lake_in(filled) as lake:
        assert name in [problem.segment for problem in lake.verify()]


def test_a_backup_of_a_lost_file_names_it(filled, tmp_path):
    path = file_of(filled)
    path.unlink()
    with lake_in(filled) as lake, refused(path.name):
        lake.backup(tmp_path / "fresh")


@pytest.mark.parametrize("accident", [accident for accident in ACCIDENTS if accident != "missing"])
def test_a_backup_does_not_pass_damage_on_as_sound(filled, accident, tmp_path):
    path = file_of(filled)
    ACCIDENTS[accident](path)
    with lake_in(filled) as lake, refused(path.name):
        lake.backup(tmp_path / "fresh")


def test_a_backup_that_holds_the_sound_file_is_not_overwritten_by_the_damage(filled, hurt, tmp_path):
    with contextlib.suppress(TicklakeError), lake_in(filled) as lake:
        lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.verify(deep=True) == []


def test_another_dataset_does_not_notice(filled, hurt):
    with lake_in(filled) as lake:
        assert lake.save(ETH, bars(0, MANY)).new == MANY
        lake.compact(ETH)
        assert lake.load(ETH).equals(full(bars(0, MANY)))


def test_a_retired_file_that_is_lost_hurts_only_the_versions_that_name_it(filled):
    with lake_in(filled) as lake:
        before = lake.save(BARS, bars(MANY, MANY + 10)).version
        lake.compact()
        for name in tree(filled):
            if name.startswith("retired/"):
                (filled / name).unlink()
        assert lake.load(BARS).height == MANY + 510
        with refused("ohlcv/"):
            lake.at(before).load(BARS)


def test_a_folder_in_the_place_of_a_file_is_an_error_that_names_it(filled):
    path = file_of(filled)
    path.unlink()
    path.mkdir()
    with lake_in(filled) as lake:
        with refused(path.name):
            lake.load(BARS)
        assert [problem.segment for problem in lake.verify()] == [path.relative_to(filled).as_posix()]


def test_years_beside_a_lost_one_are_read(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(YEAR - MANY, YEAR + MANY))
        file_of(root, "/2024-").unlink()
        assert minutes_of(lake.load(BARS, at(YEAR))) == list(range(YEAR, YEAR + MANY))
        with refused("2024-"):
            lake.load(BARS, at(YEAR - 1))
