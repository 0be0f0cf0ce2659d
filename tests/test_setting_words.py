"""An invalid setting is refused in one line of plain words that names it, its value and the cure."""

import pytest

from ticklake.config import load_settings
from ticklake.errors import BadInput


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_free": "x"}, r"setting min_free: is neither a share of the disk nor a size: .*\(it is 'x'\)"),
        ({"min_free": "200 %"}, r"setting min_free: is neither .* '2 %' or '500MB'"),
        ({"alerts": {"cooldown": 10}}, "setting alerts.cooldown: a length of time has a unit: write it like '10d'"),
        ({"alerts": {"cooldown": "x"}}, "setting alerts.cooldown: is not written like 30m, 1h"),
        ({"alerts": {"on": ["x"]}}, r"setting alerts.on\[0\]: must be one of 'run_failed', 'stale'"),
        ({"keep": 5}, "setting keep: is no table of names and values"),
        ({"keep": {"ohlcv": "x"}}, "setting keep.ohlcv: is no whole number"),
        ({"retry": {"attempts": 0}}, "setting retry.attempts: must be at least 1"),
        ({"jobs": {"lease": 0}}, "setting jobs.lease: must be more than 0"),
        ({"exchanges": {"binance": {"at_once": 99}}}, "setting exchanges.binance.at_once: must be at most 64"),
        ({"archives": "x"}, "setting archives: is neither true nor false"),
        ({"live": {"cache_bytes": "x"}}, "setting live.cache_bytes: is no size: write it like 500MB"),
        ({"live": {"cache_bytes": "5 elephants"}}, "setting live.cache_bytes: is no size"),
        ({"knowledge": {"lag": {"ohlcv": 2}}}, "setting knowledge.lag.ohlcv: a length of time has a unit"),
        ({"nope": 5}, "setting nope: there is no such key"),
    ],
)
def test_it_is_refused_in_plain_words(settings, words):
    with pytest.raises(BadInput, match=words) as caught:
        load_settings(**settings)
    assert "\n" not in str(caught.value)
