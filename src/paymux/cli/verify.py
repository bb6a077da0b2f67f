"""`paymux verify`: is this request genuine? Offline: one request from the command line, or a file of them."""

from __future__ import annotations

import base64
import sys
from typing import IO, TYPE_CHECKING, Any

import click
import orjson

from paymux.cli.offline import Unusable, pairs, read
from paymux.delivery import Proof
from paymux.errors import NeedsCertificate, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.cli.offline import Request
    from paymux.signatures import Scheme


@click.command()
@click.option("--provider", metavar="NAME", help="A provider, or standard-webhooks or svix.")
@click.option("--secret", "secrets", multiple=True, help="A secret; several may be given, any may match.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header of the request.")
@click.option("--method", default="POST", show_default=True)
@click.option("--url", help="As the provider sees it; only for schemes that sign it.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="As in the account's options; tolerance.")
@click.option("--at", metavar="TIME", help="When it was received: RFC 3339 or unix seconds. Now, if absent.")
@click.option("--requests", type=click.File("rb"), metavar="FILE|-", help="JSON Lines, one request each.")
@click.option("--json", "_json", is_flag=True, expose_value=False, help="What it prints anyway.")
@click.argument("body", type=click.File("rb"), required=False, metavar="[FILE|-]")
def verify(
    provider: str | None,
    secrets: tuple[str, ...],
    headers: tuple[str, ...],
    method: str,
    url: str | None,
    options: tuple[str, ...],
    at: str | None,
    requests: IO[bytes] | None,
    body: IO[bytes] | None,
) -> None:
    """Check the signature of the body in FILE.

    Prints one JSON line, {"verified": true, "secret": 0} or {"verified": false, "reason": "signature_mismatch"};
    exits 0 or 1, and 2 if it could not judge.

    With --requests each line is {"provider", "secrets": [], "method", "url", "headers": {}, "body" or "body_base64",
    "options": {}, "received_at"}, and one result line is printed for each; blank lines are skipped.
    """
    if requests is not None:
        if provider or body:
            raise click.UsageError("--requests goes without --provider and FILE: every line says its own.")
        sys.exit(_all(requests))
    if provider is None or body is None:
        raise click.UsageError("Give --provider and FILE (- for standard input), or --requests FILE.")
    told = {
        "provider": provider,
        "secrets": list(secrets),
        "method": method,
        "url": url,
        "headers": _by_name(headers),
        "body_base64": base64.b64encode(body.read()).decode(),
        "options": dict(pairs(options, "=")),
        "received_at": at,
    }
    result = judge(read(told))
    _print(result)
    sys.exit(0 if result["verified"] else 1)


def judge(request: Request) -> dict[str, Any]:
    """The result line. A secret that is no key for the scheme (empty, not base64) matches nothing.

    Raises Unusable: a certificate is needed that was not given, and nothing is fetched here.
    """
    if request.scheme.proof is Proof.HINT:
        return {"verified": False, "reason": "proves_nothing"}
    keys = _keys(request.scheme, request.secrets)
    if not keys and (request.secrets or not _needs_no_secret(request.scheme)):
        return {"verified": False, "reason": "secret_unusable"}
    try:
        matched = request.scheme.verify(request.delivery, tuple(keys.values()))
    except Rejected as error:
        return {"verified": False, "reason": error.reason}
    except NeedsCertificate as needed:
        raise Unusable(f"{needed.detail}: give it and its authorities as the options cert_pem and ca_pem") from None
    return {"verified": True, "secret": None if matched is None else tuple(keys)[matched]}


# ---


def _all(requests: IO[bytes]) -> int:
    """One result for each line, in order; the exit code is that of the worst."""
    worst = 0
    for line in filter(bytes.strip, requests):
        try:
            result = judge(read(orjson.loads(line)))
            code = 0 if result["verified"] else 1
        except orjson.JSONDecodeError as error:
            result, code = {"error": f"not JSON: {error}"}, 2
        except Unusable as error:
            result, code = {"error": error.message}, 2
        _print(result)
        worst = max(worst, code)
    return worst


def _by_name(headers: Iterable[str]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for name, value in pairs(headers, ":"):
        named.setdefault(name, []).append(value)
    return named


def _print(result: Mapping[str, Any]) -> None:
    click.echo(orjson.dumps(result))


def _needs_no_secret(scheme: Scheme) -> bool:
    from paymux.signatures.certificate_rsa import CertificateRsa

    return isinstance(scheme, CertificateRsa) and bool(scheme.webhook_id)


def _keys(scheme: Scheme, secrets: Iterable[str]) -> dict[int, bytes]:
    """The usable keys by their secret's place in the list; the least length is a rule of configurations only."""
    from paymux.signatures.bare import admitting_short_secrets

    scheme, found = admitting_short_secrets(scheme), {}
    for place, secret in enumerate(secrets):
        try:
            found[place] = scheme.key(secret)
        except ValueError:
            continue
    return found
