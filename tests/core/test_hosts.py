"""Which hosts and pages a server answers to."""

import pytest

from ticklake.core.hosts import AllowedHosts, foreign_page, host_name, is_loopback

LOCAL = AllowedHosts("127.0.0.1")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8470", "127.0.0.1"),
        ("[::1]:8470", "::1"),
        ("[::1]", "::1"),
        ("LOCALHOST", "localhost"),
        ("a_b.example.com:1", "a_b.example.com"),
        *((bad, None) for bad in ("", ":80", "a b", "a/b", "a@b", "a:b", "[::1", "::1", "a:1:2", "a\n", "a:123456")),
    ],
)
def test_the_name_in_a_host_header(header, name):
    assert host_name(header) == name


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_answered_everywhere(name):
    assert is_loopback(name)
    assert all(AllowedHosts(listening).includes(name) for listening in ("127.0.0.1", "::1", "0.0.0.0", "192.168.1.5"))


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""])
def test_other_names_are_not_answered_on_loopback(name):
    assert not is_loopback(name)
    assert not LOCAL.includes(name)


def test_a_server_on_all_addresses_is_reached_by_any_address_but_not_by_any_name():
    everywhere = AllowedHosts("0.0.0.0")
    assert everywhere.includes("192.168.1.5")
    assert everywhere.includes("fe80::1")
    assert not everywhere.includes("evil.example")
    assert AllowedHosts("192.168.1.5").includes("192.168.1.5")
    assert not AllowedHosts("192.168.1.5").includes("192.168.1.6")


def test_configured_names_are_answered():
    hosts = AllowedHosts("127.0.0.1", ("Lake.example.com", "*.home"))
    assert [hosts.includes(name) for name in ("lake.example.com", "a.home", "a.b.home")] == [True] * 3
    assert [hosts.includes(name) for name in ("x.lake.example.com", "home", "xhome", "example.com")] == [False] * 4


def page(method="POST", allowed=(), **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return foreign_page(method, {"host": "localhost:8470", **named}, frozenset(allowed))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8470"},
        {"origin": "HTTP://LocalHost:8470"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"host": "lake.example.com", "origin": "https://lake.example.com"},
        {"host": "lake.example.com:443", "origin": "https://lake.example.com"},
        {"host": "lake.example.com", "origin": "http://lake.example.com:80"},
    ],
)
def test_programs_and_own_pages_are_not_foreign(headers):
    assert page(**headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:3000"},
        {"origin": "http://localhost"},
        {"origin": "file://localhost:8470"},
        {"origin": "http://localhost:8470.evil.example"},
        {"origin": "http://evil.example", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
    ],
)
def test_pages_of_others_are_foreign(headers):
    assert page(**headers) is not None


def test_an_allowed_origin_is_not_foreign():
    assert page(origin="https://dash.example", allowed=["https://dash.example"]) is None
    assert page(origin="https://dash.example:444", allowed=["https://dash.example"]) == "https://dash.example:444"


def test_a_link_on_another_page_may_be_followed_but_nothing_embedded():
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert page("GET", **link, sec_fetch_dest="document") is None
    assert page("GET", **link, sec_fetch_dest="iframe") == "a cross-site page"
    assert page("GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image") is not None
