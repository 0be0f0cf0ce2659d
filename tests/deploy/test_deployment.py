"""The files of deploy/: they can be read, name what there is, and their steps work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from ticklake.config import ServerSettings, Settings
from ticklake.interfaces.api.observe import HTTP_METRICS
from ticklake.interfaces.cli.main import app
from ticklake.interfaces.metrics import LAKE_METRICS
from ticklake.interfaces.prometheus import METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*"))
DASHBOARDS = sorted(DEPLOY.glob("grafana/dashboards/*.json"))


def instructions():
    """The stages of the Dockerfile: each a list of instructions and their words."""
    text = (DEPLOY / "Dockerfile").read_text()
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    stages = [[]]
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages[1:]


BUILD, FINAL = instructions()


def of(stage, name):
    return [rest for each, rest in stage if each == name]


def names_of_commands():
    return {command.name: command.callback for command in app.registered_commands}


def test_the_image_runs_as_nobody_and_says_whether_it_is_well():
    names = [name for name, _ in FINAL]
    assert of(FINAL, "USER") == ["ticklake"]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert of(FINAL, "HEALTHCHECK")
    assert of(FINAL, "EXPOSE") == [str(ServerSettings().port)]
    assert all(":" in image or "$" in image for image in of(BUILD, "FROM") + of(FINAL, "FROM"))


def test_the_image_is_made_of_files_that_are_there_and_not_ignored():
    copied = [word for rest in of(BUILD, "COPY") for word in rest.split()[:-1]]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(kept)


def test_the_variables_of_the_image_are_settings():
    text = " ".join(of(FINAL, "ENV"))
    names = [name.removeprefix("TICKLAKE_").partition("__")[0].lower() for name in re.findall(r"(TICKLAKE_\w+)=", text)]
    assert {"lake", "state"} <= set(names)
    assert set(names) <= set(Settings.model_fields)


def test_the_command_of_the_image_has_the_options_that_it_is_given():
    import inspect

    [command] = map(json.loads, of(FINAL, "CMD"))
    known = inspect.signature(names_of_commands()[command[0]]).parameters
    options = [word.removeprefix("--") for word in command[1:] if word.startswith("--")]
    assert [option for option in options if option not in known] == []


@pytest.mark.parametrize("step", of(BUILD, "RUN") + of(FINAL, "RUN"))
def test_each_step_is_a_script(step):
    assert subprocess.run(["sh", "-n", "-c", step]).returncode == 0


@pytest.mark.trials
def test_the_steps_of_the_build_make_a_server_that_is_healthy(tmp_path):
    """Without a daemon of Docker: the same steps in a folder, with packages from the index."""
    build, venv = tmp_path / "build", tmp_path / "venv"
    build.mkdir()
    for rest in of(BUILD, "COPY"):
        *sources, _target = rest.split()
        for name in sources:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, build / name)
    extras = dict(rest.split("=", 1) for rest in of(BUILD, "ARG"))["EXTRAS"]
    python = tmp_path / "bin"
    python.mkdir()
    (python / "python").symlink_to(sys.executable)
    environment = {**os.environ, "VENV": str(venv), "EXTRAS": extras, "PATH": f"{python}:{os.environ['PATH']}"}
    for step in of(BUILD, "RUN"):
        subprocess.run(["sh", "-e", "-c", step], cwd=build, env=environment, check=True, timeout=900)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment["TICKLAKE_LAKE"] = str(tmp_path / "lake")
    environment |= compose()["services"]["lake"]["environment"]
    program = str(venv / "bin" / "ticklake")
    # As docs/how-to/deploy.md says: a server that others reach needs a token first.
    made = subprocess.run(
        [program, "token", "create", "prometheus", "--role", "read"], env=environment, capture_output=True
    )
    token = made.stdout.decode().strip()
    [command] = map(json.loads, of(FINAL, "CMD"))
    server = subprocess.Popen([program, *command, "--port", str(port)], cwd=tmp_path, env=environment)
    try:
        [check] = of(FINAL, "HEALTHCHECK")
        words = json.loads(check[check.index("[") :])
        words = [word.replace(f":{ServerSettings().port}/", f":{port}/") for word in words]
        deadline = time.monotonic() + 30
        while subprocess.run(words, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        headers = {"Authorization": f"Bearer {token}", "Host": f"lake:{port}"}
        with urlopen(Request(f"http://127.0.0.1:{port}/metrics", headers=headers), timeout=10) as answer:
            assert b"ticklake_lake_readable 1" in answer.read()
    finally:
        server.terminate()
        assert server.wait(40) == 0
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{port}/health", timeout=1)


@pytest.mark.parametrize("path", sorted([*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]), ids=lambda path: path.name)
def test_each_file_of_yaml_can_be_read(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_publishes_to_this_machine_alone_and_pins_its_images():
    services = compose()["services"]
    assert {"lake", "prometheus", "grafana"} <= set(services)
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    images = [service["image"] for service in services.values() if "build" not in service]
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_compose_names_files_secrets_and_volumes_that_there_are():
    project = compose()
    for service in project["services"].values():
        assert set(service.get("secrets", ())) <= set(project["secrets"])
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in project["volumes"], mount
    assert (DEPLOY / project["services"]["lake"]["build"]["context"] / "deploy/Dockerfile").is_file()
    # Secrets are made by whoever runs it, and never by a commit.
    assert {Path(secret["file"]).parent.name for secret in project["secrets"].values()} == {"secrets"}
    assert (DEPLOY / "secrets" / ".gitignore").read_text().startswith("*")


def test_prometheus_asks_the_port_of_the_server_with_the_token_that_it_is_given():
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"lake:{ServerSettings().port}"]
    assert Path(job["authorization"]["credentials_file"]).name in compose()["secrets"]
    assert [name for name in config["rule_files"] if not (DEPLOY / "prometheus" / name).is_file()] == []


def expressions():
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield panel["title"], target["expr"]
    for expression in re.findall(
        r"^\| .*\? \| `(.+)` \|$", (ROOT / "docs/how-to/operate.md").read_text(), re.MULTILINE
    ):
        yield "operate.md", expression


KNOWN = {*LAKE_METRICS, *METRICS, *HTTP_METRICS}


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda text: text[:40])
def test_every_metric_of_dashboards_and_rules_exists(where, expression):
    names = set(re.findall(r"\bticklake_\w+", expression))
    histograms = {f"ticklake_http_request_seconds_{end}" for end in ("bucket", "sum", "count")}
    assert names or re.search(r"\b(up|process_\w+)\{", expression), where
    assert names - KNOWN - histograms == set()
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


def test_the_labels_of_dashboards_and_rules_exist():
    text = (ROOT / "docs/reference/metrics.md").read_text()
    for where, expression in expressions():
        for words in re.findall(r"\b(?:by|without|ignoring) ?\(([\w, ]+)\)", expression):
            for label in re.split(r", *", words):
                assert label in {"le", "job"} or re.search(rf"\b{label}\b", text), (where, label)


def test_the_panels_of_a_dashboard_do_not_lie_on_one_another():
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        taken = set()
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells


def unit(path):
    """The settings of a unit by section: each a list of keys and values."""
    sections = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            settings = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert equals, line
            settings.append((key, value))
    return sections


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_each_unit_runs_commands_that_there_are(path):
    sections = unit(path)
    assert "Unit" in sections
    for key, value in sections.get("Service", ()):
        if key == "ExecStart":
            program, command, *options = shlex.split(value)
            assert program == "/opt/ticklake/bin/ticklake"
            assert command in names_of_commands()
            assert options == [] or options[0].startswith(("--", "/"))


@pytest.mark.parametrize("path", [path for path in UNITS if path.suffix == ".service"], ids=lambda path: path.name)
def test_each_service_is_confined(path):
    settings = dict(unit(path)["Service"])
    assert settings["User"] == "ticklake"
    assert settings["ProtectSystem"] == "strict"
    assert settings["NoNewPrivileges"] == "yes"
    assert settings.get("StateDirectory") or settings.get("ReadWritePaths")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_reads_the_units(tmp_path):
    program = tmp_path / "ticklake"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS:
        text = path.read_text().replace("/opt/ticklake/bin/ticklake", str(program))
        # What is mounted is a matter of the machine.
        (tmp_path / path.name).write_text(text.replace("ReadWritePaths=/var/lib/ticklake /mnt/backup", ""))
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
        *(str(tmp_path / p.name) for p in UNITS),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_timeouts_of_units_and_compose_are_longer_than_an_end_in_good_order_takes():
    longest = ServerSettings().shutdown_seconds
    service = dict(unit(DEPLOY / "systemd/ticklake.service")["Service"])
    assert int(service["TimeoutStopSec"]) > longest
    assert int(compose()["services"]["lake"]["stop_grace_period"].removesuffix("s")) > longest
