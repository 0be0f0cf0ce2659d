"""Reading: one version, sorted, whole, with filters and columns pushed down."""

import datetime as dt

import polars as pl
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, Overtaken, at, full, lake_in, minutes_of, span, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.engine.read import count_rows
from ticklake.errors import CorruptSegment, InvalidData, MissingSegment, TicklakeError
from ticklake.testing.rows import START, bars, trades


def mixed(lake):
    """Fill a lake with files and inline segments that overlap; return the rows it should show."""
    lake.save(BARS, bars(0, MANY))
    lake.save(BARS, bars(MANY - 100, MANY + 200))
    lake.save(BARS, bars(50, 80, bump=1.0))
    lake.save(BARS, bars(MANY + 500, MANY + 600))
    parts = [bars(0, 50), bars(50, 80, bump=1.0), bars(80, MANY + 200), bars(MANY + 500, MANY + 600)]
    return full(pl.concat(parts))


PREDICATES = {
    "time": pl.col("ts") >= dt.datetime(2024, 1, 3, tzinfo=dt.UTC),
    "instant": pl.col("ts") == pl.lit(at(60)).cast(TIME),
    "value": pl.col("close") > 700,
    "null": pl.col("quote_volume").is_null(),
    "both": (pl.col("close") < 50) & (pl.col("ts").dt.hour() == 7),
    "none": pl.col("close") < 0,
    "in": pl.col("close").is_in([1.0, bars(7, 8)["close"].item()]),
}


def test_a_frame_has_the_columns_and_types_of_its_kind(any_lake):
    any_lake.save(TRADES, trades(0, 3))
    for frame in (any_lake.load(TRADES), any_lake.scan(TRADES).collect()):
        assert dict(frame.schema) == TRADES.spec.schema
    assert dict(any_lake.scan(TRADES).collect_schema()) == TRADES.spec.schema
    assert any_lake.load(TRADES).schema["ts"] == pl.Datetime("ns", "UTC")


def test_a_scan_gives_what_a_load_gives(any_lake):
    expected = mixed(any_lake)
    assert any_lake.load(BARS).equals(expected)
    assert any_lake.scan(BARS).collect().equals(expected)
    assert any_lake.scan(BARS).collect(engine="streaming").equals(expected)


def test_a_span_includes_its_start_and_not_its_end(any_lake):
    mixed(any_lake)
    for read in (any_lake.load, lambda *some: any_lake.scan(*some).collect()):
        assert minutes_of(read(BARS, at(60), at(63))) == [60, 61, 62]
        assert minutes_of(read(BARS, at(MANY + 199), at(MANY + 501))) == [MANY + 199, MANY + 500]
        assert read(BARS, at(60) + 1, at(61)).height == 0


@pytest.mark.parametrize("predicate", PREDICATES.values(), ids=PREDICATES)
def test_a_filter_on_a_scan_is_a_filter_on_the_rows(any_lake, predicate):
    rows = mixed(any_lake)
    assert any_lake.scan(BARS).filter(predicate).collect().equals(rows.filter(predicate))


def test_a_selection_on_a_scan_is_a_selection_on_the_rows(any_lake):
    rows = mixed(any_lake)
    lazy = any_lake.scan(BARS)
    assert lazy.select("close", "ts").collect().equals(rows.select("close", "ts"))
    assert lazy.select(pl.len()).collect().item() == rows.height
    total = pl.col("close").sum() + pl.col("open").max()
    assert lazy.select(total).collect().item() == pytest.approx(rows.select(total).item())
    chosen = lazy.filter(pl.col("volume") > 20).select("close").collect()
    assert chosen.equals(rows.filter(pl.col("volume") > 20).select("close"))


@pytest.mark.parametrize("count", [0, 1, 70, MANY + 5, 10**6])
def test_the_head_and_tail_of_a_scan_are_those_of_the_rows(any_lake, count):
    rows = mixed(any_lake)
    lazy = any_lake.scan(BARS)
    assert lazy.head(count).collect().equals(rows.head(count))
    assert lazy.tail(count).collect().equals(rows.tail(count))
    assert lazy.slice(30, count).collect().equals(rows.slice(30, count))


def test_head_and_filter_do_not_change_places(any_lake):
    rows, wanted = mixed(any_lake), pl.col("close") > 700
    lazy = any_lake.scan(BARS)
    assert lazy.head(100).filter(wanted).collect().equals(rows.head(100).filter(wanted))
    assert lazy.filter(wanted).head(100).collect().equals(rows.filter(wanted).head(100))
    assert lazy.filter(wanted).select("ts").head(3).collect().equals(rows.filter(wanted).select("ts").head(3))


def test_two_scans_can_be_joined(any_lake):
    rows = mixed(any_lake)
    joined = any_lake.scan(BARS).join(any_lake.scan(BARS, at(0), at(10)), on="ts", how="semi").collect()
    assert joined.equals(rows.head(10))


def test_provenance_is_shown_only_when_asked_for(any_lake):
    any_lake.save(BARS, bars(0, 3))
    assert "provenance" not in any_lake.load(BARS).columns
    assert any_lake.scan(BARS, provenance=True).select("provenance").collect().to_series().n_unique() == 1
    assert any_lake.load(BARS, provenance=True).columns[-1] == "provenance"


def test_only_the_asked_columns_are_loaded_in_the_asked_order(any_lake):
    rows = mixed(any_lake)
    assert any_lake.load(BARS, columns=["close", "ts"]).equals(rows.select("close", "ts"))


def test_an_unknown_column_is_refused_with_the_known_ones(any_lake):
    any_lake.save(BARS, bars(0, 1))
    with pytest.raises(InvalidData, match=r"'price'.*close"):
        any_lake.load(BARS, columns=["price"])


def test_a_dataset_without_rows_is_empty_and_reading_it_creates_nothing(lake, root):
    lake.save(BARS, bars(0, 1))
    lake.delete(BARS)
    before = sorted(path.name for path in root.rglob("*"))
    assert lake.load(BARS).equals(full(bars(0, 0)))
    assert lake.load(BARS, last=5).equals(full(bars(0, 0)))
    assert lake.scan(BARS).filter(pl.col("close") > 1).collect().equals(full(bars(0, 0)))
    assert (lake.last_timestamp(BARS), lake.gaps(BARS), lake.delete(BARS)) == (None, [], 0)
    assert sorted(path.name for path in root.rglob("*")) == before


_BATCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(0, 2)), max_size=6)


@given(batches=_BATCHES, last=st.integers(0, 100), bounds=st.tuples(st.integers(-5, 95), st.integers(1, 100)))
@settings(max_examples=25, deadline=None)
def test_the_last_rows_are_the_tail_of_the_rows(batches, last, bounds):
    start, end = at(bounds[0]), at(bounds[0] + bounds[1])
    with memory_lake(Settings()) as lake:
        lake.save(BARS, bars(200, 201))
        for first, count, bump in batches:
            lake.save(BARS, bars(first, first + count, bump=float(bump)))
        assert lake.load(BARS, last=last).equals(lake.load(BARS).tail(last))
        assert lake.load(BARS, start, end, last=last).equals(lake.load(BARS, start, end).tail(last))


@given(batches=_BATCHES, compact_after=st.integers(0, 6))
@settings(max_examples=12, deadline=None)
def test_the_newest_of_each_key_is_read_at_every_version(batches, compact_after):
    with memory_lake(Settings()) as lake:
        lake.save(BARS, bars(100, 101))
        model, history = {100: 0}, {0: {}}
        for number, (first, count, bump) in enumerate(batches):
            lake.save(BARS, bars(first, first + count, bump=float(bump)))
            model = model | dict.fromkeys(range(first, first + count), bump)
            history[lake.engine.catalog.version()] = model
            if number == compact_after:
                lake.compact()
                history[lake.engine.catalog.version()] = model
        for version, known in history.items():
            then = lake.at(version) if version else lake.at(START)
            rows = [bars(minute, minute + 1, bump=float(known[minute])) for minute in sorted(known)]
            expected = full(pl.concat(rows)) if rows else full(bars(0, 0))
            assert then.load(BARS).equals(expected)
            assert then.scan(BARS).collect().equals(expected)
            assert then.load(BARS, last=7).equals(expected.tail(7))


def test_a_lake_can_be_read_as_it_was_at_a_time(any_lake, clock):
    any_lake.save(BARS, bars(0, 5))
    between = clock() + 10**9
    clock.ahead += 5 * 10**9
    any_lake.save(BARS, bars(5, 9))
    assert minutes_of(any_lake.at(between).load(BARS)) == [0, 1, 2, 3, 4]
    assert any_lake.at(clock() + 10**9).load(BARS).height == 9
    assert any_lake.at(between - 10**12).load(BARS).height == 0


def test_a_scan_shows_its_version_whatever_happens_afterwards(any_lake):
    expected = mixed(any_lake)
    lazy, filtered = any_lake.scan(BARS), any_lake.scan(BARS).filter(pl.col("close") > 700)
    steps = [
        lambda: any_lake.save(BARS, bars(0, 100, bump=5.0)),
        lambda: any_lake.save(BARS, bars(MANY + 700, 3 * MANY)),
        any_lake.compact,
        lambda: any_lake.delete(BARS, at(10), at(MANY)),
        any_lake.compact,
        lambda: any_lake.delete(BARS),
    ]
    for step in steps:
        step()
        assert lazy.collect().equals(expected)
        assert filtered.collect().equals(expected.filter(pl.col("close") > 700))
    assert any_lake.load(BARS).height == 0


@pytest.mark.parametrize("read", ["load", "scan", "last"])
def test_a_file_retired_between_being_found_and_being_opened_is_read_where_it_is_now(engine_in, root, read):
    engine = engine_in(root, Overtaken)
    engine.append(BARS, bars(0, MANY), USER)
    engine.append(BARS, bars(MANY - 5, MANY + 5), USER)
    expected = full(bars(0, MANY + 5))
    engine.objects.overtaking = True
    found = {
        "load": lambda: engine.load(BARS),
        "scan": lambda: engine.scan(BARS).collect(),
        "last": lambda: engine.load(BARS, last=10**6),
    }[read]()
    assert found.equals(expected)


def test_a_file_retired_meanwhile_is_counted_where_it_is_now(engine_in, root):
    engine = engine_in(root, Overtaken)
    engine.append(BARS, bars(0, MANY), USER)
    engine.append(BARS, bars(MANY - 5, MANY + 5), USER)
    engine.objects.overtaking = True
    # The second bound cuts a file, whose rows are counted by being read.
    span = Span(at(0), at(MANY - 10))
    assert count_rows(engine.store, engine.store.view(BARS, span)) == MANY - 10


def test_a_pinned_scan_of_a_vacuumed_version_is_an_error_never_short(lake):
    lake.save(BARS, bars(0, MANY))
    lazy = lake.scan(BARS)
    lake.save(BARS, bars(MANY, MANY + 5))
    lake.compact()
    lake.vacuum(keep=0)
    with pytest.raises(MissingSegment):
        lazy.collect()


@pytest.mark.parametrize("rows", [10, MANY])
def test_reading_at_a_vacuumed_version_is_an_error_never_short(any_lake, rows):
    """No reader may take what vacuum removed for what never was."""
    any_lake.save(BARS, bars(0, rows))
    version = any_lake.engine.catalog.version()
    any_lake.save(BARS, bars(rows, rows + 5))
    any_lake.compact()
    any_lake.vacuum(keep=0)
    with pytest.raises(TicklakeError):
        any_lake.at(version).load(BARS)


@pytest.mark.parametrize("read", ["load", "scan", "last"])
def test_a_damaged_file_is_a_corrupt_segment_that_is_named(root, read):
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(MANY, 2 * MANY))
        second = max(lake.engine.catalog.snapshot(BARS)[2], key=lambda segment: segment.min_ts).path
        (root / second).write_bytes((root / second).read_bytes()[:-100])
        with pytest.raises(CorruptSegment, match=second.rpartition("/")[2]):
            {
                "load": lambda: lake.load(BARS),
                "scan": lambda: lake.scan(BARS).collect(),
                "last": lambda: lake.load(BARS, last=5),
            }[read]()
        assert minutes_of(lake.load(BARS, at(0), at(9))) == list(range(9))


def test_a_damaged_file_is_named_right_in_a_folder_with_any_name(tmp_path):
    root = tmp_path / "a [1]*"
    with lake_in(root) as lake:
        lake.save(BARS, bars(0, MANY))
        lake.save(BARS, bars(MANY, 2 * MANY))
        assert lake.load(BARS).height == 2 * MANY
        second = max(lake.engine.catalog.snapshot(BARS)[2], key=lambda segment: segment.min_ts).path
        (root / second).write_bytes((root / second).read_bytes()[:-100])
        with pytest.raises(CorruptSegment, match=second.rpartition("/")[2]):
            lake.load(BARS)


def test_a_missing_file_is_a_missing_segment_that_is_named(lake, root):
    lake.save(BARS, bars(0, MANY))
    (name,) = tree(root)
    (root / name).unlink()
    for read in (lake.load, lambda dataset: lake.scan(dataset).collect()):
        with pytest.raises(MissingSegment, match=name.rpartition("/")[2]):
            read(BARS)


def test_no_symbol_leaves_the_lakes_folder(lake, root, tmp_path):
    odd = [Dataset.of("x", symbol, "trades") for symbol in ("币安/USDT", "a%2F..%2Fb", "..hidden/x", "a*?[b]/c", "~/x")]
    for dataset in odd:
        lake.save(dataset, trades(0, MANY))
        lake.save(dataset, trades(MANY, MANY + 3))
        lake.compact(dataset)
        assert lake.load(dataset).height == MANY + 3
    assert {path.name for path in tmp_path.iterdir()} == {"lake"}
    assert {path.name for path in root.iterdir() if path.is_dir()} == {"trades", "retired"}


def test_a_covered_span_is_not_needed_to_read(any_lake):
    any_lake.save(BARS, bars(0, 3))
    assert any_lake.coverage(BARS).spans() == []
    assert minutes_of(any_lake.load(BARS, *(span(0, 3).start, span(0, 3).end))) == [0, 1, 2]
