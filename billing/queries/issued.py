"""What stands behind an invoice that was made: whether its usage is known, and what came since."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.billable import billable_periods
from billing.core.money import sum_amounts
from billing.models import Invoice, LateUsage
from billing.queries.differences import rated_anew
from billing.queries.periods import period_of
from metering.allocation_rules import is_allocated
from metering.queries import completeness


def is_usage_complete(invoice: Invoice, *, as_of: datetime) -> bool:
    """Whether all hosts that the invoice's usage comes from have delivered to the period's end.

    A silent host that has not is one whose usage is unknown. What is spread of hosts' hours is
    usage as well.
    """
    period = period_of(invoice)
    own = [usage.application_id for usage in billable_periods(invoice.customer, period)]
    known = completeness(as_of, own)
    delivered = [host.complete_to for host in known.silent_hosts]
    if known.complete_to is not None:
        delivered.append(known.complete_to)
    if not all(end is not None and end >= period.end for end in delivered):
        return False
    return is_allocated(period.start, period.end)


# Of more lines, what is asked first is whether anything has changed.
_RATED_ANEW_MAX = 200


@dataclass(frozen=True, slots=True)
class ChangesSinceFinalized:
    """Usage that came, or came to be priced, after its invoice was issued, and stands on no note
    or later invoice either. `lines` counts the charges concerned; `amount` is what they add."""

    lines: int
    amount: Decimal


def changes_since_finalized(invoice: Invoice) -> ChangesSinceFinalized | None:
    """What the period's usage comes to now beyond what was billed for it; None where they agree,
    and for a draft, which is rated once more anyway."""
    if invoice.kind != Invoice.Kind.INVOICE or not invoice.is_issued:
        return None
    # The database marks each hour that changes below an issued invoice, and refuses assignments
    # that reach into its period. Rating a long one anew takes seconds, and mostly finds nothing.
    is_long = invoice.lines.count() > _RATED_ANEW_MAX
    if is_long and not LateUsage.objects.filter(invoice=invoice).exists():
        return None
    lines = rated_anew(invoice).lines
    if not lines:
        return None
    return ChangesSinceFinalized(len(lines), sum_amounts([line.amount for line in lines]))
