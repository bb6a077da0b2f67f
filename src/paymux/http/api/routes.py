"""What a route of the API is: one value, from which the listener serves it and OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from paymux.http.inside import Inside
from paymux.settings.tokens import Role

API: Final = "/api/v1/"
JSON: Final = "application/json"
LARGEST_BODY: Final = 64 * 1024


class Given(BaseModel):
    """What a client gives: nothing that is not documented."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Nothing(Given):
    """No parameters."""


Q_co = TypeVar("Q_co", bound=Given, covariant=True)
B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whose token it is: the name stands in the audit trail."""

    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Q_co, B_co]):
    """One request, read and allowed. `path` has the variable parts of the URL."""

    inside: Inside
    who: Person
    path: Mapping[str, str]
    query: Q_co
    body: B_co
    request: web.Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Where the answer is not just a value with 200. None as value is an empty body."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`path` comes below /api/v1/. `answers`: status -> the type of the answer, None for another media type than JSON.
    `call` gives a value, an Answer or a response of its own. `problems` are slugs beyond those that every route may
    answer. `name` is the operation's id. `headers` are those of the request that count, `largest` is that of a body in
    bytes.
    """

    method: str
    path: str
    role: Role
    name: str
    summary: str
    call: Callable[[Call[Any, Any]], Awaitable[Any]]
    answers: Mapping[int, Any]
    query: type[Given] = Nothing
    body: type[Given] | None = None
    largest: int = LARGEST_BODY
    media: str = JSON
    headers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return API + self.path
