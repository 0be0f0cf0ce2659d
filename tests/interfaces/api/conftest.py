"""Lakes that real servers answer for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from ticklake.config import ServerSettings, SqlSettings
from ticklake.interfaces.api.app import make_app
from ticklake.interfaces.api.run import HttpServer, listen, url_of
from ticklake.interfaces.api.server import Server
from ticklake.lake import Lake


class Http(httpx.Client):
    """A client, and the server that it reaches."""

    def __init__(self, url: str, server: Server) -> None:
        super().__init__(base_url=f"{url}/api/v1", timeout=10)
        self.ticklake = server


@contextmanager
def running(lake: Lake, options: ServerSettings, sql: SqlSettings | None = None) -> Iterator[str]:
    """Serve a lake from a thread of this process; the value is its address."""
    with serving(lake, options, sql) as (url, _server):
        yield url


@contextmanager
def serving(lake: Lake, options: ServerSettings, sql: SqlSettings | None = None) -> Iterator[tuple[str, Server]]:
    """Serve a lake from a thread of this process; the value is its address, and what its requests share."""
    with listen(options) as listening:
        app = make_app(lake, options, sql=sql)
        server = HttpServer(app, options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test-server")
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.005)
            assert server.started
            yield url_of(listening), app.state.server
        finally:
            server.should_exit = True
            thread.join(10)
        assert not thread.is_alive()


class Serving:
    """Serves lakes on free ports; called with a lake and settings of the server, it returns a client."""

    def __init__(self) -> None:
        self._servers = ExitStack()
        self._clients = ExitStack()

    def __call__(self, lake: Lake, **options: object) -> Http:
        settings = ServerSettings.model_validate({"port": 0, **options})
        url, server = self._servers.enter_context(serving(lake, settings))
        return self._clients.enter_context(Http(url, server))

    def stop_servers(self) -> None:
        """End all servers, as SIGTERM does."""
        self._servers.close()

    def stop(self) -> None:
        """End all clients, and all servers."""
        self._clients.close()
        self.stop_servers()


@pytest.fixture
def serve() -> Iterator[Serving]:
    """Serve a lake on a free port; the value is a client of it. Settings of the server may be given."""
    serving = Serving()
    yield serving
    serving.stop()
