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
    "--input",
    "--symbol",
}
"""Options of which any value can be meant, or that are only looked at when a market is made or an exchange asked."""
LOOKED_AT_LATER = {("schedule", "add", "--cron"), ("features", "diff", "--at"), ("features", "join", "--by")}
"""Options that are refused for another reason here, or not looked at beside another one."""
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
    "derive add": ["hours", "--from", "x:trades:*"],
    "add": ["a", "backfill", "binance", "BTC/USDT", "--every", "1h"],
    "start": ["1"],
    "worker": ["--once"],
    "panel": ["binance", "BTC/USDT"],
    "frame": ["binance", "BTC/USDT"],
    "features register": ["a@v3"],
    "features read": ["a@v1"],
    "features write": ["a@v1", "bars.csv"],
    "features materialise": ["a@v1", "math:sqrt", "binance", "BTC/USDT"],
    "features verify": ["a@v1", "math:sqrt"],
    "features diff": ["a@v1", "a@v2"],
    "features join": ["bars.csv"],
    "features lineage": ["a@v1"],
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
            "panel": ["--timeframe", "1h"],
            "export": ["--layout", "hive"],
            "import-lake": ["--layout", "hive"],
            "features register": ["--column", "x:float"],
            "features materialise": ["--every", "1h"],
            "features join": ["--feature", "a@v1:x", "--symbol", "BTC/USDT"],
        }
        for option in command.params:
            name = option.opts[0]
            if option.param_type_name != "option" or option.is_flag or name in FREE:
                continue
            if (*path, name) in LOOKED_AT_LATER:
                continue
            words = [*_of(path, ARGUMENTS), *_of(path, needed)]
            if name in words:
                place = words.index(name)
                words = words[:place] + words[place + 2 :]
            yield pytest.param([*path, *words, f"{name}=no such!"], "no such!", id=f"{' '.join(path)} {name}")


@pytest.fixture(scope="module")
def with_bars(tmp_path_factory):
    """Run commands on one lake: they must change nothing. No exchange is asked."""
    folder, runner = tmp_path_factory.mktemp("wrong"), CliRunner()
    (folder / "bars.csv").write_text("ts,open,high,low,close,volume\n2024-01-02T00:00:00Z,1,2,0.5,1.5,10\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TICKLAKE_EXCHANGE_URL", "http://127.0.0.1:9")

        def run(*arguments):
            return runner.invoke(app, list(arguments))

        assert run("init").exit_code == 0
        assert run("import", "bars.csv", "-d", BARS).exit_code == 0
        for version in ("a@v1", "a@v2"):
            assert run("features", "register", version, "--column", "x:float").exit_code == 0
        yield run
        assert sorted(path.name for path in folder.iterdir()) == ["bars.csv", "data"]


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
