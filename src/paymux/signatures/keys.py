"""Configured secrets to keys. No message holds a secret, or what a codec says about one."""

from __future__ import annotations

import binascii
from typing import Final

PREFIX: Final = "whsec_"


def verbatim(secret: str, shortest: int) -> bytes:
    """The secret's own characters, `whsec_` too. Raises ValueError: empty, blank around it, too short, not text."""
    _refuse_blank(secret)
    if len(secret) < shortest:
        raise ValueError(f"the secret is shorter than {shortest} characters")
    try:
        return secret.encode()
    except UnicodeEncodeError:
        raise ValueError("the secret is not text") from None


def decoded(secret: str, shortest: int) -> bytes:
    """What the base64 after `whsec_` stands for, padded or not. Raises ValueError: empty, too short, not base64."""
    _refuse_blank(secret)
    key = unpadded_base64(secret.removeprefix(PREFIX))
    if len(key) < shortest:
        raise ValueError(f"the secret is shorter than {shortest} bytes once decoded")
    return key


def from_hex(secret: str, shortest: int) -> bytes:
    """What pairs of hex digits stand for, in either case. Raises ValueError: empty, too short, odd, not hex."""
    _refuse_blank(secret)
    try:
        key = binascii.unhexlify(secret)
    except ValueError:
        raise ValueError("the secret is not pairs of hex digits") from None
    if len(key) < shortest:
        raise ValueError(f"the secret is shorter than {shortest} bytes once read as hex")
    return key


def unpadded_base64(text: str) -> bytes:
    """Standard alphabet, padding optional. Raises ValueError."""
    bare = text.rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:
        raise ValueError("the secret is not base64") from None


def _refuse_blank(secret: str) -> None:
    if not secret.strip().removeprefix(PREFIX):
        raise ValueError("the secret is empty")
    if len(secret.strip()) < len(secret):
        raise ValueError("the secret begins or ends with a blank")
