"""A journal is lost and brought back from a copy, on a real broker, by the commands that an operator has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faults.gateways import furnish, say, serving
from faults.payments import payments
from faults.readers import read
from faults.senders import Sender, at_once

from tests.acceptance.traffic import assert_all_came_out, assert_all_is_stored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka

PAYMENTS = 9


async def test_a_lost_journal_is_restored_and_everything_comes_again(tmp_path: Path, kafka, sandbox, session):
    """Each id is on Kafka once and numbers have no gap, though the copy is older than what was published: made while
    payments were half told, which went on afterwards, before the file was lost.
    """
    early, late, new = payments(PAYMENTS), payments(PAYMENTS), payments(PAYMENTS)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="inline")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        await at_once(4, [webhooks[:2] for webhooks in early], sender)
        await gateway.published()
        async with asyncio.TaskGroup() as group:  # beside a gateway that is busy
            group.create_task(at_once(4, [webhooks[2:] for webhooks in early], sender))
            copied = group.create_task(gateway.run("backup", "copy.db"))
        await at_once(4, late, sender)
        await gateway.published()
        before = len(await read(gateway.servers, gateway.events_topic))
        await gateway.kill()
        gateway.lose()

        restored = await gateway.run("restore", "copy.db")

        assert restored["parent"] == copied.result()["identity"]
        assert restored["taken"] >= sum(map(len, late))
        await gateway.start()
        await at_once(4, early, sender)
        await at_once(4, late, sender)
        await gateway.published()
        assert len(await read(gateway.servers, gateway.events_topic)) == before
        await at_once(4, new, sender)
        await gateway.published()
        assert await gateway.stop() == 0
    events = await assert_all_came_out(gateway, [*early, *late, *new])
    assert_all_is_stored(gateway, {webhook.message: webhook for webhook in sender.acked}.values())
    assert gateway.rows("SELECT value FROM meta WHERE name = 'identity'") == [(restored["identity"],)]
    say(f"{events} events, of which {restored['taken']} were taken over from Kafka")
