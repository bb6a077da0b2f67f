"""Every provider, listed by hand, and those of other packages: the entry-point group `paymux.providers`."""

from __future__ import annotations

from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from paymux.errors import SettingsError
from paymux.provider import Provider
from paymux.providers.adyen import ADYEN
from paymux.providers.braintree import BRAINTREE
from paymux.providers.checkout import CHECKOUT
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.flowglad import FLOWGLAD
from paymux.providers.flowlix import FLOWLIX
from paymux.providers.gocardless import GOCARDLESS
from paymux.providers.klarna import KLARNA
from paymux.providers.mollie import MOLLIE
from paymux.providers.paypal import PAYPAL
from paymux.providers.paystack import PAYSTACK
from paymux.providers.razorpay import RAZORPAY
from paymux.providers.square import SQUARE
from paymux.providers.stripe import STRIPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

GROUP: Final = "paymux.providers"

ALL: Final = (
    ADYEN,
    BRAINTREE,
    CHECKOUT,
    FLEXPORTAL,
    FLEXPRICE,
    FLOWGLAD,
    FLOWLIX,
    GOCARDLESS,
    KLARNA,
    MOLLIE,
    PAYPAL,
    PAYSTACK,
    RAZORPAY,
    SQUARE,
    STRIPE,
)
BY_NAME: Final[Mapping[str, Provider]] = MappingProxyType({provider.name: provider for provider in ALL})


def installed() -> Mapping[str, Provider]:
    """By name: ours, and those of the installed packages. Raises SettingsError for one that cannot be used."""
    found = dict(BY_NAME)
    for point in entry_points(group=GROUP):
        provider = _loaded(point)
        if provider.name in found:
            raise SettingsError(f"{_origin(point)} brings a provider {provider.name!r}, but there is one already")
        found[provider.name] = provider
    return found


def _loaded(point: EntryPoint) -> Provider:
    try:
        provider = point.load()
    except Exception as error:
        raise SettingsError(f"{_origin(point)} does not load: {type(error).__name__}: {error}") from error
    if not isinstance(provider, Provider):
        raise SettingsError(f"{_origin(point)} is {type(provider).__name__}, not a paymux.provider.Provider")
    return provider


def _origin(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "an unknown package"
    return f"the provider {point.value!r} of {package}"
