"""Room for messages of the kernel that nobody has taken yet."""

import socket
from typing import Final

_SO_RCVBUFFORCE: Final = 33
"""Not in the standard library. Beyond the system's limit, for those with CAP_NET_ADMIN."""


def make_room(receiver: socket.socket, size: int) -> None:
    """Have the kernel keep up to `size` bytes for a socket, or as much as we may ask for."""
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
