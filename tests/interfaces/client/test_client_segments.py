"""Stored files are decoded by the client: bit for bit what the lake reads, whatever happens to the files meanwhile."""

from __future__ import annotations

import polars as pl
import pytest

from tests.interfaces.api.conftest import running
from ticklake.app import open_lake
from ticklake.config import ServerSettings
from ticklake.core.dataset import Dataset
from ticklake.core.span import ALL_TIME
from ticklake.errors import CatalogError, CorruptSegment, TicklakeError
from ticklake.interfaces.client import connect
from ticklake.testing.rows import bars, trades

TRADES = "binance:trades:BTC/USDT"
BARS = "binance:ohlcv:1m:BTC/USDT"
MANY = 20_000


@pytest.fixture
def lake(tmp_path):
    with open_lake(tmp_path / "lake") as lake:
        lake.save(TRADES, trades(0, MANY))
        lake.save(TRADES, trades(MANY, MANY + 50))
        yield lake


@pytest.fixture
def remote(lake):
    with running(lake, ServerSettings(port=0)) as url, connect(url) as remote:
        yield remote


def asked(remote, monkeypatch):
    """Note which addresses are asked for."""
    paths = []
    send = remote._connection._send

    def noted(method, path, *rest):
        paths.append(path)
        return send(method, path, *rest)

    monkeypatch.setattr(remote._connection, "_send", noted)
    return paths


def test_a_stored_file_is_decoded_here_and_hidden_columns_stay_hidden(lake, remote, monkeypatch):
    paths = asked(remote, monkeypatch)
    rows = remote.load(TRADES)
    assert rows.equals(lake.load(TRADES))
    assert rows.schema == lake.load(TRADES).schema
    assert [path.split("/")[1] for path in paths] == ["datasets", "segments", "datasets"]
    paths.clear()
    assert remote.load(TRADES, columns="price").equals(lake.load(TRADES, columns="price"))
    assert [path.rsplit("/", 1)[1] for path in paths] == ["rows"]


@pytest.mark.parametrize("seed", [1, 3])
def test_rows_of_files_inline_ones_and_overlaps_are_those_of_a_read_at_hand(lake, remote, seed):
    starts = [5_000 * seed, MANY - 20, MANY + 3_000 * seed]
    for number, start in enumerate(starts):
        lake.save(TRADES, trades(start, start + 18_000, ids=number != 1))
    lake.save(BARS, bars(0, 20_000))
    lake.save(BARS, bars(seed * 1_000, seed * 1_000 + 17_000, bump=1.0))
    for dataset in (TRADES, BARS):
        for provenance in (False, True):
            expected = lake.load(dataset, provenance=provenance)
            rows = remote.load(dataset, provenance=provenance)
            assert rows.equals(expected)
            assert rows.schema == expected.schema


def test_files_that_vanish_between_plan_and_read_are_planned_anew(lake, remote, monkeypatch):
    expected = lake.load(TRADES)
    send, vanished = remote._connection._send, []

    def after_a_vacuum(method, path, *rest):
        if path.startswith("/segments/") and not vanished:
            vanished.append(path)
            lake.save(TRADES, trades(100, 101))
            lake.compact()
            lake.vacuum(0)
        return send(method, path, *rest)

    monkeypatch.setattr(remote._connection, "_send", after_a_vacuum)
    assert remote.load(TRADES).equals(expected)
    assert vanished


def test_a_version_that_was_vacuumed_is_an_error_as_at_hand(lake, remote):
    version = lake.engine.catalog.version()
    snapshots = lake.at(version), remote.at(version)
    lake.save(TRADES, trades(0, 10).with_columns(price=pl.lit(5.0)))
    for snapshot in snapshots:
        assert snapshot.load(TRADES).height == MANY + 50
    lake.compact()
    lake.vacuum(0)
    told = []
    for snapshot in snapshots:
        with pytest.raises(CatalogError) as error:
            snapshot.load(TRADES)
        told.append((type(error.value), str(error.value)))
    assert told[0] == told[1]


def test_a_damaged_file_is_an_error_as_at_hand(lake, remote):
    (segment,) = [each for each in lake.engine.store.view(Dataset.parse(TRADES), ALL_TIME).segments if each.path]
    path = lake.root / segment.path
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    told = []
    for each in (lake, remote):
        with pytest.raises(TicklakeError) as error:
            each.load(TRADES)
        told.append(type(error.value))
    assert told == [CorruptSegment, CorruptSegment]


def test_versions_are_those_of_the_lake(lake, remote):
    before = lake.engine.catalog.version()
    lake.save(TRADES, trades(0, 1).with_columns(price=pl.lit(7.0)))
    for moment in (before, before + 1, "2031-01-01", 0):
        ours, theirs = lake.at(moment), remote.at(moment)
        assert theirs.version == ours.version
        assert theirs.load(TRADES).equals(ours.load(TRADES))
        assert theirs.inventory().equals(ours.inventory())
    changes = remote.changes_since(before - 1)
    assert changes == lake.changes_since(before - 1)
    assert remote.changes_since(0, limit=1) == lake.changes_since(0, limit=1)
    assert remote.stats() == lake.stats()
    assert remote.latest(TRADES, 3).equals(lake.latest(TRADES, 3))


def test_a_lazy_frame_fetches_what_the_query_needs(lake, remote, monkeypatch):
    lazy = remote.scan(TRADES)
    lake.save(TRADES, trades(0, 9).with_columns(price=pl.lit(7.0)))
    before = lake.at(lake.engine.catalog.version() - 1)
    query = [
        lambda rows: rows.select(pl.len()),
        lambda rows: rows.filter(pl.col("price") > 50).select("id", "ts"),
        lambda rows: rows.head(5),
        lambda rows: rows.filter(pl.col("side") == "buy").head(3),
    ]
    for each in query:
        assert each(lazy).collect().equals(each(before.scan(TRADES)).collect())
