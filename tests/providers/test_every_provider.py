"""What every provider is held to, and every sample of it. A sixth provider needs samples and a `Way` in signers.py;
nothing here names one.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

import junk
import orjson
import pytest
from signers import NOW, WAYS

from paymux.canonical import EVENT, EVENT_TYPES, STATUSES, Entity
from paymux.delivery import Asked, ObjectRef, Proof, Verified, Via
from paymux.errors import Rejected
from paymux.money import Money
from paymux.providers import ALL, BY_NAME
from paymux.records import offline_events
from paymux.sandbox import samples
from paymux.signatures import confirmed, verify
from paymux.statement import Ignored, Item, Lookup, Quarantined, Stated
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from signers import Headers, Way

    from paymux.provider import Account
    from paymux.sandbox.samples import Sample

PAYMENTS = ObjectRef(object="payments", id="")

# The reasons that a delivery's own content may have.
REASONS = {
    "shape",
    "duplicate_key",
    "unknown_event_type",
    "unknown_status",
    "unknown_currency",
    "inexact_amount",
    "wrong_mode",
    "wrong_tenant",
    "answer_mismatch",
}


def by_label(value):
    return getattr(value, "label", None) or getattr(value, "name", None) or str(value)


def each_sample(shelf: Callable[[str], tuple[Sample, ...]], ways=WAYS):
    return [
        pytest.param(way, sample, id=f"{way.label}: {sample.label}")
        for way in ways
        for sample in shelf(way.provider.name)
    ]


# One way for each kind of proof that a provider's translation could tell apart.
PROOFS = tuple({(way.provider.name, way.proof): way for way in WAYS}.values())
# One way for each provider, for what comes from its API.
ONE_EACH = tuple({way.provider.name: way for way in WAYS}.values())

every_provider = pytest.mark.parametrize("provider", ALL, ids=by_label)
every_way = pytest.mark.parametrize("way", WAYS, ids=by_label)
every_webhook = pytest.mark.parametrize(("way", "sample"), each_sample(samples.webhooks, PROOFS))
every_answer = pytest.mark.parametrize(("way", "sample"), each_sample(samples.answers, ONE_EACH))


# --- the value


def test_the_list_of_providers():
    """Each has a name of its own that can stand in a URL, is found by it, and is in the tests' list of signers."""
    assert set(BY_NAME) == {provider.name for provider in ALL} == {way.provider.name for way in WAYS}
    assert len(BY_NAME) == len(ALL)
    assert all(re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name) for name in BY_NAME)
    assert [provider.name for provider in ALL] == sorted(BY_NAME)


@every_provider
def test_known_and_ignored(provider):
    """An event type is translated or ignored, never both, and the page that lists them is named."""
    assert provider.events
    assert not provider.ignored & set(provider.events)
    assert provider.docs.startswith("https://")
    assert provider.mapping >= 1


@every_provider
def test_status_tables(provider):
    """Every word of the provider's leads to a status of the published vocabulary."""
    published = {kind: entity for entity, kind in STATUSES.items()}
    assert provider.statuses
    for title, table in provider.statuses.items():
        assert table, title
        assert len({published[type(status)] for status in table.values()}) == 1, title
        assert all(word and isinstance(word, str) for word in table), title


@every_provider
def test_transitions(provider):
    """Moves lead out of final statuses of the right entity, and every status has a rank."""
    transitions = provider.transitions
    for entity, moves in transitions.moves.items():
        words = set(STATUSES[entity])
        assert set(moves) <= words
        assert all(reached and reached <= words for reached in moves.values())
        assert all(old not in reached for old, reached in moves.items())
    for entity in Entity:
        assert set(transitions.ranks[entity]) == set(STATUSES[entity])


@every_provider
def test_options(provider):
    """Each option has a name that TOML and the environment can hold, a sentence of help, and is there once."""
    names = [option.name for option in provider.options]
    assert len(set(names)) == len(names)
    for option in provider.options:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", option.name)
        assert option.help
        assert len(set(option.choices)) == len(option.choices)


@every_provider
def test_the_api(provider):
    """Hosts are https origins without a slash at the end, paths have a place for the id, and what is listed can be got."""
    api = provider.api
    assert api is not None
    for url in (api.url, *api.regions.values()):
        assert re.fullmatch(r"https://[a-z0-9.-]+(?:/[a-z0-9]+)*", url)
    for endpoint in api.objects.values():
        assert endpoint.path.startswith("/")
        assert endpoint.path.count("{id}") == 1
        for hostile in ("", "..", "../x", "a/b", "a?b", "a#b", "a b", "a%2fb", "a\n", "a\x00", "é", "a" * 1000):
            assert not endpoint.id_pattern.fullmatch(hostile), hostile
    if api.payments is not None:
        assert api.payments.object in api.objects
        assert api.payments.path.startswith("/")


@every_provider
def test_the_acknowledgement(provider):
    """A 2xx: anything else would make the provider send again."""
    assert 200 <= provider.ack.status < 300


# --- samples


@every_provider
def test_each_event_has_a_sample(provider):
    """What is in the table is shown by a whole payload."""
    assert set(provider.events) - {sample.name for sample in samples.webhooks(provider.name)} == set()


@every_provider
def test_each_object_of_the_api_has_a_sample(provider):
    """So has what can be got, and what can be listed."""
    shown = {sample.name for sample in samples.answers(provider.name)}
    assert shown == set(provider.api.objects) | ({samples.LIST} if provider.api.payments else set())


@every_webhook
def test_a_samples_event_type(way, sample):
    """It is the one in the file's name, and the provider knows it."""
    assert {item.event_type for item in translated(way, sample.body)} == {sample.name}
    assert (sample.name in way.provider.events) != (sample.name in way.provider.ignored)


@every_webhook
def test_a_sample_is_understood(way, sample):
    """It says something, asks for something, or is ignored by decision: no sample of ours is quarantined."""
    expected = Ignored if sample.name in way.provider.ignored else (Stated, Lookup)
    for item in translated(way, sample.body):
        assert isinstance(item.outcome, expected), item.outcome
        if isinstance(item.outcome, Stated):
            assert item.outcome.statements


@every_answer
def test_an_answer_is_understood(way, sample):
    """What the API says becomes statements, object by object."""
    items = answered(way, sample, sample.body)

    assert items
    assert all(isinstance(item.outcome, Stated) and item.outcome.statements for item in items), items
    assert all(item.event_type is None and item.event_key for item in items)


@every_webhook
def test_a_sample_names_objects_that_can_be_asked_for(way, sample):
    """What a webhook asks for is in the API's table, under an id of the documented form."""
    for item in translated(way, sample.body):
        for ref in item.outcome.objects if isinstance(item.outcome, Lookup) else ():
            assert way.provider.api.objects[ref.object].id_pattern.fullmatch(ref.id)


@every_answer
def test_an_answers_own_id(way, sample):
    """It has the documented form, too."""
    if sample.name in way.provider.api.objects:
        endpoint = way.provider.api.objects[sample.name]
        assert endpoint.id_pattern.fullmatch(own_id(endpoint, sample.body))


@pytest.mark.parametrize("way", [way for way in WAYS if way.proof is Proof.HINT], ids=by_label)
def test_a_hint_only_asks(way):
    """Nothing of its body is published: each sample asks for an object or is ignored."""
    for sample in samples.webhooks(way.provider.name):
        for item in translated(way, sample.body):
            assert isinstance(item.outcome, Lookup | Ignored)
            assert offline_events(way.account(), verified(way, sample.body), item) == []


# --- proof

signed_ways = pytest.mark.parametrize("way", [way for way in WAYS if way.signature], ids=by_label)
binding_ways = pytest.mark.parametrize("way", [way for way in WAYS if way.binds], ids=by_label)


@every_way
def test_correctly_signed(way):
    """Every sample is accepted, and what proves it is named."""
    for sample in samples.webhooks(way.provider.name):
        sent = way.delivery(sample.body)
        proven = verify(sent, way.account().checks)
        assert proven.proof is way.proof
        assert proven.delivery is sent


@signed_ways
def test_each_of_several_secrets(way):
    """Any of the account's secrets verifies, and which one is known: rotation has no gap."""
    account = way.account(*way.secrets)
    for index, secret in enumerate(way.secrets):
        for sample in samples.webhooks(way.provider.name)[:3]:
            assert verify(way.delivery(sample.body, secret), account.checks).secret == index


def _without(name: bytes) -> Callable[[Headers], Headers]:
    return lambda headers: tuple((key, value) for key, value in headers if key.lower() != name)


def _changed(name: bytes, change: Callable[[bytes], bytes]) -> Callable[[Headers], Headers]:
    return lambda headers: tuple((key, change(value) if key.lower() == name else value) for key, value in headers)


def _twice(name: bytes) -> Callable[[Headers], Headers]:
    return lambda headers: (*headers, *((key.upper(), value) for key, value in headers if key.lower() == name))


# What is done to the header that holds the proof.
SPOILED_HEADERS = {
    "missing": _without,
    "there twice": _twice,
    "empty": lambda name: _changed(name, lambda _: b""),
    "cut by one character": lambda name: _changed(name, lambda value: value[:-1]),
    "cut in half": lambda name: _changed(name, lambda value: value[: len(value) // 2]),
    "only its beginning": lambda name: _changed(name, lambda value: value[:4]),
    "one character more": lambda name: _changed(name, lambda value: value + b"0"),
    "another last character": lambda name: _changed(
        name, lambda value: value[:-2] + (b"00" if value[-2:] != b"00" else b"11")
    ),
    "reversed": lambda name: _changed(name, lambda value: value[::-1]),
    "two of it in one, by comma": lambda name: _changed(name, lambda value: value + b"," + value),
    "no ASCII": lambda name: _changed(name, lambda value: value[:-1] + b"\xff"),
    "full-width digits": lambda name: _changed(
        name, lambda value: value.translate(None, b"0123456789") + "\uff11\uff12".encode()
    ),
    "a NUL at its end": lambda name: _changed(name, lambda value: value + b"\x00"),
    "commas": lambda name: _changed(name, lambda _: b",,,="),
    "a megabyte": lambda name: _changed(name, lambda value: value[:5] + b"x" * 1_000_000),
}


@signed_ways
@pytest.mark.parametrize("spoiled", SPOILED_HEADERS)
def test_the_proof_is_spoiled(way, spoiled):
    """Rejected, and nothing else is raised; the reason is a slug of the documented list."""
    change = SPOILED_HEADERS[spoiled](way.signature)
    for sample in samples.webhooks(way.provider.name)[:5]:
        headers = change(way.sign(sample.body, way.secrets[0]))
        rejected(way, sample.body, headers)


@pytest.mark.parametrize(
    ("way", "header"),
    [pytest.param(way, header, id=f"{way.label}: {header.decode()}") for way in WAYS for header in way.signed_headers],
)
def test_a_signed_header_is_spoiled(way, header):
    """Where the signature covers headers, each of them is needed, once, as it was signed."""
    body = samples.webhooks(way.provider.name)[0].body
    changes = (
        _without(header),
        _twice(header),
        _changed(header, lambda value: value + b"0"),
        _changed(header, lambda value: value[:-1]),
        _changed(header, lambda _: b""),
    )
    for change in changes:
        rejected(way, body, change(way.sign(body, way.secrets[0])))


@signed_ways
def test_a_wrong_secret(way):
    """Every sample, signed with a secret that the account does not have, is rejected."""
    for sample in samples.webhooks(way.provider.name):
        rejected(way, sample.body, way.sign(sample.body, way.secrets[1]))


@signed_ways
def test_no_signature_at_all(way):
    """Every sample without the headers is rejected as missing its proof."""
    for sample in samples.webhooks(way.provider.name):
        assert rejected(way, sample.body, ()) in {"signature_missing", "static_secret_missing"}


@binding_ways
def test_one_bit_of_the_body(way):
    """Whichever bit of a sample's body flips: rejected."""
    for sample in samples.webhooks(way.provider.name):
        headers = way.sign(sample.body, way.secrets[0])
        step = max(1, len(sample.body) // 40)
        for place in {*range(0, len(sample.body), step), len(sample.body) - 1}:
            for bit in (1, 32):
                body = bytearray(sample.body)
                body[place] ^= bit
                rejected(way, bytes(body), headers)


@binding_ways
@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1],
        lambda body: body + b"\n",
        lambda body: b" " + body,
        lambda _: b"",
        lambda body: orjson.dumps(orjson.loads(body)),
    ],
    ids=["cut", "a line more", "a blank before", "empty", "written anew"],
)
def test_another_body(way, change):
    """What is signed are the bytes, not what they mean."""
    for sample in samples.webhooks(way.provider.name):
        if (body := change(sample.body)) != sample.body:
            rejected(way, body, way.sign(sample.body, way.secrets[0]))


@binding_ways
def test_another_samples_signature(way):
    """It proves that sample, not this one."""
    first, second = samples.webhooks(way.provider.name)[:2]
    rejected(way, first.body, way.sign(second.body, way.secrets[0]))


def rejected(way: Way, body: bytes, headers: Headers) -> str:
    """Assert that it is, and give the reason."""
    with pytest.raises(Rejected) as caught:
        verify(way.sent(body, headers), way.account().checks)
    assert caught.value.reason in re.split(r"[,.\s]+", Rejected.__doc__ or "")
    assert not any(secret in str(caught.value) for secret in way.secrets if secret)
    return caught.value.reason


# --- translation


def verified(way: Way, body: bytes) -> Verified:
    return verifier(way)(body)


def verifier(way: Way) -> Callable[[bytes], Verified]:
    """As verified: what verification says is above; junk need not be signed to be translated."""
    proven = verify(way.delivery(samples.webhooks(way.provider.name)[0].body), way.account().checks)
    return lambda body: Verified(replace(proven.delivery, body=body), proven.proof, proven.secret)


def translated(way: Way, body: bytes) -> tuple[Item, ...]:
    return translate(way.account(), verified(way, body))


def own_id(endpoint, body: bytes) -> str:
    found = orjson.loads(body)
    for key in endpoint.unwrap:
        found = found[key]
    return found[endpoint.id_key]


def answer(way: Way, sample: Sample, body: bytes) -> Verified:
    """An answer of the provider's API to the question that the sample answers."""
    endpoint = way.provider.api.objects.get(sample.name)
    ref = PAYMENTS if endpoint is None else ObjectRef(object=sample.name, id=own_id(endpoint, sample.body))
    asked = Asked(ref=ref, occurred_at=NOW)
    return confirmed(replace(way.sent(body, ()), via=Via.LOOKUP, asked=asked))


def answered(way: Way, sample: Sample, body: bytes) -> tuple[Item, ...]:
    return translate(way.account(), answer(way, sample, body))


@every_webhook
def test_translating_twice(way, sample):
    """The same bytes give the same items."""
    assert translated(way, sample.body) == translated(way, sample.body)


@every_answer
def test_translating_an_answer_twice(way, sample):
    """The same answer gives the same items, under the same keys."""
    assert answered(way, sample, sample.body) == answered(way, sample, sample.body)


@every_webhook
def test_a_samples_events(way, sample):
    """They are valid in strict mode, with every key there, and have types of the published list."""
    proven = verified(way, sample.body)
    for item in translate(way.account(), proven):
        held_to_the_contract(offline_events(way.account(), proven, item))


@every_answer
def test_an_answers_events(way, sample):
    """So are those of the API's answers."""
    proven = answer(way, sample, sample.body)
    events = [
        event for item in translate(way.account(), proven) for event in offline_events(way.account(), proven, item)
    ]

    assert events
    held_to_the_contract(events)


def held_to_the_contract(events: list[bytes]) -> None:
    ids = []
    for value in events:
        event = EVENT.validate_json(value, strict=True)
        assert keys(orjson.loads(value)) == keys(orjson.loads(orjson.dumps(event)))
        assert event.type in EVENT_TYPES
        assert event.type.startswith(f"{event.data.entity}.")
        blocks = {entity for entity in Entity if getattr(event.data, entity) is not None}
        assert blocks == {event.data.entity}
        assert getattr(event.data, event.data.entity).id == event.subject
        ids.append(event.id)
    assert len(set(ids)) == len(ids)


def keys(value):
    """Every key but those of metadata, whose content is free."""
    if isinstance(value, list):
        return [keys(each) for each in value]
    if isinstance(value, dict):
        return [(key, None if key == "metadata" else keys(each)) for key, each in value.items()]
    return None


@every_webhook
def test_the_other_mode(way, sample):
    """An event that says live on an account for tests, or the other way round, is quarantined."""
    [item] = translated(way, sample.body)
    if item.livemode is not None and not isinstance(item.outcome, Ignored):
        account = way.account(livemode=not item.livemode)
        [other] = translate(account, verified(way, sample.body))
        assert isinstance(other.outcome, Quarantined)
        assert other.outcome.reason == "wrong_mode"
        [same] = translate(way.account(livemode=item.livemode), verified(way, sample.body))
        assert same.outcome == item.outcome


@every_webhook
def test_the_mode_of_the_account(way, sample):
    """Where the payload has no mode, the account's counts."""
    [item] = translated(way, sample.body)
    if item.livemode is None:
        [told] = translate(way.account(livemode=True), verified(way, sample.body))
        assert told.livemode is True


@pytest.mark.parametrize("word", ["payment.exploded", "PAYMENT.SUCCEEDED", "", " ", "payment", "null", "x" * 4000])
@pytest.mark.parametrize("way", PROOFS, ids=by_label)
def test_an_unknown_event_type(way, word):
    """V-54: it is quarantined under that reason, whatever else the body says."""
    for sample in samples.webhooks(way.provider.name):
        [place] = [
            path
            for path in junk.paths(orjson.loads(sample.body))
            if len(path) == 1 and junk.leaf(orjson.loads(sample.body), path) == sample.name
        ]
        if word in {*way.provider.events, *way.provider.ignored}:
            continue
        [item] = translated(way, junk.replaced(sample.body, place, orjson.dumps(word)))
        assert isinstance(item.outcome, Quarantined)
        assert item.outcome.reason in {"unknown_event_type", *([] if word.strip() else ["shape"])}
        assert len(item.outcome.detail or "") < 200


@every_webhook
def test_an_unknown_status(way, sample):
    """V-54: a status that no table has is quarantined with its place, also in another case or with a blank."""
    unknown_statuses(sample.body, lambda body: translated(way, body))


@every_answer
def test_an_unknown_status_in_an_answer(way, sample):
    """V-54: in what the API says, too."""
    unknown_statuses(sample.body, lambda body: answered(way, sample, body))


def unknown_statuses(body: bytes, read: Callable[[bytes], tuple[Item, ...]]) -> None:
    before = read(body)
    document = orjson.loads(body)
    words = {statement.block.provider_status for statement in stated(before)} - {None}
    found = set()
    for path in junk.paths(document):
        word = junk.leaf(document, path)
        if "status" not in str(path[-1]) or not isinstance(word, str) or word not in words:
            continue
        for unknown in ("no_such_status", word.swapcase(), word + " ", word + "\u0000"):
            changed = read(junk.replaced(body, path, orjson.dumps(unknown)))
            if changed == before:
                break  # another object's status, of which nothing is read
            quarantined = [item.outcome for item in changed if isinstance(item.outcome, Quarantined)]
            assert quarantined, path
            for outcome in quarantined:
                assert (outcome.reason, outcome.path) == ("unknown_status", junk.pointer(path))
                found.add(word)
    assert found == words


def stated(items: tuple[Item, ...]):
    return [statement for item in items if isinstance(item.outcome, Stated) for statement in item.outcome.statements]


@every_webhook
def test_v51_amounts_stand_in_the_body(way, sample):
    """Each amount that is said is, digit for digit, one that the payload holds, or the sum or difference of two."""
    amounts_stand_in(sample.body, translated(way, sample.body))


@every_answer
def test_v51_amounts_stand_in_the_answer(way, sample):
    """So is each amount that is read from the API's answers."""
    amounts_stand_in(sample.body, answered(way, sample, sample.body))


def amounts_stand_in(body: bytes, items: tuple[Item, ...]) -> None:
    held = combined(numbers(body))
    for place, found in amounts(items).items():
        assert {money.minor for money in found} <= held, place


def numbers(body: bytes) -> set[Decimal]:
    """Every number in the body, those in strings too."""
    document = json.loads(body, parse_float=Decimal)
    values = {junk.leaf(document, path) for path in junk.paths(document) if is_leaf(junk.leaf(document, path))}
    return {Decimal(value) for value in values if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", str(value))}


def is_leaf(value) -> bool:
    return isinstance(value, int | Decimal | str) and not isinstance(value, bool)


def combined(found: set[Decimal]) -> set[Decimal]:
    """What amounts may be made of these numbers: as minor units, as major units, with the exponents that occur."""
    pairs = product(found, found | {Decimal(0)})
    return {(a + sign * b).scaleb(shift) for a, b in pairs for sign in (1, -1) for shift in (-2, 0, 2, 3)}


# --- junk

# Pages of payments are held to it object by object: every object is also a sample of its own.
every_object = pytest.mark.parametrize(
    ("way", "sample"), [case for case in each_sample(samples.answers, ONE_EACH) if case.values[1].name != samples.LIST]
)


@every_webhook
def test_v53_junk_at_every_place(way, sample):
    """Whatever stands wherever: items come out, nothing is raised, and no amount is another one than was said."""
    hold_to_junk(way, sample, verifier(way))


@every_object
def test_v53_junk_at_every_place_of_an_answer(way, sample):
    """The API's answers are no more trusted than a webhook."""
    hold_to_junk(way, sample, lambda body: answer(way, sample, body))


def hold_to_junk(way: Way, sample: Sample, prove: Callable[[bytes], Verified]) -> None:
    account = way.account()
    untouched = translate(account, prove(sample.body))
    assert untouched
    assert all(plausible(item) for item in untouched)
    said = amounts(untouched)
    document = orjson.loads(sample.body)
    for spoiled in junk.spoiled(sample.body):
        proven = prove(spoiled.body)
        items = translate(account, proven)
        if items == untouched:
            continue  # nothing is read there
        case = (spoiled.what, junk.pointer(spoiled.path))
        assert items, case
        assert all(plausible(item) for item in items), (case, items)
        for place, found in amounts(items).items():
            wrong = found - said[place]
            assert not wrong or all(money.minor in sums(document, spoiled) for money in wrong), (case, place, wrong)
        assert_published(account, proven, items)
    assert_published(account, prove(sample.body), untouched)


def assert_published(account: Account, proven: Verified, items: tuple[Item, ...]) -> None:
    """Whatever events come of them are as the contract says."""
    for item in items:
        for event in offline_events(account, proven, item):
            EVENT.validate_json(event, strict=True)


def plausible(item: Item) -> bool:
    """An item with one of the four outcomes; a bug of ours (`internal_error`) is none."""
    return isinstance(item, Item) and (
        isinstance(item.outcome, Stated | Lookup | Ignored)
        or (isinstance(item.outcome, Quarantined) and item.outcome.reason in REASONS)
    )


def amounts(items: tuple[Item, ...]) -> dict[tuple[str, ...], set[Money]]:
    """Every amount that is said, by entity and field."""
    found = defaultdict(set)
    for statement in stated(items):
        for place, money in moneys(statement.block):
            found[statement.block.entity.value, *place].add(money)
    return found


def moneys(value, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Money]]:
    if isinstance(value, Money):
        yield place, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from moneys(getattr(value, field.name), (*place, field.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from moneys(each, place)


def sums(document, spoiled) -> set[Decimal]:
    """What an amount may be where a number replaced a number or null, or a flag a flag: what now stands there, as it is,
    in minor units, and added to or subtracted from the other numbers. Nothing, where the type is wrong.
    """
    old = junk.leaf(document, spoiled.path)
    if type(old) is bool and spoiled.what == "true":
        new = Decimal(0)
    elif (old is None or type(old) in (int, float)) and spoiled.number is not None:
        new = spoiled.number
    else:
        return set()
    return combined(numbers(orjson.dumps(document)) | {new})


# --- cards


@every_webhook
def test_v55_a_card_number_at_every_place(way, sample):
    """Typed anywhere in the payload, it reaches neither an event nor a quarantine record's words."""
    hold_to_masking(way, sample, lambda body: verified(way, body))


@every_object
def test_v55_a_card_number_at_every_place_of_an_answer(way, sample):
    """Nor from what the API answers."""
    hold_to_masking(way, sample, lambda body: answer(way, sample, body))


def hold_to_masking(way: Way, sample: Sample, prove: Callable[[bytes], Verified]) -> None:
    account = way.account()
    for path in junk.paths(orjson.loads(sample.body)):
        proven = prove(junk.replaced(sample.body, path, junk.CARD))
        for item in translate(account, proven):
            told = [*offline_events(account, proven, item), repr(item).encode()]
            assert not any(b"42424242424242" in words or b"4242 4242 4242" in words for words in told), junk.pointer(
                path
            )
