"""Features made of frames, and features in frames."""

from __future__ import annotations

import math

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.time import MINUTE, parse_time
from ticklake.errors import BadInput, InvalidData, UnknownFeatures

T = parse_time("2024-01-31")
BARS = "binance:ohlcv:1m:BTC/USDT"


def bars(count, first=0):
    closes = [100 + 5 * math.sin(number / 7) for number in range(first, first + count)]
    return pl.DataFrame(
        {
            "ts": [T + number * MINUTE for number in range(first, first + count)],
            **dict.fromkeys(("open", "high", "low", "close"), closes),
            "volume": [1.0] * count,
        }
    )


def momentum(frame):
    closes = frame.bars["1m"]["close"]
    if len(closes) < 5:
        return None
    return {"ret": math.log(closes[-1] / closes[-5]), "mean": closes.mean(), "seen": len(closes)}


@pytest.fixture
def lake():
    with memory_lake(Settings()) as made:
        made.save(BARS, bars(120))
        made.features.register("momentum", 1, {"ret": "float", "mean": "float", "seen": "int"}, code=momentum)
        yield made


def materialise(lake, end=100, symbol="BTC/USDT", **options):
    return lake.features.materialise(
        "momentum@v1",
        None,
        momentum,
        "binance",
        symbol,
        every="5m",
        start=T,
        end=T + end * MINUTE,
        window="10m",
        **options,
    )


def test_stored_values_equal_those_of_single_frames_bit_for_bit(lake):
    done = materialise(lake)
    assert (done.computed, done.new) == (20, 19)
    diff = lake.features.verify("momentum@v1", None, momentum)
    assert (diff.equal, diff.is_empty) == (19, True)
    assert lake.features.read("momentum@v1")["seen"].to_list()[-1] == 10


def test_rows_that_users_wrote_are_not_verified(lake):
    materialise(lake)
    lake.features.write("momentum", 1, [{"symbol": "X", "ts": T, "ret": 1.0}])
    assert lake.features.verify("momentum@v1", None, momentum).equal == 19


def test_other_options_of_frames_make_other_values(lake):
    materialise(lake)
    assert lake.features.verify("momentum@v1", None, momentum, window="7m").changed == 18
    lake.save("binance:ohlcv:1m:ETH/USDT", bars(120))
    materialise(lake, symbol="ETH/USDT", timeframes=("1m", "5m"))
    with pytest.raises(BadInput, match="different options"):
        lake.features.verify("momentum@v1", None, momentum)
    assert lake.features.verify("momentum@v1", None, momentum, symbols="ETH/USDT").is_empty


def test_a_value_never_depends_on_what_came_after_its_instant(lake):
    materialise(lake)
    before = lake.features.read("momentum@v1")
    lake.save(BARS, bars(60, 120).with_columns(pl.col("open", "high", "low", "close") * 7))
    materialise(lake, again=True)
    assert lake.features.read("momentum@v1").equals(before)


def test_lineage_names_the_bars(lake):
    materialise(lake)
    (row,) = lake.features.lineage("momentum@v1").rows(named=True)
    assert (row["inputs"], row["lake_versions"]) == ([BARS], [1])
    assert '"window": "10m"' in row["frame"]


def test_features_are_in_frames_of_one_and_of_many_instants(lake):
    materialise(lake)
    stored = lake.features.read("momentum@v1")
    instants = [T + 12 * MINUTE, T - MINUTE, T + 50 * MINUTE, T + 119 * MINUTE]
    frames = lake.frames("binance", "BTC/USDT", instants, features=["momentum@v1:ret", "momentum@v1:seen"])
    single = [
        lake.frame("binance", "BTC/USDT", at, features=["momentum@v1:ret", "momentum@v1:seen"]) for at in instants
    ]
    assert [frame.digest() for frame in frames] == [frame.digest() for frame in single]
    values = [dict(frame.features) for frame in frames]
    assert values[1] == {"momentum@v1:ret": None, "momentum@v1:seen": None}
    at_10 = stored.filter(stored["ts"].to_physical() == T + 10 * MINUTE).row(0, named=True)
    assert values[0] == {"momentum@v1:ret": at_10["ret"], "momentum@v1:seen": at_10["seen"]}
    assert values[3]["momentum@v1:ret"] == stored["ret"][-1]


def test_a_frame_says_which_features_it_does_not_have(lake):
    frame = lake.frame("binance", "BTC/USDT", T + 60 * MINUTE, features="momentum@v1:ret")
    assert [part.detail for part in frame.missing if part.part == "features"] == ["no value for BTC/USDT was known"]
    assert dict(frame.features) == {"momentum@v1:ret": None}
    with pytest.raises(UnknownFeatures):
        lake.frame("binance", "BTC/USDT", T, features="momentun@v1")


def test_a_feature_may_be_made_of_features(lake):
    materialise(lake)
    lake.features.register("twice", 1, "x")

    def twice(frame):
        value = frame.features["momentum@v1:ret"]
        return None if value is None else 2 * value

    lake.features.materialise(
        "twice@v1", None, twice, "binance", "BTC/USDT", [T + 20 * MINUTE], features=["momentum@v1:ret"]
    )
    assert (
        lake.features.read("twice@v1")["x"].item()
        == 2 * lake.features.latest("momentum@v1", at=T + 20 * MINUTE)["ret"].item()
    )


def test_the_exchange_is_that_of_the_only_bars(lake):
    instants = [T + 20 * MINUTE]
    lake.features.materialise("momentum@v1", None, momentum, symbols="BTC/USDT", instants=instants)
    assert lake.features.read("momentum@v1")["exchange"].to_list() == ["binance"]
    lake.save("kraken:ohlcv:1m:BTC/USDT", bars(5))
    with pytest.raises(BadInput, match="of binance, kraken: say exchange="):
        lake.features.materialise("momentum@v1", None, momentum, symbols="BTC/USDT", instants=instants)
    with pytest.raises(BadInput, match="of no exchange"):
        lake.features.materialise("momentum@v1", None, momentum, symbols="ETH/USDT", instants=instants)


def test_an_error_of_the_function_says_for_which_instant_it_was_called(lake):
    lake.features.register("bad", 1, "x")
    options = {"instants": [T + MINUTE], "symbols": "BTC/USDT"}
    with pytest.raises(KeyError) as error:
        lake.features.materialise("bad", 1, lambda frame: frame.bars["1y"], **options)
    assert error.value.__notes__ == ["while the function was called for bad@v1 of BTC/USDT at 2024-01-31T00:01:00Z"]
    with pytest.raises(InvalidData, match="bad@v1 of BTC/USDT at 2024-01-31T00:01:00Z: the function returned 'x'"):
        lake.features.materialise("bad", 1, lambda _: {"x": "x"}, **options)
