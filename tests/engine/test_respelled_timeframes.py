"""Lakes that were written when 60m and 1h were two datasets stay readable."""

import pytest
from engine_lakes import USER, full, lake_in
from sqlalchemy import update

from ticklake import Dataset
from ticklake.catalog import schema
from ticklake.core.span import Span
from ticklake.errors import TicklakeWarning
from ticklake.testing.rows import bars

HOURS = Dataset.parse("x:ohlcv:1h:BTC/USDT")
OLD = "x:ohlcv:60m:BTC/USDT"


def spelled_as_before(root):
    """A lake whose hourly bars are called by minutes."""
    with lake_in(root) as lake:
        lake.save(HOURS, bars(0, 60 * 24, step=60))
        with lake.engine.catalog.database.write() as connection:
            connection.execute(update(schema.datasets).values(name=OLD, timeframe="60m"))


def test_a_dataset_of_60m_is_found_as_1h(root):
    spelled_as_before(root)
    with lake_in(root) as lake:
        assert lake.datasets() == [HOURS]
        assert lake.load(OLD).equals(full(bars(0, 60 * 24, step=60)))
        assert lake.save(HOURS, bars(0, 60 * 30, step=60)).new == 6
        assert lake.at(1).load(HOURS).height == 24


def test_beside_one_of_1h_it_is_kept_apart_and_said(root):
    spelled_as_before(root)
    with lake_in(root) as lake:
        pass
    with lake_in(root) as lake:
        lake.save("x:ohlcv:5m:A/B", bars(0, 1))
        with lake.engine.catalog.database.write() as connection:
            connection.execute(
                update(schema.datasets).where(schema.datasets.c.name == str(HOURS)).values(name=OLD, timeframe="60m")
            )
        lake.engine.append(HOURS, bars(0, 120, step=60), USER)
    with pytest.warns(TicklakeWarning, match="60m:BTC/USDT has the length of another dataset.*it is called"):
        lake = lake_in(root)
    with lake:
        assert lake.load(HOURS).height == 2
        assert lake.load("x:ohlcv:1h:BTC/USDT (60m)").height == 24


def test_notes_on_the_new_name_do_not_keep_a_lake_from_opening(root):
    spelled_as_before(root)
    with lake_in(root) as lake, lake.engine.catalog.database.write() as connection:
        connection.execute(update(schema.datasets).values(name=OLD, timeframe="60m"))
        for name, end in ((OLD, 24), (str(HOURS), 9)):
            connection.execute(schema.wanted.insert(), {"dataset": name, "start": 0, "end": end})
    with lake_in(root) as lake:
        assert lake._collector.gap_notes.wanted(HOURS) == Span(0, 24)
