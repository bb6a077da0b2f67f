"""Events and quarantined items as Kafka records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record, complete: what the outbox keeps and the relay sends, byte for byte.

    `event_id` is the CloudEvents id inside the value.
    """

    event_id: str
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes on the wire, batch overhead aside."""
        return len(self.key) + len(self.value) + sum(len(k) + len(v) + 10 for k, v in self.headers) + 70
