"""What the pages list is what the code has: settings, routes, answers, commands, metrics, providers, event fields."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from importlib import import_module

import click
import pytest
from pydantic_core import PydanticUndefined

from paymux import __version__, canonical
from paymux.canonical import EVENT_TYPES, FACT_TYPES, STATUSES, Entity, FailureCategory, Transition
from paymux.cli import COMMANDS
from paymux.http import answers, private
from paymux.http.answers import Answer
from paymux.http.webhooks import _HEALTH
from paymux.provider import Provider
from paymux.providers import ALL
from paymux.relay import INSTRUCTIONS, Phase
from paymux.settings import load
from paymux.settings.models import SECTIONS
from paymux.telemetry import COUNTERS, GAUGES, HISTOGRAMS
from tests.docs.pages import DOCS, ROOT, coded, fenced, headings, read, rows, section

sys.path.insert(0, str(DOCS / "tools"))
import provider_facts

CONFIGURATION = read("docs/configuration.md")
EVENT = read("docs/event.md")
LISTS = {("accounts",), ("admin", "tokens")}


def title_of(path: tuple[str, ...]) -> str:
    name = ".".join(path)
    return f"`[[{name}]]`" if path in LISTS else f"`[{name}]`"


def shown(default) -> str:
    """As the tables have it."""
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


# --- configuration.md


@pytest.mark.parametrize("path", [path for path in SECTIONS if path], ids=title_of)
def test_every_setting_has_its_row(path):
    """With its default; no row is left over from a setting that is gone."""
    told = {coded(row[0])[0]: row[2] for row in rows(section(CONFIGURATION, title_of(path)))}
    known = {name: shown(field.default) for name, field in SECTIONS[path].model_fields.items()}
    assert told == known


def test_every_section_has_its_heading():
    """And no other heading looks like a section."""
    told = {title for _, title in headings(CONFIGURATION) if title.startswith("`[")}
    assert told == {title_of(path) for path in SECTIONS if path}


# --- the examples


def toml_blocks():
    for page in sorted(DOCS.rglob("*.md")):
        for number, block in enumerate(fenced(page.read_text("utf-8"), "toml")):
            if "[[accounts]]" in block:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}:{number}")


@pytest.mark.parametrize("block", list(toml_blocks()))
def test_an_example_configuration(block, tmp_path):
    """Its accounts would start, its variables being set."""
    from paymux.providers import installed
    from paymux.settings.accounts import build_accounts

    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 40)
    file = tmp_path / "paymux.toml"
    file.write_text(re.sub(r"file:[^\"]+", f"file:{secret}", block))
    environ = dict.fromkeys(re.findall(r"env:(\w+)", block), "whsec_" + "A" * 40)
    environ |= {name: "A" * 64 for name in environ if name.endswith(("TOKEN", "KEY"))}
    assert build_accounts(load(file, environ), installed())


# --- providers


def test_every_provider_has_its_page():
    """And no page is about another one."""
    assert {page.stem for page in (DOCS / "providers").glob("*.md")} == {provider.name for provider in ALL}


@pytest.mark.parametrize("provider", ALL, ids=lambda provider: provider.name)
def test_every_option_has_its_heading(provider: Provider):
    """With its choices named below it; no heading is left over."""
    options = section(read(f"docs/providers/{provider.name}.md"), "Options")
    told = [coded(title)[0] for _, title in headings(options)]
    assert sorted(told) == sorted(option.name for option in provider.options)
    for option in provider.options:
        assert set(option.choices) <= set(coded(section(options, f"`{option.name}`")))


@pytest.mark.parametrize("page", list(provider_facts.pages()), ids=lambda page: page.stem)
def test_generated_facts(page):
    """They are what the code says now: run docs/tools/provider_facts.py."""
    text = page.read_text("utf-8")
    assert provider_facts.replaced(text, provider_facts.pages()[page]) == text


def test_an_example_of_a_provider():
    """The README's provider is a provider, and translates what it says."""
    from paymux.canonical import Payment, PaymentStatus
    from paymux.money import from_minor
    from paymux.provider import Account
    from paymux.signatures.timestamped_hmac import TimestampedHmac
    from paymux.statement import Head, Statement
    from tests.docs.example import translated

    names = {
        one.__name__: one for one in (Payment, PaymentStatus, Provider, TimestampedHmac, Head, Statement, from_minor)
    }
    [code] = [block for block in fenced(read("README.md"), "") if "Provider(" in block]
    exec(code, names)
    account = Account(provider=names["ACMEPAY"], name="acme")
    body = {
        "id": "evt_1",
        "type": "payment.paid",
        "created_at": 1790672434,
        "payment": {"id": "p_1", "status": "PAID", "amount": 4999, "currency": "EUR"},
    }
    [item] = translated(account, body)
    [statement] = item.outcome.statements
    assert (statement.block.status, statement.block.amount.minor) == ("succeeded", 4999)
    body["payment"]["status"] = "LOST"
    [item] = translated(account, body)
    assert (item.outcome.reason, item.outcome.path) == ("unknown_status", "/payment/status")


# --- http.md


def test_every_private_route_has_its_row():
    """With its method, and whether it wants a token."""
    told = {(row[0], coded(row[1])[0], row[2]) for row in rows(section(read("docs/http.md"), "Private"))}
    known = {
        (route.method, route.resource.canonical, "yes" if route.resource.canonical.startswith(private.API) else "no")
        for route in private.application(None).router.routes()
        if route.method != "HEAD"
    }
    assert told == known


def test_every_public_route_has_its_row():
    """Webhooks, and the health pages."""
    told = {coded(row[1])[0] for row in rows(section(read("docs/http.md"), "Public")) if row[1].startswith("`/")}
    assert told == {"/webhooks/{provider}/{account}", "/webhooks/{provider}/{account}/{token}", *_HEALTH}


def test_every_answer_has_its_row():
    """Status and body, as they go over the wire."""
    answered = [row for row in rows(section(read("docs/http.md"), "Public")) if row[1].isdigit()]
    told = {(row[1], "" if row[2] == "none" else coded(row[2])[0]) for row in answered}
    made = [value for value in vars(answers).values() if isinstance(value, Answer)] + [answers.too_many(1)]
    known = {(str(answer.status), answer.body.decode()) for answer in made if answer is not answers.HEALTHY}
    known |= {(str(provider.ack.status), provider.ack.body.decode()) for provider in ALL}
    known |= {(str(provider.refusal), answers.unauthorized(provider.refusal).body.decode()) for provider in ALL}
    assert told == known


# --- cli.md


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_has_its_row(name):
    """Below the command's heading, those of its subcommands too; none is left over."""
    command = getattr(import_module(COMMANDS[name][0]), name)
    commands = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
    options = {
        opt
        for each in commands
        for one in each.params
        if isinstance(one, click.Option)
        for opt in one.opts
        if opt.startswith("--")
    }
    told = {
        word
        for row in rows(section(read("docs/cli.md"), f"`paymux {name}`"))
        for opt in coded(row[0])
        for word in [opt.split(" ")[0]]
    }
    assert told == options


def test_every_command_has_its_heading():
    """And no heading is of another one."""
    told = [coded(title)[0] for level, title in headings(read("docs/cli.md")) if level == 2]
    assert told == [f"paymux {name}" for name in COMMANDS]


# --- operations.md


def test_every_metric_has_its_row():
    """Under the name that Prometheus shows, with its labels."""
    told = {coded(row[0])[0]: tuple(coded(row[1])) for row in rows(section(read("docs/operations.md"), "Metrics"))}
    known = {f"{name}_total": labels for name, (_, labels) in COUNTERS.items()}
    known |= {name: labels for name, (_, labels) in GAUGES.items()}
    known |= dict.fromkeys(HISTOGRAMS, ()) | {"paymux_build_info": ("version", "python")}
    assert told == known


def test_every_alarm_is_about_a_metric():
    """Its name is one of the table, its labels and phases exist."""
    known = {f"{name}_total" for name in COUNTERS} | set(GAUGES)
    alarms = [coded(row[0])[0] for row in rows(section(read("docs/operations.md"), "Alarms"))]
    assert alarms
    for alarm in alarms:
        assert set(re.findall(r"paymux_\w+", alarm)) <= known
        assert set(re.findall(r'phase="(\w+)"', alarm)) <= {phase.value for phase in Phase}


def test_every_stop_of_the_relay_has_its_row():
    """What to do, in one table."""
    told = {coded(row[0])[0] for row in rows(section(read("docs/operations.md"), "A relay that stopped"))}
    assert told == set(INSTRUCTIONS)


# --- event.md


def test_every_event_type_has_its_row():
    """A status type stands for all statuses of its entity."""
    told = {word for row in rows(section(EVENT, "Types")) for word in coded(row[0])}
    known = {f"{entity}.<status>" for entity in Entity} | {f"{entity}.updated" for entity in Entity}
    known |= {f"{entity}.{fact}" for entity, facts in FACT_TYPES.items() for fact in facts}
    assert told == known
    assert len(EVENT_TYPES) == sum(map(len, STATUSES.values())) + len(known) - len(Entity)


@pytest.mark.parametrize("entity", Entity)
def test_every_status_is_listed(entity):
    """In the order of the code."""
    [row] = [row for row in rows(section(EVENT, "Statuses")) if row[0] == entity]
    assert coded(row[1]) == [status.value for status in STATUSES[entity]]


@pytest.mark.parametrize("entity", Entity)
def test_every_field_of_a_block_is_listed(entity):
    """Those that all have stand above the table, its own in its row."""
    kind = {one.entity: one for one in (canonical.Payment, canonical.Refund, canonical.Dispute, canonical.Payout)}
    [row] = [row for row in rows(section(EVENT, "Blocks")) if row[0] == entity]
    shared = coded(section(EVENT, "Blocks").split("\n\n")[1])
    own = coded(re.sub(r"\([^)]*\)", "", row[1]))
    assert sorted([*shared, *own]) == sorted(field.name for field in fields(kind[entity]))


@pytest.mark.parametrize(
    ("title", "kind"), [("Origin", canonical.Origin), ("Lifecycle", canonical.Lifecycle), ("Envelope", canonical.Data)]
)
def test_every_key_of_a_table_is_listed(title, kind):
    """Of origin, lifecycle and data."""
    told = {word for row in rows(section(EVENT, title)) for word in coded(row[0])}
    assert {field.name for field in fields(kind)} <= told


def test_the_words_of_the_vocabulary():
    """Transitions and failure categories are all there."""
    told = {word for row in rows(section(EVENT, "Lifecycle")) for word in coded(row[0])}
    assert {step.value for step in Transition} <= told
    assert {category.value for category in FailureCategory} <= set(coded(section(EVENT, "Blocks")))


# --- security.md, CHANGELOG.md


def test_dependency_floors():
    """The versions that the page explains are those that pyproject.toml asks for."""
    told = {row[0]: row[1] for row in rows(section(read("docs/security.md"), "Dependencies"))}
    asked = dict(re.findall(r'^    "([\w-]+)>=([\d.]+)"', read("pyproject.toml"), re.MULTILINE))
    assert told == {name: asked[name] for name in told}
    assert set(told) == set(re.findall(r'"([\w-]+)>=[\d.]+", +#', read("pyproject.toml")))


def test_the_changelog_knows_this_version():
    """The newest version that it lists is the package's."""
    versions = re.findall(r"^## \[(\d[^\]]*)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__
