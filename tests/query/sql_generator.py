"""Random SQL: much of it valid, some of it greedy, some of it after files, settings and other statements."""

from __future__ import annotations

import random

VIEWS = {
    "ohlcv": ["exchange", "symbol", "timeframe", "ts", "open", "high", "close", "volume", "trades"],
    "trades": ["exchange", "symbol", "ts", "id", "price", "amount", "side"],
    "quotes": ["exchange", "symbol", "ts", "bid_price", "ask_price"],
    "funding": ["exchange", "symbol", "ts", "rate", '"interval"'],
    '"ohlcv@from_trades"': ["symbol", "variant", "ts", "close"],
    "datasets": ["dataset", "rows", "bytes", "first"],
    "coverage": ["dataset", "start", "found"],
}
LITERALS = ["1", "-7", "0", "1e300", "NULL", "TRUE", "'BTC/USDT'", "'1h'", "''", "'x'", "DATE '2024-01-02'", "INTERVAL 1 DAY", "[1, 2]", "{'a': 1}"]  # fmt: skip
FUNCTIONS = ["sum", "count", "max", "min", "avg", "list", "string_agg", "first", "length", "upper", "hash", "md5", "abs", "typeof", "epoch_ns", "date_trunc", "unnest", "to_json", "histogram", "approx_quantile", "getenv", "current_setting", "pg_typeof", "regexp_extract"]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "=", "<>", "<", ">=", "AND", "OR", "||", "LIKE", "IN", "IS NOT", "~~", "^@", "BETWEEN", "COLLATE"]  # fmt: skip
GREEDY = ["repeat('x', {n})", "list_resize([1], {n})", "range({n})", "rpad('', {n}, 'y')", "array_to_string(range({n}), ',')", "format('{{:>{n}}}', 1)"]  # fmt: skip
SIZES = [10, 10_000, 10_000_000, 1_000_000_000, 10**12]
TABLES = ["range({n})", "generate_series(1, {n})", "unnest(range({n}))", "duckdb_settings()", "duckdb_functions()", "pragma_table_info('trades')", "information_schema.columns", "sqlite_master", "repeat_row(1, num_rows = {n})", "test_all_types()"]  # fmt: skip
FILES = ["read_text('{file}')", "read_blob('{file}')", "read_csv('{file}')", "read_parquet('{lake}/**/*.parquet')", "glob('{lake}/*')", "'{file}'", "read_json('{file}')", "read_csv('/proc/self/environ')", "parquet_metadata('{lake}/**/*.parquet')", "sniff_csv('{file}')", "sqlite_scan('{lake}/catalog.db', 'segments')", "read_text(['{file}', '{out}'])"]  # fmt: skip
STATEMENTS = ["COPY ({q}) TO '{out}'", "COPY trades FROM '{file}'", "COPY (SELECT 1) TO '{segment}' (FORMAT parquet, USE_TMP_FILE false)", "CREATE TABLE t AS {q}", "CREATE VIEW trades AS {q}", "ATTACH '{out}' AS other", "ATTACH '{lake}/catalog.db' (TYPE sqlite)", "SET enable_external_access = true", "SET lock_configuration = false", "SET memory_limit = '100GB'", "RESET ALL", "PRAGMA enable_object_cache", "INSTALL httpfs", "LOAD '{out}'", "EXPORT DATABASE '{out}'", "DROP VIEW trades", "INSERT INTO trades {q}", "DELETE FROM trades", "VACUUM", "CALL pragma_version()", "EXPLAIN ANALYZE {q}", "EXPLAIN {q}", "SUMMARIZE {q}", "DESCRIBE {q}", "SHOW TABLES", "PIVOT trades ON side USING count(*)", "BEGIN", "USE memory", "PREPARE p AS {q}", "CREATE SECRET (TYPE s3)", "CREATE MACRO f(a) AS a", "IMPORT DATABASE '{lake}'"]  # fmt: skip
COMMENTS = ["", " /* ; COPY x TO 'y' */ ", " -- end\n", "\t", "\n\n"]


class Generator:
    """Makes queries; the same seed makes the same ones."""

    def __init__(self, seed: int, **paths: str) -> None:
        self._random = random.Random(seed)
        self._paths = {name: path.replace("'", "''") for name, path in paths.items()}

    def query(self) -> str:
        """Return the next one."""
        draw = self._random.random()
        if draw < 0.65:
            text = self._select(3)
        elif draw < 0.85:
            text = self._filled(self._choice(STATEMENTS)).replace("{q}", self._select(2))
        elif draw < 0.95:
            text = (
                f"WITH w AS ({self._filled(self._choice(STATEMENTS)).replace('{q}', self._select(1))}) SELECT * FROM w"
            )
        else:
            text = f"{self._select(1)};{self._choice(COMMENTS)}{self._select(1)}"
        if self._random.random() < 0.15:
            text = self._damaged(text)
        return f"{self._choice(COMMENTS)}{text}{self._choice(COMMENTS)}"

    def _choice(self, words):
        return self._random.choice(words)

    def _filled(self, text: str) -> str:
        text = text.replace("{n}", str(self._choice(SIZES)))
        for name, path in self._paths.items():
            text = text.replace(f"{{{name}}}", path)
        return text.replace("{{", "{").replace("}}", "}")

    def _select(self, depth: int) -> str:
        source, columns = self._source(depth)
        listed = ", ".join(self._expression(columns, depth) for _ in range(self._random.randint(1, 3)))
        text = f"SELECT {self._choice(['', '', 'DISTINCT '])}{self._choice([listed, listed, '*', 'count(*)'])} FROM {source}"
        if self._random.random() < 0.5:
            text += f" WHERE {self._condition(columns, depth)}"
        if self._random.random() < 0.2:
            text += " GROUP BY ALL"
        if self._random.random() < 0.2:
            text += f" ORDER BY {self._choice([*columns, 'ALL', '1'])}"
        if self._random.random() < 0.2:
            text += f" LIMIT {self._choice([0, 1, 100, 10**9])}"
        if depth > 1 and self._random.random() < 0.1:
            text = f"({text}) {self._choice(['UNION ALL', 'EXCEPT', 'INTERSECT', 'UNION BY NAME'])} ({self._select(depth - 1)})"
        if depth > 1 and self._random.random() < 0.05:
            text = f"WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a + 1 FROM r WHERE a < {self._choice(SIZES)}) SELECT count(*) FROM r, ({text})"
        return text

    def _source(self, depth: int):
        draw = self._random.random()
        if draw < 0.1:
            return self._filled(self._choice(TABLES)), ["1"]
        if draw < 0.2:
            return self._filled(self._choice(FILES)), ["content", "1"]
        if depth and draw < 0.35:
            return f"({self._select(depth - 1)}) s", ["1", "s"]
        name = self._choice(list(VIEWS))
        if draw < 0.55:
            other = self._choice(list(VIEWS))
            how = self._choice(
                ["JOIN", "LEFT JOIN", "FULL JOIN", "CROSS JOIN", "ASOF JOIN", "POSITIONAL JOIN", "SEMI JOIN", ","]
            )
            where = "" if how in ("CROSS JOIN", "POSITIONAL JOIN", ",") else " ON a.symbol = b.symbol AND a.ts >= b.ts"
            return f"{name} a {how} {other} b{where}", [f"a.{column}" for column in VIEWS[name]]
        return name, VIEWS[name]

    def _condition(self, columns, depth: int) -> str:
        draw = self._random.random()
        if draw < 0.3:
            return "symbol = 'BTC/USDT' AND ts >= '2024-01-01T01:00:00'"
        if draw < 0.4:
            return f"ts {self._choice(['<', '>=', '='])} now()::timestamp"
        if depth and draw < 0.5:
            return f"EXISTS ({self._select(depth - 1)})"
        return f"{self._expression(columns, depth)} {self._choice(OPERATORS)} {self._expression(columns, depth)}"

    def _expression(self, columns, depth: int) -> str:
        draw = self._random.random()
        if draw < 0.45 or not depth:
            return self._choice(columns)
        if draw < 0.6:
            return self._choice(LITERALS)
        if draw < 0.75:
            return f"{self._choice(FUNCTIONS)}({self._expression(columns, depth - 1)})"
        if draw < 0.8:
            return self._filled(self._choice(GREEDY))
        if draw < 0.85:
            return f"({self._select(depth - 1)})"
        if draw < 0.9:
            return f"row_number() OVER (PARTITION BY {self._choice(columns)} ORDER BY {self._choice(columns)})"
        return (
            f"({self._expression(columns, depth - 1)} {self._choice(OPERATORS)} {self._expression(columns, depth - 1)})"
        )

    def _damaged(self, text: str) -> str:
        """Return a text with some characters lost, doubled or replaced."""
        letters = list(text)
        for _ in range(self._random.randint(1, 4)):
            place = self._random.randrange(len(letters))
            letters[place] = self._choice(["", letters[place] * 2, "'", '"', "(", ";", "\0", "é", "$1", "\\"])
        return "".join(letters)
