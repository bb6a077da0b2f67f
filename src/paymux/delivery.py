"""What arrived: an HTTP request as a value, and the same once it is proven."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

REDACTED = b"[redacted]"

ALWAYS_SECRET = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"api-key",
        b"x-api-key",
        b"x-access-token",
        b"x-auth-token",
    }
)


class Via(StrEnum):
    WEBHOOK = "webhook"
    LOOKUP = "lookup"
    RECONCILE = "reconcile"
    IMPORT = "import"


class Proof(StrEnum):
    """How it is known that the provider said it, strongest first. A hint proves nothing: its body
    only names an object to ask the provider's API for.
    """

    SIGNATURE = "signature"
    STATIC = "static"
    API = "api"
    TRUSTED = "trusted"
    HINT = "hint"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """An object of a provider's API, in the provider's words: ("payment", "pay_123")."""

    object: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question that an API answer answers.

    `occurred_at` is the time of the newest event that asked, for objects that carry no time of their
    own: the answer is at least that new.
    """

    ref: ObjectRef
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request as it came, or an API answer in the same form.

    `headers` keep order, case and repetitions, as bytes. `path` has no path token: that stands in
    `path_token` and is never stored.
    """

    id: str
    provider: str
    account: str
    received_at: datetime
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    method: str = "POST"
    path: str = ""
    query: str = ""
    url: str | None = None
    path_token: str | None = None
    via: Via = Via.WEBHOOK
    asked: Asked | None = None

    def header(self, name: bytes) -> list[bytes]:
        """All values of a header; `name` in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def redacted(self, secret_headers: Iterable[bytes] = ()) -> Delivery:
        """The form that may be stored and shown. A proxy's headers may repeat the path, its token included."""
        hidden = ALWAYS_SECRET.union(secret_headers)
        if self.path_token is None and hidden.isdisjoint([name.lower() for name, _ in self.headers]):
            return self
        headers = tuple((k, REDACTED if k.lower() in hidden else self._without_token(v)) for k, v in self.headers)
        query = self._without_token(self.query.encode(errors="surrogateescape")).decode(errors="surrogateescape")
        return replace(self, headers=headers, query=query, path_token=None)

    def _without_token(self, value: bytes) -> bytes:
        token = (self.path_token or "").encode(errors="surrogateescape")
        return value.replace(token, REDACTED) if token else value

    def unproven(self) -> Delivery:
        """What may be kept of a delivery that proves nothing: not what a stranger wrote (V-63)."""
        return replace(self, headers=(), query="", body=b"", path_token=None)


class Verified:
    """A delivery together with what proves it.

    Only `paymux.signatures` makes one: `verify` after a check, `confirmed` for an answer that the
    provider's own API gave, `trusted` for a file that an operator vouches for. A test over the
    syntax tree holds this.
    """

    __slots__ = ("delivery", "once", "proof", "secret")

    def __init__(self, delivery: Delivery, proof: Proof, secret: int | None = None, once: str | None = None) -> None:
        """`secret` is the index of the account's secret that matched. `once` is a name that the signature gives this
        body, where it binds it too weakly to tell it from another: the journal refuses a second body of that name.
        """
        self.delivery = delivery
        self.proof = proof
        self.secret = secret
        self.once = once
