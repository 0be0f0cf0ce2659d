"""Lakes that real servers answer for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from ticklake.config import ServerSettings
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.run import listen, url_of
from ticklake.lake import Lake


@contextmanager
def running(lake: Lake, options: ServerSettings) -> Iterator[str]:
    """Serve a lake from a thread of this process; the value is its address."""
    with listen(options) as listening:
        app = make_app(lake, options)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
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


class Serving:
    """Serves lakes on free ports; called with a lake and settings of the server, it returns a client."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __call__(self, lake: Lake, **options: object) -> httpx.Client:
        settings = ServerSettings.model_validate({"port": 0, **options})
        url = self._stack.enter_context(running(lake, settings))
        return self._stack.enter_context(httpx.Client(base_url=f"{url}/api/v1", timeout=10))

    def stop(self) -> None:
        """End all servers, as SIGTERM does."""
        self._stack.close()


@pytest.fixture
def serve() -> Iterator[Serving]:
    """Serve a lake on a free port; the value is a client of it. Settings of the server may be given."""
    serving = Serving()
    yield serving
    serving.stop()
