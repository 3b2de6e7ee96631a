"""Which version of a policy holds for a host, and who may run what under it: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, Protocol, TypeVar
from uuid import UUID

RULES_MAX: Final = 200
PATTERN_LENGTH_MAX: Final = 200
EFFECTS: Final = ("allow", "deny")
CRITERIA: Final = ("application", "environment", "customer")
SHARES: Final = 100


class Published(Protocol):
    """What counts of a version that is published."""

    @property
    def number(self) -> int: ...
    @property
    def effective_from(self) -> datetime | None: ...
    @property
    def rollout_percent(self) -> int: ...
    @property
    def rolled_back_at(self) -> datetime | None: ...


_Version = TypeVar("_Version", bound=Published)


def share_of_host(host_id: UUID) -> int:
    """From 0 to 99, always the same for one host: those below a percentage get a version first."""
    return int.from_bytes(sha256(host_id.bytes).digest()[:8]) % SHARES


def version_for(
    versions: Sequence[_Version], host_id: UUID | None, *, as_of: datetime
) -> _Version | None:
    """The version that holds for a host: of those in effect that were not taken back the newest
    whose share the host is in. Without a host, the newest that holds for all of them.

    versions: of one policy, published, in any order.
    """
    share = SHARES - 1 if host_id is None else share_of_host(host_id)
    held = [
        version
        for version in versions
        if version.effective_from is not None
        and version.effective_from <= as_of
        and version.rolled_back_at is None
        and share < version.rollout_percent
    ]
    return max(held, key=lambda each: (each.effective_from, each.number), default=None)


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows or denies what its patterns match; "" matches all. In a pattern * is any text."""

    effect: Literal["allow", "deny"]
    application: str = ""
    environment: str = ""
    customer: str = ""

    def fits(self, application: str, environment: str, customer: str) -> bool:
        """customer: its reference; "" for an application that is billed to nobody."""
        return (
            matches(self.application, application)
            and matches(self.environment, environment)
            and matches(self.customer, customer)
        )


def matches(pattern: str, name: str) -> bool:
    """Whether the name is the pattern's, * standing for any text; "" matches all names."""
    if not pattern:
        return True
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last):
        return False
    if not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def may_run(rules: Sequence[Rule], *, application: str, environment: str, customer: str) -> bool:
    """What the first rule that fits says; what none fits is allowed."""
    for rule in rules:
        if rule.fits(application, environment, customer):
            return rule.effect == "allow"
    return True


def rules_reason(rules: object) -> str:
    """Why `rules` is no list of rules as stored; "" where it is one."""
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        return f"must be a list of at most {RULES_MAX} rules"
    for number, rule in enumerate(rules, start=1):
        if reason := _rule_reason(rule):
            return f"rule {number}: {reason}"
    return ""


def _rule_reason(rule: object) -> str:
    if not isinstance(rule, dict):
        return 'must read as {"effect": "deny", "application": "miner*"}'
    if rule.get("effect") not in EFFECTS:
        return "effect must be allow or deny"
    for name, pattern in rule.items():
        if name == "effect":
            continue
        if name not in CRITERIA:
            return f"{str(name)[:40]} is not known; known are effect, {', '.join(CRITERIA)}"
        if not isinstance(pattern, str) or len(pattern) > PATTERN_LENGTH_MAX:
            return f"{name} must be text of at most {PATTERN_LENGTH_MAX} characters"
        if not pattern.isprintable():
            return f"{name} must not hold control characters"
    return ""


def rules_of(stored: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Rules as stored, checked before by rules_reason()."""
    return tuple(Rule(**rule) for rule in stored)


@dataclass(frozen=True, slots=True)
class Difference:
    """A term that differs; None: it says nothing."""

    term: str
    before: Any
    after: Any


def differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """What changes between two versions' terms, by their names and in their order."""
    return tuple(
        Difference(term, (before or {}).get(term), value)
        for term, value in after.items()
        if (before or {}).get(term) != value
    )
