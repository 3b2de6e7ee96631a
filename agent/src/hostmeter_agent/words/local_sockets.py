"""Sockets that only this host can reach."""

import os
import socket
import stat
from contextlib import suppress

from hostmeter_agent.errors import AgentError


class InletUnusable(AgentError):
    """A socket that cannot be opened: another process has it, no such directory, no right."""


def bind_unix(path: str, kind: socket.SocketKind, mode: int) -> socket.socket:
    """A socket at `path` with a file mode. One that a killed agent left behind is replaced, one
    that a process still listens on is not. Raises InletUnusable."""
    made = socket.socket(socket.AF_UNIX, kind)
    try:
        if os.path.lexists(path):
            _remove_left_behind(path, kind)
        made.bind(path)
        os.chmod(path, mode)
    except OSError as error:
        made.close()
        raise InletUnusable(f"{path}: {error.strerror}") from error
    except InletUnusable:
        made.close()
        raise
    return made


def _remove_left_behind(path: str, kind: socket.SocketKind) -> None:
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise InletUnusable(f"{path}: there is something else by that name")
    with socket.socket(socket.AF_UNIX, kind) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise InletUnusable(f"{path}: another process listens there")


def bind_loopback(port: int, kind: socket.SocketKind) -> socket.socket:
    """A port of 127.0.0.1. Raises InletUnusable."""
    made = socket.socket(socket.AF_INET, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        made.bind(("127.0.0.1", port))
    except OSError as error:
        made.close()
        raise InletUnusable(f"127.0.0.1:{port}: {error.strerror}") from error
    return made


def close_unix(made: socket.socket) -> None:
    """Close a socket and take its name away."""
    with suppress(OSError):
        path = made.getsockname()
        if isinstance(path, str) and path:
            os.unlink(path)
    made.close()
