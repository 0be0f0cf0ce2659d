"""Rebuilding: the files alone make a catalog again."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, full, lake_in, span, tree

import ticklake
from ticklake.app import CATALOG_FILE, rebuild_lake
from ticklake.catalog.witness import WITNESS_FILE
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.errors import BadInput, NoLake, TicklakeError
from ticklake.testing.rows import bars, trades

SOURCES = Path(ticklake.__file__).parents[1]
ONE, OTHER = Provenance("ccxt", "fetch_ohlcv", "t 1"), Provenance("file", "a.csv", "t 2", note="é")


def known(lake, dataset=BARS):
    """Everything about a dataset that its files hold; origins by what they say, not by number."""
    row = lake.engine.catalog.dataset(dataset)
    rows = lake.load(dataset, provenance=True)
    origins = lake.engine.catalog.provenances()
    told = [origins[number] for number in rows["provenance"].to_list()]
    return (
        rows.drop("provenance").rows(),
        told,
        lake.coverage(dataset),
        (row.keying, row.id_space, row.rows, row.min_ts, row.max_ts, row.bytes),
    )


def without_catalog(root):
    for path in root.glob(f"{CATALOG_FILE}*"):
        path.unlink()


def test_a_compacted_lake_is_the_same_after_a_rebuild(root):
    raw = Provenance("ccxt", "fetch_trades", id_space="raw")
    with lake_in(root) as lake:
        lake.engine.append(BARS, bars(0, 300), ONE, [Covered(span(0, 400))])
        lake.engine.append(BARS, bars(100, 200, bump=1.0), OTHER, [Covered(span(400, 500), Found.LOST, "why")])
        lake.engine.append(TRADES, trades(0, 100), raw, [Covered(span(0, 5))])
        lake.compact()
        before = known(lake), known(lake, TRADES)
    without_catalog(root)
    found = rebuild_lake(root, force=True)
    assert (found.datasets, found.files, found.rows, found.unreadable) == (2, 2, 400, ())
    with lake_in(root) as lake:
        assert (known(lake), known(lake, TRADES)) == before
        assert lake.verify(deep=True) == []


def test_files_that_were_never_compacted_give_the_same_rows(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY), ONE)
        lake.save(BARS, bars(100, MANY + 200, bump=1.0), OTHER)
        before = lake.load(BARS)
    assert rebuild_lake(root, force=True).rows == MANY + 200
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(before)
        assert lake.provenance(BARS, at(50)) == [ONE]
        assert lake.provenance(BARS, at(150)) == [OTHER]


def test_a_rebuilt_lake_goes_on_deduplicated_and_newest_wins(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(0, MANY, bump=1.0))
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        assert lake.save(BARS, bars(0, MANY + 5, bump=1.0)).new == 5
        assert lake.save(BARS, bars(3, 4, bump=2.0)).changed == 1
        lake.compact()
        assert lake.load(BARS, at(3), at(4)).equals(full(bars(3, 4, bump=2.0)))
        assert lake.load(BARS).height == MANY + 5


def test_the_old_catalog_is_kept_beside(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    (root / CATALOG_FILE).write_bytes(b"garbage" * 1_000)
    rebuild_lake(root, force=True)
    kept = list(root.glob(f"{CATALOG_FILE}.*.old"))
    assert [path.read_bytes() for path in kept] == [b"garbage" * 1_000]
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(0, MANY)))


@pytest.mark.parametrize("when", ["before the commit", "after the commit"])
def test_a_replaced_file_that_a_crash_left_in_the_tree_does_no_harm(root, when):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(0, MANY, bump=1.0))
        lake.compact()
        before = lake.load(BARS)
    for name in tree(root):
        if name.startswith("retired/"):
            (root / name).rename(root / name.removeprefix("retired/"))
    if when == "before the commit":
        without_catalog(root)
    assert rebuild_lake(root, force=True).rows == MANY
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(before)
        assert lake.engine.inventory()[0].rows == MANY


def test_what_was_deleted_from_a_file_does_not_come_back(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 3 * MANY))
        lake.delete(BARS, at(0), at(MANY))
        before = lake.load(BARS)
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(before)


def test_a_delete_that_died_before_its_commit_costs_no_row(root, tmp_path):
    """What it wrote stands in the tree and is older than the rows that are still there."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 2 * MANY))
    shutil.copytree(root, tmp_path / "twin")
    with lake_in(tmp_path / "twin") as twin:
        twin.delete(BARS, at(10), at(20))
    (left,) = (name for name in tree(tmp_path / "twin") if not name.startswith("retired/"))
    shutil.copy(tmp_path / "twin" / left, root / left)
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(0, 2 * MANY)))


_DIES_IN_THE_SECOND_FILE = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engine_lakes import BARS, engine_in
from ticklake.engine.compact import compact
from ticklake.storage.local import LocalStore

class Dying(LocalStore):
    written = 0
    @contextmanager
    def create(self, key):
        with super().create(key) as sink:
            yield sink
        self.written += 1
        if self.written == 2:
            os._exit(9)

compact(engine_in(Path(sys.argv[1]), Dying).store, BARS, 5_000)
"""


def test_a_compaction_that_died_between_its_files_costs_no_row(root):
    """A year becomes months: the first months are written and say what they replace, the rest are not."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 200 * 1440, step=10))
        lake.save(BARS, bars(0, 10, bump=1.0, step=10))
        before = lake.load(BARS)
        files = tree(root)
    done = subprocess.run(
        [sys.executable, "-c", _DIES_IN_THE_SECOND_FILE, str(root), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 9, done.stderr
    assert len(tree(root)) == len(files) + 2
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(before)
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        assert lake.load(BARS).height == before.height


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_restored(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(TRADES, trades(0, MANY))
    (bad,) = [name for name in tree(root) if name.startswith("trades")]
    (root / bad).write_bytes((root / bad).read_bytes()[:500])
    alien = root / "ohlcv" / "notes.txt"
    alien.write_text("mine")
    os.utime(alien, (0, 0))
    found = rebuild_lake(root, force=True)
    assert found.unreadable == tuple(sorted([bad, "ohlcv/notes.txt"]))
    assert (found.datasets, found.rows) == (2, 2 * MANY), "the catalog still says what the damaged file held"
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(0, MANY)))
        assert [problem.segment for problem in lake.verify() if problem.dataset] == [bad]


def test_a_file_with_a_good_footer_and_bad_rows_does_not_stop_the_rebuild(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(10, MANY + 10, bump=1.0))
        lake.save(TRADES, trades(0, MANY))
    bad = next(name for name in tree(root) if name.startswith("ohlcv"))
    data = (root / bad).read_bytes()
    (root / bad).write_bytes(data[:4] + b"\xff" * (len(data) - 5_000) + data[len(data) - 4_996 :])
    found = rebuild_lake(root, force=True)
    assert bad in found.unreadable
    with lake_in(root) as lake:
        assert lake.load(TRADES).height == MANY


def test_rebuilding_twice_gives_the_same_lake(root):
    with lake_in(root) as lake:
        lake.engine.append(BARS, bars(0, 50), ONE, [Covered(span(0, 60))])
        lake.compact()
        before = known(lake)
    for _ in range(2):
        rebuild_lake(root, force=True)
        with lake_in(root) as lake:
            assert known(lake) == before


def test_retired_files_are_not_read(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.delete(BARS)
    found = rebuild_lake(root, force=True)
    assert (found.datasets, found.files, found.rows) == (0, 0, 0)


def test_an_origin_that_only_inline_rows_had_does_not_confuse_later_ones(root):
    eth = Dataset.parse("x:ohlcv:1m:ETH/USDT")
    with lake_in(root) as lake:
        lake.save(eth, bars(0, 5), ONE)
        lake.save(BARS, bars(0, MANY), OTHER)
    rebuild_lake(root, force=True)
    with lake_in(root) as lake:
        lake.save(eth, bars(0, 5), ONE)
        assert lake.provenance(BARS, at(3)) == [OTHER]
        assert lake.provenance(eth, at(3)) == [ONE]


def test_a_folder_that_is_not_there_has_no_lake(root):
    with pytest.raises(NoLake):
        rebuild_lake(root, force=True)


@pytest.mark.parametrize("lost", ["removed", "emptied"])
def test_files_without_a_catalog_are_not_taken_for_a_new_lake(root, lost):
    """Opened as a new lake, every file would be garbage, and the next vacuum would delete them all."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    (root / CATALOG_FILE).unlink()
    if lost == "emptied":
        (root / CATALOG_FILE).touch()
    with pytest.raises(TicklakeError, match="rebuild"), lake_in(root) as lake:
        lake.load(BARS)


def test_a_moved_lake_is_the_same_lake(root, tmp_path):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(MANY, MANY + 5))
        lake.compact()
    shutil.move(root, tmp_path / "elsewhere")
    with lake_in(tmp_path / "elsewhere") as lake:
        assert lake.load(BARS).equals(full(bars(0, MANY + 5)))
        assert lake.verify() == []
        assert lake.engine.append(BARS, bars(0, MANY), USER).new == 0


@pytest.fixture
def leftover(root):
    """Make a lake in which half of the rows were deleted, and return a file that a killed deletion left before that."""
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, 2 * MANY))
        lake.delete(BARS, at(0), at(10))
        (rewritten,) = (name for name in tree(root) if not name.startswith("retired"))
        content = (root / rewritten).read_bytes()
        lake.delete(BARS, at(MANY), at(2 * MANY))
        lake.vacuum(0)
        # A deletion that is killed before its commit leaves such a file, under the name that it chose.
        (root / rewritten).write_bytes(content)
        time.sleep(0.2)  # longer than a tick of the clock that files get their times from
        lake.save(TRADES, trades(0, 10))
    return rewritten


def test_what_a_killed_writer_left_brings_no_deleted_row_back(root, leftover):
    rebuilt = rebuild_lake(root, force=True)
    assert rebuilt.uncommitted == (leftover,)
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(10, MANY)))


def test_what_a_killed_writer_left_is_no_reason_for_a_rebuild(root, leftover):
    with pytest.raises(BadInput, match="is sound"):
        rebuild_lake(root)
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(10, MANY)))


@pytest.mark.parametrize("accident", ["no witness", "damaged witness", "witness of an older version"])
def test_files_are_taken_in_where_nothing_shows_that_no_commit_is_missing(root, leftover, accident):
    witness = root / WITNESS_FILE
    if accident == "no witness":
        witness.unlink()
    elif accident == "damaged witness":
        witness.write_bytes(b"\1" * 192)
    else:
        slots = witness.read_bytes()
        witness.write_bytes(b"".join(slots[at : at + 52] + bytes(12) for at in range(0, len(slots), 64)))
    rebuilt = rebuild_lake(root, force=True)
    assert rebuilt.uncommitted == ()
    assert rebuilt.rows == 2 * MANY - 10 + 10


def test_commits_that_a_catalog_and_its_witness_know_nothing_of_are_taken_in(root):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    kept = {path.name: path.read_bytes() for path in root.glob(f"{CATALOG_FILE}*") if path.is_file()}
    with lake_in(root) as lake:
        lake.save(BARS, bars(MANY, 2 * MANY))
    without_catalog(root)
    for name, content in kept.items():
        (root / name).write_bytes(content)
    assert rebuild_lake(root).rows == 2 * MANY
    with lake_in(root) as lake:
        assert lake.load(BARS).equals(full(bars(0, 2 * MANY)))


def test_a_file_of_another_copy_that_is_put_into_the_tree_is_taken_in(root, tmp_path):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
    shutil.copytree(root, tmp_path / "copy")
    with lake_in(tmp_path / "copy") as copy:
        copy.save(BARS, bars(MANY, 2 * MANY))
    with lake_in(root) as lake:
        lake.save(TRADES, trades(0, 10))
    (newest,) = set(tree(tmp_path / "copy")) - set(tree(root))
    shutil.copy2(tmp_path / "copy" / newest, root / newest)
    assert rebuild_lake(root).rows == 2 * MANY + 10
