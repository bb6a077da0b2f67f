"""The providers' APIs: slow, busy, down, behind, or right."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from faults.facts import Sent, digest
from faults.simulation.accounts import ACCOUNT
from paymux.errors import ApiError
from paymux.provider_api import Answer
from paymux.sandbox.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from faults.simulation.nature import Chance
    from paymux.delivery import ObjectRef

_SECONDS: Final = 0.1
_FAULTS: Final[tuple[tuple[str, float, str, float | None], ...]] = (
    ("an API does not answer in time", 0.03, "unavailable", None),
    ("an API wants to be left alone", 0.03, "rate_limited", 3.0),
    ("an API does not know its object yet", 0.02, "not_found", None),
)


@dataclass(slots=True, kw_only=True)
class Apis:
    """All of them. `down` is a mood that the world sets, `denied` how often each object was said not to be there."""

    chance: Chance
    time: Callable[[], float]
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    answered: list[Sent] = field(default_factory=list)
    denied: Counter[tuple[str, str]] = field(default_factory=Counter)
    down: bool = False

    def hold(self, provider: str, body: bytes) -> None:
        """It has this object from now on."""
        shape = SHAPES[provider]
        found = orjson.loads(body)
        found = next((found[key] for key in shape.wrapped if key in found), found)
        self.objects[provider, found[shape.id_key_of(found)]] = shape.wrap(found).body

    async def get(self, provider: str, ref: ObjectRef) -> Answer:
        """Raises ApiError."""
        await asyncio.sleep(self.chance.delay(_SECONDS))
        if self.down:
            raise ApiError("HTTP 502")
        for what, probability, reason, retry_after in _FAULTS:
            if self.chance.breaks(what, probability):
                if reason == "unavailable":
                    await asyncio.sleep(10.0)
                self.denied[provider, ref.id] += reason == "not_found"
                raise ApiError(what, reason=reason, retry_after=retry_after)
        body = self.objects.get((provider, ref.id))
        if body is None:
            raise ApiError("HTTP 404", reason="not_found")
        self.answered.append(
            Sent(provider=provider, account=ACCOUNT, sha256=digest(body), sent_at=self.time(), via="lookup")
        )
        await asyncio.sleep(self.chance.delay(_SECONDS))
        return Answer(path=f"/{ref.object}/{ref.id}", query="", body=body)

    def unheard(self, stored: Iterable[str], forgotten: Collection[str]) -> list[str]:
        """Objects whose newest state was announced, and is not among the digests that are stored. Two 404 are an
        answer; `forgotten` are the ids of what was erased.
        """
        known = frozenset(stored)
        return [
            f"the newest answer about {provider} {name} is not stored"
            for (provider, name), body in self.objects.items()
            if digest(body) not in known and self.denied[provider, name] < 2 and name not in forgotten
        ]


@dataclass(frozen=True, slots=True)
class Api:
    """One provider's, in place of paymux.provider_api.ProviderApi."""

    apis: Apis
    provider: str

    async def get(self, ref: ObjectRef) -> Answer:
        """Raises ApiError."""
        return await self.apis.get(self.provider, ref)
