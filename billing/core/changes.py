"""What made a charge differ from that of an earlier span.

Of each price and application the difference is taken apart: what the earlier usage would cost
at the prices of today tells what prices changed; the rest is what was used. The two parts sum
to the difference.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from billing.core.exact import EXACT, ZERO
from billing.core.quantity import plus
from billing.core.rating import RatedLine

Cause = Literal["new", "gone", "more", "less", "price"]

# What a line is of: the price's code (or the line's kind and words) and the application.
ChargeKey = tuple[str, str | None]

_NOTHING: Final[int | Decimal] = 0


@dataclass(frozen=True, slots=True)
class Charged:
    """Lines of one key together."""

    label: str
    meter: str
    application_name: str
    amount: Decimal
    raw_quantity: int | Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """One charge then and now; `cause` is what most of the difference comes from."""

    application_id: str | None
    application_name: str
    label: str
    meter: str
    before: Decimal
    now: Decimal
    raw_before: int | Decimal
    raw_now: int | Decimal
    cause: Cause

    @property
    def difference(self) -> Decimal:
        return EXACT.subtract(self.now, self.before)


def charged_by_key(
    lines: Iterable[RatedLine], codes: Mapping[str, str]
) -> dict[ChargeKey, Charged]:
    """Lines gathered by price and application; `codes` name prices over versions, by their ids."""
    gathered: dict[ChargeKey, Charged] = {}
    for line in lines:
        name = codes.get(line.price_id or "") or f"{line.kind} {line.label}"
        key = (name, line.application_id)
        known = gathered.get(key)
        gathered[key] = Charged(
            line.label,
            line.meter,
            line.application_name,
            EXACT.add(known.amount if known else ZERO, line.amount),
            plus(known.raw_quantity if known else _NOTHING, line.raw_quantity),
        )
    return gathered


def changes(
    before: Mapping[ChargeKey, Charged],
    repriced: Mapping[ChargeKey, Charged],
    now: Mapping[ChargeKey, Charged],
) -> list[Change]:
    """The charges that differ, the largest difference first; `repriced` is the usage of `before`
    at the prices of `now`."""
    found = [
        _change(key, before.get(key), repriced.get(key), now.get(key))
        for key in dict.fromkeys([*now, *before])
    ]
    told = [each for each in found if each.difference]
    return sorted(told, key=lambda each: (-abs(each.difference), each.application_name, each.label))


def _change(
    key: ChargeKey, before: Charged | None, repriced: Charged | None, now: Charged | None
) -> Change:
    named = now or before
    if named is None:
        raise ValueError(f"no charge is of {key}")
    was, is_now = (each.amount if each else ZERO for each in (before, now))
    return Change(
        application_id=key[1],
        application_name=named.application_name,
        label=named.label,
        meter=named.meter,
        before=was,
        now=is_now,
        raw_before=before.raw_quantity if before else _NOTHING,
        raw_now=now.raw_quantity if now else _NOTHING,
        cause=_cause(before, repriced, now),
    )


def _cause(before: Charged | None, repriced: Charged | None, now: Charged | None) -> Cause:
    if before is None:
        return "new"
    if now is None:
        return "gone"
    at_new_price = repriced.amount if repriced else before.amount
    by_price = abs(EXACT.subtract(at_new_price, before.amount))
    by_usage = abs(EXACT.subtract(now.amount, at_new_price))
    if by_price > by_usage or before.raw_quantity == now.raw_quantity:
        return "price"
    return "more" if now.raw_quantity > before.raw_quantity else "less"
