"""A wrong value of any option is refused in one line that names it, with exit code 2, and nothing is changed."""

import pytest
import typer
from typer.testing import CliRunner

from ticklake.interfaces.cli.main import app

BARS = "binance:ohlcv:1h:BTC/USDT"
FREE = {
    "--search",
    "--lake",
    "--output",
    "--html",
    "--set",
    "--symbols",
    "--all-quote",
    "--fault",
    "--mood",
    "--capture",
    "--description",
    "--tag",
}
"""Options of which any value can be meant, or that are only looked at when a market is made or an exchange asked."""
ARGUMENTS = {
    "resample": [BARS],
    "read": [BARS],
    "gaps": [BARS],
    "export": ["out"],
    "import": ["bars.csv", "--dataset", BARS],
    "import-lake": ["."],
    "backfill": ["binance", "BTC/USDT"],
    "instruments": ["binance"],
    "symbols": ["binance"],
    "delete": [BARS, "--yes"],
    "create": ["backfill", "binance", "BTC/USDT"],
    "token create": ["reader", "--role", "read"],
    "estimate": [BARS],
    "sql": ["select 1"],
    "derive add": ["hours", "--from", "x:trades:*"],
    "add": ["a", "backfill", "binance", "BTC/USDT", "--every", "1h"],
    "start": ["1"],
    "worker": ["--once"],
    "panel": ["binance", "BTC/USDT"],
    "frame": ["binance", "BTC/USDT"],
    "features register": ["new@v1", "--column", "x"],
    "features read": ["momentum@v1"],
    "features write": ["momentum@v1", "values.csv"],
    "features materialise": ["momentum@v1", "math:fsum", "binance", "BTC/USDT", "--every", "1h"],
    "features verify": ["momentum@v1", "math:fsum"],
    "features diff": ["momentum@v1", "momentum@v2"],
    "features join": ["instants.csv", "--feature", "momentum@v1"],
    "features lineage": ["momentum@v1"],
    "stream": ["binance", "BTC/USDT"],
    "replay": ["bars.csv"],
}
LEFT_OUT = {"demo", "daemon", "ingest", "book", "rename", "drop", "backup"}
"""Commands without options of their own, or that end with another refusal here."""


def commands(command, path=()):
    if hasattr(command, "commands"):
        for name, part in command.commands.items():
            yield from commands(part, (*path, name))
    elif path[-1] not in LEFT_OUT:
        yield path, command


def _of(path, words):
    """What a command needs, named as a whole or by its last word."""
    return words.get(" ".join(path)) or words.get(path[-1], [])


def options():
    for path, command in commands(typer.main.get_command(app)):
        needed = {
            "resample": ["--to", "4h"],
            "derive add": ["--to", "4h"],
            "panel": ["-t", "1h"],
            "export": ["--layout", "hive"],
            "import-lake": ["--layout", "hive"],
        }
        for option in command.params:
            name = option.opts[0]
            if option.param_type_name != "option" or option.is_flag or name in FREE:
                continue
            if path == ("schedule", "add") and name == "--cron":
                continue
            words = [*_of(path, ARGUMENTS), *_of(path, needed)]
            if (path, name) == (("sql",), "--file"):
                words = []
            # Given twice, an option is refused for that reason.
            for spelling in set(option.opts).intersection(words):
                place = words.index(spelling)
                words = words[:place] + words[place + 2 :]
            yield pytest.param([*path, *words, f"{name}=no such!"], "no such!", id=f"{' '.join(path)} {name}")


@pytest.fixture(scope="module")
def with_bars(tmp_path_factory):
    """Run commands on one lake: they must change nothing. No exchange is asked."""
    folder, runner = tmp_path_factory.mktemp("wrong"), CliRunner()
    (folder / "bars.csv").write_text("ts,open,high,low,close,volume\n2024-01-02T00:00:00Z,1,2,0.5,1.5,10\n")
    (folder / "values.csv").write_text("ts,symbol,ret\n2024-01-02T00:00:00Z,BTC/USDT,1\n")
    (folder / "instants.csv").write_text("ts,symbol\n2024-01-02T00:00:00Z,BTC/USDT\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TICKLAKE_EXCHANGE_URL", "http://127.0.0.1:9")

        def run(*arguments):
            return runner.invoke(app, list(arguments))

        assert run("init").exit_code == 0
        assert run("import", "bars.csv", "-d", BARS).exit_code == 0
        assert run("features", "register", "momentum@v1", "--column", "ret").exit_code == 0
        assert run("features", "register", "momentum@v2", "--column", "ret").exit_code == 0
        assert run("features", "write", "momentum@v1", "values.csv").exit_code == 0
        yield run
        assert sorted(path.name for path in folder.iterdir()) == ["bars.csv", "data", "instants.csv", "values.csv"]


@pytest.mark.parametrize(("words", "value"), list(options()))
def test_the_value_is_named(with_bars, words, value):
    done = with_bars(*words)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert value in line
    assert not line.endswith(value)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["import", "bars.csv", "-d", BARS, "--zone", "Mars/Olympus"], "Mars/Olympus"),
        (["import", "bars.csv", "-d", BARS, "--price-scale", "0"], "0"),
        (["import", "bars.csv", "-d", BARS, "--price-scale", "nan"], "nan"),
        (["import", "bars.csv", "-d", BARS, "--side", "achat=kaufen"], "kaufen"),
        (["exchanges", "binanse"], "did you mean binance"),
        (["exchanges", "nope"], "'nope'"),
        (["instruments", "nope"], "'nope'"),
        (["cleanup", "--days", "-7"], "-7"),
        (["runs", "list", "--job", "-7"], "-7"),
        (["simulate", "--port", "99999999"], "99999999"),
    ],
)
def test_so_is_one_of_the_right_form(with_bars, words, value):
    done = with_bars(*words)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert value in line


def test_an_address_with_a_password_is_not_shown(with_bars):
    done = with_bars("backfill", "binance", "BTC/USDT", "-t", "1h", "--exchange-url", "me:s3cr3t@host")
    assert done.exit_code == 2
    assert "s3cr3t" not in done.output
