"""SQL in process: the rows of the lake, of one version, as they are read in any other way."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sql_lakes import BTC, ETH, filled

import ticklake
from ticklake.app import memory_lake
from ticklake.core.kinds import KINDS, TIME
from ticklake.core.time import HOUR, parse_time
from ticklake.errors import BadInput, InvalidQuery, MissingExtra
from ticklake.query import sql
from ticklake.query.sql_views import lake_views
from ticklake.testing.rows import START, bars


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with filled(tmp_path_factory.mktemp("sql")) as lake:
        yield lake


def test_each_dataset_has_the_rows_in_sql_that_it_has_in_the_lake(lake):
    for dataset in lake.datasets():
        where = f"exchange = '{dataset.exchange}' and symbol = '{dataset.symbol}'"
        if dataset.timeframe is not None:
            where += f" and timeframe = '{dataset.timeframe}'"
        rows = lake.sql(f'select * from "{dataset.kind_text}" where {where} order by ts').pl()
        expected = lake.load(dataset)
        assert rows.select(expected.columns).equals(expected), dataset
        assert rows.schema["ts"] == TIME


@pytest.mark.parametrize(("start", "end"), [(0, 5), (145, 155), (155, 205), (199, 200), (300, 400)])
def test_a_span_has_the_rows_that_it_has_in_the_lake(lake, start, end):
    first, last = bars(start, end, interval=HOUR)["ts"][0], bars(end, end + 1, interval=HOUR)["ts"][0]
    query = f"select * exclude (exchange, symbol, timeframe) from ohlcv where symbol = '{BTC}' and timeframe = '1h'"
    rows = lake.sql(f"{query} and ts >= $first and ts < $last order by ts", {"first": first, "last": last}).pl()
    assert rows.equals(lake.load(f"x:ohlcv:1h:{BTC}", first, last))


def test_every_kind_has_a_view_with_the_columns_of_names_and_its_own(lake):
    for name, kind in KINDS.items():
        columns = lake.sql(f"select * from {name} limit 0").columns
        assert columns[:2] == ["exchange", "symbol"]
        assert columns[-len(kind.names) :] == kind.names
    assert lake.sql("select * from trades limit 0").columns == ["exchange", "symbol", *KINDS["trades"].names]


def test_derived_rows_are_never_among_collected_ones(lake):
    assert lake.sql("select distinct timeframe from ohlcv order by 1").fetchall() == [("1d",), ("1h",)]
    derived = lake.sql('select distinct variant, timeframe, symbol from "ohlcv@from_trades"')
    assert derived.fetchall() == [("from_trades", "1m", BTC)]


def test_the_view_of_a_feature_set_is_named_as_the_set(tmp_path):
    with memory_lake() as lake:
        lake.features.register("momentum", "v3", {"ret": "float64"})
        lake.features.write("momentum", "v3", {"ts": [START], "symbol": [BTC], "ret": [0.5]})
        assert lake.sql('select symbol, variant, ret from "momentum@v3"').fetchall() == [(BTC, "v3", 0.5)]


def test_datasets_are_the_inventory(lake):
    rows = lake.sql("select * from datasets order by dataset").pl()
    assert rows.equals(lake.inventory().select(rows.columns).sort("dataset"))


def test_coverage_says_what_was_looked_at():
    with memory_lake() as lake:
        dataset = ticklake.Dataset.parse(f"x:ohlcv:1h:{BTC}")
        day = ticklake.Span.parse("2024-01-01", "2024-01-02")
        covered = [ticklake.Covered(day, ticklake.Found.DATA)]
        lake.engine.append(dataset, bars(0, 24, interval=HOUR), ticklake.Provenance("test"), covered)
        rows = lake.sql(f"select found, start, \"end\" from coverage where symbol = '{BTC}'").fetchall()
    assert rows == [("data", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))]


def test_a_snapshot_answers_of_its_version(tmp_path):
    with filled(tmp_path) as lake:
        before = lake.engine.catalog.version()
        count = "select count(*) from ohlcv where symbol = $1 and timeframe = '1h'"
        lake.save(f"x:ohlcv:1h:{BTC}", bars(300, 310, interval=HOUR))
        lake.save(f"x:ohlcv:1h:{BTC}", bars(0, 10, 5.0, interval=HOUR))
        assert lake.sql(count, [BTC]).fetchone() == (220,)
        answer = lake.at(before).sql(count, [BTC])
        assert (answer.fetchone(), answer.version) == ((210,), before)
        lake.compact()
        assert lake.at(before).sql(count, [BTC]).fetchone() == (210,)
        assert lake.sql(f"select close from ohlcv where ts = '2024-01-01' and symbol = '{BTC}' and timeframe = '1h'")[
            "close"
        ].to_list() == [6.0]


def test_an_answer_stays_what_it_is(tmp_path):
    with filled(tmp_path) as lake:
        answer = lake.sql("select * from trades order by exchange, symbol, ts")
        rows = answer.pl().clone()
        lake.drop(f"x:trades:{BTC}")
        lake.vacuum("0s")
    assert answer.pl().equals(rows)


def test_files_that_a_compaction_moves_meanwhile_are_read_where_they_are_then(tmp_path, monkeypatch):
    made = sql.create_view
    compacted = []

    def slow(connection, views, view, parts):
        if not compacted:
            # Begins with the files of before, which are gone once the view looks for them.
            compacted.append(1)
            parts = list(parts)
            sources = views.engine.store.objects
            plan = sources.source
            monkeypatch.setattr(type(sources), "source", lambda self, path: _moved(lake, plan(path)))
        made(connection, views, view, parts)

    def _moved(lake, source):
        monkeypatch.undo()
        lake.save(f"x:ohlcv:1h:{ETH}", bars(0, 50, 7.0, interval=HOUR))
        lake.compact()
        return source

    with filled(tmp_path) as lake:
        monkeypatch.setattr(sql, "create_view", slow)
        rows = lake.sql(f"select min(close) - 8.0 from ohlcv where symbol = '{ETH}'").fetchone()
    assert compacted
    assert rows == (0.0,)


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    with filled(tmp_path) as lake:
        (path,) = (lake.root / f"trades/exchange=y/symbol={ticklake.Symbol(ETH).escaped}").rglob("*.parquet")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(ticklake.errors.CorruptSegment, match=path.name):
            lake.sql("select count(*) from trades")
        # What is not asked for is not looked at.
        assert lake.sql("select count(*) from trades where exchange = 'x'").fetchone() == (600,)


def test_only_datasets_and_times_that_a_query_names_are_read(lake, monkeypatch):
    read = []
    plan = sql.create_view

    def noted(connection, views, view, parts):
        read.extend((str(views.datasets[number]), low, high) for number, low, high in parts)
        plan(connection, views, view, parts)

    monkeypatch.setattr(sql, "create_view", noted)
    lake.sql(f"select max(high) from ohlcv where exchange = 'x' and symbol in ('{BTC}') and ts >= '2024-01-02'")
    ((name, low, high),) = read
    assert name == f"x:ohlcv:1h:{BTC}"
    assert parse_time("2024-01-02") - low <= 1_000
    assert high is None


ANSWERS = [
    "select symbol, timeframe, count(*) n, max(high) h from ohlcv group by symbol, timeframe order by 1, 2",
    f"select * from ohlcv where symbol = '{BTC}' and timeframe = '1h' and ts >= '2024-01-05' order by ts limit 7",
    f"select ts, close from ohlcv where symbol = '{ETH}' and ts >= '2024-01-01T03:00:00' and ts < '2024-01-02' order by ts",
    "select side, count(*) n, sum(amount) a, avg(price) p from trades where exchange = 'x' group by side order by side",
    "with t as (select * from trades where symbol = 'ETH/USDT') select count(*) n, min(id) i from t",
    "select symbol, ts, row_number() over (partition by symbol order by ts) r from trades where price > 90 order by 1, 2",
    "select a.ts, a.close, b.close c from ohlcv a join ohlcv b on a.ts = b.ts where a.symbol = 'BTC/USDT' "
    "and b.symbol = 'ETH/USDT' and a.timeframe = '1h' and b.timeframe = '1h' order by a.ts",
    "select dataset, rows from datasets where kind = 'ohlcv' order by dataset",
    'select ts, open, close, volume from "ohlcv@from_trades" order by ts',
    'select "interval", rate from funding order by ts',
    "select distinct exchange from trades order by exchange",
    "select ts from trades where symbol like 'BTC%' and price < 2 order by ts",
    "select symbol from trades where symbol = 'NONE/USDT'",
    "select count(*) n from ohlcv where ts between '2024-01-02' and '2024-01-03'",
    "select case when side = 'buy' then 1 else 0 end b, id from trades where exchange = 'y' order by ts limit 5",
]


@pytest.mark.parametrize("query", ANSWERS)
def test_duckdb_and_polars_answer_the_same(lake, query):
    by_duckdb, by_polars = lake.sql(query).pl(), lake.sql(query, engine="polars").pl()
    # The widths of small numbers differ, like that of "1".
    wide = pl.selectors.integer().cast(pl.Int64)
    assert_frame_equal(by_duckdb.with_columns(wide), by_polars.with_columns(wide))


def test_polars_reads_only_what_a_query_needs(lake, monkeypatch):
    from ticklake.query import sql_polars

    read = []
    chunks = sql_polars.chunks_of

    def noted(store, view, columns):
        read.append((str(view.dataset), view.span.start))
        return chunks(store, view, columns)

    monkeypatch.setattr(sql_polars, "chunks_of", noted)
    lake.sql(f"select count(*) from ohlcv where symbol = '{ETH}' and ts >= '2024-01-02'", engine="polars")
    assert read == [(f"x:ohlcv:1h:{ETH}", parse_time("2024-01-02"))]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from tradez", ["no view 'tradez'", "did you mean 'trades'", "datasets"]),
        ("select prise from trades", ["no column 'prise'", "did you mean 'price'", "trades has exchange, symbol"]),
        ("selct 1", ["syntax error", "'selct 1'"]),
        ("select count(*) from ohlcv where ts > now()", ["now()::timestamp"]),
        ("select 'a'::int", ["Could not convert"]),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(lake, query, words):
    with pytest.raises(InvalidQuery) as caught:
        lake.sql(query)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from tradez", ["no view 'tradez'", "did you mean 'trades'"]),
        ("select prise from trades", ["no column 'prise'", "did you mean 'price'"]),
        ("selct 1", ["sql parser error", "pip install 'ticklake[sql]'"]),
        ("select median_absolute_deviation(price) from trades", ["pip install 'ticklake[sql]'"]),
    ],
)
def test_polars_says_what_it_does_not_know(lake, query, words):
    with pytest.raises(InvalidQuery) as caught:
        lake.sql(query, engine="polars")
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_without_duckdb_polars_answers_and_the_extra_is_named(lake, monkeypatch):
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert lake.sql("select count(*) as n from trades").fetchone() == (800,)
    with pytest.raises(MissingExtra, match=r"ticklake\[sql\]"):
        lake.sql("select 1", engine="duckdb")
    with pytest.raises(InvalidQuery, match=r"no parameters.*ticklake\[sql\]"):
        lake.sql("select count(*) from trades where symbol = $1", ["x"])


def test_parameters_may_be_times_texts_and_numbers(lake):
    query = "select count(*) from ohlcv where symbol = $symbol and timeframe = '1h' and ts >= $start and close > $least"
    for start in ("2024-01-05", date(2024, 1, 5), datetime(2024, 1, 5), datetime(2024, 1, 5, 2, tzinfo=UTC)):
        count = lake.sql(query, {"symbol": BTC, "start": start, "least": 0}).fetchone()
        assert count == ((112,) if getattr(start, "tzinfo", None) else (114,))
    with pytest.raises(BadInput, match="params"):
        lake.sql(query, "BTC/USDT")


@pytest.mark.parametrize(
    "condition",
    [
        "ts >= '2024-01-01T02:00:00+02:00'",
        "'2024-01-01 00:00 -0530' < ts",
        "ts between '2024-01-01' and '2024-01-02T00:00:00+01'",
        "ts in ('2024-01-01T00:00:00.5+02:00')",
        "ts > timestamp '2024-01-01T00:00:00 Europe/Berlin'",
        "ts::varchar < '2024' or ts = '2024-01-01T00:00:00 EST'::timestamp_ns",
    ],
)
def test_a_zone_that_duckdb_would_not_heed_is_refused(lake, condition):
    with pytest.raises(InvalidQuery, match=r"has a zone.*write UTC, or timestamptz"):
        lake.sql(f"select count(*) from ohlcv where {condition}")


def test_zones_that_are_heeded_are_taken(lake):
    for text in (
        "'2024-01-05T00:00:00Z'",
        "'2024-01-05T00:00:00+00:00'",
        "timestamptz '2024-01-05T02:00:00+02:00'::timestamp",
    ):
        query = f"select count(*) from ohlcv where symbol = '{BTC}' and timeframe = '1h' and ts >= {text}"
        assert lake.sql(query).fetchone() == (114,), text
    query = f"select count(*) from ohlcv where symbol = '{BTC}' and timeframe = '1h' and ts >= $1"
    assert lake.sql(query, ["2024-01-05T02:00:00+02:00"]).fetchone() == (114,)
    assert lake.sql("select strptime('2024-01-01T00:00:00+0200', '%Y-%m-%dT%H:%M:%S%z') as t").rows == 1


def test_times_intervals_and_sums_have_the_types_of_the_lake(lake):
    rows = lake.sql(
        "select date_trunc('hour', ts) d, sum(trades) t, max(ts) - min(ts) l, count(*) n, now() w from ohlcv group by 1 order by 1"
    ).pl()
    assert dict(rows.schema) == {"d": TIME, "t": pl.Int64, "l": pl.Duration("ns"), "n": pl.Int64, "w": TIME}
    assert rows["l"].cast(pl.Int64)[0] == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("340282366920938463463374607431768211455::uhugeint", "340282366920938463463374607431768211455"),
        ("'10101'::bit", "10101"),
        ("[interval 1 day]", "[1 day]"),
        ("union_value(a := 1)", "1"),
        ("interval '1 month 1 second'", timedelta(days=30, seconds=1)),
        ("sum(9223372036854775807::bigint) from range(2)", Decimal(2 * (2**63 - 1))),
        ("timestamp '2300-01-01'", datetime(2300, 1, 1, tzinfo=UTC)),
        ("timestamptz '2024-01-01T00:00:00+02:00'", datetime(2023, 12, 31, 22, tzinfo=UTC)),
    ],
)
def test_types_that_frames_do_not_have_are_written_as_text(lake, value, expected):
    assert lake.sql(f"select {value}").fetchone() == (expected,)


@pytest.mark.parametrize(
    "value", ["'infinity'::timestamp", "['-infinity'::date]", "interval 300 year", "(2::hugeint ** 127)::hugeint"]
)
def test_values_that_frames_cannot_hold_are_refused(lake, value):
    with pytest.raises(InvalidQuery):
        lake.sql(f"select {value}")


def test_an_answer_is_taken_by_other_libraries(lake):
    import duckdb

    answer = lake.sql("select symbol, close from ohlcv order by ts, symbol, close limit 3")
    assert pl.DataFrame(answer).equals(answer.pl())
    assert answer.arrow().num_rows == 3
    assert list(answer.df()["symbol"]) == answer["symbol"].to_list()
    assert duckdb.sql("select count(*) from answer").fetchall() == [(3,)]
    assert (answer.columns, answer.rows, len(answer)) == (["symbol", "close"], 3, 3)
    assert list(answer) == answer.fetchall()
    assert "symbol" in repr(answer)
    assert "symbol" in answer._repr_html_()


def test_what_a_query_makes_is_gone_with_it(lake, tmp_path):
    assert lake.sql("create table mine as select 1 as a; select a from mine").fetchall() == [(1,)]
    with pytest.raises(InvalidQuery, match="mine"):
        lake.sql("select * from mine")
    # It is the owner's own: files may be written.
    lake.sql(f"copy (select * from trades) to '{tmp_path}/trades.parquet'")
    assert pl.read_parquet(tmp_path / "trades.parquet").height == 800
    # The names of Python variables are no views.
    rows = pl.DataFrame({"a": [1]})
    with pytest.raises(InvalidQuery, match="rows"):
        lake.sql("select a from rows")
    assert rows.height == 1


def test_queries_in_many_threads_do_not_meet(lake):
    from concurrent.futures import ThreadPoolExecutor

    queries = [f"select count(*) from trades where exchange = '{name}'" for name in ("x", "y") * 10]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda query: lake.sql(query).fetchone()[0], queries))
    assert counts == [600, 200] * 10


def test_views_are_asked_for_like_tables(lake):
    names = [name for (name,) in lake.sql("show tables").fetchall()]
    assert sorted(names) == sorted(lake_views(lake.engine).columns)
    described = lake.sql("describe funding").pl()
    assert described["column_name"].to_list()[:3] == ["exchange", "symbol", "ts"]
    assert lake.sql("select column_name from information_schema.columns where table_name = 'funding'").rows == 8


def test_an_empty_lake_has_all_views():
    with memory_lake() as lake:
        assert lake.sql("select count(*) from trades").fetchone() == (0,)
        assert lake.sql("select * from datasets", engine="polars").rows == 0


def test_a_lake_in_memory_is_queried_like_one_on_disk():
    with memory_lake() as lake:
        lake.save(f"x:ohlcv:1h:{BTC}", bars(0, 100, interval=HOUR))
        lake.compact()
        lake.save(f"x:ohlcv:1h:{BTC}", bars(90, 110, 1.0, interval=HOUR))
        rows = lake.sql("select ts, close from ohlcv order by ts").pl()
        assert rows.equals(lake.load(f"x:ohlcv:1h:{BTC}", columns=["ts", "close"]))
