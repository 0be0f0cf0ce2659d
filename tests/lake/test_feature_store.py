"""The feature store: register, write, read, join, materialise, verify."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.coverage import Found
from ticklake.core.runs import RunState
from ticklake.core.time import DAY, MINUTE, parse_time
from ticklake.errors import (
    BadInput,
    Cancelled,
    FeaturesDiffer,
    InvalidData,
    InvalidName,
    TicklakeWarning,
    UnknownDataset,
    UnknownFeatures,
)
from ticklake.query.features import _STEPS, features_at

T = parse_time("2024-01-31")
COLUMNS = {"ret": ("float64", "1", "log return"), "n_up": "int64"}


@pytest.fixture
def lake():
    with memory_lake(Settings()) as made:
        made.features.register("momentum", "v1", COLUMNS)
        yield made


@pytest.fixture
def features(lake):
    return lake.features


def rows(*values, symbol="A"):
    """Rows of (instant, value), in minutes after T."""
    return pl.DataFrame(
        {"symbol": [symbol] * len(values), "ts": [T + at * MINUTE for at, _ in values], "ret": [x for _, x in values]}
    )


def returns_minute(minute):
    return {"ret": minute * 0.1, "n_up": minute} if minute % 3 else None


def minute_of(_exchange, _symbol, instant):
    return (instant - T) // MINUTE


def materialise(features, end, **options):
    return features.materialise(
        "momentum@v1",
        None,
        returns_minute,
        "x",
        "A",
        every="1m",
        start=T,
        end=T + end * MINUTE,
        make_frame=minute_of,
        **options,
    )


# Register


def test_to_register_the_same_again_changes_nothing(features):
    again = features.register("momentum", 1, COLUMNS)
    assert again == features.describe("momentum", "v1").features
    assert features.list()["version"].to_list() == ["v1"]


@pytest.mark.parametrize("other", [{"columns": {"ret": "int64"}}, {"description": "x"}, {"tags": "x"}, {"code": len}])
def test_to_register_a_version_with_another_definition_is_an_error(features, other):
    (part,) = other
    with pytest.raises(FeaturesDiffer, match=f"momentum@v1 is registered with other {part}"):
        features.register("momentum", "v1", **{"columns": COLUMNS, **other})
    assert features.describe("momentum@v1").features.names == ["ret", "n_up"]


def test_versions_and_symbols_never_replace_each_other(lake, features):
    features.register("momentum", "v2", COLUMNS)
    features.register("momentum_v2", "v1", COLUMNS)
    names = [("momentum", "v1"), ("momentum", "v2"), ("momentum_v2", "v1")]
    symbols = ["A", "a", "A/B", "A/B:C", "A@v2:B", "A%2FB", "é", "e\u0301"]
    for number, (name, version) in enumerate(names):
        for place, symbol in enumerate(symbols):
            features.write(name, version, rows((0, number * 100.0 + place), symbol=symbol))
    lake.compact()
    for number, name in enumerate(names):
        for place, symbol in enumerate(symbols):
            assert features.read(*name, symbol)["ret"].to_list() == [number * 100.0 + place]


def test_a_feature_set_that_is_not_there_is_an_error_with_a_hint(features):
    for call in (
        features.describe,
        features.read,
        features.latest,
        features.deprecate,
        features.delete,
        features.lineage,
    ):
        with pytest.raises(UnknownFeatures, match="did you mean 'momentum@v1'"):
            call("momentun", "v1")
    with pytest.raises(BadInput, match="has no version"):
        features.read("momentum")


# Write and read


def test_the_same_rows_again_change_nothing_and_others_are_revisions(lake, features):
    assert features.write("momentum", "v1", rows((0, 1.0), (1, None))).new == 2
    assert features.write("momentum", "v1", rows((0, 1.0), (1, None))).duplicate == 2
    assert features.write("momentum", "v1", rows((0, 2.0), (2, 3.0))).changed == 1
    assert features.read("momentum@v1")["ret"].to_list() == [2.0, None, 3.0]
    assert len(lake.revisions("any:momentum@v1:A")) == 1


def test_all_rows_are_written_or_none(lake, features):
    with pytest.raises(InvalidData, match="'ret' is float64 and holds String"):
        features.write("momentum", "v1", rows((0, "x")))
    with pytest.raises(InvalidName):
        features.write("momentum", "v1", pl.concat([rows((0, 1.0)), rows((0, 1.0), symbol="../x")]))
    assert lake.datasets() == []


@pytest.mark.parametrize("big", [2**63, -(2**63) - 1, 2**70])
def test_an_integer_that_does_not_fit_is_one_clear_error(features, big):
    with pytest.raises(InvalidData):
        features.write("momentum", "v1", [{"symbol": "A", "ts": T, "n_up": big}])


def test_rows_that_cannot_be_true_are_refused_with_a_warning(lake, features):
    with pytest.warns(TicklakeWarning, match="1 of 2 rows were refused"):
        receipt = features.write("momentum", "v1", rows((0, 1.0), (1, float("inf"))))
    assert (receipt.new, receipt.quarantined) == (1, 1)
    assert lake.quarantine("any:momentum@v1:A")[0]["reason"] == "infinite_ret"


def test_values_known_later_are_kept_beside_the_first(features):
    features.write("momentum", "v1", rows((0, 1.0)))
    features.write("momentum", "v1", rows((0, 2.0)).with_columns(known_at=pl.lit(T + 5 * MINUTE)))
    assert features.read("momentum@v1")["ret"].to_list() == [2.0]
    assert features.read("momentum@v1", history=True)["ret"].to_list() == [1.0, 2.0]
    assert features.latest("momentum@v1", at=T + 4 * MINUTE)["ret"].to_list() == [1.0]
    assert features.latest("momentum@v1", at=T + 5 * MINUTE)["ret"].to_list() == [2.0]


def test_read_narrows_rows_and_columns(features):
    features.write("momentum", "v1", pl.concat([rows((0, 1.0), (1, 2.0)), rows((1, 3.0), symbol="B")]))
    read = features.read("momentum@v1", None, ["B", "A"], T + MINUTE, columns="ret")
    assert read.columns == ["exchange", "symbol", "ts", "known_at", "ret"]
    assert read.select("symbol", "ret").rows() == [("A", 2.0), ("B", 3.0)]
    with pytest.raises(UnknownDataset, match="no values of C"):
        features.read("momentum@v1", None, "C")
    with pytest.raises(InvalidName, match="no column"):
        features.read("momentum@v1", columns="rte")


def test_frames_of_pandas_and_records_are_rows(features):
    pandas = pytest.importorskip("pandas")
    times = pandas.DatetimeIndex(["2024-01-31T00:00Z", "2024-01-31T00:01Z"])
    features.write("momentum", "v1", pandas.DataFrame({"ret": [1.0, None], "n_up": [1, None]}, index=times), symbol="A")
    features.write("momentum", "v1", [{"ts": T + 2 * MINUTE, "symbol": "A", "n_up": 3}])
    assert features.read("momentum@v1").select("ret", "n_up").rows() == [(1.0, 1), (None, None), (None, 3)]


def test_an_empty_frame_writes_nothing(lake, features):
    assert (
        features.write("momentum", "v1", rows().cast({"ts": pl.Int64, "ret": pl.Float64, "symbol": pl.String})).received
        == 0
    )
    assert features.read("momentum@v1").columns == ["exchange", "symbol", "ts", "known_at", "ret", "n_up"]


def test_list_and_describe_say_what_there_is(features):
    features.write("momentum", "v1", pl.concat([rows((0, 1.0), (1, None)), rows((1440, 3.0), symbol="B")]))
    listed = features.list("mom").row(0, named=True)
    assert (listed["symbols"], listed["rows"], listed["columns"]) == (2, 3, ["ret", "n_up"])
    described = features.describe("momentum@v1")
    assert (described.rows, described.first, described.last) == (3, T, T + DAY)
    assert described.datasets == ("any:momentum@v1:A", "any:momentum@v1:B")
    ret = described.days.filter(column="ret")
    assert ret.select("count", "nulls", "mean").rows() == [(2, 1, 1.0), (1, 0, 3.0)]
    assert features.list("volatility").is_empty()


def test_an_older_version_of_the_lake_has_its_values(lake, features):
    version = features.write("momentum", "v1", rows((0, 1.0))).version
    features.write("momentum", "v1", rows((0, 2.0), (1, 3.0)))
    features.delete("momentum@v1")
    old = lake.at(version).features
    assert old.read("momentum@v1")["ret"].to_list() == [1.0]
    assert old.list()["rows"].to_list() == [1]
    assert old.latest("momentum@v1")["ret"].to_list() == [1.0]


# Deprecate and delete


def test_each_use_of_a_deprecated_set_warns(features):
    features.write("momentum", "v1", rows((0, 1.0)))
    features.deprecate("momentum@v1")
    for use in (
        lambda: features.read("momentum@v1"),
        lambda: features.write("momentum", "v1", rows((0, 1.0))),
        lambda: features.latest("momentum@v1"),
        lambda: features.join(rows((0, 1.0)), "momentum@v1", full_names=True),
    ):
        with pytest.warns(TicklakeWarning, match="momentum@v1 is deprecated"):
            use()
    assert features.describe("momentum@v1").state == "deprecated"


def test_a_deleted_set_is_gone_with_its_values(lake, features):
    features.write("momentum", "v1", rows((0, 1.0), (1, 2.0)))
    assert features.delete("momentum@v1", dry_run=True) == 2
    assert features.delete("momentum@v1") == 2
    assert lake.datasets() == []
    assert features.list().is_empty()
    for use in (
        lambda: features.write("momentum", "v1", rows((0, 1.0))),
        lambda: features.join(rows((0, 1.0)), "momentum@v1", full_names=True),
        lambda: features.at("momentum@v1", None, "A", [T]),
        lambda: features.diff("momentum", "v1", at=(0, 1)),
        lambda: materialise(features, 1),
    ):
        with pytest.raises(UnknownFeatures):
            use()


def test_a_deleted_version_comes_back_as_it_was_or_when_nothing_is_left_of_it(lake, features):
    features.write("momentum", "v1", rows((0, 1.0)))
    features.delete("momentum@v1")
    with pytest.raises(FeaturesDiffer, match="vacuum first"):
        features.register("momentum", "v1", {"other": "string"})
    features.register("momentum", "v1", COLUMNS)
    assert features.read("momentum@v1").is_empty()
    features.delete("momentum@v1")
    lake.vacuum("0s")
    features.register("momentum", "v1", {"other": "string"})
    features.write("momentum", "v1", [{"symbol": "A", "ts": T, "other": "x"}])
    assert features.read("momentum@v1")["other"].to_list() == ["x"]


def test_rows_that_are_written_while_their_set_is_deleted_are_dropped(lake, features, monkeypatch):
    append_all = lake.engine.append_all

    def delete_first(*parts, **options):
        features.delete("momentum@v1")
        return append_all(*parts, **options)

    monkeypatch.setattr(lake.engine, "append_all", delete_first)
    with pytest.raises(UnknownFeatures, match="was deleted while"):
        features.write("momentum", "v1", rows((0, 1.0)))
    assert lake.datasets() == []


# Joins and instants


def test_a_join_has_one_row_for_each_row_in_their_order(features):
    features.write("momentum", "v1", pl.concat([rows((0, 1.0), (5, 2.0)), rows((3, 9.0), symbol="B")]))
    left = pl.DataFrame(
        {
            "symbol": ["B", "A", None, "A", "A", "../x", "B", "A"],
            "ts": [T + at * MINUTE for at in (3, 5, 5, 0, 5, 5, 2, 4)],
            "row": range(8),
        }
    )
    joined = features.join(left, ["momentum@v1:ret"])
    assert joined.drop("ret").equals(left)
    assert joined["ret"].to_list() == [9.0, 2.0, None, 1.0, 2.0, None, None, 1.0]
    assert features.join(left.clear(), "momentum@v1").height == 0
    assert features.join(left, "momentum@v1:ret", symbol="A")["ret"].to_list() == [
        1.0,
        2.0,
        2.0,
        1.0,
        2.0,
        2.0,
        1.0,
        1.0,
    ]


def test_a_join_equals_brute_force_and_the_online_values(features):
    rnd = random.Random(3)
    symbols = ["A", "B", "A/B", "Z"]
    made = {}
    for number in range(150):
        ts = rnd.randrange(30)
        made[rnd.choice(symbols[:3]), ts, ts + rnd.choice([0, 0, 2, 7])] = float(number)
    written = pl.DataFrame(
        [(symbol, T + ts, T + known, x) for (symbol, ts, known), x in made.items()],
        schema=["symbol", "ts", "known_at", "ret"],
        orient="row",
    )
    features.write("momentum", "v1", written.head(70))
    features.write("momentum", "v1", written.slice(70))
    wanted = [(rnd.choice(symbols), rnd.randrange(-2, 40)) for _ in range(200)]
    left = pl.DataFrame({"symbol": [symbol for symbol, _ in wanted], "ts": [T + at for _, at in wanted]})
    for max_age in (None, 0, 3):
        expected = []
        for symbol, at in wanted:
            known = [(ts, known, x) for (name, ts, known), x in made.items() if name == symbol and known <= at]
            best = max(known, default=None)
            too_old = best is not None and max_age is not None and at - best[0] > max_age
            expected.append(None if best is None or too_old else best[2])
        age = None if max_age is None else f"{max_age}ns"
        assert features.join(left, "momentum@v1:ret", max_age=age)["ret"].to_list() == expected
        online = [
            features.latest("momentum@v1", None, symbol, T + at, max_age=age)["ret"].item()
            for symbol, at in wanted[:25]
        ]
        assert online == expected[:25]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_instants_of_any_unit_are_joined(features, unit):
    features.write("momentum", "v1", rows((0, 1.0)))
    left = pl.DataFrame({"when": pl.Series([T // 10**6]).cast(pl.Datetime("ms", "UTC")).cast(pl.Datetime(unit, "UTC"))})
    assert features.join(left, "momentum@v1:ret", at="when", symbol="A")["ret"].to_list() == [1.0]


def test_joins_that_cannot_be_meant_are_refused(features):
    left = rows((0, 1.0))
    naive = left.with_columns(pl.col("ts").cast(pl.Datetime("ns")))
    for frame, options, message in [
        (left, {}, "have a column 'ret'"),
        (left.drop("ts"), {}, "no column 'ts' of instants"),
        (left.drop("symbol", "ret"), {}, "no column 'symbol' of symbols"),
        (naive.drop("ret"), {}, "naive"),
        (left.drop("ret"), {"knowledge": "later"}, "knowledge="),
        (left.drop("ret"), {"max_age": "-1s"}, "length of time"),
        ("x", {}, "not a frame"),
    ]:
        with pytest.raises(BadInput, match=message):
            features.join(frame, "momentum@v1", **options)
    with pytest.raises(BadInput, match="no feature is named"):
        features.join(left, [])


def test_values_of_several_exchanges_are_told_apart(features):
    for exchange, value in (("binance", 1.0), ("kraken", 2.0)):
        features.write("momentum", "v1", rows((0, value)), exchange=exchange)
    left = rows((0, 0.0)).select("symbol", "ts")
    with pytest.raises(BadInput, match="for binance, kraken: say exchange="):
        features.join(left, "momentum@v1")
    assert features.join(left, "momentum@v1", exchange="KRAKEN")["ret"].to_list() == [2.0]
    both = pl.concat([left, left]).with_columns(exchange=pl.Series(["kraken", "binance"]))
    assert features.join(both, "momentum@v1")["ret"].to_list() == [2.0, 1.0]
    assert features.latest("momentum@v1", exchange="binance")["ret"].to_list() == [1.0]


def test_values_of_no_exchange_count_for_all(features):
    features.write("momentum", "v1", rows((0, 1.0)))
    features.write("momentum", "v1", rows((0, 2.0)), exchange="kraken")
    assert features.latest("momentum@v1", symbols="A", exchange="binance")["ret"].to_list() == [1.0]
    assert features.latest("momentum@v1", symbols="A", exchange="kraken")["ret"].to_list() == [2.0]


def test_values_at_instants_follow_every_commit(lake, features):
    features.write("momentum", "v1", rows((0, 1.0)))

    def ask(*instants):
        return features_at(lake.engine, ["momentum@v1:ret"], "x", "A", instants)["momentum@v1:ret"].to_list()

    assert ask(T, T - 1) == [1.0, None]
    features.write("momentum", "v1", rows((0, 2.0)))
    assert ask(T, lake.engine.now()) == [1.0, 2.0]
    features.write("momentum", "v1", rows((1, 3.0)))
    assert ask(T, T + MINUTE) == [1.0, 3.0]
    lake.compact()
    assert ask(T + MINUTE, T) == [3.0, 1.0]
    assert ask(T) + ask(T + MINUTE) == ask(T, T + MINUTE)


def test_a_symbol_without_values_has_nulls(lake, features):
    values = features_at(lake.engine, ["momentum@v1"], "x", "B", [T, T])
    assert {name: series.to_list() for name, series in values.items()} == {
        "momentum@v1:ret": [None, None],
        "momentum@v1:n_up": [None, None],
    }
    assert features.at("momentum@v1:ret", None, "B", [T])["momentum@v1:ret"].to_list() == [None]


# Diff


def test_two_versions_and_two_states_of_the_lake_are_compared(features):
    first = features.write("momentum", "v1", rows((0, 1.0), (1, 2.0))).version
    second = features.write("momentum", "v1", rows((1, 5.0), (2, 3.0))).version
    diff = features.diff("momentum", "v1", at=(first, second))
    assert (diff.added, diff.removed, diff.changed, diff.equal) == (1, 0, 1, 1)
    features.register("momentum", "v2", {"ret": "float64"})
    features.write("momentum", "v2", rows((0, 1.0)))
    diff = features.diff("momentum", "v1", "v2")
    assert (diff.removed, diff.equal, diff.only_before) == (2, 1, ("n_up",))
    with pytest.raises(BadInput, match="two versions"):
        features.diff("momentum", "v1")


# Materialise


def test_a_function_is_called_at_each_instant_once(lake, features):
    done = materialise(features, 10, batch=3)
    assert (done.computed, done.without_row, done.new) == (10, 4, 6)
    again = materialise(features, 12, batch=3)
    assert (again.skipped, again.computed, again.new) == (10, 2, 2)
    stored = features.read("momentum@v1")
    assert stored["ts"].to_list() == stored["known_at"].to_list()
    assert stored["n_up"].to_list() == [1, 2, 4, 5, 7, 8, 10, 11]
    assert lake.gaps("x:momentum@v1:A") == []


def test_without_a_start_it_goes_on_where_it_ended(lake, features):
    materialise(features, 10)
    lake.engine.now = lambda: T + 20 * MINUTE
    done = features.materialise("momentum@v1", None, returns_minute, "x", "A", every="1m", make_frame=minute_of)
    assert (done.instants, done.skipped, done.computed) == (11, 0, 11)
    with pytest.raises(BadInput, match="say start="):
        features.materialise("momentum@v1", None, returns_minute, "x", "B", every="1m", make_frame=minute_of)


def test_work_that_was_stopped_goes_on_after_its_last_commit(lake, features):
    def stop(progress):
        if progress.done >= 0.5:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        materialise(features, 20, batch=5, watch=stop)
    assert lake.runs.list()[0].state is RunState.CANCELLED
    assert features.read("momentum@v1")["n_up"].max() == 8
    seen = []
    assert materialise(features, 20, batch=5, watch=lambda progress: seen.append(progress.done)).skipped == 10
    assert seen[-1] == 1.0
    assert lake.runs.list()[0].state is RunState.SUCCEEDED


def test_a_function_that_fails_leaves_what_was_committed(lake, features):
    def fails(minute):
        return {"ret": 1 / (7 - minute)}

    with pytest.raises(ZeroDivisionError):
        features.materialise(
            "momentum@v1",
            None,
            fails,
            "x",
            "A",
            every="1m",
            start=T,
            end=T + 10 * MINUTE,
            batch=2,
            make_frame=minute_of,
        )
    assert features.read("momentum@v1").height == 6
    assert lake.runs.list()[0].state is RunState.FAILED


def test_another_grid_is_computed_although_its_span_is_covered(features):
    materialise(features, 10)
    half = [T + 90 * 10**9, T + 60 * 10**9]
    done = features.materialise("momentum@v1", None, returns_minute, "x", "A", half, make_frame=minute_of)
    assert (done.skipped, done.computed) == (1, 1)


def test_again_computes_what_is_there_anew(features):
    materialise(features, 10)
    other = {"ret": None}
    done = features.materialise(
        "momentum@v1",
        None,
        lambda _: other,
        "x",
        "A",
        every="1m",
        start=T,
        end=T + 10 * MINUTE,
        again=True,
        make_frame=minute_of,
    )
    assert done.new == 10
    assert features.read("momentum@v1")["ret"].null_count() == 10


def test_another_function_than_the_registered_one_is_refused(features):
    features.register("coded", 1, COLUMNS, code=returns_minute)
    options = {"every": "1m", "start": T, "end": T + MINUTE, "make_frame": minute_of}
    assert features.materialise("coded", 1, returns_minute, "x", "A", **options).computed == 1
    with pytest.raises(FeaturesDiffer, match="register another version"):
        features.materialise("coded", 1, lambda minute: returns_minute(minute), "x", "A", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "instants are not clear"),
        ({"every": "1m", "instants": [T]}, "instants are not clear"),
        ({"instants": [T], "start": T}, "those of every="),
        ({"instants": []}, "no instant"),
        ({"instants": ["2124-01-01"]}, "future"),
        ({"every": "1m", "start": T, "end": "2124-01-01"}, "future"),
        ({"every": "1m", "start": T, "end": T}, "no instant"),
        ({"every": "0s", "start": T, "end": T + 1}, "no length of time"),
        ({"every": "1ns", "start": T, "end": T + MINUTE}, "60,000,000,000 instants are more than"),
        ({"instants": [T], "window": "60m"}, "options of lake.frame"),
        ({"instants": [T], "batch": 0}, "batch="),
    ],
)
def test_instants_that_are_not_clear_are_refused(features, options, message):
    with pytest.raises(BadInput, match=message):
        features.materialise("momentum@v1", None, returns_minute, "x", "A", make_frame=minute_of, **options)


@pytest.mark.parametrize("kind", ["numpy", "polars", "text", "integers"])
def test_instants_come_as_arrays_series_or_lists(features, kind):
    times = pl.Series([T + MINUTE, T + 2 * MINUTE]).cast(pl.Datetime("ns", "UTC"))
    instants = {
        "numpy": times.to_numpy(),
        "polars": times,
        "text": ["2024-01-31T00:01", "2024-01-31T00:02"],
        "integers": times.to_physical().to_numpy(),
    }[kind]
    features.materialise("momentum@v1", None, returns_minute, "x", "A", instants, make_frame=minute_of)
    assert features.at("momentum@v1:n_up", "x", "A", instants)["momentum@v1:n_up"].to_list() == [1, 2]


def test_lineage_says_which_code_read_which_version(lake, features):
    lake.save("x:trades:A", [{"ts": T, "price": 1.0, "amount": 1.0, "side": "buy", "id": "1"}])
    version = lake.engine.catalog.version()
    materialise(features, 10)
    features.write("momentum", "v1", rows((0, 1.0), symbol="B"))
    derived, written = features.lineage("momentum@v1").sort("source").rows(named=True)
    assert (derived["source"], written["source"]) == ("derived", "user")
    assert derived["code"].endswith(":returns_minute")
    assert (derived["lake_versions"], derived["inputs"], derived["rows"]) == ([version], ["x:trades:A"], 6)
    assert written["inputs"] is written["lake_versions"] is None


def test_a_set_that_is_kept_up_to_date_does_not_have_an_origin_for_each_run(lake, features):
    for end in (2, 4, 6, 8):
        materialise(features, end)
    (row,) = features.lineage("momentum@v1").rows(named=True)
    assert (row["rows"], len(row["lake_versions"])) == (5, 4)
    (early,) = features.lineage("momentum@v1", end=T + 2 * MINUTE).rows(named=True)
    assert early["lake_versions"] == [0]
    assert len(lake.engine.catalog.provenances()) == 1


def test_coverage_says_where_the_function_was_called(lake, features):
    materialise(features, 10)
    (piece,) = lake.coverage("x:momentum@v1:A").pieces
    assert (piece.found, piece.span.start, piece.span.end) == (Found.DATA, T, T + 10 * MINUTE)


# Verify


def test_stored_values_equal_those_of_a_live_program(features):
    materialise(features, 10)
    diff = features.verify("momentum@v1", None, returns_minute, day="2024-01-31", make_frame=minute_of)
    assert (diff.equal, diff.is_empty) == (6, True)


def test_a_single_bit_is_a_difference(features):
    materialise(features, 10)

    def off(minute):
        values = returns_minute(minute)
        return values and {**values, "ret": values["ret"] + (1e-16 if minute == 1 else 0.0)}

    diff = features.verify("momentum@v1", None, off, make_frame=minute_of)
    assert (diff.equal, diff.changed, diff.columns) == (5, 1, {"ret": 1, "n_up": 0})


def test_minus_zero_is_not_zero(features):
    options = {"every": "1m", "start": T, "end": T + MINUTE, "make_frame": minute_of}
    features.materialise("momentum@v1", None, lambda _: {"ret": 0.0}, "x", "A", **options)
    assert features.verify("momentum@v1", None, lambda _: {"ret": -0.0}, make_frame=minute_of).changed == 1


def test_a_row_that_the_function_no_longer_makes_is_a_difference(features):
    materialise(features, 10)
    assert features.verify("momentum@v1", None, lambda _: None, make_frame=minute_of).removed == 6


# Many symbols


def test_a_batch_of_many_symbols_in_any_order_is_one_commit(lake, features):
    rnd = random.Random(5)
    symbols = [f"S{number}/USDT" for number in range(40)]
    batch = pl.DataFrame(
        {
            "symbol": [rnd.choice(symbols) for _ in range(600)],
            "ts": [T + number for number in rnd.sample(range(10**6), 600)],
            "ret": [float(number) for number in range(600)],
        }
    )
    receipt = features.write("momentum", "v1", batch)
    assert (receipt.new, receipt.version, lake.engine.catalog.version()) == (600, 1, 1)
    stored = features.read("momentum@v1").select("symbol", pl.col("ts").to_physical(), "ret")
    assert stored.sort("symbol", "ts").equals(batch.sort("symbol", "ts"))
    newest = batch.sort("ts").group_by("symbol").last().sort("symbol")
    assert features.latest("momentum@v1").select("symbol", "ret").sort("symbol").equals(newest.select("symbol", "ret"))


def test_subscribers_get_values_as_they_are_committed(lake, features):
    features.write("momentum", "v1", rows((0, 1.0)))
    batch = next(iter(lake.subscribe("any:momentum@v1:*", since=0)))
    assert batch.frame().columns == ["ts", "known_at", "ret", "n_up"]


def test_steps_are_kept_up_to_so_many_bytes(lake, features, monkeypatch):
    monkeypatch.setattr("ticklake.query.features._STEPS_BYTES", 1)
    for symbol in "ABC":
        features.write("momentum", "v1", rows((0, 1.0), symbol=symbol))
    for _ in range(2):
        assert features.latest("momentum@v1")["ret"].to_list() == [1.0] * 3
    assert len(_STEPS[lake.engine]._kept) == 1


def test_a_set_without_values_cannot_be_verified(features):
    with pytest.raises(UnknownDataset, match="has no values to verify"):
        features.verify("momentum@v1", None, returns_minute)
