"""Streams of the simulated exchange, from its sockets to the lake: what was served is there, whatever happened in between."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ticklake import StreamRequest
from ticklake.app import open_lake
from ticklake.config import LiveSettings
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.time import MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, Cancelled, CatalogBusy, InvalidData, TicklakeError, UnknownSymbol, Unsupported
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.server import SimulatedExchange

from ..conftest import settings_for

NOW = "2024-01-05T12:00:30Z"
TRADES = "binance:trades:BTC/USDT"
QUICK = LiveSettings(flush_rows=20, flush_seconds=0.1, fill_delay=0.05, recheck_seconds=1)


@pytest.fixture
def exchange(market):
    simulated = SimulatedExchange(market, SimulatedClock(parse_time(NOW)))
    with simulated.running():
        yield simulated


@pytest.fixture
def lake(exchange, tmp_path):
    settings = settings_for(exchange.url).model_copy(update={"live": QUICK})
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        yield lake


class Watching:
    """Stops streams when it is told to."""

    def __init__(self):
        self.status, self.is_told = (), False

    def __call__(self, status):
        self.status = status
        if self.is_told:
            raise Cancelled("told to stop")


@contextmanager
def collecting(lake, *requests, capture=None):
    """Collect in a thread while the block runs, once every stream is live."""
    watching, ended = Watching(), []

    def run():
        try:
            ended.append(lake.streams.run(requests, watch=watching, capture=capture))
        except Cancelled:
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: ended or (watching.status and all(each.state == "live" for each in watching.status)))
        yield watching
    finally:
        watching.is_told = True
        thread.join(30)
    assert ended == [None]


def wait_for(condition, exchange=None):
    """Wait until it is so; the market of an *exchange* goes on meanwhile."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        if exchange is not None:
            exchange.clock.advance(10 * SECOND)
        time.sleep(0.02)


def let_pass(exchange, minutes):
    """Let the market go on, a minute at a time."""
    for _ in range(minutes):
        exchange.clock.advance(MINUTE)
        time.sleep(0.05)


def stored(lake, name):
    return [int(ident) for ident in lake.load(name)["id"]]


def served(exchange, name):
    return sorted(exchange.served[Dataset.parse(name)].ids())


def test_trades_bars_quotes_and_books_come_in(lake, exchange):
    request = StreamRequest.of("binance", "BTC/USDT", ["trades", "ohlcv", "quotes", "book"])
    with collecting(lake, request) as watching:
        let_pass(exchange, 10)
        wait_for(lambda: len(watching.status) == 4 and all(each.stored for each in watching.status), exchange)
        # Time stands still now: what was served comes in.
        wait_for(lambda: stored(lake, TRADES) == served(exchange, TRADES))
    bars = lake.load("binance:ohlcv:1m:BTC/USDT")
    # The first minute had begun before the stream did.
    whole = lake.resample(TRADES, "1m")[1:].join(bars, on="ts", how="semi")
    # Bars of the exchange equal those of its own trades.
    assert whole.height >= 5
    assert whole.select("ts", "open", "high", "low", "close").equals(
        bars.join(whole, on="ts", how="semi").select("ts", "open", "high", "low", "close")
    )
    assert lake.book("binance", "BTC/USDT").height > 0
    (run,) = lake.runs.list(state="cancelled")
    assert (run.operation, run["new"] > 0) == ("stream", True)


def test_what_a_lost_connection_missed_is_fetched(lake, exchange):
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT")) as watching:
        let_pass(exchange, 5)
        exchange.faults = Faults(seed=3, socket_drop=1.0)
        let_pass(exchange, 3)
        exchange.faults = Faults()
        wait_for(lambda: watching.status[0].state == "live", exchange)
        let_pass(exchange, 5)
        wait_for(lambda: watching.status[0].gaps and not lake.gap_report(TRADES).gaps, exchange)
    ids = stored(lake, TRADES)
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert set(served(exchange, TRADES)) <= set(ids)


def test_a_bar_that_is_corrected_late_is_corrected_in_the_lake(lake, exchange):
    bars = "binance:ohlcv:1m:BTC/USDT"
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT", "ohlcv")) as watching:
        let_pass(exchange, 5)
        wait_for(lambda: watching.status[0].stored >= 3, exchange)
        row = lake.load(bars)[-1:]
        lake.save(bars, row.with_columns(volume=row["volume"] + 1000))
        wait_for(lambda: lake.load(bars, row["ts"][0])[:1].equals(row))


def test_missing_numbers_are_fetched(lake, exchange):
    exchange.faults = Faults(seed=5, socket_gap=0.1)
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT")) as watching:
        let_pass(exchange, 10)
        exchange.faults = Faults()
        let_pass(exchange, 2)
        wait_for(lambda: watching.status[0].gaps and not lake.gap_report(TRADES).gaps, exchange)
    ids = stored(lake, TRADES)
    assert ids == list(range(ids[0], ids[-1] + 1))


def test_a_capture_replayed_is_the_same(exchange, tmp_path):
    # What calls bring is in no capture.
    settings = settings_for(exchange.url).model_copy(update={"live": QUICK.model_copy(update={"recheck_seconds": 900})})
    with open_lake(tmp_path / "lake", settings=settings) as lake:
        replayed_is_the_same(lake, exchange, tmp_path)


def replayed_is_the_same(lake, exchange, tmp_path):
    kinds = ["trades", "ohlcv", "quotes"]
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT", kinds), capture=tmp_path / "raw"):
        let_pass(exchange, 10)
        wait_for(lambda: lake.datasets() and stored(lake, TRADES) == served(exchange, TRADES))
    captures = list((tmp_path / "raw").iterdir())
    with open_lake(tmp_path / "again") as again:
        run = again.streams.replay(captures)
        assert (run.operation, run.state) == ("replay", "succeeded")
        for dataset in lake.datasets():
            assert again.load(dataset).equals(lake.load(dataset))
            assert again.coverage(dataset).spans("data") == lake.coverage(dataset).spans("data")


def test_kraken_and_binance_in_one_service(lake, exchange):
    requests = [StreamRequest.of("binance", ["BTC/USDT", "ETH/USDT"]), StreamRequest.of("kraken", "BTC/USD", "book")]
    with collecting(lake, *requests) as watching:
        let_pass(exchange, 5)
        wait_for(lambda: len(watching.status) == 3 and all(each.stored for each in watching.status), exchange)
    assert {dataset.exchange for dataset in lake.datasets()} == {"binance", "kraken"}


def test_what_does_not_exist_is_refused_before_anything_is_collected(lake):
    with pytest.raises(UnknownSymbol, match="NOPE/USDT"):
        lake.streams.run(StreamRequest.of("binance", "NOPE/USDT"))
    with pytest.raises(Unsupported, match="open_interest"):
        lake.streams.run(StreamRequest.of("binance", "BTC/USDT", "open_interest"))


def test_trades_that_the_lake_numbers_otherwise_are_refused_before_anything_is_collected(lake):
    raw = {"ts": NOW, "id": "1", "price": 1.5, "amount": 1.0, "side": "buy"}
    lake.save(TRADES, [raw], Provenance("file", id_space="raw"))
    with pytest.raises(InvalidData, match=f"{TRADES} holds 'raw' trade ids and binance sends 'agg' ones"):
        lake.streams.run(StreamRequest.of("binance", ["BTC/USDT", "ETH/USDT"]), seconds=1)
    assert [str(dataset) for dataset in lake.datasets()] == [TRADES]
    assert lake.runs.list() == []


def test_streams_in_the_background(lake, exchange):
    lake.streams.start("binance", "BTC/USDT", ["trades"])
    subscriber = lake.streams.subscribe("binance:trades:*")
    let_pass(exchange, 5)
    wait_for(lambda: lake.streams.newest(Dataset.parse(TRADES), 5) is not None, exchange)
    rows, source = lake.latest_with_source(TRADES, 5)
    assert (rows.height, source) == (5, "cache")
    assert lake.streams.list() == [TRADES]
    assert next(iter(subscriber)).frame().height > 0
    (run,) = lake.streams.stop()
    assert (run.state, run.operation) == ("succeeded", "stream")
    assert lake.streams.status() == []
    # Nobody adds to the cache any more, so that it has no answers.
    assert lake.latest_with_source(TRADES, 5)[1] != "cache"
    subscriber.close()
    assert [batch.control.name for batch in subscriber if batch.control][-1] == "stopped"
    assert rows.equals(lake.load(TRADES).join(rows, on="id", how="semi"))


def test_a_record_that_cannot_be_written_now_ends_no_stream(lake, exchange, monkeypatch):
    def failing(*_arguments):
        failures.append(1)
        raise CatalogBusy("held by another process")

    failures = []
    monkeypatch.setattr(lake.runs, "update_progress", failing)
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT")):
        let_pass(exchange, 5)
        wait_for(lambda: failures and lake.datasets() and stored(lake, TRADES) == served(exchange, TRADES), exchange)


def test_streams_are_looked_at_while_their_record_waits(lake, exchange, monkeypatch):
    is_free = threading.Event()
    monkeypatch.setattr(lake.runs, "update_progress", lambda *_arguments: is_free.wait(20))
    began = time.monotonic()
    try:
        lake.streams.start("binance", "BTC/USDT", ["trades"])
        wait_for(lambda: [each.state for each in lake.streams.status()] == ["live"], exchange)
    finally:
        is_free.set()
    lake.streams.stop()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("change", ["delete", "drop"])
def test_removed_rows_leave_the_cache(lake, exchange, change):
    lake.streams.start("binance", "BTC/USDT", ["trades"])
    let_pass(exchange, 5)
    wait_for(lambda: lake.datasets() and lake.streams.newest(Dataset.parse(TRADES), 5) is not None, exchange)
    newest = lake.latest(TRADES)["ts"][0]
    getattr(lake, change)(TRADES)
    kept = lake.streams.newest(Dataset.parse(TRADES), 1)
    assert kept is None or kept["ts"][0] > newest


def test_a_stream_is_started_once(lake):
    lake.streams.start("binance", "BTC/USDT", ["trades"])
    with pytest.raises(BadInput, match=f"{TRADES} is collected by this process already"):
        lake.streams.start("binance", "BTC/*", ["trades", "quotes"])
    assert lake.streams.list() == [TRADES]
    lake.streams.stop()
    lake.streams.start("binance", "BTC/USDT", ["trades"])
    assert lake.streams.list() == [TRADES]


def test_streams_that_do_not_begin_in_time_are_ended(lake):
    with pytest.raises(TicklakeError, match="binance has not opened a stream within 0 s"):
        lake.streams.start("binance", "BTC/USDT", wait=0)
    assert lake.streams.stop() == []
    lake.streams.start("binance", "BTC/USDT")
    assert lake.streams.list() == [TRADES]


def test_an_exchange_that_does_not_answer_delays_no_end(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings = settings_for(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with open_lake(tmp_path / "lake", settings=settings) as lake:
            began = time.monotonic()
            with pytest.raises(TicklakeError, match=r"binance has not opened a stream within 0\.3 s"):
                lake.streams.start("binance", "BTC/USDT", wait=0.3)
            assert time.monotonic() - began < 1.0
            assert lake.streams.stop() == []


def test_several_threads_stop_the_same_streams(lake):
    lake.streams.start("binance", "BTC/USDT")
    with ThreadPoolExecutor(4) as threads:
        stops = [threads.submit(lake.streams.stop) for _ in range(4)]
    # Each of them returns once they are stopped, whoever stopped them.
    assert {run.state for stop in stops for run in stop.result()} == {"succeeded"}
    assert lake.streams.list() == []


def test_streams_that_ended_with_an_error_say_so_when_they_are_stopped(lake, exchange, monkeypatch):
    def failing(_items):
        raise BadInput("nothing fits")

    lake.streams.start("binance", "BTC/USDT", ["trades"])
    monkeypatch.setattr(lake.engine, "append_each", failing)
    wait_for(lambda: not lake.streams.list(), exchange)
    with pytest.raises(BadInput, match="nothing fits"):
        lake.streams.stop()
    assert lake.streams.stop() == []


def test_streams_are_seen_beside_many_other_runs(lake):
    lake.streams.start("binance", "BTC/USDT", ["trades"])
    wait_for(lambda: any(run.progress for run in lake.runs.active()))
    others = [lake.runs.create("anything") for _ in range(60)]
    with open_lake(lake.root) as other:
        assert other.streams.list() == [TRADES]
    for run in others:
        lake.runs.finish(run.id)


def test_an_update_brings_what_was_streamed_up_to_now(lake, exchange):
    with collecting(lake, StreamRequest.of("binance", "BTC/USDT", ["trades", "book"])) as watching:
        wait_for(lambda: watching.status and watching.status[-1].stored > 3, exchange)
    before = stored(lake, TRADES)
    exchange.clock.advance(10 * MINUTE)
    (run,) = lake.update()
    assert run.state == "succeeded", run
    after = stored(lake, TRADES)
    assert after == list(range(before[0], after[-1] + 1))
    assert len(after) > len(before)
