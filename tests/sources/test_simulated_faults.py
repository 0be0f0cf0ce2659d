"""Every fault switch does what its docstring says; the control endpoints work and refuse nonsense."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.dataset import Dataset
from ticklake.core.time import DAY, MINUTE, MS, SECOND, format_time, parse_time
from ticklake.errors import BadInput
from ticklake.testing.exchange.clock import SimulatedClock
from ticklake.testing.exchange.faults import Failure, Faults
from ticklake.testing.exchange.server import SimulatedExchange

NOW_TEXT = "2024-01-05T12:00:30Z"
NOW = parse_time(NOW_TEXT)
BINANCE = "binance/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=20"
KRAKEN = "kraken/0/public/Trades?pair=XXBTZUSD&count=20"


@pytest.fixture
def server(serve, market) -> SimulatedExchange:
    return serve(market, NOW_TEXT)


@pytest.fixture
def ask(server, http):
    return lambda path: http(f"{server.url}/{path}")


class TestEveryNth:
    @pytest.mark.parametrize(
        ("switch", "status"), [("rate_limit_every", 429), ("ban_every", 418), ("error_every", 503)]
    )
    @pytest.mark.parametrize("path", [BINANCE, KRAKEN])
    def test_a_status_comes_at_every_third_request(self, switch, status, path, server, ask):
        server.faults = Faults(**{switch: 3})

        assert [ask(path).status for _ in range(9)] == [200, 200, status] * 3

    def test_a_rate_limit_says_when_to_come_back(self, server, ask):
        server.faults = Faults(rate_limit_every=1, retry_after=0.7)

        assert ask(BINANCE).headers["Retry-After"] == "0.7"

    @pytest.mark.parametrize("path", [BINANCE, KRAKEN])
    def test_a_truncated_answer_is_no_json(self, path, server, ask):
        whole = ask(path).text
        server.faults = Faults(truncate_every=1)

        cut = ask(path)

        assert cut.status == 200
        assert whole.startswith(cut.text)
        assert 0 < len(cut.text) < len(whole)
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut.text)

    def test_an_error_body_has_status_200_and_the_exchanges_words(self, server, ask):
        server.faults = Faults(error_body_every=1)

        binance, kraken = ask(BINANCE), ask(KRAKEN)

        assert (binance.status, kraken.status) == (200, 200)
        assert (binance.body["code"] < 0, "msg" in binance.body) == (True, True)
        assert (kraken.body["error"], "result" in kraken.body) == (["EService:Unavailable"], False)

    def test_an_empty_answer_has_no_rows_and_its_usual_shape(self, server, ask):
        server.faults = Faults(empty_every=1)

        assert ask(BINANCE).body == []
        body = ask(KRAKEN).body
        assert (body["error"], body["result"]["XXBTZUSD"]) == ([], [])

    def test_a_timeout_answers_late_and_right(self, server, ask):
        want = ask(BINANCE).body
        server.faults = Faults(timeout_every=1, timeout_seconds=0.2)

        began = time.monotonic()
        got = ask(BINANCE).body

        assert time.monotonic() - began >= 0.2
        assert got == want

    @pytest.mark.parametrize(
        "path",
        ["binance/api/v3/time", "binance/api/v3/exchangeInfo", "kraken/0/public/Time", "kraken/0/public/AssetPairs"],
    )
    def test_only_market_data_is_hit(self, path, server, ask):
        server.faults = Faults(ban_every=1)

        assert ask(path).status == 200

    def test_the_worst_failure_wins_when_two_meet(self):
        assert Failure.of(Faults(ban_every=2, empty_every=2, error_every=2), 2) == Failure("ban")

    @given(number=st.integers(1, 10_000))
    def test_without_switches_nothing_happens(self, number):
        assert Failure.of(Faults(), number) is None

    def test_everything_has_every_failure_but_the_ban(self):
        every = Faults.everything()
        happens = {failure.name for n in range(1, 100) if (failure := Failure.of(every, n))}

        assert happens == {"rate_limit", "error", "timeout", "truncate", "error_body", "empty"}
        assert every.duplicate_rows
        assert every.shuffle_rows
        assert every.late_final > 0


class TestRows:
    @pytest.mark.parametrize("path", [BINANCE, KRAKEN])
    def test_duplicates_come_twice_and_none_is_lost(self, path, server, ask):
        want = rows_in(ask(path).body)
        server.faults = Faults(duplicate_rows=True)

        got = rows_in(ask(path).body)

        assert set(got) == set(want)
        assert max(Counter(got).values()) == 2
        assert len(got) > len(want)

    @pytest.mark.parametrize("path", [BINANCE, KRAKEN])
    def test_shuffled_rows_are_the_same_in_another_order(self, path, server, ask):
        want = rows_in(ask(path).body)
        server.faults = Faults(shuffle_rows=True)

        got = rows_in(ask(path).body)

        assert sorted(got) == sorted(want)
        assert got != want


def rows_in(body) -> list[tuple]:
    rows = body if isinstance(body, list) else body["result"]["XXBTZUSD"]
    return [tuple(row) for row in rows]


def bars(http, server: SimulatedExchange, interval: str = "1m", limit: int = 30) -> list[list]:
    return http(f"{server.url}/binance/api/v3/klines?symbol=BTCUSDT&interval={interval}&limit={limit}").body


def truth(market, interval: str = "1m"):
    dataset = Dataset.parse(f"binance:ohlcv:{interval}:BTC/USDT")
    rows = market.rows("binance", dataset.symbol, "ohlcv", dataset.timeframe)
    return {row["ts"]: row for row in rows.with_columns(ts=rows["ts"].to_physical()).iter_rows(named=True)}


class TestBarsUnderWay:
    def test_the_forming_bar_is_served_with_too_little_volume(self, server, http, market):
        """REST returns the forming bar."""
        *over, forming = bars(http, server, "1h")

        assert forming[0] * MS == parse_time("2024-01-05T12:00:00")
        assert float(forming[5]) < truth(market, "1h")[forming[0] * MS]["volume"]
        assert all(float(bar[5]) == truth(market, "1h")[bar[0] * MS]["volume"] for bar in over)

    def test_forming_off_ends_with_the_last_bar_that_is_over(self, server, http):
        server.faults = Faults(forming=False)

        assert bars(http, server, "1h")[-1][0] * MS == parse_time("2024-01-05T11:00:00")

    def test_late_final_bars_have_too_little_volume_for_as_long_as_said(self, server, http, market):
        """Late-final bars: volume can change minutes after the close."""
        server.faults = Faults(late_final=600.0, forming=False)

        for bar in bars(http, server):
            close, final = bar[0] * MS + MINUTE, truth(market)[bar[0] * MS]["volume"]
            assert (float(bar[5]) < final) == (close > NOW - 600 * SECOND)

    def test_late_final_changes_the_volume_and_not_the_prices(self, server, http, market):
        """The docstring promises a volume that is too low, and no more."""
        server.faults = Faults(late_final=600.0, forming=False)

        for bar in bars(http, server):
            row = truth(market)[bar[0] * MS]
            assert [float(value) for value in bar[1:5]] == [row[name] for name in ("open", "high", "low", "close")]

    def test_a_late_bar_becomes_final_as_the_clock_advances(self, server, http, market):
        server.faults = Faults(late_final=600.0, forming=False)
        server.clock.advance(10 * MINUTE)

        final = {bar[0] * MS: float(bar[5]) for bar in bars(http, server)}
        opened = max(ts for ts in final if ts + MINUTE <= NOW)

        assert final[opened] == truth(market)[opened]["volume"]


class TestControl:
    def test_it_describes_itself(self, server, ask):
        body = ask("_sim").body

        assert body["now"] == NOW_TEXT
        assert body["exchanges"]["kraken"] == ["BTC/USD", "ETH/EUR"]
        assert set(body["faults"]) == {field.name for field in fields(Faults)}

    def test_the_clock_jumps_and_advances(self, server, http):
        assert http(f"{server.url}/_sim/clock", {"now": "2024-01-03"}).body == {"now": "2024-01-03T00:00:00Z"}
        assert http(f"{server.url}/_sim/clock", {"advance": 90.5}).body == {"now": "2024-01-03T00:01:30.5Z"}
        assert server.clock.now() == parse_time("2024-01-03T00:01:30.5")

    @pytest.mark.parametrize(
        "nonsense",
        [{"now": "yesterday"}, {"now": 5}, {"now": None}, {"now": ["2024"]}, {"advance": "soon"}, {"advance": None}],
    )
    def test_a_clock_that_cannot_be_is_refused_and_nothing_moves(self, nonsense, server, http):
        reply = http(f"{server.url}/_sim/clock", nonsense)

        assert reply.status == 400
        assert "error" in reply.body
        assert server.clock.now() == NOW

    def test_faults_are_set_and_the_others_kept(self, server, http):
        http(f"{server.url}/_sim/faults", {"error_every": 3})
        body = http(f"{server.url}/_sim/faults", {"empty_every": 5}).body

        assert (body["error_every"], body["empty_every"], body["ban_every"]) == (3, 5, 0)
        assert server.faults == Faults(error_every=3, empty_every=5)

    def test_an_unknown_fault_is_refused_with_the_known_ones(self, server, http):
        reply = http(f"{server.url}/_sim/faults", {"explode_every": 1})

        assert reply.status == 400
        assert "explode_every" in reply.body["error"]
        assert "rate_limit_every" in reply.body["error"]
        assert server.faults == Faults()

    @pytest.mark.parametrize("nonsense", [{"error_every": "often"}, {"late_final": None}])
    def test_a_fault_of_the_wrong_type_is_refused(self, nonsense, server, http):
        reply = http(f"{server.url}/_sim/faults", nonsense)

        assert reply.status == 400
        assert server.faults == Faults()

    @pytest.mark.parametrize("path", ["_sim/clock", "_sim/faults"])
    @pytest.mark.parametrize("nonsense", [b"{not json", b"[1, 2]", b"5"])
    def test_a_body_that_is_no_object_is_refused(self, path, nonsense, server, http):
        reply = http(f"{server.url}/{path}", nonsense)

        assert reply.status == 400
        assert (server.clock.now(), server.faults) == (NOW, Faults())

    def test_every_request_is_listed_with_its_query_and_fault(self, server, ask):
        server.faults = Faults(error_every=2)
        ask(BINANCE)
        ask(BINANCE)
        ask("kraken/0/public/Time")

        listed = ask("_sim/requests").body

        assert [(one["exchange"], one["path"], one["fault"]) for one in listed] == [
            ("binance", "api/v3/klines", ""),
            ("binance", "api/v3/klines", "error"),
            ("kraken", "0/public/Time", ""),
        ]
        assert listed[0]["query"] == {"symbol": "BTCUSDT", "interval": "1m", "limit": "20"}

    @pytest.mark.parametrize(
        "path",
        ["", "nothing", "bybit/v5/market/time", "binance/api/v3/nothing", "kraken/0/public/Nothing", "_sim/nothing"],
    )
    def test_an_unknown_path_is_404(self, path, ask):
        assert ask(path).status == 404

    @pytest.mark.parametrize("query", ["limit=many", "limit=-5", "startTime=soon"])
    def test_a_query_that_cannot_be_is_the_askers_fault(self, query, ask):
        """Binance answers 400 with a code; an exchange that breaks down would be retried."""
        reply = ask(f"binance/api/v3/klines?symbol=BTCUSDT&interval=1m&{query}")

        assert reply.status == 400
        assert reply.body["code"] < 0


class TestServer:
    def test_it_listens_on_127_0_0_1_only(self, server, ask):
        assert ask("_sim").status == 200
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", server.port), timeout=1):
            pass
        assert {host for host, _ in server._runner.addresses} == {"127.0.0.1"}

    def test_a_taken_port_is_refused_in_words(self, server, market):
        second = SimulatedExchange(market, SimulatedClock(NOW), port=server.port)

        with pytest.raises(BadInput, match=f"port {server.port} is taken"), second.running():
            pass

    def test_after_its_block_nobody_listens(self, market):
        exchange = SimulatedExchange(market, SimulatedClock(NOW))
        with exchange.running():
            port = exchange.port
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            pass


class TestClock:
    def test_it_stands_still_by_default(self):
        ticks = iter(range(0, 10**12, 10**9))
        clock = SimulatedClock(NOW, monotonic=lambda: next(ticks))

        assert [clock.now() for _ in range(3)] == [NOW] * 3

    @given(speed=st.floats(0.1, 1000), elapsed=st.integers(0, DAY))
    def test_it_runs_as_fast_as_told(self, speed, elapsed):
        ticks = iter([0, elapsed])
        clock = SimulatedClock(NOW, speed, monotonic=lambda: next(ticks))

        assert clock.now() == NOW + int(elapsed * speed)

    @given(steps=st.lists(st.integers(0, DAY), max_size=10))
    def test_advancing_adds_up(self, steps):
        clock = SimulatedClock(NOW)
        for step in steps:
            clock.advance(step)

        assert format_time(clock.now()) == format_time(NOW + sum(steps))


class TestSwitches:
    @given(every=st.integers(0, 100), flag=st.booleans())
    def test_changing_one_keeps_the_others(self, every, flag):
        changed = Faults.everything().changed({"ban_every": every, "duplicate_rows": flag})

        assert (changed.ban_every, changed.duplicate_rows) == (every, flag)
        assert changed.changed({"ban_every": 0, "duplicate_rows": True}) == Faults.everything()

    def test_texts_are_read(self):
        assert Faults.parse(["error_every=5", "late_final=1.5", "shuffle_rows"]) == Faults(
            error_every=5, late_final=1.5, shuffle_rows=True
        )
        assert Faults.parse(["all", "ban_every=9"]) == Faults.everything().changed({"ban_every": 9})

    @pytest.mark.parametrize("text", ["explode=1", "error_every=often", "error_every=[", "=5"])
    def test_other_texts_are_refused(self, text):
        with pytest.raises(BadInput):
            Faults.parse([text])

    @pytest.mark.parametrize("text", ['error_every="often"', "error_every=null"])
    def test_a_text_of_the_wrong_type_is_refused(self, text):
        with pytest.raises(BadInput):
            Faults.parse([text])


def test_an_exchange_stops_although_an_answer_is_late(market):
    """It waited for the answer, up to a minute, though whoever had asked was gone."""
    exchange = SimulatedExchange(market, SimulatedClock(NOW), Faults(timeout_every=1, timeout_seconds=40.0))
    with exchange.running(), socket.create_connection(("127.0.0.1", exchange.port)) as connection:
        connection.sendall(f"GET /{BINANCE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while not exchange.requests:
            time.sleep(0.01)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 20
