"""Who sent it: the peer, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def sender(peer: str, forwarded: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The first address, from the right of X-Forwarded-For, that is no trusted proxy's.

    `forwarded` are that header's values in their order. Whatever cannot be read ends the search: only what a trusted
    proxy wrote counts.
    """
    address = peer
    hops = [hop.strip() for value in forwarded for hop in value.decode("latin-1").split(",")]
    while hops and is_in(address, trusted):
        found = _read(hops.pop())
        if found is None:
            break
        address = str(found)
    return address


def is_in(address: str, networks: Sequence[Network]) -> bool:
    found = _read(address)
    return found is not None and any(found in network for network in networks)


def _read(address: str) -> Address | None:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
