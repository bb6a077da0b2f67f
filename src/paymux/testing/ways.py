"""How deliveries of a provider are proven, in tests: what its own SDK, or its documentation, would send."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from paymux.delivery import Delivery, Proof
from paymux.provider import Account
from paymux.sandbox import samples
from paymux.signatures import verify
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.delivery import Verified
    from paymux.provider import Provider
    from paymux.sandbox.samples import Sample

    Headers = tuple[tuple[bytes, bytes], ...]
    Signer = Callable[[bytes, str], Headers]
    Change = Callable[[bytes], bytes | None]

NOW: Final = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)


def _verified(delivery: Delivery, account: Account) -> Verified:
    return verify(delivery, account.checks)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way in which deliveries of a provider are proven, with the options that choose it. Share no code with the
    verifier: sign by the provider's SDK where there is one.

    `sign` makes the headers for a body and a secret; `sign_body` puts the proof into the body, before. `takes` says
    which of the provider's samples are sent this way. `prove` is for schemes that need more than keys.

    Where the proof stands:
    - `signature` is the header that holds it, None where no header does; `signed_headers` are those that it covers
      beside the body.
    - `spoil` changes the proof that stands in a body (the last one of a batch), and leaves it out where the change
      gives None. None where no proof stands in the body.
    - `covers` gives, of a body as it is sent, what the proof is about, the proof included where it stands there; a
      body that it cannot read it refuses with any exception. `binds` is false where the proof says nothing of the body.

    What a body says, as the provider's file parses it (JSON or not):
    - `type_at` is where the event type stands, or the part of it that varies, of the first item: ("event", "type") or,
      in a batch, ("events", 0, "action"). None: at the top, in the words that the sample's file is called by. Empty:
      nowhere.
    - `negates`: what goes out is written below zero, and said above.
    - `status_words` are words in the names of fields that hold a status; `type_is_status` where the event type may say
      it instead.
    """

    label: str
    provider: Provider
    sign: Signer = lambda _body, _secret: ()
    sign_body: Callable[[bytes, str], bytes] = lambda body, _secret: body
    takes: Callable[[Sample], bool] = lambda _: True
    prove: Callable[[Delivery, Account], Verified] = _verified
    proof: Proof = Proof.SIGNATURE
    signature: bytes | None = None
    signed_headers: tuple[bytes, ...] = ()
    spoil: Callable[[bytes, Change], bytes] | None = None
    covers: Callable[[bytes], object] = lambda body: body
    binds: bool = True
    type_at: tuple[str | int, ...] | None = None
    status_words: frozenset[str] = frozenset({"status", "state"})
    type_is_status: bool = False
    negates: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, str, str] = ("", "", "")
    content_type: bytes = b"application/json"
    url: str | None = None

    def account(self, *secrets: str, livemode: bool | None = None) -> Account:
        """An account with these secrets; with the first one unless told."""
        scheme = self.provider.scheme(self.options)
        keys = tuple(scheme.key(secret) for secret in (secrets or self.secrets[:1]) if secret)
        return Account(
            provider=self.provider,
            name="acme",
            checks=((scheme, keys),),
            livemode=livemode,
            options=self.options,
        )

    def signed(self, body: bytes, secret: str) -> tuple[bytes, Headers]:
        """What the provider sends for this body: it, with the proof in it or in the headers."""
        sent = self.sign_body(body, secret)
        return sent, self.sign(sent, secret)

    def delivery(self, body: bytes, secret: str | None = None) -> Delivery:
        """What the provider sends, signed with the first secret unless told."""
        return self.sent(*self.signed(body, self.secrets[0] if secret is None else secret))

    def sent(self, body: bytes, headers: Headers) -> Delivery:
        return Delivery(
            id="0190b2a6-0000-7000-8000-000000000001",
            provider=self.provider.name,
            account="acme",
            received_at=NOW,
            body=body,
            headers=((b"Content-Type", self.content_type), *headers),
            url=self.url,
        )

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Those that are sent this way."""
        return tuple(sample for sample in samples.webhooks(self.provider.name) if self.takes(sample))

    @property
    def is_batch(self) -> bool:
        """Whether a body may bring several items: the event type then stands in a list."""
        return any(isinstance(step, int) for step in self.type_at or ())

    # --- what is read, apart from how it is written

    @property
    def reader(self) -> Account:
        """The account with a provider that reads JSON: the `document` of a body is then its body."""
        return replace(self, provider=replace(self.provider, parse=parse_json)).account()

    def document(self, body: bytes) -> bytes:
        """JSON of what the provider's file reads of a body; the body itself, where that is JSON."""
        if self.provider.parse is parse_json:
            return body
        return orjson.dumps(self.provider.parse(self.sign_body(body, self.secrets[0])).value)
