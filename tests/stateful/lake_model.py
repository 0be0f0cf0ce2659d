"""What the documents say a lake does with rows, in plain Python: dictionaries, no frames.

A row is a dictionary of the kind's public columns with times as integers. Sources of the rules: docs/explanation,
docs/format, docs/reference/kinds.md, docs/adr/0005, and the docstrings of the public functions.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import count, pairwise

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
SECOND = 10**9
YEAR_1971 = 365 * DAY
LOWEST = -(2**63) + 1
"""The first instant that a lake can tell: the beginning of all time."""


@dataclass
class Outcome:
    """What an append should report and leave in the logs."""

    received: int = 0
    new: int = 0
    changed: int = 0
    duplicate: int = 0
    quarantined: int = 0
    revisions: list = field(default_factory=list)
    refused: list = field(default_factory=list)

    @property
    def counts(self):
        return (self.received, self.new, self.changed, self.duplicate, self.quarantined)


@dataclass(frozen=True)
class Told:
    """A row that the lake holds, and when it came: rows of one instant stand in the order they came."""

    row: dict
    arrival: int


class Model:
    """One dataset: rows by natural key; a known key with other values replaces, the same values change nothing."""

    key = ("ts",)
    order = ("ts",)
    ignored = ("received_at",)
    required = ("ts",)

    def __init__(self, now):
        self.now = now
        self.held = {}
        self._arrivals = count()

    def rows(self):
        """The rows as a reader sees them."""
        told = sorted(self.held.values(), key=lambda one: (*(one.row[name] for name in self.order), one.arrival))
        return [one.row for one in told]

    def append(self, batch):
        """Take a batch in; return what must be reported of it."""
        batch = [_unknown_is_null(row) for row in batch]
        done = Outcome(received=len(batch))
        for row in batch:
            if reasons := self.reasons(row):
                done.refused.append((row, reasons))
        done.quarantined = len(done.refused)
        good = [row for row in batch if not self.reasons(row)]
        good.sort(key=lambda row: tuple(row[name] for name in self.order))
        for key, told in self._by_key(self.identified(good), done).items():
            self._take(key, told, done)
        return done

    def delete(self, start, end):
        """Forget the rows in ``[start, end)``; return how many went."""
        gone = [key for key, told in self.held.items() if start <= told.row["ts"] < end]
        for key in gone:
            del self.held[key]
        return len(gone)

    def reasons(self, row):
        """Every documented reason for which the row cannot be true."""
        wrong = {f"no_{name}" for name in self.required if row[name] is None}
        wrong |= {f"infinite_{name}" for name, value in row.items() if isinstance(value, float) and math.isinf(value)}
        ts = row["ts"]
        if ts is not None and 0 <= ts < YEAR_1971:
            wrong.add("time_in_1970")
        if ts is not None and ts > self.now() + DAY:
            wrong.add("time_in_future")
        return wrong

    def identified(self, rows):
        """Pair each row with what identifies it."""
        return [(tuple(row[name] for name in self.key), row) for row in rows]

    def says_nothing_new(self, row, held):
        """Whether every value that *row* knows is the one that is held."""
        names = [name for name in row if name not in self.key and name not in self.ignored]
        return all(row[name] is None or row[name] == held[name] for name in names)

    def _by_key(self, identified, done):
        """What the batch tells of each key: the rows that differ from the one before them."""
        told = {}
        for key, row in identified:
            mine = told.setdefault(key, [])
            if mine and self.says_nothing_new(row, mine[-1].row):
                done.duplicate += 1
            else:
                mine.append(Told(row, next(self._arrivals)))
        return told

    def _take(self, key, told, done):
        """The last word of the batch counts; if the lake knows it, the batch changed nothing."""
        held, last = self.held.get(key), told[-1]
        if held and self.says_nothing_new(last.row, held.row):
            done.duplicate += len(told)
            return
        done.new += held is None
        done.changed += len(told) - (held is None)
        done.revisions += [(older.row, newer.row) for older, newer in pairwise(told)]
        if held:
            done.revisions.append((held.row, last.row))
        self.held[key] = last


class Bars(Model):
    """Bars of one minute."""

    required = ("ts", "open", "high", "low", "close")

    def reasons(self, row):
        wrong = super().reasons(row)
        high, low, ends = row["high"], row["low"], (row["open"], row["close"])
        if _less(high, low):
            wrong.add("high_below_low")
        if any(_less(high, end) for end in ends):
            wrong.add("high_below_open_or_close")
        if any(_less(end, low) for end in ends):
            wrong.add("low_above_open_or_close")
        if _less(low, 0):
            wrong.add("negative_price")
        if _less(row["volume"], 0) or _less(row["quote_volume"], 0):
            wrong.add("negative_volume")
        if row["ts"] is not None and row["ts"] % MINUTE:
            wrong.add("off_grid")
        return wrong


class Trades(Model):
    """What is common to trades however they are told apart."""

    required = ("ts", "price", "amount")

    def reasons(self, row):
        wrong = super().reasons(row)
        if row["side"] not in {None, "buy", "sell"}:
            wrong.add("unknown_side")
        if row["price"] is not None and row["price"] <= 0:
            wrong.add("price_not_positive")
        if row["amount"] is not None and row["amount"] <= 0:
            wrong.add("amount_not_positive")
        return wrong


class TradesById(Trades):
    """Trades told apart by (ts, id); an id within a second of where the lake knows it is the same trade."""

    key = ("ts", "id")

    def reasons(self, row):
        return super().reasons(row) | ({"no_id"} if row["id"] is None else set())

    def identified(self, rows):
        known = [{**row, "ts": self._known_time(row)} for row in rows]
        return super().identified(sorted(known, key=lambda row: row["ts"]))

    def _known_time(self, row):
        times = [ts for ts, name in self.held if name == row["id"] and abs(ts - row["ts"]) <= SECOND]
        return min(times, key=lambda ts: abs(ts - row["ts"]), default=row["ts"])


class TradesByPrint(Trades):
    """Trades without ids: identical prints of one batch are numbered."""

    key = ("ts", "price", "amount", "side")

    def identified(self, rows):
        seen = Counter()
        for key, row in super().identified(rows):
            yield (*key, seen[key]), row
            seen[key] += 1


class Book(Model):
    """Levels of an order book, in the order of the exchange's sequence numbers."""

    key = ("ts", "seq", "side", "price")
    order = ("ts", "seq")
    required = ("ts", "seq", "side", "price", "amount", "is_snapshot")

    def reasons(self, row):
        wrong = super().reasons(row)
        if row["side"] not in {None, "bid", "ask"}:
            wrong.add("unknown_side")
        if row["price"] is not None and row["price"] <= 0:
            wrong.add("price_not_positive")
        if _less(row["amount"], 0):
            wrong.add("negative_amount")
        return wrong


def _less(left, right):
    return left is not None and right is not None and left < right


def _unknown_is_null(row):
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
