"""Coverage-guided fuzzing of `verify` and `translate` by atheris, for as long as one likes.

    python -m faults.fuzz translate -max_total_time=600 -print_final_stats=1
    python -m faults.fuzz verify CORPUS -runs=1000000

What follows the target is libFuzzer's (https://llvm.org/docs/LibFuzzer.html#options): a directory keeps what was found
for the next time; a failing input is written to the working directory, and its path as an argument repeats it.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NOW: Final = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)
SECRET: Final = "whsec_dGhlIGZ1enplciBkb2VzIG5vdCBrbm93IHRoaXMgc2VjcmV0"
OTHER: Final = "whsec_YW5vdGhlciBzZWNyZXQgdGhhdCB0aGUgZnV6emVyIGtub3dz"
END_OF_HEADERS: Final = b"\r\n\r\n"


def main() -> int:
    targets: dict[str, Callable[[], Callable[[bytes], None]]] = {"verify": verifying, "translate": translating}
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra
    except ImportError:
        print("Fuzzing needs atheris, which is for Linux: pip install paymux[fuzz]", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["paymux"]):
        test_one = targets[sys.argv[1]]()
    with tempfile.TemporaryDirectory(prefix="paymux-fuzz-") as seeds:
        for number, seed in enumerate(SEEDS[sys.argv[1]]()):
            (Path(seeds) / f"seed-{number}").write_bytes(seed)
        options = [argument for argument in sys.argv[2:] if argument.startswith("-")]
        corpora = [argument for argument in sys.argv[2:] if not argument.startswith("-")]
        # Where there is one file only, it is an input to repeat, and seeds would be in its way.
        seeded = [] if any(Path(corpus).is_file() for corpus in corpora) else [seeds]
        atheris.Setup([sys.argv[0], *options, *corpora, *seeded], test_one)
        atheris.Fuzz()
    return 0


# --- verify: whatever the fuzzer makes of headers and body, it does not know the secret


def verifying() -> Callable[[bytes], None]:
    from paymux.delivery import Delivery
    from paymux.errors import Rejected
    from paymux.signatures import verify

    checks = [((scheme, (scheme.key(SECRET),)),) for scheme in _schemes()]

    def test_one(data: bytes) -> None:
        head, _, body = data[1:].partition(END_OF_HEADERS)
        lines = [line.partition(b": ") for line in head.split(b"\r\n")]
        delivery = Delivery(
            id="0190b2a6-0000-7000-8000-000000000001",
            provider="p",
            account="a",
            received_at=NOW,
            body=body,
            headers=tuple((name, value) for name, _, value in lines),
            path_token=head[:40].decode("latin-1"),
        )
        try:
            verify(delivery, checks[(data or b"\0")[0] % len(checks)])
        except Rejected:
            return
        raise AssertionError("verified without the secret")

    return test_one


def _schemes() -> list[Any]:
    from paymux.signatures.path_token import PathToken
    from paymux.signatures.raw_hmac import RawHmac
    from paymux.signatures.static_secret import StaticHeader
    from paymux.signatures.svix import Svix
    from paymux.signatures.timestamped_hmac import TimestampedHmac

    return [
        TimestampedHmac(),
        TimestampedHmac(secret_encoding="base64"),
        Svix(),
        RawHmac(header=b"x-signature"),
        RawHmac(header=b"x-signature", encoding="base64", algorithm="sha512", prefix="sha512="),
        StaticHeader(header=b"authorization"),
        PathToken(),
    ]


def _signed_otherwise() -> list[bytes]:
    """Correctly signed, with another secret: what a first guess of the fuzzer's would take long to find."""
    from paymux.sandbox.signing import signed

    seeds = []
    for number, scheme in enumerate(_schemes()):
        body = b'{"id":"evt_1"}'
        headers = signed(scheme, secret=OTHER, body=body, message="msg_1", at=NOW).headers
        lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
        seeds.append(bytes([number]) + lines.encode() + END_OF_HEADERS + body)
    return seeds


# --- translate: the first byte chooses the provider, the rest is the body


def translating() -> Callable[[bytes], None]:
    from paymux.canonical import EVENT
    from paymux.delivery import Delivery, Proof, Verified
    from paymux.provider import Account
    from paymux.providers import ALL
    from paymux.records import offline_events
    from paymux.statement import Quarantined, Stated
    from paymux.translate import translate

    accounts = [Account(provider=provider, name="acme", options={"tenant_id": "bu_harbour_lease"}) for provider in ALL]

    def test_one(data: bytes) -> None:
        account = accounts[(data or b"\0")[0] % len(accounts)]
        delivery = Delivery(
            id="0190b2a6-0000-7000-8000-000000000001",
            provider=account.provider.name,
            account="acme",
            received_at=NOW,
            body=data[1:],
            headers=((b"webhook-id", b"msg_1"),),
        )
        verified = Verified(delivery, Proof.SIGNATURE)
        items = translate(account, verified)
        if not items or items != translate(account, verified):
            raise AssertionError("twice the same bytes, and not the same items")
        for item in items:
            if isinstance(item.outcome, Quarantined) and item.outcome.reason == "internal_error":
                raise AssertionError(item.outcome.detail)
            if isinstance(item.outcome, Stated):
                for event in offline_events(account, verified, item):
                    EVENT.validate_json(event, strict=True)

    return test_one


def _samples() -> list[bytes]:
    from faults.hostile.torture import INVALID, VALID
    from paymux.providers import ALL
    from paymux.sandbox import samples

    bodies = [bytes([n]) + sample.body for n, provider in enumerate(ALL) for sample in samples.webhooks(provider.name)]
    return [*bodies, *(b"\0" + text for text in (*VALID.values(), *INVALID.values()))]


SEEDS: Final[dict[str, Callable[[], list[bytes]]]] = {"verify": _signed_otherwise, "translate": _samples}


if __name__ == "__main__":
    sys.exit(main())
