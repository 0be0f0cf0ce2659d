"""What is wrong with the words of a command is said in one line, wherever they stand."""

import pytest

from .test_cli import shell  # noqa: F401


@pytest.mark.parametrize(
    "words",
    [
        ["--nope"],
        ["--nope", "list"],
        ["--version=3"],
        ["list", "--nope"],
        ["jobs", "--nope"],
        ["jobs", "list", "--nope"],
    ],
)
def test_an_option_that_is_not_there_is_one_line_with_a_hint(words, shell):  # noqa: F811
    done = shell(*words)
    (line,) = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert line.startswith("error: ")
    assert line.endswith("--help' says how it is used")


@pytest.mark.parametrize(
    "words",
    [
        ["read", ""],
        ["drop", "", "--yes"],
        ["gaps", "binance", ""],
        ["jobs", "show", str(10**30)],
        ["import", ""],
    ],
)
def test_a_word_that_is_empty_or_too_large_is_one_line(words, shell):  # noqa: F811
    shell("init")
    done = shell(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["resample", "x", "BTC/USDT", "--to", "1h", "--to", "5m"],
        ["jobs", "list", "--lake", "a", "--lake", "b"],
    ],
)
def test_an_option_with_one_value_is_refused_if_it_is_given_twice(words, shell):  # noqa: F811
    done = shell(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{words[-4]} is given twice" in done.stderr
