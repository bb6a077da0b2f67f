"""Rows of the provider's value, and of the shelf of samples beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from paymux.canonical import STATUSES, Entity
from paymux.sandbox import samples
from paymux.statement import Ignored, Lookup, Stated
from paymux.testing.suite.reading import answered, own_id, translated

if TYPE_CHECKING:
    import pytest

    from paymux.provider import Provider
    from paymux.testing.suite.cases import Case
    from paymux.testing.ways import Way

HOSTILE_IDS = ("", "..", "../x", "a/b", "a?b", "a#b", "a b", "a%2fb", "a\n", "a\x00", "é", "a" * 1000)


def test_samples_are_found(any_way: Way) -> None:
    """Without them nothing below is held to anything."""
    name = any_way.provider.name
    assert any_way.samples, (
        f"no sample of {name} is sent this way: they stand in samples/{name}/webhooks beside the provider's module, "
        f"and are found once its package is installed (pip install -e .) with an entry point in paymux.providers"
    )


def test_the_name(provider: Provider) -> None:
    """It can stand in a URL, and its documentation is named."""
    assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", provider.name)
    assert provider.docs.startswith("https://")
    assert provider.mapping >= 1


def test_known_and_ignored(provider: Provider) -> None:
    """An event type is translated or ignored, never both."""
    assert provider.events
    assert not provider.ignored & set(provider.events)


def test_status_tables(provider: Provider) -> None:
    """Every word of the provider's leads to a status of the published vocabulary."""
    published = {kind: entity for entity, kind in STATUSES.items()}
    assert provider.statuses
    for title, table in provider.statuses.items():
        assert table, title
        assert len({published[type(status)] for status in table.values()}) == 1, title
        assert all(word and isinstance(word, str) for word in table), title


def test_transitions(provider: Provider) -> None:
    """Moves lead out of final statuses of the right entity, and every status has a rank."""
    transitions = provider.transitions
    for entity, moves in transitions.moves.items():
        words = set(STATUSES[entity])
        assert set(moves) <= words
        assert all(reached and reached <= words for reached in moves.values())
        assert all(old not in reached for old, reached in moves.items())
    for entity in Entity:
        assert set(transitions.ranks[entity]) == set(STATUSES[entity])


def test_options(provider: Provider) -> None:
    """Each option has a name that TOML and the environment can hold, a sentence of help, and is there once."""
    names = [option.name for option in provider.options]
    assert len(set(names)) == len(names)
    for option in provider.options:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", option.name)
        assert option.help
        assert len(set(option.choices)) == len(option.choices)


def test_the_api(provider_with_api: Provider) -> None:
    """Hosts are https origins without a slash at the end, paths hold the id, and what is listed can be got."""
    api = provider_with_api.api
    assert api is not None
    for url in (api.url, *api.regions.values()):
        assert re.fullmatch(r"https://[a-z0-9.-]+(?:/[a-z0-9]+)*", url)
    for endpoint in api.objects.values():
        assert endpoint.path.startswith("/")
        assert endpoint.path.count("{id}") == 1
        for hostile in HOSTILE_IDS:
            assert not endpoint.id_pattern.fullmatch(hostile), hostile
    if api.payments is not None:
        assert api.payments.object in api.objects
        assert api.payments.path.startswith("/")


def test_who_can_be_asked(provider: Provider) -> None:
    """A provider whose webhooks only name objects has an API that answers for them."""
    assert provider.api is not None or not provider.thin


def test_the_answers_to_deliveries(provider: Provider) -> None:
    """The acknowledgement is a 2xx, since anything else would make the provider send again; a refusal is none, and none
    that ends the deliveries for good.
    """
    assert 200 <= provider.ack.status < 300
    assert 400 <= provider.refusal < 500
    assert provider.refusal != 410
    told = provider.redelivery
    assert all(number is None or number > 0 for number in (told.timeout, told.attempts))
    assert told.window is None or told.window.total_seconds() > 0


# --- samples


def test_each_event_has_a_sample(provider: Provider) -> None:
    """What is in the table is shown by a whole payload, samples/NAME/webhooks/EVENT TYPE.json beside its module."""
    shown = {sample.name for sample in samples.webhooks(provider.name)}
    assert set(provider.events) - shown == set()


def test_each_object_of_the_api_has_a_sample(provider: Provider) -> None:
    """So has what can be got, and what can be listed; without an API there is none."""
    shown = {sample.name for sample in samples.answers(provider.name)}
    api = provider.api
    assert shown == (set() if api is None else {*api.objects, *([samples.LIST] if api.payments else [])})


def test_each_sample_is_sent(provider: Provider, request: pytest.FixtureRequest) -> None:
    """In at least one of the ways: what is proven in none was never held to anything."""
    ways = [way for way in request.module.WAYS if way.provider is provider]
    taken = {sample.label for way in ways for sample in way.samples}
    assert {sample.label for sample in samples.webhooks(provider.name)} - taken == set()


def test_a_samples_event_type(webhook: Case) -> None:
    """It is the one in the file's name (of a batch, the first item's), and the provider knows it."""
    provider = webhook.way.provider
    items = translated(webhook.way, webhook.sample.body)
    assert items[0].event_type == webhook.sample.name
    for item in items:
        assert (item.event_type in provider.events) != (item.event_type in provider.ignored)
    assert provider.split or len(items) == 1


def test_a_sample_is_understood(webhook: Case) -> None:
    """It says something, asks for something, or is ignored by decision: no sample is quarantined. One of an event that
    is translated and yet says nothing of a payment is called so: EVENT TYPE--ignored....
    """
    for item in translated(webhook.way, webhook.sample.body):
        is_ignored = item.event_type in webhook.way.provider.ignored or webhook.sample.variant.startswith("ignored")
        expected = Ignored if is_ignored else (Stated, Lookup)
        assert isinstance(item.outcome, expected), item.outcome
        if isinstance(item.outcome, Stated):
            assert item.outcome.statements


def test_an_answer_is_understood(answer: Case) -> None:
    """What the API says becomes statements, object by object."""
    items = answered(answer, answer.sample.body)

    assert items
    assert all(isinstance(item.outcome, Stated) and item.outcome.statements for item in items), items
    assert all(item.event_type is None and item.event_key for item in items)


def test_a_sample_names_objects_that_can_be_asked_for(webhook: Case) -> None:
    """What a webhook asks for is in the API's table, under an id of the documented form."""
    for item in translated(webhook.way, webhook.sample.body):
        for ref in item.outcome.objects if isinstance(item.outcome, Lookup) else ():
            api = webhook.way.provider.api
            assert api is not None
            assert api.objects[ref.object].id_pattern.fullmatch(ref.id)


def test_an_answers_own_id(answer: Case) -> None:
    """It has the documented form, too."""
    api = answer.way.provider.api
    if api is not None and answer.sample.name in api.objects:
        endpoint = api.objects[answer.sample.name]
        assert endpoint.id_pattern.fullmatch(own_id(endpoint, answer.sample.body))


def test_a_batch_has_a_way(provider: Provider, request: pytest.FixtureRequest) -> None:
    """Where one body may bring several items, a way says so by where the first one's event type stands."""
    ways = [way for way in request.module.WAYS if way.provider is provider]
    assert any(way.is_batch for way in ways) == (provider.split is not None)


def test_a_batch_has_a_sample(batches: Way) -> None:
    """One sample at least brings more than one item."""
    assert any(len(translated(batches, sample.body)) > 1 for sample in batches.samples)
