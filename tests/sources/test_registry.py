"""The registry of sources: built-in ones, plugins, and broken plugins; each a real package on the path."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ticklake.errors import BadInput, BrokenPlugin, UnknownExchange
from ticklake.sources.base import SourceOptions
from ticklake.sources.registry import BUILT_IN, GROUP, Registry

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to/add-a-source.md"
DAY_MS = 86_400_000


def block(language):
    return re.findall(rf"^```{language}\n(.*?)^```", HOW_TO.read_text(), flags=re.DOTALL | re.MULTILINE)[0]


def install(folder, name, points, **modules):
    """Make a folder look like site-packages with one distribution in it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code)


def factory_code(exchange, make="return ('made by', __name__, exchange)"):
    return (
        "from ticklake.sources.base import SourceFactory\n"
        "class Factory(SourceFactory):\n"
        f"    def exchanges(self): return [{exchange!r}]\n"
        f"    def make(self, exchange, options): {make}\n"
    )


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Put packages on the path; their modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def add(name, points, **modules):
        install(tmp_path, name, points, **modules)

    yield add
    for module in set(sys.modules) - before:
        if module.startswith("plug_"):
            del sys.modules[module]


def test_pyproject_registers_exactly_the_built_in_sources():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == BUILT_IN


def test_every_built_in_source_can_be_loaded():
    registry = Registry()
    assert registry.exchanges("dukascopy") == {"dukascopy": ["quotes"]}
    assert registry.exchanges("nyse") == {"nyse": ["ohlcv", "splits", "dividends"]}
    assert "trades" in registry.exchanges("binanceus")["binanceus"]
    assert registry.broken == {}


def test_no_two_built_in_sources_serve_one_exchange():
    registry = Registry()
    served = [exchange for name in BUILT_IN for exchange in registry.factory(name).exchanges()]
    assert len(served) == len(set(served))


def test_a_plugin_serves_its_exchange(plug):
    plug("plug-one", {"one": "plug_one:Factory"}, plug_one=factory_code("acme"))
    assert Registry().make("acme", SourceOptions()) == ("made by", "plug_one", "acme")
    assert Registry().exchanges("acme") == {"acme": []}


def test_a_plugin_does_not_take_a_known_exchange_unless_the_setting_says_so(plug):
    plug("plug-two", {"two": "plug_two:Factory"}, plug_two=factory_code("binance"))
    assert Registry().make("binance", SourceOptions()).__class__.__name__ == "CcxtSource"
    assert Registry({"binance": "two"}).make("binance", SourceOptions()) == ("made by", "plug_two", "binance")


def test_two_plugins_for_one_exchange_need_the_setting(plug):
    plug("plug-a", {"aa": "plug_a:Factory"}, plug_a=factory_code("acme"))
    plug("plug-b", {"bb": "plug_b:Factory"}, plug_b=factory_code("acme"))
    with pytest.raises(BadInput, match=r"acme is served by aa and bb: say which with the setting sources\.acme"):
        Registry().make("acme", SourceOptions())
    assert Registry({"acme": "bb"}).make("acme", SourceOptions())[1] == "plug_b"


def test_a_setting_that_names_no_source_says_which_there_are():
    with pytest.raises(
        BadInput, match=r"sources\.binance: there is no source 'nope': use one of dukascopy, yahoo, ccxt"
    ):
        Registry({"binance": "nope"}).make("binance", SourceOptions())


def test_a_setting_that_names_a_source_of_others_is_refused():
    with pytest.raises(BadInput, match="'dukascopy' does not serve binance"):
        Registry({"binance": "dukascopy"}).make("binance", SourceOptions())


BROKEN = {
    "it cannot be imported": ("plug_bad:Factory", "import a_module_that_is_not_there\n"),
    "it has no such name": ("plug_bad:Nothing", ""),
    "it is no factory": ("plug_bad:Factory", "class Factory: pass\n"),
    "it fails when it is made": ("plug_bad:Factory", factory_code("x") + "    def __init__(self): 1 / 0\n"),
    "it stops the interpreter": ("plug_bad:Factory", "import sys\nsys.exit(3)\n"),
}


@pytest.mark.parametrize(("point", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_harms_no_other_and_is_named_where_it_is_missed(plug, point, code):
    plug("plug-bad", {"bad": point}, plug_bad=code)
    plug("plug-good", {"good": "plug_good:Factory"}, plug_good=factory_code("acme"))
    assert Registry().make("acme", SourceOptions())[1] == "plug_good"
    with pytest.raises(UnknownExchange, match="the source 'bad' of the package plug-bad is broken"):
        Registry().make("elsewhere", SourceOptions())
    with pytest.raises(BrokenPlugin, match="upgrade or uninstall plug-bad"):
        Registry({"elsewhere": "bad"}).make("elsewhere", SourceOptions())
    registry = Registry()
    assert "acme" in registry.exchanges("acme")
    assert list(registry.broken) == ["bad"]


def test_a_plugin_that_fails_to_make_its_source_is_named(plug):
    plug("plug-late", {"late": "plug_late:Factory"}, plug_late=factory_code("acme", "raise ValueError('no')"))
    with pytest.raises(BrokenPlugin, match=r"the package plug-late is broken \(ValueError: no\)"):
        Registry().make("acme", SourceOptions())


def test_a_plugin_under_a_taken_name_is_broken_not_ignored(plug):
    plug("plug-thief", {"ccxt": "plug_thief:Factory"}, plug_thief=factory_code("acme"))
    with pytest.raises(UnknownExchange, match=r"'ccxt' of the package plug-thief is broken.*taken"):
        Registry().make("acme", SourceOptions())
    assert Registry().make("kraken", SourceOptions()).__class__.__name__ == "CcxtSource"


def test_an_unknown_exchange_hints_at_near_ones():
    with pytest.raises(UnknownExchange, match=r"did you mean .*binance"):
        Registry().make("binanse", SourceOptions())


def test_keys_are_not_shown():
    assert "hunter2" not in repr(SourceOptions(secrets={"apiKey": "hunter2"}))


class Acme(BaseHTTPRequestHandler):
    """The imagined API of the how-to: a bar a day since 2024."""

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: int(value[0]) for name, value in parse_qs(parts.query).items()}
        bars = [
            [at, 1.0, 2.0, 0.5, 1.5, 10.0]
            for at in range(1_704_067_200_000, query["to"], DAY_MS)
            if at >= query["from"]
        ]
        body = json.dumps(bars if parts.path == "/bars/BTC-USD" else []).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def acme(tmp_path):
    """The how-to's package, installed for a subprocess that reaches the imagined API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Acme)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    project = tomllib.loads(block("toml"))["project"]
    install(tmp_path / "site", project["name"], project["entry-points"][GROUP], acme_source=block("python"))
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])

    def shell(*words):
        command = [sys.executable, "-W", "error", "-m", "ticklake", *words]
        env = {
            **os.environ,
            "PYTHONPATH": path,
            "TICKLAKE_EXCHANGES__ACME__URL": f"http://127.0.0.1:{server.server_port}",
        }
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)

    yield shell
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_how_to_has_at_most_sixty_lines_of_code():
    code = [line for line in block("python").splitlines() if line.strip()]
    assert len(code) <= 60


def test_the_source_of_the_how_to_works_through_the_shell(acme):
    done = acme(
        "ingest", "acme", "BTC/USD", "--timeframe", "1d", "--start", "2024-01-01", "--end", "2025-06-01", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["new"] == 517
    read = acme("read", "acme", "BTC/USD", "--timeframe", "1d", "--last", "1", "--json")
    assert json.loads(read.stdout)[0]["ts"] == "2025-05-31T00:00:00Z"
    assert "acme" in acme("exchanges", "acme").stdout
    again = acme("ingest", "acme", "BTC/USD", "--timeframe", "1h", "--start", "2024-01-01")
    assert again.returncode == 2
    assert "it serves ohlcv of 1d" in again.stderr
