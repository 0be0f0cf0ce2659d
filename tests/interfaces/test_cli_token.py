"""The shell's commands about tokens and the audit log."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ticklake.app import open_lake
from ticklake.catalog.audit_log import AuditLog
from ticklake.core.audit_log import AuditEntry
from ticklake.core.tokens import digest_of, looks_like_token
from ticklake.interfaces.cli.main import app


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKLAKE_LAKE", str(tmp_path / "lake"))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(arguments))


def answer(result, code=0):
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_token_is_printed_once_and_stored_nowhere(shell, tmp_path):
    created = shell("token", "create", "dash", "--role", "read")
    secret = created.stdout.strip()
    assert (created.exit_code, looks_like_token(secret)) == (0, True)
    shown = shell("token", "list").output + shell("token", "list", "--json").output
    assert "dash" in shown
    assert secret not in shown
    stored = b"".join(path.read_bytes() for path in (tmp_path / "lake").iterdir() if path.is_file())
    assert secret.encode() not in stored
    assert digest_of(secret).encode() in stored


def test_tokens_are_made_listed_and_revoked_as_json(shell):
    created = answer(shell("token", "create", "dash", "--role", "collect", "--expires", "30d", "--json"))
    assert looks_like_token(created.pop("token"))
    [listed] = answer(shell("token", "list", "--json"))
    assert listed == {**created, "state": "valid"}
    assert (listed["name"], listed["role"], listed["revoked_at"], listed["used_at"]) == ("dash", "collect", None, None)
    revoked = answer(shell("token", "revoke", "dash", "--json"))
    assert revoked["revoked_at"]
    assert answer(shell("token", "list", "--json"))[0]["state"] == "revoked"
    assert shell("token", "revoke", "dash").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "dash", "--role", "root"), "--role 'root' is none: write read, collect, admin"),
        (("create", "a b", "--role", "read"), "is no name of a token"),
        (("create", "dash", "--role", "read", "--expires", "0s"), "is over at once"),
        (("create", "dash", "--role", "read", "--expires", "30"), "30"),
    ],
)
def test_what_cannot_be_meant_is_refused(shell, arguments, words):
    refused = shell("token", *arguments)
    assert refused.exit_code == 2, refused.output
    assert words in refused.stderr


def test_the_audit_log_is_shown(shell, tmp_path):
    with open_lake(tmp_path / "lake") as lake:
        log = AuditLog(lake.engine.catalog.database)
        log.add([AuditEntry(10**18, "dash", "admin", "127.0.0.1", "POST", "/api/v1/jobs", 201, "job 1")])
    [entry] = answer(shell("audit", "--json"))
    assert (entry["at"], entry["caller"], entry["detail"]) == ("2001-09-09T01:46:40Z", "dash", "job 1")
    assert "/api/v1/jobs" in shell("audit", "--last", "1").stdout
