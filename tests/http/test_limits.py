"""Token buckets, and who a request is from."""

from __future__ import annotations

import ipaddress

import pytest

from paymux.http.addresses import is_in, sender
from paymux.http.limits import Addresses, Bucket, Room

TRUSTED = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def test_a_bucket_gives_two_seconds_worth_at_once_and_then_its_rate():
    """Refusals cost nothing, and say when to come again."""
    bucket = Bucket(5.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(0.0) == pytest.approx(0.2)
    assert bucket.take(0.1) == pytest.approx(0.1)
    assert bucket.take(0.2) == 0.0
    assert bucket.take(0.2) > 0


def test_a_bucket_slower_than_one_a_second_still_gives_one():
    """A rate of one in ten seconds begins with one."""
    bucket = Bucket(0.1, now=0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(10.0)


def test_each_address_has_its_own_bucket():
    """One's excess is not another's."""
    addresses = Addresses(1.0)
    assert [addresses.take("192.0.2.1", 0.0) for _ in range(2)] == [0.0, 0.0]
    assert addresses.take("192.0.2.1", 0.0) > 0
    assert addresses.take("192.0.2.2", 0.0) == 0.0


def test_the_neighbours_of_an_ipv6_address_count_as_one():
    """A subscriber has a whole /64 to send from."""
    addresses = Addresses(1.0)
    assert [addresses.take(f"2001:db8::{n}", 0.0) > 0 for n in range(1, 5)] == [False, False, True, True]
    assert addresses.take("2001:db8:0:1::1", 0.0) == 0.0


def test_an_ipv4_address_is_the_same_in_ipv6_clothes():
    """As a dual-stack socket tells it."""
    addresses = Addresses(1.0)
    taken = [addresses.take(address, 0.0) for address in ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1")]
    assert [seconds > 0 for seconds in taken] == [False, False, True]


def test_the_addresses_that_are_remembered_are_bounded():
    """The longest unseen goes first."""
    addresses = Addresses(1.0, most=2)
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
        addresses.take(address, 0.0)
    assert len(addresses._buckets) == 2
    assert addresses.take("192.0.2.1", 0.0) == 0.0


FORWARDED = [
    ("198.51.100.1", [b"203.0.113.9"], "198.51.100.1"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", [b"192.0.2.66, 203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", [b"192.0.2.66", b"203.0.113.9, 10.1.1.1"], "203.0.113.9"),
    ("10.0.0.1", [b"10.2.2.2, 10.1.1.1"], "10.2.2.2"),
    ("10.0.0.1", [b"203.0.113.9, junk"], "10.0.0.1"),
    ("10.0.0.1", [b"203.0.113.9:4711"], "10.0.0.1"),
    ("10.0.0.1", [b"\xff\xfe"], "10.0.0.1"),
    ("::ffff:10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
    ("fd00::1", [b"2001:db8::9"], "2001:db8::9"),
    ("", [b"203.0.113.9"], ""),
]


@pytest.mark.parametrize(("peer", "values", "expected"), FORWARDED)
def test_only_what_a_trusted_proxy_wrote_counts(peer, values, expected):
    """From the right, up to the first address that is no proxy of ours."""
    assert sender(peer, values, TRUSTED) == expected


def test_what_is_no_address_is_in_no_network():
    """A Unix socket's peer, junk."""
    assert not is_in("", TRUSTED)
    assert not is_in("junk", TRUSTED)
    assert is_in("10.1.2.3", TRUSTED)


def test_room_for_what_has_not_come_whole():
    """So much in all, half of it for one address; what is given back is there again."""
    room = Room(100)
    assert room.take("192.0.2.1", 50)
    assert not room.take("192.0.2.1", 1)
    assert room.take("192.0.2.2", 30)
    assert not room.take("192.0.2.3", 21)
    assert room.take("192.0.2.3", 20)
    room.give_back("192.0.2.1", 50)
    assert room.take("192.0.2.2", 20)
    assert not room.take("192.0.2.2", 1)
