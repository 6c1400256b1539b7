"""
Resolve the client address: that of the connection, or a forwarded one behind trusted proxies.

Any client can send an `X-Forwarded-For` header, so it is used only if the connection comes from a trusted
network, and then its last address that is not trusted itself: earlier entries were not written by a
trusted proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from bursar.accesslog.filters import Network
from bursar.accesslog.parsing import ip_addresses


def client_ip(trusted: Sequence[Network], client: bytes, forwarded: bytes) -> bytes | None:
    """Return the canonical client address, None if *client* is not an address."""
    address = _canonical(client)
    if address is None or not in_networks(address, trusted):
        return address
    for entry in reversed(forwarded.split(b",")):
        forwarded_address = _canonical(entry.strip())
        if forwarded_address is None:
            break  # entries before it are not trustworthy
        address = forwarded_address
        if not in_networks(address, trusted):
            break
    return address


def in_networks(address: bytes, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of *networks*."""
    if not networks:
        return False
    one = ipaddress.ip_address(address.decode("ascii"))
    return any(one in network for network in networks)


def _canonical(text: bytes) -> bytes | None:
    written = ip_addresses.canonical_address(text.decode("latin-1"))
    return None if written is None else written.encode("ascii")
