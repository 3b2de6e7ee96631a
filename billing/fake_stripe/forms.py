"""Stripe's way to write nested parameters as a form: a[b]=1, list[0][c]=2, list[]=3."""

import re
from typing import Final
from urllib.parse import parse_qsl

from billing.fake_stripe.refusals import Fields, invalid

FIELDS_MAX: Final = 1_000
DEPTH_MAX: Final = 8
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")


def decoded(text: str) -> Fields:
    """The parameters with their nesting: texts, dicts, and lists where all keys are positions.

    Raises Refused for names that cannot be read, or given twice.
    """
    try:
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=bool(text),
            max_num_fields=FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        raise invalid("The parameters cannot be read as a form") from None
    found: Fields = {}
    for name, value in pairs:
        _put(found, _path(name), name, value)
    return {name: _with_lists(value) for name, value in found.items()}


def _path(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    path = [match[1], *_PART.findall(match[2])] if match else []
    if not 0 < len(path) <= DEPTH_MAX:
        raise invalid("The name of this parameter cannot be read", param=name)
    return path


def _put(found: Fields, path: list[str], name: str, value: str) -> None:
    *parents, last = path
    for part in parents:
        inner = found.setdefault(part or str(len(found)), {})
        if not isinstance(inner, dict):
            raise invalid("This parameter is given as a value and as an object", param=name)
        found = inner
    last = last or str(len(found))
    if last in found:
        raise invalid("This parameter is given twice", param=name)
    found[last] = value


def _with_lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if list(inner) == [str(position) for position in range(len(inner))]:
        return list(inner.values())
    return inner
