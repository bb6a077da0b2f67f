"""`paymux rejections`: what was not accepted, why, how often and from where."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from paymux.cli.stored import as_json, ask, clock, config, dump, journal
from paymux.journal import RING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from paymux.journal import Rejection

SHOWN_ADDRESSES: Final = 3

# Reason -> where to look first; docs/reasons.md says more.
_HINTS: Final = {
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
    "unknown_account": "the URL in the provider's dashboard names another provider or account",
    "address_not_allowed": "the sender is not in allow_from; behind a proxy, see trusted_proxies",
    "hint_malformed": "a stranger, or the provider changed its form",
    "hint_unknown_event": "a type that neither list of the provider has",
}


@dataclass(slots=True, kw_only=True)
class Group:
    """Rejections of one account for one reason, newest first."""

    provider: str
    account: str
    reason: str
    first: datetime
    last: datetime
    count: int = 0
    addresses: Counter[str] = field(default_factory=Counter)


@click.command()
@config
@journal
@as_json
def rejections(config: Path | None, journal: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """What was not accepted, grouped, the most first. The newest 1000 are kept, without their bodies."""
    groups = grouped(ask(config, journal, lambda history: history.rejections(RING)))
    for text in map(_facts, groups) if as_json else _lines(groups):
        click.echo(text)
    if not groups:
        click.echo("nothing was rejected", err=True)


def grouped(found: Iterable[Rejection]) -> list[Group]:
    groups: dict[tuple[str, str, str], Group] = {}
    for each in found:
        name = (each.provider, each.account, each.reason)
        group = groups.setdefault(
            name,
            Group(provider=each.provider, account=each.account, reason=each.reason, first=each.at, last=each.at),
        )
        group.first = min(group.first, each.at)
        group.last = max(group.last, each.at)
        group.count += 1
        group.addresses[each.address] += 1
    return sorted(groups.values(), key=lambda group: -group.count)


def _facts(group: Group) -> bytes:
    facts: dict[str, Any] = asdict(group)
    return dump(facts | {"addresses": dict(group.addresses.most_common()), "hint": _HINTS.get(group.reason)})


def _lines(groups: Iterable[Group]) -> Iterator[str]:
    for group in groups:
        yield f"{group.count:>8,}  {f'{group.provider}/{group.account}'.ljust(20)}  {group.reason}"
        if group.reason in _HINTS:
            yield f"{'':>8}  {_HINTS[group.reason]}"
        most = ", ".join(f"{address} ({count})" for address, count in group.addresses.most_common(SHOWN_ADDRESSES))
        more = len(group.addresses) - SHOWN_ADDRESSES
        yield f"{'':>8}  {clock(group.first)} to {clock(group.last)}, from {most}{f' and {more} more' * (more > 0)}"
