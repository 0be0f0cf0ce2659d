"""The table of quirks against what ccxt knows."""

from __future__ import annotations

import ccxt
import pytest

from ticklake.core.time import MS, SECOND
from ticklake.sources.ccxt.quirks import QUIRKS, Quirks, quirks_of

WRITTEN = ["binance", "binanceusdm", "binancecoinm", "binanceus", "kraken", "okx", "bybit", "bitget", "kucoin", "gate"]
WRITTEN += ["coinbase", "bitfinex"]


def test_every_exchange_of_the_table_is_one_of_ccxt():
    """Exchange lists shrink: ccxt drops exchanges, and a row nobody can use is dead."""
    assert QUIRKS.keys() <= set(ccxt.exchanges)


@pytest.mark.parametrize("exchange", sorted(QUIRKS))
def test_nothing_is_written_of_a_kind_that_ccxt_cannot_ask_for(exchange):
    client, quirks = getattr(ccxt, exchange)(), quirks_of(exchange)
    calls = {"ohlcv": "fetchOHLCV", "trades": "fetchTrades"}

    assert all(client.has[calls[kind]] for kind in quirks.keeps - {"funding"})


@pytest.mark.parametrize("exchange", WRITTEN)
def test_no_page_of_bars_is_longer_than_ccxt_says_fits(exchange):
    """Field note: never ask for more than fits."""
    quirks = quirks_of(exchange)
    fits = getattr(ccxt, exchange)().features["spot"]["fetchOHLCV"]["limit"]

    assert quirks.page_bars or quirks.recent_bars
    assert (quirks.page_bars or quirks.recent_bars) <= fits


@pytest.mark.parametrize("exchange", WRITTEN)
def test_bars_can_be_paged_forward_with_an_end(exchange):
    """A window's end is sent along wherever history goes back."""
    quirks = quirks_of(exchange)

    assert quirks.until is (quirks.recent_bars is None)


@pytest.mark.parametrize(("exchange", "page"), [("bitget", 200), ("coinbase", 300), ("bitfinex", 10_000)])
def test_page_limits_of_the_field_notes(exchange, page):
    """Field note: Bitget 200 old, Coinbase 300, Bitfinex 10,000."""
    assert quirks_of(exchange).page_bars == page


def test_kraken_serves_720_bars_in_all():
    """Field note: Kraken 720 in all."""
    assert quirks_of("kraken").recent_bars == 720


def test_aggregated_trades_are_kept_apart_by_their_id_space():
    """Field note: aggregated trades have another id space than raw ones."""
    assert quirks_of("binance").id_space == "agg"
    assert quirks_of("kraken").id_space == ""


def test_an_exchange_nobody_wrote_down_gets_cautious_answers():
    assert quirks_of("exmo") == Quirks()
    assert (Quirks().trades, Quirks().until, Quirks().page_bars) == ("recent", False, None)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (1762820035.9822779, 1_762_820_035_982_277_900),
        ("1762820035.9822779", 1_762_820_035_982_277_900),
        ("1762820035.982277754", 1_762_820_035_982_277_754),
        (1557895726.2415, 1_557_895_726_241_500_000),
        (1541390792, 1_541_390_792 * SECOND),
    ],
)
def test_kraken_times_are_read_digit_by_digit(text, ns):
    """Field note: ``float * 1e9`` is off by up to 100 ns."""
    assert quirks_of("kraken").trade_time({"info": ["1", "1", text], "timestamp": 5}) == ns


def test_other_times_are_milliseconds():
    assert quirks_of("binance").trade_time({"timestamp": 1_700_000_000_123}) == 1_700_000_000_123 * MS
