"""The command ``book`` draws a ladder."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.core.time import parse_time
from ticklake.interfaces.cli.main import app

NAME = "kraken:book:BTC/USD"
START = parse_time("2024-05-01")


def level(ts: int, side: str, price: float, amount: float, *, whole: bool = False) -> dict:
    return {"ts": START + ts, "seq": START + ts, "side": side, "price": price, "amount": amount, "is_snapshot": whole}


def time(ns: int) -> str:
    return f"2024-05-01T00:00:00.{ns:09}Z"


@pytest.fixture
def shell(tmp_path):
    rows = [
        level(0, side, 100 + gap * sign, 1.5, whole=True)
        for side, sign in (("bid", -1), ("ask", 1))
        for gap in (0.5, 1, 2)
    ]
    with open_lake(tmp_path / "lake") as lake:
        lake.save(NAME, [*rows, level(1, "bid", 99.75, 40.0), level(9, "ask", 99.0, 1.0)])

    def run(*arguments: str):
        return CliRunner().invoke(app, ["book", "kraken", "BTC/USD", *arguments, "--lake", str(tmp_path / "lake")])

    return run


def test_asks_stand_above_bids_and_bars_grow_with_the_sums(shell):
    done = shell("--at", time(1), "--depth", "2")
    assert done.exit_code == 0, done.output
    head, columns, *asks, middle, best, worst = done.stdout.splitlines()
    assert head == "kraken:book:BTC/USD at 2024-05-01T00:00:00.000000001Z (proof: not offered)"
    assert columns.split() == ["price", "amount", "sum"]
    assert [line.split()[:3] for line in asks] == [["101.0", "1.5", "3.0"], ["100.5", "1.5", "1.5"]]
    assert middle == "spread 0.75  mid 100.125  microprice 100.4728916  imbalance +0.87"
    assert [line.split()[:3] for line in (best, worst)] == [["99.75", "40.0", "40.0"], ["99.50", "1.5", "41.5"]]
    assert len(asks[1].split()[3]) < len(asks[0].split()[3]) < len(best.split()[3]) < len(worst.split()[3])
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_is_wrong_with_a_book_is_said_beside_it(shell):
    assert "note: the book is crossed" in shell("--at", time(9)).stderr
    assert "note: nothing is known of the time after the last change" in shell().stderr
    empty = shell("--at", "2024-04-30")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "has no rows at or before" in empty.stderr


def test_rows_are_printed_where_a_format_is_named(shell, tmp_path):
    levels = json.loads(shell("--at", time(0), "--json").stdout)
    assert [found["price"] for found in levels] == [99.5, 99.0, 98.0, 100.5, 101.0, 102.0]
    shell("--at", time(0), "--output", str(tmp_path / "book.csv"))
    assert len((tmp_path / "book.csv").read_text().splitlines()) == 7


def test_a_word_that_names_no_knowledge_is_refused(shell):
    done = shell("--knowledge", "all")
    assert done.exit_code == 2
    assert "use one of default, received, event" in done.stderr
