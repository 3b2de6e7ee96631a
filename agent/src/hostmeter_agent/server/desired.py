"""What the server wishes of this agent, held to the bounds of the configuration file. Pure.

What the file states stands; the server's wishes fill in what it leaves out. The file's rules come
first. Restrictions add up: what either side switches off is off. A wish can name nothing to run
and nothing to read: rules are patterns over what the agent looks at anyway.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from hostmeter_agent.config import Config, Limits, Rule
from hostmeter_agent.errors import AgentError
from hostmeter_agent.wire_control import (
    CONTROL_SCHEMA,
    CPU_MILLICORES_MAX,
    DOCUMENT_BYTES_MAX,
    ENVIRONMENTS_MAX,
    KEY_ROTATION_DAYS_MAX,
    MEMORY_BYTES_MAX,
    OFFLINE_GRACE_SECONDS_MAX,
    POLICY_NAME_LENGTH_MAX,
    PROBE_NAME,
    PROBES_MAX,
    PROCESSES_MAX,
    TEXT_LENGTH_MAX,
    VERSION,
    interval_reason,
    name_reason,
    rules_reason,
)

NOTE: Final = "desired"


class DesiredInvalid(AgentError):
    """A desired state that this agent will not take; the text says what of it and why."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The server's wishes; None: it has none. minimum_by: RFC 3339, as the server wrote it."""

    environments: tuple[str, ...] = ()
    own_cgroups: bool | None = None
    interval_seconds: int | None = None
    key_rotation_days: int | None = None
    minimum_version: str = ""
    minimum_by: str = ""
    probes_off: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    policy: str = ""
    grace_seconds: int | None = None
    limits: Limits | None = None
    """What the kernel is to hold; None where the policy only observes."""


def parse_desired(body: bytes) -> Desired:
    """Raises DesiredInvalid. Members that this agent does not know are a later server's."""
    if len(body) > DOCUMENT_BYTES_MAX:
        raise DesiredInvalid(f"larger than {DOCUMENT_BYTES_MAX} bytes")
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DesiredInvalid(f"no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != CONTROL_SCHEMA:
        raise DesiredInvalid(f"not of schema {CONTROL_SCHEMA}")
    policy = _member(content, "policy", dict, {})
    minimum = _member(content, "minimum_agent_version", dict, {})
    return Desired(
        environments=_environments(_member(content, "environments", list, [])),
        own_cgroups=_member(policy, "own_cgroups", bool, None),
        interval_seconds=_interval(content.get("scrape_interval_seconds")),
        key_rotation_days=_days(content.get("key_rotation_days")),
        minimum_version=_version(minimum.get("version", "")),
        minimum_by=_text(minimum.get("by") or ""),
        probes_off=_probes(_member(content, "probes_off", list, [])),
        rules=_rules(content.get("application") or []),
        policy=_policy_name(policy.get("version") or ""),
        grace_seconds=_bounded(policy, "offline_grace_seconds", OFFLINE_GRACE_SECONDS_MAX),
        limits=_limits(_member(policy, "limits", dict, {})),
    )


def _member(content: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = content.get(name)
    if value is None:
        return default
    if type(value) is not kind:
        raise DesiredInvalid(f"{name} is of another type")
    return value


def _policy_name(value: Any) -> str:
    good = isinstance(value, str) and len(value) <= POLICY_NAME_LENGTH_MAX
    if not good or not value.isprintable():
        raise DesiredInvalid("policy.version is no name of a version")
    return str(value)


def _bounded(content: dict[str, Any], name: str, most: int) -> int | None:
    value = content.get(name)
    if value is not None and (type(value) is not int or not 1 <= value <= most):
        raise DesiredInvalid(f"{name} must be from 1 to {most}")
    return None if value is None else int(value)


def _limits(content: dict[str, Any]) -> Limits | None:
    limits = Limits(
        cpu_millicores=_bounded(content, "cpu_millicores", CPU_MILLICORES_MAX),
        memory_bytes=_bounded(content, "memory_bytes", MEMORY_BYTES_MAX),
        processes=_bounded(content, "processes", PROCESSES_MAX),
    )
    enforced = _member(content, "enforced", bool, False)
    return limits if enforced and limits != Limits() else None


def _environments(names: list[Any]) -> tuple[str, ...]:
    if len(names) > ENVIRONMENTS_MAX or any(map(name_reason, names)):
        raise DesiredInvalid(f"environments must be at most {ENVIRONMENTS_MAX} names")
    return tuple(names)


def _interval(value: Any) -> int | None:
    if value is not None and (reason := interval_reason(value)):
        raise DesiredInvalid(f"scrape_interval_seconds {reason}")
    return None if value is None else int(value)


def _days(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 1 <= value <= KEY_ROTATION_DAYS_MAX):
        raise DesiredInvalid(f"key_rotation_days must be from 1 to {KEY_ROTATION_DAYS_MAX}")
    return None if value is None else int(value)


def _version(value: Any) -> str:
    if value != "" and not (isinstance(value, str) and VERSION.match(value)):
        raise DesiredInvalid("minimum_agent_version is no version")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LENGTH_MAX or not _is_plain(value):
        raise DesiredInvalid("minimum_agent_version.by is no time")
    return value


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _probes(names: list[Any]) -> frozenset[str]:
    good = all(isinstance(name, str) and PROBE_NAME.match(name) for name in names)
    if len(names) > PROBES_MAX or not good:
        raise DesiredInvalid(f"probes_off must be at most {PROBES_MAX} names of probes")
    return frozenset(names)


def _rules(tables: Any) -> tuple[Rule, ...]:
    if reason := rules_reason(tables):
        raise DesiredInvalid(f"application: {reason}")
    return tuple(
        Rule(**{**table, "command": re.compile(table["command"])} if "command" in table else table)
        for table in tables
    )


def effective(config: Config, desired: Desired | None) -> Config:
    """What the agent does: the file's word, and the server's where the file is silent."""
    if desired is None:
        return config
    own_cgroups = _allowed(config, desired)
    changes: dict[str, Any] = {
        "rules": config.rules + desired.rules,
        "probes_off": config.probes_off | desired.probes_off,
        "own_cgroups": own_cgroups,
        # Only what the agent has made itself is held to anything.
        "limits": desired.limits if own_cgroups else None,
    }
    wishes = {
        "interval_seconds": desired.interval_seconds,
        "key_rotation_days": desired.key_rotation_days,
    }
    for name, wish in wishes.items():
        if wish is not None and name not in config.stated:
            changes[name] = wish
    return replace(config, **changes)


def _allowed(config: Config, desired: Desired) -> bool:
    if "own_cgroups" in config.stated:
        return config.own_cgroups and desired.own_cgroups is not False
    return bool(desired.own_cgroups)


def objections(config: Config, desired: Desired | None, *, is_too_old: bool) -> list[str]:
    """What the operators should know of how the two do not go together."""
    if desired is None:
        return []
    found = []
    environment = config.environment
    if environment is not None and desired.environments and environment not in desired.environments:
        found.append(f"environment {environment!r} of the file is not this host's to use")
    if desired.limits is not None and not _allowed(config, desired):
        found.append("the policy's limits are not held: the agent has no cgroups of its own")
    if is_too_old:
        by = f", wanted by {desired.minimum_by}" if desired.minimum_by else ""
        found.append(f"this agent is older than {desired.minimum_version}{by}")
    return found
