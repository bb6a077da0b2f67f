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


def _package(room, name, module):
    """As pip leaves it, with a sample beside the module; `module` is where in it the provider is."""
    file = room / module.replace(".", "/")
    file = file / "__init__.py" if "." not in module else file.with_suffix(".py")
    file.parent.mkdir(parents=True)
    file.write_text(
        "from dataclasses import replace\nfrom paymux.providers.flowlix import FLOWLIX\n"
        f"PROVIDER = replace(FLOWLIX, name={name!r})\n"
    )
    webhooks = file.parent / "samples" / name / "webhooks"
    webhooks.mkdir(parents=True)
    (webhooks / "payment.succeeded--of-its-own.json").write_text(f'{{"of": "{name}"}}')
    info = room / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[paymux.providers]\n{name} = {module}:PROVIDER\n")


def test_samples_of_other_packages(tmp_path, monkeypatch):
    """Each provider's stand beside its own module, be that a package or a module within one."""
    _package(tmp_path, "samplepay-one", "samplepay_one")
    _package(tmp_path, "samplepay-two", "samplepay_two.provider")
    (tmp_path / "samplepay_two" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    for name in ("samplepay-one", "samplepay-two"):
        [sample] = samples.webhooks(name)
        assert (sample.label, json.loads(sample.body)) == ("payment.succeeded--of-its-own", {"of": name})
        assert samples.answers(name) == ()
