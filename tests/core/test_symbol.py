from pathlib import PurePosixPath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.symbol import Symbol, check_exchange
from ticklake.errors import InvalidName

printable = st.characters(exclude_categories=("C", "Z"))
texts = st.text(printable, min_size=1, max_size=15) | st.text(st.sampled_from("./\\:%~ -=A币é"), min_size=1, max_size=8)


def possible(text):
    try:
        return Symbol(text)
    except InvalidName:
        return None


@pytest.mark.parametrize(
    ("text", "base", "quote", "settle", "market_type"),
    [
        ("BTC/USDT", "BTC", "USDT", None, "spot"),
        ("BTC/USDT:USDT", "BTC", "USDT", "USDT", "swap"),
        ("BTC/USD:BTC", "BTC", "USD", "BTC", "swap"),
        ("BTC/USD:BTC-241227", "BTC", "USD", "BTC", "future"),
        ("BTC/USD:BTC-241227-60000-C", "BTC", "USD", "BTC", "option"),
        ("ETH/USDC:USDC-241227-2500.5-P", "ETH", "USDC", "USDC", "option"),
        ("1000SHIB/USDT", "1000SHIB", "USDT", None, "spot"),
        ("币安人生/USDT", "币安人生", "USDT", None, "spot"),
        ("AAPL", None, None, None, "spot"),
    ],
)
def test_its_parts_are_ccxts(text, base, quote, settle, market_type):
    symbol = Symbol(text)
    assert (symbol.base, symbol.quote, symbol.settle, symbol.market_type) == (base, quote, settle, market_type)


@pytest.mark.parametrize("text", ["btc/usdt", "kPEPE/USD:USD", "ß/€", "Ω/USDT", "币安人生/USDT", "A B/USD", "%2F/USD"])
def test_case_and_alphabet_are_kept_exactly(text):
    assert str(Symbol(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" BTC/USDT", "blank"),
        ("BTC/USDT\n", "blank"),
        ("BTC\x00/USDT", "control"),
        ("BTC/\u202eUSDT", "control"),
        ("\ud800/USDT", "control"),
        (".", "path step"),
        ("..", "path step"),
        ("../etc", "path step"),
        ("BTC/..", "path step"),
        ("BTC\\..\\USDT", "path step"),
        ("A" * 201, "longer"),
        ("币" * 23, "longer"),
    ],
)
def test_what_cannot_be_a_symbol_is_refused_with_the_reason(text, why):
    with pytest.raises(InvalidName, match=why):
        Symbol(text)


@pytest.mark.parametrize("value", [None, 5, b"BTC/USDT"])
def test_what_is_not_text_is_refused(value):
    with pytest.raises(InvalidName):
        Symbol(value)


@given(st.text(max_size=30) | texts)
def test_any_text_is_refused_or_becomes_one_ascii_path_component_that_reads_back(text):
    symbol = possible(text)
    if symbol is None:
        return
    assert unquote(symbol.escaped) == text
    assert symbol.escaped.isascii()
    assert len(PurePosixPath(symbol.escaped).parts) == 1
    assert symbol.escaped not in {".", ".."}
    assert not set(symbol.escaped) & set('/\\:*?"<>| \0')


@given(texts.filter(possible), texts.filter(possible))
def test_two_symbols_never_share_an_escaped_form(one, other):
    assert (Symbol(one).escaped == Symbol(other).escaped) == (one == other)


def test_symbols_sort_by_their_text():
    assert sorted([Symbol("b/X"), Symbol("B/X"), Symbol("a/X")]) == [Symbol("B/X"), Symbol("a/X"), Symbol("b/X")]


@pytest.mark.parametrize("name", ["binance", "okx", "coinbase-advanced", "gate_io", "1broker", "x" * 64])
def test_an_exchange_id_is_lower_case(name):
    assert check_exchange(name) == name


@pytest.mark.parametrize(
    "name", ["", "Binance", "bin ance", "-x", "_x", "..", "a/b", "a.b", "binance\n", "é", "x" * 65, None, 5]
)
def test_what_is_no_exchange_id_is_refused(name):
    with pytest.raises(InvalidName) as caught:
        check_exchange(name)
    assert repr(name) in str(caught.value)
