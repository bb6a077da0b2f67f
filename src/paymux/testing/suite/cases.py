"""Which of a package's ways, providers and samples a row is held to, by the name of the row's argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from paymux.delivery import Proof
from paymux.sandbox import samples
from paymux.testing.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from paymux.sandbox.samples import Sample

    Ways = tuple[Way, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A sample, and the way in which it comes."""

    way: Way
    sample: Sample

    @property
    def label(self) -> str:
        return f"{self.way.label}: {self.sample.label}"


@dataclass(frozen=True, kw_only=True)
class SignedHeader:
    way: Way
    header: bytes

    @property
    def label(self) -> str:
        return f"{self.way.label}: {self.header.decode()}"


def _providers(ways: Ways) -> list[Any]:
    return list({way.provider.name: way.provider for way in ways}.values())


def _one_for_each_proof(ways: Ways) -> list[Way]:
    """Ways that take the same samples are alike to the provider's translation, if they prove alike."""
    found: dict[tuple[object, ...], Way] = {}
    for way in ways:
        found.setdefault((way.provider.name, way.proof, way.samples), way)
    return list(found.values())


def _webhooks(ways: Ways) -> list[Case]:
    """Each sample once for each kind of proof that the provider's translation could tell apart."""
    found: dict[tuple[str, Proof, str], Case] = {}
    for way in ways:
        for sample in way.samples:
            found.setdefault((way.provider.name, way.proof, sample.label), Case(way=way, sample=sample))
    return list(found.values())


def _answers(ways: Ways) -> list[Case]:
    """What comes from the API, once for each provider."""
    one_each = {way.provider.name: way for way in ways}.values()
    return [Case(way=way, sample=sample) for way in one_each for sample in samples.answers(way.provider.name)]


def _signed_headers(ways: Ways) -> list[SignedHeader]:
    return [SignedHeader(way=way, header=header) for way in ways for header in way.signed_headers]


def _only(admits: Callable[[Way], object]) -> Callable[[Ways], list[Way]]:
    return lambda ways: [way for way in ways if admits(way)]


_CASES: Final[Mapping[str, Callable[[Ways], Iterable[Any]]]] = {
    "provider": _providers,
    "provider_with_api": lambda ways: [provider for provider in _providers(ways) if provider.api],
    "any_way": list,
    "way": list,
    "hint": _only(lambda way: way.proof is Proof.HINT),
    "signed": _only(lambda way: way.signature or way.spoil),
    "signed_in_header": _only(lambda way: way.signature),
    "signed_in_body": _only(lambda way: way.spoil),
    "rotating": _only(lambda way: (way.signature or way.spoil) and len({*way.secrets}) == len(way.secrets)),
    "binding": _only(lambda way: way.binds),
    "binding_in_header": _only(lambda way: way.binds and way.signature and len(way.samples) > 1),
    "batches": _only(lambda way: way.is_batch),
    "typed": lambda ways: [way for way in _one_for_each_proof(ways) if way.type_at != ()],
    "signed_header": _signed_headers,
    "webhook": _webhooks,
    "answer": _answers,
    # Pages of payments are held to it object by object: every object is also a sample of its own.
    "api_object": lambda ways: [case for case in _answers(ways) if case.sample.name != samples.LIST],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each row over all of the module's WAYS that it is about."""
    ways = getattr(metafunc.module, "WAYS", None)
    if not ways or not all(isinstance(way, Way) for way in ways):
        raise pytest.UsageError(f"{metafunc.module.__name__} holds no WAYS, a tuple of paymux.testing.Way")
    for name in metafunc.fixturenames:
        if name in _CASES:
            useful = ways if name in {"provider", "any_way"} else [way for way in ways if way.samples]
            found = list(_CASES[name](tuple(useful)))
            metafunc.parametrize(name, found or [_NONE], ids=_label)


_NONE: Final = pytest.param(None, marks=pytest.mark.skip(reason="none of WAYS is of that kind"), id="none")


def _label(case: Any) -> str:
    return getattr(case, "label", None) or getattr(case, "name", None) or str(case)
