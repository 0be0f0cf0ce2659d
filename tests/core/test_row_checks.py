"""What is counted as looking wrong, and what is not."""

import random

import polars as pl
import pytest

from ticklake.core.kinds import KINDS, TIME
from ticklake.core.row_checks import FLOOR, REACH, STALE_ROWS, columns_of, measure
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND, parse_time

T = parse_time("2024-01-01")
BARS, TRADES, QUOTES, BOOK = (KINDS[name] for name in ("ohlcv", "trades", "quotes", "book"))


def walk(count, seed=1):
    """Prices of a market that moves by about a hundredth of a percent a step."""
    dice, price, prices = random.Random(seed), 100.0, []
    for _ in range(count):
        price *= 1 + dice.gauss(0, 1e-4)
        prices.append(price)
    return prices


def bars(closes, start=T, **changed):
    columns = {"high": [c + 0.01 for c in closes], "low": [c - 0.01 for c in closes], "close": closes}
    frame = pl.DataFrame({"ts": [start + n * MINUTE for n in range(len(closes))], **columns, "volume": 1.0})
    return frame.with_columns(pl.col("ts").cast(TIME), **{name: pl.Series(values) for name, values in changed.items()})


def trades(rows):
    frame = pl.DataFrame(rows, schema=["ts", "price", "amount", "side"], orient="row")
    return frame.with_columns(pl.col("ts").cast(TIME))


def counted(frame, kind, *names, inside=None):
    """The sums of some counts over all days."""
    found = measure(frame, kind) if inside is None else measure(frame, kind, inside)
    sums = tuple(found[name].sum() for name in names)
    return sums[0] if len(sums) == 1 else sums


class TestOutliers:
    def test_a_market_that_wanders_has_none(self):
        assert counted(bars(walk(5000)), BARS, "outliers", "present_records") == (0, 5000)

    @pytest.mark.parametrize("factor", [0.5, 0.98, 1.02, 10.0])
    def test_a_spike_that_comes_and_goes_is_one(self, factor):
        prices = walk(500)
        prices[250] *= factor
        assert counted(bars(prices), BARS, "outliers") == 1

    @pytest.mark.parametrize("column", ["high", "low"])
    def test_a_spike_of_a_high_or_low_alone_is_one(self, column):
        frame = bars(walk(500))
        values = frame[column].to_list()
        values[100] *= 1.5 if column == "high" else 0.5
        assert counted(bars(walk(500), **{column: values}), BARS, "outliers") == 1

    def test_a_jump_that_stays_is_none(self):
        """A market that opens elsewhere is no error."""
        prices = walk(500)
        assert counted(bars(prices[:250] + [price * 1.2 for price in prices[250:]]), BARS, "outliers") == 0

    def test_a_wild_hour_is_none(self):
        dice = random.Random(2)
        prices = [100 * (1 + dice.gauss(0, 0.02)) for _ in range(500)]
        assert counted(bars(prices), BARS, "outliers") == 0

    def test_what_moves_less_than_the_floor_is_none(self):
        prices = [100.0] * 500
        prices[250] = 100 * (1 + 0.9 * FLOOR)
        assert counted(bars(prices), BARS, "outliers") == 0
        prices[250] = 100 * (1 + 1.2 * FLOOR)
        assert counted(bars(prices), BARS, "outliers") == 1

    def test_each_day_is_judged_by_the_rows_around_it_alone(self):
        """What is measured day by day equals what is measured at once."""
        prices = walk(3 * 1440)
        for place in (0, 1439, 1440, 2000, 2879, 4319):
            prices[place] *= 1.1
        whole = bars(prices)
        at_once = measure(whole, BARS)
        ts = pl.col("ts").to_physical()
        parts = []
        for day in range(3):
            inside = Span(T + day * DAY, T + (day + 1) * DAY)
            near = inside.widen(REACH * MINUTE, REACH * MINUTE)
            part = whole.filter((ts >= near.start) & (ts < near.end))
            parts.append(measure(part, BARS, inside))
        assert pl.concat(parts).equals(at_once)
        assert at_once["outliers"].to_list() == [2, 3, 1]

    def test_prices_that_are_not_positive_hurt_nobody(self):
        """Oil was sold below zero in April 2020."""
        prices = walk(300)
        prices[100:102] = [0.0, -37.6]
        assert counted(bars(prices), BARS, "present_records", "outliers") == (300, 0)

    def test_trades_are_judged_hour_by_hour(self):
        prices = walk(7200)
        prices[3599] *= 1.05
        prices[5000] *= 1.05
        rows = trades([(T + n * SECOND, price, 1.0, "buy") for n, price in enumerate(prices)])
        ts = pl.col("ts").to_physical()
        hours = [rows.filter(ts // HOUR == (T // HOUR) + n) for n in range(2)]
        assert counted(rows, TRADES, "outliers") == 2
        assert [counted(hour, TRADES, "outliers") for hour in hours] == [1, 1]


class TestStalePrices:
    def test_bars_that_stand_at_one_price_are_stale_from_twenty_in_a_row(self):
        for length, stale in ((STALE_ROWS - 1, 0), (STALE_ROWS, STALE_ROWS), (70, 70)):
            prices = [*walk(50), *[100.0] * length, *walk(50, seed=3)]
            flat = bars(prices)
            dead = pl.col("close") == 100.0
            frame = flat.with_columns(
                pl.when(dead).then("close").otherwise(name).alias(name) for name in ("high", "low")
            )
            assert counted(frame, BARS, "stale_prices") == stale

    def test_bars_that_close_alike_but_moved_are_not(self):
        assert counted(bars([100.0] * 100), BARS, "stale_prices") == 0

    def test_an_hour_of_trades_at_one_price_is(self):
        dead = [(T + n * MINUTE, 100.0, 1.0, "buy") for n in range(60)]
        alive = [(T + HOUR + n * MINUTE, 100.0 + n % 2, 1.0, "buy") for n in range(60)]
        few = [(T + 2 * HOUR + n * MINUTE, 100.0, 1.0, "buy") for n in range(5)]
        assert counted(trades([*dead, *alive, *few]), TRADES, "stale_prices") == 60


class TestTheRest:
    def test_bars_without_volume_are_counted_and_unknown_volumes_are_not(self):
        frame = bars(walk(10), volume=[0.0, None, 1.0, 0.0, *[2.0] * 6])
        assert counted(frame, BARS, "zero_volumes") == 2

    def test_identical_prints_are_the_rows_beyond_the_first(self):
        """Field note: identical prints are real, so they are told and kept."""
        same, other = (T, 100.0, 1.0, "buy"), (T, 100.0, 1.0, "sell")
        later = (T + DAY, 100.0, 1.0, "buy")
        frame = trades([same, other, same, same, (T + 1, 100.0, 1.0, "buy"), later, later])
        assert measure(frame, TRADES)["duplicates"].to_list() == [2, 1]

    def test_quotes_cross_when_the_bid_is_above_the_ask(self):
        """A locked market, bid equal to ask, is none."""
        rows = [(T, 1.0, 2.0), (T + 1, 2.0, 1.0), (T + 2, 1.0, 1.0), (T + 3, None, 1.0)]
        frame = pl.DataFrame(rows, schema=["ts", "bid_price", "ask_price"], orient="row")
        frame = frame.with_columns(pl.col("ts").cast(TIME))
        assert counted(frame, QUOTES, "crossed_books", "judged_books") == (1, 3)

    def test_snapshots_of_a_book_cross_and_deltas_are_not_judged(self):
        """Field note: two snapshots with one timestamp must not mix into a crossed book."""
        rows = []
        for seq, (bid, ask, whole) in enumerate([(1.0, 2.0, True), (2.0, 2.0, True), (3.0, 1.0, False)]):
            rows += [(T, seq, "bid", bid, whole), (T, seq, "bid", bid - 0.5, whole), (T, seq, "ask", ask, whole)]
        rows += [(T + 1, 9, "bid", 5.0, True)]
        frame = pl.DataFrame(rows, schema=["ts", "seq", "side", "price", "is_snapshot"], orient="row")
        frame = frame.with_columns(pl.col("ts").cast(TIME))
        assert counted(frame, BOOK, "crossed_books", "judged_books", "present_records") == (1, 2, 10)

    @pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
    def test_every_kind_can_be_measured_and_nothing_is_nothing(self, kind):
        none = kind.empty().select(columns_of(kind))
        assert measure(none, kind).height == 0
        assert set(columns_of(kind)) <= set(kind.names)

    def test_only_rows_inside_are_counted(self):
        frame = bars(walk(100))
        inside = Span(T + 10 * MINUTE, T + 20 * MINUTE)
        assert counted(frame, BARS, "present_records", inside=inside) == 10
