"""The how-to 'share a lake' is followed word for word, from an empty folder to a colleague who reads."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[3] / "docs/how-to/share-a-lake.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_how_to_is_followed(serve, market, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # All that differs: the exchange is a simulated one, and the port one that is free.
    environment = {
        **os.environ,
        "TICKLAKE_EXCHANGE_URL": serve(market, "2024-01-06").url,
        "TICKLAKE_ARCHIVES": "false",
        "TICKLAKE_EXCHANGES__BINANCE__RATE_LIMIT_MS": "1",
        "TICKLAKE_SERVER__PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    steps = BLOCK.findall(HOW_TO.read_text().replace(":8470", f":{port}"))
    assert [language for language, _ in steps].count("python") == 4
    servers = []
    try:
        for language, code in steps:
            command = ["bash", "-e", "-c", code]
            if language == "python":
                command = [sys.executable, "-W", "error", "-c", code]
            if code.strip() == "ticklake serve":
                servers.append(
                    subprocess.Popen(["ticklake", "serve"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
                )
                until_it_answers(port)
                continue
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
            # Code 3: the simulated exchange had no trades in some minutes.
            assert done.returncode in (0, 3 if "backfill" in code else 0), (code, done.stdout, done.stderr)
    finally:
        for server in servers:
            server.terminate()
            assert server.wait(20) == 0
    assert len(servers) == 1


def until_it_answers(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise AssertionError("the server has not begun")
