from __future__ import annotations

from ticklake.core.streams import StreamStatus
from ticklake.interfaces.prometheus import METRICS, stream_metrics


def test_each_metric_has_its_help_type_and_labels():
    status = StreamStatus(
        "binance:ohlcv:1m:BTC/USDT",
        "live",
        rate=1.5,
        last_event=1_704_067_200_500_000_000,
        lag=0.25,
        stored=7,
        duplicate=2,
        waiting=1,
    )
    lines = list(stream_metrics([status]))
    labels = 'exchange="binance",kind="ohlcv",symbol="BTC/USDT",timeframe="1m"'
    assert f"ticklake_stream_up{{{labels}}} 1" in lines
    assert f'ticklake_stream_rows_total{{{labels},result="stored"}} 7' in lines
    assert f"ticklake_stream_lag_seconds{{{labels}}} 0.25" in lines
    assert "# TYPE ticklake_stream_rows_total counter" in lines
    assert {line.split()[2] for line in lines if line.startswith("# HELP")} == set(METRICS)


def test_what_is_not_known_is_left_out():
    lines = list(stream_metrics([StreamStatus("x:trades:BTC/USDT", "connecting")]))
    assert not any(line.startswith("ticklake_stream_lag_seconds{") for line in lines)
    assert any(line.startswith("ticklake_stream_up{") and line.endswith(" 0") for line in lines)


def test_times_keep_their_digits():
    status = StreamStatus("x:trades:BTC/USDT", "live", last_event=1_704_067_200_500_000_000)
    [line] = [line for line in stream_metrics([status]) if line.startswith("ticklake_stream_last_event")]
    assert line.endswith(" 1704067200.5")
