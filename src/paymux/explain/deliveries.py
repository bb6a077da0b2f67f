"""One delivery, step by step: how it was proven, what each item became and why, what was published."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from paymux.canonical import STATUSES, Entity
from paymux.delivery import Proof
from paymux.errors import NotStored
from paymux.explain import JsonObject
from paymux.explain.proofs import Proven, proven
from paymux.journal import Journal
from paymux.journal.audit import Act
from paymux.journal.history import History, StoredDelivery, StoredItem, StoredRecord, StoredRequest
from paymux.provider import Provider
from paymux.signatures import Scheme
from paymux.statement import worst

Body = Literal["kept", "erased", "let_go", "never_kept"]

NEAREST: Final = 5
# What is said where there is no body.
GONE: Final[Mapping[Body, str]] = {
    "kept": "is gone",
    "erased": "was erased at somebody's request; `paymux audit list --action erase` has whose",
    "let_go": "was let go of, older than retention_days",
    "never_kept": "was never kept: it proved nothing, so that the provider's API was asked instead",
}
_OF_THE_CONNECTION: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """`outcome` is that of its worst item; `body` says whether its bytes are kept, were erased at somebody's request,
    let go of after the retention, or never kept, since the delivery proved nothing; `size` is theirs, null where they
    are gone; `secret` is the index of the account's secret that matched.
    """

    id: str
    provider: str
    account: str
    received_at: datetime
    attempts: int
    via: str
    proof: str
    secret: int | None
    sha256: str
    size: int | None
    body: Body
    outcome: str
    items: tuple[StoredItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The provider's word, what it became, and the status tables of the provider that say so."""

    word: str
    status: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    """A record of the outbox, and the delivery that it comes from. `published`: it is known to be on Kafka, which may
    lag by a second. `event` is the record's value.
    """

    seq: int
    delivery: str | None
    topic: str
    key: str
    created_at: datetime
    published: bool
    mapped: Mapped | None
    event: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """The request as it came, secrets and body aside."""

    method: str
    path: str
    query: str
    url: str | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """`request` is null once it was let go of; `records` are what is still kept of what it published."""

    delivery: DeliveryFacts
    proven: Proven
    request: RequestFacts | None
    records: tuple[RecordFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What an explanation needs beside the journal. `scheme` gives that of an account, None where nothing says."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    scheme: Callable[[str, str], Scheme | None] = lambda _provider, _account: None


async def explained(history: History, delivery_id: str, knowledge: Knowledge) -> Explained:
    """Raises NotStored, naming the nearest; JournalUnavailable."""
    found = await stored(history, delivery_id)
    request = await history.request(found.id)
    records = await history.records([found.row])
    return Explained(
        delivery=facts(found),
        proven=proven(found.proof, found.secret, knowledge.scheme(found.provider, found.account)),
        request=None if request is None else _request(request),
        records=record_facts(records, [found], knowledge.providers),
    )


async def stored(history: History, delivery_id: str) -> StoredDelivery:
    """Raises NotStored, naming the nearest; JournalUnavailable."""
    found = await history.delivery(delivery_id)
    if found is None:
        raise NotStored(await _nothing(history, delivery_id))
    return found


async def stored_request(history: History, delivery_id: str) -> StoredRequest:
    """Raises NotStored, `body_gone` where only the request is not there any more; JournalUnavailable."""
    found = await stored(history, delivery_id)
    request = await history.request(found.id)
    body = _body(found)
    if request is None or body == "never_kept":
        raise NotStored(f"the request of {delivery_id} {GONE[body]}", reason="body_gone")
    return request


async def viewed(history: History, journal: Journal, delivery_id: str, who: str) -> StoredRequest:
    """The request with its raw body, once it stands in the audit trail that `who` saw it.

    Raises NotStored, `body_gone` where it is not there any more; JournalUnavailable.
    """
    request = await stored_request(history, delivery_id)
    act = Act(who=who, action="delivery.raw", target=delivery_id, detail={"bytes": len(request.body)})
    await journal.change(lambda unit: unit.audit(act))
    return request


async def _nothing(history: History, text: str) -> str:
    near = [each.id for each in await history.named(text, limit=NEAREST)] if text else []
    if not near and len(text) > NEAREST:
        near = [each.id for each in await history.named(text[: len(text) // 2], limit=NEAREST)]
    return f"there is no delivery {text[:100]}" + (f"; the nearest are {', '.join(near)}" if near else "")


# --- facts


def facts(delivery: StoredDelivery) -> DeliveryFacts:
    return DeliveryFacts(
        id=delivery.id,
        provider=delivery.provider,
        account=delivery.account,
        received_at=delivery.received_at,
        attempts=delivery.attempts,
        via=delivery.via,
        proof=delivery.proof,
        secret=delivery.secret,
        sha256=delivery.sha256,
        size=delivery.size,
        body=_body(delivery),
        outcome=worst(item.outcome for item in delivery.items),
        items=delivery.items,
    )


def _body(delivery: StoredDelivery) -> Body:
    if delivery.proof == Proof.HINT:
        return "never_kept"
    return "erased" if delivery.erased else "let_go" if delivery.size is None else "kept"


def record_facts(
    records: Sequence[StoredRecord], deliveries: Sequence[StoredDelivery], providers: Mapping[str, Provider]
) -> tuple[RecordFacts, ...]:
    """`deliveries` are those that the records come from."""
    ids: dict[int | None, str] = {each.row: each.id for each in deliveries}
    return tuple(
        RecordFacts(
            seq=each.seq,
            delivery=ids.get(each.delivery),
            topic=each.record.topic,
            key=each.record.key.decode(),
            created_at=each.created_at,
            published=each.is_published,
            mapped=_mapped(orjson.loads(each.record.value)["data"], providers),
            event=each.record.value,
        )
        for each in records
    )


def _mapped(data: Mapping[str, Any], providers: Mapping[str, Provider]) -> Mapped | None:
    """Which rows of the provider's status tables say what the event says."""
    block = data.get(data.get("entity") or "") or {}
    word, status = block.get("provider_status"), block.get("status")
    provider = providers.get(data["provider"])
    if word is None or status is None or provider is None:
        return None
    meant = STATUSES[Entity(data["entity"])](status)
    # Of this entity: a refund's "succeeded" is another status than a payment's.
    tables = (title for title, table in provider.statuses.items() if table.get(word) is meant)
    return Mapped(word=word, status=status, tables=tuple(tables))


def _request(request: StoredRequest) -> RequestFacts:
    return RequestFacts(
        method=request.method,
        path=request.path,
        query=request.query,
        url=request.url,
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers),
    )


def why(item: StoredItem) -> str:
    """The reason in words, empty where there is none."""
    return " ".join(word for word in (item.reason, item.path, item.detail) if word)


# --- once more


def curl(request: StoredRequest) -> str:
    """A command for a shell that repeats the request, with what is kept of it."""
    url = (request.url or f"http://localhost:8080{request.path}") + (f"?{request.query}" if request.query else "")
    words = ["curl", "-X", request.method, url, *_header_words(request)]
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        body = "@"
    if body.startswith("@") or "\0" in body:  # a file's name to curl, and no argument of a program
        encoded = base64.b64encode(request.body).decode()
        return f"printf %s {encoded} | base64 -d | {shlex.join([*words, '--data-binary', '@-'])}"
    return shlex.join([*words, "--data-binary", body])


def _header_words(request: StoredRequest) -> Iterator[str]:
    for name, value in request.headers:
        if name.lower() not in _OF_THE_CONNECTION:
            text = value.decode("latin-1")
            yield "-H"
            yield f"{name.decode('latin-1')}: {text}" if text else f"{name.decode('latin-1')};"
