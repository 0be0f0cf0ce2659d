"""The command serve refuses what would let everybody in."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.config import ServerSettings
from ticklake.interfaces.api.run import listen
from ticklake.interfaces.cli.main import app


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    open_lake(tmp_path / "lake").close()
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_public_address_is_refused_in_one_line_with_the_cure(shell, host):
    refused = shell("serve", "--host", host, "--port", "0")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert f"--host {host!r} is reached from other machines, and the lake has no valid token" in refused.stderr
    assert "'ticklake token create NAME --role read'" in refused.stderr


def test_a_public_address_cannot_be_served_without_tokens(shell):
    shell("token", "create", "dash", "--role", "read")
    refused = shell("serve", "--host", "0.0.0.0", "--port", "0", "--no-require-token")
    assert (refused.exit_code, "leave it out" in refused.stderr) == (2, True)


def test_what_is_no_address_is_refused(shell):
    refused = shell("serve", "--host", "nowhere.example", "--port", "0")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_a_typing_error_makes_no_lake(shell, tmp_path):
    refused = shell("serve", "--port", "0", "--lake", str(tmp_path / "lkae"))
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "'ticklake init' makes one" in refused.stderr
    assert not (tmp_path / "lkae").exists()


def test_to_collect_a_new_lake_is_made_and_that_is_said(shell, tmp_path):
    # It goes no further, as a public address needs a token.
    refused = shell("serve", "--host", "0.0.0.0", "--port", "0", "--collect", "--lake", str(tmp_path / "new"))
    made, reason = refused.stderr.splitlines()[-2:]
    assert made == f"made a new lake in {tmp_path / 'new'}"
    assert "no valid token" in reason


def test_whoever_is_told_the_address_can_connect_at_once():
    with listen(ServerSettings(port=0)) as listening:
        # Refused, if only uvicorn began to listen, some milliseconds later.
        socket.create_connection(listening.getsockname(), timeout=1).close()
