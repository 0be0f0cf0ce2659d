from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from ticklake.app import memory_lake
from ticklake.collect.capture import Capture
from ticklake.collect.live import LiveService
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.streams import LiveOptions
from ticklake.core.time import DAY, MINUTE, SECOND
from ticklake.engine.delete import DELETED
from ticklake.errors import CatalogBusy, DiskFull, DiskTooSmall, SourceUnavailable
from ticklake.sources.live.base import Control, Feed, LiveMessage, Sink, Subscription
from ticklake.sources.wire.rows import Row
from ticklake.testing.rows import START, trades

TRADES = Dataset.parse("x:trades:BTC/USDT")
BARS = Dataset.parse("x:ohlcv:1m:BTC/USDT")
BOOK = Dataset.parse("x:book:BTC/USDT")
NAMES = {
    ("trades", "BTCUSDT", ""): TRADES,
    ("ohlcv", "BTCUSDT", "1m"): BARS,
    ("book", "BTCUSDT", ""): BOOK,
}
QUICK = LiveOptions(flush_rows=10, flush_seconds=0.05, fill_delay=0.0, store_retry=1.0)


class ScriptedFeed(Feed):
    """Delivers messages, then waits until it is cancelled, or ends."""

    def __init__(self, messages: Sequence[LiveMessage], *, ends: bool = True) -> None:
        self.exchange = "x"
        self.datasets = NAMES
        self.subscriptions = tuple(Subscription(dataset) for dataset in NAMES.values())
        self.messages, self.ends = messages, ends
        self.all_delivered = asyncio.Event()

    async def run(self, sink: Sink) -> None:
        for message in self.messages:
            await sink.put(self, message)
            await asyncio.sleep(0)
        self.all_delivered.set()
        if not self.ends:
            await asyncio.Event().wait()


def trade(number: int) -> Row:
    ts = START + number * SECOND
    return Row("trades", "BTCUSDT", (ts, ts + 1000, str(number), "100.5", "2", "buy"))


def rows(first: int, last: int) -> list[LiveMessage]:
    """One message a trade."""
    return [LiveMessage(START + number * SECOND, [trade(number)]) for number in range(first, last)]


def control(name, **details) -> LiveMessage:
    return LiveMessage(START, controls=[Control(name, START, **details)])


SUBSCRIBED = control("subscribed")


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: START + 1000 * SECOND) as lake:
        yield lake


def collect(lake, messages, fill=None, options=QUICK, **more):
    """Run the service until its feed has ended, and return it."""

    async def ignore(dataset, span):
        pass

    async def go():
        service = LiveService(lake.engine, fill or ignore, options, clock=lambda: START + 1000 * SECOND, **more)
        await service.run([ScriptedFeed(messages)])
        return service

    return asyncio.run(go())


def status_of(service, dataset):
    return next(status for status in service.status() if status.dataset == str(dataset))


def spans(lake, dataset, found=Found.DATA):
    unit = SECOND
    return [
        ((span.start - START) // unit, (span.end - START) // unit)
        for span in lake.engine.catalog.coverage(dataset).spans(found)
    ]


def test_rows_are_committed_with_the_time_that_they_cover(lake):
    collect(lake, [SUBSCRIBED, *rows(1, 31)])
    assert lake.load(TRADES)["id"].to_list() == [str(number) for number in range(1, 31)]
    # The instant of the newest row is not covered: other rows may share it.
    assert spans(lake, TRADES) == [(1, 30)]


def test_ids_of_another_numbering_are_kept_apart_and_end_no_other_stream(lake):
    def numbered(first, last, space):
        return [each._replace(rows=[each.rows[0]._replace(space=space)]) for each in rows(first, last)]

    bar = Row("ohlcv", "BTCUSDT", (START, 1, 1, 1, 1, 1, None, None), "1m")
    messages = [*numbered(1, 3, "raw"), *numbered(3, 5, "agg"), LiveMessage(START, [bar]), *numbered(5, 25, "agg")]
    service = collect(lake, [SUBSCRIBED, *messages])
    assert lake.load(TRADES)["id"].to_list() == ["1", "2"]
    status = status_of(service, TRADES)
    assert (status.received, status.stored, status.quarantined, status.waiting) == (24, 2, 22, 0)
    assert "holds 'raw' trade ids and these are 'agg'" in status.text
    # Nothing says that their time is covered.
    assert all(end <= 3 for _, end in spans(lake, TRADES))
    assert status_of(service, BARS).stored == 1


def test_rows_before_the_acknowledgement_are_stored_and_cover_nothing(lake):
    collect(lake, [*rows(1, 5), SUBSCRIBED, *rows(5, 10)])
    assert lake.load(TRADES).height == 9
    assert spans(lake, TRADES) == [(5, 9)]


def test_a_lost_connection_leaves_a_hole_that_is_asked_for(lake):
    asked = []

    async def fill(dataset, span):
        asked.append((dataset, span))

    messages = [SUBSCRIBED, *rows(1, 5), control("disconnected", text="reset"), SUBSCRIBED, *rows(8, 12)]
    service = collect(lake, messages, fill)
    # Other trades may share the times of those beside the hole.
    assert asked == [(TRADES, Span(START + 4 * SECOND, START + 8 * SECOND + 1))]
    assert spans(lake, TRADES) == [(1, 4), (8, 11)]
    assert spans(lake, TRADES, Found.NOT_FETCHED) == [(4, 8)]
    assert status_of(service, TRADES).gaps == 1


def test_a_hole_in_a_book_is_lost_with_its_reason(lake):
    def level(number):
        ts = START + number * SECOND
        return LiveMessage(ts, [Row("book", "BTCUSDT", (ts, ts, number, "bid", "9.5", "1", None, number == 1))])

    hole = Span(START + 2 * SECOND, START + 6 * SECOND)
    gap = LiveMessage(START, [], [Control("gap", START, BOOK, "a message is missing", hole, 3, 5)])
    collect(lake, [SUBSCRIBED, level(1), level(2), gap, level(6), level(7)])
    lost = [piece for piece in lake.engine.catalog.coverage(BOOK).pieces if piece.found is Found.LOST]
    assert [piece.span for piece in lost] == [hole]
    assert "no book of the past" in lost[0].reason


def test_what_another_collector_has_is_not_lost(lake):
    def level(number):
        ts = START + number * SECOND
        return LiveMessage(ts, [Row("book", "BTCUSDT", (ts, ts, number, "bid", "9.5", "1", None, False))])

    collect(lake, [SUBSCRIBED, *(level(number) for number in range(1, 11))])
    hole = Span(START + 2 * SECOND, START + 6 * SECOND)
    gap = LiveMessage(START, [], [Control("gap", START, BOOK, "a message is missing", hole, 3, 5)])
    collect(lake, [SUBSCRIBED, level(1), level(2), gap, *(level(number) for number in range(6, 12))])
    assert spans(lake, BOOK, Found.LOST) == []


def test_a_fill_that_fails_for_good_is_lost_and_one_that_may_pass_is_tried_again(lake):
    tries = []

    async def fill(dataset, span):
        tries.append(span)
        raise SourceUnavailable("the exchange is away")

    collect(lake, [SUBSCRIBED, *rows(1, 5), control("disconnected"), SUBSCRIBED, *rows(8, 12)], fill)
    assert len(tries) == 3
    assert spans(lake, TRADES, Found.LOST) == [(4, 8)]


def test_collecting_again_asks_for_the_time_in_between(lake):
    asked = []

    async def fill(dataset, span):
        asked.append(span)

    collect(lake, [SUBSCRIBED, *rows(1, 5)])
    collect(lake, [SUBSCRIBED, *rows(50, 60)], fill)
    assert asked == [Span(START + 4 * SECOND, START + 50 * SECOND + 1)]


def test_bars_cover_their_whole_length(lake):
    def bar(number):
        ts = START + number * MINUTE
        return LiveMessage(ts, [Row("ohlcv", "BTCUSDT", (ts, "1", "2", "0.5", "1.5", "10", None, 7), "1m")])

    collect(lake, [SUBSCRIBED, bar(0), bar(1), bar(2)])
    assert lake.load(BARS)["close"].to_list() == [1.5] * 3
    assert spans(lake, BARS) == [(0, 180)]


def test_counters_balance(lake):
    bad = Row("trades", "BTCUSDT", (START + 5 * SECOND, START, "5", "-1", "2", "buy"))
    messages = [
        SUBSCRIBED,
        *rows(1, 5),
        *rows(3, 5),
        LiveMessage(START, [bad]),
        LiveMessage(START, [], is_known=False),
        LiveMessage(START, [Row("quotes", "BTCUSDT", (START, START, 1, 1, 1, 2, 1))]),
    ]
    service = collect(lake, messages, options=LiveOptions(flush_rows=4, flush_seconds=60))
    status = status_of(service, TRADES)
    assert (status.received, status.stored, status.duplicate, status.quarantined, status.waiting) == (7, 4, 2, 1, 0)
    assert (status.messages, status.control, status.unparsed) == (10, 2, 1)
    assert status.proof == "none"


def test_a_busy_catalog_is_waited_for(lake, monkeypatch):
    append, failures = lake.engine.append_each, [CatalogBusy("busy"), DiskFull("full")]

    def failing(items):
        if failures:
            raise failures.pop()
        return append(items)

    monkeypatch.setattr(lake.engine, "append_each", failing)
    collect(lake, [SUBSCRIBED, *rows(1, 31)])
    assert not failures
    assert lake.load(TRADES).height == 30


def test_a_lake_that_stays_closed_ends_the_service_with_its_error(lake, monkeypatch):
    def failing(items):
        raise DiskFull("the disk is full")

    monkeypatch.setattr(lake.engine, "append_each", failing)
    with pytest.raises(DiskFull):
        collect(lake, [SUBSCRIBED, *rows(1, 31)], options=LiveOptions(flush_rows=5, store_retry=0.2))


def test_a_disk_that_is_too_small_for_min_free_is_not_waited_for(lake, monkeypatch):
    def failing(items):
        raise DiskTooSmall("the disk has 12 MiB in all")

    monkeypatch.setattr(lake.engine, "append_each", failing)
    began = time.monotonic()
    with pytest.raises(DiskTooSmall):
        collect(lake, [SUBSCRIBED, *rows(1, 31)], options=LiveOptions(store_retry=5.0))
    assert time.monotonic() - began < 2


def test_streams_say_why_rows_wait(lake, monkeypatch):
    append, texts = lake.engine.append_each, []

    async def go():
        service = LiveService(lake.engine, None, QUICK, clock=lambda: START + 1000 * SECOND)

        def failing(items):
            texts.append(status_of(service, TRADES).text)
            if len(texts) < 2:
                raise DiskFull("the disk is full")
            return append(items)

        monkeypatch.setattr(lake.engine, "append_each", failing)
        await service.run([ScriptedFeed([SUBSCRIBED, *rows(1, 5)])])
        texts.append(status_of(service, TRADES).text)

    asyncio.run(go())
    assert texts[:2] == ["", "rows wait until the lake can be written: the disk is full"]
    assert texts[-1] == ""


def test_messages_that_cannot_be_captured_are_said(lake, tmp_path):
    service = collect(lake, [SUBSCRIBED, *rows(1, 5)], capture=Capture(tmp_path / "none"))
    assert status_of(service, TRADES).stored == 4
    assert "messages cannot be captured" in status_of(service, TRADES).text


def test_tries_that_take_long_count_as_time(lake, monkeypatch):
    tries = []

    def failing(items):
        tries.append(1)
        time.sleep(0.3)
        raise CatalogBusy("busy")

    monkeypatch.setattr(lake.engine, "append_each", failing)
    with pytest.raises(CatalogBusy):
        collect(lake, [SUBSCRIBED, *rows(1, 31)], options=LiveOptions(flush_rows=5, store_retry=0.5))
    assert len(tries) == 2


def test_feeds_wait_while_too_many_rows_wait(lake, monkeypatch):
    append, waiting = lake.engine.append_each, []

    def counting(items):
        items = list(items)
        waiting.append(sum(frame.height for _, frame, _, _ in items))
        return append(items)

    monkeypatch.setattr(lake.engine, "append_each", counting)
    collect(lake, [SUBSCRIBED, *rows(1, 200)], options=LiveOptions(flush_rows=10, most_rows=20, flush_seconds=60))
    assert max(waiting) <= 20
    assert lake.load(TRADES).height == 199


def test_a_cancelled_service_commits_what_it_has(lake):
    async def ignore(dataset, span):
        pass

    async def go():
        options = LiveOptions(flush_rows=1000, flush_seconds=60)
        service = LiveService(lake.engine, ignore, options)
        feed = ScriptedFeed([SUBSCRIBED, *rows(1, 31)], ends=False)
        task = asyncio.create_task(service.run([feed]))
        await feed.all_delivered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert lake.load(TRADES).height == 30


def test_listeners_see_rows_before_they_are_committed(lake):
    seen, controls, commits = [], [], []

    class Listening:
        def rows(self, dataset, values, received_at):
            seen.append((dataset, len(values), received_at, lake.engine.catalog.version()))

        def control(self, dataset, control):
            controls.append((dataset, control.name))

        def flushing(self, datasets):
            pass

        def committed(self, versions):
            commits.append(versions)

    collect(lake, [SUBSCRIBED, *rows(1, 3)], listeners=[Listening()], options=LiveOptions(flush_seconds=60))
    assert set(controls) == {(dataset, name) for dataset in NAMES.values() for name in ("subscribed", "stopped")}
    assert [entry[:3] for entry in seen] == [(TRADES, 1, START + SECOND), (TRADES, 1, START + 2 * SECOND)]
    assert {entry[3] for entry in seen} == {0}
    assert commits == [{TRADES: 1}]


def test_the_lag_of_bars_is_counted_from_their_end(lake):
    opened = START + 900 * SECOND
    bar = Row("ohlcv", "BTCUSDT", (opened, 1, 1, 1, 1, 1, None, None), "1m")
    service = collect(lake, [SUBSCRIBED, LiveMessage(START, [bar])])
    assert status_of(service, BARS).lag == 40.0


def test_holes_that_were_left_are_asked_for_at_the_next_start(lake):
    left, removed = Span(START + 900 * SECOND, START + 910 * SECOND), Span(START + 920 * SECOND, START + 930 * SECOND)
    lake.save(TRADES, trades(0, 950))
    origin = Provenance("live", "x socket", "test")
    notes = [Covered(left, Found.NOT_FETCHED, "lost"), Covered(removed, Found.NOT_FETCHED, DELETED)]
    lake.delete(TRADES, START + 890 * SECOND, START + 940 * SECOND)
    lake.engine.append(TRADES, TRADES.spec.empty(), origin, notes)
    asked = []

    async def fill(dataset, span):
        asked.append(span)

    collect(lake, [SUBSCRIBED], fill)
    assert asked == [left]


@pytest.mark.parametrize("turns", range(6))
def test_a_feed_that_fails_just_when_a_commit_is_due_ends_the_service(lake, turns):
    class Failing(ScriptedFeed):
        async def run(self, sink):
            await super().run(sink)
            for _ in range(turns):
                await asyncio.sleep(0)
            raise SourceUnavailable("the end")

    async def go():
        service = LiveService(lake.engine, None, LiveOptions(flush_rows=1, flush_seconds=60))
        async with asyncio.timeout(5):
            await service.run([Failing([SUBSCRIBED, *rows(1, 2)])])

    with pytest.raises(SourceUnavailable):
        asyncio.run(go())


def test_a_feed_that_ends_with_an_error_leaves_those_of_other_exchanges_alone(lake):
    class Failing(ScriptedFeed):
        async def run(self, sink):
            raise SourceUnavailable("not served here")

    failing = Failing([])
    failing.datasets = {("trades", "ETHUSDT", ""): Dataset.parse("y:trades:ETH/USDT")}
    service = LiveService(lake.engine, None, LiveOptions(flush_rows=1, flush_seconds=60))

    async def go():
        async with asyncio.timeout(5):
            await service.run([failing, ScriptedFeed([SUBSCRIBED, *rows(1, 20)])])

    with pytest.raises(SourceUnavailable, match="not served here"):
        asyncio.run(go())
    assert lake.load(TRADES).height == 19
    status = status_of(service, Dataset.parse("y:trades:ETH/USDT"))
    assert (status.state, status.text) == ("refused", "not served here")


def test_the_loop_of_commits_can_be_ended_in_the_moment_in_which_one_is_due(lake):
    async def go():
        service = LiveService(lake.engine, None, LiveOptions(flush_rows=1, flush_seconds=60))
        commits = asyncio.create_task(service._flush_often())
        await asyncio.sleep(0.01)
        service._wake.set()
        commits.cancel()
        _, running = await asyncio.wait([commits], timeout=2)
        assert not running

    asyncio.run(go())


def test_trades_that_share_the_time_of_the_newest_are_not_covered_yet(lake):
    first, second = trade(1), trade(1)
    collect(lake, [SUBSCRIBED, *rows(0, 1), LiveMessage(START, [first]), LiveMessage(START, [second])])
    assert [span.end for span in lake.coverage(TRADES).spans()] == [START + SECOND]
    assert lake.gap_report(TRADES).gaps == ()


def test_what_came_before_the_first_trade_of_a_second_collector_is_not_covered_by_it(lake):
    """It began at the same time: when its stream opened, the lake had no rows yet."""

    class Late(ScriptedFeed):
        async def run(self, sink):
            other = LiveService(lake.engine, ignore, QUICK, clock=lambda: START + 1000 * SECOND)
            await other.run([ScriptedFeed([SUBSCRIBED, *rows(1, 3)])])
            await super().run(sink)

    async def ignore(dataset, span):
        pass

    service = LiveService(lake.engine, ignore, QUICK, clock=lambda: START + 1000 * SECOND)
    asyncio.run(service.run([Late([SUBSCRIBED, *rows(5, 8)])]))
    starts = [span.start for span in lake.coverage(TRADES).spans()]
    assert starts == [START + SECOND + 1, START + 5 * SECOND + 1]


def test_a_row_with_a_time_that_cannot_be_true_covers_nothing(lake):
    for_ever = Row("trades", "BTCUSDT", (START + 9 * 365 * DAY, START, "9", "100.5", "2", "buy"))
    collect(lake, [SUBSCRIBED, *rows(1, 3), LiveMessage(START, [for_ever])])
    assert spans(lake, TRADES) == [(1, 2)]


def test_a_hole_after_more_than_a_day_is_named_and_left_to_a_backfill(lake):
    asked = []

    async def fill(dataset, span):
        asked.append(span)

    old = Row("trades", "BTCUSDT", (START - 3 * DAY, START, "0", "100.5", "2", "buy"))
    collect(lake, [SUBSCRIBED, LiveMessage(START, [old])])
    collect(lake, [SUBSCRIBED, *rows(5, 8)], fill)
    assert asked == []
    hole = Span(START - 3 * DAY, START + 5 * SECOND + 1)
    assert lake.coverage(TRADES).spans(Found.NOT_FETCHED) == [hole]


def test_a_stream_that_is_new_to_the_lake_is_committed_at_once(lake):
    seen = []

    class Checks(ScriptedFeed):
        async def run(self, sink):
            await super().run(sink)
            for _ in range(100):
                await asyncio.sleep(0.01)
                if lake.engine.catalog.version():
                    break
            seen.append(lake.load(TRADES).height)

    async def ignore(dataset, span):
        pass

    service = LiveService(lake.engine, ignore, LiveOptions(flush_rows=1000, flush_seconds=60))
    asyncio.run(service.run([Checks([SUBSCRIBED, *rows(1, 2)])]))
    assert seen == [1]


@pytest.mark.parametrize("turns", range(8))
def test_a_cancel_that_comes_with_a_full_batch_ends_the_service(lake, turns):
    """The cancel and the wish to commit may reach the same task in one turn of the loop."""

    async def ignore(dataset, span):
        pass

    async def go():
        service = LiveService(lake.engine, ignore, LiveOptions(flush_rows=1, flush_seconds=60))
        feed = ScriptedFeed([SUBSCRIBED], ends=False)
        task = asyncio.create_task(service.run([feed]))
        await feed.all_delivered.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        await service.put(feed, rows(1, 2)[0])
        done, _ = await asyncio.wait([task], timeout=1)
        assert done

    asyncio.run(go())


def test_a_service_that_is_cancelled_again_and_again_finishes_its_commit(lake):
    async def ignore(dataset, span):
        pass

    async def go():
        service = LiveService(lake.engine, ignore, LiveOptions(flush_rows=1000, flush_seconds=60))
        feed = ScriptedFeed([SUBSCRIBED, *rows(1, 31)], ends=False)
        task = asyncio.create_task(service.run([feed]))
        await feed.all_delivered.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        assert status_of(service, TRADES).waiting == 0

    asyncio.run(go())
    assert lake.load(TRADES).height == 30


def test_a_cancelled_service_leaves_no_task_behind(lake):
    async def ignore(dataset, span):
        pass

    async def go():
        messages = [SUBSCRIBED, *rows(1, 5), control("disconnected"), SUBSCRIBED, *rows(8, 12)]
        feed = ScriptedFeed(messages, ends=False)
        service = LiveService(lake.engine, ignore, LiveOptions(flush_rows=1000, flush_seconds=60))
        task = asyncio.create_task(service.run([feed]))
        await feed.all_delivered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(go()) == set()


def test_a_hole_that_cannot_be_noted_as_lost_holds_nothing_up(lake, monkeypatch):
    async def fill(dataset, span):
        raise ValueError("no such page")

    def failing(*arguments):
        raise DiskFull("the disk is full")

    monkeypatch.setattr(lake.engine, "append", failing)
    messages = [SUBSCRIBED, *rows(1, 5), control("disconnected"), SUBSCRIBED, *rows(8, 12)]
    messages += [control("disconnected"), SUBSCRIBED, *rows(15, 20)]

    async def go():
        service = LiveService(lake.engine, fill, QUICK, clock=lambda: START + 1000 * SECOND)
        await asyncio.wait_for(service.run([ScriptedFeed(messages)]), 5)

    asyncio.run(go())
    assert spans(lake, TRADES, Found.NOT_FETCHED) == [(4, 8), (11, 15)]


def test_one_trade_far_ahead_covers_nothing_and_says_nothing_of_the_lag(lake):
    """It is kept: it may be true. But neither a hole after it nor the next start may take its time for that of the stream."""
    at = START + 1000 * SECOND
    ahead = Row("trades", "BTCUSDT", (at + 9 * 3600 * SECOND, at, "900", "100.5", "2", "buy"))
    messages = [SUBSCRIBED, *rows(1, 5), LiveMessage(at, [ahead]), *rows(5, 9)]
    service = collect(lake, [*messages, control("disconnected", text="reset"), SUBSCRIBED, *rows(12, 15)])
    assert lake.load(TRADES).height == 12
    assert spans(lake, TRADES) == [(1, 8), (12, 14)]
    assert status_of(service, TRADES).lag == 1000 - 14
    collect(lake, [SUBSCRIBED, *rows(20, 25)])
    assert spans(lake, TRADES) == [(1, 8), (12, 14), (20, 24)]


def test_a_clock_that_is_set_back_leaves_the_rate_as_it_is(lake):
    ahead = [LiveMessage(START + 7200 * SECOND + number, [trade(number)]) for number in range(1, 100)]
    service = collect(lake, [SUBSCRIBED, *ahead, LiveMessage(START + 990 * SECOND, [trade(101)])])
    assert status_of(service, TRADES).rate == 1 / 60
