"""Write a golden lake: ``python tests/golden/build_golden.py FOLDER``.

Every schema of the catalog and every format of segments has one, written by the Ticklake that brought it and never
written again: whatever comes later must read it. ``expected.json`` beside the lake says what was put in.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl

from ticklake.app import open_lake
from ticklake.catalog.audit_log import AuditLog
from ticklake.catalog.tokens import SessionTable, TokenTable
from ticklake.config import Settings
from ticklake.core.access import Role
from ticklake.core.audit_log import AuditEntry
from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.tokens import digest_of

START = 1_704_067_200 * 10**9
"""2024-01-01."""
MINUTE, SECOND = 60 * 10**9, 10**9
RULE = "tens"
BARS, TICKS, PRINTS, BOOK, FUNDING = (
    "kraken:ohlcv:1m:BTC/EUR",
    "binance:trades:BTC/USDT:USDT",
    "kraken:trades:ÅÄÖ/EUR",
    "binance:book:ETH/BTC",
    "binance:funding:BTC/USDT:USDT",
)


def frame(times, **columns):
    return pl.DataFrame({"ts": times, **columns}).with_columns(pl.col("ts").cast(TIME))


def bars(first, last, bump=0.0):
    numbers = range(first, last)
    opens = [100 + (n * 7919 % 101) / 8 + bump for n in numbers]
    return frame(
        [START + n * MINUTE for n in numbers],
        open=opens,
        high=[price + 1 for price in opens],
        low=[price - 0.125 for price in opens],
        close=[price + 0.5 for price in opens],
        volume=[None if n % 7 == 0 else n / 16 for n in numbers],
        trades=[n % 5 for n in numbers],
    )


def trades(first, last, *, ids):
    numbers = range(first, last)
    return frame(
        [START + n // 3 * SECOND for n in numbers],
        id=pl.Series([f"t{n}" if ids else None for n in numbers], dtype=pl.String),
        price=[50 + n % 4 / 4 for n in numbers],
        amount=[1.5 if n % 3 else 0.001 for n in numbers],
        side=[("buy", "sell", None)[n % 3 if n % 9 else 2] for n in numbers],
    )


def book(seq):
    return frame(
        [START + seq * SECOND] * 4,
        seq=[seq] * 4,
        side=["bid", "bid", "ask", "ask"],
        price=[0.028, 0.0279, 0.0281 + seq / 10**6, 0.0282],
        amount=[1.0, 2.0, 3.0, 0.0],
        count=[1, None, 3, 4],
        is_snapshot=[seq == 0] * 4,
    )


def fill(lake):
    """Put everything in that a lake can hold: files, inline rows, replaced rows, refused rows, coverage."""
    origin = Provenance("file", "golden.csv", "golden 1", note="öffentlich")
    lake.save(BARS, bars(0, 200), origin)
    lake.save(BARS, bars(600, 640), origin)
    lake.save(TICKS, trades(0, 90, ids=True), Provenance("user", id_space="agg"))
    lake.save(PRINTS, pl.concat([trades(0, 30, ids=False)] * 2), origin)
    lake.compact()
    derived = replace(Dataset.parse(BARS), variant="from_trades")
    lake.engine.append(derived, bars(0, 100, bump=1.0), origin)
    lake.derive(RULE, TICKS, "10s")
    lake.features.register("momentum", 1, "x")
    lake.derived.refresh()
    lake.compact()
    yield
    lake.save(BARS, bars(150, 160, bump=2.0), "user")
    lake.save(BARS, bars(200, 260), "user")
    lake.save(BARS, bars(300, 301).with_columns(high=pl.lit(1.0)), "user")
    lake.save(BOOK, pl.concat([book(0), book(1)]), origin)
    lake.save(FUNDING, frame([START + h * 3600 * SECOND + h for h in range(0, 80, 8)], rate=[0.0001] * 10), origin)
    looked = [
        Covered(Span(START, START + 700 * MINUTE)),
        Covered(Span(START - 600 * MINUTE, START), Found.UNAVAILABLE, "not served any more"),
    ]
    empty = Dataset.parse(BARS).spec.empty()
    lake.engine.append(Dataset.parse(BARS), empty, origin, looked)
    lake.delete(TICKS, START + 5 * SECOND, START + 8 * SECOND)
    lake.derived.refresh()
    let_callers_in(lake)
    yield


def let_callers_in(lake):
    """Put in what a server knows of its callers."""
    database, now = lake.engine.catalog.database, lake.engine.now
    tokens = TokenTable(database, now)
    gone = tokens.add("gone", Role.ADMIN, digest_of("gone"), None)
    tokens.revoke("gone")
    kept = tokens.add("kept", Role.COLLECT, digest_of("kept"), START + 10**18)
    SessionTable(database, now).add(digest_of("session"), kept.id, START + 10**18)
    AuditLog(database).add([AuditEntry(START, gone.name, gone.role.value, "127.0.0.1", "POST", "/api/v1/jobs", 201)])


def told(lake):
    """Everything the lake answers, as JSON."""
    answer = {}
    for dataset in lake.datasets():
        rows = lake.load(dataset, provenance=True).with_columns(pl.selectors.temporal().to_physical())
        answer[str(dataset)] = {
            "rows": rows.rows(),
            "coverage": [[c.span.start, c.span.end, c.found, c.reason] for c in lake.coverage(dataset).pieces],
            "quarantine": [[row["ts"], row["reason"], row["row"]] for row in lake.quarantine(dataset)],
            "revisions": [[row["ts"], row["before"], row["after"]] for row in lake.revisions(dataset)],
            "missing": [[span.start, span.end] for span in lake.missing_intervals(dataset)],
        }
    return answer


def main():
    folder = Path(sys.argv[1])
    clock = iter(range(START + 10**15, START + 2 * 10**15, SECOND))
    expected = {}
    with open_lake(folder / "lake", settings=Settings(), clock=lambda: next(clock)) as lake:
        for _ in fill(lake):
            expected[str(lake.engine.catalog.version())] = told(lake)
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
