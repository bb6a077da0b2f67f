"""The providers' APIs fail in every way while objects are asked for."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from faults.payments import NAMED
from paymux.sandbox import samples
from paymux.sandbox.fresh import Fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.lab import Lab

INTRUDERS = 5
SLOW = 3.0  # seconds


async def apis_fail(lab: Lab) -> None:
    """Slow, errors, 429 with and without Retry-After, 401 midway, junk, half an answer, a connection that ends in one,
    another payment's object, one of the other mode: asked again or quarantined with a reason, and never is one
    payment's answer taken for another's.
    """
    trial = lab.install(mode="process")
    others = {provider: [_object(provider) for _ in range(INTRUDERS)] for provider in NAMED}
    fail, chance = lab.apis.fail, lab.chance
    faults: dict[str, Callable[[str], None]] = {
        "error": lambda provider: fail(provider, 500, times=3),
        "unavailable": lambda provider: fail(provider, 503, times=2),
        "busy": lambda provider: fail(provider, 429, headers={"Retry-After": "1"}),
        "busy, without a word": lambda provider: fail(provider, 429),
        "denied": lambda provider: fail(provider, 401),
        "junk": lambda provider: fail(provider, 200, body=b"<html>maintenance</html>"),
        "nothing": lambda provider: fail(provider, 200, body=b""),
        "half": lambda provider: fail(provider, 200, body=others[provider][0][: len(others[provider][0]) // 2]),
        "cut": lab.apis.cut.add,
        "another's": lambda provider: fail(provider, 200, body=chance.choice(others[provider])),
        "other mode": lambda provider: fail(provider, 200, body=_live(others[provider][0])),
        "huge": lambda provider: fail(provider, 200, body=b'{"a":"' + b"a" * 5_000_000 + b'"}'),
    }
    await trial.gateway.start()
    async with trial.sending(pause=0.05, at_once=4):
        for name in lab.taken(faults, lab.cycles):
            faults[name](chance.choice(list(NAMED)))
            lab.apis.delay = SLOW * chance.random() if chance.random() < 0.2 else 0.0
            await asyncio.sleep(0.5 * chance.random())
        lab.apis.delay = 0.0
    await trial.quiesce()
    strangers = {lab.apis.named(provider, body) for provider, bodies in others.items() for body in bodies}
    keys = [key.decode() for (key,) in trial.gateway.rows("SELECT key FROM outbox")]
    assert not [key for key in keys if key.rpartition("/")[2] in strangers], "one payment's answer came for another's"


def _object(provider: str) -> bytes:
    answer = next(sample.body for sample in samples.answers(provider) if sample.label == "payment")
    return Fresh().body(answer, datetime.now(UTC))


def _live(answer: bytes) -> bytes:
    """Says of itself that it is real money."""
    found = json.loads(answer)
    inner = found.get("data", found)
    return json.dumps(
        {**found, "data": {**inner, "livemode": True}} if "data" in found else {**found, "livemode": True}
    ).encode()
