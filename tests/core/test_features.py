"""Definitions of feature sets, and references to them."""

from __future__ import annotations

import polars as pl
import pytest

from ticklake.core.dataset import Dataset
from ticklake.core.feature_columns import FeatureColumn
from ticklake.core.features import CodeReference, FeatureRef, FeatureSet, check_name, parse_version
from ticklake.core.kinds import TIME
from ticklake.errors import BadInput, InvalidName

BAD_NAMES = [
    "../x",
    "a/b",
    "CON",
    "con",
    "lpt1",
    "x" * 300,
    "a@b",
    "a:b",
    "",
    "ä",
    "Momentum",
    "1a",
    "a b",
    "a\n",
    "a\\b",
    ".",
]


def momentum(**options):
    return FeatureSet.of("momentum", "v3", {"ret": "float64", "n_up": "int64"}, **options)


@pytest.mark.parametrize("name", [*BAD_NAMES, "trades", "derived", "retired", None, 3])
def test_a_name_that_could_leave_its_folder_or_is_taken_is_refused(name):
    with pytest.raises(InvalidName):
        check_name(name)


@pytest.mark.parametrize("version", [name for name in BAD_NAMES if name not in ("con", "lpt1")] + [True, -1, 1.5, None])
def test_a_version_that_could_leave_its_folder_is_refused(version):
    with pytest.raises(InvalidName):
        parse_version(version)


def test_a_number_is_a_version():
    assert parse_version(3) == parse_version("3") == parse_version("v3") == "v3"


@pytest.mark.parametrize(
    "name", ["ts", "Known_At", "symbol", "received_at", "close_time", "provenance", "a b", "", "1x", None]
)
def test_a_column_cannot_have_a_name_that_the_rows_need(name):
    with pytest.raises(InvalidName):
        FeatureColumn(name)


@pytest.mark.parametrize("name", ["n", "id", "seq", "price", "side", "RSI_14"])
def test_a_column_may_be_called_like_one_of_another_kind(name):
    assert FeatureColumn(name).name == name


@pytest.mark.parametrize("given", ["float64", "float", "Float64", float, pl.Float64, pl.Float64()])
def test_a_type_is_given_by_name_or_as_a_type(given):
    assert FeatureColumn("x", given).dtype == "float64"


@pytest.mark.parametrize("given", ["float32", "list", list, pl.List(pl.Int64), pl.Datetime("us"), None, 3])
def test_a_type_that_is_none_is_refused(given):
    with pytest.raises(BadInput, match="float64, int64, bool, string, time"):
        FeatureColumn("x", given)


def test_columns_are_given_with_units_and_descriptions():
    described = {
        "a": ("int", "count", "how many"),
        "b": {"dtype": "time", "unit": "ns"},
        "c": FeatureColumn("c", "bool"),
    }
    columns = FeatureSet.of("m", 1, described).columns
    assert columns == (
        FeatureColumn("a", "int64", "count", "how many"),
        FeatureColumn("b", "time", "ns"),
        FeatureColumn("c", "bool"),
    )
    assert FeatureSet.of("m", 1, "a").columns == (FeatureColumn("a"),)
    listed = [{"name": "a", "dtype": int, "unit": "count", "description": "how many"}, ("b", "time", "ns"), ["c", bool]]
    assert FeatureSet.of("m", 1, listed).columns == columns


@pytest.mark.parametrize("columns", [{}, [], None, 3, {"x": {"type": "int"}}, {"x": ()}, ["x", "X"]])
def test_columns_that_are_none_or_alike_are_refused(columns):
    with pytest.raises(BadInput):
        FeatureSet.of("m", 1, columns)


def test_keys_are_symbol_or_exchange_and_symbol():
    assert momentum(keys=["symbol", "exchange"]).keys == ("exchange", "symbol")
    with pytest.raises(BadInput, match="keys="):
        momentum(keys=["side"])


def test_a_definition_survives_json():
    features = momentum(description="fünf", tags=["b", "a"], code=momentum, inputs="binance:ohlcv:*")
    assert FeatureSet.from_json(features.to_json()) == features
    assert FeatureSet.from_json(features.to_json()).hash == features.hash


def test_all_that_can_change_a_value_changes_the_hash():
    others = [momentum(keys=("exchange", "symbol")), momentum(code=len), momentum(inputs=["a:*"]), momentum(tags="x")]
    assert len({features.hash for features in [momentum(), *others]}) == 5
    assert momentum().differences(momentum(code=len, tags="x")) == ["tags", "code"]


def test_other_code_has_another_hash():
    def make(factor):
        namespace: dict[str, object] = {}
        exec(f"def f(x):\n    return [y * {factor} for y in x]", namespace)
        return CodeReference.of(namespace["f"])

    assert make(2) == make(2)
    assert make(2).hash != make(3).hash
    assert CodeReference.of(momentum).name.endswith("test_features:momentum")
    with pytest.raises(BadInput, match="no function"):
        CodeReference.of(3)


def test_its_rows_begin_with_instant_and_knowledge():
    kind = momentum().kind
    assert kind.schema == {"ts": TIME, "known_at": TIME, "ret": pl.Float64, "n_up": pl.Int64}
    assert (kind.key, kind.required) == (("ts", "known_at"), ["ts", "known_at"])
    assert len({column.field_id for column in kind.stored}) == 5


def test_a_dataset_of_a_feature_set_knows_its_columns_and_equals_its_name():
    dataset = momentum().dataset("binance", "BTC/USDT")
    assert dataset == Dataset.parse("binance:momentum@v3:BTC/USDT")
    assert dataset.spec.names == ["ts", "known_at", "ret", "n_up"]
    with pytest.raises(InvalidName, match="no kind that this lake declares"):
        _ = Dataset.parse("binance:momentum@v3:BTC/USDT").spec


def test_a_symbol_never_leaves_the_folder_of_its_version():
    for symbol in ("A/B", "A@v4:B", "derived", "%2e%2e", "A/B:C-240101"):
        path = momentum().dataset("any", symbol).path
        assert path.startswith("derived/momentum/variant=v3/exchange=any/symbol=")
        assert path.count("/") == 4
    with pytest.raises(InvalidName):
        momentum().dataset("any", "../x")


def test_a_reference_names_a_set_or_a_column():
    ref = FeatureRef.parse("momentum@3:ret")
    assert (str(ref), ref.names_in(momentum())) == ("momentum@v3:ret", ["ret"])
    assert FeatureRef.parse("momentum@v3").names_in(momentum()) == ["ret", "n_up"]
    with pytest.raises(InvalidName, match="did you mean 'ret'"):
        FeatureRef.parse("momentum@v3:rte").names_in(momentum())


@pytest.mark.parametrize("text", ["momentum", "momentum:ret", "@v3", "momentum@", "momentum@v3:a:b", "a/b@v1", None])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InvalidName):
        FeatureRef.parse(text)
