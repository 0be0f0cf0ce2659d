"""Rows that share the instant of the first row of a stream."""

from ticklake.app import memory_lake
from ticklake.core.batch import from_rows
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import GapReason
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import SECOND
from ticklake.testing.rows import START

TRADES = Dataset.parse("kraken:trades:BTC/USD")


def stored(lake, *trades):
    """Store trades as two collectors left them: the second one's coverage begins after the instant of its first row."""
    rows = [(START + second * SECOND, None, str(number), "10", "1", "buy") for number, second in trades]
    covered = [Covered(Span(START + 1, START + 9 * SECOND))]
    lake.engine.append(TRADES, from_rows(rows, TRADES.spec), Provenance("live", "kraken socket", "test"), covered)


def test_a_number_that_is_missing_at_the_first_instant_is_named():
    with memory_lake() as lake:
        stored(lake, (1, 0), (2, 0), (4, 0), (5, 3), (6, 9))
        (gap,) = lake.gaps(TRADES)
        assert (gap.span, gap.missing, gap.reason) == (Span(START, START + 1), 1, GapReason.NOT_FETCHED)


def test_without_a_jump_of_numbers_nothing_is_missing_there():
    with memory_lake() as lake:
        stored(lake, (1, 0), (2, 0), (3, 0), (4, 3), (5, 9))
        assert lake.gaps(TRADES) == []


def test_the_order_in_which_trades_of_an_instant_came_hides_none_that_is_missing():
    with memory_lake() as lake:
        stored(lake, (5, 0))
        stored(lake, (1, 0), (2, 0), (3, 0), (6, 3), (7, 9))
        (gap,) = lake.gaps(TRADES)
        assert (gap.missing, gap.detail) == (1, "trade ids 4 to 4 are missing")
