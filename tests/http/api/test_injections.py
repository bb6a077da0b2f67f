"""V-61: what is sought is a value, wherever it stands: never SQL, a pattern, or a name of a column."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from paymux.http.api import ROUTES
from paymux.http.api.fields import Filters
from paymux.journal.history import Sought
from tests.http.api.stories import delivery_id, payment

HOSTILE = (
    "'",
    '"',
    "' OR '1'='1",
    '" OR ""="',
    "') OR 1=1 --",
    "x' UNION SELECT body FROM deliveries --",
    "'; DROP TABLE deliveries; --",
    "1); DELETE FROM audit; --",
    "stripe' COLLATE NOCASE --",
    "row DESC, (SELECT randomblob(1000000000))",
    "%",
    "evt%",
    "ev__",
    "*",
    "[a-z]*",
    "?",
    "$.id",
    '["a"]',
    "\\",
    "\x00evt",
    "evt\x00",
    "\N{FULLWIDTH APOSTROPHE} OR 1=1",
)
# Whatever is given for these is a name or a time of our own, else refused.
OURS = ("outcome", "since", "until")
TEXTS = sorted(Filters.model_fields.keys() - set(OURS))


async def left(ask):
    """All that an injection might have changed or shown."""
    page = await ask.inside.history.deliveries(Sought(), limit=100)
    return [each.id for each in page.deliveries], len(await ask.inside.journal.read(0, 0, 100))


def fitting(name, text):
    return f"stripe/acme/{text}" if name == "payment" else text


@pytest.mark.parametrize("name", [*TEXTS, "id"])
async def test_a_text_that_is_sought(ask, name):
    """V-61: it is found where it stands so, letter by letter, and that is nowhere."""
    before = await left(ask)
    for text in HOSTILE:
        got = await ask.get("deliveries", params={name: fitting(name, text)}, who="looker")
        told = (got.status, got.body.get("deliveries", got.body.get("detail")))
        assert told == (200, []), (name, text)
    assert await left(ask) == before


@pytest.mark.parametrize("name", [*OURS, "cursor", "limit"])
async def test_a_text_in_place_of_a_word_of_ours(ask, name):
    """V-61: refused before it comes near the journal."""
    for text in HOSTILE:
        got = await ask.get("deliveries", params={name: text}, who="looker")
        assert (got.status, got.body["errors"][0]["name"]) == (400, name), text


@pytest.mark.parametrize("name", ["sort", "order", "order_by", "orderBy", "columns", "fields", "filter", "where", "q"])
@pytest.mark.parametrize("path", ["deliveries", "quarantine", "jobs", "audit", "rejections"])
async def test_a_parameter_that_would_sort_or_select(ask, path, name):
    """V-61: there is none: the order of every list is its own."""
    got = await ask.get(path, params={name: "row"}, who="admin")
    assert (got.status, got.body["errors"][0]["name"]) == (400, name)


@pytest.mark.parametrize("route", [each for each in ROUTES if "{" in each.path], ids=lambda each: each.name)
async def test_an_id_in_a_path(ask, route):
    """V-61: it names nothing that is there, and nothing happens."""
    before = await left(ask)
    for text in HOSTILE:
        path = re.sub(r"{\w+}", lambda _, text=text: quote(text, safe=""), route.path)
        got = await ask(route.method, path)
        assert got.status in (400, 404), (path, got)
    assert await left(ask) == before


async def test_a_job_over_what_is_sought(ask):
    """V-61: an order with such filters is about nothing."""
    for name in TEXTS:
        for text in HOSTILE:
            told = {"kind": "republish", "filters": {name: fitting(name, text)}, "dry_run": True}
            got = await ask.post("jobs", told)
            assert (got.status, got.body.get("counts")) == (200, {}), (name, text)


@pytest.mark.parametrize("kind", ["payment", "customer"])
async def test_whose_data_is_erased(ask, kind):
    """V-61: nobody's, by a name that nobody has; most of all not everybody's."""
    await ask.inside.journal.advance(0, 100)
    before = await left(ask)
    for text in HOSTILE:
        got = await ask.post("erasures", {"kind": kind, "key": f"stripe/acme/{text}", "reason": "asked"})
        assert got.status in (404, 422), (text, got)
    assert await left(ask) == before
    page = await ask.inside.history.deliveries(Sought(), limit=100)
    assert all(each.size for each in page.deliveries)


async def test_the_same_text_where_it_is_meant(ask):
    """V-61: a search that finds nothing finds nothing since nothing is so called: the beginning of an id still does."""
    for text, count in ((payment(), 3), (delivery_id(2)[:-1], 5), ("evt_", 5)):
        got = await ask.get("deliveries", params={"id": text})
        assert len(got.body["deliveries"]) == count, text
