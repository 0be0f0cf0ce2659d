"""Appends to many datasets together: the same as one after the other, in every respect."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest
from engine_lakes import USER, at, lake_in
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ticklake.app import memory_lake
from ticklake.catalog.append_log import Batches
from ticklake.core.batch import from_rows
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import MINUTE, MS, SECOND
from ticklake.engine import append_many
from ticklake.storage import segments
from ticklake.testing.rows import START, trades

NOW = START + 10**6 * SECOND
SETS = [Dataset.parse(f"x:trades:C{number}/USDT") for number in range(6)]
ORIGINS = [Provenance("live", f"{name} socket", "test") for name in "ab"]


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: NOW) as lake:
        yield lake


@pytest.fixture
def together(monkeypatch):
    """How many batches of each group were appended together."""
    counts = []
    original = append_many.append_unmet

    def counted(*arguments):
        outcomes = original(*arguments)
        counts.append(len(outcomes))
        return outcomes

    monkeypatch.setattr("ticklake.engine.append.append_unmet", counted)
    return counts


def each(rows, datasets=SETS):
    return [(dataset, rows, USER, ()) for dataset in datasets]


def trade_rows(rng, ids):
    """Trades of few times, ids and prices, so that many of them meet; a few of them cannot be true."""
    rows = []
    start = rng.randrange(8)
    for _ in range(rng.randrange(6)):
        ts = START + (start + rng.randrange(4)) * 300 * MS
        ident = str(rng.choice([start * 4 + rng.randrange(20), start * 4 + rng.randrange(20), "k7"])) if ids else None
        price = rng.choice([100.0, 100.0, 101.5, -1.0 if rng.random() < 0.1 else 99.0])
        rows.append((ts, None, ident, price, 2.0, rng.choice(["buy", "sell"])))
    return rows


def bar_rows(rng):
    start = rng.randrange(8)
    return [
        (START + (start + number) * MINUTE, 5.0, rng.choice([6.0, 6.0, 7.0, 1.0]), 4.0, 5.0, 1.0, None, None)
        for number in rng.sample(range(5), rng.randrange(5))
    ]


def book_rows(rng):
    rows = []
    for _ in range(rng.randrange(7)):
        seq = rng.randrange(8)
        side = rng.choice(["bid", "ask", "ask", "none" if rng.random() < 0.1 else "bid"])
        rows.append(
            (START + seq * SECOND, None, seq, side, rng.choice([1.0, 2.0]), rng.choice([0.0, 3.0]), None, False)
        )
    return rows


def quote_rows(rng):
    times = [START + rng.randrange(8) * SECOND for _ in range(rng.randrange(5))]
    return [(ts, None, rng.choice([None, 1]), rng.choice([1.0, 2.0]), 1.0, 3.0, 1.0) for ts in times]


KINDS = {
    "trades": lambda rng: trade_rows(rng, ids=True),
    "liquidations": lambda rng: trade_rows(rng, ids=False),
    "ohlcv:1m": bar_rows,
    "book": book_rows,
    "quotes": quote_rows,
}


def random_flush(rng, prefix):
    """Rows of five datasets of each kind, with their coverage."""
    items = []
    for kind, make in KINDS.items():
        for number in range(5):
            dataset = Dataset.parse(f"x:{kind}:{prefix}{number}/USDT")
            rows = make(rng)
            coverage = []
            if rng.random() < 0.5:
                first = START + rng.randrange(5) * SECOND
                coverage = [Covered(Span(first, first + SECOND))]
            items.append((dataset, from_rows(rows, dataset.spec), rng.choice(ORIGINS), coverage))
    rng.shuffle(items)
    return items


def known_of(lake, dataset):
    """All that a lake knows of a dataset, besides its rows."""
    catalog = lake.engine.catalog
    row = catalog.dataset(dataset)
    facts = [
        catalog.coverage(dataset),
        [{**entry, "created_at": 0} for entry in catalog.quarantined(dataset)],
        [{**entry, "created_at": 0} for entry in catalog.revisions(dataset)],
        Batches(catalog.database).of(dataset).rows(),
    ]
    if row is not None:
        # Segments are encoded in another way, so that they have another size.
        facts.append(replace(row, id=0, bytes=0))
    return facts


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 10**9))
def test_batches_appended_together_are_what_they_are_one_by_one(seed):
    with memory_lake(clock=lambda: NOW) as lake, memory_lake(clock=lambda: NOW) as plain:
        rng = random.Random(seed)
        flushes = [random_flush(rng, "C") for _ in range(3)]
        for items in flushes:
            receipts = lake.engine.append_each(items)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("ticklake.engine.append.append_unmet", lambda *_: {})
                # Without what it knows of ids, it reads the stored rows each time.
                plain.engine.store.highest_ids.clear()
                assert plain.engine.append_each(items) == receipts
        for dataset, *_ in flushes[0]:
            assert known_of(lake, dataset) == known_of(plain, dataset)
            if lake.engine.catalog.dataset(dataset) is not None:
                assert_frame_equal(
                    lake.engine.load(dataset, provenance=True), plain.engine.load(dataset, provenance=True)
                )
        assert lake.verify(deep=True) == []


def numbered(*rows):
    """Trades given as (seconds, id)."""
    values = [(START + int(second * SECOND), None, str(number), 5.0, 1.0, "buy") for second, number in rows]
    return from_rows(values, SETS[0].spec)


def counts(receipts):
    return {(receipt.new, receipt.changed, receipt.duplicate) for receipt in receipts}


def ids_of(lake, dataset):
    return lake.load(dataset)["id"].to_list()


@pytest.fixture
def reads(lake, monkeypatch):
    """The datasets whose stored rows an append reads."""
    names = []
    snapshot = lake.engine.catalog.snapshot

    def noted(dataset, *arguments, **named):
        names.append(dataset)
        return snapshot(dataset, *arguments, **named)

    monkeypatch.setattr(lake.engine.catalog, "snapshot", noted)
    return names


def test_ids_that_go_on_are_not_compared_with_stored_rows(lake, reads):
    for first in (0, 10, 20):
        receipts = lake.engine.append_each(each(trades(first, first + 10, interval=10 * MS)))
        assert counts(receipts) == {(10, 0, 0)}
    assert reads == []
    assert ids_of(lake, SETS[0]) == trades(0, 30)["id"].to_list()
    assert lake.verify(deep=True) == []


def test_one_stream_whose_ids_go_on_is_not_compared_either(lake, reads):
    for first in (0, 10, 20):
        lake.save(SETS[0], trades(first, first + 10, interval=10 * MS))
    assert reads == []
    assert ids_of(lake, SETS[0]) == trades(0, 30)["id"].to_list()


def test_an_id_that_came_before_the_newest_row_is_found_again(lake):
    # The newest row does not have the highest id: exchanges order ids and times in their own ways.
    lake.engine.append_each(each(numbered((10.5, 7), (11, 5))))
    assert counts(lake.engine.append_each(each(numbered((11.2, 7), (11.3, 8))))) == {(1, 0, 1)}
    assert ids_of(lake, SETS[0]) == ["7", "5", "8"]


def test_ids_that_begin_anew_are_compared(lake):
    lake.engine.append_each(each(numbered((10, 700), (11, 701))))
    assert counts(lake.engine.append_each(each(numbered((11.5, 1), (11.6, 2))))) == {(2, 0, 0)}
    assert counts(lake.engine.append_each(each(numbered((11.6, 2), (11.7, 701))))) == {(0, 0, 2)}


def test_ids_that_are_no_numbers_are_compared(lake):
    rows = trades(0, 4, interval=10 * MS).with_columns(id="a" + pl.col("id"))
    lake.engine.append_each(each(rows))
    assert counts(lake.engine.append_each(each(rows))) == {(0, 0, 4)}


def test_a_refused_row_leaves_its_dataset_to_the_ordinary_way(lake, together):
    spoiled = numbered((1, 1), (2, 2)).with_columns(price=pl.Series([5.0, -5.0]))
    items = [*each(numbered((1, 1), (2, 2)), SETS[1:]), (SETS[0], spoiled, USER, ())]
    receipts = lake.engine.append_each(items)
    assert [(receipt.new, receipt.quarantined) for receipt in receipts] == [(2, 0)] * 5 + [(1, 1)]
    assert together == [5]


def test_batches_out_of_order_are_sorted_each_by_itself(lake, together):
    lake.engine.append_each(each(numbered((3, 3), (1, 1), (2, 2))))
    assert together == [6]
    assert {tuple(ids_of(lake, dataset)) for dataset in SETS} == {("1", "2", "3")}


def test_more_rows_than_an_inline_segment_has_become_files(lake, monkeypatch):
    monkeypatch.setattr(segments, "INLINE_BYTES", 1_500)
    lake.engine.append_each([*each(trades(0, 3), SETS[1:]), (SETS[0], trades(0, 40), USER, ())])
    assert ids_of(lake, SETS[0]) == trades(0, 40)["id"].to_list()
    assert [row.rows for row in lake.engine.inventory()] == [40, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 300])
def test_what_was_appended_together_is_read_after_reopening(tmp_path, rows):
    with lake_in(tmp_path / "lake") as lake:
        lake.engine.append_each(each(trades(0, rows)))
    with lake_in(tmp_path / "lake") as lake:
        assert ids_of(lake, SETS[3]) == trades(0, rows)["id"].to_list()
        assert lake.verify(deep=True) == []


def interrupted_by(lake, monkeypatch, act):
    """Let another writer act between the reads of an append and its commit, once."""
    commit = lake.engine.catalog.commit
    left = [act]

    def late(operation, changes):
        if left:
            left.pop()()
        return commit(operation, changes)

    monkeypatch.setattr(lake.engine.catalog, "commit", late)


def test_rows_that_another_writer_commits_meanwhile_are_not_doubled(tmp_path, monkeypatch):
    with lake_in(tmp_path / "lake") as lake, lake_in(tmp_path / "lake") as other:
        lake.engine.append_each(each(numbered((1, 1), (2, 2))))
        interrupted_by(lake, monkeypatch, lambda: other.engine.append_each(each(numbered((3, 3), (4, 4)))))
        receipts = lake.engine.append_each(each(numbered((2.5, 9), (3, 3), (4, 4), (5, 5))))
        assert counts(receipts) == {(2, 0, 2)}
        assert ids_of(lake, SETS[0]) == ["1", "2", "9", "3", "4", "5"]
        assert lake.verify(deep=True) == []


def test_the_highest_id_is_not_believed_after_another_writer(tmp_path, monkeypatch):
    with lake_in(tmp_path / "lake") as lake, lake_in(tmp_path / "lake") as other:
        lake.engine.append_each(each(numbered((1, 1))))
        # Later rows than those of the append, which it does not read: it must not take its own id for the highest one.
        interrupted_by(lake, monkeypatch, lambda: other.engine.append_each(each(numbered((9, 20)))))
        lake.engine.append_each(each(numbered((1.5, 2))))
        assert counts(lake.engine.append_each(each(numbered((9.1, 20), (9.2, 21))))) == {(1, 0, 1)}


def test_deleted_rows_can_be_appended_again(lake):
    lake.engine.append_each(each(numbered((1, 1), (2, 2))))
    lake.engine.delete(SETS[0], Span(START, START + 10 * SECOND))
    assert counts(lake.engine.append_each(each(numbered((1, 1), (2, 2)), SETS[:1]))) == {(2, 0, 0)}


def test_an_early_answer_does_not_replace_what_was_observed_after_it(lake):
    lake.engine.append_all([(dataset, numbered((1, 1))) for dataset in SETS], USER, observed_at=NOW - 5)
    late = numbered((1, 1), (1.5, 2)).with_columns(price=pl.lit(7.0))
    receipts = lake.engine.append_all([(dataset, late) for dataset in SETS], USER, observed_at=NOW - 10)
    assert counts(receipts) == {(1, 0, 1)}
    assert lake.load(SETS[0])["price"].to_list() == [5.0, 7.0]


def test_coverage_of_one_commit_is_that_of_several(lake):
    with memory_lake(clock=lambda: NOW) as plain:
        rounds = [
            {0: (0, 10), 1: (500, 510), 2: (0, 1)},
            {0: (10, 20), 1: (0, 600), 2: (5, 6)},
            {0: (3, 4), 1: (10, 11), 2: (1, 5)},
        ]
        for spans in rounds:
            items = []
            for number, (first, last) in spans.items():
                covered = Covered(Span(at(first), at(last)), reason="" if number else "why")
                items.append((SETS[number], SETS[number].spec.empty(), USER, [covered]))
            lake.engine.append_each(items)
            for item in items:
                plain.engine.append_each([item])
        for dataset in SETS[:3]:
            assert lake.engine.catalog.coverage(dataset) == plain.engine.catalog.coverage(dataset)
            # Each commit can be undone: what was covered before it is in the log.
            older = lake.engine.at(2, NOW).catalog.coverage(dataset)
            assert older == plain.engine.at(6, NOW).catalog.coverage(dataset)
