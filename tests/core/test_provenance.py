import dataclasses

import pytest

from ticklake.core.provenance import Provenance


def test_it_is_rebuilt_from_its_mapping():
    origin = Provenance("ccxt", "fetch_trades", "ccxt 4.5", id_space="agg", clock="local", note="why")
    assert Provenance(**origin.to_dict()) == origin


def test_its_mapping_is_plain_text_with_every_field():
    mapping = Provenance("file").to_dict()
    assert set(mapping) == {field.name for field in dataclasses.fields(Provenance)}
    assert all(type(value) is str for value in mapping.values())


def test_the_clock_is_the_exchanges_unless_said_otherwise():
    assert Provenance("ccxt").clock == "exchange"


def test_equal_origins_are_one_key_and_cannot_be_changed():
    origin = Provenance("ccxt", "fetch_trades")
    assert len({origin, Provenance("ccxt", "fetch_trades"), Provenance("ccxt", "fetch_ohlcv")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        origin.source = "file"
