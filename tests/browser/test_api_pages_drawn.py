"""The pages of the API are drawn under their own policy of what a page may load."""

from __future__ import annotations

import pytest

from ticklake.app import memory_lake
from ticklake.config import ServerSettings

from ..interfaces.api.conftest import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    with memory_lake() as lake, running(lake, ServerSettings(port=0)) as url:
        yield url


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_is_drawn_and_asks_no_other_server(chromium, url, page):
    tab = chromium.new_page()
    try:
        answered = []
        tab.on("response", lambda response: answered.append(response.url))
        tab.goto(f"{url}{page}")
        tab.get_by_text("Rows of several symbols").first.wait_for(state="attached")
        # ReDoc would like a picture of its maker's, which the policy of the page forbids.
        assert {address.startswith((url, "data:")) for address in answered} == {True}
    finally:
        tab.close()
