"""Collecting stops before the disk is full, says so, keeps what was committed, and goes on once there is space."""

import shutil

import pytest

from ticklake.app import open_lake
from ticklake.core.span import Span
from ticklake.errors import DiskAlmostFull

from ..conftest import settings_for
from ..damage.damage_lakes import mounted

BARS = "binance:ohlcv:1m:BTC/USDT"
ASKED = {"start": "2024-01-01", "end": "2024-01-05"}


@pytest.fixture
def opened(tmp_path, market, serve):
    """Open the lake with a *min_free*, with dump sites or without."""
    exchange = serve(market, "2024-01-06")

    def open_it(min_free, folder=tmp_path / "lake", archives=False):
        settings = settings_for(exchange.url, archives=archives).model_copy(update={"min_free": min_free})
        return open_lake(folder, settings=settings)

    return open_it


def test_less_free_than_asked_for_fails_the_run_before_a_row_is_taken(opened, tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with opened(2 * free) as lake:
        with pytest.raises(DiskAlmostFull, match="min_free"):
            lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
        (run,) = lake.runs.list()
        assert (run.state, run["new"]) == ("failed", 0)
        assert "free some" in run.outcome
        assert lake.load(BARS).height == 0
        assert {gap.reason for gap in lake.gaps(BARS)} == {"not_fetched"}
    with opened(0) as lake:
        run = lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
        assert run.state == "succeeded"
    with opened(2 * free) as lake:
        assert lake.load(BARS).height == run["new"] > 0
        assert lake.cleanup(1).rows == run["new"], "what frees space is never refused"


def test_a_dump_file_that_would_fill_the_disk_is_not_downloaded(opened, tmp_path):
    with opened(2 * shutil.disk_usage(tmp_path).free, archives=True) as lake:
        with pytest.raises(DiskAlmostFull):
            lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
        assert lake.load(BARS).height == 0
    assert not [path for path in (tmp_path / "lake" / "downloads").rglob("*.part") if path.stat().st_size]


def test_a_real_disk_that_fills_up_keeps_the_pages_before(opened, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        (place / "ballast").write_bytes(bytes(1_000_000))
        opened(0, place / "lake").close()
        keep = shutil.disk_usage(place).free - 250_000
        with opened(keep, place / "lake") as lake:
            with pytest.raises(DiskAlmostFull):
                lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
            (run,) = lake.runs.list()
            kept = lake.load(BARS).height
            assert run.state == "failed"
            assert kept == run["new"] > 0
            (place / "ballast").unlink()
            again = lake.backfill("binance", "BTC/USDT", "1m", **ASKED)
            assert again.state == "succeeded"
            assert lake.load(BARS).height == kept + again["new"] > kept
            assert not list(lake.coverage(BARS).missing(Span.parse(ASKED["start"], ASKED["end"])))
            assert lake.verify(deep=True) == []
