"""A damaged segment does not stop its dataset: appends go on, other periods are compacted, a repair mends it."""

import contextlib

import pytest
from damage_lakes import BARS, MANY, YEAR, at, blob_places, file_of, flip, full, lake_in, refused, tree

from ticklake.app import CATALOG_FILE
from ticklake.core.span import Span
from ticklake.errors import TicklakeError
from ticklake.testing.rows import bars

ACCIDENTS = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "empty": lambda path: path.write_bytes(b""),
}
GROUP = BARS.spec.group_rows
BATCHES = {"inline": 100, "file": MANY + 100}


@pytest.fixture(params=ACCIDENTS)
def hurt(request, filled):
    """A lake whose file met an accident."""
    ACCIDENTS[request.param](file_of(filled))
    return filled


@pytest.fixture
def inline_hurt(filled):
    """A lake whose inline segment has a flipped bit."""
    flip(filled / CATALOG_FILE, blob_places(filled)[100])
    return filled


@pytest.mark.parametrize("batch", BATCHES)
def test_an_append_into_the_damaged_span_is_taken(hurt, batch):
    with lake_in(hurt) as lake:
        receipt = lake.save(BARS, bars(50, 50 + BATCHES[batch], bump=1.0))
        assert (receipt.received, receipt.quarantined) == (BATCHES[batch], 0)
        assert receipt.new + receipt.changed == BATCHES[batch]


def test_an_append_into_a_damaged_inline_span_is_taken(inline_hurt):
    with lake_in(inline_hurt) as lake:
        assert lake.save(BARS, bars(2 * MANY + 50, 2 * MANY + 60, bump=1.0)).received == 10


@pytest.mark.parametrize("batch", BATCHES)
def test_what_was_appended_there_wins_after_a_repair_from_a_backup(hurt, tmp_path, batch):
    last = 50 + BATCHES[batch]
    with lake_in(hurt) as lake:
        lake.save(BARS, bars(50, last, bump=1.0))
        lake.repair(BARS, backup=tmp_path / "copy")
        assert lake.verify(deep=True) == []
        rest = bars(last, MANY) if last < MANY else bars(0, 0)
        expected = full(bars(0, 50), bars(50, last, bump=1.0), rest, bars(2 * MANY, 2 * MANY + 500))
        assert lake.load(BARS).equals(expected)
        assert lake.inventory()["rows"].sum() == expected.height


def test_the_same_rows_appended_there_are_not_doubled_by_a_repair(hurt, tmp_path):
    with lake_in(hurt) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.repair(BARS, backup=tmp_path / "copy")
        assert lake.load(BARS).equals(full(bars(0, MANY), bars(2 * MANY, 2 * MANY + 500)))
        assert lake.inventory()["rows"].sum() == MANY + 500


def test_a_repair_without_a_backup_leaves_what_can_be_read(hurt):
    """Row groups whose checksums hold are saved, those beside them are lost."""
    with lake_in(hurt) as lake:
        lake.save(BARS, bars(50, 150, bump=1.0))
        (repaired,) = lake.repair(BARS, fetch=False)
        saved = bars(GROUP, MANY) if repaired.mended.salvaged else bars(0, 0)
        assert repaired.mended.salvaged == saved.height
        assert lake.verify(deep=True) == []
        assert lake.load(BARS).equals(full(bars(50, 150, bump=1.0), saved, bars(2 * MANY, 2 * MANY + 500)))
        assert lake.inventory()["rows"].sum() == 600 + saved.height
        words = {gap.reason for gap in lake.gaps(BARS, at(0), at(50))}
        assert words == {"lost"}


def test_a_row_group_beside_a_flipped_bit_is_saved(filled):
    ACCIDENTS["flipped"](file_of(filled))
    with lake_in(filled) as lake:
        (repaired,) = lake.repair(BARS, fetch=False)
        assert repaired.mended.salvaged == MANY - GROUP
        assert repaired.mended.lost == (Span(at(0), at(GROUP)),)


def test_a_repair_of_an_inline_segment_from_a_backup(inline_hurt, tmp_path):
    with lake_in(inline_hurt) as lake:
        lake.save(BARS, bars(2 * MANY + 50, 2 * MANY + 60, bump=1.0))
        lake.repair(BARS, backup=tmp_path / "copy")
        assert lake.verify(deep=True) == []
        changed = bars(2 * MANY + 50, 2 * MANY + 60, bump=1.0)
        around = bars(2 * MANY, 2 * MANY + 50), changed, bars(2 * MANY + 60, 2 * MANY + 500)
        assert lake.load(BARS).equals(full(bars(0, MANY), *around))


def test_a_repair_of_a_sound_dataset_changes_nothing(filled, tmp_path):
    with lake_in(filled) as lake:
        before = tree(filled), lake.save(BARS, []).version
        lake.repair(BARS)
        lake.repair(BARS, backup=tmp_path / "copy")
        assert (tree(filled), lake.save(BARS, []).version) == before


def test_a_repair_from_a_place_that_is_no_backup_is_refused_and_changes_nothing(hurt, tmp_path):
    before = tree(hurt)
    with lake_in(hurt) as lake, refused("nowhere"):
        lake.repair(BARS, backup=tmp_path / "nowhere")
    assert tree(hurt) == before


def test_the_damage_is_still_told_after_an_append_into_its_span(hurt):
    with lake_in(hurt) as lake:
        lake.save(BARS, bars(50, 150, bump=1.0))
        assert len(lake.verify()) == 1
        with refused("2024-"):
            lake.load(BARS)


@pytest.fixture(params=ACCIDENTS)
def two_years(request, root):
    """A lake with small segments in two years; the file of the first year met an accident."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(MANY, MANY + 50))
        for minute in range(5):
            lake.save(BARS, bars(YEAR + minute, YEAR + minute + 1))
    ACCIDENTS[request.param](file_of(root))
    return root


def test_other_periods_are_compacted(two_years):
    with lake_in(two_years) as lake:
        with contextlib.suppress(TicklakeError):
            lake.compact()
        assert [name for name in tree(two_years) if "/2025-" in name] != []
        assert lake.load(BARS, at(YEAR)).equals(full(bars(YEAR, YEAR + 5)))


def test_a_compaction_names_the_damage_and_leaves_its_period_alone(two_years):
    before = [name for name in tree(two_years) if "/2024-" in name]
    with lake_in(two_years) as lake:
        with refused("2024-"):
            lake.compact()
        assert [name for name in tree(two_years) if "/2024-" in name] == before
        assert lake.load(BARS, at(MANY), at(MANY + 50)).height == 50


def test_spans_beside_the_damage_are_read(two_years):
    with lake_in(two_years) as lake:
        assert lake.load(BARS, at(MANY)).height == 55
        assert lake.scan(BARS, at(YEAR)).collect().height == 5
        assert lake.load(BARS, last=20).height == 20


def test_another_dataset_is_compacted_although_one_is_damaged(two_years):
    other = "x:ohlcv:1m:ZZZ/USDT"
    with lake_in(two_years) as lake:
        for minute in range(3):
            lake.save(other, bars(minute, minute + 1))
        with contextlib.suppress(TicklakeError):
            lake.compact()
        assert [name for name in tree(two_years) if "ZZZ" in name] != []


def test_vacuum_is_not_stopped_by_damage(hurt):
    with lake_in(hurt) as lake:
        lake.vacuum(0)
        assert lake.load(BARS, at(2 * MANY)).height == 500


def test_deleting_outside_the_damage_is_not_stopped_by_it(hurt):
    with lake_in(hurt) as lake:
        assert lake.delete(BARS, at(2 * MANY), at(2 * MANY + 100)) == 100
