"""Retention: old rows leave, the lake knows that it was on purpose, and what is young stays exact."""

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, full, span, tree

from ticklake.core.coverage import Covered, Found
from ticklake.core.time import DAY
from ticklake.errors import BadInput, CorruptSegment
from ticklake.testing.rows import START, bars, trades

DAY_MINUTES = 1440


@pytest.fixture
def today(clock):
    """Set the lake's clock to a day of the bars."""

    def be(day):
        clock.ahead = 0
        clock.ahead = START + day * DAY + DAY // 2 - clock()

    return be


def test_old_rows_go_and_are_counted_with_their_bytes(any_lake, today):
    today(20)
    any_lake.save(BARS, bars(0, 14 * DAY_MINUTES))
    held = any_lake.engine.inventory()[0].bytes
    done = any_lake.cleanup(10)
    assert any_lake.load(BARS).equals(full(bars(10 * DAY_MINUTES, 14 * DAY_MINUTES)))
    assert done.rows == 10 * DAY_MINUTES
    assert done.bytes == held - any_lake.engine.inventory()[0].bytes > 0
    assert any_lake.verify(deep=True) == []


def test_one_kind_needs_no_list(lake, today):
    today(20)
    lake.save(BARS, bars(0, DAY_MINUTES))
    lake.save(TRADES, trades(0, 10))
    assert {cleaned.dataset.kind for cleaned in lake.cleanup(10, kinds="ohlcv", dry_run=True).datasets} == {"ohlcv"}
    with pytest.raises(BadInput, match="'olhcv' is not a kind"):
        lake.cleanup(10, kinds="olhcv")


def test_whole_segments_go_without_being_read(lake, root, today):
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(2 * MANY, 3 * MANY))
    today(60)
    first = min(lake.engine.catalog.snapshot(BARS)[2], key=lambda one: one.min_ts)
    (root / first.path).write_bytes(b"damaged, and nobody looks")
    (one,) = lake.cleanup(60 - 2 * MANY // DAY_MINUTES).datasets
    assert (one.deleted.rows, one.deleted.whole, one.deleted.cut) == (MANY, 1, 0)
    assert lake.load(BARS).equals(full(bars(2 * MANY, 3 * MANY)))


def test_again_it_does_nothing_at_all(any_lake, today):
    any_lake.engine.append(BARS, bars(0, 5 * DAY_MINUTES), USER, [Covered(span(-100, 5 * DAY_MINUTES))])
    today(5)
    assert any_lake.cleanup(2).rows == 3 * DAY_MINUTES
    version = any_lake.engine.catalog.version()
    assert any_lake.cleanup(2).datasets == ()
    assert any_lake.engine.catalog.version() == version


def test_what_was_removed_is_expired_and_no_gap(any_lake, today):
    covered = [Covered(span(0, 5 * DAY_MINUTES)), Covered(span(-60, 0), Found.UNLISTED, "young")]
    any_lake.engine.append(BARS, bars(0, 5 * DAY_MINUTES), USER, covered)
    today(5)
    any_lake.cleanup(2)
    coverage = any_lake.coverage(BARS)
    assert coverage.spans(Found.EXPIRED) == [span(0, 3 * DAY_MINUTES)]
    assert coverage.spans(Found.UNLISTED) == [span(-60, 0)]
    assert "2 days are kept" in next(piece.reason for piece in coverage.pieces if piece.found is Found.EXPIRED)
    assert any_lake.gaps(BARS) == any_lake.missing_intervals(BARS) == []


def test_days_later_the_expired_time_grows_as_one_piece(any_lake, today):
    any_lake.engine.append(TRADES, trades(0, 5 * 86_400, ids=True), USER)
    for day in (3, 4, 5):
        today(day)
        any_lake.cleanup(2)
    (piece,) = any_lake.coverage(TRADES).pieces
    assert piece.span == span(0, 3 * DAY_MINUTES)
    assert any_lake.last_timestamp(TRADES) == START + 5 * DAY - 10**9


def test_rows_that_come_back_are_data_again_until_the_next_cleanup(any_lake, today):
    any_lake.save(BARS, bars(0, 5 * DAY_MINUTES))
    today(5)
    any_lake.cleanup(2)
    any_lake.engine.append(BARS, bars(0, 10), USER, [Covered(span(0, 10))])
    assert any_lake.coverage(BARS).spans(Found.DATA) == [span(0, 10)]
    assert any_lake.cleanup(2).rows == 10


def test_a_dry_run_says_the_same_and_changes_nothing(any_lake, today):
    any_lake.save(BARS, bars(0, 14 * DAY_MINUTES))
    today(20)
    version = any_lake.engine.catalog.version()
    said = any_lake.cleanup(10, dry_run=True)
    assert any_lake.engine.catalog.version() == version
    done = any_lake.cleanup(10)
    assert said.rows == done.rows == 10 * DAY_MINUTES
    assert said.bytes == pytest.approx(done.bytes, rel=0.4)
    assert (said.dry_run, done.dry_run) == (True, False)


def test_kinds_exchanges_and_datasets_choose(any_lake, today):
    other = "y:ohlcv:1m:BTC/USDT"
    for name in (BARS, other):
        any_lake.save(name, bars(0, 2 * DAY_MINUTES))
    any_lake.save(TRADES, trades(0, 2 * 86_400))
    today(2)
    assert [str(one.dataset) for one in any_lake.cleanup(1, kinds=["trades"], dry_run=True).datasets] == [str(TRADES)]
    assert [str(one.dataset) for one in any_lake.cleanup(1, exchange="y", dry_run=True).datasets] == [other]
    assert [one.dataset for one in any_lake.cleanup(1, datasets=[BARS], dry_run=True).datasets] == [BARS]
    assert len(any_lake.cleanup(1).datasets) == 3


def test_without_days_or_settings_nothing_is_removed(any_lake):
    any_lake.save(BARS, bars(0, 10))
    with pytest.raises(BadInput, match="how long"):
        any_lake.cleanup()
    assert any_lake.load(BARS).height == 10


def test_history_goes_only_where_it_is_asked_for_and_old(any_lake, today):
    any_lake.save(BARS, bars(0, 5 * DAY_MINUTES))
    any_lake.save(BARS, bars(0, 1, bump=1.0))
    bad = bars(10, 11).with_columns(high=pl.lit(0.0))
    young = bars(4 * DAY_MINUTES, 4 * DAY_MINUTES + 1).with_columns(high=pl.lit(0.0))
    any_lake.save(BARS, pl.concat([bad, young]))
    run = any_lake.runs.create("backfill", "x", {})
    any_lake.runs.append_log(run.id, "long ago", "info")
    today(5)
    any_lake.cleanup(2)
    assert (len(any_lake.quarantine(BARS)), len(any_lake.revisions(BARS))) == (2, 1)
    said = any_lake.cleanup(2, history=True, dry_run=True)
    done = any_lake.cleanup(2, history=True)
    assert said.datasets[0].history == done.datasets[0].history
    assert (done.datasets[0].history.quarantined, done.datasets[0].history.revisions) == (1, 1)
    assert (len(any_lake.quarantine(BARS)), len(any_lake.revisions(BARS))) == (1, 0)


def test_old_lines_of_run_logs_go_and_the_runs_stay(any_lake, clock):
    run = any_lake.runs.create("backfill", "x", {})
    any_lake.runs.append_log(run.id, "long ago", "info")
    clock.ahead += 3 * DAY
    any_lake.runs.append_log(run.id, "now", "info")
    assert any_lake.cleanup(2, history=True, dry_run=True).log_lines == 1
    assert any_lake.cleanup(2, history=True).log_lines == 1
    assert [line.message for line in any_lake.runs.tail(run.id)] == ["now"]


def test_a_damaged_segment_that_must_be_cut_is_named_and_stops_nothing_else(lake, root, today):
    lake.save("a:ohlcv:1m:BTC/USDT", bars(0, MANY))
    lake.save(BARS, bars(0, MANY))
    today(20)
    path = next(name for name in tree(root) if "exchange=a" in name)
    (root / path).write_bytes((root / path).read_bytes()[:1_000])
    with pytest.raises(CorruptSegment, match=path):
        lake.cleanup(15)
    assert lake.load(BARS).equals(full(bars(5 * DAY_MINUTES, MANY)))


def test_vacuum_frees_the_files_once_older_versions_may_go(lake, root, clock, today):
    lake.save(BARS, bars(0, MANY))
    today(40)
    done = lake.cleanup(10)
    (waiting,) = tree(root)
    assert waiting.startswith("retired/")
    assert lake.vacuum(keep=7 * DAY).bytes == 0
    clock.ahead += 8 * DAY
    assert lake.vacuum(keep=7 * DAY).bytes == done.bytes
    assert tree(root) == []


def test_a_rebuilt_day_is_fetched_again_only_after_it_is_forgotten(any_lake, today):
    any_lake.engine.append(BARS, bars(0, 5 * DAY_MINUTES), USER, [Covered(span(0, 5 * DAY_MINUTES))])
    today(5)
    any_lake.cleanup(2)
    want = span(0, 5 * DAY_MINUTES)
    assert list(any_lake.coverage(BARS).missing(want, retry=True)) == []
    any_lake.delete(BARS, None, at(3 * DAY_MINUTES))
    assert list(any_lake.coverage(BARS).missing(want)) == [span(0, 3 * DAY_MINUTES)]
