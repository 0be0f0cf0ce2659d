"""What the package promises as a whole: imports, public names, documents."""

from __future__ import annotations

import subprocess
import sys

import ticklake


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_and_opening_a_lake_loads_no_exchange_library_no_server_no_duckdb(tmp_path):
    loaded = modules_after(f"import ticklake; ticklake.open({str(tmp_path / 'lake')!r}).close()")
    assert "polars" in loaded
    assert not loaded & {"ccxt", "aiohttp", "fastapi", "duckdb", "pandas", "rich", "typer"}


def test_opening_a_lake_loads_no_namespace(tmp_path):
    loaded = modules_after(f"import ticklake; ticklake.open({str(tmp_path / 'lake')!r}).close()")
    assert "ticklake.lake.lake" in loaded
    assert not loaded & {
        *("ticklake.lake.admin", "ticklake.lake.instruments", "ticklake.jobs.queue", "ticklake.jobs.schedules"),
        *("ticklake.alerts.service", "ticklake.interchange.exporter", "ticklake.files.importer"),
    }


def test_the_bare_import_loads_nothing_heavy():
    loaded = modules_after("import ticklake")
    assert not loaded & {"polars", "sqlalchemy", "pydantic", "ccxt", "fastapi", "duckdb", "pyarrow"}


def test_help_loads_neither_polars_nor_sqlalchemy():
    code = "import sys; sys.argv = ['ticklake', '--help']\nfrom ticklake.interfaces.cli.main import main\ntry: main()\nexcept SystemExit: pass"
    loaded = modules_after(code)
    assert "typer" in loaded
    assert not loaded & {"polars", "sqlalchemy", "pyarrow", "ccxt", "pydantic", "aiohttp"}
    # typer's own printer of help loads these.
    assert not loaded & {"markdown_it", "pygments", "rich.traceback", "zoneinfo"}


def test_every_public_name_is_there_and_sorted():
    names = sorted(ticklake.__all__)
    assert names == sorted(ticklake._PUBLIC)
    assert all(getattr(ticklake, name) is not None for name in names)
    assert set(names) <= set(dir(ticklake))


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(ticklake, "no_such_name")
