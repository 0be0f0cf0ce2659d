"""CSV for spreadsheets: text that one would execute is escaped where that is asked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.interfaces.cli.main import app

TRADES = "x:trades:A/B"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    with open_lake(tmp_path / "lake") as lake:
        lake.save(TRADES, [{"ts": "2024-01-01T00:00:00Z", "id": "=1+1", "price": 1.5, "amount": 2.0}])
    return lambda *arguments: CliRunner().invoke(app, ["read", TRADES, *arguments])


def test_text_is_escaped_on_request_only(shell):
    assert "'=1+1" not in shell("--format", "csv").stdout
    header, row = shell("--format", "csv", "--safe").stdout.splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["id"] == "'=1+1"
    assert row.startswith("2024-01-01T00:00:00Z,")


def test_other_formats_need_no_escape(shell):
    refused = shell("--format", "json", "--safe")
    assert (refused.exit_code, "--safe is for csv, not for json" in refused.stderr) == (2, True)
