"""Verify: every kind of damage is found, and a sound lake is sound."""

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, Overtaken, at, tree

from ticklake.core.dataset import Dataset
from ticklake.testing.rows import bars, trades

ETH = Dataset.parse("x:ohlcv:1m:ETH/USDT")


@pytest.fixture
def sound(lake):
    """A lake with files and inline segments of two datasets."""
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY, MANY + 10))
    lake.save(ETH, bars(0, MANY, bump=1.0))
    lake.save(TRADES, trades(0, 50))
    return lake


def file_of(root, word):
    (name,) = [name for name in tree(root) if word in name]
    return root / name


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_lake_has_no_problems(sound, deep):
    assert sound.verify(deep=deep) == []
    sound.compact()
    sound.delete(BARS, at(5), at(9))
    assert sound.verify(deep=deep) == []


def test_a_missing_file_is_found(sound, root):
    file_of(root, "BTC").unlink()
    (problem,) = sound.verify()
    assert problem.dataset == str(BARS)
    assert "BTC" in problem.segment
    assert "not there" in problem.problem


def test_a_file_that_waits_in_retired_is_not_missing(sound, root):
    """A reader of an older version, or a crash between commit and move, must not look like a loss."""
    path = file_of(root, "BTC")
    target = root / "retired" / path.relative_to(root)
    target.parent.mkdir(parents=True)
    path.rename(target)
    assert sound.verify() == []


@pytest.mark.parametrize("keep", [0, 10, 5_000, -1])
def test_a_truncated_file_is_found(sound, root, keep):
    path = file_of(root, "BTC")
    path.write_bytes(path.read_bytes()[:keep])
    (problem,) = sound.verify()
    assert problem.segment == path.relative_to(root).as_posix()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_anywhere_in_a_file_is_found(sound, root, share):
    path = file_of(root, "ETH")
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    path.write_bytes(data)
    assert [problem.dataset for problem in sound.verify()] == [str(ETH)]


def test_two_swapped_files_are_both_found(sound, root):
    one, other = file_of(root, "BTC"), file_of(root, "ETH")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert sorted(problem.dataset for problem in sound.verify()) == sorted([str(BARS), str(ETH)])


@pytest.mark.parametrize("damage", ["cast(substr(data, 1, 40) || x'07' || substr(data, 42) as blob)", "x''", "null"])
def test_a_damaged_inline_blob_is_found(sound, damage):
    with sound.engine.catalog.database.write() as connection:
        connection.exec_driver_sql(f"update segments set data = {damage} where path is null and min_ts = {at(MANY)}")
    (problem,) = sound.verify()
    assert problem.dataset == str(BARS)
    assert problem.segment.startswith("inline segment")


@pytest.mark.parametrize(
    ("column", "word"), [("rows = rows + 1", "rows"), ("max_ts = max_ts + 1", "range"), ("seq = seq + 1", "footer")]
)
def test_a_catalog_row_that_does_not_fit_its_file_is_found(sound, column, word):
    with sound.engine.catalog.database.write() as connection:
        connection.exec_driver_sql(f"update segments set {column} where path like '%ETH%'")
    assert [word in problem.problem for problem in sound.verify()] == [True]


def test_every_damaged_segment_is_told_not_only_the_first(sound, root):
    for word in ("BTC", "ETH"):
        file_of(root, word).write_bytes(b"")
    assert len(sound.verify()) == 2


def test_one_dataset_can_be_verified_alone(sound, root):
    file_of(root, "BTC").write_bytes(b"")
    assert sound.verify(ETH) == []
    assert len(sound.verify(BARS)) == 1


def test_verifying_changes_nothing(sound, root):
    file_of(root, "BTC").write_bytes(b"")
    before = tree(root), sound.engine.catalog.version()
    sound.verify(deep=True)
    assert (tree(root), sound.engine.catalog.version()) == before


def test_a_file_retired_while_it_is_verified_is_no_problem(engine_in, root):
    engine = engine_in(root, Overtaken)
    engine.append(BARS, bars(0, MANY), USER)
    engine.objects.overtaking = True
    assert list(engine.verify(deep=True)) == []


def test_two_rows_of_one_key_in_a_segment_are_found(any_lake):
    any_lake.save(BARS, bars(0, 2))
    twice = pl.concat([bars(5, 6), bars(5, 6, bump=1.0)])
    any_lake.save(BARS, twice)
    assert any_lake.verify() == []
    assert any_lake.load(BARS).height == 3
