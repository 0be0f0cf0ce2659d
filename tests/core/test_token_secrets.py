"""Tokens are found by their secret while they are valid."""

import pytest

from ticklake.core.access import Role
from ticklake.core.redact import redacted
from ticklake.core.tokens import (
    NewToken,
    StoredToken,
    Token,
    check_name,
    digest_of,
    find_token,
    looks_like_token,
    parse_role,
)
from ticklake.errors import BadInput

SECRET = "tl_" + "a" * 43
TOKEN = Token(1, "dash", Role.READ, created_at=10)


def stored(secret=SECRET, **values):
    return StoredToken(Token(1, "dash", Role.READ, created_at=10, **values), digest_of(secret))


def test_a_token_is_found_by_its_secret_alone():
    both = [stored("tl_other"), stored()]
    assert find_token(both, SECRET, now=20) is both[1].token
    assert find_token(both, SECRET[:-1] + "b", now=20) is None
    assert find_token([], SECRET, now=20) is None
    assert find_token(both, "", now=20) is None


def test_an_expired_or_revoked_token_is_not_found():
    assert find_token([stored(expires_at=21)], SECRET, now=20) is not None
    assert find_token([stored(expires_at=20)], SECRET, now=20) is None
    assert find_token([stored(revoked_at=15)], SECRET, now=20) is None


def test_a_secret_that_is_no_unicode_is_unknown():
    assert find_token([stored()], "\udcff", now=20) is None


def test_neither_repr_nor_notebook_shows_the_secret():
    new = NewToken(TOKEN, SECRET)
    assert SECRET not in repr(new) + str(new) + new._repr_html_()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"/a/{SECRET}?b", "/a/tl_***?b"),
        (f"token {SECRET[:30]} x", "token tl_*** x"),
        ("/api/tl_short", "/api/tl_short"),
    ],
)
def test_what_looks_like_a_token_is_not_shown(text, shown):
    assert redacted(text) == shown


def test_a_token_is_recognised():
    assert looks_like_token(SECRET)
    assert not looks_like_token(SECRET + "a")
    assert not looks_like_token("x" + SECRET)


@pytest.mark.parametrize("name", ["", "a b", "../x", "a\n", "-a", "x" * 65, None, "é"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(BadInput, match="is no name of a token"):
        check_name(name)


def test_a_token_in_the_place_of_a_name_is_refused_and_not_repeated():
    with pytest.raises(BadInput, match="this is a token and no name") as refused:
        check_name(SECRET)
    assert SECRET not in str(refused.value)


def test_an_unknown_role_is_refused_with_those_that_there_are():
    assert parse_role("collect") is Role.COLLECT
    with pytest.raises(BadInput, match="role='root' is none: write read, collect, admin"):
        parse_role("root")
