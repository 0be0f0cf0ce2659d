"""Books that are collected live are, at every instant, those that the feed followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from ticklake import StreamRequest
from ticklake.app import open_lake
from ticklake.config import LiveSettings
from ticklake.core.time import SECOND, parse_time
from ticklake.query import book_checkpoints
from ticklake.sources.live import books
from ticklake.sources.wire.reading import Mark
from ticklake.sources.wire.rows import Row
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.server import SimulatedExchange

from ..conftest import settings_for
from .test_streaming import NOW, collecting, wait_for

QUICK = LiveSettings(flush_rows=20, flush_seconds=0.1, fill_delay=0.05, checkpoint_seconds=30)
Sides = list[list[tuple[float, float]]]


@pytest.fixture
def exchange(market) -> Iterator[SimulatedExchange]:
    simulated = SimulatedExchange(market, SimulatedClock(parse_time(NOW)))
    with simulated.running():
        yield simulated


@pytest.fixture
def followed(monkeypatch) -> dict[int, Sides]:
    """Collect the books of the feed after each message, by its time."""
    found: dict[int, Sides] = {}
    check = books.Book.check

    def collect(self: books.Book, mark: Mark, rows: Sequence[Row]) -> str:
        verdict = check(self, mark, rows)
        ladder = self.prover.ladder(self.stream.native, mark.channel)
        if verdict == "follows" and ladder is not None and rows:
            sides = [ladder.top(side, 10**6) for side in ("bid", "ask")]
            found[rows[0].values[0]] = [[(float(price), float(amount)) for price, amount in side] for side in sides]
        return verdict

    monkeypatch.setattr(books.Book, "check", collect)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "symbol"), [pytest.param("binance", "BTC/USDT", marks=pytest.mark.trials), ("kraken", "BTC/USD")]
)
def test_a_live_book_is_that_of_the_feed_at_every_instant(name, symbol, exchange, followed, tmp_path, monkeypatch):
    monkeypatch.setattr(book_checkpoints, "_ROWS_A_LEVEL", 0)
    settings = settings_for(exchange.url).model_copy(update={"live": QUICK})
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        dataset = f"{name}:book:{symbol}"
        with collecting(lake, StreamRequest.of(name, symbol, ["book"])) as watching:
            wait_for(lambda: len(followed) > 25, exchange)
            exchange.faults = Faults(seed=3, socket_drop=1.0)
            wait_for(lambda: watching.status[0].reconnects > 0, exchange)
            exchange.faults = Faults()
            # The book begins anew, and is followed for a while.
            begun = max(followed)
            wait_for(lambda: watching.status[0].state == "live" and max(followed) > begun, exchange)
            seen = len(followed)
            wait_for(lambda: len(followed) > seen + 25, exchange)
        rows = lake.load(dataset)
        times = [ts for ts in rows["ts"].to_physical().unique().sort() if ts in followed]
        assert len(times) > 40
        for compacted in (False, True):
            if compacted:
                lake.compact()
            for ts in times[:: len(times) // 40]:
                book = lake.book(name, symbol, ts, knowledge="event")
                assert [book.bids.rows(), book.asks.rows()] == followed[ts]
        since = rows.filter("is_snapshot")["ts"].to_physical()[-1]
        after = [ts for ts in times if ts > since][:-1]
        assert {lake.book(name, symbol, ts, knowledge="event").proof for ts in after[-20:]} == {"proven"}
        written = [item.key for item in lake.engine.objects.list("checkpoints")]
        assert not any("live" in key for key in written)
        before = times[len(times) // 2]
        assert lake.book(name, symbol, before - SECOND, knowledge="event").height
