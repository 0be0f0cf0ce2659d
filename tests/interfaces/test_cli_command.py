"""What all commands share: options that count once, and errors in the words of the shell."""

import pytest
from typer.testing import CliRunner

from ticklake.interfaces.cli.command import in_shell_words
from ticklake.interfaces.cli.main import app


class Option:
    param_type_name = "option"

    def __init__(self, name, *opts):
        self.name, self.opts = name, opts


START = [Option("start", "--start"), Option("full_names", "--full-names"), Option("again", "--again")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from where it could go on: say start=", "from where it could go on: say --start"),
        ("start= and end= are those of every=", "--start and end= are those of every="),
        ("start='x' is no time: write it so", "--start 'x' is no time: write it so"),
        ("say full_names=True, or rename it", "say --full-names, or rename it"),
        ("compute them with again=True", "compute them with --again"),
        ("folders like exchange=x/start=2024", "folders like exchange=x/start=2024"),
        ("name it with start=7 (--start)", "name it with start=7 (--start)"),
        (
            "lake.resample('x:trades:A', '1h') makes it, and lake.derive(...) keeps it",
            "'ticklake resample x:trades:A --to 1h' makes it, and 'ticklake derive add' keeps it",
        ),
        ("lake.features.describe() shows its symbols", "'ticklake features describe' shows its symbols"),
        ("lake.quarantine('x:trades:A') has them", "'ticklake quarantine x:trades:A' has them"),
    ],
)
def test_errors_name_options_and_commands(text, shown):
    assert in_shell_words(text, START) == shown


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["panel", "x", "A", "-t", "1h", "--timeframe", "1h"], "--timeframe"),
        (["resample", "x:trades:A", "--to", "1h", "--to", "5m"], "--to"),
        (["features", "materialise", "m@v1", "m:f", "x", "A", "--every", "1h", "--every", "2h"], "--every"),
        (["derive", "add", "n", "--from", "x:trades:*", "--to", "1h", "--to", "5m"], "--to"),
    ],
)
def test_an_option_that_counts_once_is_given_once(words, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert f"option {option} is given twice, and has one value: give it once" in line
