"""Tokens, sessions and the audit log in the catalog."""

from dataclasses import replace

import pytest

from ticklake.catalog import audit_log
from ticklake.catalog.audit_log import AuditLog
from ticklake.catalog.database import Database
from ticklake.catalog.tokens import SessionTable, TokenTable
from ticklake.core.access import Role
from ticklake.core.audit_log import AuditEntry
from ticklake.errors import BadInput, CatalogDamaged


class Clock:
    now = 1000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    opened = Database.in_file(tmp_path / "catalog.db")
    yield opened
    opened.close()


@pytest.fixture
def tokens(database, clock):
    return TokenTable(database, clock)


@pytest.fixture
def sessions(database, clock):
    return SessionTable(database, clock)


def test_a_token_is_listed_as_it_was_added(tokens):
    added = tokens.add("dash", Role.READ, "d1", 5000)
    [stored] = tokens.list()
    assert (stored.token, stored.digest) == (added, "d1")
    assert (added.name, added.role, added.created_at, added.expires_at) == ("dash", Role.READ, 1000, 5000)
    assert (added.revoked_at, added.used_at) == (None, None)


def test_a_name_is_free_again_once_its_token_is_revoked(tokens, clock):
    first = tokens.add("dash", Role.READ, "d1", None)
    with pytest.raises(BadInput, match=r"there is a token 'dash' already: revoke it first"):
        tokens.add("dash", Role.READ, "d2", None)
    clock.now = 2000
    assert tokens.revoke("dash").revoked_at == 2000
    second = tokens.add("dash", Role.ADMIN, "d2", None)
    assert [stored.token.id for stored in tokens.list()] == [first.id, second.id]
    with pytest.raises(BadInput, match=r"no token 'other' to revoke"):
        tokens.revoke("other")


def test_the_use_of_a_token_is_recorded(tokens, clock):
    added = tokens.add("dash", Role.READ, "d1", None)
    clock.now = 3000
    tokens.mark_used([added.id])
    assert tokens.list()[0].token.used_at == 3000


def test_a_session_stands_for_its_token_until_it_expires(tokens, sessions, clock):
    added = tokens.add("dash", Role.READ, "d1", None)
    sessions.add("s1", added.id, 2000)
    assert sessions.token_of("s1") == added.id
    assert sessions.token_of("s2") is None
    clock.now = 2000
    assert sessions.token_of("s1") is None


def test_a_session_ends_when_it_is_removed_or_its_token_revoked(tokens, sessions):
    added = tokens.add("dash", Role.READ, "d1", None)
    sessions.add("s1", added.id, 2000)
    sessions.add("s2", added.id, 2000)
    sessions.remove("s1")
    assert (sessions.token_of("s1"), sessions.token_of("s2")) == (None, added.id)
    tokens.revoke("dash")
    assert sessions.token_of("s2") is None


def test_a_token_that_another_program_changed_is_damage_and_no_token(tokens, database):
    tokens.add("dash", Role.READ, "d1", None)
    with database.driver_connection() as driver:
        driver.execute("DROP TRIGGER IF EXISTS temp.tokens_changed")
        driver.execute("UPDATE tokens SET role = 'admin'")
    with pytest.raises(CatalogDamaged, match="of tokens is not what was written"):
        tokens.list()


ENTRY = AuditEntry(5, "dash", "admin", "127.0.0.1", "POST", "/api/v1/jobs", 201, "job 1")
REFUSED = replace(ENTRY, status=401, detail="")
QUERY = replace(ENTRY, status=200, is_query=True)


def test_entries_are_returned_newest_first(database):
    log = AuditLog(database)
    log.add([ENTRY, REFUSED, QUERY])
    newest, *older = log.newest(10)
    assert [replace(entry, id=0) for entry in (newest, *older)] == [QUERY, REFUSED, ENTRY]
    assert log.newest(10, before=newest.id) == older
    assert log.newest(1) == [newest]


def test_the_log_is_bounded_and_neither_refusals_nor_queries_push_out_deeds(database, monkeypatch):
    monkeypatch.setattr(audit_log, "KEPT", 3)
    monkeypatch.setattr(audit_log, "KEPT_MINOR", 2)
    monkeypatch.setattr(audit_log, "_TRIMMED_AFTER", 0)
    log = AuditLog(database)
    log.add([ENTRY] * 5)
    log.add([REFUSED, QUERY] * 20)
    assert [entry.is_minor for entry in log.newest(100)] == [True, True, False, False, False]
