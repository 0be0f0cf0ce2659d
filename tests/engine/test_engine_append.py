"""Appending: durable, deduplicated, nothing invented and nothing dropped."""

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from engine_lakes import BARS, MANY, MINUTE, TRADES, USER, Overtaking, at, full, minutes_of, span, tree

import ticklake
from ticklake.catalog.catalog import Catalog
from ticklake.catalog.removal import known_paths
from ticklake.core.coverage import Covered
from ticklake.core.provenance import Provenance
from ticklake.errors import Conflict, DiskFull, InvalidData
from ticklake.storage.local import LocalStore
from ticklake.testing.rows import bars, trades

SOURCES = Path(ticklake.__file__).parents[1]


def segments(lake, dataset=BARS):
    return lake.engine.catalog.snapshot(dataset)[2]


@pytest.mark.parametrize("rows", [10, MANY])
def test_the_same_batch_again_changes_nothing(any_lake, rows):
    first = any_lake.save(BARS, bars(0, rows))
    before = segments(any_lake), any_lake.engine.inventory(), any_lake.engine.catalog.version()
    second = any_lake.save(BARS, bars(0, rows))
    assert (first.received, first.new, first.duplicate) == (rows, rows, 0)
    assert (second.received, second.new, second.duplicate, second.changed) == (rows, 0, rows, 0)
    assert (segments(any_lake), any_lake.engine.inventory(), any_lake.engine.catalog.version()) == before
    assert any_lake.load(BARS).equals(full(bars(0, rows)))


def test_the_same_large_batch_again_writes_no_file(lake, root):
    lake.save(BARS, bars(0, MANY))
    before = tree(root)
    lake.save(BARS, bars(0, MANY))
    assert tree(root) == before
    assert len(before) == 1


def test_only_new_rows_of_an_overlapping_batch_are_added(any_lake):
    any_lake.save(BARS, bars(0, 100))
    receipt = any_lake.save(BARS, bars(50, 130))
    assert (receipt.new, receipt.duplicate) == (30, 50)
    assert any_lake.load(BARS).equals(full(bars(0, 130)))
    assert any_lake.engine.inventory()[0].rows == 130


def test_a_changed_bar_wins_and_the_old_one_is_in_the_revision_log(any_lake):
    any_lake.save(BARS, bars(0, 10))
    receipt = any_lake.save(BARS, bars(4, 5, bump=1.0))
    assert (receipt.new, receipt.changed, receipt.duplicate) == (0, 1, 0)
    assert any_lake.load(BARS).equals(full(pl.concat([bars(0, 4), bars(4, 5, bump=1.0), bars(5, 10)])))
    (revision,) = any_lake.revisions(BARS)
    assert (revision["ts"], revision["commit_id"]) == (at(4), receipt.version)
    before, after = (json.loads(revision[side])["close"] for side in ("before", "after"))
    assert (before, after) == (bars(4, 5)["close"].item(), bars(4, 5)["close"].item() + 1.0)
    assert any_lake.engine.inventory()[0].rows == 10


def test_a_bar_may_change_back(any_lake):
    for bump in (0.0, 1.0, 0.0):
        any_lake.save(BARS, bars(4, 5, bump=bump))
    assert any_lake.load(BARS).equals(full(bars(4, 5)))
    assert len(any_lake.revisions(BARS)) == 2


def test_a_value_that_is_not_known_now_does_not_unlearn_one(any_lake):
    any_lake.save(BARS, bars(0, 3))
    receipt = any_lake.save(BARS, bars(0, 3).with_columns(volume=pl.lit(None, pl.Float64)))
    assert (receipt.duplicate, receipt.changed) == (3, 0)
    assert any_lake.load(BARS).equals(full(bars(0, 3)))


def test_rows_may_come_in_any_order(any_lake):
    any_lake.save(BARS, bars(0, 50).sample(fraction=1, shuffle=True, seed=1))
    any_lake.save(BARS, bars(-50, 0).reverse())
    assert any_lake.load(BARS).equals(full(bars(-50, 50)))


def test_trades_of_one_instant_keep_the_order_they_came_in(any_lake):
    same = trades(0, 6).with_columns(ts=trades(0, 1)["ts"].new_from_index(0, 6), id=pl.Series(list("fbadce")))
    any_lake.save(TRADES, same)
    assert any_lake.load(TRADES)["id"].to_list() == list("fbadce")


def test_identical_prints_without_ids_survive_and_a_second_download_does_not_double_them(any_lake):
    """Field note: identical prints are real, 48 in a Kraken dump."""
    prints = pl.concat([trades(0, 5, ids=False), trades(2, 3, ids=False), trades(2, 3, ids=False)])
    first = any_lake.save(TRADES, prints)
    second = any_lake.save(TRADES, prints)
    assert (first.new, second.new, second.duplicate) == (7, 0, 7)
    assert any_lake.load(TRADES).height == 7
    assert any_lake.load(TRADES)["id"].null_count() == 7


def test_a_longer_download_of_prints_adds_only_what_is_new(any_lake):
    any_lake.save(TRADES, pl.concat([trades(0, 3, ids=False), trades(2, 3, ids=False)]))
    receipt = any_lake.save(TRADES, pl.concat([trades(1, 6, ids=False), *[trades(2, 3, ids=False)] * 2]))
    assert (receipt.new, receipt.duplicate) == (4, 3)
    assert any_lake.load(TRADES).height == 8


def test_a_trade_that_comes_back_with_a_coarser_time_is_the_same_trade(any_lake):
    fine = trades(0, 5).with_columns(ts=pl.col("ts") + pl.duration(microseconds=123_456))
    any_lake.save(TRADES, fine)
    receipt = any_lake.save(TRADES, trades(0, 5))
    assert (receipt.new, receipt.duplicate) == (0, 5)
    assert any_lake.load(TRADES).height == 5


def test_one_trade_told_twice_at_other_times_in_a_batch_stays_one_row(any_lake):
    any_lake.save(TRADES, trades(0, 1))
    again = pl.concat([trades(0, 1).with_columns(price=pl.lit(price)) for price in (5.0, 6.0)])
    times = [at(0) + 100_000_000, at(0) + 200_000_000]
    any_lake.save(TRADES, again.with_columns(ts=pl.Series(times).cast(again.schema["ts"])))
    assert any_lake.load(TRADES)["price"].to_list() == [6.0]
    assert any_lake.verify() == []


def test_trades_without_an_id_among_trades_with_ids_are_quarantined(any_lake):
    any_lake.save(TRADES, trades(0, 3))
    receipt = any_lake.save(TRADES, trades(3, 5, ids=False))
    assert (receipt.new, receipt.quarantined) == (0, 2)
    assert {row["reason"] for row in any_lake.quarantine(TRADES)} == {"no_id"}


def test_a_row_that_cannot_be_true_is_in_quarantine_with_its_reason(any_lake):
    wrong = bars(2, 3).with_columns(high=pl.lit(0.5))
    receipt = any_lake.save(BARS, pl.concat([bars(0, 2), wrong, bars(3, 5)]))
    assert (receipt.received, receipt.new, receipt.quarantined) == (5, 4, 1)
    (kept,) = any_lake.quarantine(BARS)
    assert (kept["ts"], kept["reason"]) == (at(2), "high_below_low")
    assert json.loads(kept["row"])["high"] == 0.5
    assert minutes_of(any_lake.load(BARS)) == [0, 1, 3, 4]


def test_a_refused_row_that_comes_again_is_kept_once(any_lake):
    wrong = bars(2, 3).with_columns(high=pl.lit(0.5))
    receipts = [any_lake.save(BARS, wrong) for _ in range(3)]
    assert [receipt.quarantined for receipt in receipts] == [1, 1, 1]
    assert len(any_lake.quarantine(BARS)) == 1


@pytest.mark.parametrize("side", ["weird", "a\nb", "a\u2028b", "a\x85b", "a\x1cb", "\\n\"'"])
def test_any_text_can_stand_in_quarantine(any_lake, side):
    receipt = any_lake.save(TRADES, trades(0, 2).with_columns(side=pl.Series(["buy", side])))
    assert (receipt.new, receipt.quarantined) == (1, 1)
    (kept,) = any_lake.quarantine(TRADES)
    assert json.loads(kept["row"])["side"] == side


def test_any_text_can_stand_in_the_revision_log(any_lake):
    one = trades(0, 1).with_columns(id=pl.lit("a\u2028b"))
    any_lake.save(TRADES, one)
    any_lake.save(TRADES, one.with_columns(price=pl.lit(7.0)))
    (revision,) = any_lake.revisions(TRADES)
    assert json.loads(revision["after"])["id"] == "a\u2028b"


def test_a_row_without_a_time_is_quarantined_not_dropped(any_lake):
    untimed = bars(0, 2).with_columns(ts=pl.Series([at(0), None]).cast(bars(0, 1).schema["ts"]))
    receipt = any_lake.save(BARS, untimed)
    assert (receipt.new, receipt.quarantined) == (1, 1)
    assert [(row["ts"], row["reason"]) for row in any_lake.quarantine(BARS)] == [(None, "no_ts")]


def test_a_bar_from_the_future_is_quarantined_by_the_clock_it_came_with(any_lake):
    origin = Provenance("simulated")
    receipt = any_lake.engine.append(BARS, bars(0, 10), origin, now=at(5) - 24 * 60 * MINUTE)
    assert (receipt.new, receipt.quarantined) == (6, 4)
    assert {row["reason"] for row in any_lake.quarantine(BARS)} == {"time_in_future"}


def test_data_that_does_not_fit_its_kind_stores_nothing(any_lake):
    for wrong in (bars(0, 5).drop("close"), bars(0, 5).with_columns(extra=1), [{"ts": 1}], "text"):
        with pytest.raises(InvalidData):
            any_lake.save(BARS, wrong)
    assert any_lake.datasets() == []


@pytest.mark.parametrize("rows", [10, MANY])
def test_ids_of_another_space_are_refused_and_leave_no_file(lake, root, rows):
    raw, agg = (Provenance("ccxt", id_space=name) for name in ("raw", "agg"))
    lake.engine.append(TRADES, trades(0, 5), raw)
    before = tree(root)
    with pytest.raises(InvalidData, match=r"(?s)raw.*agg"):
        lake.engine.append(TRADES, trades(100, 100 + rows), agg)
    assert tree(root) == before
    assert lake.load(TRADES).height == 5


def test_a_large_batch_becomes_one_file_for_each_year(lake, root):
    new_year = 366 * 24 * 60
    lake.save(BARS, bars(new_year - MANY, new_year + MANY))
    assert [Path(name).name.split("-")[0] for name in tree(root)] == ["2024", "2025"]
    assert lake.load(BARS).equals(full(bars(new_year - MANY, new_year + MANY)))


def test_every_row_knows_where_it_came_from(any_lake):
    one, other = Provenance("ccxt", "fetch_ohlcv", "t 1"), Provenance("file", "a.csv")
    any_lake.save(BARS, bars(0, 2), one)
    any_lake.save(BARS, bars(1, 4), other)
    assert [any_lake.provenance(BARS, at(minute)) for minute in (0, 1, 2, 9)] == [[one], [one], [other], []]
    shown = any_lake.load(BARS, provenance=True)
    assert shown.columns == [*BARS.spec.names, "provenance"]
    assert shown["provenance"].n_unique() == 2


def test_rows_and_coverage_are_one_commit(any_lake):
    any_lake.engine.append(BARS, bars(0, 5), USER, [Covered(span(0, 10))])
    assert any_lake.engine.catalog.version() == 1
    assert any_lake.coverage(BARS).spans() == [span(0, 10)]


def test_a_looked_at_span_without_rows_is_covered(any_lake):
    receipt = any_lake.engine.append(BARS, [], USER, [Covered(span(0, 10))])
    assert receipt.received == 0
    assert any_lake.coverage(BARS).spans() == [span(0, 10)]
    assert any_lake.load(BARS).height == 0


def test_an_append_overtaken_by_another_is_computed_anew(engine_in, root):
    engine, rival = engine_in(root, catalog=Overtaking), engine_in(root)
    engine.catalog.before_commit = lambda: rival.append(BARS, bars(0, 10, bump=1.0), USER)
    receipt = engine.append(BARS, bars(5, 15), USER)
    assert (receipt.new, receipt.changed) == (5, 5)
    assert engine.load(BARS).equals(full(pl.concat([bars(0, 5, bump=1.0), bars(5, 15)])))
    assert engine.inventory()[0].rows == 15


def test_an_overtaken_large_append_leaves_only_named_files(engine_in, root):
    engine, rival = engine_in(root, catalog=Overtaking), engine_in(root)
    engine.catalog.before_commit = lambda: rival.append(BARS, bars(0, 10), USER)
    engine.append(BARS, bars(0, MANY), USER)
    assert set(tree(root)) == known_paths(engine.catalog.database)
    assert engine.load(BARS).equals(full(bars(0, MANY)))


def test_a_page_overtaken_by_a_delete_does_not_claim_the_deleted_rows(engine_in, root):
    """Its rows were duplicates when it looked; once they are deleted they must be added, or not be covered."""
    engine, rival = engine_in(root, catalog=Overtaking), engine_in(root)
    engine.append(BARS, bars(0, 10), USER, [Covered(span(0, 10))])
    engine.catalog.before_commit = lambda: rival.delete(BARS, span(0, 10))
    engine.append(BARS, bars(0, 10), USER, [Covered(span(0, 10))])
    held = set(minutes_of(engine.load(BARS)))
    covered = {minute for minute in range(10) for known in engine.catalog.coverage(BARS).spans() if at(minute) in known}
    assert covered <= held


def test_a_refused_commit_leaves_no_file(engine_in, root):
    class Refusing(Catalog):
        def commit(self, operation, changes):
            raise InvalidData("no")

    engine = engine_in(root, catalog=Refusing)
    with pytest.raises(InvalidData):
        engine.append(BARS, bars(0, MANY), USER)
    assert tree(root) == []


def test_a_commit_that_always_conflicts_ends_in_a_conflict(engine_in, root, monkeypatch):
    class Refusing(Catalog):
        def commit(self, operation, changes):
            raise Conflict("no")

    monkeypatch.setattr("ticklake.engine.store.ATTEMPTS", 3)
    engine = engine_in(root, catalog=Refusing)
    with pytest.raises(Conflict):
        engine.append(BARS, bars(0, 10), USER)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_just_after_the_commit_does_not_take_the_files_away(engine_in, root, error):
    """Ctrl-C between SQLite's commit and our return: what the catalog names must exist."""

    class Interrupted(Catalog):
        def commit(self, operation, changes):
            super().commit(operation, changes)
            raise error

    with pytest.raises(error):
        engine_in(root, catalog=Interrupted).append(BARS, bars(0, MANY), USER)
    engine = engine_in(root)
    assert list(engine.verify()) == []
    assert engine.load(BARS).height in {0, MANY}


def test_a_full_disk_leaves_the_lake_as_it_was(engine_in, root, monkeypatch):
    class Full(LocalStore):
        @contextmanager
        def create(self, key):
            def refused(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            with monkeypatch.context() as patch:
                patch.setattr(os, "write", refused)
                with super().create(key) as sink:
                    yield sink

    engine_in(root).append(BARS, bars(0, 10), USER)
    with pytest.raises(DiskFull):
        engine_in(root, Full).append(BARS, bars(0, MANY), USER)
    engine = engine_in(root)
    assert tree(root) == []
    assert engine.load(BARS).equals(full(bars(0, 10)))
    assert engine.append(BARS, bars(0, MANY), USER).new == MANY - 10


_LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engine_lakes import BARS, USER, engine_in, tree
from ticklake.testing.rows import bars
from ticklake.errors import DiskFull, TicklakeError

root = Path(sys.argv[1])
engine = engine_in(root)
engine.append(BARS, bars(0, 1_000), USER)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, resource.RLIM_INFINITY))
try:
    engine.append(BARS, bars(0, 80_000), USER)
except DiskFull:
    print("full", tree(root), engine.load(BARS).height)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    engine.append(BARS, bars(0, 3_000), USER)
except TicklakeError:
    print("refused", tree(root))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(engine.load(BARS).height, engine.append(BARS, bars(0, 80_000), USER).new, engine.load(BARS).height)
print(list(engine.verify(deep=True)))
"""


def test_a_disk_that_is_really_full_refuses_and_later_goes_on(root):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(root), str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = ["full [] 1000", "refused []", "1000 79000 80000", "[]"]
    assert done.stdout.splitlines() == expected, done.stderr
