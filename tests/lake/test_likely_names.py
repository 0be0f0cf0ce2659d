"""A name that the lake does not have is an error that proposes the likely one, whichever verb it was given to."""

import pytest

from ticklake.app import memory_lake
from ticklake.errors import BadInput, InvalidName, UnknownDataset
from ticklake.testing.rows import bars

BARS = "binance:ohlcv:1m:BTC/USDT"
MISSPELLED = "binance:ohlcv:1m:BTC/USDX"


@pytest.fixture
def lake():
    with memory_lake() as lake:
        lake.save(BARS, bars(0, 5))
        yield lake


@pytest.mark.parametrize("verb", ["load", "update", "poll", "repair", "delete", "drop", "gaps", "quality", "compact"])
def test_a_verb_that_takes_a_dataset_proposes_the_likely_one(lake, verb):
    with pytest.raises(UnknownDataset, match=f"the lake has no {MISSPELLED}: did you mean {BARS}"):
        getattr(lake, verb)(MISSPELLED)


def test_an_export_proposes_the_likely_one(lake, tmp_path):
    with pytest.raises(UnknownDataset, match=f"did you mean {BARS}"):
        lake.export(tmp_path / "out", layout="hive", datasets=[MISSPELLED])


def test_an_update_of_a_new_name_says_how_it_begins(lake):
    with pytest.raises(UnknownDataset, match="'ticklake backfill' begins"):
        lake.update("kraken:trades:ETH/EUR")


def test_an_update_of_what_was_only_saved_is_refused_as_before(lake):
    with pytest.raises(BadInput, match=f"{BARS} was never asked for"):
        lake.update(BARS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda lake, exchange: lake.cleanup(5, exchange=exchange),
        lambda lake, exchange: lake.cleanup(5, exchange=exchange, dry_run=True),
        lambda lake, exchange: lake.repair(exchange),
    ],
)
def test_an_exchange_of_which_the_lake_has_nothing_is_named_with_the_likely_one(lake, ask):
    with pytest.raises(UnknownDataset, match=r"nothing of exchange 'binanc' \(did you mean 'binance'\?\)"):
        ask(lake, "binanc")
    with pytest.raises(UnknownDataset, match="nothing of exchange 'nope': it has binance"):
        ask(lake, "nope")


def test_a_kind_that_does_not_exist_is_named_with_the_likely_one(lake):
    with pytest.raises(InvalidName, match=r"'olhcv' is not a kind \(did you mean 'ohlcv'\?\)"):
        lake.cleanup(5, kinds="olhcv")
    with pytest.raises(BadInput, match="is no list of texts"):
        lake.cleanup(5, kinds=[["ohlcv"]])
