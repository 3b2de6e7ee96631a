"""Loopback ports: the ones of the last run, else the defaults, else whatever is free."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

from config.runtime.home import write_private

LOOPBACK = "127.0.0.1"
DEFAULTS = {"web": 8000, "postgres": 54329, "valkey": 16389, "fake-stripe": 12111}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def remembered(path: Path) -> dict[str, int]:
    """The ports of the last run; an unreadable file counts as none."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        name: port
        for name, port in values.items()
        if name in DEFAULTS and isinstance(port, int) and 1024 <= port <= 65535
    }


def choose(preferred: Mapping[str, int]) -> dict[str, int]:
    """A free port for each name."""
    chosen: dict[str, int] = {}
    for name, default in DEFAULTS.items():
        candidates = [preferred.get(name, default), default]
        free = (port for port in candidates if port not in chosen.values() and is_free(port))
        chosen[name] = next(free, 0) or any_free()
    return chosen


def remember(path: Path, ports: Mapping[str, int]) -> None:
    write_private(path, json.dumps(dict(ports)) + "\n")
