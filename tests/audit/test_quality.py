"""Quality of what a lake holds: measured when asked for, kept until something changes."""

import re
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.growth import growth
from ticklake.audit.quality import Assessor
from ticklake.collect.backfill import Backfill
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.kinds import TIME
from ticklake.core.progress import Progress
from ticklake.core.provenance import Provenance
from ticklake.core.quality import Holes
from ticklake.core.runs import RunState
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, parse_time
from ticklake.errors import BadInput

T = parse_time("2024-01-01")
BARS, TRADES = "x:ohlcv:1m:BTC/USDT", "x:trades:BTC/USDT"
USER = Provenance("user")


def bars(first, last, bump=0.0):
    minutes = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    price = (minutes % 7).cast(pl.Float64) / 100 + 100 + bump
    frame = pl.DataFrame({"ts": minutes * MINUTE + T, "open": price, "close": price, "volume": 1.0})
    frame = frame.with_columns(high=price + 0.01, low=price - 0.01)
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC")))


def trades(first, last):
    seconds = pl.int_range(first, last, dtype=pl.Int64, eager=True)
    frame = pl.DataFrame({"ts": seconds * 10**9 + T, "id": seconds.cast(pl.String)})
    price = (seconds % 7).cast(pl.Float64) / 100 + 100
    return frame.with_columns(price=price, amount=1.0, side=pl.lit("buy")).cast({"ts": pl.Datetime("ns", "UTC")})


def covered(lake, dataset, first, last, found=Found.DATA):
    parsed = Dataset.parse(dataset)
    lake.engine.append(parsed, parsed.spec.empty(), USER, [Covered(Span(first, last), found)])


@pytest.fixture
def lake(lake_at):
    return lake_at()


@pytest.fixture
def measured(monkeypatch):
    """The days that were measured, each time in a list of its own."""
    seen = []
    real = Assessor._measured

    def spy(self, asked, days):
        seen.append([(day.begin - T) // DAY for day in days])
        return real(self, asked, days)

    monkeypatch.setattr(Assessor, "_measured", spy)
    return seen


class TestWhatIsTold:
    def test_a_whole_dataset_is_complete_and_scores_a_hundred(self, lake):
        lake.save(BARS, bars(0, 3 * 1440))
        quality = lake.quality(BARS)
        assert (quality.score, quality.completeness_ratio, quality.is_complete) == (100.0, 1.0, True)
        assert (quality.expected_records, quality.present_records, quality.missing_records) == (4320, 4320, 0)
        assert [day.present_records for day in quality.days] == [1440] * 3

    def test_holes_are_told_by_reason_and_by_day(self, lake):
        lake.save(BARS, pl.concat([bars(0, 1000), bars(2000, 4320)]))
        covered(lake, BARS, T, T + 1200 * MINUTE)
        quality = lake.quality(BARS)
        assert quality.gaps == {
            "no_trades": Holes(1, 200, 200 * MINUTE),
            "not_fetched": Holes(1, 800, 800 * MINUTE),
        }
        assert quality.missing_records == 800
        assert [day.missing_records for day in quality.days] == [240, 560, 0]
        assert [day.data_gaps for day in quality.days] == [1, 0, 0]
        assert quality.gaps == lake.quality(BARS).gaps

    def test_it_agrees_with_gaps(self, lake):
        lake.save(BARS, pl.concat([bars(n, n + 7) for n in range(0, 4000, 11)]))
        covered(lake, BARS, T + 100 * MINUTE, T + 900 * MINUTE)
        covered(lake, BARS, T + 1500 * MINUTE, T + 3100 * MINUTE, Found.LOST)
        quality, gaps = lake.quality(BARS), lake.gaps(BARS)
        for reason in {gap.reason for gap in gaps}:
            ours = [gap for gap in gaps if gap.reason is reason]
            told = quality.gaps[reason]
            assert told.count == len(ours)
            assert told.records == sum(gap.missing for gap in ours)
            assert told.time == sum(gap.span.length for gap in ours)

    def test_refused_rows_are_told_by_reason_with_those_without_a_time(self, lake):
        bad = bars(5, 7).with_columns(low=pl.lit(1e9))
        lake.save(BARS, pl.concat([bars(0, 5), bad, bars(7, 100)]))
        lake.save(BARS, bars(5, 6).with_columns(ts=pl.lit(5 * DAY).cast(pl.Datetime("ns", "UTC"))))
        lake.save(BARS, bars(5, 6).with_columns(ts=pl.lit(None).cast(pl.Datetime("ns", "UTC"))))
        quality = lake.quality(BARS)
        assert quality.days[0].quarantined == {"high_below_low": 2}
        assert quality.quarantined["high_below_low"] == 2
        assert quality.quarantined["no_ts"] == 1
        covered(lake, BARS, T, T + 100 * MINUTE)
        assert lake.quality(BARS).gaps == {"invalid": Holes(1, 2, 2 * MINUTE)}

    def test_trades_are_complete_as_far_as_somebody_looked(self, lake):
        lake.save(TRADES, trades(0, 3600))
        assert lake.quality(TRADES).completeness_ratio is None
        assert not lake.quality(TRADES).is_complete
        covered(lake, TRADES, T, T + 2 * HOUR)
        assert lake.quality(TRADES).completeness_ratio == 1.0
        assert lake.quality(TRADES, "2024-01-01", T + 4 * HOUR).completeness_ratio == 0.5

    def test_freshness_counts_the_bars_that_closed_since(self, lake, monkeypatch):
        lake.save(BARS, bars(0, 10))
        monkeypatch.setattr(lake.engine, "now", lambda: T + 12 * MINUTE + 1)
        quality = lake.quality(BARS)
        assert (quality.last, quality.freshness, quality.bars_behind) == (T + 9 * MINUTE, 2 * MINUTE + 1, 2)

    def test_a_market_that_is_closed_is_not_behind(self, lake, monkeypatch):
        """A Friday's last bar of EUR/USD is fresh on Sunday."""
        friday = parse_time("2024-01-05T21:59")
        forex = "dukascopy:ohlcv:1m:EUR/USD"
        lake.save(forex, bars(0, 1).with_columns(ts=pl.lit(friday).cast(pl.Datetime("ns", "UTC"))))
        monkeypatch.setattr(lake.engine, "now", lambda: parse_time("2024-01-07T12:00"))
        assert lake.quality(forex).bars_behind == 0

    def test_nothing_is_known_of_an_empty_dataset(self, lake):
        lake.save(BARS, bars(0, 1))
        lake.delete(BARS)
        quality = lake.quality(BARS)
        assert (quality.span, quality.score, quality.days, quality.freshness) == (None, None, (), None)
        assert lake.quality_trend(BARS).height == 0

    def test_a_missing_week_is_told_on_its_monday(self, lake):
        weekly = "x:ohlcv:1w:BTC/USDT"
        monday = bars(0, 1)
        lake.save(weekly, pl.concat([monday, monday.with_columns(pl.col("ts").dt.offset_by("14d"))]))
        quality = lake.quality(weekly)
        assert (quality.missing_records, len(quality.days)) == (1, 21)
        assert [day.missing_records for day in quality.days].index(1) == 7

    def test_a_start_that_cannot_be_read_is_refused(self, lake):
        lake.save(BARS, bars(0, 10))
        with pytest.raises(BadInput):
            lake.quality(BARS, "yesterday")


class TestWhatIsKept:
    def test_what_has_not_changed_is_not_measured_again(self, lake, measured):
        lake.save(BARS, bars(0, 5 * 1440))
        first = lake.quality(BARS)
        again = lake.quality(BARS)
        assert measured == [[0, 1, 2, 3, 4]]
        assert again.days == first.days

    def test_only_days_whose_rows_changed_are_measured_again(self, lake, measured):
        lake.save(BARS, bars(0, 9 * 1440))
        lake.quality(BARS)
        lake.save(BARS, bars(4 * 1440 + 700, 4 * 1440 + 703, bump=5))
        assert lake.quality(BARS).days[4].outliers == 3
        assert measured[1:] == [[4]]
        lake.delete(BARS, T + 7 * DAY + HOUR, T + 7 * DAY + 2 * HOUR)
        assert lake.quality(BARS).days[7].missing_records == 60

    def test_rows_near_midnight_are_judged_with_their_neighbours(self, lake, measured):
        lake.save(BARS, bars(0, 4 * 1440))
        lake.quality(BARS)
        lake.save(BARS, bars(2 * 1440 - 3, 2 * 1440 - 2, bump=0.1))
        lake.quality(BARS)
        assert measured[1] == [1, 2]

    def test_new_rows_at_the_end_leave_the_old_days_alone(self, lake, measured):
        lake.save(BARS, bars(0, 3 * 1440 + 100))
        lake.quality(BARS)
        lake.save(BARS, bars(3 * 1440 + 100, 3 * 1440 + 200))
        assert lake.quality(BARS).days[3].present_records == 200
        assert measured[1] == [3]

    def test_coverage_alone_changes_its_days(self, lake, measured):
        lake.save(BARS, pl.concat([bars(0, 1440), bars(2 * 1440, 4 * 1440)]))
        assert lake.quality(BARS).completeness_ratio == 0.75
        covered(lake, BARS, T + DAY, T + 2 * DAY)
        assert lake.quality(BARS).completeness_ratio == 1.0
        assert measured[1] == [1]

    def test_refused_rows_alone_change_their_day(self, lake, measured):
        lake.save(BARS, bars(0, 4 * 1440))
        lake.quality(BARS)
        lake.save(BARS, bars(1440 * 2 + 500, 1440 * 2 + 501).with_columns(low=pl.lit(1e9)))
        assert lake.quality(BARS).quarantined == {"high_below_low": 1}
        assert measured[1] == [2]

    def test_compaction_changes_nothing(self, lake, measured):
        for day in range(4):
            lake.save(BARS, bars(day * 1440, day * 1440 + 1440))
        lake.quality(BARS)
        lake.compact()
        lake.quality(BARS)
        assert len(measured) == 1

    def test_what_was_deleted_and_vacuumed_is_noticed(self, lake, measured):
        """The segments that went leave no trace: then everything is measured again."""
        for day in range(4):
            lake.save(BARS, bars(day * 1440, day * 1440 + 1440))
        lake.quality(BARS)
        lake.delete(BARS, T + DAY, T + 2 * DAY)
        lake.engine.vacuum(-DAY)
        assert lake.quality(BARS).days[1].missing_records == 1440
        assert measured[1] == [0, 1, 2, 3]

    def test_what_is_looked_at_often_outlives_vacuum(self, lake, measured):
        lake.save(BARS, bars(0, 4 * 1440))
        for day in range(4, 7):
            lake.save(BARS, bars(day * 1440, day * 1440 + 1440))
            lake.quality(BARS)
            lake.engine.vacuum(-DAY)
        assert measured[1:] == [[4, 5], [5, 6]] or measured[1:] == [[3, 4, 5], [4, 5, 6]]

    def test_parts_of_days_are_measured_and_not_kept(self, lake, measured):
        lake.save(BARS, bars(0, 4 * 1440))
        part = lake.quality(BARS, T + HOUR, T + DAY + HOUR)
        assert [day.present_records for day in part.days] == [1380, 60]
        assert lake.quality(BARS).present_records == 4 * 1440
        assert lake.quality(BARS, T + DAY, T + 3 * DAY).present_records == 2 * 1440
        assert measured == [[0, 1], [0, 1, 2, 3]]

    def test_the_trend_reads_what_is_kept(self, lake, measured):
        lake.save(BARS, pl.concat([bars(0, 1440), bars(1540, 2 * 1440)]))
        trend = lake.quality_trend(BARS)
        assert trend["missing_records"].to_list() == [0, 100]
        assert trend["score"].to_list() == [100.0, pytest.approx(100 * 1340 / 1440, abs=0.01)]
        assert lake.quality_trend(BARS).equals(trend)
        assert len(measured) == 1

    def test_the_trend_documents_all_its_columns_in_order(self, lake):
        lake.save(BARS, bars(0, 1440))
        columns_text = lake.quality_trend.__doc__.partition("Columns:")[2]
        assert re.findall(r"``(\w+)``", columns_text) == lake.quality_trend(BARS).columns

    def test_a_lake_for_reading_only_is_measured_all_the_same(self, lake, lake_at, tmp_path):
        lake.save(BARS, bars(0, 1440))
        lake.close()
        paths = [tmp_path / "lake", *(tmp_path / "lake").rglob("*")]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            assert lake_at().quality(BARS).score == 100.0
        finally:
            for path in paths:
                path.chmod(0o755 if path.is_dir() else 0o644)


class TestManyRows:
    def test_any_cut_of_the_stream_counts_the_same(self, lake, monkeypatch):
        from ticklake.audit import quality
        from ticklake.core import read_plan

        rows = trades(0, 40_000).with_columns(
            price=pl.when(pl.int_range(pl.len()) % 5000 == 7).then(150.0).otherwise("price")
        )
        lake.save(TRADES, rows)
        whole = lake.quality(TRADES)
        assert whole.outliers == 8
        frames = [rows.slice(start, 1000) for start in range(0, 40_000, 1000)]
        cut = list(quality._hours(frame.select("ts") for frame in frames))
        assert [frame.height for frame in cut] == [3600] * 11 + [400]
        assert read_plan.CHUNK_ROWS >= 1000

    @pytest.mark.slow
    def test_a_year_of_minutes_takes_twelve_times_as_long_as_a_month(self, lake, monkeypatch):
        from ticklake.audit import quality as measuring

        formulas = count(100)

        def measure(days):
            # Another formula makes the days that are kept worthless: they are measured anew.
            monkeypatch.setattr(measuring, "FORMULA", next(formulas))
            return lake.quality(BARS, T, T + days * DAY)

        lake.save(BARS, bars(0, 366 * 1440))
        lake.compact()
        assert measure(366).present_records == 366 * 1440
        assert growth(measure, 30, 360) < 36


def events(lake, dataset, times, covered_span):
    ts = pl.Series(sorted(times), dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    origin = Provenance("ccxt", id_space="agg")
    if dataset.kind == "funding":
        rows = pl.DataFrame({"ts": ts, "rate": [0.0001] * ts.len()})
    else:
        ids = [str((time - T) // HOUR) for time in sorted(times)]
        rows = pl.DataFrame({"ts": ts, "id": ids, "price": 1.0, "amount": 1.0, "side": "buy"})
    lake.engine.append(dataset, rows, origin, [Covered(covered_span)])


def missing_of(lake, dataset):
    return sum(gap.known_missing or 0 for gap in lake.gaps(dataset) if gap.reason.is_missing)


@pytest.mark.parametrize("kind", ["funding", "trades"])
def test_what_is_lost_over_many_days_is_missing_for_quality_as_for_gaps(lake, kind):
    """A day was judged by those beside it: 93 lost rates were listed by gaps, and quality called it complete."""
    symbol = "BTC/USDT:USDT" if kind == "funding" else "BTC/USDT"
    dataset, step = Dataset.of("binance", symbol, kind), 8 * HOUR if kind == "funding" else HOUR
    whole = [T + n * step for n in range(120 * DAY // step)]
    events(lake, dataset, [ts for ts in whole if ts < T + 20 * DAY], Span(T, T + 20 * DAY))
    assert lake.quality(dataset).is_complete
    events(lake, dataset, [ts for ts in whole if ts >= T + 71 * DAY], Span(T + 20 * DAY, T + 120 * DAY))
    lost = 51 * DAY // step
    assert missing_of(lake, dataset) == lost
    assert lake.quality(dataset).missing_records == lost
    assert lake.quality(dataset).missing_records == lost
    assert not lake.quality(dataset).is_complete


def outcome_of(lake, dataset, want):
    """How a run over a span would end, and how many rows its words call missing."""
    backfill = Backfill(None, lake.engine, None, None)
    state, words = backfill._judge([FetchPlan(dataset, want)], Progress(1))
    told = re.search(r"missing: ([^()]*)", words)
    counts = re.findall(r"([\d,]+) (?!spans? )[a-z_]+", told[1]) if told else []
    return state, sum(int(count.replace(",", "")) for count in counts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["funding", "trades", "open_interest", "ohlcv", "quotes"]),
    st.lists(st.tuples(st.integers(0, 70), st.integers(1, 40), st.sampled_from(Found), st.booleans()), max_size=5),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 45)), max_size=3),
    st.booleans(),
    st.sampled_from([1, 4, 8]),
)
def test_runs_and_quality_and_gaps_count_the_same_rows_as_missing(lake_at, kind, looks, holes, early, step):
    lake = lake_at()
    symbol = "BTC/USDT:USDT" if kind in {"funding", "open_interest"} else "BTC/USDT"
    dataset = Dataset.of("binance", symbol, kind, "1h" if kind == "ohlcv" else None)
    hours = [n for n in range(0, 110 * 24, step) if not any(a <= n // 24 < a + length for a, length in holes)]
    for first, length, found, with_rows in looks:
        inside = [n for n in hours if with_rows and first <= n // 24 < first + length]
        rows = dataset.spec.empty()
        if inside and kind in {"funding", "trades"}:
            events(lake, dataset, [T + n * HOUR for n in inside], Span(T + first * DAY, T + (first + length) * DAY))
        elif inside and kind == "ohlcv":
            rows = bars(0, len(inside)).with_columns(ts=pl.Series([T + n * HOUR for n in inside]).cast(TIME))
        look = Covered(Span(T + first * DAY, T + (first + length) * DAY), found)
        lake.engine.append(dataset, rows, USER, [look])
        if early:
            lake.quality(dataset)
    assume(looks)
    quality = lake.quality(dataset)
    is_missing = any(gap.reason.is_missing for gap in lake.gaps(dataset))
    state, missing = outcome_of(lake, dataset, quality.span)
    assert quality.missing_records == missing_of(lake, dataset) == missing
    assert quality.is_complete == (not is_missing) == (state is RunState.SUCCEEDED)
