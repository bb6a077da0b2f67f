"""The published contracts: generated from the code, checked in, and true of what comes out."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from paymux import canonical, contracts, times
from paymux.delivery import Asked, Delivery, ObjectRef, Proof
from paymux.money import Money
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.records import event_record, offline_events, quarantine_record
from paymux.sandbox import samples
from paymux.signatures import trusted
from paymux.translate import translate

CHECKED_IN = Path(__file__).parents[1] / "schemas"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def closed(schema: dict) -> dict:
    """The schema with no further key allowed anywhere: what comes out has those that are documented and no other."""
    schema = copy.deepcopy(schema)
    for part in (schema, *schema["$defs"].values()):
        if "properties" in part:
            part["additionalProperties"] = False
    return schema


FORMATS = FormatChecker()


@FORMATS.checks("date-time", ValueError)
def is_date_time(value) -> bool:
    """jsonschema checks this one only with another package."""
    return not isinstance(value, str) or bool(times.from_rfc3339(value))


EVENT = Draft202012Validator(closed(contracts.event_schema()), format_checker=FORMATS)
QUARANTINE = Draft202012Validator(closed(contracts.quarantine_schema()), format_checker=FORMATS)


def an_event() -> dict:
    money = Money(4999, "EUR", 2)
    event = canonical.PaymentEvent(
        id="0b0c6f0e-6a4e-5d0f-9d53-0b6a2b0f7c11",
        source="/paymux/flowlix/acme",
        type="payment.succeeded",
        subject="pay_1",
        time=NOW,
        data=canonical.Data(
            provider="flowlix",
            account="acme",
            livemode=False,
            entity=canonical.Entity.PAYMENT,
            payment_id="pay_1",
            payment=canonical.Payment(id="pay_1", status=canonical.PaymentStatus.SUCCEEDED, amount=money),
            lifecycle=canonical.Lifecycle(
                sequence=3,
                transition=canonical.Transition.ADVANCED,
                previous_status="processing",
                state=canonical.State(
                    status=canonical.PaymentStatus.SUCCEEDED,
                    amount=money,
                    captured=None,
                    refunded=None,
                    refund_state="none",
                    disputed=False,
                ),
            ),
            origin=canonical.Origin(
                delivery_id="01900000-0000-7000-8000-000000000000",
                event_key="evt_1",
                event_type="payment.succeeded",
                received_at=NOW,
                via=canonical.Via.WEBHOOK,
                proof=canonical.Proof.SIGNATURE,
                mapping="flowlix/1",
            ),
        ),
    )
    return json.loads(canonical.EVENT.dump_json(event))


def verified(provider: str, body: bytes, asked: Asked | None = None):
    return trusted(
        Delivery(
            id="01900000-0000-7000-8000-000000000000",
            provider=provider,
            account="acme",
            received_at=NOW,
            body=body,
            asked=asked,
        )
    )


def everything_from_samples():
    """(label, account, verified, item) of every sample that gives events offline."""
    for name, provider in BY_NAME.items():
        account = Account(provider=provider, name="acme")
        for sample in samples.webhooks(name):
            proven = verified(name, sample.body)
            yield from ((sample.label, account, proven, item) for item in translate(account, proven))
        for sample in samples.answers(name):
            if sample.name in (provider.api.objects if provider.api else ()):
                endpoint = provider.api.objects[sample.name]
                found = json.loads(sample.body)
                for key in endpoint.unwrap:
                    found = found[key]
                asked = Asked(ref=ObjectRef(object=sample.name, id=found[endpoint.id_key]))
                proven = verified(name, sample.body, asked)
                yield from ((sample.label, account, proven, item) for item in translate(account, proven))


def test_the_checked_in_documents_are_those_that_the_code_makes():
    """`paymux schemas --write schemas` changes nothing."""
    made = contracts.documents()
    assert {path.name for path in CHECKED_IN.iterdir()} == made.keys()
    for name, document in made.items():
        assert (CHECKED_IN / name).read_bytes() == document, f"{name}: run paymux schemas --write schemas"


@pytest.mark.parametrize(
    "schema", [contracts.event_schema(), contracts.quarantine_schema()], ids=["event", "quarantine"]
)
def test_a_schema_is_one_of_its_dialect(schema):
    """Both schemas say their dialect and are valid in it."""
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].startswith("urn:paymux:")
    Draft202012Validator.check_schema(schema)


def test_every_key_is_required_everywhere():
    """What is not known is null, never absent."""
    for schema in (contracts.event_schema(), contracts.quarantine_schema()):
        for name, part in {"": schema, **schema["$defs"]}.items():
            if part.get("type") == "object":
                assert part["required"] == list(part["properties"]), name


def test_a_complete_event_is_valid():
    """An event made from the classes, lifecycle and all, obeys the schema."""
    EVENT.validate(an_event())


def _set(event, path, value):
    *way, last = path.split(".")
    here = event
    for key in way:
        here = here[key]
    here[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "not-a-uuid"),
        ("type", "payment.teleported"),
        ("source", "/elsewhere"),
        ("time", "yesterday"),
        ("data.payment", None),
        ("data.refund", {"id": "re_1"}),
        ("data.payment.amount.minor", 49.99),
        ("data.payment.amount.currency", "eur"),
        ("data.payment.status", "paid"),
        ("data.lifecycle.sequence", 0),
        ("data.lifecycle.previous_status", "teleported"),
        ("data.origin.proof", "hint"),
        ("data.origin.event_key", None),
        ("data.entity", "refund"),
    ],
)
def test_an_event_that_breaks_the_contract_is_refused(path, value):
    """The schema is no rubber stamp: one wrong value anywhere makes the event invalid."""
    event = an_event()
    _set(event, path, value)
    with pytest.raises(jsonschema.ValidationError):
        EVENT.validate(event)


def test_an_event_without_one_of_its_keys_is_refused():
    """Each key of the envelope, the data and the payment is always there."""
    for path in ("data", "data.payout", "data.payment.fee", "data.origin.corrects", "data.lifecycle.state"):
        event = an_event()
        *way, last = path.split(".")
        here = event
        for key in way:
            here = here[key]
        del here[last]
        assert not EVENT.is_valid(event), path


def test_every_event_of_every_sample_is_valid():
    """Whatever the samples become obeys the schema, and has no key that it does not name."""
    seen = set()
    for label, account, proven, item in everything_from_samples():
        for event in map(json.loads, offline_events(account, proven, item)):
            errors = [f"{error.json_path}: {error.message}" for error in EVENT.iter_errors(event)]
            assert not errors, f"{account.provider.name} {label}: {errors}"
            seen.add(account.provider.name)
    assert seen == BY_NAME.keys()


def test_a_quarantine_record_is_valid():
    """What goes to the quarantine topic obeys its schema, and the topic's document knows its headers."""
    record = quarantine_record(
        canonical.QuarantineData(
            provider="flowlix",
            account="acme",
            livemode=None,
            delivery_id="01900000-0000-7000-8000-000000000000",
            item=None,
            reason="unknown_event_type",
            path=None,
            detail=None,
            event_key="evt_1",
            event_type="payment.teleported",
            received_at=NOW,
        ),
        topic="payments.quarantine.v1",
    )
    QUARANTINE.validate(json.loads(record.value))
    _headers_are_documented(record, "quarantineEvent")


def _headers_are_documented(record, message):
    headers = contracts.asyncapi()["components"]["messages"][message]["headers"]
    told = {name: value.decode() for name, value in record.headers}
    Draft202012Validator({**headers, "additionalProperties": False}).validate(told)


def test_every_transition_and_proof_of_the_code_is_in_the_schema():
    """The vocabulary of the schema is that of the code, a hint's proof aside."""
    defs = contracts.event_schema()["$defs"]
    assert defs["Transition"]["enum"] == [one.value for one in canonical.Transition]
    assert set(defs["Proof"]["enum"]) == {one.value for one in Proof} - {"hint"}


# AsyncAPI 3.0, what its own schema demands of the parts used here.
# https://www.asyncapi.com/docs/reference/specification/v3.0.0
REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}, "maxProperties": 1}
KAFKA = {"type": "object", "properties": {"bindingVersion": {"const": "0.5.0"}}, "required": ["bindingVersion"]}
ASYNCAPI = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "id": {"type": "string", "format": "uri"},
        "info": {"type": "object", "required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "channels": {
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "additionalProperties": False,
                "properties": {
                    "address": {"type": "string"},
                    "description": {"type": "string"},
                    "messages": {"additionalProperties": REFERENCE, "minProperties": 1},
                    "bindings": {"type": "object", "properties": {"kafka": KAFKA}},
                },
            }
        },
        "operations": {
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "items": REFERENCE},
                },
            }
        },
        "components": {
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "type": "object",
                        "required": ["payload", "headers"],
                        "properties": {
                            "headers": {"type": "object", "properties": {"type": {"const": "object"}}},
                            "bindings": {"type": "object", "required": ["kafka"], "properties": {"kafka": KAFKA}},
                        },
                    }
                }
            }
        },
    },
    "additionalProperties": False,
}


def test_the_asyncapi_document_has_the_form_of_its_specification():
    """Every part that we use stands where AsyncAPI 3.0 wants it."""
    Draft202012Validator(ASYNCAPI).validate(contracts.asyncapi())


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    """Pointers resolve inside the document, files are among the checked-in ones."""

    def references(part):
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            part = list(part.values())
        if isinstance(part, list):
            for child in part:
                yield from references(child)

    document = contracts.asyncapi()
    found = list(references(document))
    assert len(found) >= 10
    for ref in found:
        file, _, pointer = ref.partition("#")
        if file:
            assert (CHECKED_IN / file).is_file(), ref
            continue
        here = document
        for key in pointer.split("/")[1:]:
            here = here[key]


def test_the_topics_are_those_of_the_design():
    """Channel addresses are the topics' names."""
    addresses = {channel["address"] for channel in contracts.asyncapi()["channels"].values()}
    assert addresses == {"payments.events.v1", "payments.quarantine.v1", "paymux.checkpoints"}


def test_the_headers_of_an_event_record_are_documented():
    """A record as the journal makes it has the headers that the document names, and no other."""
    from paymux import lifecycle
    from paymux.records import Spoken

    provider = BY_NAME["flowlix"]
    account = Account(provider=provider, name="acme")
    proven = verified("flowlix", samples.webhook("flowlix", "payment.succeeded").body)
    [item] = translate(account, proven)
    [statement] = item.outcome.statements
    announcement = lifecycle.Announcement(
        slot="status",
        type="payment.succeeded",
        lifecycle=canonical.Lifecycle(
            sequence=1, transition=canonical.Transition.FIRST, previous_status=None, state=None
        ),
    )
    spoken = Spoken(account=account, verified=proven, item=item, statement=statement, event_key="evt_1")
    record = event_record(spoken, announcement, topic="payments.events.v1", key="k", payment_id="pay_1")
    EVENT.validate(json.loads(record.value))
    _headers_are_documented(record, "paymentEvent")
