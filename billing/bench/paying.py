"""`prove_payments`: each invoice is charged once, whatever the processor and the network do.

All invoices are collected while answers get lost and webhooks come twice, late, out of order and
forged. Then the clock goes on, of the product by `as_of` and of the fake by its own, until nobody
has anything left to find out; and the books of both sides are compared.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import repeat
from typing import Final, TypeVar
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing.bench.owed import Owed, make_owed
from billing.bench.paid_books import Books, compare_books
from billing.bench.processor import Fake, Processor, processor
from billing.collecting import due_for_reconciling, reconcile, submit
from billing.gateway import Stripe, account_of_tenant
from billing.models import Invoice, PaymentAttempt
from billing.operations.collecting import AttemptOpen, collect
from billing.operations.lifecycle import InvoiceNotPayable
from billing.operations.payers import keep_default_method
from billing.payers import known_payer
from metering.bench.together import BenchFailed
from tenants.scope import tenant_scope

FAULTS: Final = {
    "answer_lost_percent": 20,
    "stored_500_percent": 5,
    "duplicate_percent": 20,
    "forged_percent": 10,
    "webhook_delay_ms_max": 3_000,
    "search_lag_s": 60,
}
THREADS: Final = 4
# Of a hundred customers so many have a card that is declined: they are to be charged nothing.
DECLINED_PERCENT: Final = 3
# Of a hundred invoices so many are collected by two at once.
TWICE_PERCENT: Final = 10
_A_WHILE: Final = timedelta(minutes=3)
_A_DAY: Final = timedelta(hours=26)
_LOOKS_A_DAY: Final = 4
_DAYS_MAX: Final = 12
_QUIET_S: Final = 120
_TOLD_EVERY: Final = 1_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PaymentFigures:
    payments: int
    charged: int
    declined: int
    attempts: int
    unknown_for_a_while: int
    webhooks_accepted: int
    webhooks_repeated: int
    webhooks_forged: int
    forged_accepted: int
    events_stored: int
    days: int
    seconds: float


@dataclass(slots=True)
class _Campaign:
    tenant_id: UUID
    owed: Sequence[Owed]
    fake: Fake
    progress: Callable[[str], None]
    ahead: timedelta = timedelta()
    days: int = 0
    unknown: set[UUID] = field(default_factory=set)

    def as_of(self) -> datetime:
        return timezone.now() + self.ahead

    def each(self, work: Callable[[Item], None], items: Iterable[Item]) -> None:
        """Side by side; the first exception ends it."""

        def worked(item: Item) -> None:
            try:
                work(item)
            finally:
                connection.close()

        with ThreadPoolExecutor(THREADS) as pool:
            for done, _ in enumerate(pool.map(worked, items), start=1):
                if done % _TOLD_EVERY == 0:
                    self.progress(f"{done} done")


def measure_payments(payments: int, seed: int, progress: Callable[[str], None]) -> PaymentFigures:
    """Runs inside scratch_database(). Raises BenchFailed with the first thing that is wrong."""
    progress(f"issuing {payments} invoices")
    tenant_id, owed = make_owed(payments, progress)
    with processor() as running:
        campaign = _Campaign(tenant_id, owed, running.fake, progress)
        started = time.monotonic()
        _collect_all(campaign, seed)
        _find_out_about_all(campaign)
        _let_webhooks_arrive(running)
        seconds = time.monotonic() - started
        books = compare_books(tenant_id, owed, running.fake, _declined(owed))
    return _figures(campaign, books, seconds)


def _declined(owed: Sequence[Owed]) -> set[UUID]:
    return {each.customer_id for n, each in enumerate(owed) if n % 100 < DECLINED_PERCENT}


def _collect_all(campaign: _Campaign, seed: int) -> None:
    campaign.progress("saving a card for each customer")
    declined = _declined(campaign.owed)

    def save(owed: Owed) -> None:
        with tenant_scope(campaign.tenant_id):
            gateway = Stripe(account_of_tenant())
        payer = known_payer(campaign.tenant_id, gateway, owed.customer_id)
        card = "pm_card_chargeCustomerFail" if owed.customer_id in declined else "pm_card_visa"
        method = campaign.fake.saved_card(payer, card)
        with tenant_scope(campaign.tenant_id):
            keep_default_method(owed.customer_id, method, "test card")

    campaign.each(save, campaign.owed)
    campaign.fake.fail(FAULTS | {"seed": seed})
    campaign.progress("collecting")
    twice = [
        owed
        for n, owed in enumerate(campaign.owed)
        for _ in repeat(None, 2 if n % 100 < TWICE_PERCENT else 1)
    ]
    campaign.each(lambda owed: _collect(campaign, owed.invoice_id), twice)


def _collect(campaign: _Campaign, invoice_id: UUID) -> None:
    # The other one was first, or it is paid already: that is as it should be.
    with suppress(AttemptOpen, InvoiceNotPayable):
        with tenant_scope(campaign.tenant_id):
            invoice = Invoice.objects.get(pk=invoice_id)
            attempt = collect(invoice, as_of=campaign.as_of())
        _note(campaign, submit(campaign.tenant_id, attempt.pk, as_of=campaign.as_of()))


def _note(campaign: _Campaign, attempt: PaymentAttempt | None) -> None:
    if attempt is not None and attempt.state == PaymentAttempt.State.UNKNOWN:
        campaign.unknown.add(attempt.pk)


def _find_out_about_all(campaign: _Campaign) -> None:
    """A few looks within the day, then on to the next one, until nothing is open and every invoice
    with a good card is paid. Raises BenchFailed where that takes too long."""
    declined = _declined(campaign.owed)
    while True:
        for _ in range(_LOOKS_A_DAY):
            campaign.ahead += _A_WHILE
            _look(campaign)
        with tenant_scope(campaign.tenant_id):
            still_open = PaymentAttempt.objects.open().count()
            unpaid = list(
                Invoice.objects.exclude(status=Invoice.Status.PAID)
                .exclude(customer__in=declined)
                .values_list("pk", flat=True)
            )
        campaign.progress(f"{still_open} attempts are open, {len(unpaid)} invoices unpaid")
        if not still_open and not unpaid:
            return
        if campaign.days == _DAYS_MAX:
            raise BenchFailed(f"{still_open} attempts open after {_DAYS_MAX} days")
        campaign.days += 1
        campaign.ahead += _A_DAY
        campaign.fake.put_clock_forward(int((_A_DAY + _LOOKS_A_DAY * _A_WHILE).total_seconds()))
        _look(campaign)
        campaign.each(lambda invoice_id: _collect(campaign, invoice_id), unpaid)


def _look(campaign: _Campaign) -> None:
    as_of = campaign.as_of()

    def look(attempt_id: UUID) -> None:
        _note(campaign, reconcile(campaign.tenant_id, attempt_id, as_of=as_of))

    seen: set[UUID] = set()
    while True:
        with tenant_scope(campaign.tenant_id):
            due = [each for each in due_for_reconciling(as_of=as_of) if each not in seen]
        if not due:
            return
        seen.update(due)
        campaign.each(look, due)


def _let_webhooks_arrive(running: Processor) -> None:
    """Raises BenchFailed where some are pending for too long without one arriving."""
    before, since = -1, time.monotonic()
    while pending := sum(states.get("pending", 0) for states in running.fake.deliveries().values()):
        if pending != before:
            before, since = pending, time.monotonic()
        if time.monotonic() - since > _QUIET_S:
            raise BenchFailed(f"{pending} webhooks were not taken")
        time.sleep(0.5)


def _figures(campaign: _Campaign, books: Books, seconds: float) -> PaymentFigures:
    forged = Counter[str]()
    for kind, states in books.deliveries.items():
        if kind.startswith("forged"):
            forged.update(states)
    return PaymentFigures(
        payments=len(campaign.owed),
        charged=books.charged,
        declined=books.declined,
        attempts=books.attempts,
        unknown_for_a_while=len(campaign.unknown),
        webhooks_accepted=books.deliveries.get("true", {}).get("delivered", 0),
        webhooks_repeated=books.deliveries.get("duplicate", {}).get("delivered", 0),
        webhooks_forged=forged.total(),
        forged_accepted=forged["delivered"],
        events_stored=books.events,
        days=campaign.days,
        seconds=round(seconds, 1),
    )
