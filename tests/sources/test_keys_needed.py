"""Which kinds need a key, held against the installed ccxt: a call is private if its source asks private addresses only."""

from __future__ import annotations

import inspect
import re

import ccxt
import pytest

from ticklake.sources.ccxt.capabilities import NEED_KEY, kinds_of, restrictions_of

CALLS = {
    "fetch_ohlcv": "ohlcv",
    "fetch_trades": "trades",
    "fetch_order_book": "book",
    "fetch_funding_rate_history": "funding",
    "fetch_open_interest_history": "open_interest",
}
MENTIONS = re.compile(r"self\.\w*(private|public)\w*\(", re.IGNORECASE)


def is_private(exchange: str, call: str) -> bool:
    """Whether a call's own source asks private addresses, and no public ones."""
    method = getattr(getattr(ccxt, exchange), call, None)
    return method is not None and {word.lower() for word in MENTIONS.findall(inspect.getsource(method))} == {"private"}


def test_the_table_says_what_the_installed_ccxt_says():
    found: dict[str, set[str]] = {}
    for exchange in ccxt.exchanges:
        kinds = kinds_of(getattr(ccxt, exchange)())
        private = {kind for call, kind in CALLS.items() if kind in kinds and is_private(exchange, call)}
        if is_private(exchange, "fetch_markets"):
            private = set(kinds)
        if private:
            found[exchange] = private

    written = {name: set(kinds) & set(kinds_of(getattr(ccxt, name)())) for name, kinds in NEED_KEY.items()}
    assert found == written


@pytest.mark.parametrize(
    ("exchange", "kind", "text"),
    [
        ("kraken", "ohlcv", "newest 720 only"),
        ("gate", "ohlcv", "newest 9,900 only"),
        ("bybit", "trades", "newest page only"),
        ("bitget", "trades", "last 90 days only"),
        ("binance", "open_interest", "last 30 days only"),
        ("alpaca", "trades", "needs a key (apiKey, secret)"),
    ],
)
def test_a_kind_says_what_stands_in_its_way(exchange, kind, text):
    assert restrictions_of(exchange)[kind] == text


def test_what_nothing_stands_in_the_way_of_is_left_out():
    assert "ohlcv" not in restrictions_of("binance")
