"""Indicators against formulas written out, and against themselves over more history, many rows at once, and cut bars."""

import math
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core import indicators as module
from ticklake.core.indicator_names import usual_name
from ticklake.core.indicator_table import DEFINITIONS
from ticklake.core.indicators import compute, compute_at, parse_indicators, why_missing
from ticklake.errors import BadInput, InvalidData, MissingExtra

USUAL = [usual_name(name, definition) for name, definition in DEFINITIONS.items()]
ALL = parse_indicators(USUAL)
RECURSIVE = [
    indicator for indicator in ALL if DEFINITIONS[indicator.name.rstrip("_0123456789")].memory == "recursive"
] + list(parse_indicators(["ema_2", "ema_200", "rsi_2", "rsi_100", "adx_30", "macd_5_35_5", "macd_3_5_50", "tema_60"]))


def walk(count, seed=1, price=60_000.0, step=0.001):
    """Bars of a random walk with jumps, as markets have them."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(step * random.standard_t(3, count)))
    opened = np.concatenate([[price], close[:-1]])
    high = np.maximum(opened, close) * (1 + step * random.random(count))
    low = np.minimum(opened, close) * (1 - step * random.random(count))
    volume = random.exponential(5.0, count)
    return pl.DataFrame(
        {"ts": range(count), "open": opened, "high": high, "low": low, "close": close, "volume": volume}
    )


def value(name, bars):
    """The values of one indicator; the value itself if there is one."""
    values = compute(bars, parse_indicators(name))
    return values[name] if name in values else tuple(values.values())


def flat(count, price=5.0, volume=1.0):
    names = ["open", "high", "low", "close"]
    return pl.DataFrame({"ts": range(count), **dict.fromkeys(names, [price] * count), "volume": [volume] * count})


BARS = walk(700)
HIGH, LOW, CLOSE, VOLUME = (BARS[name].to_list() for name in ("high", "low", "close", "volume"))
near = pytest.approx


def mean(numbers):
    return math.fsum(numbers) / len(numbers)


def spread(numbers):
    middle = mean(numbers)
    return math.sqrt(mean([(number - middle) ** 2 for number in numbers]))


def averages(numbers, weight, first):
    """Exponential averages from the plain average of the *first* numbers on."""
    average = mean(numbers[:first])
    yield average
    for number in numbers[first:]:
        average += weight * (number - average)
        yield average


def last(numbers):
    return list(numbers)[-1]


def ema(numbers, length):
    return list(averages(numbers, 2 / (length + 1), length))


def wilder(numbers, length):
    return last(averages(numbers, 1 / length, length))


def true_ranges():
    for before, high, low in zip(CLOSE[:-1], HIGH[1:], LOW[1:], strict=True):
        yield max(high, before) - min(low, before)


def typical():
    return [sum(prices) / 3 for prices in zip(HIGH, LOW, CLOSE, strict=True)]


def test_averages_are_those_of_their_formulas():
    assert value("sma_20", BARS) == near(mean(CLOSE[-20:]), rel=1e-12)
    weights = range(1, 21)
    assert value("wma_20", BARS) == near(sum(w * c for w, c in zip(weights, CLOSE[-20:], strict=True)) / 210, rel=1e-12)
    assert value("ema_50", BARS) == near(last(ema(CLOSE, 50)), rel=1e-9)


def test_macd_is_the_difference_of_two_averages_and_its_average():
    fast, slow = ema(CLOSE, 12), ema(CLOSE, 26)
    line = [a - b for a, b in zip(fast[14:], slow, strict=True)]
    signal = last(ema(line, 9))
    assert value("macd_12_26_9", BARS) == near((line[-1], signal, line[-1] - signal), abs=1e-8 * CLOSE[-1])


def test_rsi_and_atr_use_wilder_averages():
    changes = [after - before for before, after in pairwise(CLOSE)]
    gains = wilder([max(change, 0) for change in changes], 14)
    losses = wilder([max(-change, 0) for change in changes], 14)
    assert value("rsi_14", BARS) == near(100 * gains / (gains + losses), rel=1e-8)
    assert value("cmo_14", BARS) == near(100 * (gains - losses) / (gains + losses), rel=1e-7)
    atr = wilder(list(true_ranges()), 14)
    assert value("atr_14", BARS) == near(atr, rel=1e-8)
    assert value("natr_14", BARS) == near(100 * atr / CLOSE[-1], rel=1e-8)


@pytest.mark.parametrize("price", [1e-7, 1e-3, 60_000.0, 1e9])
def test_bollinger_bands_are_right_for_cheap_and_dear_prices(price):
    bars = walk(20, price=price, step=1e-5)
    closes = bars["close"].to_list()
    middle, width = mean(closes), spread(closes)
    assert value("stddev_20", bars) == near(width, rel=1e-6, abs=0)
    assert value("bbands_20_2.5", bars) == near((middle + 2.5 * width, middle, middle - 2.5 * width), rel=1e-10, abs=0)


def test_changes_are_from_the_close_so_many_bars_before():
    assert value("mom_10", BARS) == CLOSE[-1] - CLOSE[-11]
    assert value("roc_10", BARS) == near(100 * (CLOSE[-1] / CLOSE[-11] - 1), rel=1e-9)


def test_oscillators_are_those_of_their_formulas():
    ks = []
    for end in range(len(CLOSE) - 4, len(CLOSE) + 1):
        lowest, highest = min(LOW[end - 14 : end]), max(HIGH[end - 14 : end])
        ks.append(100 * (CLOSE[end - 1] - lowest) / (highest - lowest))
    smooth = [mean(ks[place : place + 3]) for place in range(3)]
    assert value("stoch_14_3_3", BARS) == near((smooth[-1], mean(smooth)), rel=1e-9)
    assert value("willr_14", BARS) == near(ks[-1] - 100, rel=1e-9)
    prices = typical()[-20:]
    deviation = mean([abs(price - mean(prices)) for price in prices])
    assert value("cci_20", BARS) == near((prices[-1] - mean(prices)) / (0.015 * deviation), rel=1e-9)


def test_money_flow_is_that_of_its_formula():
    prices, up, down = typical(), 0.0, 0.0
    for place in range(len(prices) - 14, len(prices)):
        flow = prices[place] * VOLUME[place]
        up += flow * (prices[place] > prices[place - 1])
        down += flow * (prices[place] < prices[place - 1])
    assert value("mfi_14", BARS) == near(100 * up / (up + down), rel=1e-9)


def test_sums_of_volume_begin_at_zero_so_many_bars_before():
    signs = [(after > before) - (after < before) for before, after in zip(CLOSE[-61:], CLOSE[-60:], strict=False)]
    assert value("obv_60", BARS) == near(sum(s * v for s, v in zip(signs, VOLUME[-60:], strict=True)), rel=1e-12)
    flows = [v * (2 * c - h - lo) / (h - lo) for h, lo, c, v in zip(HIGH, LOW, CLOSE, VOLUME, strict=True)][-60:]
    assert value("ad_60", BARS) == near(sum(flows), abs=1e-9)
    assert value("cmf_20", BARS) == near(sum(flows[-20:]) / sum(VOLUME[-20:]), rel=1e-9)


def test_the_average_price_is_weighted_by_volume():
    paid = sum(p * v for p, v in zip(typical()[-60:], VOLUME[-60:], strict=True))
    assert value("vwap_60", BARS) == near(paid / sum(VOLUME[-60:]), rel=1e-12)


@pytest.mark.parametrize("indicator", RECURSIVE, ids=lambda indicator: indicator.name)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_longer_history_changes_nothing_that_counts(indicator, seed):
    bars = walk(3 * indicator.warm_up, seed)
    values = compute(bars, [indicator])
    longer = compute(bars, [replace(indicator, warm_up=bars.height)])
    scale = 0.0
    if indicator.name.startswith("macd"):
        scale = bars["close"][-1]  # differences of averages may be near 0 themselves
    if indicator.name.startswith(("cmo", "trix")):
        scale = 100  # and so may percents
    for output in indicator.outputs:
        assert abs(values[output] - longer[output]) < 1e-7 * max(abs(longer[output]), scale)


@pytest.mark.parametrize("indicator", ALL, ids=lambda indicator: indicator.name)
def test_one_bar_less_than_the_warm_up_is_too_few(indicator):
    bars = walk(indicator.warm_up)
    assert None not in compute(bars, [indicator]).values()
    assert set(compute(bars[1:], [indicator]).values()) == {None}


def test_the_warm_up_is_all_that_is_read():
    for indicator in ALL:
        assert compute(BARS, [indicator]) == compute(BARS.tail(indicator.warm_up), [indicator])


def test_later_bars_change_nothing():
    other = pl.concat([BARS.head(650), walk(50, 9, price=1.0)])
    assert compute_at(other, np.array([650]), ALL) == compute_at(BARS, np.array([650]), ALL)
    assert list(compute_at(other, np.array([650]), ALL)) == list(compute(BARS, ALL))


def test_many_rows_at_once_have_the_bits_of_each_alone():
    holed = BARS.with_columns(
        close=pl.when(pl.col("ts") == 100).then(None).otherwise("close"),
        volume=pl.when(pl.col("ts") == 30).then(math.nan).otherwise("volume"),
    )
    ends = np.array([700, 0, 1, 15, 31, 100, 101, 120, 121, 500, 627, 700, 20, 656])
    together = compute_at(holed, ends, ALL)
    for place, end in enumerate(ends.tolist()):
        for output, single in compute(holed.head(end), ALL).items():
            expected = np.float64(math.nan if single is None else single)
            assert together[output][place].tobytes() == expected.tobytes(), (output, end)


def test_the_same_question_gives_the_same_bits_from_any_piece_of_memory():
    answers = set()
    for offset in range(20):
        # Other alignments, in one piece and in many.
        padded = pl.concat([walk(offset + 1, 5), BARS], rechunk=offset % 2 == 0)
        answers.add(repr(compute(padded, ALL)))
    assert len(answers) == 1


def test_a_hole_in_a_column_counts_only_for_those_that_read_it():
    bars = BARS.with_columns(volume=pl.when(pl.col("ts") == 690).then(None).otherwise("volume"))
    values = compute(bars, parse_indicators(["sma_20", "mfi_14", "cmf_2"]))
    assert (values["sma_20"] is None, values["mfi_14"] is None, values["cmf_2"] is None) == (False, True, False)


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_unknown(bad):
    closes = [*CLOSE[:650], bad, *CLOSE[651:]]
    bars = BARS.with_columns(close=pl.Series(closes, dtype=pl.Float64))
    assert value("sma_50", bars) is None
    assert value("sma_49", bars) == value("sma_49", BARS)
    assert why_missing(bars, parse_indicators("sma_50")) == {
        "sma_50": "close is unknown in 1 of the 50 bars that it needs"
    }


def test_huge_numbers_are_numbers():
    bars = flat(20, price=1e200)
    assert value("sma_20", bars) == near(1e200)


RATIOS = [indicator for indicator in ALL if indicator.is_ratio]


@pytest.mark.parametrize("indicator", RATIOS, ids=lambda indicator: indicator.name)
def test_where_nothing_moves_a_ratio_has_no_value(indicator):
    values = compute(flat(indicator.warm_up), [indicator])
    if indicator.name.startswith("vwap"):
        assert values == {"vwap_60": 5.0}
    else:
        assert set(values.values()) == {None}
        reasons = why_missing(flat(indicator.warm_up), [indicator])
        assert set(reasons.values()) == {f"nothing moved or was traded in the {indicator.warm_up} bars that it needs"}


def test_where_nothing_was_traded_averages_by_volume_have_no_value():
    bars = BARS.with_columns(volume=0.0)
    names = ["vwap_60", "cmf_20", "mfi_14", "obv_60", "ad_60"]
    assert list(compute(bars, parse_indicators(names)).values()) == [None, None, None, 0.0, 0.0]


def test_a_zero_that_is_meant_stays():
    falling = walk(400).with_columns(close=pl.Series(range(1000, 600, -1)).cast(pl.Float64))
    assert value("rsi_14", falling) == 0.0
    assert value("mom_10", flat(11)) == 0.0
    assert value("bbands_20_2", flat(20)) == (5.0, 5.0, 5.0)


def test_few_rows_have_few_values():
    assert set(compute(BARS[:0], ALL).values()) == {None}
    assert set(compute(BARS[:1], ALL).values()) == {None}
    assert compute(BARS, []) == {}
    assert why_missing(BARS[:1], parse_indicators("obv_60")) == {"obv_60": "it needs 61 bars and there are 1"}


def test_whole_numbers_are_read_like_floats():
    bars = BARS.with_columns(pl.col("volume").round().cast(pl.Int64))
    assert value("obv_60", bars) == value("obv_60", bars.with_columns(pl.col("volume").cast(pl.Float64)))


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(InvalidData, match=r"^obv_60 reads the column 'volume', which these bars do not have$"):
        compute(BARS.drop("volume"), parse_indicators("obv_60"))


@pytest.mark.parametrize("ends", [[-1], [3, 701]])
def test_rows_that_are_not_there_are_refused(ends):
    with pytest.raises(BadInput, match="are not all among the 700 bars"):
        compute_at(BARS, np.array(ends), ALL)


def test_names_are_what_users_write():
    macd, bands, rsi = parse_indicators(["macd_12_26_9", "bbands_20_2.5", "rsi_14", "macd_12_26_9"])
    assert macd.outputs == ("macd_12_26_9.macd", "macd_12_26_9.signal", "macd_12_26_9.hist")
    assert bands.outputs == ("bbands_20_2.5.upper", "bbands_20_2.5.middle", "bbands_20_2.5.lower")
    assert (rsi.name, rsi.outputs, rsi.columns, rsi.warm_up) == ("rsi_14", ("rsi_14",), ("close",), 326)
    assert parse_indicators("sma_20") == parse_indicators(["sma_20"]) == parse_indicators(parse_indicators("sma_20"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smaa_20", "there is no indicator 'smaa_20' (did you mean 'sma_20'?): it is written like 'sma_20'"),
        ("RSI_14", "there is no indicator 'RSI_14' (did you mean 'rsi_14'?): it is written like 'sma_20'"),
        ("", "there is no indicator '': it is written like 'sma_20'"),
        ("sma_20 ", "there is no indicator 'sma_20 ' (did you mean 'sma_20'?): it is written like 'sma_20'"),
        ("sma", "'sma' has not the numbers of sma: write sma_LENGTH, like 'sma_20'"),
        ("macd_12_26", "'macd_12_26' has not the numbers of macd: write macd_FAST_SLOW_SIGNAL, like 'macd_12_26_9'"),
        ("sma_1", "'sma_1': length is between 2 and 10000, not 1"),
        ("sma_99999", "'sma_99999': length is between 2 and 10000, not 99999"),
        ("sma_2.5", "'sma_2.5': length is a whole number, not 2.5"),
        ("sma_020", "'sma_020': write 20, not 020"),
        ("bbands_20_2.0", "'bbands_20_2.0': write 2, not 2.0"),
        ("macd_26_12_9", "'macd_26_12_9': fast must be less than slow"),
        ("ultosc_7_28_14", "'ultosc_7_28_14': middle must be less than long"),
        (20, "there is no indicator '20': it is written like 'sma_20'"),
        (["sma", 20], "there is no indicator \"['sma', 20]\": it is written like 'sma_20'"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, message):
    with pytest.raises(BadInput) as error:
        parse_indicators([name])
    assert str(error.value) == message


@given(st.sampled_from(ALL), st.integers(0, 2**32))
def test_any_walk_gives_finite_values(indicator, seed):
    values = compute(walk(indicator.warm_up, seed), [indicator])
    assert all(value is not None and math.isfinite(value) for value in values.values())


def test_without_ta_lib_the_error_carries_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "talib", None)
    module._functions.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"^indicators need TA-Lib: pip install 'ticklake\[ta\]'$"):
            compute(BARS, ALL)
    finally:
        module._functions.cache_clear()


def test_a_ta_lib_with_wrong_spreads_is_refused(monkeypatch):
    monkeypatch.setattr("talib.__version__", "0.6.8")
    module._functions.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"^TA-Lib 0.6.8 is too old for indicators"):
            compute(BARS, ALL)
    finally:
        module._functions.cache_clear()
