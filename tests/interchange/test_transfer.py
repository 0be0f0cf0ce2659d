"""What holds for every import and export: nothing bent to fit, nothing lost, nothing half done."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import PurePosixPath

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.errors import BadInput, InvalidName, Unsupported
from ticklake.interchange.hive import Hive
from ticklake.interchange.layouts import LAYOUTS
from ticklake.interfaces.cli.main import app
from ticklake.testing.exchange.recorded import FILES

from .foreign_rows import DAY, HOUR, START, bars, book, trades

BARS = "binance:ohlcv:1h:BTC/USDT"
TRADES = "binance:trades:BTC/USDT"
SYMBOLS = ["BTC/USDT", "1000PEPE/USDT", "BTC/USDT:USDT", "币安/USDT"]
STRANGE = [
    "BTC/USD:BTC",
    "BTC/USDT:USDT-241227",
    "BTC/USD:BTC-241227-60000-C",
    "AAPL",
    "kBONK/USDC",
    "XBT/USD",
    "A-B/USDT",
    "A_B/USDT",
    "A%2FB/USDT",
]


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("symbol", SYMBOLS + STRANGE)
@pytest.mark.parametrize("kind", ["ohlcv", "trades", "book", "funding"])
def test_a_symbol_comes_back_as_it_was_or_is_refused(layout, symbol, kind):
    if (layout, kind) == ("dl-datalake", "book"):
        return
    dataset = Dataset.of("krakenfutures", symbol, kind, "1h" if kind == "ohlcv" else None)
    one = LAYOUTS[layout]
    label = {"year": "2024", "month": "2024-01", "day": "2024-01-31"}[one.grain(dataset)]
    if symbol in STRANGE and refused(one, dataset):
        return
    assert one.dataset_of(PurePosixPath(one.place(dataset, label))) == dataset


def refused(layout, dataset):
    try:
        layout.place(dataset, "")
    except Unsupported as error:
        return str(dataset.symbol) in str(error)
    return False


def test_what_has_no_place_is_said_and_everything_else_is_written(lake_at, tmp_path):
    lake = lake_at()
    for name in (BARS, "binance:mark_ohlcv:1h:BTC/USDT", "binance:ohlcv:1h:BTC/USD:BTC", "binance:ohlcv:3M:BTC/USDT"):
        odd = bars().filter(pl.col("ts") == pl.datetime(2024, 1, 1, time_zone="UTC"))
        lake.save(name, odd if "3M" in name else bars())
    report = lake.export(tmp_path / "theirs", layout="dccd")
    refused = {file.dataset: file.note for file in report.files if file.state == "refused"}
    assert set(refused) == {str(dataset) for dataset in lake.datasets()} - {BARS}
    assert not report.is_complete
    assert set(files(tmp_path / "theirs")) == {f"binance/ohlc/BTC-USDT/1h/{year}.parquet" for year in (2023, 2024)}


def test_the_same_export_again_touches_nothing(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(TRADES, trades())
    lake.export(root, layout="dccd")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    report = lake.export(root, layout="dccd")
    assert {file.state for file in report.files} == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")} == before


def test_an_export_of_a_shorter_span_takes_nothing_out_of_a_file(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    lake.export(root, layout="dccd", start="2023-12-31T02:00Z", end="2023-12-31T10:00Z")
    year = root / "binance/ohlc/BTC-USDT/1h/2023.parquet"
    assert pl.read_parquet(year).height == 8
    lake.export(root, layout="dccd", start="2023-12-31T09:00Z", end="2023-12-31T12:00Z")
    assert pl.read_parquet(year)["TS"].to_list() == [START + hour * DAY // 24 for hour in range(2, 12)]
    assert set(files(root)) == {"binance/ohlc/BTC-USDT/1h/2023.parquet"}


def test_files_of_others_are_not_replaced_unless_asked(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    lake.export(root, layout="dccd")
    year = root / "binance/ohlc/BTC-USDT/1h/2023.parquet"
    pl.read_parquet(year).head(1).write_parquet(year)
    report = lake.export(root, layout="dccd")
    assert [file.state for file in report.files] == ["refused", "unchanged"]
    assert pl.read_parquet(year).height == 1
    assert lake.export(root, layout="dccd", overwrite=True).is_complete
    assert pl.read_parquet(year).height == 24


def test_an_export_that_is_given_up_leaves_whole_files(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(TRADES, trades())
    seen = []

    def stop(progress):
        seen.append(progress.done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lake.export(root, layout="dccd", watch=stop)
    assert seen == [0.0]
    assert files(root) == {}
    assert lake.export(root, layout="dccd").is_complete


def test_what_a_killed_export_left_is_swept_by_the_next(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    folder = root / "binance/ohlc/BTC-USDT/1h"
    folder.mkdir(parents=True)
    host = platform.node()
    parts = (f"2023.parquet.{host}%2F4194304%2Fa1.part", f"2024.parquet.{host}%2F{os.getppid()}%2Fa1.part")
    gone, running = (folder / name for name in parts)
    for part in (gone, running):
        part.write_bytes(b"half")
    lake.export(root, layout="dccd")
    assert not gone.exists()
    assert running.exists()


def test_an_export_into_the_lake_is_refused(lake_at):
    lake = lake_at()
    with pytest.raises(BadInput, match="inside the lake"):
        lake.export(lake.root / "trades", layout="dccd")


def test_names_that_match_no_dataset_are_refused(lake_at, tmp_path):
    lake = lake_at()
    lake.save(BARS, bars())
    with pytest.raises(BadInput, match=r"the lake has no kraken:\*"):
        lake.export(tmp_path / "theirs", layout="dccd", datasets=["kraken:*"])
    assert lake.export(tmp_path / "theirs", layout="dccd", datasets=["*:BTC/*"]).counts["rows"] == 48


def test_the_newest_version_is_exported_and_the_past_on_demand(lake_at, tmp_path):
    lake = lake_at()
    lake.save(BARS, bars())
    version = lake.engine.catalog.version()
    lake.save(BARS, bars(1).with_columns(close=pl.lit(40_001.0)))
    for name, seen in (("now", lake), ("then", lake.at(version))):
        seen.export(tmp_path / name, layout="dccd")
    first = {
        name: pl.read_parquet(tmp_path / name / "binance/ohlc/BTC-USDT/1h/2023.parquet")["close"][0]
        for name in ("now", "then")
    }
    assert first == {"now": 40_001.0, "then": 40_000.3}


def test_damaged_and_unknown_files_are_named_and_the_rest_comes_in(lake_at, tmp_path):
    """Imported data: detect, say, and never half-import."""
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(TRADES, trades())
    lake.export(root, layout="dccd")
    day = root / "binance/trades/BTC-USDT"
    (day / "2024-01-03.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (day / "2024-01-04.parquet").write_bytes((day / "2024-01-01.parquet").read_bytes()[:-100])
    (root / "notes.parquet").write_bytes(b"")
    (root / "binance" / "ohlc" / "BTC-USDT_QUARTER" / "1h").mkdir(parents=True)
    pl.DataFrame({"TS": [START]}).write_parquet(root / "binance/ohlc/BTC-USDT_QUARTER/1h/2024.parquet")
    pl.DataFrame({"TS": [START]}).write_parquet(day / "2024-01-05.parquet")
    pl.DataFrame({"TS": [START // 10**6], "price": [1.0], "amount": [1.0]}).write_parquet(day / "2024-01-06.parquet")
    other = lake_at(name="other")
    report = other.import_lake(root)
    said = {
        file.path.rpartition("/")[2] if "QUARTER" not in file.path else "quarter": (str(file.state), file.note)
        for file in report.files
    }
    assert {name: state for name, (state, _) in said.items()} == {
        "2023-12-31.parquet": "imported",
        "2024-01-01.parquet": "imported",
        "2024-01-03.parquet": "failed",
        "2024-01-04.parquet": "failed",
        "2024-01-05.parquet": "failed",
        "2024-01-06.parquet": "failed",
        "notes.parquet": "refused",
        "quarter": "refused",
    }
    assert "follow each other" in said["quarter"][1]
    assert "price" in said["2024-01-05.parquet"][1]
    assert "looks like ms" in said["2024-01-06.parquet"][1]
    assert other.load(TRADES).equals(lake.load(TRADES))


def test_trades_without_ids_keep_their_identical_prints(lake_at, tmp_path, monkeypatch):
    """Identical prints are real; a file that is read in pieces must not lose those at the edges."""
    rows = trades(3000, ids=False)
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(TRADES, rows)
    lake.export(root, layout="dccd")
    monkeypatch.setattr("ticklake.interchange.parquet.read_chunks.__defaults__", (1000,))
    other = lake_at(name="other")
    assert other.import_lake(root).counts["new"] == 3000
    assert other.load(TRADES).drop("received_at").equals(lake.load(TRADES).drop("received_at"))


def test_files_out_of_order_come_in_sorted(lake_at, tmp_path, monkeypatch):
    folder = tmp_path / "theirs" / "binance" / "trades" / "BTC-USDT"
    folder.mkdir(parents=True)
    rows = trades(3000).select(TS=pl.col("ts").to_physical(), tid="id", price="price", amount="amount", side="side")
    rows.sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "2024-01-01.parquet")
    monkeypatch.setattr("ticklake.interchange.parquet.read_chunks.__defaults__", (1000,))
    lake = lake_at()
    lake.import_lake(tmp_path / "theirs")
    assert lake.load(TRADES)["ts"].equals(trades(3000)["ts"])


def test_books_of_one_instant_do_not_mix(lake_at, tmp_path):
    """Two snapshots with one timestamp must not mix into a crossed book."""
    two = pl.concat([book(1), book(1).with_columns(seq=pl.lit(1, pl.Int64), price=pl.col("price") + 10)])
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save("binance:book:BTC/USDT", two)
    report = lake.export(root, layout="dccd")
    (day,) = root.rglob("*.parquet")
    assert sorted(pl.read_parquet(day)["price"]) == sorted(book(1)["price"] + 10)
    assert "of books that share an instant the last is kept" in report.files[0].note


def test_a_file_with_damage_further_on_is_not_taken_by_half(lake_at, tmp_path, monkeypatch):
    """Never half-import: what is large is read to its end first."""
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(TRADES, trades())
    lake.export(root, layout="dccd")
    path = root / "binance/trades/BTC-USDT/2024-01-01.parquet"
    pl.read_parquet(path).write_parquet(path, row_group_size=100, compression="zstd")
    data = bytearray(path.read_bytes())
    damaged = len(data) // 2
    data[damaged : damaged + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    for place in ("ticklake.interchange.parquet.read_chunks.__defaults__", "ticklake.interchange.importer.CHUNK_ROWS"):
        monkeypatch.setattr(place, (200,) if "defaults" in place else 200)
    other = lake_at(name="other")
    report = other.import_lake(root)
    assert [str(file.state) for file in report.files] == ["imported", "failed"]
    assert other.load(TRADES).height == report.files[0].rows < 3000


def test_bars_that_are_not_over_are_left_out(lake_at, tmp_path):
    """Only final bars are stored: other programs keep the forming one."""
    folder = tmp_path / "theirs" / "binance" / "ohlc" / "BTC-USDT" / "1h"
    folder.mkdir(parents=True)
    now = time.time_ns()
    for name, first in (("2024", START), ("2026", now - now % HOUR - 2 * HOUR)):
        hours = pl.Series("TS", [first + hour * HOUR for hour in range(3)])
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.lit(1.0))
        hours.to_frame().with_columns(**prices).write_parquet(folder / f"{name}.parquet")
    os.utime(folder / "2024.parquet", ns=(START + 2 * HOUR + 1, START + 2 * HOUR + 1))
    lake = lake_at()
    report = lake.import_lake(tmp_path / "theirs")
    assert [(file.rows, file.note) for file in report.files] == [(2, "1 bars left out: not over yet")] * 2
    assert lake.load(BARS).height == 4


def test_an_import_is_recorded_as_a_run_and_can_be_stopped(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    lake.export(root, layout="dccd")
    (root / "notes.parquet").write_bytes(b"")
    other = lake_at(name="other")

    def stop(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.import_lake(root, watch=stop)
    other.import_lake(root)
    done, stopped = other.runs.list()
    assert (done.state, done["new"], stopped.state) == ("incomplete", 24, "cancelled")
    assert done.outcome.endswith("1 of 3 files were refused or could not be read")
    assert "notes.parquet" in other.runs.tail(done.id)[0].message


KILLED = """
import os, signal, sys
import ticklake
from ticklake.storage import durable, local

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

place, lake, root = sys.argv[1:]
owner, name = {"write": (durable._FileSink, "write"), "move": (local.LocalStore, "move")}[place]
real = getattr(owner, name)

def last_words(*arguments):
    if "2024" in str(arguments) or place == "write":
        real(*arguments)
        die()
    return real(*arguments)

setattr(owner, name, last_words)
ticklake.open(lake).export(root, layout="dccd")
"""


@pytest.mark.parametrize("place", ["write", "move"])
def test_a_killed_export_leaves_old_or_new_files_and_the_next_goes_on(lake_at, tmp_path, place):
    lake, root, whole = lake_at(), tmp_path / "theirs", tmp_path / "whole"
    lake.save(BARS, bars())
    lake.export(root, layout="dccd", end="2024-01-01T12:00Z")
    old = files(root)
    lake.save(BARS, bars(48).with_columns(volume=pl.lit(9.0)))
    command = [sys.executable, "-c", KILLED, place, str(lake.root), str(root)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    between = {path: data for path, data in files(root).items() if path.endswith(".parquet")}
    lake.export(root, layout="dccd")
    lake.export(whole, layout="dccd")
    new = files(root)
    assert {path: pl.read_parquet(data) for path, data in new.items()}.keys() == files(whole).keys()
    assert all(pl.read_parquet(root / path).equals(pl.read_parquet(whole / path)) for path in new)
    assert all(data in (old[path], new[path]) for path, data in between.items())


def test_a_job_exports(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    job = lake.jobs.create("export", str(root), "dccd", datasets=["binance:*"], start="2024-01-01")
    lake.jobs.worker().run(once=True)
    done = lake.jobs.get(job.id)
    assert (done.state, done.outcome) == ("succeeded", "1 files written, 0 as they were")
    assert set(files(root)) == {"binance/ohlc/BTC-USDT/1h/2024.parquet"}


@pytest.mark.slow
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_everything_recorded_comes_back_as_it_was(lake_at, tmp_path, recorded, layout):
    """Real bars of 14 time frames, real trades with and without ids, real funding with its jitter."""
    lake, root = lake_at(), tmp_path / "theirs"
    for name, text, read in FILES:
        lake.save(text, read(recorded / name))
    report = lake.export(root, layout=layout)
    refused = [file.dataset for file in report.files if file.state == "refused"]
    assert refused == (["binance:ohlcv:1M:BTC/USDT"] if layout == "dl-datalake" else [])
    other = lake_at(name="other")
    assert other.import_lake(root).is_complete
    lost = {"dl-datalake": {"quote_volume", "trades"}}.get(layout, set())
    for dataset in (dataset for dataset in lake.datasets() if str(dataset) not in refused):
        names = [name for name in dataset.spec.names if name not in lost]
        assert_frame_equal(other.load(dataset).select(names), lake.load(dataset).select(names))


def test_a_plan_reads_no_rows_and_makes_nothing(lake_at, tmp_path):
    lake, root = lake_at(), tmp_path / "theirs"
    lake.save(BARS, bars())
    lake.export(root, layout="dccd")
    other = lake_at(name="other")
    report = other.import_lake(root, dry_run=True)
    assert [(file.state, file.rows) for file in report.files] == [("planned", 24), ("planned", 24)]
    assert other.datasets() == []


def test_no_folder_no_layout_and_no_known_file_are_bad_input(lake_at, tmp_path):
    lake = lake_at()
    for call, word in (
        (lambda: lake.import_lake(tmp_path / "nowhere"), "not a folder"),
        (lambda: lake.import_lake(tmp_path, "excel"), "not a layout"),
        (lambda: lake.import_lake(tmp_path), "known layout"),
    ):
        with pytest.raises(BadInput, match=word):
            call()


def test_names_from_outside_stay_names(tmp_path):
    for path in ("binance/trades/..-USDT/2024-01-01.parquet", "../trades/BTC-USDT/2024-01-01.parquet"):
        with pytest.raises((InvalidName, Unsupported)):
            LAYOUTS["dccd"].dataset_of(PurePosixPath(path))


def run(*arguments):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_shell_does_the_same(lake_at, tmp_path):
    lake = lake_at()
    lake.save(BARS, bars())
    lake.save("binance:quotes:BTC/USDT", pl.DataFrame({"ts": bars(1)["ts"], "bid_price": [1.0]}))
    done = run("export", tmp_path / "theirs", "--layout", "dccd", "--lake", lake.root, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["counts"]["refused"] == 1
    done = run("import-lake", tmp_path / "theirs", "--lake", tmp_path / "other", "--dry-run", "--json")
    assert (done.exit_code, json.loads(done.stdout)["counts"]["planned"]) == (0, 2)
    assert not (tmp_path / "other").exists()
    done = run("import-lake", tmp_path / "theirs", "--lake", tmp_path / "other", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["layout"], told["counts"]["new"], len(told["files"])) == ("dccd", 48, 2)
    done = run("import-lake", tmp_path / "theirs", "--lake", tmp_path / "other")
    assert "2 files, layout dccd: 48 rows" in done.stdout
    assert run("export", tmp_path / "x", "--layout", "excel", "--lake", lake.root).exit_code == 2


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("BYBIT/FUTURE/BTCUSDT/ticks/tick/2024/01/BTCUSDT_tick_202401.parquet", "FUTURE/BTCUSDT"),
        ("trades/venue=bybit/instrument=BTC-USD-SWAP/year=2024/month=01/data.parquet", "BTC-USD-SWAP"),
        ("bybit/trades/BTC-USD_QUARTER/2024-01-01.parquet", "BTC-USD_QUARTER"),
    ],
)
def test_a_name_that_could_be_two_markets_is_taken_once_it_is_told(tmp_path, path, theirs):
    file = tmp_path / "theirs" / path
    file.parent.mkdir(parents=True)
    ms = START // 10**6 if "FUTURE" in path else START
    pl.DataFrame({"TS" if "QUARTER" in path else "ts": [ms], "price": [1.0], "amount": [1.0]}).write_parquet(file)
    command = ["import-lake", tmp_path / "theirs", "--lake", tmp_path / "lake", "--json"]
    refused = json.loads(run(*command).stdout)["files"][0]
    assert f"{theirs}=SYMBOL" in refused["note"]
    taken = run(*command, "--symbol", f"{theirs}=BTC/USD:BTC")
    assert json.loads(taken.stdout)["files"][0]["dataset"] == "bybit:trades:BTC/USD:BTC"
    assert run(*command, "--symbol", "BTC").exit_code == 2


def test_trades_of_which_only_some_have_ids_all_come_in(lake_at, tmp_path):
    """Ids may be null once: a dataset that began with ids refuses rows without."""
    folder = tmp_path / "theirs/binance/trades/BTC-USDT"
    folder.mkdir(parents=True)
    rows = trades(3000).select(TS=pl.col("ts").to_physical(), tid="id", price="price", amount="amount", side="side")
    later = rows.with_columns(TS=pl.col("TS") + DAY, tid=pl.when(pl.col("tid") != "7").then("tid"))
    for name, some in (("2024-01-01", rows), ("2024-01-02", later)):
        some.write_parquet(folder / f"{name}.parquet")
    report = lake_at().import_lake(tmp_path / "theirs")
    assert (report.counts["new"], report.counts["quarantined"]) == (6000, 0)


def test_where_capitals_are_not_told_apart_no_dataset_takes_the_file_of_another(lake_at, tmp_path, monkeypatch):
    lake, root = lake_at(), tmp_path / "theirs"
    month = bars(1).with_columns(pl.col("ts").dt.truncate("1mo"))
    lake.save("binance:ohlcv:1m:BTC/USDT", bars(1))
    lake.save("binance:ohlcv:1M:BTC/USDT", month)
    place = Hive.place
    monkeypatch.setattr(Hive, "place", lambda self, dataset, period: place(self, dataset, period).replace("1M", "1m"))
    report = lake.export(root, layout="hive")
    assert sorted(str(file.state) for file in report.files) == ["refused", "written"]
    assert "is the file of" in next(file.note for file in report.files if file.state == "refused")


def test_neither_way_holds_all_rows_of_a_file(lake_at, tmp_path, monkeypatch):
    count, held = 1_300_000, {"to_theirs": [], "to_ours": []}
    n = pl.int_range(count, dtype=pl.Int64, eager=True)
    rows = pl.DataFrame({"ts": (START + n * 10**6).cast(TIME), "id": n.cast(pl.String), "price": n + 1.0})
    lake, root, other = lake_at(), tmp_path / "theirs", lake_at(name="other")
    lake.save(TRADES, rows.with_columns(amount=pl.lit(1.0)))
    for name, seen in held.items():
        real = getattr(Hive, name)
        monkeypatch.setattr(
            Hive, name, lambda *given, real=real, seen=seen: seen.append(given[2].height) or real(*given)
        )
    lake.export(root, layout="hive")
    other.import_lake(root)
    assert len(list(root.rglob("*.parquet"))) == 1
    assert sum(held["to_theirs"]) == count
    assert sum(held["to_ours"]) == 2 * count, "once to the end, and once more"
    assert max(max(seen) for seen in held.values()) < 600_000
    assert other.load(TRADES).equals(lake.load(TRADES))
