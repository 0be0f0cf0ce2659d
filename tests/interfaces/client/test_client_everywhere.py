"""One scenario, asked at hand, over HTTP and in the shell (there of the lake and of its server): all answers are one."""

from __future__ import annotations

import inspect
import json
from typing import Any

import httpx
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.interfaces.client.scenario import BARS, BTC, NOON, QUESTIONS, QUOTES, TRADES, text
from ticklake.core.verbs import ReadVerbs
from ticklake.errors import TicklakeError
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.client.asking import VERBS
from ticklake.interfaces.client.wire import in_path, parameters
from ticklake.interfaces.schema import row_to_json, to_json

OTHERWISE = {
    "adjusted": "the verb is ohlcv",
    "book": "beside its levels it has facts, which the client reads",
    "books": "what means all levels or every message is a word there",
    "features.describe": "name and version are one name there",
    "features.latest": "name and version are one name there",
    "features.read": "name and version are one name there",
    "last_timestamp": "it is a field of what a dataset is",
    "panel": "a list of one column has a parameter of its own",
    "provenance": "at is a time of a row there, and of the version elsewhere",
    "resample": "a rule and its edges are parameters of their own there",
}
"""Verbs of the table whose parameters or answers have other names over HTTP: the client is asked these questions."""


def asked_over_http(question):
    """Return the path and the parameters of a question; nothing if it is asked in another way."""
    verb = VERBS.get(question.verb)
    if verb is None or question.verb in OTHERWISE:
        return None
    signature = inspect.signature(getattr(ReadVerbs, question.verb))
    bound = signature.bind(None, *question.arguments, **question.options).arguments
    bound.pop("self")
    sent = parameters(bound)
    places = {name: in_path(sent.pop(name)) for name in list(sent) if f"{{{name}}}" in verb.path}
    return verb.path.format(**places), sent


def plain(answer: Any) -> Any:
    if isinstance(answer, pl.LazyFrame):
        answer = answer.collect()
    return to_json(answer)


HTTP = [question for question in QUESTIONS if "." not in question.verb and asked_over_http(question)]


@pytest.mark.parametrize("question", HTTP, ids=lambda question: question.verb)
def test_http_answers_what_the_lake_answers(shared, question):
    lake, remote = shared
    path, sent = asked_over_http(question)
    answer = httpx.get(f"{remote._connection.url}/api/v1{path}", params=sent)
    told = answer.json()
    expected = answered(question, lake)
    if isinstance(expected, TicklakeError):
        assert (told["title"], told["detail"]) == (type(expected).__name__, str(expected))
    elif isinstance(expected, dict):
        # Of some results there is more to say over HTTP.
        assert {name: told["data"][name] for name in expected} == expected
    else:
        assert told["data"] == expected


def answered(question, lake):
    try:
        return plain(question.ask(lake))
    except TicklakeError as error:
        return error


def test_most_verbs_of_the_table_are_asked_over_http():
    assert {question.verb for question in HTTP} | set(OTHERWISE) >= set(VERBS) - {"derived.get", "derived.list", "features.list", "instruments.list", "latest", "stats"}  # fmt: skip


def named(dataset, rows):
    return [{"dataset": dataset, **row} for row in rows]


COMMANDS = {
    "list": (["list"], lambda lake: to_json(lake.inventory())),
    "read": (["read", TRADES, "--last", "5"], lambda lake: to_json(lake.load(TRADES, last=5))),
    "read a span": (["read", BARS, "--start", text(0), "--end", NOON, "--columns", "ts,close"], lambda lake: to_json(lake.load(BARS, text(0), NOON, columns=["ts", "close"]))),
    "gaps": (["gaps", BARS], lambda lake: named(BARS, to_json(lake.gaps(BARS)))),
    "quarantine": (["quarantine", BARS], lambda lake: named(BARS, [row_to_json(row) for row in lake.quarantine(BARS)])),
    "resample": (["resample", TRADES, "--to", "1h"], lambda lake: to_json(lake.resample(TRADES, "1h"))),
    "panel": (["panel", "binance", "BTC/USDT", "ETH/USDT", "-t", "1m", "--end", text(600 * 10**9)], lambda lake: to_json(lake.panel("binance", ["BTC/USDT", "ETH/USDT"], "1m", end=text(600 * 10**9)))),
    "book": (["book", *BTC, "--at", text(9 * 10**9)], None),
    "frame": (["frame", *BTC, "--at", text(9 * 10**9)], None),
    "stats": (["stats"], lambda lake: to_json(lake.stats())),
    "quality": (["quality", QUOTES], None),
    "provenance": (["provenance", TRADES], None),
    "features": (["features", "list"], None),
    "sql": (["sql", "select symbol, count(*) as n from ohlcv group by 1 order by 1"], lambda lake: to_json(lake.sql("select symbol, count(*) as n from ohlcv group by 1 order by 1").frame)),
    "unknown": (["read", "binance:trades:BTC/USD"], None),
}  # fmt: skip


@pytest.fixture(scope="module")
def now(shared):
    """Answers that say how fresh rows are differ by the time between them."""
    return {"freshness_seconds", "freshness_nanoseconds", "bars_behind"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_shell_prints_what_the_lake_answers_here_and_there(shared, now, command):
    lake, remote = shared
    arguments, expected = COMMANDS[command]
    printed = []
    for place in (str(lake.root), remote._connection.url):
        result = CliRunner().invoke(app, [*arguments, "--json", "--lake", place])
        printed.append((result.exit_code, without(result.stdout, now), result.stderr))
    assert printed[0] == printed[1]
    if expected is not None:
        assert json.loads(result.stdout) == expected(lake)


def without(printed: str, names) -> Any:
    if not printed.startswith(("[", "{")):
        return printed
    told = json.loads(printed)
    rows = told if isinstance(told, list) else [told]
    return [
        {name: value for name, value in row.items() if name not in names} if isinstance(row, dict) else row
        for row in rows
    ]
