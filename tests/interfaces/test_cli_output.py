"""Tables of many rows look like those of few, and take no longer for each row."""

import json
import re

import pytest

from ticklake.interfaces.cli import output

COLUMNS = ("dataset", "missing", "détail")


def rows(count):
    return [(f"x{n % 13}:₿", None if n % 5 == 0 else n, "比" * (n % 3)) for n in range(count)]


def printed(capsys, count):
    output.print_table(COLUMNS, rows(count), numbers=("missing",))
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()]


def test_a_table_of_many_rows_is_printed_like_one_of_few(capsys, monkeypatch):
    few = printed(capsys, 900)
    monkeypatch.setattr(output, "_MANY", 100)
    assert printed(capsys, 900) == few


def test_a_table_of_many_rows_is_not_laid_out_by_rich(capsys, monkeypatch):
    """190,000 gaps took a minute and 900 MB."""
    monkeypatch.setattr("rich.table.Table.add_row", None)
    assert len(printed(capsys, 5_000)) == 5_001


def test_rows_are_streamed_as_one_json_array(capsys):
    seen = []

    def rows():
        for number in range(3):
            seen.append(len(capsys.readouterr().out))
            yield number, None

    output.print_json_rows(["a", "b"], rows())
    assert seen[0] == 0
    assert seen[1] > 0, "the first row is out before the second is made"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_streamed_rows_are_json(count, capsys):
    output.print_json_rows(["a", "b"], ((number, "é") for number in range(count)))
    assert json.loads(capsys.readouterr().out) == [{"a": number, "b": "é"} for number in range(count)]
