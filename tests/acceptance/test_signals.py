"""What an operator does to a gateway that takes webhooks: new secrets, a file with a mistake, the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from faults.gateways import ACCOUNT, MODES, SECRETS, furnish, say, serving, until
from faults.payments import payments
from faults.senders import Sender, at_once

from tests.acceptance.traffic import assert_all_came_out, assert_all_is_stored

if TYPE_CHECKING:
    from pathlib import Path

    from faults.gateways import Gateway
    from faults.senders import Webhook

pytestmark = pytest.mark.kafka

NEW_SECRET = "whsec_the-new-secret-of-stripe"
AT_ONCE = 8


async def test_a_secret_is_rotated_under_load(tmp_path: Path, kafka, sandbox, session):
    """Old, old and new, new alone: every webhook is taken at the first attempt; a file with a mistake changes nothing."""
    gateway = furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")
    file, config = tmp_path / "stripe.secret", tmp_path / "paymux.toml"
    good = config.read_text()
    async with serving(gateway):
        sender = Rotating(gateway=gateway, session=session)
        work = payments(60, ["stripe"])
        posting = asyncio.create_task(at_once(AT_ONCE, work, sender))

        await sender.until_acked(40)
        (tmp_path / "new.secret").write_text(NEW_SECRET)
        both = good.replace('["file:stripe.secret"]', '["file:stripe.secret", "file:new.secret"]')
        assert both != good
        config.write_text(both)
        await reloaded(gateway, 1)
        sender.secret = NEW_SECRET

        await sender.until_acked(120)
        config.write_text(both.replace("secrets", "secretz"))
        gateway.hang_up()
        refused = await gateway.until_said("reload_refused")
        assert len(gateway.said("reload_refused")) == 1
        assert all("secretz: there is no such key; did you mean 'secrets'?" in line for line in refused["mistakes"])
        config.write_text("[[accounts\n")
        gateway.hang_up()
        await gateway.until_said("reload_refused", 2)

        await sender.until_acked(200)
        config.write_text(good.replace('"file:stripe.secret"', '"file:new.secret"'))
        await reloaded(gateway, 2)
        await posting
        assert sender.attempts == len(sender.acked) == 360
        status, _ = await sender.post(payments(1, ["stripe"])[0][0], SECRETS["stripe"])
        assert status == 401, "the old secret is gone"
        await gateway.published()
        assert await gateway.stop() == 0
    assert file.read_text() == SECRETS["stripe"]
    assert await assert_all_came_out(gateway, work) == 360


class Rotating(Sender):
    """Signs with the secret that the provider uses at that moment."""

    secret = SECRETS["stripe"]

    async def post(self, webhook: Webhook, secret: str | None = None) -> tuple[int, bytes]:
        return await super().post(webhook, secret or self.secret)


async def reloaded(gateway: Gateway, count: int) -> None:
    gateway.hang_up()
    await gateway.until_said("reloaded", count)


@pytest.mark.parametrize("mode", MODES)
async def test_sigterm_under_load(mode, tmp_path: Path, kafka, sandbox):
    """Every request that was answered was answered whole; exit 0; what was acknowledged is stored and on Kafka."""
    work = payments(100)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode=mode)) as gateway:
        lines = [Line(gateway=gateway, work=work[index::AT_ONCE]) for index in range(AT_ONCE)]
        async with asyncio.TaskGroup() as group:
            for line in lines:
                group.create_task(line.post_all())
            await until(lambda: sum(len(line.acked) for line in lines) > 150, lambda: "nothing is acknowledged")
            group.create_task(gateway.stop())
    assert gateway.process is not None
    assert gateway.process.returncode == 0
    acked = [webhook for line in lines for webhook in line.acked]
    assert [line.torn for line in lines if line.torn] == []
    assert 150 < len(acked) < sum(map(len, work)), "it was to end in the middle"
    assert_all_is_stored(gateway, acked)
    stored = {key for (key,) in gateway.rows("SELECT event_key FROM items")}
    heard = [[webhook for webhook in payment if webhook.event_key in stored] for payment in work]
    events = await assert_all_came_out(gateway, [payment for payment in heard if payment])
    assert events == len(stored)
    say(f"{mode}: {len(acked)} acknowledged before the end, {len(stored)} stored, {events} events")


@dataclass(slots=True, kw_only=True)
class Line:
    """One kept-alive connection of a sender that counts bytes. `torn` is an answer that ended in the middle."""

    gateway: Gateway
    work: list[list[Webhook]]
    acked: list[Webhook] = field(default_factory=list)
    torn: bytes = b""

    async def post_all(self) -> None:
        """Until the gateway is gone."""
        host, port = self.gateway.public.removeprefix("http://").split(":")
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                for webhook in (webhook for payment in self.work for webhook in payment):
                    writer.write(request(webhook))
                    await writer.drain()
                    if not await self._answered(reader, webhook):
                        return
            finally:
                writer.close()

    async def _answered(self, reader: asyncio.StreamReader, webhook: Webhook) -> bool:
        """Whether another request may follow."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            self.torn = error.partial
            return False
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert body == b'{"received":true}'
        self.acked.append(webhook)
        return b"connection: close" not in head.lower()


def request(webhook: Webhook) -> bytes:
    lines = [f"POST /webhooks/{webhook.provider}/{ACCOUNT} HTTP/1.1", "Host: x", f"Content-Length: {len(webhook.body)}"]
    lines += [f"{name}: {value}" for name, value in webhook.headers().items()]
    return "\r\n".join([*lines, "", ""]).encode() + webhook.body
