"""Token buckets: for strangers by address, for accounts by name. And room for what has not come whole yet."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from typing import Final

MOST_ADDRESSES: Final = 10_000
BURST_SECONDS: Final = 2.0  # a bucket holds what comes in this time
_NETWORK_OF_ONE: Final = 64  # bits of an IPv6 address that name a subscriber


class Bucket:
    """`rate` a second, twice as many (at least one) at once. Times are monotonic seconds."""

    __slots__ = ("_at", "_burst", "_tokens", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> float:
        """0 if there was one; else the seconds until there is one, and nothing is taken."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return 0.0


class Addresses:
    """A bucket for each address, the longest unseen forgotten first; an IPv6 /64 counts as one."""

    def __init__(self, rate: float, *, most: int = MOST_ADDRESSES) -> None:
        self.rate = rate
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """As Bucket.take."""
        name = neighbourhood(address)
        bucket = self._buckets.pop(name, None) or Bucket(self.rate, now)
        self._buckets[name] = bucket
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take(now)


class Room:
    """Bytes that unfinished bodies take in memory: at most `most` in all, half of it for one address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()
        self._total = 0

    def take(self, address: str, size: int) -> bool:
        """Whether there was room."""
        name = neighbourhood(address)
        if self._total + size > self._most or self._taken[name] + size > self._most // 2:
            return False
        self._taken[name] += size
        self._total += size
        return True

    def give_back(self, address: str, size: int) -> None:
        name = neighbourhood(address)
        self._total -= size
        self._taken[name] -= size
        if not self._taken[name]:
            del self._taken[name]


def neighbourhood(address: str) -> str:
    """What counts as one sender: an IPv4 address in either form, an IPv6 /64."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _NETWORK_OF_ONE), strict=False))
