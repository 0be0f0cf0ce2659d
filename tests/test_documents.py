"""The documents are true: every name stands in the reference, links lead somewhere, and code blocks run."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ticklake
from ticklake import errors
from ticklake.config import (
    AlertSettings,
    ExchangeSettings,
    JobSettings,
    LogSettings,
    ServerSettings,
    Settings,
    SqlSettings,
)
from ticklake.core.indicator_names import parse_indicators, usual_name
from ticklake.core.indicator_table import DEFINITIONS
from ticklake.core.kinds import KINDS
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.generated import generated_market

from .conftest import settings_for

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def text(path: str) -> str:
    return (ROOT / path).read_text()


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_first_commands_of_live_collection_find_the_simulated_exchange():
    from ticklake.interfaces.cli.simulate import simulate

    port = inspect.signature(simulate).parameters["port"].default
    assert set(re.findall(r"http://127\.0\.0\.1:(\d+)", text("docs/how-to/live.md"))) == {str(port)}


def test_every_public_name_stands_in_the_reference():
    reference = text("docs/reference/python.md")
    assert [name for name in ticklake.__all__ if f"{name}" not in reference] == []


def test_every_method_of_the_lake_stands_in_the_reference():
    reference = text("docs/reference/python.md")
    methods = [name for name in dir(ticklake.Lake) if not name.startswith("_")]
    assert {"load", "save", "backfill", "compact"} <= set(methods)
    assert [name for name in methods if not re.search(rf"\b{name}\b", reference)] == []


NOT_FOR_USERS = {
    *("runs.close", "runs.closing", "runs.kept_up", "runs.note_end", "runs.of_job", "runs.trim_logs"),
    *("jobs.worker", "schedules.scheduler", "alerts.after", "alerts.close"),
}
"""Methods of the namespaces with which the lake itself works."""


def test_every_method_of_a_snapshot_stands_in_its_section_of_the_reference():
    (section,) = re.findall(
        r"^## Snapshots\n(.*?)^## ", text("docs/reference/python.md"), flags=re.DOTALL | re.MULTILINE
    )
    methods = [name for name in dir(ticklake.Snapshot) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}`" not in section] == []


def test_every_method_of_the_namespaces_stands_in_the_reference():
    from ticklake.alerts.service import Alerts
    from ticklake.catalog.runs import Runs
    from ticklake.jobs.queue import Jobs
    from ticklake.jobs.schedules import Schedules
    from ticklake.lake.admin import Admin
    from ticklake.lake.feature_reads import FeatureReads
    from ticklake.lake.features import Features
    from ticklake.lake.instruments import LakeInstruments
    from ticklake.lake.tokens import Tokens

    reference = text("docs/reference/python.md")
    namespaces = {
        "admin": Admin,
        "instruments": LakeInstruments,
        "runs": Runs,
        "jobs": Jobs,
        "schedules": Schedules,
        "alerts": Alerts,
        "tokens": Tokens,
    }
    names = [f"{space}.{name}" for space, kind in namespaces.items() for name in vars(kind) if name[0] != "_"]
    names += [f"features.{name}" for kind in (FeatureReads, Features) for name in vars(kind) if name[0] != "_"]
    assert [name for name in names if name not in reference and name not in NOT_FOR_USERS] == []


def test_every_command_stands_in_the_reference():
    from ticklake.interfaces.cli.main import app

    reference = text("docs/reference/cli.md")
    commands = [command.name for command in app.registered_commands]
    for group in app.registered_groups:
        commands += [f"{group.name} {command.name}" for command in group.typer_instance.registered_commands]
    assert len(commands) >= 16
    assert [name for name in commands if f"`ticklake {name}" not in reference] == []


def test_every_setting_stands_in_the_reference():
    reference = text("docs/reference/settings.md")
    names = [
        *Settings.model_fields,
        *ExchangeSettings.model_fields,
        *JobSettings.model_fields,
        *AlertSettings.model_fields,
        *ServerSettings.model_fields,
        *LogSettings.model_fields,
        *SqlSettings.model_fields,
    ]
    assert [name for name in names if name not in reference] == []


def test_every_metric_stands_in_the_reference_and_no_other():
    from ticklake.interfaces.api.observe import HTTP_METRICS
    from ticklake.interfaces.metrics import LAKE_METRICS
    from ticklake.interfaces.prometheus import METRICS

    rows = re.findall(r"^\| `(ticklake_\w+)` \|", text("docs/reference/metrics.md"), flags=re.MULTILINE)
    assert sorted(rows) == sorted([*LAKE_METRICS, *METRICS, *HTTP_METRICS])


def test_every_key_of_the_wanted_state_stands_in_its_how_to():
    from ticklake.jobs.manifest import Again, Collect, Wanted

    how_to = text("docs/how-to/apply.md")
    names = [name for model in (Wanted, Collect, Again) for name in model.model_fields]
    assert [name for name in names if name not in how_to] == []


def test_the_example_of_the_wanted_state_can_be_meant(tmp_path):
    from ticklake.config import load_wanted

    (example,) = blocks(ROOT / "docs/how-to/apply.md", "toml")
    (tmp_path / "collect.toml").write_text(example)
    assert [part.name for part in load_wanted(tmp_path / "collect.toml").parts()] == [
        "binance ohlcv 1m",
        "binance ohlcv 1h",
        "kraken trades",
    ]


def test_every_operation_of_jobs_stands_in_its_how_to():
    from ticklake.operations import BUILT_IN

    how_to = text("docs/how-to/jobs.md")
    assert [name for name in BUILT_IN if f"`{name}`" not in how_to] == []


def test_every_error_stands_in_the_reference_with_its_exit_code_and_whether_it_is_retriable():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \|", text("docs/reference/errors.md"), flags=re.MULTILINE)
    classes = [getattr(errors, name) for name in errors.__all__ if name != "TicklakeWarning"]
    true = [(kind.__name__, str(kind.exit_code), "yes" if kind.retriable else "no") for kind in classes]
    assert sorted(rows) == sorted(true)


def test_the_words_of_coverage_gaps_and_architecture_stand_in_the_glossary():
    glossary = text("docs/explanation/glossary.md")
    words = re.search(r"^## Words\n(.*?)^## ", text("ARCHITECTURE.md"), flags=re.DOTALL | re.MULTILINE)
    assert words is not None
    named = [word for word in re.findall(r"^\| (\w+) \|", words[1], flags=re.MULTILINE) if word != "word"]
    named += [f"`{word}`" for word in {*ticklake.Found, *ticklake.GapReason}]
    assert len(named) >= 20
    assert [word for word in named if not re.search(rf"^\| {word}[, |]", glossary, flags=re.MULTILINE)] == []


def test_every_indicator_stands_in_the_reference_as_it_is():
    reference = text("docs/reference/indicators.md")
    rows = []
    for name, definition in DEFINITIONS.items():
        usual = usual_name(name, definition)
        (indicator,) = parse_indicators(usual)
        outputs = ", ".join(f"`.{output}`" for output in definition.outputs)
        cells = [f"`{usual}`", definition.title, outputs, ", ".join(definition.columns), indicator.warm_up]
        rows.append(f"| {' | '.join(map(str, [*cells, definition.memory, definition.formula]))} |")
    assert [row for row in rows if row not in reference] == []
    assert reference.count("\n| `") == len(rows)


def test_every_kind_and_column_stands_in_the_reference():
    reference = text("docs/reference/kinds.md")
    assert [kind for kind in KINDS if f"`{kind}`" not in reference] == []
    assert [name for kind in KINDS.values() for name in kind.names if name not in reference] == []


def test_every_fault_stands_in_the_how_to():
    how_to = text("docs/how-to/simulated-exchange.md")
    assert [name for name in Faults.__dataclass_fields__ if f"`{name}`" not in how_to] == []


def test_every_preset_of_files_stands_in_the_how_to():
    from ticklake.files.presets import GENERIC, PRESETS, SHAPED

    how_to = text("docs/how-to/import-files.md")
    assert [preset.name for preset in (*PRESETS, *SHAPED, GENERIC) if f"`{preset.name}`" not in how_to] == []


def test_every_table_of_the_catalog_stands_in_its_format():
    from ticklake.catalog import schema

    document = text("docs/format/catalog.md")
    assert [name for name in schema.metadata.tables if f"`{name}`" not in document] == []


def test_every_page_is_in_the_navigation_of_the_site_once():
    navigation = re.findall(r"^ +- .*: ([\w/-]+\.md)$", text("mkdocs.yml"), flags=re.MULTILINE)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")]
    assert sorted(navigation) == sorted(pages)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.fixture(scope="module")
def january():
    return generated_market()


def environment(url: str) -> dict[str, str]:
    settings = settings_for(url)
    bin_folder = Path(sys.executable).parent
    return {
        **os.environ,
        "TICKLAKE_EXCHANGE_URL": url,
        "TICKLAKE_EXCHANGES__BINANCE__RATE_LIMIT_MS": str(settings.exchange("binance").rate_limit_ms),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }


RUNS = [
    "README.md",
    "docs/how-to/other-engines.md",
    "docs/how-to/sql.md",
    "docs/how-to/simulated-exchange.md",
    "docs/how-to/train-a-model.md",
    "docs/how-to/back-test.md",
]


@pytest.mark.parametrize("path", RUNS)
def test_python_blocks_run(path, january, serve, tmp_path):
    exchange = serve(january, "2024-02-01")
    code = blocks(ROOT / path, "python")
    assert code
    for block in code:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(exchange.url),
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_shell_blocks_of_the_readme_run(january, serve, tmp_path):
    exchange = serve(january, "2024-02-01")
    (block,) = blocks(ROOT / "README.md", "sh")
    done = subprocess.run(
        ["bash", "-e", "-c", block], capture_output=True, text=True, cwd=tmp_path, env=environment(exchange.url)
    )
    assert done.returncode in {0, 3}, done.stderr
    assert "all is as it was written" in done.stdout
    assert (tmp_path / "btc.csv").read_text().startswith("ts,open,high")
