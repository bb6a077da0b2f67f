"""Which certificate is asked for at the start: the one that an account's newest stored webhook names."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Via
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.provider import Account
from paymux.providers.paypal import PAYPAL
from paymux.providers.paystack import PAYSTACK
from paymux.sandbox.samples import answers, webhook
from paymux.signatures import confirmed, remembered, trusted
from paymux.translate import translate
from paymux.wiring.parts import reading
from paymux.wiring.warming import named
from tests.paypal_signing import NAME, WEBHOOK_ID, Authority

START = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
AUTHORITY = Authority(START)
SIGNER = AUTHORITY.issue()
PLACE = "https://api.sandbox.paypal.com/v1/notifications/certs/"
EVENT = json.loads(webhook("paypal", "PAYMENT.CAPTURE.COMPLETED").body)
[CAPTURE] = [each.body for each in answers("paypal") if (each.name, each.variant) == ("capture", "")]


def account(**options: str) -> Account:
    options = {"webhook_id": WEBHOOK_ID, "ca_pem": AUTHORITY.pem} | options
    return Account(provider=PAYPAL, name="acme", checks=((PAYPAL.scheme(options), ()),), options=options)


ACCOUNT = account()


class World:
    """A journal that deliveries came to, one a minute."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.count = 0

    def delivery(self, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), **more: object) -> Delivery:
        self.count += 1
        return Delivery(
            id=f"0190b2a6-0000-7000-8000-{self.count:012}",
            provider="paypal",
            account="acme",
            received_at=START + timedelta(minutes=self.count),
            body=body,
            headers=headers,
            **more,
        )

    def told(self, certificate: str) -> Delivery:
        body = json.dumps(EVENT | {"id": f"WH-{self.count}"}).encode()
        now = START + timedelta(minutes=self.count + 1)
        headers = SIGNER.headers(body, now, url=PLACE + certificate, transmission=f"transmission-{self.count}")
        return self.delivery(body, headers)

    async def webhook(self, certificate: str) -> None:
        await self._append(remembered(self.told(certificate), Proof.SIGNATURE, None))

    async def imported(self, certificate: str) -> None:
        await self._append(trusted(self.told(certificate)))

    async def answer(self) -> None:
        asked = Asked(ref=ObjectRef(object="capture", id=json.loads(CAPTURE)["id"]))
        await self._append(confirmed(self.delivery(CAPTURE, via=Via.LOOKUP, asked=asked)))

    async def _append(self, verified) -> None:
        await self.journal.append(Entry(account=ACCOUNT, verified=verified, items=translate(ACCOUNT, verified)))

    async def named(self, *accounts: Account) -> list[tuple[str, str, str]]:
        history, archive = reading(self.journal)
        found = await named(accounts, history=history, archive=archive)
        return [(each.url, each.name, each.ca_pem) for each in found]


async def test_the_newest_webhook_names_it():
    """What came after it and was not proven by a certificate names none; an account that nothing came to neither."""
    world = World()
    await world.webhook("CERT-OLD")
    await world.webhook("CERT-NEW")
    await world.answer()
    await world.imported("CERT-OF-A-FILE")
    assert await world.named(ACCOUNT) == [(PLACE + "CERT-NEW", NAME, AUTHORITY.pem)]
    assert await World().named(ACCOUNT) == []


async def test_what_is_no_certificate_by_todays_settings():
    """An account that has changed sides asks for nothing of the other one; neither does one that has its certificate at
    hand, or is proven by a secret.
    """
    world = World()
    await world.webhook("CERT-1")
    secret = Account(provider=PAYSTACK, name="acme", checks=((PAYSTACK.signature, (b"key",)),))
    assert await world.named(account(region="live"), account(cert_pem=SIGNER.pem), secret) == []
