from __future__ import annotations

import doctest
import time

import pytest

from ticklake.core import redact
from ticklake.core.redact import redacted

SECRETS = [
    "binance GET https://api.binance.com/api/v3/order?symbol=BTCUSDT&signature=S3cr3tS3cr3t 401 Unauthorized",
    "GET https://api.bybit.com/v5?api_key=S3cr3tS3cr3t&sign=S3cr3tS3cr3t&timestamp=1",
    "okx {'OK-ACCESS-KEY': 'S3cr3tS3cr3t', 'OK-ACCESS-SIGN': 'S3cr3tS3cr3t', 'OK-ACCESS-PASSPHRASE': 'S3cr3tS3cr3t'}",
    '{"apiKey": "S3cr3tS3cr3t", "secret": "S3cr3tS3cr3t"}',
    "X-MBX-APIKEY: S3cr3tS3cr3tS3cr3tS3cr3t",
    "Authorization: Bearer S3cr3tS3cr3t",
    "sent Bearer S3cr3tS3cr3t to it",
    "Cookie: session=S3cr3tS3cr3t",
    "postgresql://me:S3cr3tS3cr3t@db.example.org/lake",
    "http://me:S3cr3tS3cr3t@proxy:3128",
    "mailto://me:S3cr3tS3cr3t@example.org",
    "tgram://S3cr3tS3cr3t/42 did not answer",
    "ws://127.0.0.1:8470/api/v1/subscribe?token=S3cr3tS3cr3t",
    "TICKLAKE_EXCHANGES__BINANCE__API_SECRET=S3cr3tS3cr3t",
    "password='S3cr3t S3cr3t'",
    "a token of ours: tl_S3cr3tS3cr3tS3cr3tS3cr3tS3cr3t",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_hidden(text):
    assert "S3cr3t" not in redacted(text)
    assert redact.HIDDEN in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "run 3 failed: binance:trades:SIGN/USDT: no key",
        "https://data.binance.vision/data/spot/monthly/BTCUSDT-trades-2024-01.zip: 404 Not Found",
        "sqlite:///srv/lake/catalog.db is damaged",
        "GET https://x.com/klines?symbol=BTCUSDT&interval=1m&startTime=0&limit=1000",
        "a public address needs a token: 'ticklake token create' makes one",
        "binance:ohlcv:1h:KEY/USDT keyed by id",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize("part", ["a", "a-b.", "://", "token", "x=y&", "'", "key: ", "tokena://"])
def test_a_long_text_takes_no_square_of_steps(part):
    began = time.process_time()
    redacted(part * (100_000 // len(part)))
    assert time.process_time() - began < 1


def test_the_examples_are_true():
    assert doctest.testmod(redact).failed == 0
