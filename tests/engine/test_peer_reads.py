"""A gap report on a whole exchange reads each of its datasets once, not once for each of the others."""

from collections import Counter

import pytest
from engine_lakes import USER, bars, span

from ticklake.catalog.catalog import Catalog
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.engine import peer_reads, scanning

MANY = 12


@pytest.fixture
def exchange(lake):
    """Symbols of one exchange that are all silent in the same ten minutes."""
    names = [Dataset.parse(f"x:ohlcv:1m:S{number}/USDT") for number in range(MANY)]
    for dataset in names:
        lake.engine.append(dataset, bars(0, 400), USER)
        lake.engine.append(dataset, bars(410, 800), USER, [Covered(span(0, 800))])
    return names


@pytest.fixture
def calls(monkeypatch):
    counts = Counter()

    def counted(where, name):
        original = getattr(where, name)

        def call(*args, **kwargs):
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(where, name, call)

    counted(Catalog, "alike")
    counted(Catalog, "coverage")
    counted(peer_reads, "load")
    return counts


def test_each_dataset_is_read_once_for_all_others(lake, exchange, calls):
    found = [lake.gaps(dataset) for dataset in exchange]
    assert {(gap.span, gap.reason.value) for gaps in found for gap in gaps} == {(span(400, 410), "outage")}
    assert calls["alike"] == 1
    assert calls["load"] == MANY
    assert calls["coverage"] <= 2 * MANY + MANY


def test_what_was_read_is_read_anew_after_a_commit(lake, exchange):
    assert lake.gaps(exchange[0])[0].reason == "outage"
    lake.engine.append(exchange[-1], bars(400, 410), USER)
    assert lake.gaps(exchange[0])[0].reason == "no_trades"


def test_little_is_kept_and_nothing_is_answered_differently(lake, exchange, monkeypatch):
    before = [lake.gaps(dataset) for dataset in exchange]
    lake.engine._reads = None
    monkeypatch.setattr(peer_reads, "_MOST", 900)
    assert [lake.gaps(dataset) for dataset in exchange] == before
    assert sum(weight for _, weight in lake.engine._reads._kept.values()) <= 900


def test_bars_of_many_blocks_are_those_of_the_spans(lake, exchange, monkeypatch):
    monkeypatch.setattr(peer_reads, "_BLOCK", 7)
    reads = peer_reads.PeerReads(lake.engine._store, lake.engine.catalog.version())
    spans = [span(3, 20), span(20, 29), span(390, 420)]
    whole = scanning.load(lake.engine._store, exchange[0], span(0, 800), columns=["ts"])["ts"].to_physical()
    expected = [ts for ts in whole if any(ts in one for one in spans)]
    assert reads.bars(exchange[0], spans, 60 * 10**9).to_list() == expected
