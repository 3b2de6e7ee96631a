"""Usage of a period whose invoice is issued keeps its payer."""

from datetime import datetime
from threading import Event

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from billing.models import Invoice
from billing.operations import close_due, finalize_invoice
from billing.queries import upcoming_invoice
from metering.assignments import PeriodAlreadyInvoiced, assign_new_applications
from metering.models import Application, Assignment
from metering.operations import assign_application
from tenants.models import Environment, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.at_once import at_once
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    OCTOBER,
    Story,
    application,
    assign,
    at,
    begin_story,
    use,
)

# Where October ends in Berlin.
END = at(10, 31, 23)


def invoiced_story() -> Story:
    story = begin_story()
    use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
    for draft in close_due(as_of=NOVEMBER):
        finalize_invoice(draft, as_of=NOVEMBER)
    return story


def stretches(app: Application) -> list[tuple[str, datetime, datetime | None]]:
    rows = Assignment.objects.filter(application=app).order_by("starts_at")
    return [(row.customer.reference, row.starts_at, row.ends_at) for row in rows]


@pytest.mark.usefixtures("inside")
class TestInvoicedUsage:
    def test_is_not_billed_to_a_second_customer(self) -> None:
        story = invoiced_story()
        other = begin_story("other", "Other")
        with pytest.raises(PeriodAlreadyInvoiced, match="2026-10-31 23:00 UTC is on an issued"):
            assign_application(story.shop, other.customer, at(10, 31), as_of=NOVEMBER)
        assert stretches(story.shop) == [("shop-ltd", OCTOBER, None)]
        assign_application(story.shop, other.customer, END, as_of=NOVEMBER)
        assert stretches(story.shop) == [("shop-ltd", OCTOBER, END), ("other", END, None)]

    def test_is_not_taken_away(self) -> None:
        story = invoiced_story()
        spare = application("spare")
        assignment = Assignment.objects.get(application=story.shop)
        for change in (
            assignment.delete,
            lambda: Assignment.objects.filter(pk=assignment.pk).update(starts_at=at(10, 2)),
            lambda: Assignment.objects.filter(pk=assignment.pk).update(ends_at=at(10, 31)),
            lambda: Assignment.objects.filter(pk=assignment.pk).update(application=spare),
        ):
            with (
                pytest.raises(IntegrityError, match="invoiced and finalized"),
                transaction.atomic(),
            ):
                change()

    def test_of_a_draft_may_still_move(self) -> None:
        story, other = begin_story(), begin_story("other", "Other")
        use(story.shop, at(10, 30), cpu_us=100 * HOUR_US)
        drafts = close_due(as_of=NOVEMBER)
        assign_application(story.shop, other.customer, at(10, 20), as_of=NOVEMBER)
        finalized = [finalize_invoice(draft, as_of=NOVEMBER) for draft in drafts]
        assert {each.billed_to: each.total for each in finalized} == {"Shop-Ltd": 0, "Other": 1}


@pytest.mark.usefixtures("inside")
class TestUsageFromBefore:
    def test_is_not_given_to_a_customer_who_has_the_invoice_already(self) -> None:
        story = invoiced_story()
        late = application("late")
        use(late, at(10, 5), cpu_us=100 * HOUR_US)
        with pytest.raises(PeriodAlreadyInvoiced, match="would never be billed") as refusal:
            assign_application(late, story.customer, "first seen", as_of=NOVEMBER)
        assert refusal.value.until == END
        assert stretches(late) == []

    def test_moves_the_customers_own_assignment_to_its_start(self) -> None:
        story = begin_story()
        late = application("late")
        assign(late, story.customer, at(10, 20))
        use(late, at(10, 5), cpu_us=1000 * HOUR_US)
        assign_application(late, story.customer, "first seen", as_of=at(10, 21))
        assert stretches(late) == [("shop-ltd", OCTOBER, None)]
        upcoming = upcoming_invoice(story.customer, as_of=at(10, 22))
        assert upcoming is not None
        assert upcoming.total == 10

    def test_does_not_move_it_into_an_issued_period(self) -> None:
        story = invoiced_story()
        late = application("late")
        assign(late, story.customer, at(11, 2))
        with pytest.raises(PeriodAlreadyInvoiced):
            assign_application(late, story.customer, "first seen", as_of=at(11, 3))
        assert stretches(late) == [("shop-ltd", at(11, 2), None)]

    def test_that_a_host_delivers_late_is_stored_without_a_customer(self) -> None:
        story = invoiced_story()
        Environment.objects.update(default_customer=story.customer)
        late = application("late")
        assign_new_applications([late.pk], starts_at=at(10, 30))
        assert stretches(late) == [("shop-ltd", END, None)]


def test_the_admin_says_why_an_assignment_is_refused(tenant: Tenant) -> None:
    owner: Client = signed_in(tenant)
    with tenant_scope(tenant.pk):
        story = invoiced_story()
        late = application("late")
    page = reverse("admin:metering_application_assign_one", args=[late.pk])
    form = {"customer": story.customer.pk, "from_": "start"}
    said = owner.post(page, form, follow=True).content.decode()
    assert "late is left as it is" in said
    assert "would never be billed" in said


@pytest.mark.django_db(transaction=True)
def test_an_assignment_waits_for_the_invoice_that_is_being_finalized(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        other = begin_story("other", "Other")
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        draft = next(each for each in close_due(as_of=NOVEMBER) if each.customer == story.customer)
    rated, moved = Event(), Event()

    def finalize() -> str:
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        rated.set()
        # The number is given and not committed yet; the move must not get through here.
        assert not moved.wait(1)
        return f"total {invoice.total}"

    def move() -> str:
        assert rated.wait(30)
        try:
            assign_application(story.shop, other.customer, at(10, 2), as_of=NOVEMBER)
        except PeriodAlreadyInvoiced:
            return "refused"
        finally:
            moved.set()
        return "moved"

    assert at_once(tenant.pk, finalize, move) == ["total 1.00", "refused"]
    with tenant_scope(tenant.pk):
        assert Invoice.objects.get(pk=draft.pk).number == 1
