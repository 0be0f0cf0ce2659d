"""Turns at an exchange: shared by processes, kept over restarts. Field note: limits hold per address."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import pytest
from pacing_worker import work

from tests.forked import FORKS
from ticklake.errors import Banned, RateLimited
from ticklake.sources.pacing.ledger import Ledger
from ticklake.sources.pacing.pace import BAN, Pace
from ticklake.testing.clocks import ManualClock

NOW = 1_700_000_000_000
KLINES = 0.4
"""What ccxt says that one such call costs."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "limits.db"


@pytest.fixture
def ledger_at():
    """Open ledgers; they close with the test."""
    with ExitStack() as stack:

        def opened(path=None):
            ledger = Ledger(path)
            stack.callback(ledger.close)
            return ledger

        yield opened


class TestLedger:
    def test_a_turn_is_free_once_the_one_before_is_over(self, ledger_at):
        ledger = ledger_at()
        assert ledger.take("x", 50, NOW).wait == 0
        assert ledger.take("x", 50, NOW).wait == 50
        assert ledger.take("x", 50, NOW + 20).wait == 30
        assert ledger.take("x", 50, NOW + 50).wait == 0

    def test_a_heavy_call_makes_the_next_wait_longer(self, ledger_at):
        """As ccxt's own throttler does: the cost of a call is paid after it."""
        ledger = ledger_at()
        assert ledger.take("x", 500, NOW).wait == 0
        assert ledger.take("x", 1, NOW + 100).wait == 400

    def test_two_ledgers_on_one_file_are_one(self, path, ledger_at):
        first, second = ledger_at(path), ledger_at(path)
        assert first.take("x", 50, NOW).wait == 0
        assert second.take("x", 50, NOW).wait == 50
        assert second.take("y", 50, NOW).wait == 0, "another exchange"

    def test_quiet_time_is_not_saved_up(self, ledger_at):
        ledger = ledger_at()
        ledger.take("x", 50, NOW)
        assert [ledger.take("x", 50, NOW + 10_000).wait for _ in range(2)] == [0, 50]

    def test_the_longest_pause_holds_for_everybody_and_over_restarts(self, path, ledger_at):
        first = ledger_at(path)
        first.pause("x", 3_000, NOW)
        first.pause("x", 1_000, NOW)
        first.close()
        verdict = ledger_at(path).take("x", 50, NOW + 500)
        assert verdict.wait == 2_500
        assert ledger_at(path).take("x", 50, NOW + 3_000).wait == 0

    def test_a_clock_that_was_set_back_holds_nobody_up_for_long(self, ledger_at):
        ledger = ledger_at()
        ledger.take("x", 50, NOW)
        ledger.pause("y", 3_000, NOW)
        earlier = NOW - 86_400_000
        assert ledger.take("x", 50, earlier).wait == 0
        assert ledger.take("y", 50, earlier).wait == 3_000

    def test_what_nobody_called_for_a_week_is_forgotten(self, path, ledger_at):
        ledger = ledger_at(path)
        ledger.take("old", 50, NOW)
        ledger.take("x", 50, NOW + 8 * 86_400_000)
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT key FROM turns").fetchall() == [("x",)]
        connection.close()


class TestPace:
    def test_a_refusal_is_everybodys_pause(self, path):
        clock = ManualClock(NOW / 1_000)
        told, other = Pace("x", path=path, clock=clock), Ledger(path)
        with pytest.raises(RateLimited), told.pause_on_refusal():
            raise RateLimited("slow down", 2.5)
        assert other.take("x", 1, NOW).wait == 2_501
        told.close()
        other.close()

    def test_refusals_without_a_number_ask_for_longer_and_longer(self):
        clock = ManualClock(NOW / 1_000)
        pace, waits = Pace("x", clock=clock), []
        for _ in range(8):
            with pytest.raises(RateLimited), pace.pause_on_refusal():
                raise RateLimited("slow down")
            waits.append(pace._with_ledger(lambda ledger: ledger.take("x", 1, pace._now())).wait / 1_000)
            clock.now += waits[-1] + 0.01
        assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.1)
        clock.now += 3_600
        with pytest.raises(RateLimited), pace.pause_on_refusal():
            raise RateLimited("slow down")
        assert pace._with_ledger(lambda ledger: ledger.take("x", 1, pace._now())).wait == 1_001

    def test_a_ban_is_refused_here_without_a_call_until_it_is_over(self, path):
        clock = ManualClock(NOW / 1_000)
        pace = Pace("x", path=path, clock=clock)
        with pytest.raises(Banned), pace.pause_on_refusal():
            raise Banned("418")
        pace.close()
        clock.now += 10
        again = Pace("x", path=path, clock=clock)
        for _ in range(3):
            with pytest.raises(Banned, match="until 2023-11-14T22:18:20Z: wait") as caught, again.pause_on_refusal():
                asyncio.run(again.turn(1))
        assert caught.value.retry_after == pytest.approx(BAN - 10, abs=0.1)
        clock.now += BAN
        asyncio.run(again.turn(1))
        again.close()

    def test_headers_that_tell_of_a_budget_nearly_used_up_pause_everybody(self, path):
        clock = ManualClock(1_700_000_039.0)
        pace, other = Pace("binance", path=path, clock=clock), Ledger(path)
        pace.pause_by_headers("/api/v3/klines", {"X-MBX-USED-WEIGHT-1M": "5900"})
        assert other.take("binance", 1, 1_700_000_039_000).wait == pytest.approx(1_000, abs=2)
        pace.close()
        other.close()

    @pytest.mark.parametrize("accident", ["no folder", "no database"])
    def test_where_the_ledger_cannot_be_kept_the_pace_is_kept_here_and_somebody_is_told(self, tmp_path, accident):
        path = tmp_path / "file" / "limits.db" if accident == "no folder" else tmp_path / "limits.db"
        (tmp_path / "file").write_text("no folder")
        (tmp_path / "limits.db").write_text("no database " * 100)
        pace, told = Pace("x", path=path), []

        async def twice():
            start = time.monotonic()
            await pace.turn(100, told.append)
            await pace.turn(100, told.append)
            return time.monotonic() - start

        assert asyncio.run(twice()) >= 0.09
        assert len(told) == 1
        assert "this process only" in told[0]
        pace.close()

    def test_a_ledger_that_breaks_while_it_is_used_is_given_up_and_told_once(self, path):
        """A disk that is full, or a home that became read-only, in the middle of a run ended it with a traceback."""
        pace, told = Pace("x", path=path), []
        asyncio.run(pace.turn(1, told.append))
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("DROP TABLE turns")
        asyncio.run(pace.turn(1, told.append))
        asyncio.run(pace.turn(1, told.append))
        with pytest.raises(RateLimited), pace.pause_on_refusal():
            raise RateLimited("slow down", 0.01)
        assert len(told) == 1
        assert "this process only" in told[0]
        pace.close()

    def test_a_turn_that_is_free_costs_one_short_transaction(self, path, monkeypatch):
        statements = []
        connect = sqlite3.connect

        def traced(*args, **options):
            connection = connect(*args, **options)
            connection.set_trace_callback(statements.append)
            return connection

        monkeypatch.setattr(sqlite3, "connect", traced)
        clock = ManualClock(NOW / 1_000)
        pace = Pace("x", path=path, clock=clock)
        asyncio.run(pace.turn(0))
        statements.clear()
        clock.now += 1
        asyncio.run(pace.turn(0))
        pace.close()
        assert [statement.split()[0] for statement in statements] == ["BEGIN", "SELECT", "INSERT", "DELETE", "COMMIT"]


def start_worker(*arguments):
    """Start a process, and return the pipe to it."""
    ours, theirs = FORKS.Pipe()
    FORKS.Process(target=work, args=(theirs, *arguments), daemon=True).start()
    theirs.close()
    return ours


@pytest.fixture
def hammer(market, serve):
    """Let processes call a simulated exchange as often as they may; return what was asked, and what each told."""
    exchange = serve(market, "2024-01-06")

    def run(ledgers, calls, milliseconds, **faults):
        exchange.faults = exchange.faults.changed(faults)
        pipes = [start_worker(exchange.url, path, calls, milliseconds) for path in ledgers]
        assert [pipe.recv() for pipe in pipes] == ["ready"] * len(pipes)
        for pipe in pipes:
            pipe.send("go")
        told = [pipe.recv() for pipe in pipes]
        return [one for one in exchange.requests if "klines" in one.path], told

    return run


def busiest(requests, seconds=1.0):
    return max(sum(one.at <= other.at < one.at + seconds for other in requests) for one in requests)


_OPENS = """
import sys, time
from pathlib import Path
from ticklake.sources.pacing.ledger import Ledger
folder, begin = Path(sys.argv[1]), float(sys.argv[2])
for number in range(12):
    while time.time() < begin + number / 20:
        pass
    Ledger(folder / f"{number}.db").close()
"""


def test_all_who_open_a_new_ledger_at_once_share_it(tmp_path):
    """Each of them makes it a database with a log, and SQLite refuses those who come in between without waiting."""
    command = [sys.executable, "-c", _OPENS, str(tmp_path), str(time.time() + 1)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4


class TestProcesses:
    PACE = 50 / KLINES
    """Twenty calls a second; what is refused is twice as many, as a busy machine sends some turns late."""

    def test_three_processes_together_keep_the_budget(self, hammer, path):
        requests, told = hammer([path] * 3, 25, self.PACE, calls_per_second=40)
        assert told == ["done"] * 3
        assert len(requests) == 75, "no call was refused"
        assert busiest(requests) <= 40
        assert requests[-1].at - requests[0].at >= 74 * 0.050 * 0.95

    def test_three_processes_that_know_nothing_of_each_other_do_not(self, hammer, path):
        """The test before can fail."""
        requests, _ = hammer([path.with_name(f"{n}.db") for n in range(3)], 25, self.PACE, calls_per_second=40)
        assert any(one.fault == "rate_limit" for one in requests)

    def test_after_a_refusal_seen_by_one_nobody_calls_before_it_is_over(self, hammer, path):
        requests, told = hammer([path] * 3, 15, self.PACE, rate_limit_every=20, retry_after=1.5)
        refused = [one.at for one in requests if one.fault == "rate_limit"]
        under_way = 0.4
        assert told == ["done"] * 3
        assert len(refused) >= 2
        for at in refused:
            assert [one.at - at for one in requests if at + under_way < one.at < at + 1.49] == []

    def test_after_a_ban_seen_by_one_nobody_calls_at_all(self, hammer, path):
        requests, told = hammer([path] * 3, 15, self.PACE, ban_every=10)
        assert all(text.startswith("Banned") for text in told)
        before = len(requests)
        assert before <= 12
        requests, told = hammer([path], 5, self.PACE)
        assert len(requests) == before, "also by those who come later"
        assert "until" in told[0]
