"""Tables of funding rates with local times: the exchange in their name tells the grid, and with it the zone that is proposed."""

import pytest

from ticklake import Mapping
from ticklake.app import memory_lake
from ticklake.core.time import parse_time

HOURS = (7, 15, 23)
"""Funding times of KuCoin (04, 12 and 20 UTC) in Moscow."""


@pytest.fixture
def lake():
    with memory_lake(clock=lambda: parse_time("2026-01-01")) as lake:
        yield lake


def history(folder, name):
    path = folder / name
    lines = [f"BTC-USDT,2021-01-{day:02} {hour:02}:00:00,0.0001" for day in range(1, 5) for hour in HOURS]
    path.write_text("\n".join(["Symbol,Date,Funding Rate", *lines]))
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kucoin_BTC-USDT_funding.csv", {}),
        ("BTC-USDT_kucoin_2021-01-01_2024-01-01_funding_history.csv", {}),
        ("rates.csv", {"exchange": "kucoin"}),
        ("rates.csv", {"exchange": "kucoinfutures"}),
        ("rates.csv", {"dataset": "kucoin:funding:BTC/USDT:USDT"}),
    ],
)
def test_the_hint_counts_from_the_grid_of_the_exchange(lake, tmp_path, name, options):
    (refused,) = lake.import_files(history(tmp_path, name), **options)
    assert "they lie 3 h off the grid of funding times, as times of UTC+3 would" in refused.note


def test_without_an_exchange_the_hint_says_that_it_depends_on_it(lake, tmp_path):
    (refused,) = lake.import_files(history(tmp_path, "rates.csv"))
    assert "on most exchanges they lie 7 h off" in refused.note
    assert "--exchange" in refused.note


def test_the_name_says_which_dataset_it_is(lake, tmp_path):
    path = history(tmp_path, "kucoin_BTC-USDT_funding.csv")
    (done,) = lake.import_files(path, mapping=Mapping(zone="Europe/Moscow"))
    assert (done.dataset, done.new, done.preset) == ("kucoin:funding:BTC/USDT:USDT", 12, "funding-history")
    assert "is the zone right" not in done.note
