"""Panels: many symbols in one table, with what is missing as null."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.kinds import TIME
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.errors import BadInput, InvalidData, UnknownDataset
from ticklake.testing.rows import START, bars, trades

BTC, ETH, NEW = "BTC/USDT", "ETH/USDT", "NEW/USDT"
SECONDS = "SEC/USDT"


@pytest.fixture
def lake():
    """Bars of three symbols: one has a hole, and one was listed later."""
    with memory_lake() as lake:
        lake.save(f"x:ohlcv:1h:{BTC}", hours(0, 1, 2, 3, 5))
        lake.save(f"x:ohlcv:1h:{ETH}", hours(0, 2, 3, 5, bump=100.0))
        lake.save(f"x:ohlcv:1h:{NEW}", hours(3, 5, bump=200.0))
        yield lake


def hours(*numbers: int, bump: float = 0.0) -> pl.DataFrame:
    return pl.concat([bars(number, number + 1, bump, interval=HOUR) for number in numbers])


def close(number: int, bump: float = 0.0) -> float:
    return bars(number, number + 1, bump, interval=HOUR)["close"][0]


def numbers(panel: pl.DataFrame, name: str = "ts") -> list[int]:
    return ((panel[name].to_physical() - START) // HOUR).to_list()


def test_a_wide_panel_has_a_column_for_each_symbol_and_null_where_one_has_no_bar(lake):
    panel = lake.panel("x", [BTC, ETH, NEW], "1h")
    assert panel.columns == ["ts", BTC, ETH, NEW]
    assert numbers(panel) == [0, 1, 2, 3, 5]
    assert panel[BTC].to_list() == [close(number) for number in (0, 1, 2, 3, 5)]
    assert panel[ETH].to_list() == [close(0, 100.0), None, *(close(number, 100.0) for number in (2, 3, 5))]
    assert panel[NEW].to_list() == [None, None, None, close(3, 200.0), close(5, 200.0)]


def test_a_long_panel_has_a_row_for_each_time_and_symbol(lake):
    panel = lake.panel("x", [NEW, BTC], "1h", ["close", "volume"], wide=False)
    assert panel.columns == ["ts", "symbol", "close", "volume"]
    assert panel["symbol"].to_list() == [NEW, BTC] * 5
    wide = lake.panel("x", [NEW, BTC], "1h")
    assert panel["close"].to_list() == [value for row in wide.select(NEW, BTC).rows() for value in row]


def test_several_columns_of_a_wide_panel_are_named_by_column_and_symbol(lake):
    panel = lake.panel("x", BTC, "1h", ["close", "open"])
    assert panel.columns == ["ts", f"close:{BTC}", f"open:{BTC}"]


def test_the_times_that_all_have_and_every_time_that_may_be(lake):
    assert numbers(lake.panel("x", [BTC, ETH, NEW], "1h", how="inner")) == [3, 5]
    grid = lake.panel("x", [BTC, ETH], "1h", how="grid")
    assert numbers(grid) == [0, 1, 2, 3, 4, 5]
    # An hour in which no symbol has a bar.
    assert grid.row(4)[1:] == (None, None)
    bounded = lake.panel("x", BTC, "1h", "close", START - 2 * HOUR, START + HOUR, how="grid")
    assert numbers(bounded) == [-2, -1, 0]
    assert bounded[BTC].to_list() == [None, None, close(0)]


def test_bars_are_labelled_by_their_close_if_that_is_asked_for(lake):
    panel = lake.panel("x", BTC, "1h", label="close")
    assert panel.columns == ["close_time", BTC]
    assert numbers(panel, "close_time") == [1, 2, 3, 4, 6]
    lake.save(f"x:ohlcv:1M:{BTC}", bars(0, 1).with_columns(ts=pl.lit(parse_time("2024-02-01")).cast(TIME)))
    months = lake.panel("x", BTC, "1M", label="close")
    assert months["close_time"].to_physical().to_list() == [parse_time("2024-03-01")]


def test_missing_values_are_filled_only_if_that_is_asked_for_and_from_before(lake):
    panel = lake.panel("x", [ETH, NEW], "1h", how="grid", fill="forward")
    assert panel[ETH].to_list()[:2] == [close(0, 100.0)] * 2
    assert panel[NEW].to_list() == [None] * 3 + [close(3, 200.0)] * 2 + [close(5, 200.0)]


def test_only_what_was_known_at_an_instant(lake):
    assert numbers(lake.panel("x", BTC, "1h", known_at=START + 2 * HOUR)) == [0, 1]
    assert numbers(lake.panel("x", BTC, "1h", known_at=START + 2 * HOUR - 1)) == [0]
    assert numbers(lake.panel("x", BTC, "1h", known_at=START + 2 * HOUR, lags={"ohlcv": "1m"})) == [0]


def test_symbols_by_pattern_and_each_once(lake):
    assert lake.panel("X", "*/USDT", "60m").columns == ["ts", BTC, ETH, NEW]
    assert lake.panel("x", [ETH, "[BE]T*", ETH], "1h").columns == ["ts", ETH, BTC]


def test_a_dataset_without_rows_is_a_column_of_nulls(lake):
    lake.delete(f"x:ohlcv:1h:{ETH}")
    assert lake.panel("x", [BTC, ETH], "1h")[ETH].null_count() == 5
    assert lake.panel("x", ETH, "1h").shape == (0, 2)
    assert lake.panel("x", ETH, "1h", how="grid", wide=False).columns == ["ts", "symbol", "close"]


def test_other_kinds_than_bars(lake):
    rates = pl.DataFrame({"ts": pl.Series([START, START + DAY], dtype=pl.Int64).cast(TIME), "rate": [0.1, 0.2]})
    lake.save("x:funding:BTC/USDT:USDT", rates)
    assert lake.panel("x", "BTC/*", kind="funding", column="rate").rows()[1][1] == 0.2
    lake.save(f"x:trades:{BTC}", trades(0, 3).with_columns(ts=pl.lit(START).cast(TIME)))
    # Of several trades of one instant the last one stands for it.
    assert lake.panel("x", BTC, kind="trades", column="price").rows()[0][1] == trades(2, 3)["price"][0]
    with pytest.raises(BadInput, match="no bars"):
        lake.panel("x", BTC, kind="trades", column="price", label="close")


def test_an_all_null_column_stays_null(lake):
    panel = lake.panel("x", [BTC, ETH], "1h", "trades")
    assert panel.select(BTC, ETH).null_count().row(0) == (5, 5)


def test_a_snapshot_has_a_panel_of_its_version(lake):
    version = lake.engine.catalog.version()
    lake.save(f"x:ohlcv:1h:{BTC}", hours(6))
    assert numbers(lake.at(version).panel("x", BTC, "1h")) == [0, 1, 2, 3, 5]


def test_what_cannot_be_meant_is_refused(lake):
    lake.save(f"x:ohlcv:1s:{SECONDS}", bars(0, 1))
    for wrong, error, word in [
        (lambda: lake.panel("x", BTC, "1h", "price"), InvalidData, "price"),
        (lambda: lake.panel("x", BTC, "1h", ["close", "ts"]), BadInput, "'ts'"),
        (lambda: lake.panel("x", [], "1h"), BadInput, "names no dataset"),
        (lambda: lake.panel("x", BTC, "1h", how="left"), BadInput, "how='left'"),
        (lambda: lake.panel("x", BTC, "1h", fill="backward"), BadInput, "fill="),
        (lambda: lake.panel("x", BTC, "1h", label=None), BadInput, "label="),
        (lambda: lake.panel("x", "XRP/USDT", "1h"), UnknownDataset, "XRP"),
        (lambda: lake.panel("x", "XRP/*", "1h"), UnknownDataset, "XRP"),
        (lambda: lake.panel("x", BTC), BadInput, "needs a timeframe"),
        (lambda: lake.panel("x", SECONDS, "1s", "close", "1970", "2200", how="grid"), BadInput, "narrow"),
    ]:
        with pytest.raises(error, match=word):
            wrong()
