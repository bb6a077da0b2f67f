"""What was not accepted, grouped: why, how often, from where, and where to look first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from paymux.journal import Rejection

# Reason -> where to look first; docs/reasons.md says more.
HINTS: Final[Mapping[str, str]] = {
    "signature_missing": "a stranger, or the provider's dashboard has no signing secret for this URL",
    "signature_malformed": "a stranger, or a proxy that rewrites headers",
    "signature_mismatch": "the secret of another endpoint or mode, or a proxy that changes the body; "
    "try `paymux verify` on a saved request",
    "signature_duplicated": "a proxy that adds headers",
    "too_old": "this machine's clock is ahead, or something holds requests back",
    "too_new": "this machine's clock is behind",
    "static_secret_missing": "the header is not set in the provider's configuration",
    "static_secret_mismatch": "the secret in the provider's configuration is another one",
    "path_token_mismatch": "the URL in the provider's dashboard does not end in this account's path_token",
    "certificate_untrusted": "of everything: this machine's clock or authorities, or the account's ca_pem",
    "certificate_unavailable": "this machine does not reach the provider's host, or a stranger names certificates",
    "signature_reused": "somebody holds a genuine delivery and made another of it",
    "unknown_account": "the URL in the provider's dashboard names another provider or account",
    "address_not_allowed": "the sender is not in allow_from; behind a proxy, see trusted_proxies",
    "hint_malformed": "a stranger, or the provider changed its form",
    "hint_unknown_event": "a type that neither list of the provider has",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionGroup:
    """Rejections of one account for one reason; `addresses` counts them by sender, the most first. `age` is the
    newest's: how many seconds before it came it was signed, as it says.
    """

    provider: str
    account: str
    reason: str
    count: int
    first: datetime
    last: datetime
    addresses: Mapping[str, int]
    age: int | None
    hint: str | None


def grouped(found: Iterable[Rejection]) -> list[RejectionGroup]:
    """The largest group first."""
    alike: dict[tuple[str, str, str], list[Rejection]] = {}
    for each in found:
        alike.setdefault((each.provider, each.account, each.reason), []).append(each)
    return sorted(map(_group, alike.values()), key=lambda group: -group.count)


def _group(alike: list[Rejection]) -> RejectionGroup:
    some = max(alike, key=lambda each: each.at)
    times = [each.at for each in alike]
    return RejectionGroup(
        provider=some.provider,
        account=some.account,
        reason=some.reason,
        count=len(alike),
        first=min(times),
        last=max(times),
        addresses=dict(Counter(each.address for each in alike).most_common()),
        age=some.age,
        hint=_hint(some),
    )


def _hint(newest: Rejection) -> str | None:
    hint, age = HINTS.get(newest.reason), newest.age
    if hint is None or age is None:
        return hint
    return f"the newest was signed {abs(age):,} seconds {'before' if age > 0 else 'after'} it came: {hint}"
