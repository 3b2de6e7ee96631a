"""Checks a request's parameters against stripe-python's generated types, and reads their values.

The types are what Stripe's own specification says of each request. Where they name an
enumeration they also let any text through (`Literal['a', 'b'] | str`), for servers that are newer
than the library; here that text is struck out, so that a word Stripe does not know is refused.
"""

import re
import sys
import types
from collections.abc import Mapping
from functools import cache
from typing import (
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import stripe.params
import stripe.params.checkout
from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import is_typeddict

from billing.fake_stripe.refusals import Fields, Refused, invalid

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?")
# Of the client, not of the request: they share a type.
_NOT_SENT: Final = frozenset(RequestOptions.__annotations__)


def shape(name: str) -> type:
    """The type of a request's parameters, such as "PaymentIntentCreateParams"."""
    home = stripe.params.checkout if name.startswith("Session") else stripe.params
    found: type = getattr(home, name)
    return found


def checked(kind: type, given: Mapping[str, Any], *, inside: str = "") -> Fields:
    """The parameters with numbers and flags read. Raises Refused for what Stripe would refuse."""
    hints = _hints(kind)
    for name in given:
        if name not in hints:
            at = _named(inside, name)
            raise invalid(f"Received unknown parameter: {at}", param=at, code="parameter_unknown")
    for name in sorted(_required(kind)):
        if name not in given:
            at = _named(inside, name)
            raise invalid(f"Missing required param: {at}", param=at, code="parameter_missing")
    return {name: _value(hints[name], each, _named(inside, name)) for name, each in given.items()}


@cache
def _hints(kind: type) -> dict[str, Any]:
    own = {name: hint for name, hint in kind.__annotations__.items() if name not in _NOT_SENT}
    # The names that a generated type refers to are its module's.
    holder = type("_Holder", (), {"__annotations__": own})
    resolved = get_type_hints(holder, vars(sys.modules[kind.__module__]), include_extras=True)
    return {name: _bare(hint) for name, hint in resolved.items()}


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in {NotRequired, Required} else hint


def _required(kind: Any) -> frozenset[str]:
    return frozenset(kind.__required_keys__) - _NOT_SENT


def _named(inside: str, name: str) -> str:
    return f"{inside}[{name}]" if inside else name


def _value(hint: Any, given: Any, at: str) -> Any:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _one_of(get_args(hint), given, at)
    if is_typeddict(hint):
        return checked(hint, _object(given, at), inside=at)
    if origin is list:
        (each,) = get_args(hint)
        return [_value(each, value, f"{at}[{n}]") for n, value in enumerate(_list(given, at))]
    if origin is dict:
        _, each = get_args(hint)
        return {
            key: _value(each, value, _named(at, key)) for key, value in _object(given, at).items()
        }
    if origin is Literal:
        return _word(get_args(hint), given, at)
    return _plain(hint, given, at)


def _one_of(members: tuple[Any, ...], given: Any, at: str) -> Any:
    words = [word for each in members if get_origin(each) is Literal for word in get_args(each)]
    # An empty text alone only says that the value can be taken away: beside it any text is meant.
    is_enumeration = any(words)
    candidates = [
        each
        for each in members
        if not (each is str and is_enumeration) and get_origin(each) is not UntypedStripeObject
    ]
    refusal: Refused | None = None
    for each in sorted(candidates, key=lambda hint: hint is str):
        try:
            return _value(each, given, at)
        except Refused as refused:
            refusal = _closer(refusal, refused, at)
    raise refusal or invalid("This value is none that is allowed", param=at)


def _closer(before: Refused | None, now: Refused, at: str) -> Refused:
    """Of two refusals the one that says more: about something inside rather than the whole."""
    return now if before is None or now.details.get("param") != at else before


def _object(given: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise invalid(f"Invalid object: {at}", param=at)
    return given


def _list(given: Any, at: str) -> list[Any]:
    if not isinstance(given, list):
        raise invalid(f"Invalid array: {at}", param=at)
    return given


def _word(words: tuple[Any, ...], given: Any, at: str) -> Any:
    if given in words:
        return given
    allowed = ", ".join(str(word) or "nothing" for word in words)
    raise invalid(f"Invalid {at}: must be one of {allowed}", param=at)


def _plain(hint: Any, given: Any, at: str) -> Any:
    if not isinstance(given, str):
        raise invalid(f"Invalid value: {at} is an object or an array", param=at)
    if hint is bool:
        return _word(("true", "false"), given, at) == "true"
    if hint is int:
        if not _WHOLE.fullmatch(given):
            raise invalid(
                f"Invalid integer: {given[:40]}", param=at, code="parameter_invalid_integer"
            )
        return int(given)
    if getattr(hint, "__name__", "") in {"float", "Decimal"} and not _NUMBER.fullmatch(given):
        raise invalid(f"Invalid number: {given[:40]}", param=at)
    return given
