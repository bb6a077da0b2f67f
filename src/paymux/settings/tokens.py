"""Tokens of the private API: only their digests are kept, and what their holders may do."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  # pydantic reads the annotations at run time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import PlainValidator, ValidationInfo

from paymux.settings.secret import READERS, Origin, Secret, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORTEST: Final = 16
HASHED: Final = "sha256:"  # before the hex digest that stands for a token
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """Viewers read everything but raw bodies. Operators also start jobs, retry and discard. `privacy` also sees raw
    bodies, and erases.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    PRIVACY = "privacy"


# A role -> what its holder may do beside.
_INCLUDED: Final[Mapping[Role, frozenset[Role]]] = {
    Role.VIEWER: frozenset(),
    Role.OPERATOR: frozenset({Role.VIEWER}),
    Role.PRIVACY: frozenset({Role.VIEWER}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The SHA-256 of a token; `origin` says where it was found."""

    sha256: bytes
    origin: str
    not_after: datetime | None = None

    def __repr__(self) -> str:
        return f"Digest(from {self.origin})"

    def expired(self, now: datetime) -> bool:
        return self.not_after is not None and self.not_after <= now


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def included(roles: tuple[Role, ...]) -> frozenset[Role]:
    return frozenset(roles).union(*(_INCLUDED[role] for role in roles))


def _kept(entry: Any, info: ValidationInfo[Origin]) -> Digest:
    found = resolve(entry, info.context, _READERS)
    text = found.get_secret_value()
    if text.startswith(HASHED):
        return Digest(sha256=_from_hex(text, found), origin=found.origin, not_after=found.not_after)
    if len(text) < SHORTEST:
        raise ValueError(f"{found.origin} holds less than {SHORTEST} characters")
    return Digest(sha256=digest(text), origin=found.origin, not_after=found.not_after)


def _from_hex(text: str, found: Secret) -> bytes:
    hexadecimal = text.removeprefix(HASHED).strip().lower()
    if not _DIGEST.fullmatch(hexadecimal):
        raise ValueError(f"{found.origin}: after {HASHED} come the 64 hex digits of a token's SHA-256")
    return bytes.fromhex(hexadecimal)


def _roles(value: Any) -> tuple[Role, ...]:
    given = [value] if isinstance(value, str) else value
    if not (isinstance(given, list | tuple) and given and all(each in list(Role) for each in given)):
        raise ValueError(f"should be {', '.join(Role)} or a list of them")
    return tuple(Role(each) for each in given)


# A digest is no secret, so it may stand in a file that others can read.
_READERS: Final = {**READERS, "sha256": lambda name, _origin: Secret(f"{HASHED}{name}", origin="the digest")}

DigestField = Annotated[Digest, PlainValidator(_kept)]
RolesField = Annotated[tuple[Role, ...], PlainValidator(_roles)]
