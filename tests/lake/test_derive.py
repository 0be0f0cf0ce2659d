"""Derived datasets hold what their rule makes of their inputs, however these change."""

import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ticklake
from ticklake.app import memory_lake, open_lake
from ticklake.catalog.rules import RuleTable
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, Unsupported
from ticklake.query import derive

T = parse_time("2024-03-08")
NOW = parse_time("2026-01-01")
TRADES = "x:trades:BTC/USDT"
ETH = "x:trades:ETH/USDT"
HOURS = "x:ohlcv@hours:1h:BTC/USDT"
USER = Provenance("user")


def trades(first, last, step=MINUTE, bump=0.0):
    numbers = range(first, last)
    return pl.DataFrame(
        {
            "ts": [T + n * step for n in numbers],
            "id": [str(n) for n in numbers],
            "price": [100.0 + n % 7 + bump for n in numbers],
            "amount": [0.1 * (n % 5 + 1) for n in numbers],
            "side": ["buy" if n % 3 else "sell" for n in numbers],
        }
    ).with_columns(pl.col("ts").cast(TIME))


@pytest.fixture
def clock():
    return [NOW]


@pytest.fixture
def lake(clock):
    def now():
        clock[0] += 1
        return clock[0]

    with memory_lake(Settings(), clock=now) as lake:
        lake.save(TRADES, trades(0, 600))
        yield lake


@pytest.fixture
def hours(lake):
    lake.derive("hours", "x:trades:*", "1h")
    lake.derived.refresh()
    return lake


def assert_is_what_the_rule_makes(lake, name=HOURS, source=TRADES, rule="1h"):
    stored = lake.load(name)
    assert stored.equals(lake.resample(source, rule)), (stored, lake.resample(source, rule))


def segments(lake, name=HOURS):
    return [segment.id for segment in lake.engine.store.view(Dataset.parse(name)).segments]


class TestDeclaring:
    def test_a_rule_is_listed_and_the_same_again_changes_nothing(self, lake):
        first = lake.derive("hours", "x:trades:*", "1h")
        assert lake.derive("hours", ["x:trades:*"], "60m") == first
        assert lake.derived.list() == [first] == [lake.derived.get("hours")]
        assert (first.inputs, first.rule, first.kind, first.read_version) == (("x:trades:*",), "1h", "ohlcv", 0)

    def test_another_rule_of_the_name_is_refused(self, lake):
        lake.derive("hours", "x:trades:*", "1h")
        with pytest.raises(BadInput, match="another rule"):
            lake.derive("hours", "x:trades:*", "2h")

    @pytest.mark.parametrize(
        ("name", "from_", "rule", "edges"),
        [
            ("Hours", "x:trades:*", "1h", {}),
            ("hours", [], "1h", {}),
            ("hours", "*", "1h", {}),
            ("hours", "x:*:*", "1h", {}),
            ("hours", "x:ohlcv:*", "1h", {}),
            ("hours", ["x:trades:*", "x:ohlcv:1m:*"], "1h", {}),
            ("hours", "x:trades:*", "10ticks", {}),
            ("hours", "x:trades:*", "1h", {"label": "close"}),
            ("hours", "x:trades:*", "1h", {"fill": "forward"}),
            ("hours", "x:trades:*", "1h", {"kind": "trades"}),
            ("hours", "x:trades:*", "1h", {"kind": "ohlcv", "session": "UTC"}),
            ("hours", "x:nonsense:*", "1h", {}),
            ("hours", "x:ohlcv@hours:1h:*", "1d", {}),
        ],
    )
    def test_what_is_no_rule_is_refused(self, lake, name, from_, rule, edges):
        with pytest.raises(BadInput):
            lake.derive(name, from_, rule, **edges)
        assert lake.derived.list() == []

    def test_inputs_that_do_not_make_such_bars_are_refused(self, lake):
        for from_, rule in (("x:ohlcv:1h:*", "1m"), ("x:funding:*", "1h"), ("x:ohlcv:7m:*", "1h")):
            with pytest.raises(Unsupported):
                lake.derive("hours", from_, rule)

    def test_a_rule_that_would_read_its_own_output_through_others_is_refused(self, lake):
        lake.derive("a", "x:ohlcv@c:1h:*", "1d")
        lake.derive("b", "x:ohlcv@a:1d:*", "1w")
        with pytest.raises(BadInput, match="c <- b <- a <- c"):
            lake.derive("c", "x:ohlcv@b:1w:*", "1w")

    def test_a_rule_that_others_read_is_not_dropped(self, lake):
        lake.derive("hours", "x:trades:*", "1h")
        lake.derive("days", "x:ohlcv@hours:1h:*", "1d")
        with pytest.raises(BadInput, match="'days' reads"):
            lake.derived.drop("hours")

    def test_an_unknown_rule_is_an_error(self, lake):
        for verb in (lake.derived.refresh, lake.derived.drop, lake.derived.get):
            with pytest.raises(BadInput, match="no rule 'none'"):
                verb("none")


class TestFollowing:
    def test_a_refresh_stores_what_the_rule_makes(self, lake):
        lake.derive("hours", "x:trades:*", "1h")
        [done] = lake.derived.refresh()
        assert (done.name, done.datasets, done.new, done.changed, done.removed) == ("hours", (HOURS,), 10, 0, 0)
        assert_is_what_the_rule_makes(lake)
        assert lake.derived.get("hours").datasets == (HOURS,)

    def test_the_same_again_changes_nothing(self, hours):
        before = hours.engine.catalog.version(), segments(hours)
        [done] = hours.derived.refresh()
        assert (done.new, done.changed, done.removed, done.datasets) == (0, 0, 0, ())
        assert (hours.engine.catalog.version(), segments(hours)) == before

    def test_rows_and_the_version_that_was_read_are_one_commit(self, hours):
        version = hours.engine.catalog.version()
        assert hours.derived.get("hours").read_version == version - 1
        hours.save(TRADES, trades(600, 660))
        hours.derived.refresh("hours")
        assert hours.engine.catalog.version() == version + 2
        assert hours.derived.get("hours").read_version == version + 1

    def test_new_rows_make_new_bars_and_leave_others_alone(self, hours):
        before = segments(hours)
        hours.save(TRADES, trades(600, 720))
        [done] = hours.derived.refresh()
        assert (done.new, done.changed) == (2, 0)
        assert set(before) < set(segments(hours))
        assert_is_what_the_rule_makes(hours)

    def test_a_late_trade_changes_the_bar_it_belongs_to_alone(self, hours):
        late = trades(0, 1).with_columns(ts=pl.lit(T + 3 * HOUR + 5).cast(TIME), id=pl.lit("late"), price=pl.lit(500.0))
        hours.save(TRADES, late)
        [done] = hours.derived.refresh()
        assert (done.new, done.changed, done.removed) == (0, 1, 0)
        assert hours.load(HOURS)["high"].to_list()[3] == 500.0
        assert_is_what_the_rule_makes(hours)

    def test_a_changed_row_changes_its_bar(self, hours):
        hours.save(TRADES, trades(120, 130, bump=50.0))
        [done] = hours.derived.refresh()
        assert done.changed == 1
        assert_is_what_the_rule_makes(hours)

    def test_deleted_rows_take_their_bars_along(self, hours):
        hours.delete(TRADES, T + 2 * HOUR, T + 4 * HOUR + 30 * MINUTE)
        [done] = hours.derived.refresh()
        assert (done.removed, done.changed) == (2, 1)
        assert_is_what_the_rule_makes(hours)
        assert hours.verify(deep=True) == []

    def test_deleted_rows_of_files_go_too(self, hours):
        hours.save(TRADES, trades(0, 40_000, step=15 * SECOND))
        hours.derive("seconds", "x:trades:*", "15s")
        hours.derived.refresh()
        assert hours.engine.listing()[1][5] + hours.engine.listing()[0][5] >= 1
        hours.delete(TRADES, T + HOUR, T + 2 * HOUR)
        hours.derived.refresh()
        assert_is_what_the_rule_makes(hours, "x:ohlcv@seconds:15s:BTC/USDT", rule="15s")
        assert hours.verify(deep=True) == []

    def test_a_bar_is_made_when_it_is_over_and_not_before(self, lake, clock):
        clock[0] = T + 10 * HOUR + 20 * MINUTE
        lake.save(TRADES, trades(600, 615))
        lake.derive("hours", "x:trades:*", "1h")
        lake.derived.refresh()
        assert lake.load(HOURS).height == 10
        clock[0] = T + 11 * HOUR + MINUTE
        # Time alone made it whole; any commit lets a refresh look.
        lake.save(ETH, trades(0, 1))
        lake.derived.refresh()
        assert lake.load(HOURS).height == 11
        assert_is_what_the_rule_makes(lake)

    def test_a_compaction_costs_nothing(self, hours, monkeypatch):
        hours.save(TRADES, trades(600, 720))
        hours.derived.refresh()
        hours.compact(TRADES)
        before = segments(hours)
        reads = []
        monkeypatch.setattr("ticklake.query.resample.read_chunks", lambda *_args: reads.append(1) or iter(()))
        hours.derived.refresh()
        assert (reads, segments(hours)) == ([], before)

    def test_a_new_dataset_that_matches_becomes_an_input(self, hours):
        hours.save(ETH, trades(0, 120))
        [done] = hours.derived.refresh()
        assert done.datasets == ("x:ohlcv@hours:1h:ETH/USDT",)
        assert_is_what_the_rule_makes(hours, "x:ohlcv@hours:1h:ETH/USDT", ETH)

    def test_a_dropped_input_takes_what_was_made_of_it_along(self, hours):
        hours.save(ETH, trades(0, 120))
        hours.derived.refresh()
        hours.drop(TRADES)
        [done] = hours.derived.refresh()
        assert done.dropped == (HOURS,)
        assert [str(each) for each in hours.datasets()] == ["x:ohlcv@hours:1h:ETH/USDT", ETH]

    def test_a_renamed_input_renames_what_is_made_of_it(self, hours):
        expected = hours.load(HOURS)
        hours.rename(TRADES, "x:trades:XBT/USDT")
        hours.derived.refresh()
        assert [str(each) for each in hours.datasets()] == ["x:ohlcv@hours:1h:XBT/USDT", "x:trades:XBT/USDT"]
        assert hours.load("x:ohlcv@hours:1h:XBT/USDT").equals(expected)

    def test_after_a_vacuum_of_what_was_not_read_all_is_computed_anew(self, hours, clock):
        hours.delete(TRADES, T, T + HOUR)
        hours.save(TRADES, trades(0, 30))
        hours.compact()
        clock[0] += 10 * DAY
        hours.vacuum(0)
        [done] = hours.derived.refresh()
        assert done.recomputed
        assert done.changed == 1
        assert_is_what_the_rule_makes(hours)

    def test_rules_that_read_each_other_are_refreshed_in_order(self, lake):
        lake.derive("a_days", "x:ohlcv@hours:1h:*", "4h")
        lake.derive("hours", "x:trades:*", "1h")
        assert [done.name for done in lake.derived.refresh()] == ["hours", "a_days"]
        days = "x:ohlcv@a_days:4h:BTC/USDT"
        assert lake.load(days).equals(lake.resample(HOURS, "4h"))
        lake.save(TRADES, trades(0, 10, bump=9.0))
        lake.derived.refresh()
        assert lake.load(days).equals(lake.resample(HOURS, "4h"))
        assert lake.load(days)["volume"].to_list() == pytest.approx(lake.resample(TRADES, "4h")["volume"].to_list()[:2])

    def test_an_input_without_rows_makes_nothing(self, lake):
        lake.engine.append(Dataset.parse(ETH), trades(0, 0), USER, [Covered(Span(T, T + HOUR))])
        lake.derive("hours", ETH, "1h")
        lake.derived.refresh()
        assert lake.load("x:ohlcv@hours:1h:ETH/USDT").is_empty()
        assert lake.coverage("x:ohlcv@hours:1h:ETH/USDT").spans(Found.DATA) == [Span(T, T + HOUR)]

    def test_an_old_version_shows_derived_rows_as_they_were(self, hours):
        version, before = hours.engine.catalog.version(), hours.load(HOURS)
        hours.save(TRADES, trades(0, 10, bump=5.0))
        hours.derived.refresh()
        assert hours.at(version).load(HOURS).equals(before)
        assert not hours.load(HOURS).equals(before)


class TestBarsThatEndWithATrade:
    NAME = "x:bars@flow:BTC/USDT"

    @pytest.fixture
    def flow(self, lake):
        lake.save(TRADES, trades(0, 4_000))
        lake.derive("flow", TRADES, "70ticks", session="UTC")
        lake.derived.refresh()
        return lake

    def expected(self, lake):
        return lake.resample(TRADES, "70ticks", session="UTC")

    def test_they_are_stored_with_all_that_is_known_of_them(self, flow):
        stored = flow.load(self.NAME)
        assert stored.drop("known_at").equals(self.expected(flow))
        assert stored["buy_volume"].null_count() == 0

    def test_a_late_trade_changes_the_rest_of_its_day_alone(self, flow):
        before = flow.load(self.NAME)
        late = trades(0, 1).with_columns(ts=pl.lit(T + DAY + 5 * MINUTE + 1).cast(TIME), id=pl.lit("late"))
        flow.save(TRADES, late)
        [done] = flow.derived.refresh()
        assert 0 < done.changed + done.new <= 3 * (1440 // 70)
        after = flow.load(self.NAME)
        assert after.drop("known_at").equals(self.expected(flow))
        first_day = before["ts"].to_physical() < T + DAY
        assert after.filter(after["ts"].to_physical() < T + DAY).equals(before.filter(first_day))
        assert flow.verify(deep=True) == []

    def test_many_of_one_instant_are_told_apart(self, lake):
        burst = trades(0, 300).with_columns(
            ts=pl.lit(T + 30 * DAY).cast(TIME), id=pl.int_range(9_000, 9_300).cast(pl.String)
        )
        lake.save(TRADES, burst)
        lake.derive("flow", TRADES, "7ticks", session="UTC")
        lake.derived.refresh()
        stored = lake.load(self.NAME)
        assert stored.drop("known_at").equals(lake.resample(TRADES, "7ticks", session="UTC"))
        lake.save(TRADES, burst.head(1).with_columns(id=pl.lit("0"), amount=pl.lit(9.0)))
        lake.derived.refresh()
        assert lake.load(self.NAME).drop("known_at").equals(lake.resample(TRADES, "7ticks", session="UTC"))

    def test_days_of_a_session_are_bars_with_their_close(self, lake):
        lake.save(TRADES, trades(0, 4_000))
        lake.derive("days", TRADES, "1d", session="17:00 America/New_York")
        lake.derived.refresh()
        name = "x:bars@days:1d:BTC/USDT"
        names = lake.load(name).drop("known_at").columns
        assert (
            lake.load(name)
            .drop("known_at")
            .equals(lake.resample(TRADES, "1d", session="17:00 America/New_York", columns=names))
        )


class TestBarsOfTheirOwnKind:
    """Their dataset does not say how long they last."""

    SESSION = "17:00 America/New_York"

    @pytest.mark.parametrize("rule", ["1d", "5h", "1h"])
    def test_refreshes_one_after_the_other_change_nothing_that_is_right(self, lake, rule):
        lake.derive("own", TRADES, rule, session=self.SESSION)
        name = f"x:bars@own:{rule}:BTC/USDT"
        for last in (600, 700, 2_000, 2_010, 4_500):
            lake.save(TRADES, trades(0, last))
            lake.derived.refresh()
            stored = lake.load(name).drop("known_at")
            assert stored.equals(lake.resample(TRADES, rule, columns=stored.columns, session=self.SESSION))
        before = segments(lake, name)
        lake.save(ETH, trades(0, 10))
        [done] = lake.derived.refresh()
        assert (done.new, done.changed, done.removed, segments(lake, name)) == (0, 0, 0, before)

    def test_they_make_longer_bars_up_to_their_close(self, lake):
        lake.derive("rich", TRADES, "1h", kind="bars")
        lake.derive("longer", "x:bars@rich:1h:*", "2h", kind="bars")
        lake.derived.refresh()
        longer = lake.load("x:bars@longer:2h:BTC/USDT")
        assert longer["trades"].to_list() == [120] * 5
        assert longer["buy_volume"].sum() == pytest.approx(lake.load("x:bars@rich:1h:BTC/USDT")["buy_volume"].sum())


class TestWhatIsKnown:
    def test_coverage_is_that_of_the_input_in_whole_bars(self, lake):
        looked = [
            Covered(Span(T, T + 5 * HOUR + MINUTE)),
            Covered(Span(T + 6 * HOUR + MINUTE, T + 7 * HOUR), Found.LOST, "the line was down"),
            Covered(Span(T - 90 * MINUTE, T), Found.UNAVAILABLE, "not served"),
        ]
        lake.engine.append(Dataset.parse(TRADES), trades(0, 0), USER, looked)
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
        assert [(piece.span, piece.found, piece.reason) for piece in lake.coverage(HOURS).pieces] == [
            (Span(T - 2 * HOUR, T), Found.UNAVAILABLE, "not served"),
            (Span(T, T + 5 * HOUR), Found.DATA, ""),
            (Span(T + 6 * HOUR, T + 7 * HOUR), Found.LOST, "the line was down"),
        ]

    def test_coverage_of_bars_that_are_closed_on_the_right_ends_before_the_one_whose_last_trade_may_come(self, lake):
        lake.engine.append(Dataset.parse(ETH), trades(1, 119), USER, [Covered(Span(T, T + 2 * HOUR))])
        lake.derive("right", "x:trades:ETH/USDT", "1h", closed="right")
        lake.derived.refresh()
        assert lake.coverage("x:bars@right:1h:ETH/USDT").spans() == [Span(T, T + HOUR)]

    def test_coverage_follows_alone(self, hours):
        hours.engine.append(Dataset.parse(TRADES), trades(0, 0), USER, [Covered(Span(T, T + 4 * HOUR))])
        before = segments(hours)
        hours.derived.refresh()
        assert hours.coverage(HOURS).spans() == [Span(T, T + 4 * HOUR)]
        assert segments(hours) == before
        version = hours.engine.catalog.version()
        hours.derived.refresh()
        assert hours.engine.catalog.version() == version

    def test_gaps_are_those_of_the_input(self, hours):
        hours.engine.append(
            Dataset.parse(TRADES),
            trades(0, 0),
            USER,
            [Covered(Span(T, T + 9 * HOUR)), Covered(Span(T + 9 * HOUR, T + 12 * HOUR), Found.LOST, "why")],
        )
        hours.derived.refresh()
        assert [(gap.span, gap.reason) for gap in hours.gaps(HOURS)] == [
            (gap.span, gap.reason) for gap in hours.gaps(TRADES)
        ]
        assert hours.gaps(HOURS)

    def test_provenance_names_rule_hash_and_version(self, hours):
        [origin] = hours.provenance(HOURS)
        rule = hours.derived.get("hours")
        assert (origin.source, origin.endpoint) == ("derived", "hours")
        assert rule.hash in origin.note
        assert f"version {rule.read_version}" in origin.note

    def test_what_was_made_of_expired_rows_stays(self, hours, clock):
        before = hours.load(HOURS)
        clock[0] = T + 3 * DAY
        hours.save(TRADES, trades(4_000, 4_200))
        hours.derived.refresh()
        hours.cleanup(1, kinds="trades")
        assert hours.load(TRADES).height == 200
        hours.derived.refresh()
        after = hours.load(HOURS)
        assert after.head(10).equals(before)
        assert after.height > 10
        # The same when everything is computed anew.
        hours.vacuum(0)
        hours.save(TRADES, trades(4_000, 4_010, bump=1.0))
        hours.derived.refresh()
        assert hours.load(HOURS).head(10).equals(before)

    def test_what_expired_of_the_bars_themselves_stays_away(self, hours, clock):
        clock[0] = T + 3 * DAY
        hours.save(TRADES, trades(4_000, 4_200))
        hours.derived.refresh()
        assert hours.cleanup(1, kinds="ohlcv").rows == 10
        hours.save(TRADES, trades(4_200, 4_260))
        hours.derived.refresh()
        assert hours.load(HOURS)["ts"].to_physical().min() > T + 2 * DAY
        assert hours.load(HOURS).height > 0

    def test_reads_of_all_sorts_know_derived_rows(self, hours, tmp_path):
        assert hours.scan(HOURS).collect().equals(hours.load(HOURS))
        assert HOURS in hours.inventory()["dataset"].to_list()
        assert hours.quality(HOURS).present_records == 10
        assert hours.export(tmp_path / "out", layout="hive", datasets=[HOURS]).counts
        assert hours.latest(HOURS).equals(hours.load(HOURS, last=1))
        assert hours.cross_check(HOURS)[0].differences.is_empty()


def test_dropping_a_rule_drops_what_it_made(hours):
    assert hours.derived.drop("hours") == 10
    assert hours.derived.list() == []
    assert [str(each) for each in hours.datasets()] == [TRADES]


def test_rows_that_another_rule_of_the_name_left_are_replaced(hours):
    RuleTable(hours.engine.catalog.database, hours.engine.now).remove("hours")
    hours.derive("hours", "x:trades:*", "1h")
    before = segments(hours)
    [done] = hours.derived.refresh()
    assert (done.recomputed, done.new, done.changed, done.removed) == (True, 0, 0, 0)
    assert segments(hours) == before


def test_a_catalog_made_of_the_files_alone_goes_on_once_the_rule_is_declared_again(tmp_path):
    root = tmp_path / "lake"
    with open_lake(root, settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 40_000, step=15 * SECOND))
        lake.derive("seconds", TRADES, "15s")
        lake.derived.refresh()
        lake.compact()
        name = "x:ohlcv@seconds:15s:BTC/USDT"
        before = lake.load(name)
    for file in root.glob("catalog.db*"):
        file.unlink()
    ticklake.app.rebuild_lake(root)
    with open_lake(root, settings=Settings()) as lake:
        assert lake.derived.list() == []
        assert lake.load(name).equals(before)
        lake.derive("seconds", TRADES, "15s")
        [done] = lake.derived.refresh()
        assert (done.new, done.changed, done.removed) == (0, 0, 0)
        assert lake.verify(deep=True) == []


REFRESH = """
import sys, time, pathlib
from ticklake.app import open_lake
from ticklake.config import Settings
with open_lake(sys.argv[1], settings=Settings()) as lake:
    print("ready", flush=True)
    sys.stdin.readline()
    lake.derived.refresh()
"""


def test_two_processes_that_refresh_at_once_make_one_result(tmp_path):
    root = tmp_path / "lake"
    with open_lake(root, settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 5_000))
        lake.derive("hours", TRADES, "1h")
        version = lake.engine.catalog.version()
    command = [sys.executable, "-c", REFRESH, str(root)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for worker in workers:
        worker.stdout.readline()
    for worker in workers:
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=60)
    with open_lake(root, settings=Settings()) as lake:
        assert [worker.returncode for worker in workers] == [0, 0]
        assert lake.engine.catalog.version() == version + 1
        assert_is_what_the_rule_makes(lake)
        assert lake.verify(deep=True) == []


changes = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.integers(0, 300), st.integers(1, 60), st.sampled_from([0.0, 3.0])),
        st.tuples(st.just("delete"), st.integers(0, 300), st.integers(1, 90), st.just(0.0)),
        st.tuples(st.just("compact"), st.just(0), st.just(0), st.just(0.0)),
        st.tuples(st.just("drop"), st.just(0), st.just(0), st.just(0.0)),
        st.tuples(st.just("refresh"), st.just(0), st.just(0), st.just(0.0)),
    ),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes, st.sampled_from(["10m", "1h", "30ticks"]))
def test_whatever_happens_a_refresh_ends_with_what_the_rule_makes(steps, rule):
    edges = {"session": "UTC"} if rule.endswith("ticks") else {}
    with memory_lake(Settings(), clock=lambda: NOW) as lake:
        lake.save(TRADES, trades(0, 100))
        made = lake.derive("made", TRADES, rule, **edges)
        name = str(replace(Dataset.parse(TRADES), kind=made.kind, timeframe=None if edges else rule, variant="made"))
        for verb, first, count, bump in steps:
            if verb == "save":
                lake.save(TRADES, trades(first, first + count, bump=bump))
            elif verb == "delete" and lake.datasets():
                if TRADES in map(str, lake.datasets()):
                    lake.delete(TRADES, T + first * MINUTE, T + (first + count) * MINUTE)
            elif verb == "compact":
                lake.compact()
            elif verb == "drop" and TRADES in map(str, lake.datasets()):
                lake.drop(TRADES)
            elif verb == "refresh":
                lake.derived.refresh()
        lake.derived.refresh()
        names = list(map(str, lake.datasets()))
        if TRADES not in names:
            assert names == []
            return
        expected = lake.resample(TRADES, rule, **edges)
        stored = lake.load(name) if name in names else expected.clear()
        assert stored.select(expected.columns).equals(expected)
        assert lake.verify(deep=True) == []


def test_many_late_trades_are_read_in_few_pieces(hours, monkeypatch):
    hours.save(TRADES, trades(0, 100_000))
    hours.derived.refresh()
    ids = range(0, 100_000, 61)
    late = trades(0, len(ids)).with_columns(
        ts=pl.Series([T + n * MINUTE + 1 for n in ids]).cast(TIME), id=pl.Series([f"late{n}" for n in ids])
    )
    for start in range(0, late.height, 4):
        hours.save(TRADES, late.slice(start, 1))
    asked = []
    plain = derive.replace_rows

    def counted(store, output, reach, pieces, *others):
        def noted():
            for span, rows in pieces:
                asked.append(span)
                yield span, rows

        return plain(store, output, reach, noted(), *others)

    monkeypatch.setattr(derive, "replace_rows", counted)
    [done] = hours.derived.refresh()
    assert done.changed == len(range(0, late.height, 4))
    assert len(asked) <= 2 * 101
    assert_is_what_the_rule_makes(hours)


def test_rows_that_damage_took_are_computed_again(tmp_path):
    root = tmp_path / "lake"
    name = "x:ohlcv@seconds:15s:BTC/USDT"
    with open_lake(root, settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 40_000, step=15 * SECOND))
        lake.derive("seconds", TRADES, "15s")
        lake.derived.refresh()
        [file] = (root / "derived").rglob("*.parquet")
        content = bytearray(file.read_bytes())
        content[1_000:1_100] = bytes(100)
        file.write_bytes(content)
        [mended] = lake.repair(fetch=False)
        assert mended.mended.lost
        assert lake.load(name).height < lake.resample(TRADES, "15s").height
        lake.derived.refresh()
        assert_is_what_the_rule_makes(lake, name, rule="15s")
        assert lake.coverage(name).spans(Found.LOST) == []
        assert lake.verify(deep=True) == []


def test_a_rebuild_keeps_rules_and_what_they_have_read(tmp_path):
    root = tmp_path / "lake"
    with open_lake(root, settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 600))
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
        lake.save(TRADES, trades(600, 700))
        before = lake.derived.list()
        lake.rebuild(force=True)
        assert lake.derived.list() == before
        lake.derived.refresh()
        assert_is_what_the_rule_makes(lake)
    assert ticklake.app.rebuild_lake(root, force=True).unreadable == ()
    with open_lake(root, settings=Settings()) as lake:
        kept = segments(lake)
        [done] = lake.derived.refresh()
        assert (done.new, done.changed, done.removed, segments(lake)) == (0, 0, 0, kept)


def test_a_backup_goes_on_with_its_rules(tmp_path):
    with open_lake(tmp_path / "lake", settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 600))
        lake.derive("hours", TRADES, "1h")
        lake.derived.refresh()
        lake.backup(tmp_path / "copy")
    with open_lake(tmp_path / "copy", settings=Settings()) as lake:
        lake.save(TRADES, trades(0, 720, bump=1.0))
        lake.derived.refresh()
        assert_is_what_the_rule_makes(lake)


def test_a_vacuum_under_a_refresh_makes_it_begin_anew(hours, monkeypatch):
    hours.save(TRADES, trades(0, 700, bump=1.0))
    plain = hours.engine.at
    calls = []

    def vacuumed(version, moment):
        calls.append(version)
        if len(calls) == 1:
            hours.save(TRADES, trades(700, 720))
            hours.compact()
            hours.vacuum(0)
        return plain(version, moment)

    monkeypatch.setattr(hours.engine, "at", vacuumed)
    hours.derived.refresh()
    monkeypatch.undo()
    assert len(calls) == 2
    assert_is_what_the_rule_makes(hours)
