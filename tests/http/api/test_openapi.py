"""The API's description: what it says is what is there, and nothing that a fuzzer sends finds otherwise."""

from __future__ import annotations

import asyncio
import json
import re
import sys

import pytest
from jsonschema import Draft202012Validator

from paymux.contracts import OPENAPI_FILE, documents
from paymux.http.api import ROUTES
from paymux.http.api.problems import KINDS
from paymux.journal.history import Sought
from paymux.journal.sqlite import SqliteJournal
from paymux.replay.orders import Order
from tests.http.api.stories import delivery_id, fill, payment
from tests.http.inside import inside, server, token_of

EXAMPLES = 4  # a route, beside the boundaries of each parameter
SEED = 20261121
JOB = "00000000-0000-7000-8000-000000000001"
DOCUMENT = json.loads(documents()[OPENAPI_FILE])


async def test_it_is_served(ask):
    """To viewers: what is checked in under schemas/."""
    got = await ask.get("openapi.json", who="looker")
    assert (got.status, got.body) == (200, DOCUMENT)


def test_every_route_is_described():
    """With its role, its parameters and every problem that it names."""
    told = {(method.upper(), path): found for path, ways in DOCUMENT["paths"].items() for method, found in ways.items()}
    assert set(told) == {(route.method, f"/{route.path}") for route in ROUTES}
    for route in ROUTES:
        found = told[route.method, f"/{route.path}"]
        assert found["description"] == f"Role: `{route.role}`."
        named = {each["name"] for each in found["parameters"]}
        assert named == set(re.findall(r"{(\w+)}", route.path)) | set(route.query.model_fields) | set(route.headers)
        for slug in (*route.problems, "unauthorized", "forbidden", "bad_request"):
            assert f"`{slug}`" in found["responses"][str(KINDS[slug].status)]["description"]
    assert len({found["operationId"] for found in told.values()}) == len(told)


def references(part):
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
        part = list(part.values())
    for child in part if isinstance(part, list) else ():
        yield from references(child)


def test_every_schema_is_one_and_every_reference_leads_somewhere():
    """And nothing is described that nobody uses."""
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert set(references(DOCUMENT)) == {f"#/components/schemas/{name}" for name in schemas}


@pytest.mark.timeout(240)
async def test_schemathesis_finds_nothing(tmp_path):
    """Every route over a real port: good and bad parameters, bodies, methods and tokens, and what follows from each
    other. What no schema can say (filters that contradict each other) may be 422.
    """
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    await fill(journal)
    shown = inside(journal=journal)
    await shown.replays.create(Order(kind="diff", sought=Sought()), "ops")  # the first job, called JOB
    work = asyncio.create_task(shown.replays.run())
    listener = server(shown, wrong_tokens=1e6)
    await listener.start_server()
    try:
        found, told = await schemathesis(tmp_path, listener.port)
    finally:
        work.cancel()
        await listener.close()
        await shown.history.close()
        await shown.archive.close()
        await journal.close()
    assert found == 0, told
    selected = int(re.search(r"(\d+) selected", told)[1])
    assert selected == len(ROUTES) - len(ASIDE), told


ASIDE = {"/tail", "/openapi.json"}  # the first one does not end; the second is what the fuzzer itself reads
CONFIGURATION = f"""
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 422]

[[operations]]
include-path-regex = "^/deliveries/"
parameters = {{ id = "{delivery_id(1)}" }}

[[operations]]
include-path-regex = "^/jobs/"
parameters = {{ id = "{JOB}" }}

[[operations]]
include-path-regex = "^/payments/"
parameters = {{ provider = "stripe", account = "acme", id = "{payment()}" }}
"""


async def schemathesis(folder, port) -> tuple[int, str]:
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {token_of('admin')}", "--exclude-path", "/tail", "--no-color"),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, told.decode()
