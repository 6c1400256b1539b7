"""
Who calls: the client of a connection, or behind proxies of ours whom they say they act for.

Anybody can write an `X-Forwarded-For` header, so it is believed only of a client in a trusted network,
and of the addresses in it the last that is not trusted itself: what stands before was not
written by a proxy of ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from bursar.accesslog.filters import Network
from bursar.accesslog.parsing import ip_addresses


def client_ip(trusted: Sequence[Network], client: bytes, forwarded: bytes) -> bytes | None:
    """Return the canonical address of who called; None if there is none."""
    address = _canonical(client)
    if address is None or not in_networks(address, trusted):
        return address
    for entry in reversed(forwarded.split(b",")):
        forwarded_address = _canonical(entry.strip())
        if forwarded_address is None:
            break  # nothing before it can be believed
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
