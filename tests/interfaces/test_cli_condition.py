"""What one can rely on, and what a read would bring, in the shell."""

from __future__ import annotations

import json

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, parse_time

from ..conftest import open_lake
from .test_cli import shell  # noqa: F401

BARS = "binance:ohlcv:1h:BTC/USDT"
T = parse_time("2024-01-01")


def keep():
    """Three whole days, and one of which half was lost."""
    rows = [
        {"ts": ts, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}
        for ts in range(T, T + 3 * DAY + 12 * HOUR, HOUR)
    ]
    half = T + 3 * DAY + 12 * HOUR
    with open_lake("data") as lake:
        looks = [Covered(Span(T, half)), Covered(Span(half, T + 4 * DAY), Found.LOST, "too many")]
        lake.engine.append(Dataset.parse(BARS), rows, Provenance("ccxt"), looks)


def test_days_that_are_alike_share_a_line(shell):  # noqa: F811
    keep()
    result = shell("condition", BARS)
    assert result.exit_code == 3
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[1:6] for line in lines[1:]] == [
        ["2024-01-01", "2024-01-03", "3", "complete", "0"],
        ["2024-01-04", "2024-01-04", "1", "gaps", "12"],
    ]
    assert len(shell("condition", BARS, "--all").stdout.splitlines()) == 5
    days = json.loads(shell("condition", "binance", "BTC/USDT", "-t", "1h", "--json").stdout)
    assert [day["condition"] for day in days] == ["complete"] * 3 + ["gaps"]
    assert shell("condition", BARS, "--end", "2024-01-04").exit_code == 0


def test_a_read_is_estimated_before_it(shell):  # noqa: F811
    keep()
    result = shell("estimate", BARS, "--json")
    found = json.loads(result.stdout)
    assert (found["rows"], found["is_exact"]) == (84, True)
    assert found["bytes"].keys() == {"json", "ndjson", "csv", "arrow", "parquet"}
    assert "84 rows" in shell("estimate", BARS).stdout
    assert "about" in shell("estimate", BARS, "--end", "2024-01-02").stdout
