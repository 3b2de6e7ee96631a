"""The desired state of an agent, put together from settings of narrower and wider scope: pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

Rule = dict[str, str]

_Value = TypeVar("_Value")

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """What a policy's version says to agents. `version` names it; limits are each application's on
    the host; None: it says nothing."""

    version: str
    enforced: bool = False
    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    offline_grace_seconds: int | None = None

    def document(self) -> dict[str, object]:
        """As agents read it, beside "own_cgroups"."""
        return {
            "version": self.version,
            "offline_grace_seconds": self.offline_grace_seconds,
            "limits": {
                "enforced": self.enforced,
                "cpu_millicores": self.cpu_millicores,
                "memory_bytes": self.memory_bytes,
                "processes": self.processes,
            },
        }


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one scope. None and "" leave a thing to the next wider scope."""

    scrape_interval_seconds: int | None = None
    own_cgroups: bool | None = None
    probes_off: frozenset[str] = frozenset()
    key_rotation_days: int | None = None
    minimum_version: str = ""
    minimum_version_by: datetime | None = None
    rules: tuple[Rule, ...] = ()
    policy: PolicyTerms | None = None


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What one host's agent is to do, as the bytes that it fetches and their entity tag."""

    body: bytes
    etag: str
    minimum_version: str = ""
    minimum_version_by: datetime | None = field(default=None)
    policy: PolicyTerms | None = None


def combined(layers: Sequence[Layer]) -> Layer:
    """Layers as one, the narrowest scope first: what it says wins, rules and probes add up."""
    versioned = next((layer for layer in layers if layer.minimum_version), Layer())
    return Layer(
        scrape_interval_seconds=_first(layer.scrape_interval_seconds for layer in layers),
        own_cgroups=_first(layer.own_cgroups for layer in layers),
        probes_off=frozenset().union(*(layer.probes_off for layer in layers)),
        key_rotation_days=_first(layer.key_rotation_days for layer in layers),
        minimum_version=versioned.minimum_version,
        minimum_version_by=versioned.minimum_version_by,
        rules=tuple(rule for layer in layers for rule in layer.rules),
        policy=_first(layer.policy for layer in layers),
    )


def _first(values: Iterable[_Value | None]) -> _Value | None:
    return next((value for value in values if value is not None), None)


def desired_state(environments: Sequence[str], layers: Sequence[Layer]) -> DesiredState:
    """The state of a host that may deliver for `environments`, its own first."""
    layer = combined(layers)
    by = layer.minimum_version_by
    minimum = None
    if layer.minimum_version:
        minimum = {"version": layer.minimum_version, "by": by.isoformat() if by else None}
    terms = layer.policy
    # Where no version holds nothing is added: what hosts have fetched before stays the same.
    document = {
        "schema": SCHEMA,
        "environments": list(environments),
        "policy": {"own_cgroups": layer.own_cgroups} | (terms.document() if terms else {}),
        "scrape_interval_seconds": layer.scrape_interval_seconds,
        "key_rotation_days": layer.key_rotation_days,
        "minimum_agent_version": minimum,
        "probes_off": sorted(layer.probes_off),
        "application": list(layer.rules),
    }
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    # The tag is the content's: a restart of the server, or a change taken back, changes nothing.
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    return DesiredState(body, etag, layer.minimum_version, by, terms)
