"""Keeps who is over a policy's limit of spend, a calendar month at a time, and tells it once. What
is over a limit is billed all the same, and nothing is stopped. Inside a tenant's scope."""

from collections.abc import Collection
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q

from billing.core.budgets import month_of
from billing.core.spend_limits import Spend
from billing.models.fields import AMOUNT_DECIMALS
from billing.queries.spend_limits import judged
from billing.queries.spending import spending_of
from metering.breach_models import SPEND_TERMS, PolicyBreach
from metering.breach_telling import tell_breaches
from metering.models import Application
from tenants.core.policies import version_for
from tenants.models import Customer, Policy
from tenants.policies_in_force import published_versions
from tenants.policy_models import PolicyVersion

_SHOWN = Decimal(1).scaleb(-AMOUNT_DECIMALS)
_ROUNDED = Context(prec=60, rounding=ROUND_HALF_UP)


class _Key(NamedTuple):
    version_id: UUID
    term: str
    application_id: UUID | None


def watch_spend(customer: Customer, *, as_of: datetime) -> int:
    """Bring what the customer is over this month up to date; how many limits. Cheap where no policy
    limits spend."""
    zone = ZoneInfo(customer.time_zone)
    month = month_of(as_of, customer.time_zone).start.astimezone(zone).date()
    versions = spend_limits(as_of=as_of)
    standing = PolicyBreach.objects.filter(customer=customer, standing=True, term__in=SPEND_TERMS)
    if not versions and not standing.exists():
        return 0
    spending = spending_of(customer, as_of=as_of) if versions else None
    found = {
        _Key(version.pk, spend.term, spend.application_id): (version, spend)
        for version, spend in judged(spending, versions)
        if spend.is_over
    }
    with transaction.atomic():
        # Whoever looks at the same time waits, and then finds what is noticed already.
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        _keep(customer, month, found, {each.pk for each in versions}, as_of)
    return len(found)


def spend_limits(*, as_of: datetime) -> list[PolicyVersion]:
    """The versions that limit spend, of those that hold for all hosts."""
    policies = list(Policy.objects.values_list("pk", flat=True))
    published = published_versions(policies, as_of=as_of)
    holding = (version_for(published[pk], None, as_of=as_of) for pk in policies)
    return [each for each in holding if each is not None and each.spend_currency]


def _keep(
    customer: Customer,
    month: date,
    found: dict[_Key, tuple[PolicyVersion, Spend]],
    holding: Collection[UUID],
    as_of: datetime,
) -> None:
    rows = PolicyBreach.objects.filter(customer=customer, term__in=SPEND_TERMS)
    # What stands of a month before is over with it.
    stored = list(rows.filter(Q(day=month) | Q(standing=True)))
    before = {
        _Key(each.version_id, each.term, each.application_id): each
        for each in stored
        if each.day == month
    }
    was_standing = {each.pk for each in stored if each.standing}
    kept = []
    for key, (version, spend) in found.items():
        row = before.get(key) or _made(version, spend, customer, month, as_of)
        kept.append(_kept(row, spend, as_of))
    over = [each for each in stored if each not in kept]
    for row in over:
        row.standing = False
        row.save(update_fields=["standing"])
    tell_breaches([*kept, *over], was_standing, as_of=as_of)
    # What a correction has undone. What a version has found that no longer holds stays.
    undone = [each.pk for each in over if each.day == month and each.version_id in holding]
    rows.filter(pk__in=undone).delete()


def _made(
    version: PolicyVersion, spend: Spend, customer: Customer, month: date, as_of: datetime
) -> PolicyBreach:
    application = None
    if spend.application_id is not None:
        application = Application.objects.get(pk=spend.application_id)
    return PolicyBreach(
        version=version,
        term=spend.term,
        day=month,
        customer=customer,
        application=application,
        environment_id=None if application is None else application.environment_id,
        limit=spend.limit,
        first_over_at=as_of,
        noticed_at=as_of,
        standing=False,
    )


def _kept(row: PolicyBreach, spend: Spend, as_of: datetime) -> PolicyBreach:
    row.measured = spend.spent.quantize(_SHOWN, context=_ROUNDED)
    row.last_over_at = as_of
    row.told += not row.standing
    row.standing = True
    row.save()
    return row
