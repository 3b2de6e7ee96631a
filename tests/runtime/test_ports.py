import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.runtime import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_replaced_by_a_free_one(taken: int) -> None:
    chosen = ports.choose({"web": taken, "postgres": taken, "valkey": taken})

    assert taken not in chosen.values()
    assert all(ports.is_free(port) for port in chosen.values())


def test_every_server_gets_a_port_of_its_own() -> None:
    wanted = ports.any_free()

    chosen = ports.choose({"web": wanted, "postgres": wanted, "valkey": wanted})

    assert chosen["web"] == wanted
    assert len(set(chosen.values())) == len(ports.DEFAULTS)


def test_the_ports_of_the_last_run_are_used_again(tmp_path: Path) -> None:
    chosen = ports.choose({name: ports.any_free() for name in ports.DEFAULTS})
    ports.remember(tmp_path / "ports.json", chosen)

    assert ports.choose(ports.remembered(tmp_path / "ports.json")) == chosen


@pytest.mark.parametrize("text", ["", "[]", "{", '{"web": "8000"}', '{"web": 80, "other": 9000}'])
def test_a_damaged_memory_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)

    assert ports.remembered(tmp_path / "ports.json") == {}
