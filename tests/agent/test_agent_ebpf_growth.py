"""Differences of what control groups have counted, and to whom they belong."""

import json
from pathlib import Path

import pytest
from hostmeter_agent.kernel.flow_growth import Growth, Known, grow
from hostmeter_agent.kernel.flows import NOWHERE, Flow
from hostmeter_agent.kernel.peers import Proxies, UnknownProxy, address_of, networks, own_addresses

SHOP, MAIL = 101, 102


def flow(received: int, sent: int = 0, transactions: int = 0, irregular: int = 0) -> Flow:
    return Flow(received, sent, transactions=transactions, irregular=irregular)


def known(maps: dict[int, dict[int, Flow]], applications: dict[int, str]) -> Known:
    """The state that a first step leaves, as it comes back from the disk."""
    first = grow(maps, applications, Known("boot-1", {}), boot="boot-1")
    again = Known.from_json(json.loads(json.dumps(first.known.to_json())))
    assert again == first.known
    return again


def test_a_counter_grows_by_its_difference() -> None:
    former = known({7: {SHOP: flow(100, 10, 3)}}, {SHOP: "shop"})

    grown = grow({7: {SHOP: flow(150, 30, 4)}}, {SHOP: "shop"}, former, boot="boot-1")

    assert grown.by_application == {"shop": Growth(50, 20, 1)}
    assert grown.complete
    assert grown.continued


def test_control_groups_of_one_application_add_up() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})
    applications = {SHOP: "shop", MAIL: "shop"}

    grown = grow({7: {SHOP: flow(150), MAIL: flow(9)}}, applications, former, boot="boot-1")

    assert grown.by_application == {"shop": Growth(59)}


def test_a_group_that_has_gone_still_belongs_to_its_application() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})

    grown = grow({7: {SHOP: flow(130)}}, {}, former, boot="boot-1")

    assert grown.by_application == {"shop": Growth(30)}
    assert grown.idle == frozenset()
    again = grow({7: {SHOP: flow(130)}}, {}, grown.known, boot="boot-1")
    assert again.by_application == {"shop": Growth()}
    assert again.idle == {SHOP}


def test_a_group_that_came_and_went_between_two_looks_is_unattributed() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})

    grown = grow({7: {SHOP: flow(100), MAIL: flow(5)}}, {SHOP: "shop"}, former, boot="boot-1")

    assert grown.by_application["unattributed"] == Growth(5)


def test_an_entry_that_was_freed_and_made_anew_counts_whole() -> None:
    former = known({7: {SHOP: flow(100, 50, 9)}}, {SHOP: "shop"})

    grown = grow({7: {SHOP: flow(20, 60, 1)}}, {SHOP: "shop"}, former, boot="boot-1")

    assert grown.by_application == {"shop": Growth(20, 60, 1)}


def test_after_a_reboot_everything_counts_and_is_a_lower_bound() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})

    grown = grow({7: {SHOP: flow(120)}}, {SHOP: "shop"}, former, boot="boot-2")

    assert grown.by_application == {"shop": Growth(120)}
    assert not grown.continued


def test_a_map_of_another_agent_version_is_read_along() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})

    grown = grow({8: {SHOP: flow(11)}, 7: {SHOP: flow(105)}}, {SHOP: "shop"}, former, boot="boot-1")

    assert grown.by_application == {"shop": Growth(16)}
    assert grown.continued


def test_a_map_that_nobody_knew_means_that_time_is_missing() -> None:
    former = known({7: {SHOP: flow(100)}}, {SHOP: "shop"})

    assert not grow({8: {SHOP: flow(11)}}, {SHOP: "shop"}, former, boot="boot-1").continued


def test_what_had_no_room_is_unattributed_and_makes_all_incomplete() -> None:
    former = known({7: {NOWHERE: flow(0), SHOP: flow(1)}}, {SHOP: "shop"})

    grown = grow({7: {NOWHERE: flow(50), SHOP: flow(1)}}, {SHOP: "shop"}, former, boot="boot-1")

    assert grown.by_application["unattributed"] == Growth(50)
    assert not grown.complete


@pytest.mark.parametrize(
    "data", [None, 3, [], {}, {"boot": "b"}, {"boot": "b", "maps": {"1": {"2": ["shop", 1]}}}]
)
def test_a_state_of_another_kind_is_none(data: object) -> None:
    assert Known.from_json(data) is None


def mapped(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + bytes(int(part) for part in text.split("."))


def test_addresses_are_read_as_they_are() -> None:
    assert str(address_of(mapped("192.0.2.7"))) == "192.0.2.7"
    assert str(address_of(bytes(15) + b"\x01")) == "::1"


def test_the_hosts_own_addresses_are_those_the_kernel_tells(tmp_path: Path) -> None:
    (tmp_path / "if_inet6").write_text("fe80000000000000021122fffe334455 02 40 20 80     eth0\n")
    (tmp_path / "fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.0\n        /24 link UNICAST\n"
        "     |-- 192.0.2.10\n        /32 host LOCAL\n"
    )

    assert own_addresses(tmp_path) == {
        mapped("192.0.2.10"), bytes.fromhex("fe80000000000000021122fffe334455"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("peers", "hidden"),
    [
        ([], False),
        (["127.0.0.1"], True),
        (["192.0.2.10"], True),
        (["10.0.0.5", "10.0.0.6"], True),
        (["10.0.0.5", "198.51.100.1"], False),
        (["198.51.100.1"], False),
    ],
)
def test_peers_are_hidden_where_all_are_proxies(
    tmp_path: Path, peers: list[str], hidden: bool
) -> None:
    (tmp_path / "fib_trie").write_text("  |-- 192.0.2.10\n     /32 host LOCAL\n")
    proxies = Proxies(networks(["10.0.0.0/24"]), tmp_path)

    assert proxies.hide({mapped(peer) for peer in peers}) is hidden


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(UnknownProxy, match="'shop' is no IP address"):
        networks(["shop"])
