"""Tools for language models, by the real client over standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from ticklake.app import open_lake
from ticklake.core.time import DAY, HOUR, parse_time

BARS, TRADES = "x:ohlcv:1h:BTC/USDT", "x:trades:BTC/USDT"
START = parse_time("2024-01-01")
COMMAND = Path(sys.executable).parent / "ticklake"
CALLS = {
    "list": ("list", {}),
    "search": ("list", {"search": "trades", "limit": 1}),
    "describe": ("describe", {"dataset": BARS}),
    "condition": ("condition", {"dataset": BARS, "limit": 2}),
    "gaps": ("gaps", {"dataset": BARS}),
    "estimate": ("estimate", {"dataset": TRADES, "start": "2024-01-01", "end": "2024-01-02"}),
    "query": ("query", {"sql": "select count(*) as n, max(price) as top from trades where symbol = 'BTC/USDT'"}),
    "cut": ("query", {"sql": "select id from trades order by ts", "limit": 3}),
    "long": ("query", {"sql": "select repeat('x', 2000) as text from trades", "limit": 500}),
    "snippet": ("snippet", {"dataset": BARS, "start": "2024-01-01T02:00:00Z", "columns": "ts, close"}),
    "snippet of bars": ("snippet", {"dataset": TRADES, "resample": "1h"}),
    "snippet of sql": ("snippet", {"sql": "select 'it''s' as \"a b\""}),
    "unknown": ("describe", {"dataset": "x:ohlcv:1h:BTC/USD"}),
    "write": ("query", {"sql": "copy (select 1) to '/tmp/ticklake-mcp-written'"}),
    "file": ("query", {"sql": "select * from read_text('/etc/hostname')"}),
    "bad time": ("snippet", {"dataset": BARS, "start": "'); import os; ('"}),
    "bad limit": ("list", {"limit": 0}),
    "bad argument": ("list", {"limit": "many"}),
    "no such argument": ("query", {"query": "select 1"}),
    "one large row": ("query", {"sql": "select repeat('x', 70000) as text from trades", "limit": 10}),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("mcp") / "lake"
    with open_lake(root) as lake:
        hours = [hour for hour in range(72) if hour not in (30, 31)]
        bars = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}
        lake.save(BARS, [{"ts": START + hour * HOUR, **bars} for hour in hours])
        lake.save(
            TRADES, [{"ts": START + n * DAY // 900, "id": str(n), "price": 1.0 + n, "amount": 1.0} for n in range(900)]
        )
    return root


@pytest.fixture(scope="module")
def session(lake):
    """The tools of a server, and the answer to each call, whether it is an error, and what the server printed."""

    async def ask():
        server = StdioServerParameters(
            command=str(COMMAND), args=["mcp", "--lake", str(lake)], env=dict(os.environ), cwd=lake.parent
        )
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            answers = {}
            for name, (tool, arguments) in CALLS.items():
                result = await client.call_tool(tool, arguments)
                answers[name] = (result.content[0].text, result.is_error)
            return tools, answers

    return asyncio.run(asyncio.wait_for(ask(), 60))


@pytest.fixture(scope="module")
def answers(session):
    return session[1]


def good(answers, name):
    text, is_error = answers[name]
    assert not is_error, text
    return json.loads(text)


def test_all_tools_say_that_they_only_read_and_what_they_take(session):
    tools, _ = session
    assert [tool.name for tool in tools] == ["list", "describe", "condition", "gaps", "estimate", "query", "snippet"]
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert tools[1].input_schema["required"] == ["dataset"]


def test_datasets_are_listed_with_what_is_left_out(answers):
    listed = good(answers, "list")
    assert [row["dataset"] for row in listed["data"]] == [BARS, TRADES]
    assert (listed["rows"], listed["complete"], listed["data"][1]["rows"]) == (2, True, 900)
    assert good(answers, "search")["data"][0]["dataset"] == TRADES


def test_a_dataset_is_described_with_its_columns_and_newest_rows(answers):
    told = good(answers, "describe")
    assert (told["dataset"], told["holds"]["rows"], len(told["data"])) == (BARS, 70, 5)
    assert told["columns"]["close"] == "Float64"
    assert told["data"][-1]["ts"] == "2024-01-03T23:00:00Z"


def test_what_is_missing_is_told_by_day_and_by_hole(answers):
    condition = good(answers, "condition")
    assert (condition["rows"], condition["complete"], sum(condition["days_by_condition"].values())) == (2, False, 3)
    assert "2 of 3" in condition["note"]
    (hole,) = good(answers, "gaps")["data"]
    assert (hole["start"], hole["end"]) == ("2024-01-02T06:00:00Z", "2024-01-02T08:00:00Z")


def test_a_read_is_estimated(answers):
    assert good(answers, "estimate")["rows"] > 0


def test_queries_are_answered_and_cut_aloud(answers):
    assert good(answers, "query")["data"] == [{"n": 900, "top": 900.0}]
    cut = good(answers, "cut")
    assert ([row["id"] for row in cut["data"]], cut["complete"]) == (["0", "1", "2"], False)
    assert "3 of 900" in cut["note"]
    long, _ = answers["long"]
    assert (len(long) <= 60_000, json.loads(long)["complete"]) == (True, False)
    assert "alone is larger than 60,000" in good(answers, "one large row")["note"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown", "UnknownDataset"),
        ("write", "InvalidQuery"),
        ("file", "InvalidQuery"),
        ("bad time", "InvalidTime"),
        ("bad limit", "limit=0"),
        ("bad argument", "BadInput: limit: "),
        ("no such argument", "there is no argument 'query'; query takes sql, limit"),
    ],
)
def test_errors_reach_the_model_in_plain_words(answers, name, words):
    text, is_error = answers[name]
    assert is_error
    assert words in text
    assert "\n" not in text
    assert "pydantic" not in text
    assert not Path("/tmp/ticklake-mcp-written").exists()


def test_snippets_run(answers, tmp_path):
    codes = []
    for name in ("snippet", "snippet of bars", "snippet of sql"):
        text, is_error = answers[name]
        assert not is_error
        codes.append(text.replace("print(rows)", "print(rows.shape)"))
    command = [sys.executable, "-c", "\n".join(codes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.splitlines() == ["(68, 2)", "(24, 8)", "(1, 1)"], done.stderr


def test_without_the_package_the_command_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['mcp'] = None; sys.argv = ['ticklake', 'mcp']; from ticklake.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "pip install 'ticklake[mcp]'" in done.stderr
