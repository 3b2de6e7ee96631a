"""How a person stops an application on its host, from what it is known by there: pure.

Nothing here is run by Hostmeter. An application is what a rule, a cgroup or a program's name makes
it (docs/agent.md), so the command is of the same kind. Names come from agents: each is quoted for a
shell, and in a pattern stands for itself.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

# The kernel's short names are cut to this length, and -x compares those.
_COMM_LENGTH: Final = 15
_CONTAINER: Final = re.compile(
    r"^(?:(?P<by>docker|libpod|cri-containerd|crio)-)?(?P<id>[0-9a-f]{12})$"
)
_ENGINES: Final = {"docker": "docker", "libpod": "podman"}
# What agents call by another name than the program's own (docs/agent.md).
_PROGRAMS: Final = {"valkey": "valkey-server", "redis": "redis-server", "celery": "celeryd?"}
# The narrowest first.
_CRITERIA: Final = ("command", "executable", "process", "user")
# What no command may end: the rest of a host.
_NO_PROGRAM: Final = frozenset({"kernel", "other", "hostmeter-agent", "unattributed"})


@dataclass(frozen=True, slots=True)
class Stopping:
    """`stop` ends the application, `look` shows first what that would hit; `known_by` is what the
    application is known by on its host."""

    known_by: str
    look: str
    stop: str


def stoppings(
    name: str, rules: Iterable[Mapping[str, str]], *, in_cgroup: bool
) -> tuple[Stopping, ...]:
    """The commands for one host. `rules`: those that the host's agent goes by; `in_cgroup`: whether
    the application is metered as a control group of its own. None for what is no program."""
    if name in _NO_PROGRAM:
        return ()
    own = [_by_rule(rule) for rule in rules if rule["name"] == name]
    if own:
        return tuple(own)
    if container := _CONTAINER.match(name):
        return (_of_container(container["by"] or "docker", container["id"]),)
    return (_of_unit(name) if in_cgroup else _by_name(name),)


def _of_container(by: str, short_id: str) -> Stopping:
    if by in _ENGINES:
        look, stop = f"{_ENGINES[by]} ps --filter id={short_id}", f"{_ENGINES[by]} stop {short_id}"
    else:
        look, stop = f"crictl ps --id {short_id}", f"crictl stop {short_id}"
    return Stopping("its container", look, stop)


def _of_unit(name: str) -> Stopping:
    unit = shlex.quote(f"{name}.service")
    return Stopping("its systemd unit", f"systemctl status -- {unit}", f"systemctl stop -- {unit}")


def _by_name(name: str) -> Stopping:
    program = _PROGRAMS.get(name) or _literal(name)
    # A path or nothing before it; a script's ending or a title's colon after it.
    return _by_pattern("its program's name", ["-f"], f"(^|[/ ]){program}([.:][a-z]*)?( |$)")


def _by_rule(rule: Mapping[str, str]) -> Stopping:
    """By the narrowest criterion of the rule, and its user."""
    flags = ["-u", rule["user"]] if "user" in rule else []
    known_by = "its rule: " + ", ".join(
        f"{each} {rule[each]}"
        for each in ("command", "executable", "process", "user")
        if each in rule
    )
    if "command" in rule:
        return _by_pattern(known_by, [*flags, "-f"], rule["command"])
    if "executable" in rule:
        return _by_pattern(known_by, [*flags, "-f"], f"^{_of_glob(rule['executable'])}( |$)")
    if "process" in rule:
        pattern = _of_glob(rule["process"])
        if len(rule["process"]) > _COMM_LENGTH:
            return _by_pattern(known_by, [*flags, "-f"], f"(^|/){pattern}( |$)")
        return _by_pattern(known_by, [*flags, "-x"], pattern)
    return _by_pattern(known_by, flags, ".")


def _by_pattern(known_by: str, flags: list[str], pattern: str) -> Stopping:
    said = shlex.join([*flags, "--", pattern])
    return Stopping(known_by, f"pgrep -a {said}", f"pkill {said}")


def _literal(text: str) -> str:
    return re.sub(r"[][.(){}*+?^$|\\]", lambda found: f"\\{found[0]}", text)


def _of_glob(glob: str) -> str:
    """A shell pattern as an extended regular expression: * and ? alone are what rules say with."""
    stands_for = {"*": ".*", "?": "."}
    return "".join(stands_for.get(each) or _literal(each) for each in glob)
