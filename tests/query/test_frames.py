"""Frames: what of a lake's rows is in them, and what is not."""

from __future__ import annotations

import datetime as dt
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ticklake.app import open_lake
from ticklake.catalog.catalog import Catalog
from ticklake.config import Settings
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.indicators import compute
from ticklake.core.instants import parse_instants
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, SECOND
from ticklake.engine.store import Store
from ticklake.errors import BadInput, InvalidTime, MissingExtra, UnknownDataset
from ticklake.testing.clocks import ManualClock
from ticklake.testing.rows import START, bars, trades

BARS = "x:ohlcv:1m:BTC/USDT"
TRADES = "x:trades:BTC/USDT"
FUNDING = "x:funding:BTC/USDT"
LATER = START + 400 * DAY


@pytest.fixture
def clock():
    return ManualClock(LATER)


@pytest.fixture
def lake(tmp_path, clock):
    with open_lake(tmp_path / "lake", settings=Settings(), clock=clock) as opened:
        yield opened


def minutes(frame: pl.DataFrame) -> list[int]:
    return ((frame["ts"].to_physical() - START) // MINUTE).to_list()


def seconds(frame: pl.DataFrame) -> list[float]:
    return ((frame["ts"].to_physical() - START) / SECOND).to_list()


def times(*numbers: float) -> pl.Series:
    return pl.Series("ts", [START + int(number * SECOND) for number in numbers], dtype=pl.Int64).cast(TIME)


def received(*pairs: tuple[float, float]) -> pl.DataFrame:
    """Trades that happened and were received at these seconds."""
    happened, came = zip(*pairs, strict=True)
    columns = {"received_at": times(*came), "id": [str(number) for number in range(len(pairs))]}
    prices = [100.0 + number for number in range(len(pairs))]
    return pl.DataFrame({"ts": times(*happened), **columns, "price": prices, "amount": 1.0, "side": "buy"})


def of(lake, at, **options):
    return lake.frame("x", "BTC/USDT", at, **options)


def test_bars_are_those_that_closed_in_the_window_and_none_that_still_forms(lake):
    lake.save(BARS, bars(0, 200))
    frame = of(lake, START + 100 * MINUTE, window="10m")
    # The bar of minute 89 closed at the begin of the window, that of minute 100 has just opened.
    assert minutes(frame.bars["1m"]) == list(range(90, 100))
    assert minutes(of(lake, START + 100 * MINUTE - 1, window="10m").bars["1m"]) == list(range(89, 99))


def test_other_rows_are_those_that_happened_in_the_window_both_ends_included(lake):
    lake.save(TRADES, trades(0, 200))
    frame = of(lake, START + 100 * SECOND, window="10s")
    assert seconds(frame.trades) == list(range(90, 101))
    assert seconds(of(lake, START + 100 * SECOND - 1, window="10s").trades) == list(range(90, 100))


def test_the_newest_bar_is_there_even_if_it_is_older_than_the_window(lake):
    lake.save(BARS, bars(0, 5))
    frame = of(lake, START + 3 * DAY)
    assert minutes(frame.bars["1m"]) == [4]
    assert not frame.complete


def test_the_newest_funding_rate_holds_until_the_next(lake):
    lake.save(FUNDING, pl.DataFrame({"ts": times(0, 28_800), "rate": [0.1, 0.2]}))
    assert of(lake, START + 7 * HOUR).funding["rate"].to_list() == [0.1]
    # The next rate is settled at that instant and not known before, whatever was predicted.
    assert of(lake, START + 8 * HOUR - 1).funding["rate"].to_list() == [0.1]
    assert of(lake, START + 8 * HOUR).funding["rate"].to_list() == [0.2]


def test_a_row_that_came_late_is_not_there_before_it_came(lake):
    lake.save(TRADES, received((1, 1.1), (2, 9), (3, 3.1)))
    assert seconds(of(lake, START + 5 * SECOND).trades) == [1, 3]
    assert seconds(of(lake, START + 9 * SECOND).trades) == [1, 2, 3]
    assert seconds(of(lake, START + 5 * SECOND, knowledge="event").trades) == [1, 2, 3]


def test_a_row_that_was_imported_years_later_is_known_when_it_happened(lake):
    lake.save(TRADES, received((1, 90 * 86_400), (2, 91 * 86_400)))
    assert seconds(of(lake, START + 1 * SECOND).trades) == [1]
    assert seconds(of(lake, START + 1 * SECOND, knowledge="received").trades) == []


def test_a_changed_value_is_known_from_the_commit_that_changed_it(lake, clock):
    lake.save(BARS, bars(0, 10))
    clock.now = LATER + HOUR
    lake.save(BARS, bars(4, 5, bump=1.0))
    clock.now = LATER + 2 * HOUR
    lake.save(BARS, bars(4, 5, bump=2.0))
    clock.now = LATER + 3 * HOUR
    first = bars(4, 5)["close"].item()

    def close(at, **options):
        return of(lake, at, window=f"{500 * 24}h", **options).bars["1m"]["close"][4] - first

    assert close(START + 10 * MINUTE) == 0
    assert close(LATER + HOUR - 1) == 0
    assert close(LATER + HOUR) == 1
    assert close(LATER + 2 * HOUR - 1) == 1
    assert close(LATER + 2 * HOUR) == 2
    assert close(START + 10 * MINUTE, knowledge="event") == 2


def test_a_changed_trade_is_known_with_its_first_value_before(lake, clock):
    lake.save(TRADES, received((1, 1.1), (2, 2.1)))
    clock.now = LATER + HOUR
    lake.save(TRADES, received((1, 1.1), (2, 2.1)).with_columns(price=pl.Series([100.0, 7.0])))
    assert of(lake, START + 5 * SECOND).trades["price"].to_list() == [100.0, 101.0]
    assert of(lake, START + 2 * SECOND).trades["price"].to_list() == [100.0]
    assert of(lake, LATER + HOUR, window="500d").trades["price"].to_list() == [100.0, 7.0]


def test_a_lag_of_the_settings_delays_rows_that_were_not_received_live(tmp_path, clock):
    settings = Settings(knowledge={"lag": {"ohlcv": "2s"}})
    with open_lake(tmp_path / "lake", settings=settings, clock=clock) as lake:
        lake.save(BARS, bars(0, 10))
        assert minutes(of(lake, START + 5 * MINUTE).bars["1m"])[-1] == 3
        assert minutes(of(lake, START + 5 * MINUTE + 2 * SECOND).bars["1m"])[-1] == 4
        # It is not missing as long as it cannot be known.
        assert of(lake, START + 5 * MINUTE, window="3m").complete


def test_longer_bars_are_made_of_shorter_ones_only_once_they_are_over(lake):
    lake.save(BARS, bars(0, 600))
    stored = lake.resample(BARS, "1h")
    frame = of(lake, START + 5 * HOUR, window="2h", timeframes=["1m", "1h"])
    assert_frame_equal(frame.bars["1h"], stored[3:5], rel_tol=1e-12)
    assert frame.sources["bars.1h"] == f"inline, made of {BARS}"
    before = of(lake, START + 5 * HOUR - 1, window="2h", timeframes="1h").bars["1h"]
    assert_frame_equal(before, stored[2:4], rel_tol=1e-12)


def test_no_bar_is_made_of_the_second_half_of_its_rows(lake):
    lake.save(BARS, bars(30, 200))
    assert of(lake, START + 90 * MINUTE, timeframes="1h").bars["1h"].is_empty()
    assert minutes(of(lake, START + 120 * MINUTE, timeframes="1h").bars["1h"]) == [60]


def test_bars_are_made_of_the_trades_that_had_come(lake):
    lake.save(TRADES, received((1, 1.1), (50, 70), (59, 59.1), (61, 61.1), (200, 200)))
    frame = of(lake, START + 60 * SECOND)
    assert frame.bars["1m"]["trades"].to_list() == [2]
    assert of(lake, START + 70 * SECOND).bars["1m"]["trades"].to_list() == [3]


def test_many_frames_equal_single_ones(lake, clock):
    lake.save(BARS, bars(0, 3000).filter(pl.int_range(pl.len()) % 7 > 0))
    rng = np.random.default_rng(3)
    happened = np.sort(rng.integers(0, 2000 * 60, 3000))
    late = rng.exponential(2, 3000) ** 3
    lake.save(TRADES, received(*zip(happened.tolist(), (happened + late).tolist(), strict=True)))
    clock.now = START + 20 * HOUR
    lake.save(BARS, bars(100, 140, bump=1.0))
    clock.now = LATER
    instants = START + rng.integers(0, 3000 * MINUTE, 60)
    instants[:10] = instants[:10] // MINUTE * MINUTE
    options = {"timeframes": ["1m", "5m", "1h", "1d"], "indicators": ["sma_20", "rsi_14"], "fill": "forward"}
    frames = lake.frames("x", "BTC/USDT", instants, **options)
    assert len(frames) == 60
    for instant, frame in zip(instants.tolist(), frames, strict=True):
        single = of(lake, instant, **options)
        assert frame.digest() == single.digest()
        assert frame.to_dict() == single.to_dict()


def test_frames_are_a_sequence(lake):
    lake.save(BARS, bars(0, 10))
    frames = lake.frames("x", "BTC/USDT", [START + number * MINUTE for number in range(1, 6)])
    assert frames[-1].at == START + 5 * MINUTE
    assert [frame.at for frame in frames[1:3]] == frames.instants[1:3].tolist()
    assert repr(frames) == "Frames(x BTC/USDT: 5, 2024-01-01T00:01:00Z .. 2024-01-01T00:05:00Z)"
    assert [frame.at for frame in frames[::-1]] == frames[::-1].instants.tolist() == frames.instants[::-1].tolist()
    assert len(lake.frames("x", "BTC/USDT", [])) == 0


def test_windows_that_are_far_apart_are_read_one_by_one(lake, monkeypatch):
    lake.save(BARS, bars(0, 5000).filter(~pl.int_range(pl.len()).is_between(2300, 2490)))
    lake.save(TRADES, trades(0, 2000, interval=MINUTE))
    instants = [START + number * MINUTE for number in (4000, 100, 130, 2500, 2481, 1999)]
    options = {"timeframes": ["1m", "1h"], "indicators": "sma_20"}
    whole = [frame.digest() for frame in lake.frames("x", "BTC/USDT", instants, **options)]
    monkeypatch.setattr("ticklake.query.frame_heads.MOST_ROWS", 10)
    monkeypatch.setattr("ticklake.query.frame_heads._ROWS_APART", 100)
    with open_lake(lake.root, settings=Settings()) as other:
        assert [frame.digest() for frame in other.frames("x", "BTC/USDT", instants, **options)] == whole
        # What is between the windows was not read: a frame there has it all the same.
        between = START + 1000 * MINUTE
        assert minutes(other.frame("x", "BTC/USDT", between, window="10m").bars["1m"]) == list(range(990, 1000))


def test_bars_from_before_a_dataset_begins_are_made_of_others(lake):
    lake.save(BARS, bars(0, 600))
    lake.save("x:ohlcv:1h:BTC/USDT", bars(5, 10, interval=HOUR))
    instants = [START + number * HOUR + 1 for number in (7, 2, 6, 5, 4)]
    frames = lake.frames("x", "BTC/USDT", instants, timeframes="1h", kinds=())
    assert ["made of" in frame.sources["bars.1h"] for frame in frames] == [False, True, False, True, True]
    assert frames[2].bars["1h"]["close"].to_list() == bars(5, 6, interval=HOUR)["close"].to_list()
    assert frames[3].bars["1h"].equals(lake.resample(BARS, "1h")[4:5])
    for instant, frame in zip(instants, frames, strict=True):
        assert frame.digest() == of(lake, instant, timeframes="1h", kinds=()).digest()


def cover(lake, dataset, *pieces):
    lake.engine.append(Dataset.parse(dataset), [], Provenance("test"), pieces)


def test_what_is_missing_is_listed_with_its_reason(lake):
    cover(
        lake,
        BARS,
        Covered(Span(START, START + 20 * MINUTE)),
        Covered(Span(START + 20 * MINUTE, START + 30 * MINUTE), Found.UNAVAILABLE, "gone"),
    )
    lake.save(BARS, pl.concat([bars(0, 5), bars(7, 20), bars(40, 50)]))
    frame = of(lake, START + 50 * MINUTE)
    found = [(part.reason, (part.start - START) // MINUTE, (part.end - START) // MINUTE) for part in frame.missing]
    assert found == [("not_fetched", -10, 0), ("no_trades", 5, 7), ("unavailable", 20, 30), ("not_fetched", 30, 40)]
    assert not frame.complete
    assert of(lake, START + 10 * MINUTE, window="10m").complete


def test_what_was_looked_at_later_explains_nothing(lake):
    cover(lake, TRADES, Covered(Span(START, START + 20 * SECOND)))
    lake.save(TRADES, trades(0, 20))
    frame = of(lake, START + 30 * SECOND, window="15s")
    assert [(part.reason, part.end - part.start) for part in frame.missing] == [("not_fetched", 10 * SECOND)]
    before = frame.digest()
    cover(lake, TRADES, Covered(Span(START + 40 * SECOND, START + 50 * SECOND)))
    assert of(lake, START + 30 * SECOND, window="15s").digest() == before


def test_a_part_that_was_asked_for_and_is_not_there_says_why(lake):
    lake.save(BARS, bars(0, 60))
    frame = of(lake, START + HOUR, kinds="quotes", timeframes=["1m", "1s"])
    absent = {part.part: part.detail for part in frame.missing}
    assert absent["quotes"] == "the lake has no x:quotes:BTC/USDT"
    assert "nothing shorter" in absent["bars.1s"]
    assert frame.quotes.columns == Dataset.parse("x:quotes:BTC/USDT").spec.names
    assert of(lake, START + HOUR).complete


def test_bars_are_filled_only_if_asked_and_marked(lake):
    lake.save(BARS, pl.concat([bars(0, 5), bars(8, 10)]))
    assert "filled" not in of(lake, START + 10 * MINUTE).bars["1m"].columns
    filled = of(lake, START + 10 * MINUTE, window="10m", fill="forward").bars["1m"]
    assert minutes(filled) == list(range(10))
    assert filled["filled"].to_list() == [False] * 5 + [True] * 3 + [False] * 2
    assert filled["open"][5:8].to_list() == [filled["close"][4]] * 3
    assert filled["volume"][5:8].to_list() == [0.0] * 3


def test_indicators_are_of_exactly_their_warm_up_of_bars(lake):
    lake.save(BARS, bars(0, 1000))
    frame = of(lake, START + 1000 * MINUTE, window="10m", indicators=["sma_20"])
    assert frame.indicators["sma_20"] == pytest.approx(bars(980, 1000)["close"].mean())
    assert of(lake, START + 19 * MINUTE, indicators="sma_20").indicators == {"sma_20": None}


def test_indicators_are_computed_once_until_another_bar_closes_or_one_is_corrected(lake, monkeypatch):
    computed: list[float] = []

    def counted(bars, wanted):
        computed.extend(bars["close"].tail(1))
        return compute(bars, wanted)

    lake.save(BARS, bars(0, 100))
    options = {"indicators": "sma_20", "kinds": ()}
    single = [lake.frame("x", "BTC/USDT", START + second * SECOND, **options) for second in (5940, 5941, 6000)]
    monkeypatch.setattr("ticklake.core.indicators.compute", counted)
    values = [frame.indicators for frame in single]
    assert len(computed) == 2
    values[0].clear()
    assert single[1].indicators == values[1] != values[2] != {}
    lake.save(BARS, bars(98, 99, bump=1.0))
    corrected = lake.frame("x", "BTC/USDT", START + 6000 * SECOND, knowledge="event", **options)
    assert corrected.indicators["sma_20"] == pytest.approx(values[2]["sma_20"] + 1 / 20)


def test_indicators_without_the_library_are_refused_at_once(lake, monkeypatch):
    def missing() -> None:
        raise MissingExtra("indicators need TA-Lib")

    lake.save(BARS, bars(0, 10))
    monkeypatch.setattr("ticklake.core.indicators._functions", missing)
    with pytest.raises(MissingExtra):
        of(lake, START + HOUR, indicators="sma_5")
    assert of(lake, START + HOUR).indicators == {}


def test_the_latest_price_is_that_of_what_happened_last(lake):
    lake.save(BARS, bars(0, 10))
    close = bars(8, 9)["close"].item()
    assert of(lake, START + 9 * MINUTE).latest_price() == close
    lake.save(TRADES, received((530, 530), (541, 541)))
    assert of(lake, START + 540 * SECOND).latest_price() == close
    assert of(lake, START + 541 * SECOND).latest_price() == 101.0
    assert of(lake, START + 541 * SECOND, kinds=()).latest_price() == close
    assert of(lake, START).latest_price() is None


def test_a_frame_before_the_first_row_is_empty(lake):
    lake.save(BARS, bars(0, 10))
    frame = of(lake, START - 10 * DAY)
    assert frame.bars["1m"].is_empty()
    assert frame.latest_price() is None


def test_a_frame_of_now_and_none_of_the_future(lake, clock):
    lake.save(BARS, bars(0, 10))
    clock.now = START + 5 * MINUTE + 1
    assert minutes(of(lake, None).bars["1m"]) == [0, 1, 2, 3, 4]
    with pytest.raises(
        InvalidTime, match="is in the future, of which nothing is known: by the lake's clock it is 2024"
    ):
        of(lake, clock.now + 1)


def test_a_snapshot_answers_as_of_its_version(lake, clock):
    version = lake.save(BARS, bars(0, 10)).version
    before = of(lake, START + 20 * MINUTE).digest()
    lake.save(BARS, bars(10, 20))
    frame = lake.at(version).frame("x", "BTC/USDT", START + 20 * MINUTE)
    assert (frame.version, frame.digest()) == (version, before)
    assert of(lake, START + 20 * MINUTE).digest() != before


def test_a_symbol_that_the_lake_does_not_have_is_an_error(lake):
    with pytest.raises(UnknownDataset, match="it holds nothing yet"):
        of(lake, START)
    lake.save(BARS, bars(0, 10))
    with pytest.raises(UnknownDataset, match="did you mean x:ohlcv:1m:BTC/USDT"):
        lake.frame("x", "BTC/USD", START)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 60}, "60 has no unit"),
        ({"window": "0s"}, "is empty"),
        ({"kinds": "trade"}, "no kind 'trade' .did you mean 'trades'"),
        ({"knowledge": "all"}, "knowledge='all' is not known"),
        ({"fill": "backward"}, "fill='backward' is not known"),
        ({"timeframes": "60"}, "'60' is not a timeframe"),
        ({"book_depth": 0}, "book_depth=0 is not a number of levels"),
        ({"indicators": "sma_20", "timeframes": ()}, "timeframes names none"),
    ],
)
def test_wrong_options_are_named(lake, options, words):
    lake.save(BARS, bars(0, 10))
    with pytest.raises(BadInput, match=words):
        of(lake, START, **options)


def test_instants_may_be_written_in_many_ways():
    moment = START + 5 * MINUTE
    naive = dt.datetime(2024, 1, 1, 0, 5)
    index = pd.DatetimeIndex([naive])
    berlin = pd.DatetimeIndex(["2024-01-01 01:05"]).tz_localize("Europe/Berlin")
    ways = [["2024-01-01T00:05"], [naive], [pd.Timestamp(naive)], np.array([moment]), [np.int64(moment)]]
    ways += [np.array([naive], dtype="datetime64[s]"), [np.datetime64(naive)], index, berlin]
    ways += [pd.Series(index), pd.Series(berlin)]
    ways += [pl.Series([moment]).cast(TIME), pl.Series([naive]), pl.Series([moment])]
    for way in ways:
        assert parse_instants(way).tolist() == [moment], way


@pytest.mark.parametrize(
    "instants",
    [
        "2024-01-01",
        5,
        None,
        [None],
        np.array([1_700_000_000]),
        np.array([1.5]),
        [np.datetime64("NaT")],
        np.array(["3000-01-01"], dtype="datetime64[D]"),
        pl.Series([None], dtype=TIME),
    ],
)
def test_what_is_no_instant_is_refused(instants):
    with pytest.raises(InvalidTime):
        parse_instants(instants)


def test_a_frame_becomes_what_models_take(lake):
    lake.save(BARS, bars(0, 10))
    lake.save(TRADES, received((1, 2)))
    frame = of(lake, START + 5 * MINUTE, indicators="sma_20")
    arrays = frame.to_numpy()
    assert arrays["bars"]["1m"]["close"].tolist() == bars(0, 5)["close"].to_list()
    assert arrays["bars"]["1m"]["ts"].dtype == "datetime64[ns]"
    assert np.isnan(arrays["indicators"]["sma_20"])
    frames = frame.to_pandas()
    assert frames["trades"]["ts"][0] == pd.Timestamp("2024-01-01T00:00:01Z")
    with pytest.raises(BadInput, match="to_torch needs PyTorch: pip install torch"):
        frame.to_torch()
    assert "5 bars 1m, 1 trades" in repr(frame)
    assert "<caption>x BTC/USDT at" in frame._repr_html_()


def test_rows_are_kept_and_what_changes_is_read_anew(lake):
    lake.save(BARS, bars(0, 100))
    at = START + 100 * MINUTE
    before = of(lake, at)
    assert before.bars["1m"].height == 60
    lake.delete(BARS, START + 70 * MINUTE, START + 80 * MINUTE)
    assert of(lake, at).bars["1m"].height == 50
    assert before.bars["1m"].height == 60
    lake.save(BARS, bars(70, 75))
    assert of(lake, at).bars["1m"].height == 55
    lake.compact()
    assert of(lake, at).bars["1m"].height == 55
    lake.drop(BARS)
    lake.save(BARS, bars(0, 100, bump=3.0))
    assert of(lake, at).bars["1m"].equals(lake.load(BARS, START + 40 * MINUTE))


def test_what_a_frame_does_not_hold_is_not_looked_up(lake, monkeypatch):
    lake.save_all([(BARS, bars(0, 100)), (TRADES, trades(0, 6000))])
    lookup, looked_up = Catalog.heads, []

    def heads(catalog, datasets):
        looked_up.extend(map(str, datasets))
        return lookup(catalog, datasets)

    monkeypatch.setattr(Catalog, "heads", heads)
    assert of(lake, START + 100 * MINUTE, kinds=()).bars["1m"].height == 60
    assert looked_up == [BARS]
    looked_up.clear()
    of(lake, START + 100 * MINUTE, kinds="trades", book_depth=5)
    assert looked_up == [BARS, TRADES, "x:book:BTC/USDT"]


def test_after_a_commit_that_does_not_concern_a_frame_nothing_is_asked_of_the_catalog(lake, monkeypatch):
    lake.save(BARS, bars(0, 100))
    before = of(lake, START + 100 * MINUTE, kinds=())
    lake.save(TRADES, trades(0, 100))
    for name in ("heads", "coverage", "has_history", "snapshot"):
        monkeypatch.setattr(Catalog, name, None)
    after = of(lake, START + 100 * MINUTE, kinds=())
    assert after.digest() == before.digest()
    assert after.version == before.version + 1


def test_the_next_frame_of_now_reads_nothing_however_many_rows_there_are(lake, monkeypatch):
    monkeypatch.setattr("ticklake.query.frame_store.MOST_ROWS", 10)
    lake.save(TRADES, trades(0, 200))
    options = {"kinds": "trades", "timeframes": ()}
    assert of(lake, START + 300 * SECOND, **options).trades.height == 200
    monkeypatch.setattr(Store, "view", None)
    assert of(lake, START + 301 * SECOND, **options).trades.height == 200
    assert of(lake, START + 3610 * SECOND, **options).trades.height == 190


def test_what_another_process_commits_is_in_the_next_frame(lake):
    lake.save(BARS, bars(0, 90))
    assert of(lake, START + 100 * MINUTE, kinds=()).bars["1m"].height == 50
    with open_lake(lake.root, settings=Settings()) as other:
        other.save(BARS, bars(90, 95))
        lake.save(TRADES, trades(0, 100))
        assert of(lake, START + 100 * MINUTE, kinds=()).bars["1m"].height == 55
        other.save(FUNDING, pl.DataFrame({"ts": times(6000), "rate": [0.01]}))
        assert of(lake, START + 100 * MINUTE, kinds="funding").funding.height == 1


def test_bars_of_which_nobody_notes_the_receipt_are_made_of_trades_though_no_trades_are_asked_for(lake):
    lake.save_all([(BARS, bars(0, 10)), (TRADES, received(*((number, number + 0.5) for number in range(120))))])
    frame = of(lake, START + 130 * SECOND, kinds=(), knowledge="received")
    assert frame.bars["1m"]["trades"].to_list() == [60, 60]


def test_a_frame_is_of_one_version_while_rows_are_committed(lake):
    both = [BARS, "x:ohlcv:5m:BTC/USDT"]
    lake.save_all([(name, bars(0, 10)) for name in both[:1]])
    stop = threading.Event()

    def write() -> None:
        for number in range(1, 40):
            batch = bars(number * 10, number * 10 + 10)
            lake.save_all([(BARS, batch), (TRADES, trades(number * 600, number * 600 + 600))])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    torn = 0
    frames = 0
    while not stop.is_set() or not frames:
        frame = of(lake, LATER, window="500d")
        newest_trade = seconds(frame.trades)[-1] // 600 if frame.trades.height else 0
        torn += minutes(frame.bars["1m"])[-1] // 10 != newest_trade
        frames += 1
    writer.join()
    assert not torn


def test_rows_that_are_committed_while_others_are_read_are_not_missed_later(lake, monkeypatch):
    lake.save(TRADES, trades(0, 7200))
    half_hour = {"window": "30m", "timeframes": ()}
    of(lake, START + HOUR, **half_hour)
    read, late = Store.view, trades(0, 2).with_columns(ts=times(45 * 60 + 0.5, 75 * 60 + 0.5), id=pl.Series(["a", "b"]))

    def view(store, *arguments, **options):
        monkeypatch.setattr(Store, "view", read)
        lake.save(TRADES, late)
        return read(store, *arguments, **options)

    monkeypatch.setattr(Store, "view", view)
    assert of(lake, START + 95 * MINUTE, **half_hour).trades["id"].to_list().count("b") == 1
    assert of(lake, START + HOUR, **half_hour).trades["id"].to_list().count("a") == 1
