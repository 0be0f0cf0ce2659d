"""Whatever is appended, deleted, compacted, vacuumed and asked in whatever order, a lake is what the documents say."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, rule
from lake_batches import (
    INSTANTS,
    MINUTES,
    bar_batches,
    book_batches,
    id_batches,
    print_batches,
    several,
)
from lake_machine import LakeMachine
from lake_model import Bars, Book, TradesById, TradesByPrint

from ticklake.core.dataset import Dataset


class BarHistory(LakeMachine):
    dataset = Dataset.parse("x:ohlcv:1m:BTC/USDT")
    bounds = MINUTES
    new_model = Bars

    @initialize(batches=several(bar_batches))
    def begin(self, batches):
        self.save_all(batches)

    @rule(batches=several(bar_batches))
    def append(self, batches):
        self.save_all(batches)


class BarFileHistory(BarHistory):
    """The same where nearly every batch becomes files."""

    inline_rows = 1


class IdHistory(LakeMachine):
    """Trades told apart by id, because the first rows had one each."""

    dataset = Dataset.parse("x:trades:BTC/USDT:USDT")
    bounds = INSTANTS
    new_model = TradesById

    @initialize(batches=several(id_batches))
    def begin(self, batches):
        self.save_all(batches)

    @rule(batches=several(id_batches))
    def append(self, batches):
        self.save_all(batches)

    def admitted(self, rows):
        return rows if self.decided else [row for row in rows if row["id"] is not None]


class PrintHistory(LakeMachine):
    """Trades told apart by print, because a row of the first batch had no id."""

    dataset = Dataset.parse("x:trades:BTC/USDT:USDT")
    bounds = INSTANTS
    new_model = TradesByPrint

    @initialize(batches=several(print_batches))
    def begin(self, batches):
        self.save_all(batches)

    @rule(batches=several(print_batches))
    def append(self, batches):
        self.save_all(batches)

    def admitted(self, rows):
        return rows if self.decided else [{**row, "id": None} for row in rows]


class BookHistory(LakeMachine):
    dataset = Dataset.parse("x:book:BTC/USDT")
    bounds = INSTANTS
    new_model = Book

    @initialize(batches=several(book_batches))
    def begin(self, batches):
        self.save_all(batches)

    @rule(batches=several(book_batches))
    def append(self, batches):
        self.save_all(batches)


class BookFileHistory(BookHistory):
    inline_rows = 1


HISTORIES = (BarHistory, BarFileHistory, IdHistory, PrintHistory, BookHistory, BookFileHistory)
_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
SHORT = settings(max_examples=20, stateful_step_count=14, **_COMMON)
LONG = settings(max_examples=500, stateful_step_count=40, **_COMMON)


def _case(machine, how, mark=lambda case: case):
    case = type(f"Test{machine.__name__}", (machine.TestCase,), {"settings": how})
    return mark(case)


for _machine in HISTORIES:
    globals()[f"Test{_machine.__name__}"] = _case(_machine, SHORT)
    globals()[f"TestLong{_machine.__name__}"] = _case(_machine, LONG, pytest.mark.soak)
del _machine
