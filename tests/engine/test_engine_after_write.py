"""After every write: counts, order and keys are checked, and how the batch joined is on record."""

import pyarrow.parquet as pq
import pytest
from engine_lakes import BARS, MANY, TRADES, USER, at, span, tree

from ticklake.core.provenance import Provenance
from ticklake.engine import append
from ticklake.errors import StorageError, WriteFailed
from ticklake.storage import encoding
from ticklake.storage.local import LocalStore
from ticklake.testing.rows import bars, trades

DAY = 86_400 * 10**9
KRAKEN = "kraken:trades:BTC/USD"


def joined(lake, dataset, *columns):
    return lake.continuity(dataset).select(*columns).rows()


class TestWhatIsRefused:
    """A mistake in our own code is an error that names the dataset, and nothing is committed."""

    @pytest.mark.parametrize("rows", [50, MANY], ids=["inline", "file"])
    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda frame: frame.reverse(), "out of order"),
            (lambda frame: frame.head(3).vstack(frame.tail(frame.height - 2)), "share their key"),
        ],
    )
    def test_rows_out_of_order_or_twice(self, lake, root, monkeypatch, rows, spoil, told):
        lake.save(BARS, bars(0, 10))
        version, real = lake.engine.catalog.version(), append.write_segments

        def spoiled(store, dataset, frame, *others):
            return real(store, dataset, spoil(frame), *others)

        monkeypatch.setattr(append, "write_segments", spoiled)
        with pytest.raises(WriteFailed, match=f"{BARS}.*{told}"):
            lake.save(BARS, bars(20, 20 + rows))
        assert lake.engine.catalog.version() == version
        assert lake.load(BARS).height == 10
        assert tree(root) == []

    def test_rows_that_got_lost_on_the_way_into_files(self, lake, root, monkeypatch):
        real = append._by_period
        monkeypatch.setattr(append, "_by_period", lambda frame: list(real(frame))[:-1])
        with pytest.raises(WriteFailed, match="rows were written, not"):
            lake.save(BARS, bars(0, 500 * 1440, step=7))
        assert tree(root) == []
        assert lake.datasets() == []

    def test_a_file_that_holds_fewer_rows_than_it_says(self, lake, root, monkeypatch):
        real = pq.ParquetWriter.write_table

        def short(self, table, **options):
            return real(self, table.slice(1), **options)

        monkeypatch.setattr(encoding.pq.ParquetWriter, "write_table", short)
        with pytest.raises(WriteFailed, match=r"parquet holds [\d,]+ rows in"):
            lake.save(BARS, bars(0, MANY))
        assert tree(root) == []
        assert lake.engine.catalog.version() == 0

    def test_a_file_that_the_disk_did_not_keep(self, engine_in, root):
        from contextlib import contextmanager

        class Forgetful(LocalStore):
            @contextmanager
            def create(self, key):
                with super().create(key) as sink:
                    yield sink
                path = self.source(key)
                path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)

        engine = engine_in(root, Forgetful)
        with pytest.raises(WriteFailed, match="does not read back as it was written"):
            engine.append(BARS, bars(0, MANY), USER)
        assert tree(root) == []
        assert engine.catalog.version() == 0

    def test_it_is_an_error_of_the_tree_that_nobody_retries(self):
        assert issubclass(WriteFailed, StorageError)
        assert not WriteFailed.retriable


class TestContinuity:
    def test_every_batch_is_on_record_with_how_it_joined(self, lake):
        lake.save(BARS, bars(100, 110))
        lake.save(BARS, bars(110, 120))
        lake.save(BARS, bars(130, 140))
        lake.save(BARS, bars(138, 145))
        lake.save(BARS, bars(0, 50))
        assert joined(lake, BARS, "version", "joins", "missing") == [
            (1, "first", None),
            (2, "touches", 0),
            (3, "jumps", 10),
            (4, "overlaps", None),
            (5, "earlier", None),
        ]
        overlap = lake.continuity(BARS).row(3, named=True)
        assert (overlap["received"], overlap["new"], overlap["changed"], overlap["duplicate"]) == (7, 5, 0, 2)
        before = lake.continuity(BARS)["before_ts"].to_physical().to_list()
        assert before == [None, at(109), at(119), at(139), at(144)]

    def test_jumps_of_ids_are_counted(self, lake):
        lake.save(KRAKEN, trades(0, 10))
        lake.save(KRAKEN, trades(10, 20))
        lake.save(KRAKEN, trades(25, 30))
        assert joined(lake, KRAKEN, "joins", "missing", "before_id", "first_id", "last_id") == [
            ("first", None, None, "1000000", "1000009"),
            ("touches", 0, "1000009", "1000010", "1000019"),
            ("jumps", 5, "1000019", "1000025", "1000029"),
        ]

    def test_an_older_batch_does_not_change_which_id_was_last(self, lake):
        lake.save(KRAKEN, trades(50, 60))
        lake.save(KRAKEN, trades(0, 10))
        lake.save(KRAKEN, trades(60, 70))
        assert joined(lake, KRAKEN, "joins", "before_id")[1:] == [("earlier", "1000059"), ("touches", "1000059")]

    def test_where_the_end_was_deleted_the_last_id_is_not_known(self, lake):
        lake.save(KRAKEN, trades(0, 60))
        lake.delete(KRAKEN, at(0) + 30 * 10**9, at(1))
        lake.save(KRAKEN, trades(30, 40))
        assert joined(lake, KRAKEN, "joins", "before_id")[-1] == ("follows", None)

    def test_compaction_keeps_which_id_was_last(self, lake):
        for first in (0, 10):
            lake.save(KRAKEN, trades(first, first + 10))
        lake.compact()
        lake.save(KRAKEN, trades(20, 30))
        assert joined(lake, KRAKEN, "joins", "missing")[-1] == ("touches", 0)

    def test_batches_of_one_commit_are_told_apart(self, lake):
        lake.save_all([(BARS, bars(0, 10)), (TRADES, trades(0, 10))])
        lake.save_all([(BARS, bars(10, 20)), (TRADES, trades(10, 20))])
        assert joined(lake, BARS, "version", "joins") == [(1, "first"), (2, "touches")]
        assert joined(lake, TRADES, "version", "joins") == [(1, "first"), (2, "follows")]

    def test_a_batch_that_changed_nothing_is_no_batch(self, lake):
        lake.save(BARS, bars(0, 10))
        lake.save(BARS, bars(0, 10))
        assert lake.continuity(BARS).height == 1

    def test_vacuum_adds_up_what_went_on_and_keeps_jumps(self, lake, clock):
        for first in range(0, 50, 10):
            lake.save(BARS, bars(first, first + 11))
        lake.save(BARS, bars(90, 100))
        lake.save(BARS, bars(100, 110))
        clock.ahead += 8 * DAY
        lake.save(BARS, bars(110, 120))
        lake.vacuum()
        assert joined(lake, BARS, "joins", "batches", "received", "new", "duplicate", "missing") == [
            ("first", 5, 55, 51, 4, None),
            ("jumps", 2, 20, 20, 0, 39),
            ("touches", 1, 10, 10, 0, 0),
        ]
        ends = lake.continuity(BARS).select("start", "end").with_columns(pl_all_physical()).rows()
        assert ends == [(at(0), at(50)), (at(90), at(109)), (at(110), at(119))]
        lake.vacuum()
        assert lake.continuity(BARS).height == 3

    def test_quality_counts_what_was_offered_again(self, lake):
        lake.save(BARS, bars(0, 10))
        lake.save(BARS, bars(5, 15))
        assert lake.quality(BARS).offered_again == 5
        assert lake.quality(BARS, span(20, 30).start, span(20, 30).end).offered_again == 0

    def test_trade_ids_of_a_known_space_decide(self, lake):
        binance = "binance:trades:BTC/USDT"
        lake.save(binance, trades(0, 10), Provenance("user", id_space="agg"))
        lake.save(binance, trades(12, 20))
        assert joined(lake, binance, "joins", "missing")[-1] == ("jumps", 2)


def pl_all_physical():
    import polars as pl

    return pl.all().to_physical()
