"""Gaps that coverage alone does not know: from ids, sequences, schedules, and the silence of all."""

import polars as pl
import pytest
from engine_lakes import MINUTE, USER, at, span

from ticklake.audit import outages
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.gaps import Gap
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.time import HOUR, SECOND
from ticklake.engine.read import read_chunks
from ticklake.testing.rows import bars

AGG = Provenance("ccxt", id_space="agg")
TRADES = Dataset.parse("binance:trades:BTC/USDT")
FUNDING = Dataset.parse("binance:funding:BTC/USDT:USDT")
DAY = 1440


def second(number):
    return at(0) + number * SECOND


def trades(numbers, start=0):
    """Trades a second apart; number *n* comes at second *start* + *n*."""
    numbers = list(numbers)
    return pl.DataFrame(
        {
            "ts": pl.Series([second(start + n) for n in numbers], dtype=pl.Int64).cast(TIME),
            "id": [str(n) for n in numbers],
            "price": [1.0] * len(numbers),
            "amount": [1.0] * len(numbers),
            "side": ["buy"] * len(numbers),
        }
    )


def keep(lake, dataset, rows, first=0, last=DAY, origin=USER, found=Found.DATA, why=""):
    lake.engine.append(dataset, rows, origin, [Covered(span(first, last), found, why)])


def told(lake, dataset, *bounds):
    return [(gap.span, gap.missing, gap.reason.value) for gap in lake.gaps(dataset, *bounds)]


class TestIds:
    def test_a_jump_inside_what_was_looked_at_is_lost_with_its_count_and_ids(self, any_lake):
        keep(any_lake, TRADES, trades([*range(1, 100), *range(120, 200)]), origin=AGG)
        assert any_lake.gaps(TRADES) == [
            Gap(Span(second(99), second(120) + 1), 20, "lost", "trade ids 100 to 119 are missing")
        ]

    def test_a_jump_over_the_bounds_of_a_part_is_told_of_it_as_of_the_whole(self, any_lake):
        keep(any_lake, TRADES, trades([*range(1, 100), *range(120, 200)]), origin=AGG)
        first, second_part, inside = (
            (at(0), second(110)),
            (second(110), second(300)),
            (second(105), second(115)),
        )
        assert told(any_lake, TRADES, *first) == [(Span(second(99), second(110)), 20, "lost")]
        assert told(any_lake, TRADES, *second_part) == [(Span(second(110), second(120) + 1), None, "lost")]
        assert told(any_lake, TRADES, *inside) == [(Span(*inside), None, "lost")]
        for bounds in (first, second_part, inside):
            quality = any_lake.quality(TRADES, *bounds)
            assert not quality.is_complete
            assert quality.missing_records == sum(gap.missing or 0 for gap in any_lake.gaps(TRADES, *bounds))

    def test_numbers_that_were_refused_beside_a_part_are_no_riddle_inside_it(self, any_lake):
        rows = trades(range(1, 200))
        refused = pl.col("id").cast(pl.Int64).is_between(90, 109)
        keep(any_lake, TRADES, rows.with_columns(price=pl.when(refused).then(-1.0).otherwise(1.0)), origin=AGG)
        assert told(any_lake, TRADES, second(110), second(150)) == []

    def test_quick_looks_at_coverage_only(self, any_lake):
        keep(any_lake, TRADES, trades([1, 2, 5]), origin=AGG)
        assert any_lake.gaps(TRADES, quick=True) == []

    def test_compaction_changes_no_answer(self, lake):
        keep(lake, TRADES, trades(range(1, 20_000)), origin=AGG)
        keep(lake, TRADES, trades(range(20_005, 40_000)), origin=AGG)
        before = lake.gaps(TRADES)
        lake.compact()
        assert lake.gaps(TRADES) == before
        assert [gap.missing for gap in before] == [5]

    def test_an_id_space_without_that_promise_proves_nothing(self, any_lake):
        keep(any_lake, TRADES, trades([1, 2, 5]), origin=USER)
        assert any_lake.gaps(TRADES) == []

    def test_a_jump_over_what_was_never_asked_proves_nothing(self, any_lake):
        keep(any_lake, TRADES, trades(range(1, 61)), 0, 2, AGG)
        keep(any_lake, TRADES, trades(range(600, 660)), 9, 12, AGG)
        assert told(any_lake, TRADES) == [(span(2, 9), None, "not_fetched")]

    def test_what_was_lost_anyway_is_counted_not_told_twice(self, any_lake):
        keep(any_lake, TRADES, trades([*range(1, 61), *range(120, 180)]), origin=AGG)
        any_lake.engine.delete(TRADES, Span(second(61), second(119)))
        lost = Covered(Span(second(61), second(119)), Found.LOST, "trade ids 61 to 119 are not served")
        any_lake.engine.append(TRADES, trades([]), AGG, [lost])
        assert told(any_lake, TRADES) == [(lost.span, 59, "lost")]

    def test_a_refused_trade_is_invalid_not_lost(self, any_lake):
        wrong = trades([5]).with_columns(price=pl.lit(-1.0))
        keep(any_lake, TRADES, pl.concat([trades([*range(1, 5)]), wrong, trades(range(6, 9))]), origin=AGG)
        assert told(any_lake, TRADES) == [(Span(second(5), second(5) + 1), None, "invalid")]

    def test_ids_that_restart_are_a_note(self, any_lake):
        keep(any_lake, TRADES, pl.concat([trades(range(500, 600)), trades(range(1, 50), start=700)]), origin=AGG)
        report = any_lake.gap_report(TRADES)
        assert report.gaps == ()
        (note,) = report.notes
        assert "begin anew" in note
        assert "after 599 comes 1" in note


class TestBooks:
    def updates(self, *messages):
        rows = [(second(n), seq, "bid", 1.0, 1.0, snapshot) for n, (seq, snapshot) in enumerate(messages)]
        schema = {"ts": pl.Int64, "seq": pl.Int64, "side": pl.String, "price": pl.Float64, "amount": pl.Float64}
        frame = pl.DataFrame(rows, schema={**schema, "is_snapshot": pl.Boolean}, orient="row")
        return frame.with_columns(pl.col("ts").cast(TIME))

    def test_updates_that_do_not_chain_are_lost(self, any_lake):
        """Field note: deltas must chain; a snapshot begins anew."""
        rows = self.updates((10, True), (11, False), (14, False), (90, True), (91, False))
        book = Dataset.parse("bybit:book:BTC/USDT")
        keep(any_lake, book, rows)
        assert any_lake.gaps(book) == [Gap(Span(second(1), second(2) + 1), 2, "lost", "updates 12 to 13 are missing")]

    def test_where_sequences_have_holes_by_nature_nothing_is_told(self, any_lake):
        book = Dataset.parse("binance:book:BTC/USDT")
        keep(any_lake, book, self.updates((10, True), (14, False), (90, False)))
        assert any_lake.gaps(book) == []


class TestSnapshots:
    """Snapshots tell of an instant each: nobody asked for what lies between them."""

    @staticmethod
    def snapshot(number):
        rows = {
            "ts": [second(number)],
            "side": ["bid"],
            "price": [1.0],
            "amount": [1.0],
            "is_snapshot": [True],
            "seq": [number],
        }
        return pl.DataFrame(rows).with_columns(pl.col("ts").cast(TIME))

    @pytest.mark.parametrize("numbers", [[5], [5, 50]])
    def test_nothing_is_missing_at_them_between_them_or_around_them(self, any_lake, numbers):
        book = Dataset.parse("binance:book:BTC/USDT")
        for number in numbers:
            any_lake.engine.append(book, self.snapshot(number), USER)
        for bounds in ((), (second(0), second(100))):
            assert any_lake.gaps(book, *bounds) == []
            assert any_lake.missing_intervals(book, *bounds) == []
            assert any_lake.quality(book, *bounds).is_complete

    def test_holes_between_recordings_are_still_told(self, any_lake):
        book = Dataset.parse("binance:book:BTC/USDT")
        for first in (0, 40):
            covered = Covered(Span(second(first), second(first + 20)))
            any_lake.engine.append(book, self.snapshot(first), USER, [covered])
        any_lake.engine.append(book, self.snapshot(200), USER)
        assert told(any_lake, book) == [(Span(second(20), second(40)), None, "not_fetched")]


class TestFunding:
    def keep(self, lake, hours, symbol="BTC", looked=None, found=Found.DATA):
        dataset = Dataset.parse(f"binance:funding:{symbol}/USDT:USDT")
        ts = pl.Series([at(0) + hour * HOUR for hour in hours], dtype=pl.Int64).cast(TIME)
        keep(
            lake,
            dataset,
            pl.DataFrame({"ts": ts, "rate": [0.0001] * len(hours)}),
            *(looked or (0, hours[-1] * 60 + 1)),
            found=found,
        )

    def test_an_event_that_should_have_come_is_lost(self, any_lake):
        self.keep(any_lake, [0, 8, 16, 32, 40, 44, 48, 52])
        assert told(any_lake, FUNDING) == [(span(24 * 60, 32 * 60), 1, "lost")]

    def test_if_all_lack_it_it_was_an_outage(self, any_lake):
        self.keep(any_lake, [0, 8, 16, 32, 40])
        self.keep(any_lake, [0, 8, 16, 32, 40], "ETH")
        assert told(any_lake, FUNDING) == [(span(24 * 60, 32 * 60), 1, "outage")]

    def test_if_another_has_it_it_is_lost(self, any_lake):
        self.keep(any_lake, [0, 8, 16, 32, 40])
        self.keep(any_lake, [0, 8, 16, 24, 32, 40], "ETH")
        assert told(any_lake, FUNDING) == [(span(24 * 60, 32 * 60), 1, "lost")]

    def test_another_that_is_not_due_then_says_nothing(self, any_lake):
        self.keep(any_lake, [0, 4, 8, 16, 20, 24])
        self.keep(any_lake, [0, 8, 16, 24], "ETH")
        assert told(any_lake, FUNDING) == [(span(12 * 60, 16 * 60), 1, "lost")]

    def test_what_was_due_before_the_first_event_and_after_the_last_is_lost(self, any_lake):
        self.keep(any_lake, [24, 32, 40], looked=(0, 3 * DAY))
        assert told(any_lake, FUNDING) == [(span(0, DAY), 3, "lost"), (span(2 * DAY, 3 * DAY), 3, "lost")]
        assert told(any_lake, FUNDING, at(8 * 60), at(20 * 60)) == [(span(8 * 60, 20 * 60), 2, "lost")]

    @pytest.mark.parametrize("found", [Found.UNAVAILABLE, Found.LOST, None])
    def test_the_schedule_counts_what_is_missing_where_nothing_was_had(self, any_lake, found):
        """The newest 92 days are served: which rates of the year are missing can be counted."""
        self.keep(any_lake, [], looked=(0, 273 * DAY), found=found or Found.DATA) if found else None
        self.keep(any_lake, range(273 * 24, 365 * 24, 8), looked=(273 * DAY, 365 * DAY))
        word = "not_fetched" if found is None else found.value
        assert told(any_lake, FUNDING, at(0), at(365 * DAY)) == [(span(0, 273 * DAY), 819, word)]

    def test_nothing_is_missing_before_the_listing(self, any_lake):
        self.keep(any_lake, [], looked=(0, 2 * DAY), found=Found.UNLISTED)
        self.keep(any_lake, [56, 64, 72], looked=(2 * DAY, 3 * DAY + 1))
        assert told(any_lake, FUNDING) == [(span(2 * DAY, 56 * 60), 1, "lost")]

    def test_an_overdue_event_that_was_not_waited_for_counts_once(self, any_lake):
        self.keep(any_lake, [0, 8, 16], looked=(0, DAY))
        any_lake.engine.append(FUNDING, FUNDING.spec.empty(), USER, [Covered(Span(at(DAY), at(DAY) + 5 * SECOND))])
        assert told(any_lake, FUNDING, at(0), at(DAY + 60)) == [
            (Span(at(DAY) + 5 * SECOND, at(DAY + 60)), 1, "not_fetched")
        ]

    def test_a_refused_event_is_invalid_and_the_others_are_lost(self, any_lake):
        self.keep(any_lake, [24, 32, 40], looked=(0, 2 * DAY))
        bad = pl.DataFrame({"ts": pl.Series([at(8 * 60)]).cast(TIME), "rate": [float("nan")]})
        any_lake.engine.append(FUNDING, bad, USER)
        assert told(any_lake, FUNDING) == [
            (span(0, 8 * 60), 1, "lost"),
            (Span(at(8 * 60), at(8 * 60) + 1), None, "invalid"),
            (span(16 * 60, DAY), 1, "lost"),
        ]


class TestOutages:
    def keep_bars(self, lake, base, *held, looked=((0, 100),)):
        dataset = Dataset.parse(f"x:ohlcv:1m:{base}/USDT")
        for first, last in looked:
            inside = [(max(a, first), min(b, last)) for a, b in held]
            keep(lake, dataset, pl.concat([bars(a, b) for a, b in inside if a < b] or [bars(0, 0)]), first, last)
        return dataset

    def test_bars_that_every_symbol_lacks_are_an_outage_with_exact_bounds(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        two = self.keep_bars(any_lake, "ETH", (0, 45), (55, 80), (81, 100))
        assert told(any_lake, one) == [
            (span(40, 45), 5, "no_trades"),
            (span(45, 55), 10, "outage"),
            (span(55, 60), 5, "no_trades"),
        ]
        assert told(any_lake, two) == [(span(45, 55), 10, "outage"), (span(80, 81), 1, "no_trades")]
        assert any_lake.gaps(two)[0].detail == "2 symbols of x were looked at, and all were silent"

    def test_with_one_symbol_it_cannot_be_told_and_that_is_said(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        (gap,) = any_lake.gaps(one)
        assert gap.reason == "no_trades"
        assert "cannot be told" in gap.detail

    def test_another_timeframe_or_kind_is_no_witness(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        keep(any_lake, Dataset.parse("x:ohlcv:5m:ETH/USDT"), bars(0, 40, step=5), 0, 100)
        assert told(any_lake, one) == [(span(40, 60), 20, "no_trades")]

    def test_a_symbol_that_was_not_looked_at_there_is_no_witness(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        self.keep_bars(any_lake, "ETH", (0, 30), (70, 100), looked=((0, 50), (65, 100)))
        assert told(any_lake, one) == [(span(40, 50), 10, "outage"), (span(50, 60), 10, "no_trades")]

    def test_a_symbol_that_is_not_listed_yet_is_no_witness(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        self.keep_bars(any_lake, "NEW", (70, 100))
        assert told(any_lake, one) == [(span(40, 60), 20, "no_trades")]

    def test_two_sleepy_symbols_are_silent_together_by_chance(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", *((minute, minute + 1) for minute in range(0, 100, 3)))
        self.keep_bars(any_lake, "ETH", *((minute, minute + 1) for minute in range(1, 100, 3)))
        assert {word for _, _, word in told(any_lake, one)} == {"no_trades"}

    def test_many_scattered_silences_are_told_apart(self, any_lake):
        silent = set(range(5, 2000, 20))
        busy = [(a, a + 1) for a in range(2000) if a not in silent and not 1000 <= a < 1030]
        one = self.keep_bars(any_lake, "BTC", *busy, looked=((0, 2000),))
        two = self.keep_bars(any_lake, "ETH", (0, 1000), (1030, 2000), looked=((0, 2000),))
        assert [item for item in told(any_lake, one) if item[2] == "outage"] == [(span(1000, 1030), 30, "outage")]
        assert told(any_lake, two) == [(span(1000, 1030), 30, "outage")]

    def keep_thin(self, lake, *bases, gap=(1000, 1040)):
        """Symbols with a bar in every third minute and pauses of twenty, but for a common silence."""
        for at_, base in enumerate(bases):
            minutes = [n for n in range(3000) if (n + at_) % 3 and n % 300 >= 20 and not gap[0] <= n < gap[1]]
            one = self.keep_bars(lake, base, *((n, n + 1) for n in minutes), looked=((0, 3000),))
        return one

    def test_thin_symbols_do_not_prove_an_outage(self, any_lake):
        """The exchange's busy market traded in 20 of 26 outages that two thin symbols told."""
        one = self.keep_thin(any_lake, "AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
        assert {word for *_, word in told(any_lake, one)} == {"no_trades"}

    def test_a_silence_that_is_long_for_five_of_them_is_an_outage(self, any_lake):
        long = (1000, 1100)
        one = self.keep_thin(any_lake, "AAA", "BBB", "CCC", "DDD", gap=long)
        assert {word for *_, word in told(any_lake, one)} == {"no_trades"}
        one = self.keep_thin(any_lake, "EEE", gap=long)
        assert [item for item in told(any_lake, one) if item[2] == "outage"] == [(span(*long), 100, "outage")]

    def test_several_markets_of_one_base_are_one_witness(self, any_lake):
        one = self.keep_bars(any_lake, "BTC", (0, 40), (60, 100))
        usdc = Dataset.parse("x:ohlcv:1m:BTC/USDC")
        keep(any_lake, usdc, pl.concat([bars(0, 40), bars(60, 100)]), 0, 100)
        assert {word for *_, word in told(any_lake, one)} == {"no_trades"}

    def test_rows_of_files_are_no_witnesses(self, any_lake):
        origin = Provenance("file", "dump.csv")
        for base in ("BTC", "ETH", "SOL"):
            one = Dataset.parse(f"x:ohlcv:1m:{base}/USDT")
            keep(any_lake, one, pl.concat([bars(0, 40), bars(60, 100)]), 0, 100, origin)
        assert told(any_lake, one) == [(span(40, 60), 20, "no_trades")]

    def test_no_outage_lasts_for_weeks(self, any_lake):
        for base in ("BTC", "ETH"):
            one = Dataset.parse(f"x:ohlcv:1h:{base}/USDT")
            hours = pl.concat([bars(0, 20 * DAY, step=60), bars(40 * DAY, 60 * DAY, step=60)])
            keep(any_lake, one, hours, 0, 60 * DAY)
        assert told(any_lake, one) == [(span(20 * DAY, 40 * DAY), 20 * 24, "unavailable")]
        assert not any_lake.quality(one).is_complete

    def keep_trades(self, lake, base, held, looked=(0, 200)):
        dataset = Dataset.parse(f"x:trades:{base}/USDT")
        numbers = [n for a, b in held for n in range(a * 60, b * 60, 5)]
        keep(lake, dataset, trades(numbers), *looked)
        return dataset

    def test_trades_that_nobody_made_are_an_outage(self, any_lake):
        one = self.keep_trades(any_lake, "BTC", [(0, 60), (130, 200)])
        two = self.keep_trades(any_lake, "ETH", [(0, 70), (120, 200)])
        last, first = at(70) - 5 * SECOND, at(120)
        assert told(any_lake, one) == [(Span(last + 1, first), None, "outage")]
        assert told(any_lake, two) == [(Span(last + 1, first), None, "outage")]

    def test_silences_near_each_other_are_read_together(self, any_lake, monkeypatch):
        held = [(start, start + 30) for start in range(0, 1200, 60)]
        one = self.keep_trades(any_lake, "BTC", held, (0, 1200))
        self.keep_trades(any_lake, "ETH", held, (0, 1200))
        reads = []
        monkeypatch.setattr(outages, "read_chunks", lambda *what: reads.append(what) or read_chunks(*what))
        any_lake.gaps(one)
        assert len(reads) == 1

    def test_one_halted_symbol_is_no_gap_in_its_trades(self, any_lake):
        one = self.keep_trades(any_lake, "BTC", [(0, 60), (130, 200)])
        self.keep_trades(any_lake, "ETH", [(0, 200)])
        assert told(any_lake, one) == []

    def test_lost_trades_are_lost_not_silence(self, any_lake):
        for base in ("BTC", "ETH"):
            dataset = Dataset.parse(f"binance:trades:{base}/USDT")
            keep(any_lake, dataset, trades([*range(3000), *range(6000, 9000)]), 0, 150, AGG)
        assert [word for *_, word in told(any_lake, dataset)] == ["lost"]


@pytest.mark.parametrize("dataset", ["x:open_interest:BTC/USDT:USDT", "x:quotes:BTC/USDT", "x:liquidations:BTC/USDT"])
def test_other_kinds_are_told_by_coverage(any_lake, dataset):
    any_lake.engine.append(Dataset.parse(dataset), [], USER, [Covered(Span(at(0), at(0) + MINUTE))])
    assert told(any_lake, dataset, at(0), at(0) + 2 * MINUTE) == [(span(1, 2), None, "not_fetched")]
