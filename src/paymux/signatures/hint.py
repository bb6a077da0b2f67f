"""No proof at all: the body only says which object to ask the provider's API for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paymux.delivery import Proof
from paymux.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paymux.delivery import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """`limit` in bytes: nobody vouches for the body, so little of it is read."""

    limit: int = 65536

    proof: ClassVar[Proof] = Proof.HINT
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:  # noqa: ARG002  # the protocol's
        raise ValueError("webhooks of this provider are not signed: leave the secret out, or choose a scheme")

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> None:  # noqa: ARG002  # the protocol's
        if len(delivery.body) > self.limit:
            raise Rejected(f"a hint is at most {self.limit} bytes", reason="hint_malformed")
