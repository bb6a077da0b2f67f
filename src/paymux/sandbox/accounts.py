"""The accounts of `paymux dev`: one for each provider, with secrets of their own, and the configuration they need."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paymux.delivery import Proof
from paymux.providers import installed
from paymux.sandbox.apis import KEYS, TENANT
from paymux.sandbox.signing import signed
from paymux.signatures.certificate_rsa import CertificateRsa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from paymux.provider import Provider
    from paymux.sandbox.apis import Sandbox
    from paymux.signatures import Scheme

NAME: Final = "demo"


def _paypal() -> dict[str, str]:
    """Signed by a certificate of the sandbox's own; the private key stands beside it, for `paymux send`."""
    from paymux.sandbox.authority import certificate

    cert_pem, ca_pem = certificate("messageverificationcerts.sandbox.paypal.com")
    return {"webhook_id": "6MX37520HR194683L", "region": "sandbox", "cert_pem": cert_pem, "ca_pem": ca_pem}


# Providers whose options are made.
_MADE: Final[Mapping[str, Callable[[], Mapping[str, str]]]] = {"paypal": _paypal}
_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "braintree": {"public_key": "demo_public_key"},
    "flexportal": {"tenant_id": TENANT},
}
_UNSIGNED: Final = frozenset({"flexportal", "klarna", "paypal"})
# Providers whose secrets have another form than `whsec_` and base64.
_SECRETS: Final[Mapping[str, Callable[[], str]]] = {"adyen": lambda: secrets.token_hex(32)}
# Providers that sign the URL which they call.
_PUBLIC_URLS: Final[Mapping[str, str]] = {"square": f"https://pay.example/webhooks/square/{NAME}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """`secret` is empty where the provider signs nothing."""

    provider: str
    secret: str
    options: Mapping[str, str] = field(default_factory=dict)
    public_url: str | None = None


def demo_accounts() -> tuple[DemoAccount, ...]:
    """One for each provider that can have one: of another package, where nothing but a secret is needed."""
    named = [(provider, demo_account(name)) for name, provider in sorted(installed().items())]
    return tuple(account for provider, account in named if _can_have(provider, account))


def demo_account(provider: str) -> DemoAccount:
    return DemoAccount(
        provider=provider,
        secret="" if provider in _UNSIGNED else _SECRETS.get(provider, new_secret)(),
        options=_MADE[provider]() if provider in _MADE else _OPTIONS.get(provider, {}),
        public_url=_PUBLIC_URLS.get(provider),
    )


def new_secret() -> str:
    """In the form that most of them use: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def configuration(accounts: Iterable[DemoAccount], sandbox: Sandbox, **sections: Mapping[str, Any]) -> str:
    """A paymux.toml with literal secrets: for a file that only its owner can read."""
    parts = [_table(f"[{name}]", keys) for name, keys in sections.items()]
    for account in accounts:
        keys: dict[str, Any] = {
            "provider": account.provider,
            "name": NAME,
            "secrets": [account.secret] if account.secret else [],
            "livemode": False,
        }
        if account.provider in KEYS:
            keys |= {"api_key": KEYS[account.provider], "api_url": sandbox.url(account.provider)}
        if account.public_url:
            keys["public_url"] = account.public_url
        parts.append(_table("[[accounts]]", keys))
        if account.options:
            parts.append(_table("[accounts.options]", account.options))
    return "\n".join(parts)


def _can_have(provider: Provider, account: DemoAccount) -> bool:
    """Whether the sandbox knows what it needs: its options, its API, its scheme and the form of its secrets."""
    if any(option.required and option.name not in account.options for option in provider.options):
        return False
    if provider.thin and provider.name not in KEYS:
        return False
    return _can_sign(provider.scheme(account.options), account)


def _can_sign(scheme: Scheme, account: DemoAccount) -> bool:
    if not account.secret:
        return scheme.proof is Proof.HINT or isinstance(scheme, CertificateRsa)
    try:
        scheme.key(account.secret)
        signed(scheme, secret=account.secret, body=b"{}", message="", at=datetime.now(UTC))
    except ValueError:
        return False
    return True


def _table(head: str, keys: Mapping[str, Any]) -> str:
    """TOML writes these texts, numbers, booleans and lists as JSON does."""
    return "\n".join((head, *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""))
