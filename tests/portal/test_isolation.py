"""No page shows what belongs to another customer or another provider."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Budget, Discount
from billing.operations.budgets import BudgetTerms, add_budget
from billing.queries import upcoming_invoice
from metering.core.buckets import bucket_of
from portal.charges import keyed
from portal.urls import urlpatterns
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tenants.webhook_endpoints import add_endpoint, send_test
from tenants.webhook_models import WebhookDelivery
from tests.conftest import Keep, make_tenant
from tests.isolation_entries import ISOLATION_TESTS
from tests.portal.world import ZONE, World, make_person, make_world, visit

THEIRS = ("Reed Shop", "checkout")
Address = Callable[[World], str]
Below = Callable[[datetime], str]


def _upcoming(below: Below) -> tuple[Address, Address]:
    """A line of the other customer's next invoice, and one that nobody has."""

    def address(world: World, application_id: UUID) -> str:
        line = reverse("portal:upcoming-line", args=[world.cpu.pk, application_id])
        return line + below(world.as_of)

    return (
        lambda world: address(world, world.other_application.pk),
        lambda world: address(world, uuid4()),
    )


def _stored(below: Below) -> tuple[Address, Address]:
    """A line of the other customer's invoice, and one that nobody has."""

    def address(world: World, invoice_id: UUID, line_id: UUID) -> str:
        line = reverse("portal:invoice-line", args=[invoice_id, line_id])
        return line + below(world.other_invoice.period_start + timedelta(hours=9))

    return (
        lambda world: address(world, world.other_invoice.pk, world.other_line().pk),
        lambda world: address(world, uuid4(), uuid4()),
    )


def _discount(world: World) -> str:
    """What is taken off the other customer's next invoice."""
    with tenant_scope(world.tenant.pk):
        Discount.objects.get_or_create(
            name="Welcome", customer=world.other_customer, percent=10,
            starts_at=world.other_invoice.period_start,
        )  # fmt: skip
        upcoming = upcoming_invoice(world.other_customer, as_of=world.as_of)
        assert upcoming is not None
        keys = keyed(world.other_customer, upcoming.lines)
        key = next(key for key, line in keys if line.kind == "discount")
    return reverse("portal:upcoming-charge", args=[key])


def _budget(route: str) -> tuple[Address, Address]:
    """A budget of the other customer, and one that nobody has."""

    def theirs(world: World) -> str:
        with tenant_scope(world.tenant.pk):
            found = Budget.objects.filter(customer=world.other_customer).first()
            terms = BudgetTerms("Reed Shop budget", Decimal(5), "EUR")
            budget = found or add_budget(world.other_customer, terms, as_of=world.as_of)
        return reverse(f"portal:{route}", args=[budget.pk])

    return theirs, lambda world: reverse(f"portal:{route}", args=[uuid4()])


def _delivery_of(world: World) -> WebhookDelivery:
    """A message to the other customer's endpoint."""
    with tenant_scope(world.tenant.pk):
        found = WebhookDelivery.objects.first()
        if found is not None:
            return found
        endpoint, _ = add_endpoint(
            "https://reed.example/", customer=world.other_customer, as_of=world.as_of
        )
        return send_test(endpoint, as_of=world.as_of)


def _webhook(route: str, *more: str) -> tuple[Address, Address]:
    """The other customer's endpoint, or message, and one that nobody has."""

    def theirs(world: World) -> str:
        delivery = _delivery_of(world)
        pk = delivery.pk if route == "webhook-delivery" else delivery.endpoint_id
        return reverse(f"portal:{route}", args=[pk, *more])

    return theirs, lambda world: reverse(f"portal:{route}", args=[uuid4(), *more])


def _samples(world: World, application_id: UUID) -> str:
    """The bucket of the first customer's and the other one's newest usage."""
    return reverse("portal:usage-samples", args=[application_id, bucket_of(world.as_of)])


def _line(moment: datetime) -> str:
    return ""


def _day(moment: datetime) -> str:
    return f"days/{moment.astimezone(ZoneInfo(ZONE)):%Y-%m-%d}/"


def _bucket(moment: datetime) -> str:
    return f"buckets/{bucket_of(moment):%Y%m%dT%H%MZ}/"


ONES: dict[str, tuple[Address, Address]] = {
    "portal:application": (
        lambda world: reverse("portal:application", args=[world.other_application.pk]),
        lambda world: reverse("portal:application", args=[uuid4()]),
    ),
    "portal:usage-samples": (
        lambda world: _samples(world, world.other_application.pk),
        lambda world: _samples(world, uuid4()),
    ),
    "portal:invoice": (
        lambda world: reverse("portal:invoice", args=[world.other_invoice.pk]),
        lambda world: reverse("portal:invoice", args=[uuid4()]),
    ),
    "portal:invoice-proof": (
        lambda world: reverse("portal:invoice-proof", args=[world.other_invoice.pk]),
        lambda world: reverse("portal:invoice-proof", args=[uuid4()]),
    ),
    "portal:invoice-proof-bundle": (
        lambda world: reverse("portal:invoice-proof-bundle", args=[world.other_invoice.pk]),
        lambda world: reverse("portal:invoice-proof-bundle", args=[uuid4()]),
    ),
    "portal:invoice-document": (
        lambda world: reverse("portal:invoice-document", args=[world.other_invoice.pk, "csv"]),
        lambda world: reverse("portal:invoice-document", args=[uuid4(), "csv"]),
    ),
    "portal:budget": _budget("budget"),
    "portal:edit-budget": _budget("edit-budget"),
    "portal:remove-budget": _budget("remove-budget"),
    "portal:webhook": _webhook("webhook"),
    "portal:edit-webhook": _webhook("edit-webhook"),
    "portal:webhook-action": _webhook("webhook-action", "test"),
    "portal:webhook-delivery": _webhook("webhook-delivery"),
    "portal:upcoming-charge": (
        _discount,
        lambda world: reverse("portal:upcoming-charge", args=["0" * 32]),
    ),
    "portal:upcoming-line": _upcoming(_line),
    "portal:upcoming-line-day": _upcoming(_day),
    "portal:upcoming-line-bucket": _upcoming(_bucket),
    "portal:invoice-line": _stored(_line),
    "portal:line-dispute": _stored(lambda moment: "dispute/"),
    "portal:invoice-line-day": _stored(_day),
    "portal:invoice-line-bucket": _stored(_bucket),
}
LISTS = ("overview", "applications", "usage", "invoices", "billing", "hosts", "upcoming-invoice",
         "switch", "budgets", "new-budget", "webhooks", "new-webhook")  # fmt: skip


@pytest.fixture(scope="module")
def both(keep: Keep[tuple[World, World]]) -> tuple[World, World]:
    return keep(lambda: (make_world(make_tenant("first-host")), make_world(make_tenant("third"))))


@pytest.fixture
def world(both: tuple[World, World], db: None) -> World:
    return deepcopy(both[0])


@pytest.fixture
def third_world(both: tuple[World, World], db: None) -> World:
    """Another tenant's."""
    return deepcopy(both[1])


@pytest.fixture
def owner(world: World, client: Client) -> Client:
    """Signed in as the first customer's owner, who may do all that a customer may: what is refused
    is refused for whose it is, not for the role."""
    client.force_login(
        make_person("owner@first.example", world.tenant, Member.Role.OWNER, world.customer)
    )
    return client


class TestOnePage:
    @pytest.mark.parametrize("route", ONES)
    def test_of_another_customer_answers_as_if_it_did_not_exist(
        self, owner: Client, world: World, route: str
    ) -> None:
        theirs, nobodys = (owner.get(address(world)) for address in ONES[route])
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.content == nobodys.content

    @pytest.mark.parametrize("route", ONES)
    def test_of_another_tenant_answers_as_if_it_did_not_exist(
        self, client: Client, world: World, third_world: World, route: str
    ) -> None:
        owner = make_person("owner@third.example", third_world.tenant, Member.Role.OWNER)
        client.force_login(owner)
        visit(client, third_world.customer)
        theirs, nobodys = (client.get(address(world)) for address in ONES[route])
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.content == nobodys.content

    @pytest.mark.parametrize("route", ONES)
    def test_opens_for_the_customer_whose_it_is(self, world: World, route: str) -> None:
        theirs = Client()
        person = make_person("o@second.example", world.tenant, "owner", world.other_customer)
        theirs.force_login(person)
        answer = theirs.get(ONES[route][0](world))
        answer.getvalue()  # to its end: closing it early would close the connection
        assert answer.status_code == 200

    @pytest.mark.parametrize("route", ONES)
    def test_asks_a_stranger_to_sign_in(self, client: Client, world: World, route: str) -> None:
        url = ONES[route][0](world)
        assert client.get(url)["Location"] == f"/sign-in/?next={url}"


class TestLists:
    @pytest.mark.parametrize("name", LISTS)
    def test_name_nothing_of_another_customer(self, owner: Client, world: World, name: str) -> None:
        # Something of the other customer's to be named.
        ONES["portal:budget"][0](world)
        _delivery_of(world)
        page = owner.get(reverse(f"portal:{name}")).content.decode()
        assert "Pine Mail" in page
        assert "reed.example" not in page
        for secret in THEIRS:
            assert secret not in page
        assert str(world.other_invoice.pk) not in page

    @pytest.mark.parametrize("name", LISTS)
    def test_name_nothing_of_another_tenant(
        self, client: Client, world: World, other_tenant: Tenant, name: str
    ) -> None:
        client.force_login(make_person("owner@second.example", other_tenant, Member.Role.OWNER))
        page = client.get(reverse(f"portal:{name}")).content.decode()
        for secret in (*THEIRS, "Pine Mail", "postgres", "First-Host"):
            assert secret not in page

    @pytest.mark.parametrize("name", LISTS)
    def test_ask_a_stranger_to_sign_in(self, client: Client, db: None, name: str) -> None:
        url = reverse(f"portal:{name}")
        assert client.get(url)["Location"] == f"/sign-in/?next={url}"


class TestSession:
    @pytest.mark.parametrize("url", ["/sign-in/", "/sign-out/"])
    def test_shows_a_stranger_no_ones_data(self, client: Client, world: World, url: str) -> None:
        for response in (client.get(url), client.post(url)):
            for secret in (*THEIRS, "Pine Mail", "First-Host"):
                assert secret not in response.content.decode()


def test_every_route_of_the_portal_has_its_isolation_test() -> None:
    routes = {f"portal:{pattern.name}" for pattern in urlpatterns}
    entries = {route for route in ISOLATION_TESTS if route.startswith("portal:")}
    assert routes == entries
