"""A customer sets budgets in the portal and sees what they told."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import BillingSettings, Budget, BudgetRequest
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import BudgetTerms, add_budget, decide_request
from tenants.models import Customer, Member
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person, visit


@pytest.fixture
def reader(world: World, client: Client) -> Client:
    """Signed in as one who does more than look."""
    person = make_person("owner@pine.example", world.tenant, Member.Role.OWNER, world.customer)
    client.force_login(person)
    return client


def filled_in(**more: Any) -> dict[str, Any]:
    return {
        "name": "Hosting",
        "subject": "everything",
        "limit": "200",
        "thresholds": ["50", "80", "100", "forecast"],
        "by_webhook": "on",
        "at_limit": "tell",
        **more,
    }


def page(client: Client, name: str, *args: Any) -> str:
    return client.get(reverse(f"portal:{name}", args=args)).content.decode()


def send(client: Client, name: str, form: dict[str, Any], *args: Any) -> Any:
    return client.post(reverse(f"portal:{name}", args=args), form)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).replace("\u00a0", " ")


def only(world: World) -> Budget:
    with tenant_scope(world.tenant.pk):
        return Budget.objects.get()


class TestACustomer:
    def test_is_told_what_budgets_are_for_before_the_first(self, reader: Client) -> None:
        empty = words(page(reader, "budgets"))
        assert "No budget yet" in empty
        assert "Set a budget" in empty

    def test_sets_changes_and_removes_a_budget(self, reader: Client, world: World) -> None:
        send(reader, "new-budget", filled_in())
        budget = only(world)
        assert (budget.currency, budget.scope, budget.by_email) == ("EUR", "customer", False)
        assert "Hosting" in page(reader, "budgets")
        changed = filled_in(limit="250.50", name="All of it")
        answer = send(reader, "edit-budget", changed, budget.pk)
        assert answer.status_code == 302
        assert only(world).limit == Decimal("250.50")
        assert "€250.50" in words(page(reader, "budget", budget.pk))
        send(reader, "remove-budget", {}, budget.pk)
        assert "No budget yet" in page(reader, "budgets")
        assert reader.get(reverse("portal:budget", args=[budget.pk])).status_code == 404

    def test_sets_one_of_an_application_and_of_a_meter(self, reader: Client, world: World) -> None:
        form = page(reader, "new-budget")
        application = f"application:{world.application.pk}"
        assert application in form
        assert str(world.other_application.pk) not in form
        (meter,) = set(re.findall(r'value="(meter:cpu\.time:[^"]*)"', form))
        send(reader, "new-budget", filled_in(subject=application))
        send(reader, "new-budget", filled_in(subject=meter))
        with tenant_scope(world.tenant.pk):
            of_application, of_meter = Budget.objects.order_by("created_at")
        assert of_application.application_id == world.application.pk
        assert (of_meter.meter, of_meter.unit) == ("cpu.time", meter.rpartition(":")[2])

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"name": ""}, "This field is required"),
            ({"limit": "0"}, "greater than or equal"),
            ({"limit": "1.001"}, "no more decimals than the currency"),
            ({"limit": "NaN"}, "Enter a number"),
            ({"thresholds": []}, "This field is required"),
            ({"subject": "everything else"}, "Select a valid choice"),
            ({"at_limit": "stop"}, "Select a valid choice"),
        ],
    )
    def test_is_told_what_is_wrong(
        self, reader: Client, world: World, more: dict[str, Any], said: str
    ) -> None:
        answer = send(reader, "new-budget", filled_in(**more))
        assert said in answer.content.decode()
        with tenant_scope(world.tenant.pk):
            assert not Budget.objects.exists()

    def test_cannot_set_one_of_anothers_application(self, reader: Client, world: World) -> None:
        theirs = f"application:{world.other_application.pk}"
        answer = send(reader, "new-budget", filled_in(subject=theirs))
        assert "Select a valid choice" in answer.content.decode()

    def test_sees_what_is_spent_told_and_decided(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            customer = Customer.objects.get(pk=world.customer.pk)
            terms = BudgetTerms("Small", Decimal("0.01"), "EUR", at_limit="ask")
            budget = add_budget(customer, terms, as_of=world.as_of)
            look_at_budgets(customer, as_of=world.as_of)
            asked = BudgetRequest.objects.get()
        waiting = words(page(reader, "budget", budget.pk))
        assert "The operator was asked on " in waiting
        assert "Until then everything runs on and is billed." in waiting
        with tenant_scope(world.tenant.pk):
            decide_request(
                asked, "done", note="We raised it.", decided_by="a@b.example", as_of=world.as_of
            )
        shown = words(page(reader, "budget", budget.pk))
        assert "100%" in shown
        assert re.search(r"The operator has done it on [^.]+ \w+ ?\. We raised it\.", shown)
        assert "Until then" not in shown
        german = words(reader.get(
            reverse("portal:budget", args=[budget.pk]), headers={"accept-language": "de"}
        ).content.decode())  # fmt: skip
        assert "Der Betreiber hat es am" in german
        assert "reached together with a higher one" in shown

    def test_sees_no_forecast_finer_than_the_currency(self, reader: Client, world: World) -> None:
        send(reader, "new-budget", filled_in())
        budget = only(world)
        with tenant_scope(world.tenant.pk):
            Budget.objects.update(
                foreseen_low=Decimal("1.2345"), foreseen=Decimal("2.3456"),
                foreseen_high=Decimal(3), spent=Decimal("1.20"), evaluated_at=world.as_of,
            )  # fmt: skip
        shown = words(page(reader, "budget", budget.pk))
        assert "€2.35" in shown
        assert "between €1.23 and €3.00" in shown

    def test_is_offered_stopping_where_the_provider_allows_it(
        self, reader: Client, world: World
    ) -> None:
        assert 'value="stop"' not in page(reader, "new-budget")
        with tenant_scope(world.tenant.pk):
            BillingSettings.objects.create(customers_may_stop_applications=True)
        assert "a person does it" in page(reader, "new-budget")
        refused = send(reader, "new-budget", filled_in(at_limit="stop"))
        assert "Only an application can be stopped" in refused.content.decode()

    def test_reads_it_in_german(self, reader: Client, world: World) -> None:
        send(reader, "new-budget", filled_in(limit="1234.5"))
        budget = only(world)
        address = reverse("portal:budget", args=[budget.pk])
        german = words(reader.get(address, headers={"Accept-Language": "de"}).content.decode())
        assert "1.234,50 €" in german
        assert "Prognose" in german


class TestStaff:
    def test_who_bill_set_budgets_for_a_customer_and_viewers_do_not(
        self, staff: Client, world: World
    ) -> None:
        assert send(staff, "new-budget", filled_in()).status_code == 403
        visit(staff, world.customer, may_change=True)
        assert send(staff, "new-budget", filled_in()).status_code == 302
        viewer = Client()
        viewer.force_login(make_person("look@first.example", world.tenant, Member.Role.VIEWER))
        visit(viewer, world.customer)
        assert "Set a budget" not in page(viewer, "budgets")
        assert send(viewer, "new-budget", filled_in()).status_code == 403
        assert send(viewer, "remove-budget", {}, only(world).pk).status_code == 403
        own = Client()
        own.force_login(make_person("v@pine.example", world.tenant, "viewer", world.customer))
        assert send(own, "remove-budget", {}, only(world).pk).status_code == 403


def test_a_list_of_many_budgets_takes_as_many_queries_as_one_of_few(
    reader: Client, world: World
) -> None:
    def queries(budgets: int) -> int:
        with tenant_scope(world.tenant.pk):
            for number in range(budgets):
                terms = BudgetTerms(
                    f"Budget {number}", Decimal(5), "EUR", application=world.application
                )
                add_budget(world.customer, terms, as_of=world.as_of)
        with CaptureQueriesContext(connection) as captured:
            assert f"Budget {budgets - 1}" in page(reader, "budgets")
        return len(captured)

    page(reader, "budgets")
    assert queries(3) == queries(40)
