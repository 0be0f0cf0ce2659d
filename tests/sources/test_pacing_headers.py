"""What exchanges say about budgets: each rule against the headers that its exchange documents."""

import pytest

from ticklake.sources.pacing.headers import LONGEST, asked_pause, retry_after

NOW = 1_700_000_010.0
"""1,700,000,040 is a whole minute."""


@pytest.mark.parametrize(
    ("exchange", "path", "headers", "seconds"),
    [
        ("binance", "/api/v3/klines", {"x-mbx-used-weight-1m": "5399"}, 0),
        ("binance", "/api/v3/klines", {"x-mbx-used-weight-1m": "5400"}, 30),
        ("binance", "/fapi/v1/klines", {"x-mbx-used-weight-1m": "2160"}, 30),
        ("binance", "/fapi/v1/klines", {"x-mbx-used-weight-1m": "2000"}, 0),
        ("binance", "/dapi/v1/klines", {"x-mbx-used-weight-1m": "2399"}, 30),
        ("bybit", "/v5/market/kline", _bybit := {"x-bapi-limit": "120", "x-bapi-limit-status": "118"}, 0),
        ("bybit", "/v5/x", _bybit | {"x-bapi-limit-status": "5", "x-bapi-limit-reset-timestamp": "1700000012500"}, 2.5),
        ("bybit", "/v5/x", _bybit | {"x-bapi-limit-status": "0", "x-bapi-limit-reset-timestamp": "1700000010000"}, 0),
        (
            "kucoin",
            "/",
            {"gw-ratelimit-limit": "500", "gw-ratelimit-remaining": "300", "gw-ratelimit-reset": "1489"},
            0,
        ),
        (
            "kucoin",
            "/",
            {"gw-ratelimit-limit": "500", "gw-ratelimit-remaining": "9", "gw-ratelimit-reset": "1489"},
            1.489,
        ),
        (
            "gate",
            "/",
            {
                "x-gate-ratelimit-limit": "200",
                "x-gate-ratelimit-requests-remain": "0",
                "x-gate-ratelimit-reset-timestamp": "1700000014",
            },
            4,
        ),
        (
            "bitmex",
            "/",
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "1700000011"},
            1,
        ),
        ("anybody", "/", {"ratelimit-limit": "60", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ("anybody", "/", {"ratelimit-limit": "60", "ratelimit-remaining": "0", "ratelimit-reset": "86400"}, LONGEST),
        ("kraken", "/0/public/Trades", {"x-mbx-used-weight-1m": "6000"}, 0),
    ],
)
def test_a_budget_that_is_nearly_used_up_asks_for_a_pause(exchange, path, headers, seconds):
    assert asked_pause(exchange, path, headers, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-mbx-used-weight-1m": "many"},
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "10", "x-ratelimit-reset": "soon"},
    ],
)
def test_what_cannot_be_read_says_nothing(headers):
    assert asked_pause("binance", "/api/v3/klines", headers, NOW) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-2", 0.0), ("", None), ("soon", None), ("Tue, 14 Nov 2023 22:13:40 GMT", 10.0)],
)
def test_retry_after_is_a_number_or_a_date(text, seconds):
    assert retry_after({"retry-after": text}, NOW) == seconds
