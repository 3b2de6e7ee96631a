"""Remote addresses of accepted connections: how many users they stand for, and whether they are
only a proxy's."""

import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from hostmeter_agent.errors import AgentError

_ANSWER_SECONDS: Final = 60
"""The host's own addresses may change."""
_ANSWERS_MAX: Final = 10_000

Network = IPv4Network | IPv6Network


class UnknownProxy(AgentError):
    """A proxy in the configuration is neither an address nor a network."""

    def __init__(self, text: str) -> None:
        super().__init__(f"proxies: {text!r} is no IP address and no network")


def networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """Raises UnknownProxy."""
    found = []
    for text in proxies:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError as error:
            raise UnknownProxy(text) from error
    return tuple(found)


def address_of(data: bytes) -> IPv4Address | IPv6Address:
    """data: 16 bytes, an IPv4 address mapped into IPv6."""
    address = IPv6Address(data)
    return address.ipv4_mapped or address


def own_addresses(net: Path) -> frozenset[bytes]:
    """The host's own addresses, as 16 bytes. net: /proc/net."""
    found = set()
    for line in _lines(net / "if_inet6"):
        found.add(bytes.fromhex(line.split()[0]))
    last = ""
    for line in _lines(net / "fib_trie"):
        words = line.split()
        if words and words[0] in ("|--", "+--"):
            last = words[1]
        elif words[-2:] == ["host", "LOCAL"]:
            found.add(bytes(10) + b"\xff\xff" + ip_address(last).packed)
    return frozenset(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # the host has no such addresses


class Proxies:
    """Which addresses are not users' own."""

    def __init__(self, known: tuple[Network, ...], net: Path) -> None:
        """net: /proc/net, which tells the host's own addresses."""
        self._known = known
        self._net = net
        self._own: frozenset[bytes] = frozenset()
        self._answers: dict[bytes, bool] = {}
        self._answers_until_s = 0.0

    def hide(self, peers: set[bytes]) -> bool:
        """Whether there are peers and every one is a proxy: the host itself, or a known one."""
        if not peers:
            return False
        if time.monotonic() >= self._answers_until_s or len(self._answers) > _ANSWERS_MAX:
            self._answers = {}
            self._own = own_addresses(self._net)
            self._answers_until_s = time.monotonic() + _ANSWER_SECONDS
        return all(self._is_proxy(peer) for peer in peers)

    def _is_proxy(self, peer: bytes) -> bool:
        answer = self._answers.get(peer)
        if answer is None:
            answer = self._answers[peer] = peer in self._own or self._is_known(address_of(peer))
        return answer

    def _is_known(self, address: IPv4Address | IPv6Address) -> bool:
        return address.is_loopback or any(
            address.version == network.version and address in network for network in self._known
        )
