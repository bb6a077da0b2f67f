"""A relay as a process of its own, to be killed: python -m tests.relaying BOOTSTRAP EVENTS QUARANTINE CHECKPOINTS COUNT.

Its outbox is made of numbers, and its mark stays 0: only the checkpoint on Kafka knows what is published.
"""

from __future__ import annotations

import asyncio
import sys

from paymux.publish.kafka import KafkaPublisher, KafkaSettings
from paymux.relay import Relay
from tests.outboxes import JOURNAL, ListOutbox, rows


async def main(bootstrap: str, events: str, quarantine: str, checkpoints: str, count: str) -> None:
    settings = KafkaSettings(
        bootstrap_servers=bootstrap,
        events_topic=events,
        quarantine_topic=quarantine,
        checkpoints_topic=checkpoints,
        request_timeout=5.0,
    )
    outbox = ListOutbox(rows(int(count), topic=events), lazy=True)
    relay = Relay(outbox, lambda: KafkaPublisher(settings, journal=JOURNAL, shard=0), batch_rows=50)
    running = asyncio.create_task(relay.run())
    await relay.drained()
    running.cancel()
    await asyncio.wait([running])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
