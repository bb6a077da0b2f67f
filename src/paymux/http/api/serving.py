"""Routes as aiohttp serves them: the role is asked for, what is given is tamed, the value becomes an answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import ValidationError

from paymux.explain import dump
from paymux.http.api.problems import NEVER_STORED, Mistake, Problem
from paymux.http.api.routes import JSON, Answer, Call, Given, Person, Route
from paymux.http.inside import Inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails

INSIDE: Final = web.AppKey("inside", Inside)
WHO: Final = web.RequestKey("who", Person)


def served(routes: Iterable[Route]) -> list[web.RouteDef]:
    """No HEAD beside GET: it would follow the tail, and see raw bodies without showing them."""
    return [_WAYS[route.method](route.url, _handler(route)) for route in routes]


_WAYS: Final[Mapping[str, Callable[[str, Any], web.RouteDef]]] = {
    "GET": partial(web.get, allow_head=False),
    "POST": web.post,
}


def _handler(route: Route) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        who = request[WHO]  # without it, nobody was let in
        if route.role not in who.roles:
            raise Problem("forbidden", f"the role {route.role} is needed")
        call = Call(
            inside=request.app[INSIDE],
            who=who,
            path=dict(request.match_info),
            query=_query(route, request),
            body=await _body(route, request),
            request=request,
        )
        return _answer(await route.call(call))

    return handle


def _query(route: Route, request: web.Request) -> Given:
    given = request.query
    twice = [name for name in dict.fromkeys(given) if len(given.getall(name)) > 1]
    if twice:
        raise _mistaken([Mistake(place="query", name=name, detail="is given twice") for name in twice])
    try:
        return route.query.model_validate(dict(given))
    except ValidationError as error:
        mistakes = [_mistake("query", each) for each in _errors(error)]
    raise _mistaken(mistakes)


async def _body(route: Route, request: web.Request) -> Given | None:
    if route.body is None:
        return None
    if request.content_type != JSON or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem("unsupported_media_type")
    raw = await request.read()
    if len(raw) > route.largest:
        raise Problem("too_large", f"at most {route.largest:,} bytes")
    try:
        return route.body.model_validate_json(raw, strict=True)
    except ValidationError as error:
        mistakes = [_mistake("body", each) for each in _errors(error)]
    raise _mistaken(mistakes)


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _mistake(place: Any, error: ErrorDetails) -> Mistake:
    detail = error["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    if error["type"] == "extra_forbidden":
        detail = "there is no such parameter" if place == "query" else "there is no such field"
    return Mistake(place=place, name=".".join(map(str, error["loc"]))[:100], detail=detail)


def _mistaken(mistakes: list[Mistake]) -> Problem:
    told = "; ".join(f"{each.name}: {each.detail}" if each.name else each.detail for each in mistakes)
    return Problem("bad_request", told, errors=tuple(mistakes))


def _answer(found: Any) -> web.StreamResponse:
    if isinstance(found, web.StreamResponse):
        return found
    answer = found if isinstance(found, Answer) else Answer(value=found)
    return web.Response(
        body=dump(answer.value),
        status=answer.status,
        content_type=JSON,
        headers={**NEVER_STORED, **answer.headers},
    )
