"""A snapshot answers for its version, whatever came later, and cannot change the lake."""

import inspect

import polars as pl
import pytest
from engine_lakes import BARS, MANY, MINUTE, TRADES, USER, at, full, span

from ticklake import Dataset, Lake, Snapshot
from ticklake.core.coverage import Covered, Found
from ticklake.errors import BadInput, CatalogError, ReadOnlyLake, UnknownDataset
from ticklake.testing.rows import bars, trades

DAY = 24 * 60 * MINUTE
OTHER = Dataset.parse("x:ohlcv:1m:ETH/USDT")
READING = {
    "load", "scan", "ohlcv", "trades", "funding", "resample", "book", "datasets", "inventory", "last_timestamp",
    "missing_intervals", "gaps", "gap_report", "coverage", "provenance", "provenance_by_file", "quarantine", "revisions", "quality",
    "quality_trend", "continuity", "export", "frame", "frames", "features", "asof", "panel", "markout", "iterate", "candles", "books",
    "book_stats", "imbalances", "condition", "estimate", "sql",
}  # fmt: skip
"""What can be asked of any version."""
ANSWERS = {
    "load": lambda view: view.load(BARS),
    "last": lambda view: view.load(BARS, last=7),
    "sql": lambda view: view.sql("select * from ohlcv order by all").pl(),
    # When a day changed last is forgotten with the dataset.
    "condition": lambda view: view.condition(BARS).drop("changed_in", "changed_at"),
    "estimate": lambda view: view.estimate(BARS),
    "scan": lambda view: view.scan(BARS).collect(),
    "ohlcv": lambda view: view.ohlcv("x", "BTC/USDT", "1m"),
    "trades": lambda view: view.trades("x", "BTC/USDT:USDT"),
    "resample": lambda view: view.resample(BARS, "1h"),
    "datasets": lambda view: view.datasets(),
    "inventory": lambda view: view.inventory(),
    "last_timestamp": lambda view: view.last_timestamp(BARS),
    "missing_intervals": lambda view: view.missing_intervals(BARS),
    "gaps": lambda view: view.gaps(BARS),
    "gap_report": lambda view: view.gap_report(TRADES),
    "coverage": lambda view: view.coverage(BARS),
    "provenance": lambda view: view.provenance(BARS, at(3)),
    "provenance_by_file": lambda view: view.provenance_by_file(BARS),
    "quarantine": lambda view: view.quarantine(BARS),
    "revisions": lambda view: view.revisions(BARS),
    "quality": lambda view: _but_age(view.quality(BARS)),
    "quality_trend": lambda view: view.quality_trend(BARS),
    "continuity": lambda view: view.continuity(BARS),
    "frame": lambda view: view.frame("x", "BTC/USDT", at(95), window="100m").digest(),
}


def _but_age(quality):
    """The figures without those that grow with time."""
    return {name: getattr(quality, name) for name in ("span", "days", "score", "quarantined", "offered_again", "last")}


def answers(view):
    return {name: ask(view) for name, ask in ANSWERS.items()}


def differing(one, other):
    """The names of the answers that are not the same."""
    return {name for name in one if not _same(one[name], other[name])}


def _same(one, other):
    return one.equals(other) if isinstance(one, pl.DataFrame) else one == other


def fill(lake):
    """Bring in what every answer of a version depends on."""
    lake.engine.append(
        BARS, bars(0, 20), USER, [Covered(span(0, 30)), Covered(span(30, 40), Found.UNAVAILABLE, "gone")]
    )
    lake.engine.append(BARS, bars(15, 25, bump=1.0), USER)
    lake.save(TRADES, trades(0, 20))
    lake.save(TRADES, trades(25, 30))
    lake.save(BARS, bars(40, 41).with_columns(high=pl.lit(0.5)))


def change(lake):
    """Change everything that there is to change."""
    from ticklake import Provenance

    lake.engine.append(BARS, bars(25, 60, bump=2.0), Provenance("ccxt"), [Covered(span(20, 90))])
    lake.engine.append(BARS, bars(3, 4, bump=3.0), Provenance("ccxt"))
    lake.save(BARS, bars(70, 71).with_columns(low=pl.lit(10.0**9)))
    lake.save(TRADES, trades(20, 25))
    lake.save(OTHER, bars(0, 60))
    lake.delete(BARS, at(10), at(12))
    lake.compact()


def test_every_answer_is_of_the_version_whatever_came_later(any_lake):
    fill(any_lake)
    version = any_lake.engine.catalog.version()
    then = answers(any_lake)
    change(any_lake)
    assert differing(then, answers(any_lake.at(version))) == set()
    assert differing(then, answers(any_lake)) >= ANSWERS.keys() - {"gap_report"}


def test_every_answer_is_of_the_time(any_lake, clock):
    fill(any_lake)
    then, when = answers(any_lake), clock()
    clock.ahead += DAY
    change(any_lake)
    assert differing(then, answers(any_lake.at(when + 1))) == set()


def test_the_newest_version_is_answered_as_the_lake_answers(any_lake):
    fill(any_lake)
    change(any_lake)
    assert differing(answers(any_lake), answers(any_lake.at(any_lake.engine.catalog.version()))) == set()


def test_each_verb_of_the_lake_is_one_of_the_snapshot_or_needs_the_present():
    public = {name for name in dir(Snapshot) if not name.startswith("_")}
    assert public - {"engine", "root"} == READING
    verbs = {name for name, _ in inspect.getmembers(Lake, callable) if not name.startswith("_")}
    changing = {
        "alerts", "apply", "backfill", "backup", "cleanup", "close", "compact", "delete", "drop", "poll", "import_files",
        "import_lake", "refresh_instruments", "rename", "rename_instrument", "repair", "save", "save_all", "update", "vacuum",
    }  # fmt: skip
    assert changing - {"alerts"} <= verbs
    assert not changing & public


@pytest.mark.parametrize(
    "write",
    [
        lambda engine: engine.append(BARS, bars(0, 5), USER),
        lambda engine: engine.delete(BARS, span(0, 5)),
        lambda engine: engine.drop(BARS),
        lambda engine: engine.compact(),
        lambda engine: engine.vacuum(0),
    ],
)
def test_what_stands_behind_a_snapshot_refuses_to_write(any_lake, write):
    any_lake.save(BARS, bars(0, 10))
    any_lake.save(BARS, bars(5, 15))
    past = any_lake.at(1)
    with pytest.raises(ReadOnlyLake, match="snapshot is read-only"):
        write(past.engine)
    assert any_lake.load(BARS).equals(full(bars(0, 15)))
    assert any_lake.engine.catalog.version() == 2


def test_asking_a_snapshot_for_quality_stores_nothing_for_the_present(any_lake):
    any_lake.save(BARS, bars(0, 2880))
    any_lake.save(BARS, bars(2880, 4320))
    any_lake.at(1).quality(BARS)
    assert any_lake.quality(BARS).days[2].missing_records == 0


def test_coverage_of_each_version_is_what_it_was(any_lake):
    engine, history = any_lake.engine, {}
    steps = [
        Covered(span(0, 10)),
        Covered(span(10, 20), Found.UNAVAILABLE, "too old"),
        Covered(span(5, 15)),
        Covered(span(30, 40), Found.LOST),
        Covered(span(20, 30)),
        Covered(span(18, 22)),
    ]
    for step in steps:
        engine.append(BARS, [], USER, [step])
        history[engine.catalog.version()] = any_lake.coverage(BARS)
    any_lake.delete(BARS, at(12), at(32))
    history[engine.catalog.version()] = any_lake.coverage(BARS)
    assert len(set(history.values())) == len(history) == 7
    assert {version: any_lake.at(version).coverage(BARS) for version in history} == history
    assert any_lake.at(0).coverage(BARS).pieces == ()


def test_a_version_that_does_not_exist_yet_is_refused(any_lake):
    any_lake.save(BARS, bars(0, 1))
    for version in (2, -1, 999):
        with pytest.raises(BadInput, match="no version"):
            any_lake.at(version)
    with pytest.raises(BadInput):
        any_lake.at(True)


def test_a_vacuumed_version_is_an_error_that_says_which_can_be_read(any_lake, clock):
    any_lake.save(BARS, bars(0, MANY))
    past, when = any_lake.at(1), clock()
    any_lake.save(BARS, bars(MANY, MANY + 5))
    any_lake.compact()
    any_lake.vacuum(0)
    for ask in (lambda: any_lake.at(1), lambda: any_lake.at(when), *(lambda a=a: a(past) for a in ANSWERS.values())):
        with pytest.raises((CatalogError, UnknownDataset), match=r"vacuumed|the lake has no"):
            ask()


def test_coverage_that_vacuum_forgot_is_an_error_not_an_answer_of_today(any_lake, clock):
    any_lake.engine.append(BARS, bars(0, 5), USER, [Covered(span(0, 5))])
    any_lake.engine.append(BARS, bars(5, 9), USER, [Covered(span(5, 9))])
    clock.ahead += 8 * DAY
    any_lake.vacuum()
    assert any_lake.at(1).load(BARS).equals(full(bars(0, 5)))
    for ask in ("coverage", "gaps", "quality"):
        with pytest.raises(CatalogError, match="covered in version 1 is no longer known"):
            getattr(any_lake.at(1), ask)(BARS)
    assert any_lake.at(2).coverage(BARS) == any_lake.coverage(BARS)


def test_a_dataset_that_came_later_has_no_rows_then_and_is_not_listed(any_lake):
    any_lake.save(BARS, bars(0, 5))
    any_lake.save(OTHER, bars(0, 5))
    past = any_lake.at(1)
    assert past.datasets() == [BARS]
    assert past.load(OTHER).height == 0
    assert past.last_timestamp(OTHER) is None
    with pytest.raises(UnknownDataset):
        past.load("x:ohlcv:1m:XRP/USDT")


def test_a_dropped_dataset_is_gone_from_the_lake_and_whole_in_older_versions(any_lake):
    fill(any_lake)
    version, then = any_lake.engine.catalog.version(), answers(any_lake)
    held = any_lake.load(BARS).height
    assert any_lake.drop(BARS, dry_run=True) == held
    assert any_lake.load(BARS).height == held
    assert any_lake.drop(BARS) == held
    assert any_lake.datasets() == [TRADES]
    with pytest.raises(UnknownDataset):
        any_lake.load(BARS)
    assert differing(then, answers(any_lake.at(version))) == set()
    assert any_lake.at(version + 1).datasets() == [TRADES]


def test_a_dataset_that_comes_again_after_it_was_dropped_is_a_new_one(any_lake):
    fill(any_lake)
    version, then = any_lake.engine.catalog.version(), answers(any_lake)
    any_lake.drop(BARS)
    any_lake.save(BARS, bars(3, 5, bump=7.0))
    assert any_lake.load(BARS).equals(full(bars(3, 5, bump=7.0)))
    assert (any_lake.coverage(BARS).pieces, any_lake.quarantine(BARS), any_lake.revisions(BARS)) == ((), [], [])
    assert any_lake.continuity(BARS).height == 1
    assert differing(then, answers(any_lake.at(version))) == set()
    any_lake.drop(BARS)
    assert any_lake.at(version + 2).load(BARS).height == 2
    assert differing(then, answers(any_lake.at(version))) == set()
