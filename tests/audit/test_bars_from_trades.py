"""Cross-checks of a lake: what is compared, what is not, and what the exchange says when asked again."""

import polars as pl
import pytest

from ticklake.audit import crosscheck
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import HOUR, MINUTE, SECOND, parse_time
from ticklake.errors import Unsupported

T = parse_time("2024-01-01")
ONE, FIVE, TRADES = "x:ohlcv:1m:BTC/USDT", "x:ohlcv:5m:BTC/USDT", "x:trades:BTC/USDT"
DAY = ("2024-01-02", "2024-01-03")


def trades(first, last, step=7):
    seconds = pl.int_range(first, last, step, dtype=pl.Int64, eager=True)
    frame = pl.DataFrame({"ts": seconds * SECOND + T, "id": seconds.cast(pl.String), "amount": 1.0})
    frame = frame.with_columns(price=100 + (seconds * 7919 % 101) / 8, side=pl.lit("buy"))
    return frame.cast({"ts": pl.Datetime("ns", "UTC")})


def covered(lake, dataset, first, last, found=Found.DATA):
    parsed = Dataset.parse(dataset)
    lake.engine.append(parsed, parsed.spec.empty(), Provenance("user"), [Covered(Span(first, last), found)])


@pytest.fixture
def lake(lake_at):
    """A lake with four hours of trades, and the bars that they make."""
    made = lake_at()
    made.save(TRADES, trades(0, 4 * 3600))
    for dataset in (ONE, FIVE):
        made.save(dataset, made.resample(TRADES, str(Dataset.parse(dataset).timeframe)))
    return made


def minutes(check):
    return ((check.differences["ts"].to_physical() - T) // MINUTE).to_list()


def test_bars_are_held_against_trades_and_against_every_shorter_dataset(lake):
    assert [check.against for check in lake.cross_check(FIVE)] == [TRADES, ONE]
    assert [check.against for check in lake.cross_check(ONE)] == [TRADES]
    assert lake.cross_check(TRADES) == []
    assert all(check.agrees for check in lake.cross_check(FIVE))
    assert [check.compared for check in lake.cross_check(FIVE)] == [47, 48]


def test_other_symbols_exchanges_and_kinds_are_no_witnesses(lake):
    rows = lake.load(ONE)
    for name in ("x:ohlcv:1m:ETH/USDT", "y:ohlcv:1m:BTC/USDT", "x:mark_ohlcv:1m:BTC/USDT", "x:ohlcv:7m:BTC/USDT"):
        lake.save(name, rows.head(1))
    assert len(lake.cross_check(FIVE)) == 2


def test_a_bar_with_a_hole_in_it_is_not_compared(lake):
    lake.delete(ONE, T + 11 * MINUTE, T + 12 * MINUTE)
    by_minutes = lake.cross_check(FIVE)[1]
    assert (by_minutes.compared, by_minutes.agrees) == (47, True)


def test_trades_that_were_never_looked_at_are_not_compared(lake):
    covered(lake, TRADES, T, T + HOUR)
    covered(lake, TRADES, T + 2 * HOUR, T + 3 * HOUR)
    covered(lake, TRADES, T + 3 * HOUR, T + 4 * HOUR, Found.LOST)
    assert lake.cross_check(FIVE)[0].compared == 24


def test_a_bar_that_only_one_side_has_is_a_difference(lake):
    covered(lake, ONE, T, T + 4 * HOUR)
    lake.delete(ONE, T + 30 * MINUTE, T + 31 * MINUTE)
    covered(lake, ONE, T, T + 4 * HOUR)
    (check,) = lake.cross_check(ONE)
    assert check.differences.select("column", "ours", "theirs").rows() == [("row", 1.0, None)]
    assert minutes(check) == [30]


def test_quiet_bars_of_one_side_are_none(lake):
    """Field note: zero-volume bars are emitted by some exchanges and omitted by others."""
    lake.save(TRADES, trades(5 * 3600, 5 * 3600 + 600))
    covered(lake, TRADES, T, T + 6 * HOUR)
    quiet = (
        lake.load(ONE)
        .head(1)
        .with_columns(
            ts=pl.lit(T + 4 * HOUR + 30 * MINUTE).cast(pl.Datetime("ns", "UTC")), volume=0.0, quote_volume=0.0, trades=0
        )
    )
    lake.save(ONE, quiet)
    covered(lake, ONE, T, T + 5 * HOUR)
    (check,) = lake.cross_check(ONE)
    assert (check.compared, check.agrees) == (240, True)


def test_aggregated_trades_are_not_counted_against_single_ones(lake_at):
    lake = lake_at(name="other")
    lake.save(TRADES, trades(0, 3600), Provenance("user", id_space="agg"))
    lake.save(ONE, lake.resample(TRADES, "1m").with_columns(pl.col("trades") * 3))
    assert lake.cross_check(ONE)[0].agrees


def test_windows_do_not_change_the_answer(lake, monkeypatch):
    lake.save(FIVE, lake.load(FIVE).gather_every(7).with_columns(pl.col("high") + 1))
    whole = lake.cross_check(FIVE)
    monkeypatch.setattr(crosscheck, "BARS_AT_ONCE", 5)
    parts = lake.cross_check(FIVE)
    for one, other in zip(whole, parts, strict=True):
        assert (one.compared, one.differences.rows()) == (other.compared, other.differences.rows())
        assert one.differences.height == 7


class TestAskingTheExchange:
    """REST against archive: rows of dump files are held against what calls say."""

    def bring(self, lake, timeframe="1m", **options):
        return lake.backfill("binance", "BTC/USDT", timeframe, start=DAY[0], end=DAY[1], **options)

    def test_files_and_calls_agree(self, market, serve, lake_at):
        exchange = serve(market, "2024-01-05")
        lake = lake_at(exchange, archives=True)
        self.bring(lake)
        dataset = "binance:ohlcv:1m:BTC/USDT"
        assert lake.provenance(dataset, lake.load(dataset)["ts"][5])[0].source == "archive"
        version = lake.engine.catalog.version()
        (check,) = lake.cross_check(dataset, source=True)
        assert check.agrees
        assert check.against.startswith("ccxt")
        assert check.compared == lake.load(dataset).height > 1000
        assert lake.engine.catalog.version() == version

    def test_a_file_that_says_otherwise_is_found_with_both_values(self, market, serve, lake_at):
        exchange = serve(market, "2024-01-05")
        lake = lake_at(exchange, archives=True)
        self.bring(lake)
        dataset = "binance:ohlcv:1m:BTC/USDT"
        bar = lake.load(dataset).slice(100, 1)
        lake.save(dataset, bar.with_columns(pl.col("high") + 5), Provenance("archive", "wrong.zip"))
        (check,) = lake.cross_check(dataset, *DAY, source=True)
        high = bar["high"][0]
        assert check.differences.rows() == [(bar["ts"][0], "high", high + 5, high, 5.0)]

    def test_trades_are_held_against_calls_by_their_ids(self, market, serve, lake_at):
        exchange = serve(market, "2024-01-05")
        lake = lake_at(exchange, archives=True)
        lake.backfill("binance", "BTC/USDT", kind="trades", start=DAY[0], end="2024-01-02T01")
        dataset = "binance:trades:BTC/USDT"
        rows = lake.load(dataset)
        lake.save(dataset, rows.slice(7, 1).with_columns(pl.col("amount") * 2))
        (check,) = lake.cross_check(dataset, source=True)
        amount = rows["amount"][7]
        assert check.compared == rows.height
        assert check.differences.select("column", "ours", "theirs").rows() == [("amount", 2 * amount, amount)]


def days(count):
    number = pl.int_range(0, count, dtype=pl.Int64, eager=True)
    price = 100 + (number * 7919 % 101).cast(pl.Float64) / 8
    frame = pl.DataFrame({"ts": number * 24 * HOUR + T, "open": price, "close": price + 1, "volume": 1.0})
    frame = frame.with_columns(high=price + 2, low=price - 2)
    return frame.cast({"ts": pl.Datetime("ns", "UTC")})


@pytest.mark.parametrize("exchange", ["binance", "kraken", "x"])
@pytest.mark.parametrize("timeframe", ["2d", "3d", "1w", "1M", "3M"])
def test_bars_that_days_make_open_where_those_of_the_exchange_do(lake_at, exchange, timeframe):
    lake, daily = lake_at(), f"{exchange}:ohlcv:1d:BTC/USDT"
    lake.save(daily, days(400))
    longer = Dataset.parse(f"{exchange}:ohlcv:{timeframe}:BTC/USDT")
    made = lake.resample(daily, timeframe)
    opens = made["ts"].to_physical().to_list()
    assert opens == [longer.timeframe.floor(ts, longer.anchor) for ts in opens]
    lake.save(longer, made.slice(1, made.height - 2))
    (check,) = lake.cross_check(longer)
    assert (check.agrees, check.compared) == (True, made.height - 2)
    assert lake.quality(longer).missing_records == 0
    assert lake.gaps(longer) == []


def test_weeks_of_binance_begin_on_monday(lake_at):
    lake = lake_at()
    lake.save("binance:ohlcv:1d:BTC/USDT", days(30))
    made = lake.resample("binance:ohlcv:1d:BTC/USDT", "1w")
    assert set(made["ts"].dt.weekday()) == {1}
    assert lake.resample("binance:ohlcv:1d:BTC/USDT", "3d")["ts"].to_physical()[0] % (3 * 24 * HOUR) == 24 * HOUR


def test_bars_of_several_days_that_cross_the_bounds_of_longer_ones_are_refused(lake_at):
    """Weeks count from Monday, bars of fourteen days from the epoch, a Thursday."""
    lake = lake_at()
    lake.save("x:ohlcv:1w:BTC/USDT", days(1))
    with pytest.raises(Unsupported, match="cannot become 14d"):
        lake.resample("x:ohlcv:1w:BTC/USDT", "14d")
