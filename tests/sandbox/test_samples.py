"""The shelf of samples, as tests, `paymux send` and `paymux dev` take from it."""

from __future__ import annotations

import json

import pytest

from paymux.providers import ALL
from paymux.sandbox import samples
from paymux.wild import parse_form, parse_json, parse_xml


@pytest.mark.parametrize("provider", ALL, ids=lambda provider: provider.name)
def test_every_sample_is_a_whole_payload(provider):
    """A JSON object, a form or XML, in order of name and variant, each under a label of its own; answers are JSON."""
    webhooks, answers = samples.webhooks(provider.name), samples.answers(provider.name)
    assert webhooks
    assert bool(answers) == (provider.api is not None)
    assert all(isinstance(json.loads(sample.body), dict) for sample in answers)
    assert all(_is_whole(sample.body) for sample in webhooks)
    for found in (webhooks, answers):
        assert [(sample.name, sample.variant) for sample in found] == sorted((s.name, s.variant) for s in found)
        assert len({sample.label for sample in found}) == len(found)


def _is_whole(body):
    readers = {b"{": parse_json, b"<": parse_xml}
    return bool(readers.get(body.lstrip()[:1], parse_form)(body).value)


def test_a_sample_by_its_event_type():
    """The plain one, or the variant that is asked for."""
    plain = samples.webhook("flowlix", "payment.succeeded")
    variant = samples.webhook("flowlix", "payment.succeeded", "resent")

    assert (plain.label, variant.label) == ("payment.succeeded", "payment.succeeded--resent")
    assert json.loads(plain.body)["type"] == json.loads(variant.body)["type"] == "payment.succeeded"
    assert plain.body != variant.body


@pytest.mark.parametrize("wanted", ["payment.exploded", "", "../api/payment", "payment.succeeded--resent"])
def test_a_sample_that_is_not_there(wanted):
    """The error says which ones are: a name never becomes a path."""
    with pytest.raises(LookupError, match=r"there are: .*payment\.succeeded"):
        samples.webhook("flowlix", wanted)


def test_a_provider_without_samples():
    """None, and an error that says so."""
    assert samples.webhooks("acmepay") == samples.answers("acmepay") == ()
    with pytest.raises(LookupError, match="there are: none"):
        samples.webhook("acmepay", "payment.succeeded")
