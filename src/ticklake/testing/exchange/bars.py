"""Bars as they form: what a stream of bars sends between two instants."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from ticklake.core.dataset import Dataset
from ticklake.core.symbol import Symbol
from ticklake.core.time import SECOND
from ticklake.core.timeframe import Timeframe
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.tape import Tape

__all__ = ["BarStream", "BarUpdate", "FormingBar", "contract_size"]


def contract_size(symbol: Symbol) -> float | None:
    """Return how many dollars a contract is whose amounts count contracts (COIN-M); ``None`` if amounts are of the base currency."""
    if symbol.market_type == "spot" or symbol.settle != symbol.base:
        return None
    return 100.0 if symbol.base == "BTC" else 10.0


@dataclass
class FormingBar:
    """A bar of the trades so far. Volumes are of the base and of the quote currency, whatever amounts of trades count."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    first_id: int = -1
    last_id: int = -1

    @classmethod
    def of(cls, tape: Tape, places: range, contract: float | None = None) -> FormingBar:
        """Return the bar of some trades in a row, of which there is at least one; amounts may be contracts of so many dollars."""
        prices = tape.prices[places.start : places.stop]
        amounts = tape.amounts[places.start : places.stop]
        volume = sum(amounts)
        quote_volume = sum(price * amount for price, amount in zip(prices, amounts, strict=True))
        if contract is not None:
            volume = sum(amount * contract / price for price, amount in zip(prices, amounts, strict=True))
            quote_volume = sum(amounts) * contract
        return cls(
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            # As the bars of the market are rounded.
            round(volume, 5),
            round(quote_volume, 7),
            len(prices),
            tape.ids[places.start],
            tape.ids[places.stop - 1],
        )


class BarUpdate(NamedTuple):
    """A bar at an instant: forming, or final at its end."""

    ts: int
    opened: int
    bar: FormingBar
    is_final: bool


class BarStream:
    """The bars of one symbol and timeframe: forming ones at each second with trades, final ones as the calls have them."""

    def __init__(
        self,
        market: Market,
        exchange: str,
        symbol: Symbol,
        timeframe: Timeframe,
        tape: Tape,
    ) -> None:
        self.timeframe = timeframe
        self._tape = tape
        self._contract = contract_size(symbol)
        self._anchor = Dataset(exchange, "ohlcv", symbol, timeframe).anchor
        rows = market.rows(exchange, symbol, "ohlcv", timeframe)
        self._opened: list[int] = rows["ts"].to_physical().to_list()
        self._rows = rows

    def updates(self, start: int, end: int) -> list[BarUpdate]:
        """Return what happens after *start*, up to *end*, in time order."""
        found = [*self._final(start, end), *self._forming(start, end)]
        found.sort(key=lambda update: update.ts)
        return found

    def _final(self, start: int, end: int) -> list[BarUpdate]:
        # A bar is over a timeframe after it opened: search by opens, a bar earlier.
        place = bisect_right(self._opened, self.timeframe.floor(start, self._anchor) - 1)
        place = max(place - 1, 0)
        updates: list[BarUpdate] = []
        while place < len(self._opened):
            opened = self._opened[place]
            over = self.timeframe.next(opened, self._anchor)
            if over > end:
                break
            if over > start:
                updates.append(BarUpdate(over, opened, self.final_bar(place), True))
            place += 1
        return updates

    def recent(self, now: int, count: int) -> list[BarUpdate]:
        """Return the newest bars at *now*, the forming one last."""
        newest = bisect_right(self._opened, now)
        updates: list[BarUpdate] = []
        for place in range(max(newest - count, 0), newest):
            opened = self._opened[place]
            if self.timeframe.is_over(opened, now, self._anchor):
                updates.append(BarUpdate(now, opened, self.final_bar(place), True))
            else:
                bar = self._bar_until(opened, now)
                if bar is not None:
                    updates.append(BarUpdate(now, opened, bar, False))
        return updates

    def final_bar(self, place: int) -> FormingBar:
        """Return a bar of the market by its place."""
        row = self._rows.row(place, named=True)
        opened = self._opened[place]
        bar = FormingBar(
            row["open"],
            row["high"],
            row["low"],
            row["close"],
            row["volume"] or 0.0,
            row["quote_volume"] or 0.0,
            int(row["trades"] or 0),
        )
        inside = self._tape.since(opened, self.timeframe.next(opened, self._anchor) - 1)
        if inside:
            bar.first_id, bar.last_id = self._tape.ids[inside.start], self._tape.ids[inside.stop - 1]
        return bar

    def _forming(self, start: int, end: int) -> list[BarUpdate]:
        seconds: list[int] = []
        # A trade shows at the next whole second, so that those just before start count.
        for place in self._tape.between(start // SECOND * SECOND - 1, end):
            second = -(-self._tape.ts[place] // SECOND) * SECOND
            if start < second <= end and (not seconds or seconds[-1] != second):
                seconds.append(second)
        updates: list[BarUpdate] = []
        for second in seconds:
            last = self._tape.ts[bisect_right(self._tape.ts, second) - 1]
            opened = self.timeframe.floor(last, self._anchor)
            if not self.timeframe.is_over(opened, second, self._anchor):
                bar = self._bar_until(opened, second)
                if bar is not None:
                    updates.append(BarUpdate(second, opened, bar, False))
        return updates

    def _bar_until(self, opened: int, now: int) -> FormingBar | None:
        places = self._tape.since(opened, now)
        if not places:
            return None
        return FormingBar.of(self._tape, places, self._contract)
