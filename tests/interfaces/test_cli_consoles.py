"""What is printed is what was meant."""

import pytest

from ticklake.interfaces.cli.output import console, errors, print_table, say

NAME = "binance:book:BTC/USDT"


def test_the_name_of_a_dataset_is_no_emoji(capsys):
    say(NAME)
    print_table(["dataset"], [[NAME]])
    errors().print(NAME)
    console().print(NAME)
    printed = capsys.readouterr()
    assert printed.out.split() == [NAME, "dataset", NAME, NAME]
    assert printed.err.split() == [NAME]


@pytest.mark.parametrize("text", ["[bold]x[/bold]", ":smile:", "[1, 2]"])
def test_brackets_and_colons_are_printed_as_they_are(capsys, text):
    say(text)
    errors().print(text)
    printed = capsys.readouterr()
    assert (printed.out.strip(), printed.err.strip()) == (text, text)


def test_every_console_is_made_in_one_place():
    from pathlib import Path

    import ticklake

    root = Path(ticklake.__file__).parent
    makers = [path.name for path in root.rglob("*.py") if "Console(" in path.read_text()]
    assert makers == ["output.py"]
