"""What a catalog promises, on a file as in memory."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticklake.catalog.catalog import Catalog
from ticklake.catalog.changes import Change, Quarantined, Revision
from ticklake.catalog.database import Database
from ticklake.catalog.pinned import PinnedCatalog
from ticklake.catalog.removal import forget_segments, known_paths, retired_segments
from ticklake.core.coverage import Coverage, Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.segment import Segment
from ticklake.core.span import Span
from ticklake.errors import Conflict, InvalidData
from ticklake.testing.clocks import ManualClock

BTC = Dataset.parse("x:ohlcv:1m:BTC/USDT")
ETH = Dataset.parse("x:ohlcv:1m:ETH/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT")
_names = itertools.count()


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000 * 10**9)


@pytest.fixture(params=["file", "memory"])
def catalog(request, tmp_path, clock):
    in_file = request.param == "file"
    database = Database.in_file(tmp_path / "catalog.db") if in_file else Database.in_memory()
    yield Catalog(database, clock)
    database.close()


def segment(start, end, *, seq=1, rows=1, path=None, data=b"blob"):
    """A segment whose rows lie from *start* to *end*, both inclusive."""
    body = None if path else data
    return Segment(f"s{next(_names)}", seq, rows, start, end, 4, "digest", path, body)


def ids(segments):
    return sorted(one.id for one in segments)


def live(catalog, dataset=BTC, **options):
    return ids(catalog.snapshot(dataset, **options)[2])


def dump(catalog):
    """Everything the catalog says, to see whether anything changed."""
    return (
        catalog.version(),
        catalog.datasets(),
        [(live(catalog, row.dataset), catalog.coverage(row.dataset)) for row in catalog.datasets()],
        [(catalog.quarantined(row.dataset), catalog.revisions(row.dataset)) for row in catalog.datasets()],
        retired_segments(catalog.database),
    )


def test_an_empty_catalog_is_version_zero_and_knows_nothing(catalog):
    assert catalog.version() == 0
    assert catalog.datasets() == []
    assert catalog.dataset(BTC) is None
    assert catalog.snapshot(BTC) == (0, None, [])
    assert catalog.coverage(BTC) == Coverage()


def test_every_commit_has_the_next_number(catalog):
    numbers = [catalog.commit("append", [Change(BTC, add=(segment(i, i),))]) for i in range(3)]
    assert numbers == [1, 2, 3]
    assert catalog.version() == 3


def test_a_committed_segment_comes_back_as_it_was(catalog):
    inline = segment(10, 20, seq=7, rows=3, data=b"\x00\xffblob")
    filed = Segment("f", 8, 5, 30, 40, 99, "abc", "ohlcv/f.parquet", None, "2024")
    catalog.commit("append", [Change(BTC, add=(inline, filed))])
    version, row, found = catalog.snapshot(BTC)
    assert version == 1
    assert row.dataset == BTC
    assert sorted(found, key=lambda one: one.seq) == [inline, filed]


def test_a_snapshot_can_leave_the_bytes_out(catalog):
    catalog.commit("append", [Change(BTC, add=(segment(1, 2),))])
    assert [one.data for one in catalog.snapshot(BTC, data=False)[2]] == [None]


def test_a_snapshot_holds_only_segments_that_meet_the_span(catalog):
    one = segment(10, 20)
    catalog.commit("append", [Change(BTC, add=(one,))])
    meets = [live(catalog, span=Span(*bounds)) == [one.id] for bounds in [(0, 10), (0, 11), (20, 21), (21, 30)]]
    assert meets == [False, True, True, False]


def test_datasets_do_not_see_each_others_segments(catalog):
    one, other = segment(1, 2), segment(1, 2)
    catalog.commit("append", [Change(BTC, add=(one,)), Change(ETH, add=(other,))])
    assert (live(catalog, BTC), live(catalog, ETH)) == ([one.id], [other.id])
    assert [row.dataset for row in catalog.datasets()] == [BTC, ETH]


def test_a_commit_with_a_refused_part_does_nothing_at_all(catalog):
    old = segment(0, 9)
    catalog.commit("append", [Change(BTC, add=(old,))])
    catalog.commit("delete", [Change(BTC, remove=(old,))])
    before = dump(catalog)
    good = Change(
        ETH,
        add=(segment(0, 1),),
        coverage=(Covered(Span(0, 5)),),
        quarantine=(Quarantined(1, "bad", "{}"),),
        revisions=(Revision(1, "{}", "{}"),),
        new_rows=1,
    )
    with pytest.raises(Conflict):
        catalog.commit("append", [good, Change(BTC, add=(segment(3, 4),), remove=(old,))])
    assert dump(catalog) == before


def test_a_commit_after_a_refused_one_works(catalog):
    with pytest.raises(Conflict):
        catalog.commit("delete", [Change(BTC, remove=(segment(0, 1),))])
    one = segment(0, 1)
    catalog.commit("append", [Change(BTC, add=(one,))])
    assert live(catalog) == [one.id]


@pytest.mark.parametrize("added", [(0, 10), (15, 15), (19, 40), (0, 100)])
def test_a_segment_that_came_into_the_read_span_since_is_a_conflict(catalog, added):
    read = catalog.version()
    catalog.commit("append", [Change(BTC, add=(segment(*added),))])
    with pytest.raises(Conflict):
        catalog.commit("append", [Change(BTC, add=(segment(12, 13),), read_version=read, read_span=Span(10, 20))])


@pytest.mark.parametrize("added", [(0, 9), (20, 40)])
def test_a_segment_that_came_in_beside_the_read_span_is_no_conflict(catalog, added):
    read = catalog.version()
    catalog.commit("append", [Change(BTC, add=(segment(*added),))])
    catalog.commit("append", [Change(BTC, add=(segment(12, 13),), read_version=read, read_span=Span(10, 20))])
    assert len(live(catalog)) == 2


def test_a_segment_of_another_dataset_is_no_conflict(catalog):
    catalog.commit("append", [Change(ETH, add=(segment(12, 13),))])
    catalog.commit("append", [Change(BTC, add=(segment(12, 13),), read_version=0, read_span=Span(10, 20))])
    assert len(live(catalog)) == 1


def test_a_segment_known_at_the_read_version_is_no_conflict(catalog):
    read = catalog.commit("append", [Change(BTC, add=(segment(10, 20),))])
    catalog.commit("append", [Change(BTC, add=(segment(10, 20),), read_version=read, read_span=Span(10, 21))])
    assert len(live(catalog)) == 2


def test_a_segment_that_left_the_read_span_since_is_a_conflict(catalog):
    """Rows taken for duplicates may be gone: a change computed from them must be computed anew."""
    old = segment(10, 20)
    read = catalog.commit("append", [Change(BTC, add=(old,))])
    catalog.commit("delete", [Change(BTC, remove=(old,))])
    stale = Change(BTC, coverage=(Covered(Span(10, 21)),), read_version=read, read_span=Span(10, 21))
    with pytest.raises(Conflict):
        catalog.commit("append", [stale])


def test_removing_a_segment_twice_is_a_conflict(catalog):
    one = segment(1, 2)
    catalog.commit("append", [Change(BTC, add=(one,))])
    catalog.commit("delete", [Change(BTC, remove=(one,))])
    with pytest.raises(Conflict, match=str(BTC)):
        catalog.commit("delete", [Change(BTC, remove=(one,))])


def test_removing_a_segment_of_another_dataset_is_a_conflict(catalog):
    one = segment(1, 2)
    catalog.commit("append", [Change(BTC, add=(one,)), Change(ETH, add=(segment(1, 2),))])
    with pytest.raises(Conflict):
        catalog.commit("delete", [Change(ETH, remove=(one,))])
    assert live(catalog) == [one.id]


def test_a_snapshot_at_an_old_version_shows_what_was_live_then(catalog):
    first, second, merged = segment(1, 2), segment(3, 4), segment(1, 4)
    catalog.commit("append", [Change(BTC, add=(first,))])
    catalog.commit("append", [Change(BTC, add=(second,))])
    catalog.commit("compact", [Change(BTC, add=(merged,), remove=(first, second))])
    seen = [live(PinnedCatalog(catalog, version)) for version in range(4)]
    assert seen == [[], [first.id], ids([first, second]), [merged.id]]
    assert live(catalog) == [merged.id]


def test_the_version_at_a_time_is_the_newest_of_then(catalog, clock):
    start = clock.now
    for step in range(3):
        clock.now = start + step * 100
        catalog.commit("append", [Change(BTC, add=(segment(step, step),))])
    assert [catalog.version_at(start + at) for at in (-1, 0, 99, 100, 250)] == [0, 1, 1, 2, 3]


def test_the_summary_follows_what_is_added_and_removed(catalog):
    one, other = segment(10, 20, seq=1), segment(30, 40, seq=2)
    catalog.commit("append", [Change(BTC, add=(one,), new_rows=5)])
    catalog.commit("append", [Change(BTC, add=(other,), new_rows=7)])
    row = catalog.dataset(BTC)
    assert (row.rows, row.bytes, row.min_ts, row.max_ts, row.seq) == (12, 8, 10, 40, 2)
    catalog.commit("delete", [Change(BTC, remove=(other,), new_rows=-7)])
    row = catalog.dataset(BTC)
    assert (row.rows, row.bytes, row.min_ts, row.max_ts, row.seq) == (5, 4, 10, 20, 2)
    catalog.commit("delete", [Change(BTC, remove=(one,), new_rows=-5)])
    row = catalog.dataset(BTC)
    assert (row.rows, row.bytes, row.min_ts, row.max_ts) == (0, 0, None, None)


_SPANS = st.builds(lambda start, length: Span(start, start + length), st.integers(0, 40), st.integers(1, 15))
_LOOKS = st.one_of(
    st.builds(Covered, _SPANS, st.sampled_from(Found), st.sampled_from(["", "why"])),
    _SPANS,
)


@given(looks=st.lists(_LOOKS, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_coverage_merges_commit_by_commit_as_it_does_in_the_core(catalog, looks):
    dataset = Dataset.parse(f"x:trades:N{next(_names)}/USD")
    model = Coverage()
    for look in looks:
        if isinstance(look, Span):
            catalog.commit("delete", [Change(dataset, forget=(look,))])
            model = model.without(look)
        else:
            catalog.commit("append", [Change(dataset, coverage=(look,))])
            model = model.add(look)
    assert list(catalog.coverage(dataset).pieces) == sorted(model.pieces)


def test_touching_looks_become_one_row(catalog):
    for start in range(0, 100, 10):
        catalog.commit("append", [Change(BTC, coverage=(Covered(Span(start, start + 10)),))])
    assert catalog.coverage(BTC).pieces == (Covered(Span(0, 100)),)


def test_coverage_of_one_dataset_does_not_touch_anothers(catalog):
    catalog.commit("append", [Change(BTC, coverage=(Covered(Span(0, 10)),))])
    catalog.commit("append", [Change(ETH, coverage=(Covered(Span(5, 15)),))])
    catalog.commit("delete", [Change(ETH, forget=(Span(0, 100),))])
    assert catalog.coverage(BTC).pieces == (Covered(Span(0, 10)),)


def test_the_same_refused_row_is_kept_once(catalog):
    bad = Quarantined(5, "no_price", '{"ts":5}')
    for _ in range(2):
        catalog.commit("append", [Change(BTC, quarantine=(bad, bad))])
    (kept,) = catalog.quarantined(BTC)
    assert (kept["ts"], kept["reason"], kept["row"]) == (5, "no_price", '{"ts":5}')


def test_refused_rows_without_a_time_belong_to_every_span(catalog):
    rows = (Quarantined(None, "no_ts", "a"), Quarantined(5, "bad", "b"), Quarantined(50, "bad", "c"))
    catalog.commit("append", [Change(BTC, quarantine=rows)])
    assert [row["row"] for row in catalog.quarantined(BTC, Span(0, 50))] == ["a", "b"]
    assert catalog.quarantined(ETH) == []


def test_revisions_are_kept_in_order_with_their_commit(catalog, clock):
    catalog.commit("append", [Change(BTC, revisions=(Revision(5, "a", "b"), Revision(50, "x", "y")))])
    catalog.commit("append", [Change(BTC, revisions=(Revision(5, "b", "c"),))])
    found = catalog.revisions(BTC, Span(0, 50))
    assert [(row["before"], row["after"], row["commit_id"]) for row in found] == [("a", "b", 1), ("b", "c", 2)]
    assert {row["created_at"] for row in found} == {clock.now}


def test_an_origin_keeps_its_number(catalog, clock):
    one, other = Provenance("ccxt", "fetch_ohlcv", "t 1"), Provenance("ccxt", "fetch_ohlcv", "t 2")
    first, second = catalog.provenance_id(one), catalog.provenance_id(other)
    anew = Catalog(catalog.database, clock)
    assert first != second
    assert [catalog.provenance_id(one), anew.provenance_id(one), anew.provenance_id(other)] == [first, first, second]
    assert catalog.provenances() == {first: one, second: other}


def test_restored_origins_have_the_numbers_they_had(catalog):
    origins = {7: Provenance("file", "a.csv"), 3: Provenance("user")}
    catalog.restore_provenance(origins)
    catalog.restore_provenance(origins)
    assert catalog.provenances() == origins
    assert catalog.provenance_id(Provenance("user")) == 3
    assert catalog.provenance_id(Provenance("new")) not in origins


def test_a_second_id_space_is_refused_and_nothing_is_stored(catalog):
    catalog.commit("append", [Change(TRADES, "id", "raw", add=(segment(1, 2),))])
    before = dump(catalog)
    with pytest.raises(InvalidData, match=r"(?s)raw.*agg"):
        catalog.commit("append", [Change(TRADES, "id", "agg", add=(segment(3, 4),))])
    assert dump(catalog) == before


def test_an_unnamed_id_space_is_named_by_the_first_that_knows(catalog):
    for space in ("", "raw", ""):
        catalog.commit("append", [Change(TRADES, "id", space, add=(segment(1, 2),))])
    assert catalog.dataset(TRADES).id_space == "raw"


def test_how_rows_are_told_apart_is_fixed_by_the_first_segment(catalog):
    catalog.commit("append", [Change(TRADES, "print", quarantine=(Quarantined(1, "bad", "{}"),))])
    catalog.commit("append", [Change(TRADES, "id", add=(segment(1, 2),))])
    assert catalog.dataset(TRADES).keying == "id"
    with pytest.raises(Conflict):
        catalog.commit("append", [Change(TRADES, "print", add=(segment(3, 4),))])
    assert catalog.dataset(TRADES).keying == "id"


def test_only_retired_segments_can_be_forgotten(catalog):
    alive, gone = segment(1, 2, path="ohlcv/a"), segment(3, 4, path="ohlcv/b")
    catalog.commit("append", [Change(BTC, add=(alive, gone))])
    removed_in = catalog.commit("delete", [Change(BTC, remove=(gone,))])
    assert [(at, one.id) for at, one in retired_segments(catalog.database, BTC)] == [(removed_in, gone.id)]
    assert retired_segments(catalog.database, ETH) == []
    assert known_paths(catalog.database) == {"ohlcv/a", "ohlcv/b"}
    forget_segments(catalog.database, [(removed_in, alive), (removed_in, gone)])
    assert retired_segments(catalog.database) == []
    assert known_paths(catalog.database) == {"ohlcv/a"}
    assert live(catalog) == [alive.id]


def test_threads_commit_one_after_the_other(catalog):
    versions = []

    def commit(worker):
        for number in range(5):
            at = worker * 100 + number
            versions.append(catalog.commit("append", [Change(BTC, add=(segment(at, at),), new_rows=1)]))

    threads = [threading.Thread(target=commit, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 21))
    assert catalog.dataset(BTC).rows == 20
    assert len(live(catalog)) == 20
