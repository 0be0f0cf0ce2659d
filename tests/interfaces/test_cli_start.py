"""What the shell reads of its commands before it calls one."""

import signal
import subprocess
import sys

import pytest
import typer

from ticklake.interfaces.cli import main as cli


def run(monkeypatch, *words):
    """Run the shell in this process as ``ticklake`` with *words*, and return its exit code."""
    monkeypatch.setattr("sys.argv", ["ticklake", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def shown(capsys):
    """The printed words, without the frames of panels."""
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_help_has_every_command_with_the_first_paragraph_of_its_help(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    text = shown(capsys)
    commands = typer.main.get_command(cli.app).commands
    assert "[OPTIONS] COMMAND [ARGS]..." in text
    for name, command in commands.items():
        summary = " ".join(command.help.partition("\n\n")[0].split())
        assert (f" {name} {summary}" in text) is not command.hidden, name


def test_without_a_command_the_help_is_printed(monkeypatch, capsys):
    assert run(monkeypatch) == 2
    assert "init Make a lake." in shown(capsys)


def test_the_options_of_other_commands_are_not_read(monkeypatch, capsys):
    read, get = [], typer.main.get_params_from_function
    monkeypatch.setattr(typer.main, "get_params_from_function", lambda function: read.append(function) or get(function))
    assert run(monkeypatch, "list", "--help") == 0
    assert "--json" in shown(capsys)
    commands = {info.callback for info in cli.app.registered_commands}
    assert {function.__name__ for function in read if function in commands} == {"list_datasets"}


@pytest.mark.parametrize("words", [("jobs", "list", "--help"), ("ingest", "--help"), ("--version",)])
def test_groups_hidden_commands_and_options_of_the_root_are_found(monkeypatch, capsys, words):
    assert run(monkeypatch, *words) == 0
    assert shown(capsys)


def test_a_misspelled_command_is_answered_with_the_likely_one(monkeypatch, capsys):
    assert run(monkeypatch, "lst") == 2
    assert "Did you mean 'list'?" in capsys.readouterr().err


def test_completion_knows_the_options_of_every_command(monkeypatch):
    called = []
    monkeypatch.setattr(cli, "app", lambda: called.append("all commands"))
    monkeypatch.setenv("_TICKLAKE_COMPLETE", "complete_bash")
    cli.main()
    assert called == ["all commands"]


INTERRUPTED = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupt(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "ticklake.interfaces.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

if {ignored}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["ticklake", "--version"]
from ticklake.__main__ import main
main()
"""


def test_ctrl_c_before_the_command_has_begun_shows_no_traceback():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED.format(ignored=False)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_shell_that_ignores_ctrl_c_is_obeyed():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED.format(ignored=True)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ticklake ")
