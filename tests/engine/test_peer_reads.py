"""A gap report on a whole exchange reads each of its datasets once, not once for each of the others."""

from collections import Counter

import polars as pl
import pytest
from engine_lakes import USER, span

from ticklake.audit import peers
from ticklake.catalog.catalog import Catalog
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.outage import SilentBars
from ticklake.core.span import Span
from ticklake.testing.rows import bars

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
    counted(peers, "load")
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


def test_little_is_cached_and_nothing_is_answered_differently(lake, exchange, monkeypatch):
    before = [lake.gaps(dataset) for dataset in exchange]
    lake.engine._derived.clear()
    monkeypatch.setattr(peers, "_MOST", 900)
    assert [lake.gaps(dataset) for dataset in exchange] == before
    assert sum(weight for _, weight in lake.engine._derived["peers"][1]._cache.values()) <= 900


def test_outages_do_not_depend_on_where_blocks_end(lake, exchange, monkeypatch):
    before = [lake.gaps(dataset) for dataset in exchange]
    lake.engine._derived.clear()
    monkeypatch.setattr("ticklake.audit.outages._BLOCK", 7)
    assert [lake.gaps(dataset) for dataset in exchange] == before


def test_symbols_are_held_against_all_others_at_once(lake, exchange, monkeypatch):
    """Each against each takes hours where an exchange has a thousand symbols."""
    asked = Counter()
    original = SilentBars.ask

    def counted(self, *args):
        asked["ask"] += 1
        return original(self, *args)

    monkeypatch.setattr(SilentBars, "ask", counted)
    assert all(lake.gaps(dataset)[0].reason == "outage" for dataset in exchange)
    assert asked["ask"] == MANY


def test_weeks_have_blocks_that_reach_beyond_all_time(lake):
    for number in range(3):
        weeks = Dataset.parse(f"x:ohlcv:1w:S{number}/USDT")
        opens = weeks.timeframe.opens(Span.parse("2023-01-02", "2024-01-01"))
        rows = bars(0, opens.len()).with_columns(ts=opens.cast(pl.Datetime("ns", "UTC")))
        lake.engine.append(
            weeks, rows.filter(pl.int_range(pl.len()) != 20), USER, [Covered(Span.parse("2023-01-02", "2024-01-01"))]
        )
    assert [gap.missing for gap in lake.gaps(weeks)] == [1]
