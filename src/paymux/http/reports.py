"""What is told of each delivery: metrics, one wide log line, and the ring of rejections."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from paymux.http.limits import Bucket
from paymux.journal import Rejection, Result
from paymux.statement import worst
from paymux.telemetry import log_failure, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from paymux.delivery import Verified
    from paymux.journal import Journal, Receipt
    from paymux.statement import Item
    from paymux.telemetry import DeliveryLog, Metrics

LINES_A_SECOND: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery that is durable now. `seconds` is how long that took."""

    verified: Verified
    items: Sequence[Item]
    receipts: Sequence[Receipt]
    address: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    journal: Journal
    metrics: Metrics
    deliveries: DeliveryLog
    now: Callable[[], datetime]
    refusals: Bucket = field(default_factory=lambda: Bucket(LINES_A_SECOND, time.monotonic()))

    def taken(self, taken: Taken) -> None:
        outcome = _outcome(taken.receipts)
        self._count(taken, outcome)
        if self.deliveries.wanted:
            self.deliveries.write(_facts(taken, outcome))

    def unavailable(self, provider: str, detail: str) -> None:
        """Verified, and the journal could not keep it. A line a second says why: a full disk refuses thousands."""
        self.metrics.count("paymux_deliveries", provider, "unavailable")
        if not self.refusals.take(time.monotonic()):
            logger().error("journal_unavailable", provider=provider, detail=detail)

    def rejected(
        self, provider: str, account: str, *, reason: str, address: str, body: bytes = b"", age: int | None = None
    ) -> None:
        """Of what was not accepted nothing is kept but size and digest, and how old its signature says that it is."""
        self.journal.reject(
            Rejection(
                at=self.now(),
                provider=provider,
                account=account,
                reason=reason,
                address=address,
                size=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
                age=age,
            )
        )
        facts = {"provider": provider, "account": account, "reason": reason, "address": address}
        logger().warning("rejected", **facts, bytes=len(body))

    def counted(self, provider: str, reason: str) -> None:
        """A rejection, as a number."""
        self.metrics.count("paymux_rejections", provider, reason)

    def failed(self, error: Exception) -> None:
        self.metrics.count("paymux_internal_errors", "webhooks")
        log_failure("request_failed", error)

    def _count(self, taken: Taken, outcome: str) -> None:
        metrics, delivery = self.metrics, taken.verified.delivery
        metrics.count("paymux_deliveries", delivery.provider, outcome)
        metrics.observe("paymux_append_seconds", taken.seconds)
        if taken.verified.secret is not None:
            metrics.count("paymux_secret_matches", delivery.provider, delivery.account, str(taken.verified.secret))
        for receipt in taken.receipts:
            if receipt.reason is not None and receipt.result is not Result.DUPLICATE:
                metrics.count("paymux_quarantined", delivery.provider, receipt.reason)
            if receipt.unexpected:
                metrics.count("paymux_unexpected_transitions", delivery.provider, by=receipt.unexpected)


def _outcome(receipts: Sequence[Receipt]) -> str:
    """One word for the delivery: duplicate, conflict, or the worst of what its items are."""
    if len(receipts) == 1:
        only = receipts[0]
        return only.outcome if only.result is Result.NEW else only.result.value
    results = {receipt.result for receipt in receipts}
    if Result.CONFLICT in results:
        return Result.CONFLICT.value
    if results == {Result.DUPLICATE}:
        return Result.DUPLICATE.value
    return worst(receipt.outcome for receipt in receipts)


def _facts(taken: Taken, outcome: str) -> dict[str, Any]:
    delivery, first = taken.verified.delivery, taken.items[0]
    return {
        "delivery_id": delivery.id,
        "provider": delivery.provider,
        "account": delivery.account,
        "outcome": outcome,
        "reason": next((receipt.reason for receipt in taken.receipts if receipt.reason is not None), None),
        "event_type": first.event_type,
        "event_key": first.event_key,
        "items": len(taken.items),
        "events": sum(len(receipt.event_ids) for receipt in taken.receipts),
        "proof": taken.verified.proof.value,
        "secret": taken.verified.secret,
        "bytes": len(delivery.body),
        "address": taken.address,
        "append_ms": round(taken.seconds * 1000, 2),
    }
