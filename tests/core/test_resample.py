import gzip
import json
import lzma

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ticklake.core.batch import canonical
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.records import OHLCVBar, Trade
from ticklake.core.resample import bars_from_bars, bars_from_trades
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.core.timeframe import MONDAY, THURSDAY, Timeframe

T = parse_time("2024-01-01")
OHLCV, TRADES = KINDS["ohlcv"], KINDS["trades"]
PRICES = ["ts", "open", "high", "low", "close"]


def long(frame, name, anchor=None):
    return bars_from_bars(frame.lazy(), Timeframe.parse(name), anchor).collect()


def bars_of(trades, name, anchor=None):
    frame = canonical([Trade(*row) for row in trades], TRADES)
    return bars_from_trades(frame.lazy(), Timeframe.parse(name), anchor).collect()


def times(frame):
    return frame["ts"].to_physical().to_list()


ticks = st.lists(
    st.tuples(st.integers(T - 3 * DAY, T + 3 * DAY), st.integers(1, 50).map(float), st.integers(1, 9).map(float)),
    min_size=1,
    max_size=30,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
names = st.sampled_from(["1s", "1m", "5m", "1h", "4h", "1d", "2d", "1w", "1M"])
anchors = st.sampled_from([None, MONDAY, THURSDAY, DAY])


@given(ticks, names, anchors)
def test_bars_of_trades_are_what_a_loop_over_them_gives(trades, name, anchor):
    frame, groups = Timeframe.parse(name), {}
    for ts, price, amount in trades:
        groups.setdefault(frame.floor(ts, anchor), []).append((price, amount))
    expected = [
        (
            ts,
            g[0][0],
            max(p for p, _ in g),
            min(p for p, _ in g),
            g[-1][0],
            sum(a for _, a in g),
            sum(p * a for p, a in g),
            len(g),
        )
        for ts, g in groups.items()
    ]
    bars = bars_of(trades, name, anchor)
    assert bars.with_columns(pl.col("ts").to_physical()).rows() == expected


@given(ticks)
def test_longer_bars_are_the_same_by_way_of_shorter_ones(trades):
    minutes = bars_of(trades, "1m")
    for name in ("5m", "1h", "1d", "1w", "1M"):
        assert_frame_equal(long(minutes, name), bars_of(trades, name))
    assert_frame_equal(long(long(minutes, "1h"), "1d"), long(minutes, "1d"))


@given(
    st.lists(st.integers(parse_time("1965-01-01"), parse_time("2060-01-01")), min_size=1, max_size=20).map(sorted),
    st.sampled_from(["1s", "7m", "1h", "1d", "3d", "1w", "2w", "1M", "2M", "3M", "5M", "7M", "12M"]),
    anchors,
)
def test_bars_open_where_the_timeframe_says(stamps, name, anchor):
    frame = Timeframe.parse(name)
    trades = pl.LazyFrame({"ts": stamps}).select(pl.col("ts").cast(TIME), price=1.0, amount=1.0)
    opens = times(bars_from_trades(trades, frame, anchor).collect())
    assert opens == list(dict.fromkeys(frame.floor(ts, anchor) for ts in stamps))


@given(ticks, names)
def test_bars_have_the_columns_and_types_of_the_kind(trades, name):
    bars = bars_of(trades, name)
    assert dict(bars.schema) == OHLCV.schema
    assert dict(long(bars, "1M").schema) == OHLCV.schema


def test_a_stretch_without_trades_has_no_bar():
    """Field note: never invent."""
    bars = bars_of([(T, 1.0, 1.0), (T + 5 * MINUTE, 2.0, 1.0)], "1m")
    assert times(bars) == [T, T + 5 * MINUTE]


def test_trades_at_one_instant_open_and_close_in_the_order_they_came():
    bars = bars_of([(T, 3.0, 1.0), (T, 1.0, 1.0), (T, 2.0, 1.0)], "1m")
    assert bars.select("open", "high", "low", "close").row(0) == (3.0, 3.0, 1.0, 2.0)


@pytest.mark.parametrize("name", ["volume", "quote_volume", "trades"])
def test_an_unknown_volume_stays_unknown(name):
    rows = [OHLCVBar(T + minute * MINUTE, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 4) for minute in range(10)]
    frame = canonical(rows, OHLCV)
    frame = frame.with_columns(pl.when(pl.int_range(pl.len()) != 7).then(pl.col(name)).alias(name))
    known = {"volume": 10.0, "quote_volume": 15.0, "trades": 20}
    found = long(frame, "5m")
    for column, value in known.items():
        assert found[column].to_list() == [value, None if column == name else value]


def test_nothing_gives_no_bars():
    assert long(OHLCV.empty(), "5m").height == 0
    assert bars_of([], "5m").height == 0


# Real data


def complete(short, length, step):
    """The open times of the long bars whose short bars are all there."""
    ts = pl.col("ts").to_physical()
    counts = short.group_by((ts - ts % length).alias("open")).len()
    return counts.filter(pl.col("len") == length // step)["open"]


def same_bars(made, real, opens):
    inside = pl.col("ts").to_physical().is_in(opens.implode())
    made, real = (f.filter(inside).select(*PRICES, "volume") for f in (made, real))
    assert_frame_equal(made.select(PRICES), real.select(PRICES), check_exact=True)
    assert_frame_equal(made.select("volume"), real.select("volume"), rel_tol=1e-6)
    return made.height


def of_lists(rows):
    columns = ["ts", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    return canonical(frame.with_columns((pl.col("ts").cast(pl.Int64) * 10**6).cast(TIME)), OHLCV)


def of_feather(path):
    frame = pl.read_ipc(path).rename({"date": "ts"})
    return canonical(frame.select(*PRICES, "volume"), OHLCV)


def test_kucoins_minutes_give_kucoins_five_minutes(recorded):
    folder = recorded / "ohlcv"
    short = of_lists(json.loads(lzma.decompress((folder / "kucoin_BTC_USDT_1m_202303.json.xz").read_bytes())))
    real = of_lists(json.loads(gzip.decompress((folder / "kucoin_BTC_USDT_5m_202303.json.gz").read_bytes())))
    assert same_bars(long(short, "5m"), real, complete(short, 5 * MINUTE, MINUTE)) == 8639


@pytest.mark.parametrize(("short", "name", "count"), [("5m", "15m", 3635), ("15m", "1h", 719)])
def test_binances_short_bars_give_binances_long_bars(recorded, short, name, count):
    frames = {text: of_feather(recorded / f"ohlcv/binanceusdm_BTC_USDT_{text}_2025.feather") for text in (short, name)}
    opens = complete(frames[short], Timeframe.parse(name).length, Timeframe.parse(short).length)
    shared = opens.filter(opens.is_in(frames[name]["ts"].to_physical().implode()))
    assert same_bars(long(frames[short], name), frames[name], shared) == count


def test_binances_trades_give_the_minutes_that_freqtrade_has(recorded):
    raw = json.loads(gzip.decompress((recorded / "trades/binance_XRPETH_aggTrades_201910.json.gz").read_bytes()))
    trades = [Trade(ms * 10**6, price, amount, side, str(number)) for ms, number, _, side, price, amount, *_ in raw]
    bars = bars_from_trades(canonical(trades, TRADES).lazy(), Timeframe.parse("1m")).collect()
    real = of_feather(recorded / "ohlcv/freqtrade_XRP_ETH-1m.feather")
    assert bars.height == real.height == 2469
    assert same_bars(bars, real, real["ts"].to_physical()) == 2469


def test_seconds_of_a_day_give_its_hours():
    rows = [OHLCVBar(T + s * SECOND, 1.0 + s, 2.0 + s, 0.5 + s, 1.5 + s, 1.0) for s in range(7200)]
    hours = long(canonical(rows, OHLCV), "1h")
    assert times(hours) == [T, T + HOUR]
    assert hours.select("open", "high", "low", "close", "volume").row(1) == (3601.0, 7201.0, 3600.5, 7200.5, 3600.0)
