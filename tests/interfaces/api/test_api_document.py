"""The reference of HTTP is true: its examples run, and it names every route."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import polars as pl
import pytest

from ticklake.app import memory_lake
from ticklake.config import ServerSettings
from ticklake.core.time import HOUR, parse_time
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.openapi import TAGS

from .conftest import running

TEXT = (Path(__file__).parents[3] / "docs/reference/http.md").read_text()


@pytest.fixture(scope="module")
def url():
    start = parse_time("2024-01-01")
    rows = [
        {"ts": start + number * HOUR, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 9.0}
        for number in range(48)
    ]
    with memory_lake() as lake:
        lake.save("binance:ohlcv:1h:BTC/USDT", rows)
        lake.save("binance:ohlcv:1h:ETH/USDT", rows)
        with running(lake, ServerSettings(port=0)) as url:
            yield url


def test_the_examples_run(url, tmp_path):
    lines = re.findall(r"^\$ (curl .*)$", TEXT, flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line.replace("http://127.0.0.1:8470", url))
        run = subprocess.run(
            [*words, "--fail", "--silent", "--show-error"], cwd=tmp_path, capture_output=True, check=False
        )
        assert run.returncode == 0, (line, run.stderr)
    assert len((tmp_path / "btc.csv").read_text().splitlines()) == 25
    assert pl.read_ipc_stream(tmp_path / "both.arrow").height == 96


def test_every_route_of_a_read_stands_in_the_reference():
    with memory_lake() as lake:
        document = make_app(lake).openapi()
    missing = []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            short = path.removeprefix("/api/v1")
            # Parameters have shorter names there, and what is done with one thing stands behind it: `/jobs/{id}/start`, `/cancel`.
            parts = [part for part in short.split("/") if part and not part.startswith("{")]
            names = {short, short.removeprefix("/datasets/{name}") or short, f"/{parts[-1]}"}
            if operation["tags"][0] in TAGS and not any(re.search(rf"{re.escape(name)}[`,? ]", TEXT) for name in names):
                missing.append(short)
    assert missing == []


def test_every_status_of_a_problem_stands_in_the_reference():
    with memory_lake() as lake:
        document = make_app(lake).openapi()
    told = set(re.findall(r"\b[45]\d\d\b", TEXT))
    for methods in document["paths"].values():
        for operation in methods.values():
            problems = {status for status in operation["responses"] if status >= "400"}
            assert problems <= told | {"405", "408", "415"}


def test_whoever_opens_the_address_in_a_browser_gets_to_the_documentation(serve):
    with memory_lake() as lake:
        client = serve(lake)
        answer = client.get(client.base_url.join("/"), follow_redirects=True)
        assert answer.url.path == "/docs"
