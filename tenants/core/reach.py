"""Which addresses this installation sends to on somebody else's word.

Whoever enters a webhook's URL chooses where the server connects. A server can reach more than they
can: its own loopback, its neighbours, the metadata of its cloud. Nothing but the public Internet is
sent to.
"""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by their number, and yet no one machine's: IETF protocol assignments, 6to4 relays.
_NOT_HOSTS_V4: Final = tuple(
    ipaddress.IPv4Network(each) for each in ("192.0.0.0/24", "192.88.99.0/24")
)
# All that is routed on the Internet today; what translates or tunnels to IPv4 lies outside, or is
# named below.
_ROUTED_V6: Final = ipaddress.IPv6Network("2000::/3")
_TUNNELS_V6: Final = tuple(ipaddress.IPv6Network(each) for each in ("2001::/23", "2002::/16"))


def is_public(address: Address) -> bool:
    """Whether it is a machine's address on the public Internet; an IPv4 address written as an IPv6
    one is judged as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _ROUTED_V6 or any(address in each for each in _TUNNELS_V6):
            return False
    elif any(address in each for each in _NOT_HOSTS_V4):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
