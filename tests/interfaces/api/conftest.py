"""Lakes that real servers answer for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from ticklake.config import ServerSettings, SqlSettings
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.run import listen, url_of, uvicorn_config
from ticklake.lake import Lake

Serve = Callable[..., httpx.Client]


@contextmanager
def running(lake: Lake, options: ServerSettings, sql: SqlSettings | None = None) -> Iterator[str]:
    """Serve a lake from a thread of this process; the value is its address."""
    with listen(options) as listening:
        app = make_app(lake, options, sql=sql)
        server = uvicorn.Server(uvicorn_config(app, options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test-server")
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.005)
            assert server.started
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a lake on a free port; the value is a client of it. Settings of the server may be given."""
    with ExitStack() as stack:

        def start(lake: Lake, **options: object) -> httpx.Client:
            settings = ServerSettings.model_validate({"port": 0, **options})
            url = stack.enter_context(running(lake, settings))
            return stack.enter_context(httpx.Client(base_url=f"{url}/api/v1", timeout=10))

        yield start
