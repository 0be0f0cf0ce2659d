"""A single bit is another one: no read may show another value, and everything finds it."""

import random
import shutil

import pyarrow.parquet as pq
import pytest
from damage_lakes import BARS, CURE, FOREIGN, MANY, READS, at, blob_places, file_of, flip, full, lake_in, refused

from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.errors import CorruptSegment
from ticklake.testing.rows import bars

ALL = full(bars(0, MANY))
FLIPS = 16
"""Bits flipped in each region of a file: seeded, so that a failure can be repeated."""


def _chunks(path):
    group = pq.read_metadata(path).row_group(0)
    for number in range(group.num_columns):
        chunk = group.column(number)
        first = chunk.dictionary_page_offset or chunk.data_page_offset
        yield first, chunk.data_page_offset, first + chunk.total_compressed_size


def data_pages(path):
    return [place for _, data, end in _chunks(path) for place in range(data + 24, end)]


def dictionary_pages(path):
    return [place for first, data, _ in _chunks(path) for place in range(first + 24, data)]


def page_headers(path):
    return [start + step for first, data, _ in _chunks(path) for start in {first, data} for step in range(24)]


def footer(path):
    size = path.stat().st_size
    length = pq.read_metadata(path).serialized_size
    return list(range(size - 8 - length, size))


def magic(path):
    return list(range(4))


REGIONS = {region.__name__: region for region in (data_pages, dictionary_pages, page_headers, footer, magic)}


def flips(places, seed, count=FLIPS):
    """Places and bits to flip, one by one."""
    chance = random.Random(seed)
    return [(chance.choice(places), chance.randrange(8)) for _ in range(count)]


@pytest.fixture
def lone(root):
    """A closed lake of one file."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    return root


def answer(lake, read, name):
    """What a read gives: the rows as text, or one clear error that names the segment."""
    try:
        return repr(READS[read](lake).rows())
    except CorruptSegment as error:
        text = str(error)
        assert name in text, text
        assert CURE.search(text), text
        assert not FOREIGN.search(text), text
        return None


@pytest.mark.parametrize("count", [FLIPS, pytest.param(1_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("region", REGIONS)
def test_a_read_of_a_file_shows_the_true_rows_or_names_the_damage(lone, region, read, count):
    path = file_of(lone)
    with lake_in(lone) as lake:
        truth = answer(lake, read, path.name)
        wrong = []
        for place, bit in flips(REGIONS[region](path), region, count):
            flip(path, place, bit)
            if answer(lake, read, path.name) not in {truth, None}:
                wrong.append((place, bit))
            flip(path, place, bit)
    assert wrong == []


@pytest.mark.parametrize("region", REGIONS)
def test_verify_finds_every_flipped_bit_of_a_file(lone, region):
    path = file_of(lone)
    with lake_in(lone) as lake:
        for place, bit in flips(REGIONS[region](path), region):
            flip(path, place, bit)
            assert [problem.segment for problem in lake.verify()] == [path.relative_to(lone).as_posix()], (place, bit)
            flip(path, place, bit)
        assert lake.verify() == []


@pytest.mark.parametrize("region", REGIONS)
def test_a_rebuild_takes_a_file_with_a_flipped_bit_for_what_it_is(lone, region):
    """A new catalog would make the damage official: its digest would be the recorded one."""
    path = file_of(lone)
    wrong = []
    for place, bit in flips(REGIONS[region](path), region)[:8]:
        flip(path, place, bit)
        found = rebuild_lake(lone, force=True)
        told = path.relative_to(lone).as_posix() in found.unreadable
        with lake_in(lone) as lake:
            if not told and not lake.load(BARS).equals(ALL):
                wrong.append((place, bit))
        flip(path, place, bit)
    assert wrong == []


@pytest.mark.parametrize("region", ["data_pages", "dictionary_pages"])
def test_compaction_does_not_write_damage_anew(lone, region):
    """Once rewritten, a wrong value has a sound digest and nothing finds it any more."""
    path = file_of(lone)
    place, bit = flips(REGIONS[region](path), region)[3]
    with lake_in(lone) as lake:
        lake.save(BARS, bars(MANY - 5, MANY + 50))
        flip(path, place, bit)
        with refused(path.name, kind=CorruptSegment):
            lake.compact()
        flip(path, place, bit)
        assert lake.load(BARS).equals(full(bars(0, MANY + 50)))


@pytest.mark.parametrize("region", ["data_pages", "dictionary_pages"])
def test_deleting_a_part_does_not_write_damage_anew(lone, region):
    path = file_of(lone)
    place, bit = flips(REGIONS[region](path), region)[3]
    with lake_in(lone) as lake:
        flip(path, place, bit)
        with refused(path.name, kind=CorruptSegment):
            lake.delete(BARS, at(0), at(10))


def test_a_backup_does_not_pass_a_flipped_bit_on_as_sound(lone, tmp_path):
    path = file_of(lone)
    flip(path, *flips(data_pages(path), "backup")[0])
    with lake_in(lone) as lake, refused(path.name, kind=CorruptSegment):
        lake.backup(tmp_path / "copy")


def test_a_backup_of_a_sound_lake_mends_a_copy_in_which_a_bit_flipped(lone, tmp_path):
    with lake_in(lone) as lake:
        lake.backup(tmp_path / "copy")
        path = file_of(tmp_path / "copy")
        flip(path, *flips(data_pages(path), "copy")[0])
        lake.backup(tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        assert copy.verify() == []


def test_the_file_of_a_backup_cures_a_flipped_bit(lone, tmp_path):
    path = file_of(lone)
    with lake_in(lone) as lake:
        lake.backup(tmp_path / "copy")
        flip(path, *flips(data_pages(path), "cure")[0])
        shutil.copy(tmp_path / "copy" / path.relative_to(lone), path)
        assert lake.verify(deep=True) == []
        assert lake.load(BARS).equals(ALL)


# inside the catalog


@pytest.fixture
def inline(root):
    """A closed lake of one inline segment of several pages."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 3_000))
    return root


@pytest.mark.parametrize("read", ["load", "scan", "one column", "last", "head"])
def test_a_read_of_an_inline_segment_names_the_damage(inline, read):
    for place, bit in flips(blob_places(inline), read):
        flip(inline / CATALOG_FILE, place, bit)
        with lake_in(inline) as lake, refused("inline segment", kind=CorruptSegment):
            READS[read](lake)
        flip(inline / CATALOG_FILE, place, bit)


def test_verify_finds_every_flipped_bit_of_an_inline_segment(inline):
    for place, bit in flips(blob_places(inline), "verify"):
        flip(inline / CATALOG_FILE, place, bit)
        with lake_in(inline) as lake:
            assert [problem.dataset for problem in lake.verify()] == [str(BARS)], (place, bit)
        flip(inline / CATALOG_FILE, place, bit)


def test_a_flipped_bit_of_an_inline_segment_is_not_compacted_into_a_file(inline):
    flip(inline / CATALOG_FILE, *flips(blob_places(inline), "compact")[0])
    with lake_in(inline) as lake, refused("inline segment", kind=CorruptSegment):
        lake.compact()


def test_the_catalog_of_a_backup_cures_an_inline_segment(inline, tmp_path):
    with lake_in(inline) as lake:
        lake.backup(tmp_path / "copy")
    flip(inline / CATALOG_FILE, *flips(blob_places(inline), "cure")[0])
    shutil.copy(tmp_path / "copy" / CATALOG_FILE, inline / CATALOG_FILE)
    with lake_in(inline) as lake:
        assert lake.verify(deep=True) == []
        assert lake.load(BARS).equals(full(bars(0, 3_000)))
