"""A provider of the documentation, at work."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from paymux.delivery import Delivery, Proof
from paymux.signatures import Verified
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.provider import Account
    from paymux.statement import Item


def translated(account: Account, body: dict[str, Any]) -> tuple[Item, ...]:
    delivery = Delivery(
        id="0190b2a6-0000-7000-8000-000000000001",
        provider=account.provider.name,
        account=account.name,
        received_at=datetime.now(UTC),
        body=json.dumps(body).encode(),
    )
    return translate(account, Verified(delivery, Proof.SIGNATURE, 0))
