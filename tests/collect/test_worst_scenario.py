"""The simulated exchange in its worst mood: all faults and all moods at once.

What the lake then holds is compared with what really happened, row for row, and what it lacks, span for span.
"""

from __future__ import annotations

from itertools import groupby

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, parse_time
from ticklake.testing.exchange.faults import Faults

START, END, NOW = "2024-01-01", "2024-01-06", "2024-01-06T01:00"
OUT = (parse_time("2024-01-03T10:00"), parse_time("2024-01-03T13:00"))
PASSING = ("recent_only=4d", "withhold=BTC/USDT@2024-01-04T10:00/2024-01-04T11:00")
LASTING = (
    "outage=2024-01-03T10:00/2024-01-03T13:00",
    "halt=ETH/USDT@2024-01-02T06:00/2024-01-02T09:00",
    "delist=ETH/USDT@2024-01-05",
    "rename=ETH/USDT:USDT>ETC/USDT:USDT@2024-01-04T12:00",
    "id_reset=BTC/USDT@2024-01-04",
    "funding_interval=BTC/USDT:USDT@2024-01-03=4h",
    "funding_interval=ETH/USDT:USDT@2024-01-02=4h",
)
BARS = ["binance:ohlcv:1m:BTC/USDT", "binance:ohlcv:1m:ETH/USDT"]
TRADES = ["binance:trades:BTC/USDT", "binance:trades:ETH/USDT"]
KRAKEN = ["kraken:trades:BTC/USD", "kraken:trades:ETH/EUR"]
FUNDING = [f"binance:funding:{base}/USDT:USDT" for base in ("BTC", "ETH", "ETC")]
ALL = [*BARS, *TRADES, *KRAKEN, *FUNDING]

pytestmark = pytest.mark.slow


def times(exchange, text, *, served=False):
    """When what really happened of a dataset happened (or what is served of it)."""
    dataset = Dataset.parse(text)
    named = (dataset.exchange, dataset.symbol, dataset.kind, dataset.timeframe)
    rows = exchange.market.served(*named, now=parse_time(NOW)) if served else exchange.market.rows(*named)
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= parse_time(START)) & (ts < parse_time(END)))


def assert_rows(lake, exchange, text, *, served):
    want = times(exchange, text, served=served)
    same = [name for name in ("ts", "close", "volume", "trades", "price", "amount", "rate") if name in want.columns]
    same += ["id"] if text.startswith("binance:trades") else []
    assert lake.load(text).select(same).equals(want.select(same)), text


def runs(opens):
    """Spans of consecutive minutes."""
    numbered = groupby(enumerate(sorted(opens)), lambda pair: pair[1] - pair[0] * MINUTE)
    for _, group in numbered:
        members = [ts for _, ts in group]
        yield Span(members[0], members[-1] + MINUTE)


def silent_minutes(exchange, text, first):
    there = set(times(exchange, text)["ts"].to_physical().to_list())
    return {ts for ts in range(first, parse_time(END), MINUTE) if ts not in there}


def expected_bars(exchange, text, first):
    """Every absent minute since *first*: in the outage if it belongs to the silence of all that holds it."""
    absent = {name: silent_minutes(exchange, name, first) for name in BARS}
    (outage,) = [span for span in runs(set.intersection(*absent.values())) if span.overlaps(Span(*OUT))]
    silent = runs(ts for ts in absent[text] if ts not in outage)
    return sorted([*((span, "no_trades") for span in silent), (outage, "outage")])


def expected_trades(exchange, names):
    """The stretch between the last trade of all before the outage and the first after it."""
    ts = [times(exchange, name)["ts"].to_physical() for name in names]
    last = max(int(one.filter(one < OUT[0]).max()) for one in ts)
    first = min(int(one.filter(one >= OUT[1]).min()) for one in ts)
    return (Span(last + 1, first), "outage")


def expected_funding(exchange, text):
    ts = times(exchange, text)["ts"].to_physical()
    due, after = parse_time("2024-01-03T12:00"), ts.filter(ts >= OUT[1]).min()
    silence = [] if ts[0] > OUT[0] else [(Span(due, int(after)), "outage")]
    return [*silence, *overdue(exchange, text)]


def overdue(exchange, text):
    """The recording of one market ends early: its next rates are due and do not come, so nobody may say that there are none."""
    *_, before, last = times(exchange, text)["ts"].to_physical().to_list()
    due = last // MINUTE * MINUTE + round((last - before) / HOUR) * HOUR
    return [(Span(due, parse_time(END)), "not_fetched")] if due < parse_time(END) else []


def expected_withheld(exchange):
    """The withheld trades, from the one before to the one after, whose time they may share, and how many they are."""
    served = times(exchange, TRADES[0], served=True).with_columns(number=pl.col("id").cast(pl.Int64))
    step = served["number"].diff()
    at = step.to_list().index(max(value for value in step.to_list() if value))
    ts = served["ts"].to_physical()
    return (Span(int(ts[at - 1]), int(ts[at]) + 1), "lost"), int(step[at]) - 1


def told(lake, text):
    return [(gap.span, str(gap.reason)) for gap in lake.gaps(text, START, END)]


def asked(exchange, since):
    """Pages that were asked for."""
    quiet = ("time", "exchangeInfo", "Time", "Assets", "AssetPairs")
    return [one for one in exchange.requests[since:] if not one.path.endswith(quiet)]


def backfill(lake):
    for text in ALL:
        dataset = Dataset.parse(text)
        frame = str(dataset.timeframe) if dataset.timeframe else None
        symbol = str(dataset.symbol)
        for _ in range(12):
            run = lake.backfill(dataset.exchange, symbol, frame, kind=dataset.kind, start=START, end=END)
            if not run["failures"] and not run["skipped"]:
                break
        assert not run["failures"], run.outcome


def test_the_lake_equals_the_truth_or_says_what_is_missing_and_repair_closes_the_rest(market, serve, lake_at):
    exchange = serve(market, "2024-01-02T12:00")
    # Calls are given up soon: one in 29 of some thousand is answered too late.
    lake = lake_at(exchange, timeout=0.4)
    lake.refresh_instruments("binance")
    exchange.clock.set(parse_time(NOW))
    exchange.be(*LASTING, *PASSING)
    exchange.faults = Faults.everything().changed({"timeout_seconds": 0.6, "retry_after": 0.01})

    backfill(lake)

    first = {text: int(times(exchange, text, served=True)["ts"].to_physical()[0]) for text in ALL}
    lost, count = expected_withheld(exchange)
    gone = {text: (Span(parse_time(START), first[text]), "unavailable") for text in [*BARS, *TRADES, *KRAKEN]}
    for text in ALL:
        assert_rows(lake, exchange, text, served=True)
    for text in BARS:
        assert told(lake, text) == sorted([gone[text], *expected_bars(exchange, text, first[text])])
    assert told(lake, TRADES[0]) == sorted([gone[TRADES[0]], lost, expected_trades(exchange, TRADES)])
    assert told(lake, TRADES[1]) == sorted([gone[TRADES[1]], expected_trades(exchange, TRADES)])
    assert [gap.missing for gap in lake.gaps(TRADES[0]) if gap.reason == "lost"] == [count]
    for text in KRAKEN:
        assert told(lake, text) == sorted([gone[text], expected_trades(exchange, KRAKEN)])
    for text in FUNDING:
        assert told(lake, text) == expected_funding(exchange, text)
    (note,) = lake.gap_report(TRADES[0]).notes
    assert "begin anew at 2024-01-04T00:0" in note

    for text in (BARS[0], TRADES[1]):
        lake.delete(text, "2024-01-03T00:00", "2024-01-03T01:00")
    done = {str(one.mended.dataset): one for one in lake.repair()}
    for text in ALL:
        assert_rows(lake, exchange, text, served=True)
    assert {text for text, one in done.items() if one.closed} == {BARS[0], TRADES[1]}
    left = {(text, str(one.gap.reason)) for text, repaired in done.items() for one in repaired.left}
    late = {text for text in FUNDING if overdue(exchange, text)}
    assert len(late) == 1
    assert left == {
        *((text, "unavailable") for text in gone),
        (TRADES[0], "lost"),
        *((text, "not_fetched") for text in late),
    }
    version, since = lake.engine.catalog.version(), len(exchange.requests)
    again = [one for text in ALL if text not in late for one in lake.repair(text)]
    left = {(text, reason) for text, reason in left if text not in late}
    assert {(str(one.mended.dataset), left.gap.reason) for one in again for left in one.left} == left
    assert [one for one in again if one.run or one.closed] == []
    assert (lake.engine.catalog.version(), exchange.requests[since:]) == (version, [])

    exchange.be(*LASTING)
    lake.repair("binance", retry=True)
    lake.repair("kraken", retry=True)
    for text in ALL:
        assert_rows(lake, exchange, text, served=False)
        overdue_now = {"not_fetched"} if text in late else set()
        assert {word for _, word in told(lake, text)} <= {"no_trades", "outage"} | overdue_now
    version, since = lake.engine.catalog.version(), len(exchange.requests)
    assert [one for text in ALL if text not in late for one in lake.repair(text, retry=True)] == []
    assert (lake.engine.catalog.version(), asked(exchange, since)) == (version, [])
    assert lake.verify(deep=True) == []
