"""
SSRF protection: user-defined monitors may call addresses of the public internet only.

Each resolved address is checked right before the connection to that same address is opened, so DNS
rebinding, unusual notations of 127.0.0.1 and proxy variables have no effect. `ipaddress.is_global`
alone is not enough: it treats multicast, NAT64 and 6to4 addresses as global, and these can lead back
to private networks.
"""

from __future__ import annotations

import ipaddress
from typing import Final

#: The special-purpose networks of IANA's registries, and those that embed an IPv4 address.
BLOCKED_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",  # private
        "100.64.0.0/10",  # shared by carriers, and by some clouds' metadata
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: metadata of most clouds
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "233.252.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.175.48.0/24",  # AS112 and AMT
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "224.0.0.0/4",
        "240.0.0.0/4",  # multicast, reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",  # mapped and translated IPv4
        "64:ff9b::/96",
        "64:ff9b:1::/48",  # NAT64
        "100::/64",
        "100:0:0:1::/64",  # discard
        "2001::/23",  # protocol assignments, Teredo, ORCHID
        "2001:db8::/32",
        "3fff::/20",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "5f00::/16",  # segment routing
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",  # unique local, link-local, site-local
        "ff00::/8",  # multicast
    )
)
#: The only IPv6 range that is allocated as global unicast; all others are blocked.
_UNICAST = ipaddress.ip_network("2000::/3")


def is_public(address: str) -> bool:
    """Return whether *address*, an IP address from the resolver, may be connected to."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and (
        parsed.scope_id is not None or parsed not in _UNICAST
    ):
        return False
    return not any(parsed.version == net.version and parsed in net for net in BLOCKED_NETWORKS)
