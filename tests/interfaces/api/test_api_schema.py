"""The OpenAPI document is true: a machine asks for what it allows, and more, and gets no answer that it does not tell of."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ticklake.app import memory_lake
from ticklake.config import ServerSettings

from .conftest import running
from .test_api_reads import BARS, NOW, READS, fill

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def url():
    with memory_lake(clock=lambda: NOW) as lake:
        with pytest.warns(match="refused"):
            fill(lake)
        with running(lake, ServerSettings(port=0)) as url:
            yield url


@pytest.fixture(scope="module")
def document(url):
    return httpx.get(f"{url}/api/v1/openapi.json").json()


@schemathesis.serializer("application/vnd.apache.arrow.stream")
def as_it_is(_context, value):
    """Send any bytes where Arrow is wanted."""
    return bytes(value, "utf-8", "replace") if isinstance(value, str) else value


def attack(url, examples):
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    schema.config.update(base_url=url)
    phases = (Phase.explicit, Phase.generate)
    for found in schema.get_all_operations():
        operation = found.ok()
        # A stream of events has no end.
        if operation.path.endswith("/events"):
            continue

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case):
            case.validate_response(case.call(), checks=CHECKS)

        check()


def test_no_generated_request_gets_an_undocumented_answer(url):
    attack(url, 2)


@pytest.mark.trials
def test_no_request_of_many_gets_an_undocumented_answer(url):
    attack(url, 200)


HOSTILE = [
    "\0",
    "%00",
    "'; DROP TABLE datasets; --",
    "../../etc/passwd",
    "9" * 400,
    "-1",
    "1e400",
    "\ufffe\ud7ff",
    "١٢٣٤٥٦٧٨٩٠١٢٣",
    "2262-04-11T23:47:17Z",
    "1677-09-21",
    "null",
    "",
    " ",
    ",,,",
    "*",
    "[",
]


def operations(document):
    for path, methods in document["paths"].items():
        # A stream of events has no end.
        if "get" in methods and "live" not in methods["get"]["tags"]:
            yield path, methods["get"]


def hostile(url, document, values):
    """Send each parameter some of the hostile values, with what the route needs beside it."""
    known = {path.replace(f"/datasets/{BARS}", "/datasets/{name}"): given for path, given, _ in READS}
    turn = 0
    with httpx.Client(base_url=url, timeout=10) as client:
        for path, operation in operations(document):
            usual = known.get(path.removeprefix("/api/v1"), {})
            for parameter in operation.get("parameters", ()):
                name = parameter["name"]
                for _ in range(values):
                    value = HOSTILE[turn % len(HOSTILE)]
                    turn += 1
                    address, query = path.replace("{rule}", "hours"), dict(usual)
                    if parameter["in"] == "query":
                        query[name] = value
                    else:
                        address = path.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
                    answer = client.get(address.replace("{name}", BARS), params=query)
                    assert str(answer.status_code) in operation["responses"], (address, query, answer.text)
                    assert answer.status_code < 500, (address, query, answer.text)


def test_hostile_values_of_parameters_are_refused_or_answered(url, document):
    hostile(url, document, 1)


@pytest.mark.trials
def test_all_hostile_values_of_parameters_are_refused_or_answered(url, document):
    hostile(url, document, len(HOSTILE))


def test_spans_of_a_million_days_are_refused_or_answered_at_once(url, document):
    spans = [{"start": "1700-01-01", "end": "2262-01-01"}, {"start": "1700-01-01"}, {"end": "2262-01-01"}]
    with httpx.Client(base_url=url, timeout=5) as client:
        for path, operation in operations(document):
            if "start" in {parameter["name"] for parameter in operation.get("parameters", ())}:
                address = path.replace("{name}", BARS)
                usual = next((given for known, given, _ in READS if path.endswith(known)), {})
                for span in spans:
                    answer = client.get(address, params={**usual, **span})
                    assert answer.status_code in (200, 400, 404), (address, span, answer.text)


def test_every_operation_is_told_of_in_full(document):
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
            content = good.get("content", {}).get("application/json")
            # Metrics are no JSON, and what is deleted needs no words.
            assert content is None or "example" in content, path
            assert {"400", "401", "403", "404", "500"} <= operation["responses"].keys(), path
            assert "422" not in operation["responses"], path
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), (path, parameter["name"])


def test_the_tags_are_in_order(document):
    assert [tag["name"] for tag in document["tags"]][:3] == ["datasets", "rows", "completeness"]
