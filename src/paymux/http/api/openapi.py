"""The API as OpenAPI 3.1 describes it, made from the table of routes. https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from paymux.http.api.problems import KINDS, MEDIA, ProblemDetails
from paymux.http.api.routes import API, JSON, Route

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
# What every route may answer.
_EVERYWHERE: Final = (
    "bad_request",
    "unauthorized",
    "token_expired",
    "forbidden",
    "unknown_host",
    "no_tokens",
    "too_many_wrong_tokens",
    "internal_error",
    "journal_unavailable",
)
_WITH_BODY: Final = ("too_large", "unsupported_media_type")


def described(routes: Iterable[Route]) -> Schema:
    routes = tuple(routes)
    schemas, components = _schemas(routes)
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "paymux, private API",
            "version": "1",
            "description": "Find, explain, replay: for operators. Every operation says which role its token needs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": API.rstrip("/")}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(routes: tuple[Route, ...]) -> tuple[Mapping[Any, Schema], Schema]:
    """Of every answer and body, by (mode, type), and what they refer to."""
    answers = {kind for route in routes for kind in route.answers.values() if kind is not None} | {ProblemDetails}
    bodies = {route.body for route in routes if route.body is not None}
    inputs: list[tuple[Any, Literal["serialization", "validation"], TypeAdapter[Any]]] = [
        *((kind, "serialization", TypeAdapter(kind)) for kind in sorted(answers, key=_name)),
        *((kind, "validation", TypeAdapter(kind)) for kind in sorted(bodies, key=_name)),
    ]
    found, extra = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    components: Schema = extra.get("$defs", {})
    for part in _objects(components):
        _tidy(part)
    return {kind: schema for (kind, _), schema in found.items()}, dict(sorted(components.items()))


def _name(kind: Any) -> str:
    return str(kind.__name__)


def _objects(part: Any) -> Iterator[Schema]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for child in part:
            yield from _objects(child)


def _tidy(part: Schema) -> None:
    """Titles name types, not keys; a description is one line."""
    if isinstance(part.get("description"), str):
        part["description"] = " ".join(part["description"].split())
    for schema in (part.get("properties") or {}).values():
        if isinstance(schema, dict):
            schema.pop("title", None)


# --- operations


def _operation(route: Route, schemas: Mapping[Any, Schema]) -> Schema:
    told: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Role: `{route.role}`.",
        "tags": [route.path.partition("/")[0]],
        "parameters": [*_path(route), *_query(route), *_headers(route)],
        "responses": {**_answers(route, schemas), **_problems(route)},
    }
    if route.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[route.body]}}}
    return told


def _path(route: Route) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query(route: Route) -> Iterator[Schema]:
    schema = route.query.model_json_schema()
    for name, kind in schema.get("properties", {}).items():
        plain = _not_null(kind)
        described = plain.pop("description", None)
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            **({"description": described} if described else {}),
            "schema": plain,
        }


def _not_null(schema: Schema) -> Schema:
    """A query string has no null: the parameter is left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {word: value for word, value in schema.items() if word not in ("anyOf", "title") and value is not None}
    return {**kinds[0], **rest} if len(kinds) == 1 else rest


def _headers(route: Route) -> Iterator[Schema]:
    for name in route.headers:
        yield {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def _answers(route: Route, schemas: Mapping[Any, Schema]) -> Schema:
    return {
        str(status): {
            "description": _ANSWERS[status],
            "content": {route.media: {}} if kind is None else {JSON: {"schema": schemas[kind]}},
        }
        for status, kind in route.answers.items()
    }


_ANSWERS: Final = {200: "Done.", 201: "Created.", 204: "Done; there is nothing to say."}


def _problems(route: Route) -> Schema:
    slugs = (*_EVERYWHERE, *(_WITH_BODY if route.body is not None else ()), *route.problems)
    by_status: dict[int, list[str]] = {}
    for slug in slugs:
        by_status.setdefault(KINDS[slug].status, []).append(slug)
    return {
        str(status): {
            "description": "; ".join(f"`{slug}`: {KINDS[slug].title}" for slug in found) + ".",
            "content": {MEDIA: {"schema": {"$ref": _REF.format(model=_name(ProblemDetails))}}},
        }
        for status, found in sorted(by_status.items())
    }
