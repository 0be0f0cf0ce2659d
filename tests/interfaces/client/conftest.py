from __future__ import annotations

import pytest

from tests.interfaces.api.conftest import running
from tests.interfaces.client.scenario import fill
from ticklake.app import open_lake
from ticklake.config import ServerSettings
from ticklake.core.time import parse_time
from ticklake.interfaces.client import connect

NOW = parse_time("2024-06-01")
"""The clock stands still: two answers are of one time."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A lake with all kinds of answers, at hand and served; nobody changes it."""
    with open_lake(tmp_path_factory.mktemp("shared") / "lake", clock=lambda: NOW) as lake:
        fill(lake)
        with running(lake, ServerSettings(port=0)) as url, connect(url) as remote:
            yield lake, remote
