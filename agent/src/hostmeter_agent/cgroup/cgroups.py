"""Control groups of both versions: which one is an application's, and what it is called."""

import re
from dataclasses import dataclass
from typing import Final

_HEX_ID: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")
_SESSION: Final = re.compile(r"^(session-.*|init)\.scope$")
_USER_MANAGER: Final = re.compile(r"^user@\d+\.service$")
UNIFIED: Final = "unified"
OURS: Final = "/hostmeter"
"""The cgroup below which the agent may make some of its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process's place: the cgroup that is its application's, and the hierarchies ("unified", or
    a controller of version 1) in which the process is in it or below it. Elsewhere a cgroup of
    that path counts others."""

    path: str
    hierarchies: frozenset[str]


def member(data: bytes) -> Member | None:
    """The place that /proc/PID/cgroup tells; None for a process that is in no cgroup of an
    application. Raises ValueError when it is cut short."""
    paths = paths_by_hierarchy(data)
    path = application_cgroup(_telling_path(paths))
    if path is None:
        return None
    inside = path + "/"
    return Member(
        path, frozenset(name for name, at in paths.items() if f"{at}/".startswith(inside))
    )


def paths_by_hierarchy(data: bytes) -> dict[str, str]:
    """Where /proc/PID/cgroup says a process is, by controller; "unified" for version 2."""
    paths: dict[str, str] = {}
    for line in data.decode(errors="replace").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller or UNIFIED] = path
    return paths


def path_of_process(data: bytes) -> str:
    """The cgroup that tells a process's application, from /proc/PID/cgroup; "/" for none. Raises
    ValueError when it is cut short."""
    return _telling_path(paths_by_hierarchy(data))


def is_ours(path: str) -> bool:
    """Whether the agent made this cgroup."""
    return path.startswith(OURS + "/")


def is_session(path: str) -> bool:
    """Whether this is the scope of a login session itself."""
    leaf = path.rpartition("/")[2]
    return leaf.startswith("session-") and leaf.endswith(".scope")


def _telling_path(paths: dict[str, str]) -> str:
    """The path that tells the application, "/" for none.

    systemd's own hierarchy names units under version 1, the unified one under version 2, and
    cpuacct shows what other managers made. A hierarchy that limits only memory, devices or the
    like says nothing about applications.
    """
    unified = paths.get(UNIFIED, "/")
    if is_ours(unified):
        return unified
    for controller in ("name=systemd", UNIFIED, "cpuacct"):
        if paths.get(controller, "/") != "/":
            return paths[controller]
    return "/"


def _is_unit(part: str) -> bool:
    ours = part.endswith((".service", ".scope")) or part.startswith(
        ("lxc.payload.", "lxc.monitor.")
    )
    return ours and not _SESSION.match(part) and not _USER_MANAGER.match(part)


def application_cgroup(path: str) -> str | None:
    """The path of the cgroup that is an application, at or above `path`; None for a login
    session, a bare slice or the root."""
    parts = path.strip("/").split("/")
    if is_ours(path):
        return "/" + "/".join(parts[:2])
    for depth, part in enumerate(parts, start=1):
        if _is_unit(part):
            return "/" + "/".join(parts[:depth])
    leaf = parts[-1]
    if not leaf or leaf.endswith(".slice") or _SESSION.match(leaf):
        return None
    if any(_USER_MANAGER.match(part) for part in parts):
        return None
    return "/" + "/".join(parts)


def application_name(path: str) -> str:
    """The name of a cgroup's application: the unit without its type, container ids cut short."""
    leaf = path.rpartition("/")[2]
    leaf = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), leaf)
    for end in (".service", ".scope"):
        leaf = leaf.removesuffix(end)
    return _HEX_ID.sub(r"\1", leaf.removeprefix("lxc.payload."))
