"""Many datasets in one commit, and bars made from what they hold."""

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, full, span
from polars.testing import assert_frame_equal

from ticklake.catalog.gap_notes import GapNotes
from ticklake.core import read_plan
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.resample import bars_from_bars, bars_from_trades
from ticklake.core.span import ALL_TIME, Span
from ticklake.core.time import SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.errors import InvalidData, Unsupported
from ticklake.query.resample import resample
from ticklake.testing.rows import START, bars, trades

SETS = [Dataset.parse(f"x:ohlcv:1m:C{number}/USDT") for number in range(5)]


def test_many_datasets_go_in_with_one_commit(any_lake):
    before = any_lake.engine.catalog.version()
    receipts = any_lake.save_all([(dataset, bars(number, number + 10)) for number, dataset in enumerate(SETS)])
    assert [receipt.new for receipt in receipts] == [10] * 5
    assert {receipt.version for receipt in receipts} == {before + 1} == {any_lake.engine.catalog.version()}
    assert all(any_lake.load(dataset).equals(full(bars(n, n + 10))) for n, dataset in enumerate(SETS))


def test_receipts_come_in_the_order_of_the_items(any_lake):
    any_lake.save(SETS[1], bars(0, 5))
    items = [(TRADES, trades(0, 7)), (SETS[1], bars(0, 9)), (SETS[0], bars(0, 3)), (SETS[1], bars(0, 11))]
    receipts = any_lake.save_all(items)
    assert [(r.received, r.new, r.duplicate) for r in receipts] == [(7, 7, 0), (9, 4, 5), (3, 3, 0), (11, 2, 9)]


def test_one_item_that_cannot_be_keeps_all_out(any_lake):
    with pytest.raises(InvalidData, match="volumes"):
        any_lake.save_all([(SETS[0], bars(0, 5)), (SETS[1], bars(0, 5).rename({"volume": "volumes"}))])
    assert any_lake.datasets() == []


def test_a_bad_row_of_one_dataset_is_refused_alone(any_lake):
    spoiled = bars(0, 10).with_columns(high=pl.when(pl.int_range(10) == 4).then(0.0).otherwise("high"))
    receipts = any_lake.save_all([(SETS[0], bars(0, 10)), (SETS[1], spoiled), (SETS[2], bars(0, 10))])
    assert [(r.new, r.quarantined) for r in receipts] == [(10, 0), (9, 1), (10, 0)]
    assert [row["reason"] for row in any_lake.quarantine(SETS[1])] == ["high_below_low"]


def test_files_and_inline_rows_go_in_together(lake):
    lake.save_all([(BARS, bars(0, MANY)), (SETS[0], bars(0, 5)), (TRADES, trades(0, 5))])
    assert {row[0]: row[1] for row in lake.inventory().rows()} == {str(BARS): MANY, str(SETS[0]): 5, str(TRADES): 5}
    assert lake.verify(deep=True) == []


def assert_same(made, wanted):
    """Sums of floats depend on the order they are added in, also inside Polars; nothing else may differ."""
    assert_frame_equal(made, wanted, rel_tol=1e-12, abs_tol=0.0)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(read_plan.cut, "__defaults__", (1_000,))


def test_trades_become_bars_whatever_the_chunks(lake, small_chunks):
    for first in range(0, 20_000, 1_300):
        lake.save(TRADES, trades(first, first + 1_300))
    lake.compact()
    lake.save(TRADES, trades(20_000, 23_000))
    assert_same(
        lake.resample(TRADES, "1M"), bars_from_trades(lake.load(TRADES).lazy(), Timeframe.parse("1M")).collect()
    )
    made = lake.resample(TRADES, "5m")
    assert_same(made, bars_from_trades(lake.load(TRADES).lazy(), Timeframe.parse("5m")).collect())
    assert made["trades"].sum() == lake.load(TRADES).height


def test_bars_become_longer_bars(any_lake):
    any_lake.save(BARS, bars(3, 500))
    for text in ("15m", "1h", "1d", "1M"):
        expected = bars_from_bars(any_lake.load(BARS).lazy(), Timeframe.parse(text)).collect()
        assert_same(any_lake.resample(BARS, text, partial=True), expected)
        length = Timeframe.parse(text)
        whole = [ts for ts in expected["ts"].to_physical() if at(3) <= ts and length.next(ts) <= at(500)]
        assert any_lake.resample(BARS, text)["ts"].to_physical().to_list() == whole


def test_only_rows_inside_the_span_make_bars(any_lake):
    any_lake.save(BARS, bars(0, 100))
    made = any_lake.resample(BARS, "1h", at(30), at(90), partial=True)
    assert made["ts"].to_physical().to_list() == [at(0), at(60)]
    assert made["volume"][0] == pytest.approx(bars(30, 60)["volume"].sum())


def test_bounds_inside_a_bar_do_not_cut_it(any_lake):
    any_lake.save(BARS, bars(0, 200))
    whole = any_lake.resample(BARS, "1h")
    assert whole["ts"].to_physical().to_list() == [at(0), at(60), at(120)]
    for start, end in ((30, 90), (60, 61), (1, 120), (60, 120)):
        assert_same(any_lake.resample(BARS, "1h", at(start), at(end)), whole.slice(1, 1))
    assert any_lake.resample(BARS, "1h", at(61), at(119)).shape == (0, 8)
    assert any_lake.resample(BARS, "1h", at(5_000), at(6_000)).shape == (0, 8)


def test_a_bar_that_goes_on_is_left_out(any_lake):
    any_lake.save(BARS, bars(0, 119))
    assert any_lake.resample(BARS, "1h")["ts"].to_physical().to_list() == [at(0)]
    assert any_lake.resample(BARS, "1h", partial=True).height == 2
    any_lake.save(BARS, bars(119, 120))
    assert any_lake.resample(BARS, "1h").height == 2


def test_coverage_shows_that_a_bar_is_over_though_its_last_minute_is_quiet(any_lake):
    any_lake.engine.append(BARS, bars(1, 119), USER, [Covered(span(0, 120))])
    assert any_lake.resample(BARS, "1h")["ts"].to_physical().to_list() == [at(0), at(60)]


def test_of_saved_trades_the_clock_says_whether_the_newest_bar_is_over(any_lake, clock):
    any_lake.save(TRADES, trades(0, 90))
    clock.ahead += START + 90 * SECOND - clock()
    assert any_lake.resample(TRADES, "1m").height == 1
    clock.ahead += 60 * SECOND
    assert any_lake.resample(TRADES, "1m").height == 2


def test_of_collected_trades_their_coverage_says_whether_a_bar_is_whole(any_lake):
    covered = Span(START + 30 * SECOND, START + 150 * SECOND)
    any_lake.engine.append(TRADES, trades(30, 150), USER, [Covered(covered)])
    GapNotes(any_lake.engine.catalog.database, any_lake.engine.now).want(Dataset.parse(TRADES), covered)
    assert any_lake.resample(TRADES, "1m")["ts"].to_physical().to_list() == [at(1)]


def test_the_past_is_resampled_as_it_was(any_lake):
    version = any_lake.save(BARS, bars(0, 60)).version
    any_lake.save(BARS, bars(0, 60, bump=5.0))
    assert any_lake.at(version).resample(BARS, "1h")["open"].to_list() == bars(0, 1)["open"].to_list()


def test_nothing_makes_no_bars(any_lake):
    any_lake.save(BARS, bars(0, 1))
    any_lake.delete(BARS)
    assert any_lake.resample(BARS, "1h").shape == (0, 8)


@pytest.mark.parametrize(
    ("dataset", "timeframe"), [("x:ohlcv:5m:A/B", "7m"), ("x:ohlcv:1M:A/B", "1d"), ("x:book:A/B", "1m")]
)
def test_what_cannot_become_bars_is_refused(any_lake, dataset, timeframe):
    with pytest.raises(Unsupported, match="cannot become"):
        resample(any_lake.engine.store, Dataset.parse(dataset), ALL_TIME, Timeframe.parse(timeframe))
