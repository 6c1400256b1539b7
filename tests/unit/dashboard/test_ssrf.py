"""Which addresses may be asked when a person entered them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard.config import ssrf

REFUSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.1.2.3
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1
    198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 233.252.0.16 239.255.255.250 240.0.0.1
    255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
    64:ff9b:1::7f00:1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:7f00:0001::1 3fff::1 5f00::1
    fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1
    localhost 2130706433 0x7f000001 127.1 0177.0.0.1 1.1.1.1%eth0 1.1.1.1/32
""".split()


@pytest.mark.parametrize("address", [*REFUSED, "", " 1.1.1.1", "1.1.1.1\x00"])
def test_what_is_not_public_is_refused(address: str) -> None:
    assert ssrf.is_public(address) is False


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "2a00::1"]
)
def test_what_is_public_may_be_asked(address: str) -> None:
    assert ssrf.is_public(address) is True


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_public(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert not ssrf.is_public(str(address))
    assert not ssrf.is_public(f"::ffff:{address}")


@given(st.ip_addresses(v=6))
def test_what_python_calls_private_is_never_public_of_version_6_either(
    address: ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast or address.sixtofour or address.teredo:
        assert not ssrf.is_public(str(address))
