"""Pruning, tried on random joins and conditions: the answer from fewer rows is the answer from all."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.core.time import HOUR
from ticklake.errors import InvalidQuery
from ticklake.query import sql
from ticklake.testing.rows import START, bars

EXCHANGES, SYMBOLS, FRAMES = ("x", "y"), ("A/USDT", "B/USDT"), ("1h", "4h")
CONDITIONS = [
    "{t}symbol = 'A/USDT'",
    "{t}symbol <> 'A/USDT'",
    "{t}symbol IN ('A/USDT', 'C/USDT')",
    "{t}symbol LIKE 'B%'",
    "NOT {t}symbol = 'B/USDT'",
    "{t}symbol IS NULL",
    "{t}symbol IS NOT NULL",
    "coalesce({t}symbol, 'A/USDT') = 'A/USDT'",
    "({t}symbol = 'A/USDT' OR {t}exchange = 'y')",
    "({t}symbol = 'A/USDT' OR {t}ts > '2024-01-01T08:00')",
    "lower({t}exchange) = 'x'",
    "{t}exchange = {u}exchange",
    "{t}ts >= '2024-01-01T04:00:00'",
    "'2024-01-01T12:00:00' > {t}ts",
    "{t}ts BETWEEN '2024-01-01T04:00:00' AND '2024-01-01T09:00:00'",
    "{t}ts = '2024-01-01T04:00:00'",
    "{t}ts < now()::timestamp",
    "({t}ts IS NULL OR {t}ts < '2024-01-01T05:00')",
    "CASE WHEN {t}symbol = 'A/USDT' THEN true ELSE {t}exchange = 'x' END",
    "{t}symbol = (SELECT min(symbol) FROM ohlcv)",
    "EXISTS (SELECT 1 FROM trades s WHERE s.symbol = {t}symbol AND s.exchange = 'x')",
    "{t}symbol = $s",
    "concat({t}exchange, {t}symbol) = 'yA/USDT'",
    "{t}timeframe = '1h'",
    "coalesce({t}timeframe, '4h') = '4h'",
    "({t}variant IS NULL OR {t}timeframe LIKE '4%')",
]
JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN", "ASOF JOIN", "ASOF LEFT JOIN", "NATURAL JOIN", ","]  # fmt: skip
ON = ["{a}.ts = {b}.ts", "{a}.symbol = {b}.symbol", "{a}.exchange = {b}.exchange AND {a}.symbol = {b}.symbol", "{b}.symbol = 'A/USDT'", "{a}.exchange = 'x'", "{a}.ts = {b}.ts AND {a}.symbol = {b}.symbol"]  # fmt: skip
USING = ["symbol", "symbol, ts", "exchange, symbol, ts", "ts", "timeframe, symbol, ts"]
SCOPED = [
    "SELECT {value} AS {name}, count(*) FROM {view} WHERE {bare} GROUP BY 1",
    "SELECT o.symbol, o.ts, (SELECT count(*) FROM {view} WHERE {bare}) n FROM {other} o ORDER BY ALL",
    "SELECT count(*) FROM {other} o WHERE EXISTS (SELECT 1 FROM {view} t WHERE {bare})",
    "SELECT count(*), sum(l.n) FROM {other} o, LATERAL (SELECT count(*) n FROM {view} WHERE {bare}) l",
    "SELECT count(*) FROM {view} a, ({other} b JOIN {third} c USING ({using})) WHERE {bare}",
    "SELECT count(*) FROM {other} b {how} JOIN {third} c USING ({using}), {view} a WHERE {bare}",
    "SELECT count(*) FROM {view} a {how} JOIN ({other} b JOIN {third} c ON {nested}) ON {on}",
    "SELECT count(*) FROM {other} b JOIN {third} c ON {nested} {how} JOIN {view} a ON {on}",
]


@pytest.fixture(scope="module")
def lake():
    with memory_lake() as lake:
        number = 0
        for exchange in EXCHANGES:
            for symbol in SYMBOLS:
                number += 1
                for frame in FRAMES:
                    length = int(frame[0]) * HOUR
                    lake.save(f"{exchange}:ohlcv:{frame}:{symbol}", bars(0, 4, float(number), interval=length))
                times = [START + hour * HOUR + number for hour in range(0, 16, 5)] + [START + 4 * HOUR]
                rows = {
                    "ts": times,
                    "price": [1.0 + number] * 5,
                    "amount": [1.0] * 5,
                    "side": ["buy"] * 5,
                    "id": list("abcde"),
                }
                lake.save(f"{exchange}:trades:{symbol}", pl.DataFrame(rows))
        yield lake


def query_of(seed: int) -> str:
    """Return a query of one to three tables; what it answers does not depend on the order of rows."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return _scoped(draw)
    source, tables = _from(draw)
    conditions = []
    for _ in range(draw.randint(0, 3)):
        table, other = draw.choice(tables), draw.choice(tables)
        prefix = f"{table}." if len(tables) > 1 or draw.random() < 0.5 else ""
        if draw.random() < 0.1:
            prefix = ""
        conditions.append(draw.choice(CONDITIONS).format(t=prefix, u=f"{other}."))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    figures = ", ".join(f"count({table}.ts), sum(hash({table}.symbol) % 1000), min({table}.ts)" for table in tables)
    query = f"SELECT count(*), {figures} FROM {source}{where}"
    if draw.random() < 0.15:
        query = f"WITH w AS (SELECT * FROM ohlcv WHERE exchange = 'x') SELECT (SELECT count(*) FROM w), q.* FROM ({query}) q"
    return query


def _scoped(draw):
    """Return a query in which a name without a table may be that of another column than the view's."""
    values = {name: draw.choice(["ohlcv", "trades"]) for name in ("view", "other", "third")}
    values["name"], values["value"] = draw.choice(["timeframe", "variant", "symbol"]), draw.choice(["'1h'", "'A/USDT'"])
    values["bare"] = draw.choice(["{name} = {value}", "{name} <> {value}", "{name} IS NULL"]).format(**values)
    values["using"], values["how"] = draw.choice(USING), draw.choice(["", "LEFT", "RIGHT"])
    values["on"], values["nested"] = draw.choice(ON).format(a="a", b="b"), draw.choice(ON).format(a="b", b="c")
    return draw.choice(SCOPED).format(**values)


def _from(draw):
    names = ["a", "b", "c"][: draw.choice([1, 2, 2, 3])]
    views = {name: draw.choice(["ohlcv", "trades"]) for name in names}
    source, shown = f"{views['a']} a", ["a"]
    for name in names[1:]:
        how = draw.choice(JOINS)
        table = f"{views[name]} {name}"
        if draw.random() < 0.15:
            table = f"(SELECT * FROM {views[name]} WHERE {draw.choice(CONDITIONS[:5]).format(t='', u='')}) {name}"
        source = f"{source} {how} {table}{_condition(draw, how, shown[-1], name)}"
        if how not in ("SEMI JOIN", "ANTI JOIN"):
            shown.append(name)
    return source, shown


def _condition(draw, how, left, right):
    if how in ("CROSS JOIN", "NATURAL JOIN", ","):
        return ""
    if how.startswith("ASOF"):
        # Nearest rows are of one market, so that no two of them are equally near.
        names = "exchange, symbol, ts" if draw.random() < 0.5 else None
        if names:
            return f" USING ({names})"
        return f" ON {left}.exchange = {right}.exchange AND {left}.symbol = {right}.symbol AND {left}.ts >= {right}.ts"
    if draw.random() < 0.3:
        return f" USING ({draw.choice(USING)})"
    return f" ON {' AND '.join(draw.sample(ON, draw.randint(1, 2)))}".format(a=left, b=right)


def compare(lake, monkeypatch, seeds):
    """Answer queries with and without pruning; return how many were answered and of how many parts were left out."""
    answered = fewer = 0
    prune = sql.wanted_parts
    for seed in seeds:
        query = query_of(seed)
        values = {"s": "A/USDT"} if "$s" in query else None
        counts = []

        def noted(*arguments, counts=counts):
            parts = prune(*arguments)
            counts.append(sum(len(found) for found in parts.values()))
            counts.append(sum(low is not None for found in parts.values() for _, low, _ in found))
            return parts

        monkeypatch.setattr(sql, "wanted_parts", noted)
        try:
            pruned = lake.sql(query, values).fetchall()
        except InvalidQuery:
            continue
        monkeypatch.setattr(sql, "wanted_parts", lambda _connection, views, text, _values: sql._all_named(views, text))
        assert pruned == lake.sql(query, values).fetchall(), (seed, query)
        answered += 1
        fewer += counts[0] < 4 or counts[1] > 0
    return answered, fewer


def test_random_joins_answer_the_same_from_fewer_rows(lake, monkeypatch):
    answered, fewer = compare(lake, monkeypatch, range(32))
    assert answered > 5
    assert fewer > 1


@pytest.mark.trials
def test_thousands_of_random_joins_answer_the_same_from_fewer_rows(lake, monkeypatch):
    answered, fewer = compare(lake, monkeypatch, range(1000, 3000))
    assert answered > 700
    assert fewer > 150
