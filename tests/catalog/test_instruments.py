"""Field note: exchange lists shrink; delisted symbols vanish; a rename is a link; the same ticker can be two coins."""

import pytest

from tests.growth import growth
from ticklake.catalog.instruments import Instruments
from ticklake.core.instrument import Instrument, Rename
from ticklake.errors import BadResponse, CatalogDamaged

DAY = 86_400 * 10**9
T = 1_700_000_000 * 10**9


@pytest.fixture
def instruments(database, clock):
    return Instruments(database, clock)


def market(symbol, native=None, exchange="x", **terms):
    details = {"base": symbol.partition("/")[0], "quote": "USDT", **terms.pop("details", {})}
    return Instrument(exchange, symbol, native or symbol.replace("/", ""), "spot", details=details, **terms)


BTC, ETH = market("BTC/USDT", tick_size=0.01, lot_size=1e-5), market("ETH/USDT")


def names(found):
    return [one.symbol for one in found]


def test_an_unknown_instrument_is_none(instruments):
    assert instruments.get("x", "BTC/USDT") is None
    assert instruments.checked_at("x") is None


def test_a_listed_market_is_kept_as_described(instruments):
    seen = instruments.snapshot("x", [BTC, ETH], T)
    known = instruments.get("x", "BTC/USDT")
    assert names(seen.new) == ["BTC/USDT", "ETH/USDT"]
    assert (known.tick_size, known.lot_size, known.contract_size) == (0.01, 1e-5, None)
    assert (known.native_id, known.base, known.quote, known.active) == ("BTCUSDT", "BTC", "USDT", True)
    assert (known.valid_from, known.valid_to, known.delisted_at) == (T, None, None)
    assert instruments.checked_at("x") == T


def test_an_unchanged_list_changes_the_time_of_the_look_only(instruments):
    instruments.snapshot("x", [BTC, ETH], T)
    before = instruments.history("x")
    seen = instruments.snapshot("x", [ETH, BTC], T + DAY)
    assert (seen.listed, seen.new, seen.changed, seen.gone, seen.described) == (2, (), (), (), ())
    assert instruments.history("x") == before
    assert instruments.checked_at("x") == T + DAY


def test_what_vanishes_was_last_listed_at_the_look_before_and_stays_findable(instruments):
    instruments.snapshot("x", [BTC, ETH], T)
    instruments.snapshot("x", [BTC, ETH], T + DAY)
    seen = instruments.snapshot("x", [BTC], T + 2 * DAY)
    gone = instruments.get("x", "ETH/USDT")
    assert names(seen.gone) == ["ETH/USDT"]
    assert (gone.delisted_at, gone.valid_to) == (T + DAY, T + 2 * DAY)
    assert names(instruments.history("x")) == ["BTC/USDT", "ETH/USDT"]
    assert names(instruments.history("x", T + DAY)) == ["BTC/USDT", "ETH/USDT"]
    assert names(instruments.history("x", T + 3 * DAY)) == ["BTC/USDT"]


def test_the_same_ticker_later_is_another_market(instruments):
    """LUNA is two coins: one that ended, and one that took its name."""
    instruments.snapshot("x", [BTC, market("LUNA/USDT")], T)
    instruments.remember_listing("x", "LUNA/USDT", T - DAY)
    instruments.snapshot("x", [BTC], T + DAY)
    seen = instruments.snapshot("x", [BTC, market("LUNA/USDT")], T + 9 * DAY)
    again = instruments.get("x", "LUNA/USDT")
    assert names(seen.new) == ["LUNA/USDT"]
    assert (again.valid_from, again.delisted_at, again.listed_at) == (T + 9 * DAY, None, None)
    (then,) = [one for one in instruments.history("x", T) if one.symbol == "LUNA/USDT"]
    assert (then.valid_from, then.listed_at) == (T, T - DAY)


def test_other_terms_open_a_new_validity_and_keep_the_listing(instruments):
    instruments.snapshot("x", [BTC], T)
    instruments.remember_listing("x", "BTC/USDT", 5)
    seen = instruments.snapshot("x", [market("BTC/USDT", tick_size=0.1, lot_size=1e-5)], T + DAY)
    assert [one.tick_size for one in seen.changed] == [0.01]
    assert [one.tick_size for at in (T, T + DAY) for one in instruments.history("x", at)] == [0.01, 0.1]
    now = instruments.get("x", "BTC/USDT")
    assert (now.listed_at, now.delisted_at, now.valid_from) == (5, None, T + DAY)


def test_limits_that_move_every_day_open_none(instruments):
    instruments.snapshot("x", [BTC], T)
    moved = market("BTC/USDT", tick_size=0.01, lot_size=1e-5, details={"limits": {"amount": {"max": 7}}})
    seen = instruments.snapshot("x", [moved], T + DAY)
    assert (seen.new, names(seen.described)) == ((), ["BTC/USDT"])
    known = instruments.get("x", "BTC/USDT")
    assert (known.valid_from, known.details["limits"]) == (T, {"amount": {"max": 7}})


def test_a_symbol_known_by_its_listing_alone_takes_the_first_description(instruments, clock):
    instruments.remember_listing("x", "BTC/USDT", 5)
    instruments.snapshot("x", [BTC], T)
    known = instruments.get("x", "BTC/USDT")
    assert (known.native_id, known.listed_at, known.valid_from) == ("BTCUSDT", 5, clock.now)


def test_a_market_whose_listing_is_known_was_there_from_then_on(instruments):
    instruments.snapshot("x", [BTC, ETH], T)
    instruments.remember_listing("x", "BTC/USDT", T - 9 * DAY)
    assert names(instruments.history("x", T - DAY)) == ["BTC/USDT"]


def test_one_that_is_back_was_not_there_meanwhile_whatever_its_history_says(instruments):
    instruments.snapshot("x", [BTC, ETH], T)
    instruments.snapshot("x", [BTC], T + DAY)
    instruments.snapshot("x", [BTC, ETH], T + 9 * DAY)
    instruments.remember_listing("x", "ETH/USDT", T - DAY)
    there = [names(instruments.history("x", T + days * DAY)) == ["BTC/USDT", "ETH/USDT"] for days in (0, 5, 9)]
    assert there == [True, False, True]


def test_looks_at_one_instant_end_with_the_last(instruments):
    for listed in ([BTC, ETH], [BTC], [BTC, ETH]):
        instruments.snapshot("x", listed, T)
    assert [instruments.get("x", name).delisted_at for name in ("BTC/USDT", "ETH/USDT")] == [None, None]


def test_a_list_that_lacks_most_of_what_is_known_is_not_believed(instruments):
    many = [market(f"C{number}/USDT") for number in range(30)]
    instruments.snapshot("x", many, T)
    with pytest.raises(BadResponse, match="12 of 30"):
        instruments.snapshot("x", many[:12], T + DAY)
    assert len(instruments.history("x", T + DAY)) == 30
    assert instruments.checked_at("x") == T


def test_symbols_differ_by_case_and_exchange(instruments):
    instruments.snapshot("x", [market("BTC/USDT", "one"), market("btc/usdt", "two")], T)
    instruments.snapshot("y", [Instrument("y", "BTC/USDT", "three")], T)
    found = [instruments.get(*name).native_id for name in [("x", "BTC/USDT"), ("x", "btc/usdt"), ("y", "BTC/USDT")]]
    assert found == ["one", "two", "three"]
    assert names(instruments.history("y")) == ["BTC/USDT"]


def test_a_rename_is_a_link_and_can_be_corrected(instruments):
    instruments.link(Rename("x", "MATIC/USDT", "POL/USDT", T))
    instruments.link(Rename("x", "MATIC/USDT", "POL/USDT", T + DAY))
    assert instruments.links("x") == [Rename("x", "MATIC/USDT", "POL/USDT", T + DAY)]
    assert instruments.links("y") == []


def test_a_damaged_link_that_is_made_again_is_sound(database, instruments):
    instruments.link(Rename("x", "MATIC/USDT", "POL/USDT", T))
    with database.driver_connection() as connection:
        connection.execute("update renames set row_check = row_check + 1")
    with pytest.raises(CatalogDamaged):
        instruments.links("x")
    instruments.link(Rename("x", "MATIC/USDT", "POL/USDT", T + DAY))
    assert instruments.links("x") == [Rename("x", "MATIC/USDT", "POL/USDT", T + DAY)]


def test_three_thousand_markets_take_ten_times_as_long_as_three_hundred(instruments):
    exchanges = iter(f"x{number}" for number in range(100))

    def snapshot_twice(count):
        exchange = next(exchanges)
        many = [
            market(f"C{number}/USDT", exchange=exchange, details={"limits": {"amount": {"min": number}}})
            for number in range(count)
        ]
        instruments.snapshot(exchange, many, T)
        instruments.snapshot(exchange, many, T + DAY)

    assert growth(snapshot_twice, 300, 3000) < 50
    assert len(instruments.history("x0")) == 3000
