"""Markouts: how far the price had moved in the direction of a trade some time after it."""

from __future__ import annotations

import datetime as dt
import random

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import BadInput, InvalidTime
from ticklake.testing.rows import START, bars

QUOTES = "x:quotes:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
BARS = "x:ohlcv:1m:BTC/USDT"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        yield lake


def times(values: list[int | None]) -> pl.Series:
    return pl.Series([None if value is None else START + value for value in values], dtype=pl.Int64).cast(TIME)


def quotes(*rows: tuple[int, float | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": times([ts for ts, *_ in rows]),
            "bid_price": pl.Series([bid for _, bid, _ in rows], dtype=pl.Float64),
            "bid_amount": 1.0,
            "ask_price": pl.Series([ask for *_, ask in rows], dtype=pl.Float64),
            "ask_amount": 3.0,
        }
    )


def trades(*rows: tuple[int | None, float, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": times([ts for ts, *_ in rows]),
            "price": [price for _, price, _ in rows],
            "side": pl.Series([side for *_, side in rows], dtype=pl.String),
        }
    )


def test_a_markout_is_the_move_in_the_direction_of_the_trade(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0), (SECOND, 101.0, 103.0), (10 * SECOND, 90.0, 92.0)))
    frame = trades((0, 101.0, "buy"), (0, 99.0, "sell"))
    made = lake.markout(frame, QUOTES, offsets=["0s", "999ms", "1s", "10s"])
    assert made.columns == ["ts", "price", "side", "markout_0s", "markout_999ms", "markout_1s", "markout_10s"]
    assert made.row(0)[3:] == (-1.0, -1.0, 1.0, -10.0)
    assert made.row(1)[3:] == (-1.0, -1.0, -3.0, 8.0)
    bps = lake.markout(frame, QUOTES, offsets="1s", unit="bps")["markout_1s"].to_list()
    assert bps == [1.0 / 101.0 * 10_000, -3.0 / 99.0 * 10_000]


def test_after_the_last_quote_a_markout_is_null(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0), (10 * SECOND, 99.0, 101.0)))
    made = lake.markout(trades((9 * SECOND, 100.0, "buy")), QUOTES, offsets=["1s", dt.timedelta(milliseconds=1001)])
    assert made.row(0)[3:] == (0.0, None)
    # Another quote later, outside of what the trades need, shows that the data goes on.
    lake.save(QUOTES, quotes((DAY, 99.0, 101.0)))
    assert lake.markout(trades((9 * SECOND, 100.0, "buy")), QUOTES, offsets="5s").row(0)[3:] == (0.0,)
    assert lake.markout(trades((9 * SECOND, 100.0, "buy")), QUOTES, offsets="5s", max_age="3s").row(0)[3:] == (None,)


def test_offsets_may_lie_before_the_trade(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0), (10 * SECOND, 109.0, 111.0)))
    made = lake.markout(trades((11 * SECOND, 110.0, "buy"), (SECOND, 100.0, "buy")), QUOTES, offsets=["-2s", "-1s"])
    assert made["markout_-2s"].to_list() == [-10.0, None]
    assert made["markout_-1s"].to_list() == [0.0, 0.0]


def test_a_quote_from_long_before_the_first_trade_is_found(lake):
    lake.save(QUOTES, quotes((-3000 * DAY, 99.0, 101.0), (DAY, 1.0, 1.0)))
    assert lake.markout(trades((0, 100.0, "sell")), QUOTES, offsets="1s").row(0)[3:] == (0.0,)


def test_unknown_sides_and_times_and_one_sided_quotes_are_null(lake):
    lake.save(QUOTES, quotes((0, 99.0, None), (SECOND, 99.0, 101.0), (DAY, 1.0, 1.0)))
    frame = trades((0, 100.0, "buy"), (SECOND, 100.0, None), (None, 100.0, "buy"), (SECOND, 100.0, "buy"))
    assert lake.markout(frame, QUOTES, offsets="0s")["markout_0s"].to_list() == [None, None, None, 0.0]


def test_the_price_of_a_bar_counts_from_its_close(lake):
    lake.save(BARS, bars(0, 10))
    closes = lake.load(BARS)["close"].to_list()
    made = lake.markout(trades((0, 0.0, "buy")), BARS, offsets=["0s", "59s", "1m", "119s", "9m", "10m", "601s"])
    assert made.row(0)[3:] == (None, None, closes[0], closes[0], closes[8], closes[9], None)


def test_the_price_can_be_chosen(lake):
    lake.save(QUOTES, quotes((0, 100.0, 104.0), (DAY, 1.0, 1.0)))
    for price, expected in [("mid", 102.0), ("microprice", 101.0), ("bid_price", 100.0), ("ask_price", 104.0)]:
        assert lake.markout(trades((0, 0.0, "buy")), QUOTES, offsets="1s", price=price).row(0)[3] == expected
    lake.save(BARS, bars(0, 10))
    assert lake.markout(trades((0, 0.0, "buy")), BARS, offsets="1m", price="high").row(0)[3] == bars(0, 1)["high"][0]


def test_a_dataset_of_trades_against_itself(lake):
    lake.save(TRADES, trades((0, 1.0, "buy"), (SECOND, 3.0, "sell"), (2 * SECOND, 7.0, "buy")).with_columns(amount=1.0))
    made = lake.markout(TRADES, TRADES, offsets=["1s", "2s"])
    assert made["markout_1s"].to_list() == [2.0, -4.0, None]
    assert made["markout_2s"].to_list() == [6.0, None, None]
    assert lake.markout(TRADES, TRADES, START + SECOND, offsets="1s")["markout_1s"].to_list() == [-4.0, None]


def test_each_trade_is_held_against_its_own_symbol(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0), (DAY, 1.0, 1.0)))
    lake.save("x:quotes:ETH/USDT", quotes((0, 9.0, 11.0), (DAY, 1.0, 1.0)))
    frame = trades((0, 10.0, "buy"), (0, 10.0, "buy"), (0, 10.0, "buy"))
    frame = frame.with_columns(symbol=pl.Series(["ETH/USDT", "BTC/USDT", "XRP/USDT"]))
    assert lake.markout(frame, "x:quotes:*", offsets="1s")["markout_1s"].to_list() == [0.0, 90.0, None]


def test_offsets_beyond_the_edges_of_time_are_null(lake):
    edges = [parse_time("1677-09-22"), parse_time("2262-04-11")]
    lake.save(QUOTES, quotes((0, 99.0, 101.0)))
    frame = trades((0, 100.0, "buy"), (0, 100.0, "buy")).with_columns(ts=pl.Series(edges).cast(TIME))
    made = lake.markout(frame, QUOTES, offsets=["30d", "-30d"])
    assert made.select("markout_30d", "markout_-30d").null_count().row(0) == (2, 2)


def test_empty_sides(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0)))
    assert lake.markout(trades(), QUOTES, offsets="1s").columns == ["ts", "price", "side", "markout_1s"]
    lake.delete(QUOTES)
    assert lake.markout(trades((0, 1.0, "buy")), QUOTES, offsets="1s")["markout_1s"].to_list() == [None]


@pytest.mark.parametrize("apart", [1, 1 << 17])
def test_markouts_equal_a_search_through_every_quote(lake, monkeypatch, apart):
    monkeypatch.setattr("ticklake.query.asof._APART", apart)
    monkeypatch.setattr("ticklake.query.asof._MOST_ROWS", 10 * apart)
    monkeypatch.setattr("ticklake.query.asof._ROWS_EACH", 0)
    rng = random.Random(3)
    held = sorted((rng.randrange(HOUR), rng.random(), rng.random()) for _ in range(400))
    lake.save(QUOTES, quotes(*held))
    stored = lake.load(QUOTES).with_columns(pl.col("ts").to_physical() - START)
    mids = [(ts, (bid + ask) / 2) for ts, bid, ask in stored.select("ts", "bid_price", "ask_price").rows()]
    rows = [(rng.randrange(HOUR), rng.random(), rng.choice(["buy", "sell"])) for _ in range(200)]
    offsets = {"-1m": -MINUTE, "0s": 0, "5s": 5 * SECOND, "30m": 30 * MINUTE}
    made = lake.markout(trades(*rows), QUOTES, offsets=list(offsets))
    for name, offset in offsets.items():
        expected = []
        for ts, price, side in rows:
            before = [mid for at, mid in mids if at <= ts + offset]
            is_known = before and ts + offset <= mids[-1][0]
            expected.append((before[-1] - price) * (1 if side == "buy" else -1) if is_known else None)
        assert made[f"markout_{name}"].to_list() == expected


def test_what_cannot_be_meant_is_refused(lake):
    lake.save(QUOTES, quotes((0, 99.0, 101.0)))
    frame = trades((0, 1.0, "buy"))
    for wrong, word in [
        (lambda: lake.markout(frame.drop("side"), QUOTES), "'side'"),
        (lambda: lake.markout(frame.drop("price"), QUOTES), "'price'"),
        (lambda: lake.markout(frame.with_columns(markout_1s=1), QUOTES), "already"),
        (lambda: lake.markout(frame.with_columns(price=pl.lit("1")), QUOTES), "no number"),
        (lambda: lake.markout(frame.with_columns(side=pl.lit(1)), QUOTES), "buy and sell"),
        (lambda: lake.markout(frame, QUOTES, offsets=["1s", "1s"]), "twice"),
        (lambda: lake.markout(frame, QUOTES, offsets=[]), "offsets"),
        (lambda: lake.markout(frame, QUOTES, offsets="soon"), "soon"),
        (lambda: lake.markout(frame, QUOTES, price="close"), "'close'"),
        (lambda: lake.markout(frame, QUOTES, unit="percent"), "unit"),
        (lambda: lake.markout(frame, QUOTES, at="time"), "'time'"),
    ]:
        with pytest.raises((BadInput, InvalidTime), match=word):
            wrong()
