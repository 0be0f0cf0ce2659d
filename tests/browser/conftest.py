"""A real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; skipped without it, except in CI, where it must be there.

    While it is open, Playwright's loop runs in this thread, and no other test could run one.
    """
    path = os.environ.get("TICKLAKE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("there is no chromium in CI: apt-get install chromium")
        pytest.skip("no browser: apt-get install chromium, or name one in TICKLAKE_TEST_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield browser
            browser.close()
