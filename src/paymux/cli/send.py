"""`paymux send`: a provider's webhooks, correctly signed, from our samples or a file."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import orjson

from paymux.cli.offline import Unusable, check_options, known, pairs, provider_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.provider import Provider
    from paymux.sandbox.sender import Reply, Sender

_BASE: Final = re.compile(r"https?://[^/\s?#]+(?:/[^\s?#]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One delivery to make: what it is called, its id, its body."""

    title: str
    id: str
    body: bytes


@click.command()
@click.option("--provider", required=True, metavar="NAME")
@click.option("--account", required=True, metavar="NAME")
@click.option("--url", required=True, metavar="BASE", help="Of paymux, like http://127.0.0.1:8080.")
@click.option("--event", metavar="TYPE", help="The sample, as samples are called: payment.updated--processing.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many to post.")
@click.option("--file", type=click.File("rb"), metavar="FILE|-", help="Post this body as it stands, not a sample.")
@click.option("--secret", envvar="PAYMUX_SECRET", show_envvar=True, help="What to sign with.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take secret and options from the account in this paymux.toml.",
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="As in the account's options.")
@click.option("--path-token", metavar="TOKEN", help="Where the account has one.")
@click.option("--same", is_flag=True, help="Post the very same delivery each time: all but the first are duplicates.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each answer.")
def send(
    provider: str,
    account: str,
    url: str,
    event: str | None,
    count: int,
    file: IO[bytes] | None,
    secret: str | None,
    config: Path | None,
    options: tuple[str, ...],
    path_token: str | None,
    same: bool,  # noqa: FBT001  # flags of the command line
    as_json: bool,  # noqa: FBT001
) -> None:
    """Post signed webhooks to a running paymux, and print what it answers; exit 1 unless every answer is a success.

    Each is a new event of a new payment, unless --same is given. Without --event the provider's samples follow one
    another, those of a success first.
    """
    from paymux.sandbox.sender import Sender

    if file is not None and event is not None:
        raise Unusable("--file goes without --event")
    if secret is not None and not secret.strip():
        raise Unusable("--secret is empty; every receiver would refuse what it signs")
    if not _BASE.fullmatch(url):
        raise Unusable("--url should be like http://127.0.0.1:8080")
    found = provider_named(provider)
    told: dict[str, Any] = {"secret": secret or "", "options": dict(pairs(options, "=")), "path_token": path_token}
    check_options(found, told["options"])
    if secret is None and (config is not None or found.scheme(told["options"]).proof != "hint"):
        told |= _configured(config, provider, account)
    sender = Sender(base=url, provider=found, account=account, **told)
    messages = _repeated(provider, _bodies(found, event, file), same=same)
    sys.exit(asyncio.run(_post_all(sender, islice(messages, count), as_json=as_json)))


def _configured(config: Path | None, provider: str, account: str) -> dict[str, Any]:
    from paymux.settings import load

    if config is None and not Path("paymux.toml").exists():
        raise Unusable("give --secret, the variable PAYMUX_SECRET, or --config with the account's paymux.toml")
    accounts = [one for one in load(config).accounts if (one.provider, one.name) == (provider, account)]
    if not accounts:
        raise Unusable(f"{config or 'paymux.toml'} has no account {provider}/{account}")
    found = accounts[0]
    return {
        "secret": found.secrets[0].get_secret_value() if found.secrets else "",
        "options": found.options,
        "path_token": found.path_token and found.path_token.get_secret_value(),
        "public_url": found.public_url,
    }


def _bodies(provider: Provider, event: str | None, file: IO[bytes] | None) -> list[tuple[str, bytes, bool]]:
    """(title, body, whether ids and times are to be made new)."""
    from paymux.sandbox import samples

    if file is not None:
        return [(file.name, file.read(), False)]
    found = {sample.label: sample.body for sample in samples.webhooks(provider.name)}
    chosen = list(found) if event is None else [known(event, found, f"sample of {provider.name}")]
    if not chosen:
        raise Unusable(f"{provider.name} comes without samples: give --file")
    return [(label, found[label], True) for label in sorted(chosen, key=_rank)]


def _rank(label: str) -> tuple[bool, bool, str]:
    """A payment's success is what one wants to see first."""
    return (not label.startswith("payment"), "succe" not in label, label)


def _repeated(provider: str, bodies: list[tuple[str, bytes, bool]], *, same: bool) -> Iterator[Message]:
    from paymux.sandbox.fresh import Fresh
    from paymux.sandbox.sender import new_message

    made = (
        Message(title=title, id=new_message(), body=Fresh(provider).body(body, datetime.now(UTC)) if new else body)
        for title, body, new in cycle(bodies)
    )
    return cycle([next(made)]) if same else made


async def _post_all(sender: Sender, messages: Iterator[Message], *, as_json: bool) -> int:
    import aiohttp

    failed = 0
    async with aiohttp.ClientSession() as session:
        for message in messages:
            try:
                reply = await sender.post(session, message.body, message.id)
            except ValueError as error:
                raise Unusable(str(error)) from None
            failed |= not reply.ok
            click.echo(_json(sender, message, reply) if as_json else _line(sender, message, reply))
    return int(failed)


def _json(sender: Sender, message: Message, reply: Reply) -> bytes:
    return orjson.dumps(
        {
            "provider": sender.provider.name,
            "account": sender.account,
            "event": message.title,
            "message": message.id,
            "status": reply.status,
            "answer": reply.text,
            "milliseconds": round(reply.milliseconds, 1),
        }
    )


def _line(sender: Sender, message: Message, reply: Reply) -> str:
    status = reply.status or "no answer"
    place = f"{sender.provider.name}/{sender.account}"
    return f"{status}  {place}  {message.title}  {reply.milliseconds:.0f} ms  {reply.text.strip()[:200]}"
