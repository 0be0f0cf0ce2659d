"""What the machine refuses is one line and an exit code, never a traceback."""

import pytest
from typer.testing import CliRunner

from ticklake.config import load_settings
from ticklake.errors import BadInput
from ticklake.interfaces.cli.main import app


@pytest.mark.parametrize("variable", ["TICKLAKE_EXCHANGES", "TICKLAKE_KEEP", "TICKLAKE_ALERTS", "TICKLAKE_SOURCES"])
@pytest.mark.parametrize("text", ["{bad", "[1", "{'a': 1}", "nonsense"])
def test_a_variable_that_is_no_json_is_named(monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    name = variable.removeprefix("TICKLAKE_").lower()
    with pytest.raises(BadInput, match=f"setting {name}: .*JSON") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(app, ["config"])
    assert (done.exit_code, "Traceback" in done.output) == (2, False)


@pytest.mark.parametrize(
    ("error", "word"),
    [(MemoryError(), "memory"), (OSError(27, "File too large", "x.csv"), "x.csv: File too large")],
)
def test_errors_of_the_machine_are_one_line(monkeypatch, tmp_path, error, word):
    def fail(*_args, **_named):
        raise error

    monkeypatch.setattr("ticklake.app.open_lake", fail)
    done = CliRunner().invoke(app, ["list", "--lake", str(tmp_path)])
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert word in done.output
