"""The JSON torture corpus through every provider: read as it is, or quarantined with a reason; never a surprise."""

from __future__ import annotations

import json
from itertools import chain

import orjson
import pytest
from faults.hostile.torture import INVALID, ODD, VALID

from paymux.canonical import EVENT
from paymux.delivery import Proof, Verified
from paymux.errors import Rejected
from paymux.journal.sqlite import SqliteJournal
from paymux.records import offline_events
from paymux.sandbox import samples
from paymux.signatures import verify
from paymux.statement import Ignored, Lookup, Quarantined, Stated
from paymux.translate import translate
from tests.http.world import running
from tests.providers.signers import WAYS

ONE_EACH = tuple({way.provider.name: way for way in WAYS if way.proof is not Proof.HINT}.values())
MARK = "@@ here @@"
# Name -> the text, and the reason it is refused for, None where it is read.
CORPUS = (
    {f"y_{name}": (text, None) for name, text in VALID.items()}
    | {f"n_{name}": (text, "shape") for name, text in INVALID.items()}
    | {f"i_{name}": found for name, found in ODD.items()}
)
every_provider = pytest.mark.parametrize("way", ONE_EACH, ids=lambda way: way.provider.name)


def proven(way, body):
    """The schemes are tested elsewhere; some of the providers' SDKs sign nothing but text."""
    return Verified(way.sent(body, ()), way.proof)


def translated(way, body):
    return translate(way.account(), proven(way, body))


def read(way, document):
    """What the provider's file says of a document, whatever its bodies are written in."""
    return translate(way.reader, proven(way, document))


def with_unread_key(body, text):
    """The sample with a key more, that no provider's file reads."""
    return b'{"paymux_torture":' + text + b"," + body.lstrip()[1:]


def places(value, here=()):
    """Where every leaf stands."""
    if isinstance(value, dict | list) and value:
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*here, key))
    else:
        yield here


def with_leaf(body, path, text):
    document = orjson.loads(body)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = MARK
    return orjson.dumps(document).replace(b'"' + MARK.encode() + b'"', text)


def reasons(items):
    return {item.outcome.reason for item in items if isinstance(item.outcome, Quarantined)}


def test_the_corpus_is_what_it_says():
    """Python's own parser agrees about what is valid, with what it is known to be lenient about put aside."""
    for text in VALID.values():
        json.loads(text.decode())
    lenient = {"NaN", "Infinity", "minus Infinity"}
    for name in INVALID.keys() - lenient:
        with pytest.raises(ValueError):
            json.loads(INVALID[name].decode())


@every_provider
def test_as_the_whole_body(way):
    """What is no object is `shape`; an object without an envelope is quarantined, too. Twice gives the same."""
    for name, (text, _) in CORPUS.items():
        items = translated(way, text)
        assert items == translated(way, text), name
        assert all(isinstance(item.outcome, Quarantined) for item in items), name
        assert reasons(items) <= {"shape", "duplicate_key"}, name


@every_provider
def test_under_a_key_that_nobody_reads(way):
    """What is valid changes nothing that a sample says; what is not takes the whole delivery along."""
    for sample in way.samples:
        document = way.document(sample.body)
        plain = [item.outcome for item in read(way, document)]
        for name, (text, reason) in CORPUS.items():
            items = read(way, with_unread_key(document, text))
            if reason is None:
                assert [item.outcome for item in items] == plain, name
            else:
                assert reasons(items) == {reason}, name


@every_provider
def test_in_place_of_every_leaf(way):
    """In the largest sample: understood or quarantined, with a documented reason, and what is understood can be
    written as records.
    """
    largest = max((way.document(sample.body) for sample in way.samples), key=len)
    for path in places(orjson.loads(largest)):
        for name, (text, reason) in CORPUS.items():
            if isinstance(path[-1], int) and not text.strip():
                continue  # a list with nothing in it
            verified = proven(way, with_leaf(largest, path, text))
            items = translate(way.reader, verified)
            where = f"{name} at {path}"
            assert "internal_error" not in reasons(items), where
            if reason is not None:
                assert reasons(items) == {reason}, where
            for item in items:
                assert isinstance(item.outcome, Stated | Lookup | Ignored | Quarantined), where
                if isinstance(item.outcome, Stated):
                    for event in offline_events(way.reader, verified, item):
                        EVENT.validate_json(event)


IN_THE_BODY = next(way for way in WAYS if way.label == "adyen, standard notifications")
ITEM = ("notificationItems", 0, "NotificationRequestItem")
COVERED = [
    ("notificationItems",),
    ("notificationItems", 0),
    ITEM,
    (*ITEM, "additionalData"),
    (*ITEM, "additionalData", "hmacSignature"),
    (*ITEM, "amount"),
    *((*ITEM, "amount", name) for name in ("value", "currency")),
    *((*ITEM, name) for name in ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")),
    *((*ITEM, name) for name in ("eventCode", "success")),
]


@pytest.mark.parametrize("path", COVERED, ids=lambda path: path[-1])
def test_in_place_of_what_proves_it(path):
    """Where the signature stands in the JSON, nothing of the corpus does for it, or for what it covers: Rejected, and
    nothing else is raised.
    """
    body = IN_THE_BODY.delivery(samples.webhook("adyen", "CAPTURE").body).body
    for name, (text, _) in CORPUS.items():
        if isinstance(path[-1], int) and not text.strip():
            continue  # a list with nothing in it
        if (path[-1], text) == ("success", b"true"):
            continue  # what was signed, as a flag
        with pytest.raises(Rejected) as caught:
            verify(IN_THE_BODY.sent(with_leaf(body, path, text), ()), IN_THE_BODY.account().checks)
        assert caught.value.reason.startswith("signature_"), name


def test_beside_what_proves_it():
    """What is valid leaves the proof as it is; in what cannot be read there is none."""
    body = IN_THE_BODY.delivery(samples.webhook("adyen", "CAPTURE").body).body
    for name, (text, reason) in CORPUS.items():
        sent = IN_THE_BODY.sent(with_unread_key(body, text), ())
        if reason is None:
            assert verify(sent, IN_THE_BODY.account().checks).secret == 0, name
            continue
        with pytest.raises(Rejected) as caught:
            verify(sent, IN_THE_BODY.account().checks)
        assert caught.value.reason == "signature_missing", name


async def test_through_a_real_listener_and_a_real_journal(tmp_path):
    """Signed and posted: 200 for each, kept byte for byte, quarantined for its reason, and the next one is taken."""
    sample = samples.webhook("stripe", "payment_intent.succeeded").body
    posted = list(
        chain.from_iterable(
            ((text, True), (with_unread_key(sample, text), bool(reason))) for text, reason in CORPUS.values()
        )
    )
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    async with running(journal=journal) as world:
        for body, _ in posted:
            assert (await world.deliver(body)).status == 200, body[:80]
        assert (await world.deliver(sample)).status == 200
        rows = await journal._read(
            "SELECT body, outcome FROM deliveries JOIN items ON items.delivery = deliveries.row ORDER BY deliveries.row"
        )
    quarantined = {body for body, outcome in rows if outcome == "quarantined"}
    kept = {body for body, _ in rows}
    for body, refused in posted:
        if refused:
            assert body in kept, body[:80]
            assert body in quarantined, body[:80]
