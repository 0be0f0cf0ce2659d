"""The pages that show the API: they ask nobody but this server, and no script stands in them."""

from __future__ import annotations

import re

import pytest

from ticklake.app import memory_lake


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_all_that_a_page_needs_comes_from_this_server(serve, page):
    with memory_lake() as lake:
        client = serve(lake)
        root = str(client.base_url).removesuffix("/api/v1/")
        text = client.get(f"{root}{page}").text
        assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=", text) == []
        addresses = re.findall(r'(?:src|href|spec-url)="([^"]*)"', text)
        assert len(addresses) >= 3
        for address in addresses:
            assert address.startswith("/")
            answer = client.get(f"{root}{address}")
            assert (answer.status_code, len(answer.content) > 50) == (200, True)


def test_no_other_file_is_an_asset(serve):
    with memory_lake() as lake:
        client = serve(lake)
        root = str(client.base_url).removesuffix("/api/v1/")
        for name in ("core.py", "..%2fcore.py", "%2e%2e/core.py", "swagger-ui.css%00"):
            assert client.get(f"{root}/docs/assets/{name}").status_code == 404
