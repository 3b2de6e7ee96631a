"""The wire contract beside the batches: keys, the desired state, and what was made of it.

Standard library only, so that both sides hold a value to the same bounds.
"""

import re
from typing import Final

from hostmeter_agent.wire import BUCKET_SECONDS, NAME_LENGTH_MAX

KEYS_PATH: Final = "/api/v1/hosts/keys"
DESIRED_STATE_PATH: Final = "/api/v1/hosts/desired-state"
APPLIED_STATE_PATH: Final = "/api/v1/hosts/applied-state"

TIME_HEADER: Final = "hostmeter-time"
"""A signed header: the host's clock when it signed, milliseconds since the epoch."""

CONTROL_SCHEMA: Final = 1
KEY_OVERLAP_SECONDS: Final = 86_400
KEY_ROTATION_DAYS: Final = 90
KEY_ROTATION_DAYS_MAX: Final = 3_650
INTERVAL_SECONDS_MAX: Final = 60
RULES_MAX: Final = 200
ENVIRONMENTS_MAX: Final = 1_000
PROBES_MAX: Final = 50
ERRORS_MAX: Final = 50
TEXT_LENGTH_MAX: Final = 500
POLICY_NAME_LENGTH_MAX: Final = 140
"""Of a policy's version: the policy's name and the version's number."""
CPU_MILLICORES_MAX: Final = 8_192_000
MEMORY_BYTES_MAX: Final = 2**50
PROCESSES_MAX: Final = 2**22
OFFLINE_GRACE_SECONDS_MAX: Final = 400 * 86_400
DOCUMENT_BYTES_MAX: Final = 512 * 1024

PROBE_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,39}\Z")
VERSION: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}\Z")
KEY_ID: Final = re.compile(r"[ !#-\[\]-~]{1,100}\Z")
"""Fit to stand in a structured field's string."""

RESERVED_NAMES: Final = frozenset({"kernel", "hostmeter-agent", "unattributed", "other"})
"""Applications that the agent itself makes up."""
RULE_CRITERIA: Final = ("process", "executable", "command", "user")

_UNBOUNDED: Final = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}")
_UNBOUNDED_MAX: Final = 2
_REPEATED_GROUP: Final = re.compile(r"\)[*+?{]")
_ESCAPED_OR_CLASS: Final = re.compile(r"\\[^0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]")


def proof_message(host: str, key_id: str, public_key: str) -> bytes:
    """What a new key signs to prove that its private part is there.

    host: the host's id; key_id: of the key that asks; public_key: the new one, in base64.
    """
    return "\n".join(("hostmeter key rotation 1", host, key_id, public_key)).encode()


def interval_reason(value: object) -> str:
    """Why `value` is no scrape interval in seconds; "" where it is one."""
    if type(value) is not int or not 1 <= value <= INTERVAL_SECONDS_MAX or BUCKET_SECONDS % value:
        return f"must be from 1 to {INTERVAL_SECONDS_MAX} and divide {BUCKET_SECONDS} seconds"
    return ""


def name_reason(value: object) -> str:
    """Why `value` is no name of an application, a user, a pattern; "" where it is one."""
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LENGTH_MAX:
        return f"must be text of 1 to {NAME_LENGTH_MAX} characters"
    return "" if value.isprintable() else "must not hold control characters"


def costly_reason(pattern: str) -> str:
    """Why a regular expression that came over the network could take long on a command line: a
    repeated group, a reference back, or more than two unbounded repetitions."""
    plain = _ESCAPED_OR_CLASS.sub("x", pattern)
    if _REPEATED_GROUP.search(plain):
        return "must not repeat a group"
    if "\\" in plain or "(?P=" in plain or "(?(" in plain:
        return "must not refer back to a group"
    if len(_UNBOUNDED.findall(plain)) > _UNBOUNDED_MAX:
        return f"must not repeat without bound more than {_UNBOUNDED_MAX} times"
    return ""


def rule_reason(rule: object) -> str:
    """Why `rule` is no application rule as a server may state it; "" where it is one."""
    if not isinstance(rule, dict):
        return "must be a table"
    for key, value in rule.items():
        if key != "name" and key not in RULE_CRITERIA:
            return f"{str(key)[:40]} is not known; known are name, {', '.join(RULE_CRITERIA)}"
        if reason := name_reason(value):
            return f"{key} {reason}"
    if "name" not in rule:
        return "name is missing"
    if rule["name"] in RESERVED_NAMES:
        return f"name must not be {rule['name']!r}: the agent itself uses that name"
    if len(rule) == 1:
        return f"needs one of {', '.join(RULE_CRITERIA)}"
    return _command_reason(rule["command"]) if "command" in rule else ""


def _command_reason(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"command is not a regular expression: {error}"
    reason = costly_reason(pattern)
    return f"command {reason}" if reason else ""


def rules_reason(rules: object) -> str:
    """Why `rules` is no list of application rules; "" where it is one."""
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        return f"must be a list of at most {RULES_MAX} tables"
    for number, rule in enumerate(rules, start=1):
        if reason := rule_reason(rule):
            return f"rule {number}: {reason}"
    return ""


def version_of(text: str) -> tuple[int, ...]:
    """A version as numbers that compare; what is no number ends it."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    numbers = [int(part[:9]) for part in found[0].split(".")] if found else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
