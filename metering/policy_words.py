"""Terms of policies and their figures, as people read them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.utils import timezone

from metering.limit_use import LimitUse, Simulation
from metering.spend_simulation import SpendOver, spend_against
from tenants.core.policies import Difference
from tenants.policy_models import PolicyVersion

ROWS_SHOWN_MAX: Final = 200
# The fields of the form of the days that are looked at.
DAYS: Final = frozenset({"first", "last"})
_REFERENCE_MAX: Final = 60
_CENTS: Final = Decimal("0.01")
_EXACT: Final = Context(prec=60)
_UNITS: Final = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def label_of(term: str) -> str:
    """A term's name, as its form has it."""
    name = str(PolicyVersion._meta.get_field(term).verbose_name)  # type: ignore[union-attr]
    return f"{name[:1].upper()}{name[1:]}"


def in_units(term: str, value: Any) -> str:
    """A term's value with its unit; "-" for none."""
    if value is None:
        return "-"
    if isinstance(value, Decimal):
        # Whole cents at least: 100.00, and 0.0125.
        return (
            f"{value.quantize(_CENTS) if value == value.quantize(_CENTS) else value.normalize():,f}"
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    if term == "cpu_millicores":
        return f"{Decimal(value) / 1_000:f} cores"
    if term == "memory_bytes":
        return _in_bytes(value)
    if isinstance(value, datetime):
        return f"{timezone.localtime(value):%Y-%m-%d %H:%M %Z}"
    if term == "rules":
        return "; ".join(_rule_in_words(rule) for rule in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _in_bytes(value: int) -> str:
    for unit, size in _UNITS:
        if value >= size:
            return f"{Decimal(value) / size:.1f} {unit}"
    return f"{value} bytes"


def _rule_in_words(rule: dict[str, str]) -> str:
    named = [f"{name} {rule[name]}" for name in ("application", "environment", "customer")
             if rule.get(name)]  # fmt: skip
    return f"{rule['effect']} {', '.join(named) or 'everything'}"


def difference_rows(differences: Sequence[Difference]) -> list[tuple[str, str, str]]:
    """(label, before, after) of each."""
    return [
        (label_of(each.term), in_units(each.term, each.before), in_units(each.term, each.after))
        for each in differences
    ]


def table_of(found: Simulation) -> dict[str, Any]:
    """What the page of a simulation shows: `bars` of each limit that was passed, and a table."""
    limited = [use for use in found.uses if use.limit is not None]
    return {
        "bars": [_bar(use) for use in found.over[:20]],
        "rows": [_row(use) for use in (limited or found.uses)[:ROWS_SHOWN_MAX]],
        "left_out": max(len(limited or found.uses) - ROWS_SHOWN_MAX, 0),
        "has_limits": bool(limited),
    }


def spend_shown(
    version: PolicyVersion, asked: Mapping[str, str], *, as_of: datetime
) -> dict[str, Any]:
    """What the page of a simulation shows of spend, from the customer on that the address names,
    and where the next ones are; or that the version limits none."""
    after = asked.get("spend_after", "").replace("\0", "")[:_REFERENCE_MAX]
    found = spend_against(version, after=after, as_of=as_of)
    if found is None:
        return {"spend": None}
    days = {name: asked[name] for name in sorted(DAYS) if name in asked}
    return {
        "spend_next": f"?{urlencode({**days, 'spend_after': found.more_after})}#spend",
        "spend": found,
        "spend_rows": [_spend_row(each) for each in found.over[:ROWS_SHOWN_MAX]],
        "spend_left_out": max(len(found.over) - ROWS_SHOWN_MAX, 0),
        "not_judged": [f"{reference}: {why}" for reference, why in found.left_out],
    }


def _spend_row(over: SpendOver) -> dict[str, str]:
    return {
        "customer": f"{over.customer} ({over.reference})",
        "application": over.application or "all together",
        "limit": f"{in_units(over.term, over.limit)} {over.currency}",
        "spent": f"{in_units(over.term, over.spent)} {over.currency}",
        "over_by": f"{in_units(over.term, over.over_by)} {over.currency}",
        "passed_on": f"{over.passed_on:%Y-%m-%d}",
    }


def _row(use: LimitUse) -> dict[str, Any]:
    return {
        "application": use.application,
        "environment": use.environment,
        "host": use.host or "all together",
        "term": label_of(use.term),
        "limit": in_units(use.term, use.limit),
        "peak": in_units(use.term, use.use.peak),
        "mean": in_units(use.term, use.use.mean),
        "over": str(use.time_over) if use.is_over else "-",
    }


def _bar(use: LimitUse) -> dict[str, Any]:
    """Lengths in thousandths of a bar that ends at twice the limit, or at the peak beyond that."""
    permille = use.peak_permille or 0
    whole = max(permille, 2_000)
    return {
        "label": f"{use.application} on {use.host or 'all hosts'}: {label_of(use.term)}",
        "words": f"{in_units(use.term, use.use.peak)} of {in_units(use.term, use.limit)}",
        "peak": permille * 1_000 // whole,
        "limit": 1_000_000 // whole,
    }
