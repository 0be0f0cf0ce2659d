"""What exchanges' own names of markets mean: by their lists, by their conventions, by their quote currencies; else nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticklake.core.native_id_tables import KNOWN_ASSETS, QUOTES
from ticklake.core.native_ids import MarketList, readings, unified
from ticklake.core.symbol import Symbol
from ticklake.errors import InvalidName

CONVENTIONS = [
    # exchange, market, native id, symbol
    ("", None, "ETHUSD", "ETH/USD"),
    ("", None, "BCHUSD", "BCH/USD"),
    ("", None, "DASHUSD", "DASH/USD"),
    ("", None, "BNBUSD", "BNB/USD"),
    ("", None, "XXBTZUSD", "BTC/USD"),
    ("", None, "BTCUSD_211231", "BTC/USD:BTC-211231"),
    ("", None, "ETHUSDT_210924", "ETH/USDT:USDT-210924"),
    ("binance", "spot", "ARBUSD", "AR/BUSD"),
    ("binance", "spot", "BTCFDUSD", "BTC/FDUSD"),
    ("binance", "spot", "USDTTRY", "USDT/TRY"),
    ("binance", "spot", "BTCBIDR", "BTC/BIDR"),
    ("binance", "linear", "1000SHIBUSDT", "1000SHIB/USDT:USDT"),
    ("binance", "linear", "BTCUSDC", "BTC/USDC:USDC"),
    ("binance", "linear", "ETHUSDT_210924", "ETH/USDT:USDT-210924"),
    ("binance", "inverse", "BTCUSD_PERP", "BTC/USD:BTC"),
    ("binance", "inverse", "BNBUSD_PERP", "BNB/USD:BNB"),
    ("binance", "inverse", "BTCUSD_211231", "BTC/USD:BTC-211231"),
    ("binanceusdm", None, "BTCUSDT", "BTC/USDT:USDT"),
    ("binancecoinm", None, "DASHUSD_PERP", "DASH/USD:DASH"),
    ("binanceus", None, "BNBUSD", "BNB/USD"),
    ("bitfinex", None, "tBTCUSD", "BTC/USD"),
    ("bitfinex", None, "tDUSK:USD", "DUSK/USD"),
    ("bitfinex", None, "tBTCUST", "BTC/USDT"),
    ("bitfinex", None, "tBTCF0:USTF0", "BTC/USDT:USDT"),
    ("bitget", None, "BTCUSDT_UMCBL", "BTC/USDT:USDT"),
    ("bitget", None, "BTCUSD_DMCBL", "BTC/USD:BTC"),
    ("bitmex", None, "XBTUSD", "BTC/USD:BTC"),
    ("bitmex", None, "ETHUSD", "ETH/USD:BTC"),
    ("bitmex", None, "XBTUSDT", "BTC/USDT:USDT"),
    ("bitmex", None, "XBTH24", "BTC/USD:BTC-240329"),
    ("bitstamp", None, "ethusd", "ETH/USD"),
    ("bybit", "linear", "BTCUSDT", "BTC/USDT:USDT"),
    ("bybit", None, "BTCPERP", "BTC/USDC:USDC"),
    ("bybit", "inverse", "BTCUSD", "BTC/USD:BTC"),
    ("bybit", None, "BTCUSDZ24", "BTC/USD:BTC-241227"),
    ("bybit", None, "BTC-27DEC24", "BTC/USDC:USDC-241227"),
    ("bybit", None, "BTCUSDT-27DEC24", "BTC/USDT:USDT-241227"),
    ("coinbase", None, "ARB-USD", "ARB/USD"),
    ("coinbase", None, "BTC-PERP-INTX", "BTC/USDC:USDC"),
    ("cryptocom", None, "BTC_USDT", "BTC/USDT"),
    ("deribit", None, "BTC-PERPETUAL", "BTC/USD:BTC"),
    ("deribit", None, "SOL_USDC-PERPETUAL", "SOL/USDC:USDC"),
    ("deribit", None, "BTC-29MAR24", "BTC/USD:BTC-240329"),
    ("deribit", None, "ETH-5JUL24", "ETH/USD:ETH-240705"),
    ("gate", None, "BTC_USDT", "BTC/USDT"),
    ("gate", "linear", "BTC_USDT_20240329", "BTC/USDT:USDT-240329"),
    ("gemini", None, "BTCGUSD", "BTC/GUSD"),
    ("htx", None, "ethhusd", "ETH/HUSD"),
    ("htx", "inverse", "BTC-USD", "BTC/USD:BTC"),
    ("htx", "linear", "BTC-USDT", "BTC/USDT:USDT"),
    ("kraken", None, "XETHZUSD", "ETH/USD"),
    ("kraken", None, "XXBTZUSD", "BTC/USD"),
    ("kraken", None, "XXDGXXBT", "DOGE/BTC"),
    ("kraken", None, "ZEURZUSD", "EUR/USD"),
    ("kraken", None, "USDTZUSD", "USDT/USD"),
    ("kraken", None, "ARBUSD", "ARB/USD"),
    ("kraken", None, "BNBUSD", "BNB/USD"),
    ("kraken", None, "DASHUSD", "DASH/USD"),
    ("kraken", None, "XTZUSD", "XTZ/USD"),
    ("kraken", None, "XDGUSD", "DOGE/USD"),
    ("kraken", None, "XBT/USD", "BTC/USD"),
    ("krakenfutures", None, "PI_XBTUSD", "BTC/USD:BTC"),
    ("krakenfutures", None, "PF_ETHUSD", "ETH/USD:USD"),
    ("krakenfutures", None, "FI_XBTUSD_240329", "BTC/USD:BTC-240329"),
    ("kucoin", None, "BTC-USDT", "BTC/USDT"),
    ("kucoinfutures", None, "XBTUSDTM", "BTC/USDT:USDT"),
    ("kucoinfutures", None, "XBTUSDM", "BTC/USD:BTC"),
    ("mexc", "linear", "BTC_USDT", "BTC/USDT:USDT"),
    ("oanda", None, "usdcad", "USD/CAD"),
    ("okx", None, "BTC-USD-SWAP", "BTC/USD:BTC"),
    ("okx", None, "BTC-USDT-SWAP", "BTC/USDT:USDT"),
    ("okx", None, "BTC-USD-240329", "BTC/USD:BTC-240329"),
    ("okx", None, "BTC-USDT-240329", "BTC/USDT:USDT-240329"),
    ("phemex", None, "sBTCUSDT", "BTC/USDT"),
    ("poloniex", None, "USDT_BTC", "BTC/USDT"),
    ("poloniex", None, "BTC_USDT", "BTC/USDT"),
    ("upbit", None, "KRW-BTC", "BTC/KRW"),
    ("upbit", None, "BTC-ETH", "ETH/BTC"),
]


@pytest.mark.parametrize(("exchange", "market", "native", "symbol"), CONVENTIONS)
def test_a_name_is_read_by_the_conventions_of_its_exchange(exchange, market, native, symbol):
    assert unified(native, market, exchange) == symbol
    assert Symbol(symbol).base


@pytest.mark.parametrize(
    ("native", "exchange", "both"),
    [
        ("ARBUSD", "", {"AR/BUSD", "ARB/USD"}),
        ("ARBUSD", "binanceus", {"AR/BUSD", "ARB/USD"}),
        ("QQQQBUSD", "", {"QQQQ/BUSD", "QQQQB/USD"}),
        ("BTC-USD-PERP", "someplace", {"BTC/USD:BTC", "BTC/USD:USD"}),
    ],
)
def test_a_name_that_nothing_decides_is_refused_with_its_readings(native, exchange, both):
    with pytest.raises(InvalidName, match=r"may be .* or .*: say which with symbol=.* \(--symbol ") as caught:
        unified(native, exchange=exchange)
    assert all(symbol in str(caught.value) for symbol in both)
    for symbol in both:
        assert unified(native, exchange=exchange, said=symbol) == symbol


@pytest.mark.parametrize(
    "native", ["BTC-29MAR24-60000-C", "BTC-USD-240329-60000-P", "BTC-240329-60000-C", "BTC-27DEC24-60000-C-USDT"]
)
def test_an_option_is_refused_as_one(native):
    with pytest.raises(InvalidName, match="is an option"):
        unified(native)


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("BTC-31DEC21-34000-P", "BTC/USD:BTC-211231-34000-P"),
        ("ETH-2JUL21-2800-C", "ETH/USD:ETH-210702-2800-C"),
        ("XRP_USDC-5JUL24-0d625-C", "XRP/USDC:USDC-240705-0.625-C"),
    ],
)
def test_the_name_of_an_option_of_deribit_says_everything(native, symbol):
    assert unified(native, exchange="deribit") == symbol


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("BTC-USD-240329-60000-C", "BTC/USD:BTC-240329-60000-C"),
        ("EOS-USD-210625-8.5-P", "EOS/USD:EOS-210625-8.5-P"),
    ],
)
def test_the_name_of_an_option_of_okx_says_everything(native, symbol):
    assert unified(native, exchange="okx") == symbol


def test_a_future_of_bitflyer_is_settled_in_yen():
    assert unified("BTCJPY28DEC2018", exchange="bitflyer") == "BTC/JPY:JPY-181228"
    assert unified("BTCJPY28XXX2018", exchange="bitflyer") is None


def test_a_euro_coin_is_no_euro_priced_in_another_coin():
    assert unified("EURSUSD", exchange="hitbtc") == "EURS/USD"


def test_the_market_list_goes_before_every_rule():
    """Even one that contradicts it: the exchange knows best what it lists, or listed once."""
    listed = MarketList.of([("ARBUSD", "ARB/USD"), ("XETHZUSD", "ETH/USD"), ("odd", "ODD/EUR")])
    assert unified("ARBUSD", exchange="binance", listed=listed) == "ARB/USD"
    assert unified("ODD", listed=listed) == "ODD/EUR"


def test_a_name_without_separators_is_found_in_a_list_of_names_with_them():
    listed = MarketList.of([("FOOB-USD", "FOOB/USD")])
    assert unified("FOOBUSD", exchange="somewhere", listed=listed) == "FOOB/USD"


def test_of_markets_with_one_id_the_part_of_the_exchange_decides():
    listed = MarketList.of([("BTCUSDT", "BTC/USDT"), ("BTCUSDT", "BTC/USDT:USDT")])
    assert unified("BTCUSDT", "spot", "binance", listed) == "BTC/USDT"
    assert unified("BTCUSDT", "linear", "binance", listed) == "BTC/USDT:USDT"
    with pytest.raises(InvalidName, match="may be BTC/USDT or BTC/USDT:USDT on binance"):
        unified("BTCUSDT", None, "binance", listed)


CODE = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)


@given(
    base=CODE | st.sampled_from(sorted(KNOWN_ASSETS)),
    exchange=st.sampled_from(["binance", "binanceus", "bitstamp", "coinbase", "gemini", "htx", "kraken"]),
    data=st.data(),
)
def test_the_true_pair_is_among_the_readings_unless_another_is_likelier(base, exchange, data):
    """Only a well-known base may push it out, and then it has a base that is not known itself."""
    quote = data.draw(st.sampled_from(QUOTES[exchange]))
    true = unified(f"{base}-{quote}", "spot", exchange)
    found = readings(base + quote, "spot", exchange)
    others = [symbol for symbol in found if symbol != true]
    assert found
    assert true in found or len(base) < 3 or all(symbol.partition("/")[0] in KNOWN_ASSETS for symbol in others)
    assert true in found or base not in KNOWN_ASSETS


@pytest.mark.parametrize(
    ("native", "exchange", "symbol"),
    [
        ("CGLD-USD", "coinbase", "CELO/USD"),
        ("YOYOBTC", "binance", "YOYOW/BTC"),
        ("tAMPUSD", "bitfinex", "AMPL/USD"),
        ("BTC_STR", "poloniex", "XLM/BTC"),
        ("REPV2USD", "kraken", "REP/USD"),
        ("STEPN_USDT", "mexc", "GMT/USDT"),
    ],
)
def test_assets_have_the_names_that_ccxt_gives_them(native, exchange, symbol):
    """They were taken as the exchange writes them: rows of the same market lay in two datasets."""
    assert unified(native, exchange=exchange) == symbol


@pytest.mark.parametrize(
    ("native", "exchange"),
    [("fUSD", "bitfinex"), ("BIT-29MAR24-CDE", "coinbase"), ("BTC-DVOL", "deribit")],
)
def test_what_is_no_market_of_two_currencies_has_no_symbol(native, exchange):
    """They were split at any mark: F/USD, BIT/29MAR24:CDE."""
    assert unified(native, exchange=exchange) is None


@pytest.mark.parametrize(
    ("native", "exchange", "right"),
    [
        ("ETHUSDT_210924", "binancecoinm", "binanceusdm"),
        ("BTCUSD_211231", "binanceusdm", "binancecoinm"),
        ("BTCUSD_PERP", "binanceusdm", "binancecoinm"),
    ],
)
def test_a_contract_of_another_part_of_binance_is_refused(native, exchange, right):
    with pytest.raises(InvalidName, match=f"which {exchange} does not trade: say --exchange {right}"):
        unified(native, exchange=exchange)
