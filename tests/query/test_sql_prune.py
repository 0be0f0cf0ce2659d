"""Pruning: fewer rows are read, and every answer is the same."""

from __future__ import annotations

import pytest
from sql_lakes import BTC, ETH, filled

from ticklake.core.time import parse_time
from ticklake.query import sql
from ticklake.query.sql_views import lake_views


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    with filled(tmp_path_factory.mktemp("prune")) as lake:
        yield lake


def wanted(lake, query, parameters=()):
    """Return for each view which datasets are read, and whether from or until a time only."""
    views = lake_views(lake.engine)
    with sql.connected() as connection:
        parts = sql.wanted_parts(connection, views, query, parameters)
    found = {}
    for name, numbers in parts.items():
        found[name] = {
            str(views.datasets[number]): (low is not None, high is not None) for number, low, high in numbers
        }
    return found


H1, E1, D1 = f"x:ohlcv:1h:{BTC}", f"x:ohlcv:1h:{ETH}", f"y:ohlcv:1d:{BTC}"
TX, TY = f"x:trades:{BTC}", f"y:trades:{ETH}"
ALL, BOTH, FROM, UNTIL = (False, False), (True, True), (True, False), (False, True)
PRUNED = [
    ("select * from ohlcv", {"ohlcv": {H1: ALL, E1: ALL, D1: ALL}}),
    (f"select * from ohlcv where symbol = '{ETH}'", {"ohlcv": {E1: ALL}}),
    ("select * from OHLCV o where O.Symbol like 'BTC%' and \"timeframe\" in ('1h', '4h')", {"ohlcv": {H1: ALL}}),
    ("select * from ohlcv where not (exchange = 'x') or timeframe = '2h'", {"ohlcv": {D1: ALL}}),
    (f"select * from ohlcv where symbol = '{ETH}' and ts > '2024-01-02' and ts <= now()::timestamp", {"ohlcv": {E1: BOTH}}),
    ("select * from trades where ts between '2024-01-01' and '2024-01-02'", {"trades": {TX: BOTH, TY: BOTH}}),
    ("select * from trades where exchange = 'x' and '2024-01-02' > ts", {"trades": {TX: UNTIL}}),
    ("select * from trades where exchange = 'x' and ts >= now()::timestamp - interval 7 day", {"trades": {TX: FROM}}),
    ("select * from trades where exchange = 'x' and ts >= date '2024-01-01' + 1", {"trades": {TX: FROM}}),
    ("select sum(trades) from ohlcv where exchange = 'y'", {"ohlcv": {D1: ALL}}),
    # Twice the same view: what either place reads.
    (
        f"select * from ohlcv a join ohlcv b using (ts) where a.symbol = '{BTC}' and b.symbol = '{ETH}' and a.timeframe = '1h'",
        {"ohlcv": {H1: ALL, E1: ALL}},
    ),
    ("with t as (select * from trades where exchange = 'y') select * from t, trades where trades.exchange = 'y'", {"trades": {TY: ALL}}),
    (
        f"select * from trades t asof join quotes q on t.symbol = q.symbol and t.ts >= q.ts where t.symbol = '{ETH}'",
        {"trades": {TY: ALL}, "quotes": {}},
    ),
    (
        f"select * from trades t asof join ohlcv q using (exchange, symbol, ts) where symbol = '{BTC}' and t.ts > '2024-01-01'",
        {"trades": {TX: FROM}, "ohlcv": {H1: ALL, D1: ALL}},
    ),
    ("describe trades", {"trades": {}}),
    ("select * from ohlcv where exchange = 'x' union all select * from ohlcv where exchange = 'y'", {"ohlcv": {H1: ALL, E1: ALL, D1: ALL}}),
    ("explain select * from trades where exchange = 'y'", {"trades": {TY: ALL}}),
    # What says nothing certain restricts nothing.
    ("select * from trades where exchange = 'y' or price > 3", {"trades": {TX: ALL, TY: ALL}}),
    ("select * from trades where random() < 0.5 or exchange = 'y'", {"trades": {TX: ALL, TY: ALL}}),
    ("select * from trades where exchange = (select min(exchange) from datasets)", {"trades": {TX: ALL, TY: ALL}, "datasets": {}}),
    ("select * from trades where ts > 'never'", {"trades": {TX: ALL, TY: ALL}}),
    ("select * from trades tablesample 10% where exchange = 'y'", {"trades": {TX: ALL, TY: ALL}}),
    ("select * from trades t(exchange, b) where exchange = 'y'", {"trades": {TX: ALL, TY: ALL}}),
    ("with trades as (select * from trades where exchange = 'y') select * from trades", {"trades": {TX: ALL, TY: ALL}}),
    ("select * from ohlcv a positional join trades b where b.exchange = 'y' and a.exchange = 'y'", {"ohlcv": {H1: ALL, E1: ALL, D1: ALL}, "trades": {TX: ALL, TY: ALL}}),
    ("select * from ohlcv a left join trades b on a.ts = b.ts where b.symbol is null and a.exchange = 'y'", {"ohlcv": {D1: ALL}, "trades": {TX: ALL, TY: ALL}}),
    (
        "select * from trades t asof join ohlcv q on t.ts >= q.ts where q.symbol = 'BTC/USDT' and t.exchange = 'y'",
        {"trades": {TY: ALL}, "ohlcv": {H1: ALL, E1: ALL, D1: ALL}},
    ),
    ("pivot trades on side using count(*) group by symbol", {"trades": {TX: ALL, TY: ALL}}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), PRUNED)
def test_what_a_query_reads(lake, query, expected):
    assert wanted(lake, query) == expected


def test_parameters_restrict_like_what_is_written(lake):
    query = "select * from trades where exchange = $1 and ts >= $2"
    assert wanted(lake, query, ["y", "2024-01-01"]) == {"trades": {TY: FROM}}
    query = "select * from trades where exchange = $name and price > $least"
    assert wanted(lake, query, {"name": "it's", "least": 3}) == {"trades": {}}


def test_the_times_that_are_read_hold_all_that_are_asked_for(lake):
    views = lake_views(lake.engine)
    query = "select * from trades where exchange = 'x' and ts > '2024-01-01T00:00:01.000000001' and ts < '2024-01-02'"
    with sql.connected() as connection:
        ((_, low, high),) = sql.wanted_parts(connection, views, query, [])["trades"]
    assert 0 <= parse_time("2024-01-01T00:00:01.000000001") - low <= 1_000
    assert 0 <= high - parse_time("2024-01-02") <= 1_000


SAME = [
    "select count(*), sum(b.close) from ohlcv a left join ohlcv b on a.ts = b.ts and b.symbol = 'ETH/USDT' where a.timeframe = '1h'",
    "select count(*) from ohlcv a left join trades b on a.ts = b.ts and a.symbol = b.symbol where b.symbol is null",
    "select count(*) from ohlcv a left join trades b on a.ts = b.ts where coalesce(b.symbol, 'none') = 'none'",
    "select count(*) from ohlcv a full join trades b on a.ts = b.ts and a.symbol = b.symbol where a.symbol = 'BTC/USDT'",
    "select count(*) from ohlcv a right join trades b using (symbol, ts) where symbol = 'BTC/USDT'",
    "select count(*) from ohlcv a full join trades b using (symbol, ts) where symbol = 'ETH/USDT'",
    "select count(q.close), sum(q.close) from trades t asof join ohlcv q on t.symbol = q.symbol and t.ts >= q.ts where t.symbol = 'BTC/USDT'",
    "select count(q.close), sum(q.close) from trades t asof left join ohlcv q using (symbol, ts) where symbol = 'BTC/USDT'",
    "select count(*) from ohlcv where ts::date = '2024-01-03' and symbol ilike 'btc%'",
    "select count(*) from (select * from trades where exchange = 'x') t where t.ts < '2024-01-01T00:01:00'",
    "select symbol, (select count(*) from trades t where t.symbol = o.symbol and t.exchange = 'x') n from ohlcv o group by symbol order by 1",
    "select count(*) from trades where exchange = 'x' and exists (select 1 from ohlcv where ohlcv.symbol = trades.symbol and exchange = 'y')",
    "select count(*) from trades semi join ohlcv using (symbol) where exchange = 'x'",
    "select count(*) from trades anti join ohlcv on trades.symbol = ohlcv.symbol and ohlcv.exchange = 'y'",
    "select count(*) from ohlcv a natural join trades b where a.symbol = 'BTC/USDT'",
    "select count(*) from trades, ohlcv where trades.symbol = ohlcv.symbol and ohlcv.timeframe = '1d' and trades.ts = ohlcv.ts",
    "from ohlcv select symbol, max(ts) where timeframe = '1h' group by 1 order by 1",
    "select count(*) filter (where exchange = 'x') from trades where upper(exchange) = 'Y'",
    "select max(ts) from ohlcv where ts <= '2024-01-05T00:00:00.000000000'",
    "select count(*) from ohlcv o cross join (select 'ETH/USDT' as symbol) s where o.symbol = s.symbol",
    # A name that the view does not have is another column, which is what it says of no dataset.
    "select '1h' as timeframe, count(*) from trades where timeframe = '1h' group by all",
    "select exchange, symbol as variant, count(*) from trades where variant like 'B%' group by all",
    "select o.symbol, (select count(*) from trades where timeframe = '1h') n from ohlcv o where o.timeframe = '1h' order by all",
    "select count(*) from ohlcv o where o.timeframe = '1h' and exists (select 1 from trades where timeframe = '1h')",
    "select count(*), sum(l.n) from ohlcv o, lateral (select count(*) n from trades where timeframe = '1h') l",
    "select count(*) from trades t, ohlcv o join ohlcv p using (timeframe, symbol, exchange, ts) where timeframe = '1h'",
    "select count(*) from trades t, (ohlcv a join ohlcv b using (symbol)) where symbol = 'BTC/USDT'",
    # An outer join keeps rows of which the condition of a join before it says nothing.
    "select count(*) from ohlcv b join trades c on b.symbol = 'ETH/USDT' right join ohlcv a on a.symbol = b.symbol",
    "select count(*) from ohlcv a left join (ohlcv b join trades c on b.symbol = 'ETH/USDT') on a.symbol = b.symbol",
    "select x.n from (select count(*) n from trades where symbol = 'BTC/USDT' limit 1) x, lateral (select x.n) y",
]


@pytest.mark.parametrize("query", SAME)
def test_an_answer_from_fewer_rows_is_the_same(lake, query, monkeypatch):
    pruned = lake.sql(query).fetchall()
    monkeypatch.setattr(sql, "wanted_parts", lambda _connection, views, text, _values: sql._all_named(views, text))
    assert pruned == lake.sql(query).fetchall()


def test_a_query_that_is_nested_too_deep_to_look_into_is_answered_or_refused(lake):
    query = "select count(*) from trades where " + "(" * 400 + "exchange = 'y'" + ")" * 400
    assert lake.sql(query).fetchone() == (200,)
