"""What the machine relies on: without this it would test less than it says."""

import pytest
from lake_batches import INSTANTS, has_ties
from lake_machine import frame_of, limit_inline_rows

from ticklake.app import open_lake
from ticklake.config import Settings
from ticklake.core.dataset import Dataset


@pytest.mark.parametrize(("limit", "files"), [(1, 1), (None, 0)])
def test_the_patched_limit_makes_files_of_small_batches(tmp_path, monkeypatch, limit, files):
    if limit is not None:
        assert limit_inline_rows(monkeypatch, limit)
    book = Dataset.parse("x:book:BTC/USDT")
    level = {"ts": 1_704_067_200 * 10**9, "seq": 1, "side": "bid", "amount": 1.0, "is_snapshot": True}
    blank = {"received_at": None, "count": None}
    with open_lake(tmp_path, settings=Settings()) as lake:
        lake.save(book, frame_of([{**level, **blank, "price": price} for price in (1.0, 2.0)], book))
    assert len(list(tmp_path.rglob("*.parquet"))) == files


def test_no_instant_is_as_near_to_one_as_to_another():
    assert not has_ties(INSTANTS)
    assert has_ties([0, 5, 10])
