"""The namespaces of a lake, and the short names of their verbs."""

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument, Rename
from ticklake.core.kinds import TIME
from ticklake.errors import BadInput, UnknownDataset

START = 1_704_067_200 * 10**9
BTC, ETH, SOL = (Dataset.parse(f"x:trades:{base}/USDT") for base in ("BTC", "ETH", "SOL"))


def trades(first, last):
    numbers = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    return pl.DataFrame({"ts": (numbers * 10**9 + START).cast(TIME), "price": 1.0, "amount": 1.0, "side": "buy"})


@pytest.fixture
def lake():
    with memory_lake(Settings()) as made:
        for dataset in (BTC, ETH, SOL):
            made.save(dataset, trades(0, 5))
            made.save(dataset, trades(5, 9))
        yield made


@pytest.fixture
def listed(lake):
    """The same lake, which has seen what an exchange lists."""
    markets = [Instrument("x", "MATIC/USDT", "MATICUSDT"), Instrument("x", "POL/USDT", "POLUSDT")]
    lake._collector.instruments.snapshot("x", markets, START)
    return lake


def test_compact_takes_one_dataset_several_or_all(lake):
    assert [Dataset.parse(done.dataset) for done in lake.admin.compact(BTC)] == [BTC]
    assert [Dataset.parse(done.dataset) for done in lake.admin.compact([str(BTC), ETH])] == [BTC, ETH]
    assert [Dataset.parse(done.dataset) for done in lake.admin.compact()] == [BTC, ETH, SOL]


def test_verify_takes_one_dataset_several_or_all(lake):
    for datasets in (BTC, [str(BTC), ETH], None):
        assert lake.admin.verify(datasets, deep=True) == []
    with pytest.raises(UnknownDataset):
        lake.admin.verify([BTC, "x:trades:NO/USDT"])
    with pytest.raises(BadInput, match="dataset=5 is no list"):
        lake.admin.verify(5)


def test_short_names_of_maintenance_do_the_same(lake):
    assert lake.stats() == lake.admin.stats()
    assert lake.vacuum(0, dry_run=True) == lake.admin.vacuum(0, dry_run=True)
    assert lake.cleanup(1, kinds=["trades"], dry_run=True) == lake.admin.cleanup(1, kinds=["trades"], dry_run=True)
    assert lake.verify(deep=True) == lake.admin.verify(deep=True)
    assert lake.compact(BTC)[0].segments_before == 2
    assert lake.admin.compact(BTC)[0].segments_before == 1


def test_a_backup_can_be_made_by_either_name(lake, tmp_path):
    assert lake.backup(tmp_path / "first").copied == lake.admin.backup(tmp_path / "second").copied


def test_instruments_can_be_called_for_short(listed):
    whole = listed.instruments.list("x")
    assert whole["symbol"].to_list() == ["MATIC/USDT", "POL/USDT"]
    assert listed.instruments("X").equals(whole)
    assert listed.instruments("x", "POL").equals(listed.instruments.list("x", search="POL"))
    assert listed.instruments("x", at=START - 1).equals(listed.instruments.list("x", at=START - 1))


def test_a_rename_is_shown_on_both_sides_and_the_newest_counts(listed):
    listed.instruments.rename("x", "OLD/USDT", "POL/USDT", START)
    newest = listed.rename_instrument("x", "MATIC/USDT", "POL/USDT", START + 1)
    assert newest == Rename("x", "MATIC/USDT", "POL/USDT", START + 1)
    names = listed.instruments.list("x").select("symbol", "renamed_from", "renamed_to").rows()
    assert names == [("MATIC/USDT", None, "POL/USDT"), ("POL/USDT", "MATIC/USDT", None)]
    assert listed.instruments.list("x", search="MATIC").height == 2


def test_a_snapshot_has_no_namespace(lake):
    then = lake.at(lake.engine.catalog.version())
    assert not [name for name in ("admin", "instruments", "runs", "jobs", "schedules", "alerts") if hasattr(then, name)]
