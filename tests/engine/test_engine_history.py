"""Whatever is done to a dataset in whatever order, it holds what a plain dictionary would."""

import polars as pl
from engine_lakes import BARS, TRADES, USER, at, full, span
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.coverage import Coverage, Covered
from ticklake.engine.compact import compact
from ticklake.engine.store import Store
from ticklake.testing.rows import bars, trades

MINUTES = st.integers(0, 400)
LENGTHS = st.integers(1, 60)


class BarHistory(RuleBasedStateMachine):
    """Bars: appended, changed, deleted, compacted, read at every version."""

    def __init__(self):
        super().__init__()
        self.lake = memory_lake(Settings())
        self.model = {}
        self.coverage = Coverage()
        self.versions = {}
        self.scans = []

    def teardown(self):
        self.lake.close()

    def rows(self, model):
        days = 1440
        rows = [bars(minute * days, minute * days + 1, float(bump)) for minute, bump in sorted(model.items())]
        return full(pl.concat(rows)) if rows else full(bars(0, 0))

    @rule(first=MINUTES, count=LENGTHS, bump=st.integers(0, 2))
    def append(self, first, count, bump):
        days = 1440
        fresh = dict.fromkeys(range(first, first + count), bump)
        looked = span(first * days, (first + count) * days)
        receipt = self.lake.engine.append(
            BARS, bars(first * days, (first + count) * days, float(bump), days), USER, [Covered(looked)]
        )
        new = len(fresh.keys() - self.model.keys())
        same = sum(self.model.get(minute) == bump for minute in fresh)
        assert (receipt.new, receipt.duplicate, receipt.changed) == (new, same, count - new - same)
        self.model = self.model | fresh
        self.coverage = self.coverage.add(Covered(looked))
        self.versions[self.lake.engine.catalog.version()] = self.model

    @rule(first=MINUTES, count=LENGTHS)
    def delete(self, first, count):
        gone = {minute for minute in self.model if first <= minute < first + count}
        looked = span(first * 1440, (first + count) * 1440)
        known = self.lake.engine.catalog.dataset(BARS) is not None
        assert self.lake.engine.delete(BARS, looked) == len(gone)
        self.model = {minute: bump for minute, bump in self.model.items() if minute not in gone}
        self.coverage = self.coverage.without(looked) if known else self.coverage
        self.versions[self.lake.engine.catalog.version()] = self.model

    @rule(size=st.sampled_from([10, 100, 10**6]))
    def compact(self, size):
        store = Store(self.lake.engine.catalog, self.lake.engine.objects, lambda: at(10**6), "ticklake test")
        compact(store, BARS, size)
        self.versions[self.lake.engine.catalog.version()] = self.model

    @precondition(lambda self: len(self.scans) < 3)
    @rule()
    def pin(self):
        self.scans.append((self.lake.engine.scan(BARS), self.model))

    @rule(data=st.data())
    def look_back(self, data):
        if self.versions:
            version = data.draw(st.sampled_from(sorted(self.versions)))
            if version:
                assert self.lake.at(version).load(BARS).equals(self.rows(self.versions[version]))

    @invariant()
    def holds_what_the_dictionary_holds(self):
        assert self.lake.engine.load(BARS).equals(self.rows(self.model))

    @invariant()
    def knows_what_it_holds(self):
        row = self.lake.engine.catalog.dataset(BARS)
        known = (row.rows, row.min_ts, row.max_ts) if row else (0, None, None)
        ends = (at(min(self.model) * 1440), at(max(self.model) * 1440)) if self.model else (None, None)
        assert known == (len(self.model), *ends)
        assert self.lake.engine.catalog.coverage(BARS).spans() == self.coverage.spans()

    @invariant()
    def pinned_scans_do_not_move(self):
        for scan, model in self.scans:
            assert scan.collect().equals(self.rows(model))

    @invariant()
    def is_sound(self):
        assert self.lake.verify(deep=True) == []


BarHistory.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
TestBarHistory = BarHistory.TestCase


class PrintHistory(RuleBasedStateMachine):
    """Trades without ids: each download tells the whole of the seconds it covers."""

    def __init__(self):
        super().__init__()
        self.lake = memory_lake(Settings())
        self.copies = {}

    def teardown(self):
        self.lake.close()

    @rule(first=st.integers(0, 30), count=st.integers(1, 15), repeats=st.integers(1, 3))
    def download(self, first, count, repeats):
        for second in range(first, first + count):
            self.copies.setdefault(second, repeats)
        prints = [trades(second, second + 1, ids=False) for second in range(first, first + count)]
        told = [frame for second, frame in enumerate(prints, first) for _ in range(self.copies[second])]
        self.lake.save(TRADES, pl.concat(told))

    @rule()
    def compact(self):
        self.lake.compact()

    @invariant()
    def holds_every_print_as_often_as_it_happened(self):
        told = [at(0) + second * 10**9 for second in sorted(self.copies) for _ in range(self.copies[second])]
        assert self.lake.engine.load(TRADES)["ts"].to_physical().to_list() == told


PrintHistory.TestCase.settings = settings(max_examples=8, stateful_step_count=10, deadline=None)
TestPrintHistory = PrintHistory.TestCase
