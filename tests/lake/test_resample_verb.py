"""lake.resample: which rows make which bars, in a lake."""

import json
import os
import random
import subprocess
import sys

import polars as pl
import pytest

import ticklake
from ticklake import Bars
from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.kinds import TIME
from ticklake.core.time import HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, InvalidData, UnknownDataset, UnknownTimeframe, Unsupported

T = parse_time("2024-03-08T12:00")
TRADES = "nyse:trades:A/USD"


def trades(count, step=20 * SECOND, start=T):
    numbers = range(count)
    return pl.DataFrame(
        {
            "ts": [start + n * step for n in numbers],
            "id": [str(n) for n in numbers],
            "price": [100.0 + n % 7 for n in numbers],
            "amount": [0.1 * (n % 5 + 1) for n in numbers],
            "side": ["buy" if n % 3 else "sell" for n in numbers],
        }
    ).with_columns(pl.col("ts").cast(TIME))


@pytest.fixture
def lake():
    with memory_lake(Settings(), clock=lambda: parse_time("2026-01-01")) as lake:
        lake.save(TRADES, trades(3_000))
        yield lake


def opens(bars):
    return bars["ts"].to_physical().to_list()


def test_all_that_is_known_of_a_bar_comes_by_name(lake):
    names = ["ts", "close_time", "volume", "vwap", "buy_volume", "sell_volume", "trades"]
    bars = lake.resample(TRADES, "1h", columns=names)
    assert bars.columns == names
    assert (bars["close_time"].to_physical() - bars["ts"].to_physical()).unique().to_list() == [HOUR]
    assert ((bars["buy_volume"] + bars["sell_volume"] - bars["volume"]).abs() < 1e-9).all()
    assert bars["vwap"].is_between(100, 106).all()
    with pytest.raises(InvalidData, match="no column"):
        lake.resample(TRADES, "1h", columns=["vwop"])
    with pytest.raises(InvalidData, match="no column 'known_at'") as wrong:
        lake.resample(TRADES, "1h", columns=["known_at"])
    assert "its columns are ts" in str(wrong.value)


def test_bars_that_end_with_a_trade_are_whole_and_open_in_the_time_given(lake):
    bars = lake.resample(TRADES, "7ticks")
    assert (bars.height, bars["trades"].unique().to_list()) == (3_000 // 7, [7])
    assert lake.resample(TRADES, Bars.ticks(7), partial=True)["trades"][-1] == 3_000 % 7
    # The last one opens inside and closes outside.
    some = lake.resample(TRADES, "7ticks", T, T + 10 * 20 * SECOND)
    assert some.equals(bars.head(2))
    assert lake.resample(TRADES, "7ticks", T, T + 10 * 20 * SECOND, partial=True)["trades"].to_list() == [7, 3]


def test_an_origin_makes_bars_independent_of_the_start(lake):
    late = T + 100 * 20 * SECOND
    from_start = lake.resample(TRADES, "7ticks", late)
    from_origin = lake.resample(TRADES, "7ticks", late, origin=T)
    assert opens(from_start)[0] == late
    assert from_origin.equals(lake.resample(TRADES, "7ticks").filter(pl.col("ts").to_physical() >= late))


def test_nothing_is_counted_before_the_origin(lake):
    for partial in (False, True):
        assert lake.resample(TRADES, "7ticks", end=T + HOUR, origin=T + HOUR, partial=partial).is_empty()


def test_the_rule_has_the_name_that_it_had_before_too(lake):
    assert lake.resample(TRADES, timeframe="1h").equals(lake.resample(TRADES, "1h"))
    with pytest.raises(BadInput, match="pass one"):
        lake.resample(TRADES, "1h", timeframe="1h")
    with pytest.raises(UnknownTimeframe):
        lake.resample(TRADES)


def test_a_session_makes_bars_independent_of_the_start(lake):
    """New York's midnight is at 05:00 UTC: the second day begins there, and the bar before it is cut."""
    midnight = parse_time("2024-03-09T05:00")
    bars = lake.resample(TRADES, "700ticks", session="exchange")
    assert opens(bars) == [T + n * 700 * 20 * SECOND for n in range(4)]
    cut = lake.resample(TRADES, "800ticks", session="exchange")
    assert [ts for ts in opens(cut) if ts >= midnight] == []
    assert lake.resample(TRADES, "900ticks", midnight + HOUR, session="America/New_York").is_empty()
    assert opens(lake.resample(TRADES, "300volume", midnight, session="exchange"))[:1] in ([midnight], [])


def test_days_of_a_session_open_at_its_midnight(lake):
    days = lake.resample(TRADES, "1d", session="exchange", partial=True, columns=["ts", "close_time", "trades"])
    assert opens(days) == [parse_time("2024-03-08T05:00")]
    evening = lake.resample(TRADES, "1d", session="17:00 America/New_York", partial=True)
    assert opens(evening) == [parse_time("2024-03-07T22:00"), parse_time("2024-03-08T22:00")]


def test_right_closed_bars_have_the_trade_of_their_end(lake):
    left, right = lake.resample(TRADES, "1m"), lake.resample(TRADES, "1m", closed="right")
    assert left["trades"].unique().to_list() == [3]
    assert right["trades"].to_list() == [1, *[3] * 999, 2]
    assert (opens(left)[0], opens(right)[0]) == (T, T - MINUTE)
    assert right.filter(pl.col("ts").to_physical() == T)["open"][0] == 101.0
    closing = lake.resample(TRADES, "1m", label="close")
    assert opens(closing) == [ts + MINUTE for ts in opens(left)]


@pytest.mark.parametrize("count", [1, 360, 361, 365])
def test_right_closed_bars_have_every_saved_trade(lake, count):
    """As many hours as these trades touch, each with the trade of its end: none is dropped at either end."""
    lake.save("nyse:trades:B/USD", trades(count))
    right = lake.resample("nyse:trades:B/USD", "1h", closed="right")
    assert right["trades"].sum() == count
    assert opens(right)[0] == T - HOUR


def test_filled_bars_reach_over_what_was_asked_for(lake):
    late = T + 5 * HOUR + 3_000 * 20 * SECOND
    lake.save(TRADES, trades(3, start=late))
    plain, filled = lake.resample(TRADES, "1h"), lake.resample(TRADES, "1h", fill="forward")
    empty = filled.join(plain, on="ts", how="anti")
    assert filled["ts"].to_physical().diff().drop_nulls().unique().to_list() == [HOUR]
    assert empty.height > 0
    assert empty["trades"].unique().to_list() == [0]
    assert filled["close"].null_count() == 0
    assert filled.filter(pl.col("trades") > 0).equals(plain)


def test_bars_are_put_together_by_volume_and_not_split(lake):
    lake.save("nyse:ohlcv:1m:A/USD", lake.resample(TRADES, "1m"))
    bars = lake.resample("nyse:ohlcv:1m:A/USD", "2volume")
    assert bars["volume"].min() >= 2 * (1 - 1e-9)
    assert bars["trades"].sum() <= 3_000
    assert bars["buy_volume"].null_count() == bars.height


@pytest.mark.parametrize(
    ("name", "rule", "edges"),
    [
        ("nyse:ohlcv:1m:A/USD", "1h", {"closed": "right"}),
        ("nyse:ohlcv:1m:A/USD", "30s", {}),
        ("nyse:ohlcv:1m:A/USD", "1h", {"origin": T + SECOND}),
        ("nyse:ohlcv:4h:A/USD", "1d", {"session": "exchange"}),
        ("nyse:splits:A/USD", "10ticks", {}),
    ],
)
def test_rows_that_would_be_cut_are_refused(lake, name, rule, edges):
    lake.save("nyse:ohlcv:1m:A/USD", lake.resample(TRADES, "1m"))
    lake.save("nyse:ohlcv:4h:A/USD", lake.resample(TRADES, "4h"))
    lake.save(
        "nyse:splits:A/USD", pl.DataFrame({"ts": [T // (24 * HOUR) * 24 * HOUR], "ratio": [2.0]}).cast({"ts": TIME})
    )
    with pytest.raises(Unsupported):
        lake.resample(name, rule, **edges)


def test_a_timeframe_that_is_not_stored_names_what_makes_it(lake):
    with pytest.raises(UnknownDataset, match=r"lake\.resample\('nyse:trades:A/USD', '1h'\)"):
        lake.ohlcv("nyse", "A/USD", "1h")
    lake.save("nyse:ohlcv:1m:A/USD", lake.resample(TRADES, "1m"))
    with pytest.raises(UnknownDataset, match=r"lake\.resample\('nyse:ohlcv:1m:A/USD', '1h'\)"):
        lake.ohlcv("nyse", "A/USD", "1h")


def test_a_lake_with_values_of_features_names_what_makes_a_timeframe_too(lake):
    """Their kinds exist with a version only."""
    lake.features.register("momentum", 1, "x")
    lake.features.write("momentum", 1, [{"ts": T, "x": 1.0}], exchange="nyse", symbol="A/USD")
    with pytest.raises(UnknownDataset, match=r"lake\.resample"):
        lake.ohlcv("nyse", "A/USD", "1h")


def test_trades_of_one_instant_are_taken_in_the_order_of_their_ids(lake):
    """In whichever order they came: by two collectors, or late."""
    ticks = trades(400).with_columns(ts=pl.lit(T).cast(TIME) + pl.duration(seconds=pl.int_range(400) // 7))
    expected = None
    for order in (1, 3, 57):
        name = f"nyse:trades:{order}/USD"
        places = pl.Series([n * order % 401 for n in range(1, 401)]) - 1
        mixed = ticks[places.to_list()]
        for start in range(0, 400, 90):
            lake.save(name, mixed.slice(start, 90))
        found = [lake.resample(name, rule, session="UTC") for rule in ("5s", "11ticks", "3volume")]
        expected = expected or found
        assert [one.equals(other) for one, other in zip(found, expected, strict=True)] == [True] * 3


def test_bars_of_a_frame_take_trades_in_the_same_order(lake):
    one = {"ts": [T] * 4, "price": [5.0, 3.0, 9.0, 1.0], "amount": [1.0] * 4, "side": ["buy"] * 4, "id": list("5391")}
    lake.save("nyse:trades:C/USD", pl.DataFrame(one).with_columns(pl.col("ts").cast(TIME)))
    framed = lake.frame("nyse", "C/USD", T + MINUTE).bars["1m"]
    made = lake.resample("nyse:trades:C/USD", "1m")
    assert framed.select("open", "high", "low", "close").row(0) == (1.0, 9.0, 1.0, 9.0)
    assert framed.equals(made.select(framed.columns))


def test_ids_that_are_no_numbers_leave_trades_as_they_came(lake):
    ticks = trades(30).with_columns(ts=pl.lit(T).cast(TIME), id=pl.format("x{}", 100 - pl.int_range(30)))
    lake.save("nyse:trades:X/USD", ticks)
    lake.save("nyse:trades:N/USD", ticks.with_columns(id=pl.lit(None, pl.String)))
    bars = [lake.resample(f"nyse:trades:{name}/USD", "1m").row(0) for name in "XN"]
    assert bars[0] == bars[1]
    assert bars[0][1] == 100.0


def test_compaction_changes_no_bit_of_a_bar(tmp_path):
    """How rows lie in segments decides in which frames they come."""
    with ticklake.open(tmp_path / "lake") as lake:
        whole = trades(40_000, step=SECOND)
        for start in range(0, whole.height, 4_001):
            lake.save(TRADES, whole.slice(start, 4_001))
        rules = ["1m", "1h", "1d", "333ticks", "50volume", "9999dollars"]
        columns = ["ts", "open", "volume", "quote_volume", "vwap", "buy_volume"]
        before = [lake.resample(TRADES, rule, columns=columns, partial=True) for rule in rules]
        lake.compact()
        after = [lake.resample(TRADES, rule, columns=columns, partial=True) for rule in rules]
    assert [one.equals(other) for one, other in zip(before, after, strict=True)] == [True] * len(rules)


ASKED = """
import hashlib, json, sys, ticklake
digests = []
with ticklake.open(sys.argv[1]) as lake:
    for rule in ("1s", "1m", "1h", "1d", "777ticks"):
        for _ in range(int(sys.argv[2])):
            bars = lake.resample("nyse:trades:A/USD", rule, partial=True, columns=["ts", "volume", "vwap", "buy_volume"])
            digests.append(hashlib.md5(repr(bars.rows()).encode()).hexdigest())
print(json.dumps(sorted(set(digests))))
"""


@pytest.mark.slow
def test_the_same_question_has_the_same_bytes_whatever_the_number_of_threads(tmp_path):
    with ticklake.open(tmp_path / "lake") as lake:
        numbers = random.Random(3)
        lake.save(
            TRADES,
            trades(30_000, step=SECOND).with_columns(amount=pl.Series([numbers.random() for _ in range(30_000)])),
        )
    answers = []
    for threads, repeats in (("1", "20"), ("2", "20"), ("8", "1")):
        done = subprocess.run(
            [sys.executable, "-c", ASKED, str(tmp_path / "lake"), repeats],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(json.loads(done.stdout))
    assert len(answers[0]) == 5
    assert answers[0] == answers[1] == answers[2]
