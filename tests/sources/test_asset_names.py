"""The names of assets that stand in our table are those of ccxt."""

import ccxt
import pytest

from ticklake.core.native_id_tables import CODES


@pytest.mark.parametrize("exchange", sorted(set(CODES) - {""}))
def test_every_code_has_the_name_that_ccxt_gives_it(exchange):
    """Kraken's five that were delisted are not in ccxt."""
    known = getattr(ccxt, exchange)().commonCurrencies
    assert {code: name for code, name in CODES[exchange].items() if known.get(code, name) != name} == {}
