"""The providers' APIs on loopback: get and list in their documented shapes, errors included.

`Sandbox` holds the objects and is the control: `put` an object, `fail` the next requests, look at `requests`. One
application answers for all providers, each below `/{provider}`; `url` is the `api_url` to configure.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from paymux.sandbox.shapes import SHAPES, access_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from paymux.sandbox.shapes import Answer, Json, Shape

TENANT: Final = "bu_harbour_lease"
KEYS: Final[Mapping[str, str]] = {
    "flexportal": "fp_sandbox_key_0123456789abcdef",
    "flexprice": "sk_sandbox_0123456789abcdef",
    "flowglad": "sk_test_sandbox_0123456789abcdef",
    "flowlix": "api_test_sk_sandbox0123456789abcdef",
    "gocardless": "sandbox_0123456789abcdefghijklmnopqrstuv",
    "klarna": "PK00000_0123456789ab:sandbox0123456789abcdef",
    "mollie": "test_sandbox0123456789abcdefghijkl",
    "paypal": "sandbox_client_id_0123456789:sandbox_client_secret_0123456789",
    "stripe": "sk_test_sandbox0123456789abcdef",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that came: `path` below the provider's own host."""

    provider: str
    path: str
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    status: int
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """All objects by provider, kind and id, in the order in which they were first put."""

    keys: Mapping[str, str] = field(default_factory=lambda: dict(KEYS))
    base: str = ""
    requests: deque[Seen] = field(default_factory=lambda: deque(maxlen=10_000))
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    objects: dict[str, dict[str, dict[str, Json]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    pretended: dict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[str, deque[Failure]] = field(default_factory=lambda: defaultdict(deque))

    def put(self, provider: str, thing: bytes | Json) -> str:
        """Keep an object, or the answer to a GET that holds one, and return its id. Numbers keep their digits."""
        shape = SHAPES[provider]
        found = _read(shape, thing)
        ref: str = found[shape.id_key_of(found)]
        self.objects[provider][shape.kind(found)][ref] = found
        return ref

    def named(self, provider: str, thing: bytes | Json) -> str:
        """The id that `put` would return."""
        shape = SHAPES[provider]
        found = _read(shape, thing)
        ref: str = found[shape.id_key_of(found)]
        return ref

    def pretend(self, provider: str, thing: bytes | Json) -> None:
        """Answer for any id of that kind that nobody put, too, with a copy of this object that bears it."""
        shape = SHAPES[provider]
        found = _read(shape, thing)
        self.pretended[provider][shape.kind(found)] = found

    def remove(self, provider: str, kind: str, ref: str) -> None:
        del self.objects[provider][kind][ref]

    def fail(
        self,
        provider: str,
        status: int,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """Answer the next `times` requests with `status`, in the provider's error shape unless a body is given."""
        failure = Failure(status=status, headers=headers or {}, body=body)
        self.failures[provider].extend([failure] * times)

    def count(self, provider: str) -> int:
        """How many requests came, whatever they asked for."""
        return sum(count for (one, _), count in self.counts.items() if one == provider)

    def asked(self, provider: str, ref: str) -> int:
        """How often this object was asked for."""
        return self.counts[provider, ref]

    def url(self, provider: str) -> str:
        """The `api_url` of an account of this provider."""
        return f"{self.base}/{provider}{SHAPES[provider].prefix}"

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{provider}/{path:.*}", self._answer)
        app.router.add_post("/{provider}/{path:.*}", self._token)
        return app

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        """Listen on loopback; the URL is also in `base`."""
        runner = web.AppRunner(self.application(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.base
        finally:
            await runner.cleanup()

    # ---

    async def _answer(self, request: web.Request) -> web.Response:
        provider = request.match_info["provider"]
        shape = SHAPES.get(provider)
        if shape is None:
            return web.Response(status=404, text="no such provider")
        path = "/" + request.match_info["path"]
        self.requests.append(Seen(provider=provider, path=path, query=dict(request.query)))
        self.counts[provider, path.rpartition("/")[2]] += 1
        if self.failures[provider]:
            return _failed(shape, self.failures[provider].popleft())
        return _response(self._found(provider, shape, request, path))

    async def _token(self, request: web.Request) -> web.Response:
        provider, path = request.match_info["provider"], "/" + request.match_info["path"]
        shape = SHAPES.get(provider)
        self.requests.append(Seen(provider=provider, path=path, query={}))
        if shape is None or path != shape.token:
            return web.Response(status=405, text="only GET", headers={"Allow": "GET"})
        return _response(access_token(request.headers, self.keys[provider]))

    def _found(self, provider: str, shape: Shape, request: web.Request, path: str) -> Answer:
        refusal = shape.refuses(request.headers, self.keys[provider], TENANT)
        if refusal is not None:
            return shape.error(*refusal)
        for kind, place in shape.objects.items():
            if path == place:
                return shape.page(list(self.objects[provider][kind].values()), request.query)
            if path.startswith(f"{place}/"):
                return self._one(provider, shape, kind, path.removeprefix(f"{place}/"))
        return shape.no_route

    def _one(self, provider: str, shape: Shape, kind: str, ref: str) -> Answer:
        found = self.objects[provider][kind].get(ref)
        if found is None and (model := self.pretended[provider].get(kind)):
            found = {**model, shape.id_key_of(model): ref}
        if found is None:
            return shape.error(404, f"No such {kind}: {ref[:64]}")
        if shape.other_mode(found, self.keys[provider]):
            return shape.error(403, "The object belongs to the other mode")
        return shape.wrap(found)


def _read(shape: Shape, thing: bytes | Json) -> Json:
    found: Json = json.loads(thing, parse_float=orjson.Fragment) if isinstance(thing, bytes) else thing
    inner: Json | None = next((found[key] for key in shape.wrapped if key in found), None)
    return found if inner is None else inner


def _failed(shape: Shape, failure: Failure) -> web.Response:
    answer = shape.error(failure.status, "as asked for")
    body = answer.body if failure.body is None else failure.body
    return web.Response(
        status=failure.status,
        body=body,
        headers={"Content-Type": answer.content_type, **answer.headers, **failure.headers},
    )


def _response(answer: Answer) -> web.Response:
    headers: dict[str, Any] = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
