"""`paymux check`: explain a configuration, and what is wrong with it. No secret is shown, only where it comes from.

Exit codes: 0 nothing is wrong; 1 it would run, but not as it should; 2 it would not start.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from paymux.cli.serve import config
from paymux.delivery import Proof
from paymux.errors import JournalUnavailable, SettingsError
from paymux.journal.sqlite.outbox import SqliteOutbox
from paymux.providers import installed
from paymux.relay import BATCH_ROWS
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.settings.models import is_loopback, split_address
from paymux.wiring.parts import admin_tls, kafka_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup
    from paymux.signatures import Scheme

WRONG, UNUSABLE = 1, 2

_PROOFS: Final = {
    Proof.SIGNATURE: "proven by a signature",
    Proof.STATIC: "proven by a shared secret, which says nothing of the body's integrity",
    Proof.HINT: "proven by nothing: each delivery is only a hint, confirmed by asking the provider's API",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`problems` are to be put right, `notes` good to know."""

    accounts: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@click.command()
@config
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(file: Path | None, *, as_json: bool) -> None:
    """Explain a configuration, and what is wrong with it."""
    try:
        settings = load(file)
        findings = examine(settings)
    except SettingsError as error:
        _refuse(str(error).splitlines(), as_json=as_json)
    else:
        click.echo(_json(findings) if as_json else _text(settings, findings))
        sys.exit(WRONG if findings.problems else 0)


def examine(settings: Settings) -> Findings:
    """Raises SettingsError with what would keep it from starting."""
    setups = build_accounts(settings, installed())
    kafka_settings(settings.kafka).security.arguments()
    admin_tls(settings)
    _check_journal(settings.journal.path)
    ordered = [setup for _, setup in sorted(setups.items())]
    return Findings(
        accounts=tuple(map(_explained, ordered)),
        problems=(*_problems(settings), *(told for setup in ordered for told in _account_problems(setup))),
        notes=(
            *_notes(settings),
            *_waiting_notes(settings),
            *(told for setup in ordered for told in _account_notes(setup)),
        ),
    )


# --- what is wrong


def _check_journal(path: str | None) -> None:
    """Raises SettingsError where its files could not be made."""
    if path is None:
        return
    file = Path(path).resolve()
    if not os.path.isdir(file.parent):  # noqa: PTH112  # Path.is_dir raises where a folder above may not be looked into
        raise SettingsError(f"journal.url: there is no folder {file.parent}, or this user may not look into it")
    if os.path.isdir(file):  # noqa: PTH112  # as above
        raise SettingsError(f"journal.url: {file} is a folder; name a file in it, like {file / 'paymux.db'}")
    for needed, rights in ((file.parent, os.W_OK | os.X_OK), (file, os.R_OK | os.W_OK)):
        if os.access(needed, os.F_OK) and not os.access(needed, rights):
            raise SettingsError(f"journal.url: this user may not write to {needed}")


def _problems(settings: Settings) -> Iterator[str]:
    host, _ = split_address(settings.server.admin_listen)
    if not is_loopback(host):
        reachable = f"server.admin_listen: {settings.server.admin_listen} can be reached from elsewhere"
        if not settings.admin.tokens:
            yield f"{reachable}, and admin.tokens is empty"
        if settings.admin.tls_certificate is None:
            yield f"{reachable}, and without admin.tls_certificate tokens go over the wire in clear text"
    if settings.journal.path is None:
        yield "journal.url: memory:// forgets everything at a restart, and what was acknowledged is lost"
    if not settings.accounts:
        yield "accounts: there are none, so every webhook is answered 404"


def _account_problems(setup: AccountSetup) -> Iterator[str]:
    now = datetime.now(UTC)
    for index, secret in enumerate(setup.settings.secrets):
        if secret.expired(now):
            yield f"{_name(setup)}: secret {index} is past its not_after, take it out"


def _notes(settings: Settings) -> Iterator[str]:
    if not settings.admin.tokens:
        yield "admin.tokens: there are none, so the private API is closed; metrics and health are open"
    if settings.kafka.positions == "journal":
        yield "kafka.positions: with journal, a crash publishes some events twice; exactly once needs checkpoint"
    if settings.kafka.security_protocol == "PLAINTEXT":
        yield "kafka.security_protocol: PLAINTEXT, so records go over the wire in clear text"


def _waiting_notes(settings: Settings) -> Iterator[str]:
    """Of records that were decided for a topic which is not configured any more: the oldest are theirs."""
    if settings.journal.path is None or not os.path.isfile(settings.journal.path):  # noqa: PTH113  # as above
        return
    topics = asyncio.run(_waiting_topics(Path(settings.journal.path)))
    for topic in sorted(topics - {settings.kafka.events_topic, settings.kafka.quarantine_topic}):
        yield (
            f"kafka: records that may not be published yet were decided for topic {topic}, and go there: "
            "it must exist until the relay is past them"
        )


async def _waiting_topics(path: Path) -> set[str]:
    outbox = SqliteOutbox(path)
    try:
        return {row.record.topic for row in await outbox.read(0, await outbox.mark(0), BATCH_ROWS)}
    except JournalUnavailable:  # `serve` says why
        return set()
    finally:
        await outbox.close()


def _account_notes(setup: AccountSetup) -> Iterator[str]:
    settings, provider = setup.settings, setup.account.provider
    if settings.livemode is None:
        yield f"{_name(setup)}: livemode is not set, so test and live events are both taken"
    if settings.api_key is None and provider.api is not None:
        yield f"{_name(setup)}: without api_key there are no lookups and no reconcile"
    if setup.proof is Proof.HINT and not settings.allow_from:
        yield f"{_name(setup)}: allow_from or path_token would keep strangers from sending hints"


# --- what it is


def _explained(setup: AccountSetup) -> dict[str, Any]:
    settings, now = setup.settings, datetime.now(UTC)
    provider, name = setup.name
    return {
        "provider": provider,
        "name": name,
        "path": f"/webhooks/{provider}/{name}" + ("/{path_token}" if settings.path_token else ""),
        "proof": setup.proof.value,
        "meaning": _PROOFS[setup.proof],
        "checks": [_described(scheme) for scheme, _ in setup.account.checks],
        "secrets": [
            {"from": secret.origin, "not_after": secret.not_after, "expired": secret.expired(now)}
            for secret in settings.secrets
        ],
        "path_token": settings.path_token.origin if settings.path_token else None,
        "api_key": settings.api_key.origin if settings.api_key else None,
        "livemode": settings.livemode,
        "allow_from": list(map(str, settings.allow_from)),
        "options": dict(settings.options),
    }


def _described(scheme: Scheme) -> str:
    """`TimestampedHmac(header=stripe-signature, tolerance=300)`: a scheme holds no secret."""
    if not is_dataclass(scheme):
        return type(scheme).__name__
    told = ", ".join(f"{field.name}={_shown(getattr(scheme, field.name))}" for field in fields(scheme) if field.repr)
    return f"{type(scheme).__name__}({told})"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_shown, value))
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _name(setup: AccountSetup) -> str:
    return "/".join(setup.name)


# --- telling it


def _refuse(mistakes: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps({"usable": False, "mistakes": mistakes}))
    else:
        click.echo("\n".join(["This configuration would not start:", *(f"  {line}" for line in mistakes)]), err=True)
    sys.exit(UNUSABLE)


def _json(findings: Findings) -> bytes:
    return orjson.dumps(
        {
            "usable": True,
            "accounts": findings.accounts,
            "problems": findings.problems,
            "notes": findings.notes,
        },
        option=orjson.OPT_UTC_Z,
    )


def _text(settings: Settings, findings: Findings) -> str:
    lines = [
        f"webhooks   {settings.server.listen}",
        f"private    {settings.server.admin_listen}",
        f"journal    {settings.journal.url}",
        f"kafka      {settings.kafka.bootstrap_servers} ({settings.kafka.security_protocol})",
    ]
    for account in findings.accounts:
        lines += ["", *_account_lines(account)]
    lines += _listed("To put right:", findings.problems) + _listed("Good to know:", findings.notes)
    return "\n".join(lines)


def _account_lines(account: dict[str, Any]) -> list[str]:
    lines = [
        f"{account['provider']}/{account['name']}   POST {account['path']}",
        f"  {account['meaning']}",
        *(f"  check      {told}" for told in account["checks"]),
    ]
    for secret in account["secrets"]:
        until = f", until {secret['not_after']:%Y-%m-%d %H:%M} UTC" if secret["not_after"] else ""
        lines.append(f"  secret     {secret['from']}{until}")
    lines += [f"  {key:<10} {account[key]}" for key in ("path_token", "api_key") if account[key] is not None]
    mode = {True: "live", False: "test", None: "live and test"}[account["livemode"]]
    return [*lines, f"  mode       {mode}"]


def _listed(title: str, lines: tuple[str, ...]) -> list[str]:
    return ["", title, *(f"  - {line}" for line in lines)] if lines else []
