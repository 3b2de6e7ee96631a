"""Whatever happens to a customer, in whatever order, is billed once and to the minor unit.

`python3 manage.py test tests/scenarios/test_a_customers_life.py --hypothesis-profile=long` looks
for longer, at longer lives.
"""

from contextlib import AbstractContextManager, suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.core.currencies import currency_of
from billing.models import BillingDetails, BillingSettings, Invoice, TaxRate
from billing.operations import (
    InvoiceNotPayable,
    InvoiceNotVoidable,
    NewGrant,
    Rebate,
    SubscriptionNotEndable,
    TransitionNotAllowed,
    VersionNotUsable,
    begin_review,
    close_due,
    end_subscription,
    finalize_invoice,
    grant_credit,
    grant_discount,
    mark_overdue,
    mark_sent,
    recompute_draft,
    record_payment,
    subscribe,
    void_invoice,
    write_off,
)
from metering.core.buckets import bucket_of
from metering.corrections import delete_usage, replace_usage
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US
from tests.scenarios.customers_life import (
    START,
    Life,
    Tariff,
    agreement,
    compare_with_twin,
    publish,
)

HOURS = st.integers(1, 80)
APPS = st.integers(0, 1)
# Which of those that there are, counted around.
WHICH = st.integers(0, 20)
# How far back in the life, in thousandths of it.
BACK = st.integers(0, 999)
TARIFFS = st.builds(
    Tariff,
    unit_price=st.sampled_from(["1", "0.005", "0.3335"]),
    allowance=st.sampled_from(["0", "50"]),
    rollover_periods=st.integers(0, 2),
    fee=st.sampled_from(["0", "9.99"]),
    fee_in_advance=st.booleans(),
    minimum=st.sampled_from(["0", "30"]),
)


class Undone(Exception):
    """A life is over, and nothing of it is kept."""


class CustomersLife(RuleBasedStateMachine):
    """Each is undone when it ends."""

    tenant_id: UUID
    scope: AbstractContextManager[None]
    life: Life

    @initialize(
        tariff=TARIFFS,
        currency=st.sampled_from(["EUR", "JPY", "KWD"]),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
        commitment=st.none() | st.just(Decimal(150)),
        late_usage=st.sampled_from(["note", "next_invoice"]),
        taxed=st.booleans(),
    )
    def begin(
        self,
        tariff: Tariff,
        currency: str,
        zone: str,
        commitment: Decimal | None,
        late_usage: str,
        taxed: bool,
    ) -> None:
        self.scope = tenant_scope(self.tenant_id)
        self.scope.__enter__()
        BillingSettings.objects.create(
            legal_name="First Host", country="DE", late_usage=late_usage, late_usage_days=400
        )
        self.life = Life(tariff, currency, zone, agreement(commitment))
        if taxed:
            BillingDetails.objects.create(customer=self.life.customer, country="DE")
            TaxRate.objects.create(
                name="VAT", country="DE", percent=19, valid_from=date(2020, 1, 1)
            )

    def teardown(self) -> None:
        if not hasattr(self, "scope"):
            return
        try:
            if hasattr(self, "life") and not transaction.get_connection().needs_rollback:
                self.life.settle()
                self.life.check()
                compare_with_twin(self.life)
        finally:
            with suppress(Undone):
                self.scope.__exit__(Undone, Undone(), None)

    @invariant()
    def books_balance_and_nothing_issued_changes(self) -> None:
        if hasattr(self, "life"):
            self.life.check()

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.life.wait(days)

    @rule(app=APPS, hours=HOURS, issued=st.booleans())
    def a_month_passes(self, app: int, hours: int, issued: bool) -> None:
        self.life.use(app, self.life.now, hours)
        self.life.wait(31)
        for draft in close_due(as_of=self.life.now):
            if issued:
                finalize_invoice(draft, as_of=self.life.now)

    @rule(app=APPS, hours=HOURS)
    def usage_arrives(self, app: int, hours: int) -> None:
        self.life.use(app, self.life.now - timedelta(minutes=10), hours)

    @rule(app=APPS, hours=HOURS, back=BACK)
    def usage_arrives_late(self, app: int, hours: int, back: int) -> None:
        self.life.use(app, self._moment(back), hours)

    @rule(app=APPS, back=BACK)
    def usage_arrives_again(self, app: int, back: int) -> None:
        self.life.deliver_again(app, self._moment(back))

    @rule(app=APPS, back=BACK, days=st.integers(1, 40))
    def usage_is_deleted(self, app: int, back: int, days: int) -> None:
        start = bucket_of(self._moment(back))
        delete_usage(
            self.life.apps[app], (start, start + timedelta(days=days)),
            reason="A test ran", author="owner@first.example", as_of=self.life.now,
        )  # fmt: skip
        self.life.changed()

    @rule(app=APPS, back=BACK, hours=HOURS)
    def usage_is_replaced(self, app: int, back: int, hours: int) -> None:
        start = bucket_of(self._moment(back))
        replace_usage(
            self.life.apps[app], (start, start + timedelta(hours=2)),
            {"cpu.time": hours * HOUR_US},
            reason="Read from the console", author="owner@first.example",
            as_of=self.life.now,
        )  # fmt: skip
        self.life.changed()

    @rule()
    def periods_are_closed(self) -> None:
        close_due(as_of=self.life.now)

    @precondition(lambda self: self.life.drafts())
    @rule(which=WHICH)
    def a_draft_is_reviewed(self, which: int) -> None:
        begin_review(self._one(self.life.drafts(), which), as_of=self.life.now)

    @precondition(lambda self: self.life.drafts())
    @rule(which=WHICH)
    def a_draft_is_rated_again(self, which: int) -> None:
        recompute_draft(self._one(self.life.drafts(), which))

    @precondition(lambda self: self.life.drafts())
    @rule(which=WHICH)
    def a_draft_is_finalized(self, which: int) -> None:
        finalize_invoice(self._one(self.life.drafts(), which), as_of=self.life.now)

    @rule()
    def late_usage_is_restated(self) -> None:
        self.life.restate()

    @precondition(lambda self: self.life.issued())
    @rule(which=WHICH, part=st.sampled_from([1, 2, -1]))
    def money_comes(self, which: int, part: int) -> None:
        """All that is open, half of it, or more than it."""
        invoice = self._one(self.life.issued(), which)
        unit = currency_of(invoice.currency).minor_unit
        open_amount = invoice.open_amount
        amount = open_amount // (unit * part) * unit if part > 0 else open_amount + 5 * unit
        if amount <= 0:
            return
        try:
            record_payment(
                invoice, amount, received_on=self.life.now.date(),
                reference=f"bank {self.life.now}", as_of=self.life.now,
                excess_to_credit=True,
            )  # fmt: skip
        except (InvoiceNotPayable, ValueError):
            # A second one of a day, or one for what is void or no invoice.
            return

    @precondition(lambda self: self.life.issued())
    @rule(which=WHICH)
    def a_document_is_sent(self, which: int) -> None:
        mark_sent(self._one(self.life.issued(), which), as_of=self.life.now)

    @rule()
    def what_is_due_is_overdue(self) -> None:
        mark_overdue(as_of=self.life.now)

    @precondition(lambda self: self.life.issued())
    @rule(which=WHICH)
    def an_invoice_is_given_up(self, which: int) -> None:
        try:
            write_off(self._one(self.life.issued(), which), as_of=self.life.now)
        except TransitionNotAllowed:
            return

    @precondition(lambda self: self.life.issued())
    @rule(which=WHICH)
    def a_document_is_taken_back(self, which: int) -> None:
        try:
            void_invoice(self._one(self.life.issued(), which), "made in error", as_of=self.life.now)
        except InvoiceNotVoidable:
            return

    @rule(tariff=TARIFFS, at_once=st.booleans(), days=st.integers(-40, 40))
    def the_plan_gets_a_version(self, tariff: Tariff, at_once: bool, days: int) -> None:
        effective_from = bucket_of(self.life.now + timedelta(days=days))
        try:
            publish(self.life.plan, tariff, effective_from, at_once=at_once)
        except VersionNotUsable:
            return

    @rule(days=st.integers(-10, 20))
    def the_subscription_begins_anew(self, days: int) -> None:
        ends_at = self.life.now + timedelta(days=days)
        try:
            ended = end_subscription(self.life.subscription, ends_at=ends_at)
        except SubscriptionNotEndable:
            return
        assert ended.ends_at is not None
        self.life.subscription = subscribe(
            self.life.customer, self.life.plan, starts_at=ended.ends_at,
            agreed=self.life.agreed,
        )  # fmt: skip

    @rule(amount=st.integers(1, 200), promotional=st.booleans())
    def credit_is_granted(self, amount: int, promotional: bool) -> None:
        kind = "promotional" if promotional else "paid"
        grant_credit(
            NewGrant(self.life.customer, kind, self.life.plan.currency, Decimal(amount)),
            as_of=self.life.now,
        )

    @rule(
        percent=st.none() | st.sampled_from([Decimal(10), Decimal("33.3")]),
        periods=st.none() | st.integers(1, 2),
    )
    def a_discount_is_granted(self, percent: Decimal | None, periods: int | None) -> None:
        amount = None if percent else Decimal(7)
        currency = "" if percent else self.life.plan.currency
        rebate = Rebate(
            "Loyalty", bucket_of(self.life.now), percent, amount, currency, periods=periods
        )
        grant_discount(self.life.customer, rebate)

    @rule(late_usage=st.sampled_from(["note", "next_invoice"]))
    def late_usage_goes_another_way(self, late_usage: str) -> None:
        BillingSettings.objects.update(late_usage=late_usage)

    def _moment(self, back: int) -> datetime:
        return START + (self.life.now - START) * (1000 - back) / 1000 - timedelta(minutes=1)

    @staticmethod
    def _one(found: list[Invoice], which: int) -> Invoice:
        return found[which % len(found)]


@pytest.mark.django_db
@pytest.mark.timeout(0)
def test_is_billed_once_and_the_books_balance(tenant: Tenant) -> None:
    long = settings.get_current_profile_name() == "long"
    CustomersLife.tenant_id = tenant.pk
    run_state_machine_as_test(
        CustomersLife,
        settings=settings(
            max_examples=400 if long else 5,
            stateful_step_count=40 if long else 12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
