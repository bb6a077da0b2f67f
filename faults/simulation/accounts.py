"""The configuration: one account for each provider, with the proof that it usually has."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from faults.simulation.nature import START
from paymux.delivery import Proof
from paymux.providers import BY_NAME
from paymux.sandbox.apis import KEYS, TENANT
from paymux.sandbox.authority import certificate
from paymux.settings import load
from paymux.settings.accounts import build_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.settings.accounts import AccountSetup, Name

ACCOUNT: Final = "acme"
FORGED: Final = "whsec_bm90IG91ciBzZWNyZXQgYXQgYWxsISEh"

_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u"
_SECRETS: Final[Mapping[str, str]] = {"adyen": "5a" * 32, "flexportal": "", "klarna": "", "paypal": ""}
_PUBLIC_URLS: Final[Mapping[str, str]] = {"square": f"https://pay.example/webhooks/square/{ACCOUNT}"}


def _paypal() -> dict[str, str]:
    cert_pem, ca_pem = certificate("messageverificationcerts.sandbox.paypal.com", START)
    return {"webhook_id": "6MX37520HR194683L", "region": "sandbox", "cert_pem": cert_pem, "ca_pem": ca_pem}


_OPTIONS: Final[Mapping[str, Callable[[], Mapping[str, str]]]] = {
    "braintree": lambda: {"public_key": "simulated_public_key"},
    "flexportal": lambda: {"tenant_id": TENANT},
    "paypal": _paypal,
}


def secret(provider: str) -> str:
    """Empty where the provider signs nothing, or by a certificate."""
    return _SECRETS.get(provider, _SECRET)


@cache
def setups() -> dict[Name, AccountSetup]:
    settings = load(None, {"PAYMUX_ACCOUNTS": json.dumps([_configured(provider) for provider in sorted(BY_NAME)])})
    return build_accounts(settings, BY_NAME, now=START)


@cache
def hints() -> frozenset[str]:
    """Providers whose webhooks prove nothing: what they promise is that the object is asked for."""
    return frozenset(name for (name, _), setup in setups().items() if setup.proof is Proof.HINT)


def _configured(provider: str) -> dict[str, Any]:
    return {
        "provider": provider,
        "name": ACCOUNT,
        "secrets": [secret(provider)] if secret(provider) else [],
        "livemode": False,
        "options": _OPTIONS.get(provider, dict)(),
        **({"api_key": KEYS[provider]} if provider in KEYS else {}),
        **({"public_url": _PUBLIC_URLS[provider]} if provider in _PUBLIC_URLS else {}),
    }
