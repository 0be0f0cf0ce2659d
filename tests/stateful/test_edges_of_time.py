"""The first and the last instants of 64-bit nanoseconds: stored and shown, or refused, never half."""

import polars as pl
import pytest
from lake_machine import frame_of, limit_inline_rows
from lake_model import LOWEST, MINUTE

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.errors import TicklakeError

BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
TRADES = Dataset.parse("x:trades:BTC/USDT")
FIRST_MINUTE = -(-LOWEST // MINUTE) * MINUTE
HIGHEST = 2**63 - 1


@pytest.fixture
def lake():
    with memory_lake(Settings()) as lake:
        yield lake


@pytest.fixture
def far():
    """A lake whose clock has come to the end of time."""
    with memory_lake(Settings(), clock=lambda: HIGHEST - 86_400 * 10**9) as lake:
        yield lake


def bars(*times):
    return frame_of([{"ts": ts, **dict.fromkeys(("open", "high", "low", "close"), 1.0)} for ts in times], BARS)


def trade(ts):
    frame = pl.DataFrame({"ts": pl.Series([ts], dtype=pl.Int64).cast(TIME), "id": ["1"]})
    return frame.with_columns(price=1.0, amount=1.0)


def shown_or_refused(lake, frame):
    """Whether what was acknowledged as new is read back."""
    try:
        receipt = lake.save(TRADES, frame)
    except TicklakeError:
        return True
    return lake.load(TRADES).height == receipt.new == lake.inventory()["rows"].sum()


def test_bars_of_the_first_minutes_are_kept_and_compacted(lake):
    lake.save(BARS, bars(FIRST_MINUTE, FIRST_MINUTE + MINUTE))
    lake.compact()
    assert lake.load(BARS).equals(bars(FIRST_MINUTE, FIRST_MINUTE + MINUTE))
    assert lake.verify(deep=True) == []


def test_bars_of_the_first_minutes_can_become_a_file(lake, monkeypatch):
    assert limit_inline_rows(monkeypatch, 1)
    assert lake.save(BARS, bars(FIRST_MINUTE, FIRST_MINUTE + MINUTE)).new == 2
    assert lake.load(BARS).height == 2


def test_the_first_instant_of_all_is_shown(lake):
    assert lake.save(TRADES, trade(LOWEST)).new == 1
    assert lake.load(TRADES)["ts"].to_physical().to_list() == [LOWEST]
    assert lake.delete(TRADES) == 1


def test_an_instant_before_all_time_is_not_acknowledged_into_nowhere(lake):
    assert shown_or_refused(lake, trade(LOWEST - 1))


def test_an_instant_after_all_time_is_not_acknowledged_into_nowhere(far):
    assert shown_or_refused(far, trade(HIGHEST))


def test_the_last_instant_of_all_is_shown(far):
    assert far.save(TRADES, trade(HIGHEST - 1)).new == 1
    assert far.load(TRADES)["ts"].to_physical().to_list() == [HIGHEST - 1]
