"""What others are promised, as documents: JSON Schema of the records' values, AsyncAPI of the topics, OpenAPI of the
private API.

`schemas/` holds what `documents` returns; a test keeps the two equal. JSON Schema 2020-12:
https://json-schema.org/draft/2020-12 , AsyncAPI 3.0: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux.canonical import CONTENT_TYPE, DATASCHEMA, EVENT, EVENT_TYPES, QUARANTINE, STATUSES, Entity, Transition
from paymux.delivery import Proof

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import TypeAdapter

Schema = dict[str, Any]

EVENT_FILE: Final = "payment-event.schema.json"
QUARANTINE_FILE: Final = "quarantine.schema.json"
ASYNCAPI_FILE: Final = "asyncapi.json"
OPENAPI_FILE: Final = "openapi.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_EVENT_ID: Final = {"format": "uuid"}
_SOURCE: Final = {"pattern": "^/paymux/[^/]+/[^/]+$"}

# What the classes cannot say: place in the document -> keywords to add there.
_EVENT_RULES: Final[Mapping[str, Schema]] = {
    "": {"title": "PaymentEvent"},
    "/properties/id": _EVENT_ID,
    "/properties/source": _SOURCE,
    "/properties/type": {"enum": list(EVENT_TYPES)},
    "/properties/dataschema": {"const": DATASCHEMA},
    "/$defs/Data": {
        "allOf": [
            {
                "if": {"properties": {"entity": {"const": entity.value}}},
                "then": {
                    "properties": {other.value: {"type": "object" if other is entity else "null"} for other in Entity}
                },
            }
            for entity in Entity
        ]
    },
    "/$defs/Proof": {"enum": [proof.value for proof in Proof if proof is not Proof.HINT]},
    "/$defs/Money": {"description": "An exact amount: `minor` / 10^`exponent` units of `currency` (ISO 4217)."},
    "/$defs/Money/properties/minor": {"minimum": -(2**63) + 1, "maximum": 2**63 - 1},
    "/$defs/Money/properties/currency": {"pattern": "^[A-Z]{3}$"},
    "/$defs/Money/properties/exponent": {"minimum": 0, "maximum": 4},
    "/$defs/Lifecycle/properties/previous_status": {
        "enum": [*dict.fromkeys(status.value for statuses in STATUSES.values() for status in statuses), None]
    },
}
_QUARANTINE_RULES: Final[Mapping[str, Schema]] = {
    "": {"title": "QuarantineEvent"},
    "/properties/id": _EVENT_ID,
    "/properties/source": _SOURCE,
    "/properties/dataschema": {"const": "urn:paymux:quarantine:1"},
    "/$defs/QuarantineData/properties/reason": {"pattern": "^[a-z][a-z0-9_]*$"},
}


def documents() -> dict[str, bytes]:
    """Every document by its file name, as it is checked in."""
    from paymux.http.api import ROUTES
    from paymux.http.api.openapi import described

    found = {
        EVENT_FILE: event_schema(),
        QUARANTINE_FILE: quarantine_schema(),
        ASYNCAPI_FILE: asyncapi(),
        OPENAPI_FILE: described(ROUTES),
    }
    return {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n" for name, value in found.items()}


def event_schema() -> Schema:
    return _schema(EVENT, DATASCHEMA, _EVENT_RULES)


def quarantine_schema() -> Schema:
    return _schema(QUARANTINE, "urn:paymux:quarantine:1", _QUARANTINE_RULES)


def _schema(adapter: TypeAdapter[Any], urn: str, rules: Mapping[str, Schema]) -> Schema:
    made = adapter.json_schema(mode="serialization")
    for part in _objects(made):
        _tidy(part)
    for place, keywords in rules.items():
        _at(made, place).update(keywords)
    return {"$schema": _DIALECT, "$id": urn, "title": made["title"], **made}


def _objects(part: Any) -> Iterator[Schema]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for child in part:
            yield from _objects(child)


def _tidy(part: Schema) -> None:
    """Every key is always present, null instead of absent; titles name types, not keys."""
    part.pop("default", None)
    properties = part.get("properties")
    if part.get("type") == "object" and properties:
        part["required"] = list(properties)
        for name, schema in properties.items():
            schema.pop("title", None)
            properties[name] = _nullable(schema)


def _nullable(schema: Schema) -> Schema:
    """A plain type or null, said in one line; enumerations and references keep `anyOf`."""
    match schema:
        case {"anyOf": [{"type": str()} as kind, {"type": "null"}]} if "enum" not in kind:
            said = {key: value for key, value in schema.items() if key != "anyOf"}
            return {**kind, "type": [kind["type"], "null"], **said}
    return schema


def _at(document: Schema, place: str) -> Schema:
    here = document
    for key in place.split("/")[1:]:
        here = here[key]
    return here


def asyncapi() -> Schema:
    return {
        "asyncapi": "3.0.0",
        "id": "urn:paymux:topics:1",
        "info": {
            "title": "paymux",
            "version": "1",
            "description": "What paymux publishes to Kafka. Read with `isolation.level=read_committed`: records are "
            "written in transactions. A topic may have another name by configuration.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {name: _channel(**told) for name, told in _CHANNELS.items()},
        "operations": {f"send{name[0].upper()}{name[1:]}": _sends(name) for name in _CHANNELS},
        "components": {"messages": _MESSAGES},
    }


_KAFKA: Final = "0.5.0"
_TEXT: Final[Schema] = {"type": "string"}
_HEADERS: Final[Mapping[str, Schema]] = {
    "content-type": {"const": CONTENT_TYPE},
    "ce_id": {**_TEXT, "description": "The event's id."},
    "ce_type": {**_TEXT, "description": "The event's type."},
    "ce_source": {**_TEXT, "description": "/paymux/{provider}/{account}"},
}
_QUARANTINE_HEADERS: Final[Mapping[str, Schema]] = {
    **_HEADERS,
    "ce_type": {"const": "paymux.quarantined"},
    "paymux_reason": {**_TEXT, "description": "data.reason"},
}
_EVENT_HEADERS: Final[Mapping[str, Schema]] = {
    **_HEADERS,
    "ce_type": {"enum": list(EVENT_TYPES)},
    "paymux_sequence": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "lifecycle.sequence"},
    "paymux_transition": {"enum": [step.value for step in Transition], "description": "Absent where null."},
    "paymux_replay": {**_TEXT, "description": "The replay's id, on a record that was published again."},
}


def _message(*, title: str, summary: str, key: str, headers: Mapping[str, Schema], payload: Schema) -> Schema:
    required = [name for name in _HEADERS if name in headers]
    return {
        "name": title,
        "title": title,
        "summary": summary,
        "headers": {"type": "object", "properties": dict(headers), "required": required},
        "payload": payload,
        "bindings": {"kafka": {"key": {**_TEXT, "description": key}, "bindingVersion": _KAFKA}},
    }


def _file(name: str) -> Schema:
    return {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": {"$ref": f"./{name}"}}


_MESSAGES: Final[Mapping[str, Schema]] = {
    "paymentEvent": _message(
        title="PaymentEvent",
        summary="A canonical payment event, CloudEvents 1.0 in structured mode.",
        key="provider/account/payment id; without a payment provider/account/entity id. Never changes.",
        headers=_EVENT_HEADERS,
        payload=_file(EVENT_FILE),
    ),
    "quarantineEvent": _message(
        title="QuarantineEvent",
        summary="A verified item that could not be translated, and why; never its body.",
        key="delivery id",
        headers=_QUARANTINE_HEADERS,
        payload=_file(QUARANTINE_FILE),
    ),
    "checkpoint": {
        **_message(
            title="Checkpoint",
            summary="Up to which row of which journal everything is published; in one transaction with the records.",
            key="journal and shard",
            headers={},
            payload={
                "type": "object",
                "properties": {
                    "journal": {**_TEXT, "format": "uuid"},
                    "shard": {"type": "integer", "minimum": 0},
                    "seq": {"type": "integer", "minimum": 1},
                    "event_id": {**_TEXT, "format": "uuid"},
                    "chain": _TEXT,
                    "prefix": {**_TEXT, "description": "transactional_id_prefix"},
                    "partitions": {"type": "integer", "minimum": 1, "description": "Of the events topic, then."},
                },
                "required": ["journal", "shard", "seq", "event_id", "chain", "prefix", "partitions"],
            },
        ),
        "contentType": "application/json",
    },
}
_CHANNELS: Final[Mapping[str, dict[str, str]]] = {
    "events": {
        "topic": "payments.events.v1",
        "message": "paymentEvent",
        "description": "Every canonical event, once, in order for each payment.",
    },
    "quarantine": {
        "topic": "payments.quarantine.v1",
        "message": "quarantineEvent",
        "description": "What was verified and could not be translated.",
    },
    "checkpoints": {
        "topic": "paymux.checkpoints",
        "message": "checkpoint",
        "description": "For paymux itself: compacted, one partition for each shard of the journal.",
    },
}


def _channel(*, topic: str, message: str, description: str) -> Schema:
    return {
        "address": topic,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": _KAFKA}},
    }


def _sends(channel: str) -> Schema:
    message = _CHANNELS[channel]["message"]
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }
