"""The frozen dataclasses that rating takes, as JSON values and back.

A dataclass is an object with its fields and its name as "type", a Decimal a string with every
digit, a datetime ISO 8601 in UTC, a tuple or frozenset an array (a frozenset's in order). What a
value may be is what its class says: there is no code for each kind of price, so that a new one is
in every bundle the day it is rated.
"""

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

_NUMBER: Final = re.compile(r"-?\d{1,60}(\.\d{1,60})?")
_ITEMS_MAX: Final = 100_000
_T = TypeVar("_T")


class TermsNotReadable(ValueError):
    """A value is not what its place in the terms asks for."""


def to_json(value: object) -> Any:
    """The value as JSON. Raises TypeError for what has no form there, floats among it."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        own = {each.name: to_json(getattr(value, each.name)) for each in fields(value) if each.init}
        return {"type": type(value).__name__} | own
    if isinstance(value, frozenset | set):
        return sorted(to_json(each) for each in value)
    if isinstance(value, tuple | list):
        return [to_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    raise TypeError(f"a {type(value).__name__} has no form in a bundle")


def from_json(kind: type[_T], value: Any, place: str = "terms") -> _T:
    """A value of `kind` from its JSON. Raises TermsNotReadable, naming `place`, and whatever the
    class itself refuses."""
    found: _T = _read(kind, value, place)
    return found


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin in (Union, types.UnionType):
        return _read_one_of(get_args(kind), value, place)
    if origin is Literal:
        return _expected(value in get_args(kind), value, place)
    if origin in (tuple, frozenset, list, Sequence):
        return _read_items(kind, origin, value, place)
    if origin in (dict, Mapping):
        return _read_mapping(kind, value, place)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    return _read_plain(kind, value, place)


def _expected(holds: bool, value: Any, place: str) -> Any:
    if not holds:
        raise TermsNotReadable(f"{place}: {str(value)[:40]!r} does not belong there")
    return value


def _read_plain(kind: Any, value: Any, place: str) -> Any:
    if kind is Decimal:
        _expected(isinstance(value, str) and _NUMBER.fullmatch(value) is not None, value, place)
        number = Decimal(value)
        _expected(format(number, "f") == value, value, place)
        return number
    if kind in (datetime, date, UUID):
        read = UUID if kind is UUID else kind.fromisoformat
        try:
            return read(_expected(isinstance(value, str), value, place))
        except ValueError as error:
            raise TermsNotReadable(f"{place}: {value[:40]!r} is no {kind.__name__}") from error
    if kind is type(None):
        return _expected(value is None, value, place)
    return _expected(type(value) is kind, value, place)


def _read_items(kind: Any, origin: Any, value: Any, place: str) -> Any:
    _expected(isinstance(value, list) and len(value) <= _ITEMS_MAX, value, place)
    kinds = get_args(kind)
    if origin is tuple and kinds[-1] is not Ellipsis:
        _expected(len(value) == len(kinds), value, place)
        return tuple(_read(each, item, place) for each, item in zip(kinds, value, strict=True))
    items = [_read(kinds[0], item, f"{place}[{at}]") for at, item in enumerate(value)]
    return items if origin is list else frozenset(items) if origin is frozenset else tuple(items)


def _read_mapping(kind: Any, value: Any, place: str) -> Any:
    _expected(isinstance(value, dict) and len(value) <= _ITEMS_MAX, value, place)
    key_kind, item_kind = get_args(kind)
    keys = {key: _read_plain(key_kind, key, place) for key in value}
    return {keys[key]: _read(item_kind, item, f"{place}.{key[:40]}") for key, item in value.items()}


def _read_one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    named = value.get("type") if isinstance(value, dict) else None
    for kind in kinds:
        if is_dataclass(kind) and named == getattr(kind, "__name__", None):
            return _read_dataclass(kind, value, place)
    others = [kind for kind in kinds if not is_dataclass(kind)]
    _expected(bool(others), value, place)
    for kind in others[:-1]:
        try:
            return _read(kind, value, place)
        except TermsNotReadable:
            continue
    return _read(others[-1], value, place)


@cache
def _kinds_of(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _read_dataclass(kind: Any, value: Any, place: str) -> Any:
    _expected(isinstance(value, dict) and value.get("type") == kind.__name__, value, place)
    own = {each.name: each for each in fields(kind) if each.init}
    strange = value.keys() - own.keys() - {"type"}
    missing = {name for name, each in own.items() if not _has_default(each)} - value.keys()
    if strange or missing:
        name = min(strange | missing)[:40]
        raise TermsNotReadable(f"{place}: {name!r} is {'unknown' if strange else 'missing'}")
    kinds = _kinds_of(kind)
    given = own.keys() & value.keys()
    return kind(**{name: _read(kinds[name], value[name], f"{place}.{name}") for name in given})


def _has_default(each: "Field[Any]") -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING
