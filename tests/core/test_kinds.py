from dataclasses import replace

import polars as pl
import pytest

from ticklake.core.kinds import KINDS, PROVENANCE, TIME, Column, Kind, KindRegistry, kind_of
from ticklake.errors import BadInput, InvalidName

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_every_kind_of_the_first_release_is_there():
    assert {"ohlcv", "trades", "book", "quotes", "funding", "open_interest", "liquidations"} <= set(KINDS)
    assert {"mark_ohlcv", "index_ohlcv"} <= set(KINDS)


@every_kind
def test_field_ids_are_unique_in_a_kind(kind):
    ids = [column.field_id for column in kind.stored]
    assert len(set(ids)) == len(ids)


@every_kind
def test_ts_comes_first_and_is_required(kind):
    assert kind.names[0] == "ts"
    assert kind.schema["ts"] == TIME
    assert "ts" in kind.required


@every_kind
def test_keys_and_order_are_columns_of_the_kind_and_begin_with_ts(kind):
    assert set(kind.key) <= set(kind.stored_schema)
    assert set(kind.order) <= set(kind.stored_schema)
    assert (kind.key[0], kind.order[0]) == ("ts", "ts")


@every_kind
def test_what_makes_no_difference_is_never_part_of_the_key(kind):
    assert not set(kind.same) & set(kind.key)


@every_kind
def test_an_empty_frame_has_the_stored_schema(kind):
    frame = kind.empty()
    assert frame.height == 0
    assert dict(frame.schema) == kind.stored_schema
    assert list(frame.columns) == [*kind.names, *(column.name for column in kind.hidden), PROVENANCE]


@every_kind
def test_hidden_columns_are_not_public(kind):
    assert PROVENANCE not in kind.names
    assert not {column.name for column in kind.hidden} & set(kind.names)


@every_kind
def test_only_times_and_durations_are_temporal(kind):
    for column in kind.stored:
        assert column.is_temporal == isinstance(column.dtype, pl.Datetime | pl.Duration)


def test_funding_has_an_interval_that_is_a_duration():
    interval = next(column for column in KINDS["funding"].columns if column.name == "interval")
    assert interval.dtype == pl.Duration("ns")
    assert interval.is_temporal


@pytest.mark.parametrize("name", ["ohlcv", "mark_ohlcv", "index_ohlcv"])
def test_prices_of_a_bar_may_not_be_null_and_volumes_may(name):
    assert KINDS[name].required == ["ts", "open", "high", "low", "close"]


def test_a_trade_without_id_or_side_is_allowed():
    assert KINDS["trades"].required == ["ts", "price", "amount"]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("ohlcv", "ts open high low close volume quote_volume trades"),
        ("trades", "ts received_at id price amount side"),
        ("book", "ts received_at seq side price amount count is_snapshot"),
        ("quotes", "ts received_at seq bid_price bid_amount ask_price ask_amount"),
        ("funding", "ts rate predicted_rate next_ts mark_price interval"),
        ("open_interest", "ts open_interest open_interest_value"),
    ],
)
def test_field_ids_count_the_columns_and_stay_as_they_are(name, columns):
    assert [(column.field_id, column.name) for column in KINDS[name].columns] == list(enumerate(columns.split(), 1))


def test_kind_of_returns_the_entry_of_that_name():
    assert all(kind_of(name) is kind for name, kind in KINDS.items())
    assert all(kind.name == name for name, kind in KINDS.items())


def test_an_unknown_kind_is_refused_with_what_there_is():
    with pytest.raises(InvalidName, match=r"'candles'.*ohlcv"):
        kind_of("candles")


MOMENTUM = Kind("momentum", (Column("ts", TIME, 1, required=True), Column("value", pl.Float64, 2)), key=("ts",))


class TestRegistry:
    def test_it_has_the_built_in_kinds(self):
        kinds = KindRegistry()
        assert {name: kinds[name] for name in kinds} == KINDS
        assert len(kinds) == len(KINDS)

    def test_a_declared_kind_stands_beside_them(self):
        kinds = KindRegistry([MOMENTUM])
        assert kinds["momentum"] is MOMENTUM
        assert list(kinds) == [*KINDS, "momentum"]

    def test_declaring_one_more_changes_no_registry(self):
        first = KindRegistry([MOMENTUM])
        other = replace(MOMENTUM, name="other")
        assert {"momentum", "other"} <= set(first.declare(other))
        assert "other" not in first
        assert "momentum" not in KINDS
        with pytest.raises(InvalidName, match="'momentum' is not a kind"):
            kind_of("momentum")

    def test_a_name_that_is_taken_is_refused(self):
        with pytest.raises(InvalidName, match="there is a kind 'ohlcv' already"):
            KindRegistry([replace(MOMENTUM, name="ohlcv")])
        with pytest.raises(InvalidName, match="there is a kind 'momentum' already"):
            KindRegistry([MOMENTUM]).declare(MOMENTUM)

    @pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "a:b", "a@b", "retired", "derived", "1st", "x" * 65])
    def test_a_name_that_cannot_be_a_folder_of_a_kind_is_refused(self, name):
        with pytest.raises(InvalidName, match="cannot name a kind"):
            KindRegistry([replace(MOMENTUM, name=name)])

    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            ({"columns": ()}, "must begin with a required column 'ts'"),
            ({"columns": MOMENTUM.columns[1:]}, "must begin with a required column 'ts'"),
            ({"columns": (*MOMENTUM.columns, Column("value", pl.Int64, 3))}, "same name or field id"),
            ({"columns": (*MOMENTUM.columns, Column("more", pl.Int64, 2))}, "same name or field id"),
            ({"columns": (*MOMENTUM.columns, Column("provenance", pl.Int64, 3))}, "same name or field id"),
            ({"key": ()}, "is empty"),
            ({"key": ("ts", "id")}, "names id, which it has not"),
        ],
    )
    def test_columns_that_cannot_be_stored_are_refused(self, parts, told):
        with pytest.raises(BadInput, match=told):
            KindRegistry([replace(MOMENTUM, **parts)])
