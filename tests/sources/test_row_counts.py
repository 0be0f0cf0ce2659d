"""What ccxt drops or invents on the way from an exchange is noticed: the rows are counted, and put right."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_exchanges import assert_no_false_data, data_spans, market, pages_of, scripted, times_of

from ticklake.core.coverage import Found
from ticklake.core.span import Span, normalise
from ticklake.core.time import HOUR, MINUTE, MS, SECOND, parse_time

START = parse_time("2025-05-01")
NOW = parse_time("2025-05-02")


def bitopro(times: list[int]) -> Any:
    """Quiet minutes have no bar; ccxt fills them."""

    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["from"]) * SECOND, int(query["to"]) * SECOND
        return {
            "data": [
                {"timestamp": ts // MS, "open": "1", "high": "3", "low": "1", "close": "2", "volume": "5"}
                for ts in times
                if first <= ts <= last
            ]
        }

    return answer


@pytest.mark.parametrize("offset", [0, 25 * SECOND])
def test_bars_that_ccxt_fills_in_are_refused_and_none_that_was_sent_is_lost(offset):
    """Field note: bitopro fills quiet minutes with copies of a later bar."""
    times = [START + number * MINUTE for number in range(1, 180) if number % 7 and not 60 <= number < 75]
    source = scripted("bitopro", bitopro(times), [market("BTC/TWD", "btc_twd")], NOW)

    pages = pages_of(source, "bitopro:ohlcv:1m:BTC/TWD", Span(START + offset, START + 3 * HOUR))

    assert times_of(pages) == times
    assert any("rows were refused: ccxt invented them" in note for page in pages for note in page.notes)


def bitstamp_funding(rates: list[int]) -> Any:
    def answer(_path: str, query: dict[str, str]) -> Any:
        first, last = int(query["since_timestamp"]) * SECOND, int(query.get("until_timestamp", 2**40)) * SECOND
        found = [ts for ts in rates if first <= ts <= last]
        history = [{"funding_rate": "0.0001", "timestamp": str(ts // SECOND)} for ts in found]
        return {"market": "BTC/USD-PERP", "funding_rate_history": history}

    return answer


def test_funding_rates_without_a_symbol_are_those_of_the_asked_market():
    """Field note: bitstamp funding: symbol None, all filtered by ccxt."""
    rates = [START + number * 8 * HOUR for number in range(1, 3)]
    perpetual = market("BTC/USD:USD", "btcusd-perp", "swap")
    source = scripted("bitstamp", bitstamp_funding(rates), [perpetual], NOW)

    pages = pages_of(source, "bitstamp:funding:BTC/USD:USD", Span(START + HOUR, NOW))

    assert times_of(pages) == rates
    assert normalise(data_spans(pages)) == [Span(START + HOUR, NOW)]


def woo_funding(rates: dict[int, str]) -> Any:
    def answer(_path: str, _query: dict[str, str]) -> Any:
        rows = [
            {"symbol": symbol, "fundingRate": "0.0001", "fundingRateTimestamp": ts // MS, "nextFundingTime": 0}
            for ts, symbol in rates.items()
        ]
        return {"success": True, "data": {"rows": rows, "meta": {}}, "timestamp": NOW // MS}

    return answer


def test_rows_that_name_what_nobody_lists_make_their_span_lost_not_data():
    """ccxt takes them for another market's, which nothing proves."""
    rates = {START: "PERP_BTC_USDT", START + 8 * HOUR: "PERP_BTC_USDT.B", START + 16 * HOUR: "PERP_BTC_USDT"}
    source = scripted("woo", woo_funding(rates), [market("BTC/USDT:USDT", "PERP_BTC_USDT", "swap")], NOW)

    pages = pages_of(source, "woo:funding:BTC/USDT:USDT", Span(START, NOW))

    assert_no_false_data(pages, list(rates))
    (lost,) = [piece for page in pages for piece in page.covered if piece.found is Found.LOST]
    assert lost.reason == "1 of 3 rows that the exchange sent are not here: 1 filtered by symbol"


def test_rows_of_another_listed_market_are_no_loss():
    rates = {START: "PERP_BTC_USDT", START + 8 * HOUR: "PERP_ETH_USDT", START + 16 * HOUR: "PERP_BTC_USDT"}
    listed = [market("BTC/USDT:USDT", "PERP_BTC_USDT", "swap"), market("ETH/USDT:USDT", "PERP_ETH_USDT", "swap")]
    source = scripted("woo", woo_funding(rates), listed, NOW)

    pages = pages_of(source, "woo:funding:BTC/USDT:USDT", Span(START, NOW))

    assert times_of(pages) == [START, START + 16 * HOUR]
    assert normalise(data_spans(pages)) == [Span(START, NOW)]


class TestTimesBeyond64Bits:
    def test_a_trade_of_such_a_time_is_refused_and_the_others_come_in(self):
        def answer(_path: str, _query: dict[str, str]) -> Any:
            times = [(START + HOUR) // MS, 9_000_000_000_000_000, (START + 2 * HOUR) // MS]
            return [
                {"market": "KRW-BTC", "timestamp": ts, "trade_price": 1.0, "trade_volume": 1.0, "ask_bid": "ASK",
                 "sequential_id": number}
                for number, ts in enumerate(times)
            ]  # fmt: skip

        source = scripted("upbit", answer, [market("BTC/KRW", "KRW-BTC")], NOW)

        pages = pages_of(source, "upbit:trades:BTC/KRW", Span(START, NOW))

        assert times_of(pages) == [START + HOUR, START + 2 * HOUR]
        assert data_spans(pages) == []
        assert "1 refused as its time 9000000000000000 is outside 1677..2262" in pages[0].notes[0]

    def test_a_bar_of_such_a_time_is_refused(self):
        def answer(_path: str, query: dict[str, str]) -> Any:
            first, last = int(query["from"]) * SECOND, int(query["to"]) * SECOND
            good = [ts // MS for ts in (START + MINUTE, START + 3 * MINUTE) if first <= ts <= last]
            return {
                "data": [
                    {"timestamp": ts, "open": "1", "high": "3", "low": "1", "close": "2", "volume": "5"}
                    for ts in [*good, 9_000_000_000_000_000]
                ]
            }

        source = scripted("bitopro", answer, [market("BTC/TWD", "btc_twd")], NOW)

        pages = pages_of(source, "bitopro:ohlcv:1m:BTC/TWD", Span(START, START + HOUR))

        assert times_of(pages) == [START + MINUTE, START + 3 * MINUTE]
        assert data_spans(pages) == []
