"""What a customer reads on each page."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing.models import Invoice, Price, Subscription
from billing.operations import Offer, publish_plan_version
from billing.queries import upcoming_invoice
from config.security import PORTAL
from metering.models import Application, Assignment, Host
from portal.formatting import amount
from tenants.models import Customer, Member
from tenants.scope import tenant_scope
from tests.billing.money import grant, wallet_of
from tests.portal.world import World, make_person, visit

PAGES = ("overview", "applications", "invoices", "upcoming-invoice")


def words(client: Client, url: str) -> str:
    """A page as it is read: without its tags, white space as one space and before no comma."""
    response = client.get(url)
    assert response.status_code == 200, f"{url} answered {response.status_code}"
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r" (?=[,;])", "", re.sub(r"\s+", " ", text.replace("\u00a0", " ")))


def total_of(world: World, customer: Customer) -> str:
    with tenant_scope(world.tenant.pk):
        upcoming = upcoming_invoice(customer, as_of=world.as_of)
    assert upcoming is not None
    return amount(upcoming.total, upcoming.currency.code)


@pytest.fixture
def bare(world: World) -> Client:
    """Reads a customer that has neither plan nor application."""
    with tenant_scope(world.tenant.pk):
        customer = Customer.objects.create(name="New Here", reference="new", time_zone="UTC")
    client = Client()
    client.force_login(make_person("new@first.example", world.tenant, "viewer", customer))
    return client


class TestOverview:
    def test_says_what_the_month_costs_so_far(self, reader: Client, world: World) -> None:
        page = words(reader, "/")
        assert total_of(world, world.customer) in page
        assert "Europe/Berlin" in page
        assert "CPU-seconds" in page

    def test_says_what_credit_is_left_to_the_customer(self, reader: Client, world: World) -> None:
        assert "Credit left" not in words(reader, "/")
        with tenant_scope(world.tenant.pk):
            grant(world.customer, "20")
            wallet_of(world.customer, "7")
            grant(world.other_customer, "99")
        page = words(reader, "/")
        assert "Credit left: €27.00 (in the wallet: €7.00); it pays" in page
        assert "99.00" not in page

    def test_marks_what_was_generated(self, reader: Client, world: World) -> None:
        page = words(reader, "/")
        assert "newsletter generated" in page
        assert "postgres generated" not in page
        # The legend, and the table by application.
        assert page.count("newsletter generated") == 2
        assert "partly generated" in page

    def test_says_how_fresh_it_is(self, reader: Client) -> None:
        assert re.search(r"complete to \d\d:\d\d \(\d+ s ago\)", words(reader, "/"))

    def test_names_silent_hosts_and_does_not_take_silence_for_zero(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            Host.objects.filter(name="web-1").update(
                last_seen_at=world.as_of - timedelta(hours=2),
                last_window_end=world.as_of - timedelta(hours=2),
            )
        page = words(reader, "/")
        assert "web-1 is silent." in page
        assert "unknown, not zero" in page
        # Of the hosts that report; without one, of the silent ones, and marked as late.
        assert re.search(r"complete to (\d+ \w+, )?\d\d:\d\d \(2 h ago\)", page)
        assert 'class="dot late"' in reader.get("/").content.decode()

    def test_of_a_generated_customer_says_how_far_it_was_generated(
        self, reader: Client, world: World
    ) -> None:
        yesterday = world.as_of - timedelta(days=1)
        with tenant_scope(world.tenant.pk):
            Customer.objects.filter(pk=world.customer.pk).update(generated=True)
            Application.objects.filter(pk=world.application.pk).update(generated=True)
            Host.objects.update(generated=True, last_window_end=yesterday)
        page = words(reader, "/")
        assert re.search(r"generated up to \d+ \w+( \d+)?, \d\d:\d\d", page)
        assert "complete to" not in page
        assert 'class="dot' not in reader.get("/").content.decode()

    def test_renews_itself_until_it_is_told_not_to(self, reader: Client) -> None:
        assert 'http-equiv="refresh" content="15"' in reader.get("/").content.decode()
        assert 'http-equiv="refresh"' not in reader.get("/?refresh=off").content.decode()
        # The choice holds on the way to other pages and back.
        assert 'http-equiv="refresh"' not in reader.get("/").content.decode()
        assert 'http-equiv="refresh"' in reader.get("/?refresh=on").content.decode()
        assert 'http-equiv="refresh"' in reader.get("/").content.decode()

    def test_keeps_its_table_open_while_it_renews_itself(self, reader: Client) -> None:
        page = reader.get("/").content.decode()
        assert "<details" not in page
        assert 'href="?table=open#as-a-table"' in page
        opened = reader.get("/?table=open").content.decode()
        assert '<details id="as-a-table" open>' in opened
        assert 'http-equiv="refresh"' in opened

    def test_adds_up_what_it_does_not_list(
        self, reader: Client, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("portal.views.overview.APPLICATIONS_SHOWN_MAX", 1)
        page = words(reader, "/")
        assert re.search(r"and 1 more €\d+\.\d\d", page)
        assert page.count(f"Month to date {total_of(world, world.customer)}") >= 2

    def test_has_a_chart_that_says_the_same_as_its_table(self, reader: Client) -> None:
        page = reader.get("/").content.decode()
        assert page.count('role="img"') == 2
        assert page.count("<desc") == 2
        assert "Charges by day and application" in page

    def test_tells_a_customer_without_a_plan_what_comes_next(self, bare: Client) -> None:
        assert "Nothing is charged yet" in words(bare, "/")

    def test_tells_a_customer_without_applications_what_comes_next(
        self, bare: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            subscription = Subscription.objects.filter(customer=world.customer).get()
            Subscription.objects.create(
                customer=Customer.objects.get(reference="new"),
                plan=subscription.plan,
                starts_at=subscription.starts_at,
            )
        assert "No application is assigned to New Here" in words(bare, "/")


class TestApplications:
    def test_are_listed_with_usage_and_charge(self, reader: Client, world: World) -> None:
        page = words(reader, "/applications/")
        assert re.search(r"postgres €\d\.\d\d .* production", page)
        assert total_of(world, world.customer) in page

    def test_of_nobody_say_what_to_do(self, bare: Client) -> None:
        assert "No application yet" in words(bare, "/applications/")

    def test_open_to_every_meter(self, reader: Client, world: World) -> None:
        url = reverse("portal:application", args=[world.application.pk])
        page = words(reader, url)
        assert "memory.used.max Measured: not stated 512 MB 512,000,000 bytes" in page
        assert "web-1" in page
        assert "memory.used by day" in words(reader, f"{url}?meter=memory.used")

    def test_without_a_meter_say_so(self, reader: Client, world: World) -> None:
        url = reverse("portal:application", args=[world.application.pk])
        assert "Nothing measured" in words(reader, f"{url}?meter=launches")

    def test_handed_over_show_no_more_than_the_customers_own_part(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            first = Assignment.objects.get(application=world.application)
            first.ends_at = world.invoice.period_end
            first.save()
            Assignment.objects.create(
                application=world.application,
                customer=world.other_customer,
                starts_at=world.invoice.period_end,
            )
        url = reverse("portal:application", args=[world.application.pk])
        assert "Nothing was measured in this period" in words(reader, url)
        line = reverse("portal:upcoming-line", args=[world.cpu.pk, world.application.pk])
        assert reader.get(line).status_code == 404


class TestInvoices:
    def test_are_listed_with_the_next_one_first(self, reader: Client, world: World) -> None:
        page = words(reader, "/invoices/")
        assert page.index("Next invoice") < page.index("Issued")
        assert amount(world.invoice.total, "EUR") in page
        assert total_of(world, world.customer) in page

    def test_of_a_silent_host_say_that_the_usage_is_not_known(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            Host.objects.filter(name="web-1").update(
                last_seen_at=world.as_of - timedelta(hours=2),
                last_window_end=world.as_of - timedelta(hours=2),
            )
        page = words(reader, "/invoices/upcoming/")
        assert "not known: web-1 is silent since" in page
        assert "nothing has arrived yet" not in page
        application = reverse("portal:application", args=[world.application.pk])
        for url in ("/invoices/upcoming/", "/invoices/", application):
            assert "web-1 is silent." in words(reader, url)

    def test_of_a_generated_customer_are_marked(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            Customer.objects.filter(pk=world.customer.pk).update(generated=True)
        assert "in progress generated" in words(reader, "/invoices/")
        assert "Issued generated" in words(reader, "/invoices/")
        assert "Next invoice in progress generated" in words(reader, "/invoices/upcoming/")

    def test_yet_to_come_are_announced(self, bare: Client) -> None:
        assert "No invoice yet" in words(bare, "/invoices/")
        assert "No invoice is coming" in words(bare, "/invoices/upcoming/")

    def test_have_lines_by_application_that_sum_to_the_total(
        self, reader: Client, world: World
    ) -> None:
        page = words(reader, reverse("portal:invoice", args=[world.invoice.pk]))
        assert "Invoice 1 finalized" in page
        assert f"Total {amount(world.invoice.total, 'EUR')}" in page
        assert page.index("postgres") < page.index("CPU time")

    def test_fold_lines_that_come_to_nothing(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            free = Price(
                label="CPU time", meter="cpu.time", aggregation="sum", unit="CPU-second",
                unit_price=Decimal(1), allowance=Decimal(10**9),
            )  # fmt: skip
            dear = Price(
                label="Peak memory", meter="memory.used.max", aggregation="maximum", unit="GB",
                unit_price=Decimal(1),
            )  # fmt: skip
            plan = world.invoice.plan_version.plan
            publish_plan_version(plan, Offer([free, dear], world.invoice.period_end))
        page = reader.get("/invoices/upcoming/").content.decode()
        assert len(re.findall(r"<summary>1 line below €0.01", page)) == 2
        folded = re.search(r"<summary>.*?</details>", page, re.S)
        assert folded is not None
        assert "CPU time" in folded[0]

    def test_in_draft_say_that_they_may_change(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            draft = Invoice.objects.create(
                customer=world.customer,
                subscription=world.invoice.subscription,
                plan_version=world.invoice.plan_version,
                period_start=world.invoice.period_start - timedelta(days=30),
                period_end=world.invoice.period_start,
                currency="JPY",
                time_zone=world.customer.time_zone,
                total=1234,
            )
        page = words(reader, reverse("portal:invoice", args=[draft.pk]))
        assert "still checking this invoice" in page
        assert "¥1,234" in page

    def test_show_names_as_text(self, reader: Client, world: World) -> None:
        with tenant_scope(world.tenant.pk):
            Application.objects.filter(pk=world.application.pk).update(name="<script>x</script>")
        for url in ("/", reverse("portal:invoice", args=[world.invoice.pk])):
            assert "<script>" not in reader.get(url).content.decode()


class TestEveryPage:
    @pytest.mark.parametrize("name", PAGES)
    def test_loads_nothing_from_elsewhere_and_runs_no_script_that_is_no_file(
        self, reader: Client, name: str
    ) -> None:
        response = reader.get(reverse(f"portal:{name}"))
        assert response["Content-Security-Policy"] == PORTAL
        assert "no-store" in response["Cache-Control"]
        page = response.content.decode()
        scripts = re.findall(r"<script(.*?)</script>", page, re.S)
        assert all(re.fullmatch(r' src="/static/[^"]+" defer>', each) for each in scripts)
        assert not re.search(r"\son\w+=|javascript:", page)
        assert not re.search(r"\sstyle=", page)

    @pytest.mark.parametrize("role", Member.Role.values)
    def test_opens_for_each_role(self, world: World, role: str) -> None:
        for number, customer in enumerate((world.customer, None)):
            client = Client()
            email = f"{role}{number}@first.example"
            client.force_login(make_person(email, world.tenant, role, customer))
            if customer is None:
                visit(client, world.customer)
            for name in PAGES:
                assert client.get(reverse(f"portal:{name}")).status_code == 200

    @pytest.mark.parametrize(("name", "queries"), [
        ("overview", 75), ("applications", 51), ("invoices", 46), ("upcoming-invoice", 44),
    ])  # fmt: skip
    def test_asks_the_database_no_more_for_more_applications(
        self,
        reader: Client,
        world: World,
        name: str,
        queries: int,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        url = reverse(f"portal:{name}")
        with django_assert_max_num_queries(queries) as few:
            reader.get(url)
        asked = len(few.captured_queries)
        with tenant_scope(world.tenant.pk):
            for number in range(20):
                application = Application.objects.create(
                    name=f"more-{number}", environment=world.application.environment
                )
                Assignment.objects.create(
                    application=application,
                    customer=world.customer,
                    starts_at=world.invoice.period_end,
                )
        # Of so many the first view has them counted; those after it read what was counted.
        reader.get(url)
        with django_assert_max_num_queries(asked):
            reader.get(url)

    def test_that_does_not_exist_says_nothing_of_its_address(self, reader: Client) -> None:
        response = reader.get("/invoices/nothing-here/")
        assert response.status_code == 404
        assert "Page not found" in response.content.decode()
        assert "nothing-here" not in response.content.decode()
        assert response["Content-Security-Policy"] == PORTAL

    def test_that_fails_says_so_in_the_same_style(
        self, reader: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(request: HttpRequest, template: str, context: object) -> HttpResponse:
            raise RuntimeError("secret detail")

        monkeypatch.setattr("portal.views.overview.render", broken)
        reader.raise_request_exception = False
        response = reader.get("/")
        assert response.status_code == 500
        assert "Something went wrong" in response.content.decode()
        assert "secret detail" not in response.content.decode()
