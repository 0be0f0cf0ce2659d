"""No path and no name in any parameter or body, of any route, leads out of the lake; the routes are those of the OpenAPI document."""

from __future__ import annotations

import re
from contextlib import ExitStack
from itertools import islice
from urllib.parse import quote

import httpx
import pytest

from ticklake.app import open_lake
from ticklake.config import ServerSettings

from .conftest import running

DATASET = "x:trades:A/B"
CANARY = "what nobody may read"
ALLOWED = r"lake/catalog\.db|lake/uploads(/[0-9a-f]{32}(/[^/]+)?)?$"
TRAPS = [
    "../secret.txt",
    "../../../../../../etc/passwd",
    "..\\secret.txt",
    "/etc/passwd",
    "file:///etc/passwd",
    "x:trades:../../secret",
    "x:trades@../../secret:A/B",
    "%2e%2e%2fsecret.txt",
    "..%2fsecret.txt",
    "%252e%252e%252fsecret.txt",
    "....//secret.txt",
    "../secret.txt\0.parquet",
    "~/secret.txt",
    "$(touch ../owned)",
    "'; ATTACH DATABASE '../owned' AS x; --",
    "' UNION SELECT digest FROM tokens --",
    "{{7*7}}${7*7}",
    "a\r\nSet-Cookie: owned=1",
]


class House:
    """A lake in a folder with a secret beside it, and its server."""

    def __init__(self, stack, folder):
        self.folder = folder
        (folder / "secret.txt").write_text(CANARY)
        lake = stack.enter_context(open_lake(folder / "lake"))
        lake.save(DATASET, [{"ts": "2024-01-01T00:00:00Z", "price": 1.5, "amount": 2.0}])
        self.secret = lake.tokens.create("root", "admin").secret
        url = stack.enter_context(running(lake, ServerSettings(port=0)))
        headers = {"Authorization": f"Bearer {self.secret}"}
        self.client = stack.enter_context(httpx.Client(base_url=url, timeout=10, headers=headers, verify=False))
        self.document = self.client.get("/api/v1/openapi.json").json()
        self.digest = next(iter(lake.engine.catalog.database.fetch(_digests(), {})))[0]

    def files(self):
        """Everything around the lake, and in it all but the catalog and files that were uploaded."""
        names = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}
        return {name for name in names if not re.match(ALLOWED, name)}

    def ask(self, method, address, **more):
        with self.client.stream(method, address, **more) as answer:
            # Events come until the client leaves.
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return
            answer.read()
            self.check(answer)

    def check(self, answer):
        assert answer.status_code < 500, (answer.request.method, answer.request.url, answer.text)
        shown = answer.text + repr(answer.headers)
        told = [word for word in (CANARY, "root:x:", str(self.folder), self.digest, "Traceback") if word in shown]
        assert told == [], (answer.request.method, answer.request.url)
        assert "set-cookie" not in answer.headers


def _digests():
    from sqlalchemy import select

    from ticklake.catalog import schema
    from ticklake.catalog.prepared import Prepared

    return Prepared(select(schema.tokens.c.digest))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with ExitStack() as stack:
        yield House(stack, tmp_path_factory.mktemp("house"))


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def is_text(schema):
    kinds = [schema, *schema.get("anyOf", ())]
    return any(kind.get("type") in {"string", "array"} and "enum" not in kind for kind in kinds)


def body_of(document, operation):
    """The schema of the fields of a JSON body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"].get(name, schema).get("properties", {})


def requests(document, trap):
    """A request for each text in a parameter or a body that the document tells of, with the trap in its place."""
    for method, path, operation in operations(document):
        usual = {}
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query" and parameter.get("required"):
                usual[parameter["name"]] = parameter.get("example", "binance")
        for parameter in operation.get("parameters", ()):
            if is_text(parameter["schema"]):
                address, query = path, dict(usual)
                if parameter["in"] == "query":
                    query[parameter["name"]] = trap
                else:
                    address = path.replace(f"{{{parameter['name']}}}", quote(trap, safe=""))
                yield method, filled(address), query, {}
        fields = body_of(document, operation)
        for name in fields:
            yield method, filled(path), usual, {**dict.fromkeys(fields, 1), name: trap}


def filled(path):
    return re.sub(r"\{[^}]*\}", quote(DATASET, safe=""), path)


def attack(house, traps, every=1):
    before = house.files()
    for trap in traps:
        for method, address, query, body in islice(requests(house.document, trap), None, None, every):
            more = {"json": body} if body else {}
            house.ask(method, address, params=query, **more)
        house.ask("GET", f"/{quote(trap, safe='/')}")
    assert house.files() == before


def test_no_name_leads_out_of_the_lake(house):
    attack(house, TRAPS[:2], every=3)


@pytest.mark.trials
def test_none_of_many_names_leads_out_of_the_lake(house):
    attack(house, TRAPS)


def test_every_route_is_attacked(house):
    """Else the test above would be green because the document had another form."""
    attacked = {(method, address) for method, address, _, _ in requests(house.document, "x")}
    assert len(attacked) > 30
    assert any(method != "GET" for method, _ in attacked)
