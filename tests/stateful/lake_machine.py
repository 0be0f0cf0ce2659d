"""The machine: a lake in a folder and the model side by side, whatever is done to them."""

import json
import shutil
import tempfile
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from lake_batches import NOW
from lake_model import DAY

from ticklake.app import open_lake
from ticklake.catalog import schema
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.errors import CatalogError

_INFINITE = (float("inf"), float("-inf"))
_LIMITS = ("ticklake.engine.append", "ticklake.storage.segments")


def limit_inline_rows(patch, rows):
    """Let batches of more than *rows* rows become files; say in how many places that was."""
    modules = [import_module(name) for name in _LIMITS if find_spec(name)]
    found = [module for module in modules if hasattr(module, "INLINE_ROWS")]
    for module in found:
        patch.setattr(module, "INLINE_ROWS", rows)
    return len(found)


def frame_of(rows, dataset):
    """Rows as a frame of the dataset's public columns."""
    columns = dataset.spec.columns
    plain = {column.name: pl.Int64 if column.is_temporal else column.dtype for column in columns}
    frame = pl.DataFrame(rows, schema=plain, orient="row")
    return frame.with_columns(pl.col(column.name).cast(column.dtype) for column in columns if column.is_temporal)


def exact(frame):
    """The rows of a frame as text that tells every bit: -0.0 is not 0.0."""
    return [repr(row) for row in frame.with_columns(pl.selectors.temporal().to_physical()).rows()]


def make_known(lake, dataset):
    """Let the lake know a dataset without rows: reading one that it has never heard of is an error."""
    parts = {"name": str(dataset), "exchange": dataset.exchange, "kind": dataset.kind, "symbol": str(dataset.symbol)}
    timeframe = str(dataset.timeframe) if dataset.timeframe else None
    with lake.engine.catalog.database.write() as connection:
        connection.execute(
            schema.datasets.insert().values(**parts, timeframe=timeframe, keying="natural", updated_at=0)
        )


class LakeMachine(RuleBasedStateMachine):
    """Everything but the append rule, which names the kind of batch."""

    dataset: Dataset
    bounds: tuple[int, ...]
    inline_rows: int | None = None

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        if self.inline_rows is not None:
            assert limit_inline_rows(self.patch, self.inline_rows)
        self.root = Path(tempfile.mkdtemp(prefix="lake"))
        self.time = NOW
        self.lake = self.opened()
        make_known(self.lake, self.dataset)
        self.model = self.new_model(lambda: self.time)
        self.saved = []
        self.decided = False  # how rows are told apart: the first rows say it
        self.versions = {0: []}
        self.commits = [(0, 0)]
        self.kept_from = 0
        self.gone_below = 0
        self.revisions, self.refused = Counter(), {}

    def new_model(self, now):
        raise NotImplementedError

    def opened(self):
        return open_lake(self.root / "lake", settings=Settings(), clock=lambda: self.time)

    def teardown(self):
        try:
            assert self.lake.verify(deep=True) == []
        finally:
            self.lake.close()
            self.patch.undo()
            shutil.rmtree(self.root)

    # doing

    def admitted(self, rows):
        """The rows that may be told now."""
        return rows

    def save_all(self, batches):
        for rows in batches:
            self.saved.append(self.admitted(rows))
            self.save(self.saved[-1])

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def append_again(self, data):
        """Rows that were told before, in another order and other batches."""
        told = [row for rows in self.saved[-4:] for row in rows]
        self.save(self.admitted(data.draw(st.permutations(told), label="order")[:9]))

    def save(self, rows):
        receipt = self.lake.save(self.dataset, frame_of(rows, self.dataset))
        expected = self.model.append(rows)
        told = (receipt.received, receipt.new, receipt.changed, receipt.duplicate, receipt.quarantined)
        assert told == expected.counts
        assert receipt.received == receipt.new + receipt.changed + receipt.duplicate + receipt.quarantined
        self.revisions.update(_told(before, after) for before, after in expected.revisions)
        for row, reasons in expected.refused:
            self.refused.setdefault(_text(row), set()).update((reason, row["ts"]) for reason in reasons)
        self.decided |= receipt.new > 0
        self.remember()
        assert receipt.version == max(self.versions)

    @rule(data=st.data())
    def delete(self, data):
        start, end = self.draw_span(data)
        expected = self.model.delete(_lowest(start), _highest(end))
        assert self.lake.delete(self.dataset, start, end) == expected
        self.remember()

    @rule()
    def compact(self):
        self.lake.compact()
        self.remember()

    @rule()
    def reopen(self):
        self.lake.close()
        self.lake = self.opened()

    @rule(days=st.sampled_from((0, 1, 8)))
    def wait(self, days):
        self.time += days * DAY + 1

    @rule(keep=st.sampled_from((0, 2, 7)))
    def vacuum(self, keep):
        done = self.lake.vacuum(keep * DAY)
        began = self.time - keep * DAY
        self.kept_from = max(self.kept_from, max(version for when, version in self.commits if when <= began))
        if done.segments:
            self.gone_below = 2  # what was replaced was added in version 1 or later
        self.shows(self.kept_from, self.kept_from)

    def remember(self):
        """Every commit so far shows what the model holds now, or what it held when it was newest."""
        newest = self.lake.save(self.dataset, []).version
        for version in range(max(self.versions) + 1, newest + 1):
            self.versions[version] = self.model.rows()
            self.commits.append((self.time, version))

    # asking

    def draw_span(self, data):
        start, end = data.draw(st.tuples(*[st.sampled_from((None, *self.bounds))] * 2), label="span")
        if start is not None and end is not None and start >= end:
            start, end = (end, start) if end < start else (start, None)
        return start, end

    def expected(self, start=None, end=None):
        inside = (row for row in self.model.rows() if _lowest(start) <= row["ts"] < _highest(end))
        return frame_of(list(inside), self.dataset)

    @rule(data=st.data())
    def ask(self, data):
        self.load(data)
        self.scan(data)
        self.look_back(data)
        self.look_back_in_time(data)

    def load(self, data):
        last = data.draw(st.none() | st.integers(0, 9), label="last")
        start, end = self.draw_span(data)
        names = data.draw(st.none() | st.lists(st.sampled_from(self.dataset.spec.names), min_size=1, unique=True))
        rows = self.lake.load(self.dataset, start, end, last=last, columns=names)
        expected = self.expected(start, end)
        expected = expected if last is None else expected.tail(last)
        assert exact(rows) == exact(expected if names is None else expected.select(names))

    def scan(self, data):
        head, first = data.draw(st.tuples(st.none() | st.integers(0, 5), st.booleans()), label="head, first")
        start, end = self.draw_span(data)
        bound = data.draw(st.sampled_from(self.bounds), label="bound")
        column = data.draw(st.sampled_from(self.dataset.spec.names), label="column")
        wanted = data.draw(
            st.sampled_from((pl.col("ts") >= pl.lit(bound).cast(TIME), pl.col(column).is_null(), pl.lit(True)))
        )

        def asked(frame):
            frame = frame.head(head) if head is not None and first else frame
            frame = frame.filter(wanted)
            return frame.head(head) if head is not None and not first else frame

        rows = asked(self.lake.scan(self.dataset, start, end)).collect()
        assert exact(rows) == exact(asked(self.expected(start, end)))

    def look_back(self, data):
        version = data.draw(st.sampled_from(sorted(self.versions)), label="version")
        self.shows(version, version)

    def look_back_in_time(self, data):
        when, _ = data.draw(st.sampled_from(self.commits), label="commit")
        version = max(version for then, version in self.commits if then <= when)
        if when:
            self.shows(when, version)

    def shows(self, moment, version):
        """A version is shown exactly; once it may have been vacuumed it may be refused, never shown otherwise."""
        rows, refusal = self.asked_for(moment)
        if refusal:
            assert version < self.kept_from
            assert f"version {version} was vacuumed" in refusal
        else:
            assert version >= self.gone_below
            assert exact(rows) == exact(frame_of(self.versions[version], self.dataset))

    def asked_for(self, moment):
        try:
            return self.lake.at(moment).load(self.dataset), ""
        except CatalogError as error:
            return None, str(error)

    # always

    @invariant()
    def holds_what_the_model_holds(self):
        assert exact(self.lake.load(self.dataset)) == exact(self.expected())

    @invariant()
    def knows_what_it_holds(self):
        known = self.lake.inventory().with_columns(pl.col("first", "last").to_physical())
        rows = known.select("rows", "first", "last").rows() or [(0, None, None)]
        times = [row["ts"] for row in self.model.rows()]
        assert rows == [(len(times), min(times, default=None), max(times, default=None))]
        assert self.lake.last_timestamp(self.dataset) == max(times, default=None)
        assert known.filter((pl.col("bytes") > 0) != (pl.col("rows") > 0)).height == 0

    @invariant()
    def logs_every_revision(self):
        logged = self.lake.revisions(self.dataset)
        told = Counter(_told(json.loads(one["before"]), json.loads(one["after"])) for one in logged)
        assert told == self.revisions
        assert all(one["ts"] == json.loads(one["after"])["ts"] for one in logged)

    @invariant()
    def keeps_every_refused_row_once_with_a_true_reason(self):
        kept = [(_text(json.loads(one["row"])), one["reason"], one["ts"]) for one in self.lake.quarantine(self.dataset)]
        assert len(kept) == len(set(kept))
        assert {text for text, _, _ in kept} == set(self.refused)
        assert all((reason, ts) in self.refused[text] for text, reason, ts in kept)


def _told(before, after):
    return tuple(tuple((name, repr(value)) for name, value in sorted(row.items())) for row in (before, after))


def _text(row):
    """A refused row as text; JSON has no infinite numbers."""
    finite = {name: None if value in _INFINITE else value for name, value in row.items()}
    return repr(sorted(finite.items()))


def _lowest(start):
    return -(2**63) if start is None else start


def _highest(end):
    return 2**63 if end is None else end
