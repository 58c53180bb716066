"""Which addresses are somebody's on the internet, and none of ours under another name."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

IpAddress = IPv4Address | IPv6Address

# IANA's special-purpose registries beyond what this Python's `is_global` knows, and clouds' own addresses: what a
# machine is told there, passwords among it, is for that machine only.
_NOT_PUBLIC_V4: Final = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, and Oracle's metadata at .192
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated
    IPv4Network("168.63.129.16/32"),  # Azure's host
)
_UNICAST: Final = IPv6Network("2000::/3")  # the only IPv6 that is given out
_NOT_PUBLIC_V6: Final = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2002::/16"),  # 6to4, deprecated
    IPv6Network("3fff::/20"),  # examples
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # the second quarter from the end; an IPv4 address follows


def is_public(address: IpAddress) -> bool:
    """Whether the address, and every IPv4 address that it leads to, is public."""
    if isinstance(address, IPv4Address):
        barred = any(address in network for network in _NOT_PUBLIC_V4)
        return address.is_global and not address.is_multicast and not barred
    if address.scope_id is not None:  # %eth0: of one link of this machine
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(_last_four_bytes(address))
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP and not is_public(_last_four_bytes(address)):
        return False
    barred = address not in _UNICAST or any(address in network for network in _NOT_PUBLIC_V6)
    return address.is_global and not barred


def _last_four_bytes(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
