"""A GET by which a provider learns whose endpoint it calls, before it sends anything (Braintree's challenge)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from paymux.delivery import Delivery
from paymux.errors import Rejected
from paymux.http.addresses import is_in
from paymux.http.answers import Answer
from paymux.signatures.path_token import PathToken

if TYPE_CHECKING:
    from paymux.http.routes import Route

LONGEST_QUERY: Final = 1024

_NEVER: Final = datetime.fromtimestamp(0, UTC)  # a token has no age


def answer(route: Route, query: str, token: str | None, address: str) -> Answer | None:
    """None for what is no such question, or not for this sender to ask."""
    handshake = route.account.provider.handshake
    if handshake is None or len(query) > LONGEST_QUERY or not _may_ask(route, token, address):
        return None
    body = handshake(route.account, query)
    return None if body is None else Answer(status=200, body=body, content_type="text/plain", closes=True)


def _may_ask(route: Route, token: str | None, address: str) -> bool:
    """What a delivery must bring beside its signature: an address, the path token."""
    if route.allow_from and not is_in(address, route.allow_from):
        return False
    asked = Delivery(id="", provider=route.provider, account=route.name, received_at=_NEVER, body=b"", path_token=token)
    try:
        for scheme, keys in route.account.checks:
            if isinstance(scheme, PathToken):
                scheme.verify(asked, keys)
    except Rejected:
        return False
    return True
