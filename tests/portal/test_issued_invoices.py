"""An issued invoice reads the same for good, and says what has come since."""

from django.test import Client
from django.urls import reverse

from billing.models import Plan
from billing.operations import close_due, finalize_invoice
from metering.models import Application
from tenants.models import Customer, Environment, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use


def issued(tenant: Tenant) -> tuple[Story, list[str]]:
    """The story, and the invoice's addresses in the portal: its own and its line's."""
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        line = invoice.lines.get()
    return story, [
        reverse("portal:invoice", args=[invoice.pk]),
        reverse("portal:invoice-line", args=[invoice.pk, line.pk]),
    ]


def content(page: str) -> str:
    """What stands below the page's head, which names the reader."""
    return page.partition("<main")[2].partition("</main>")[0]


def test_its_words_stay_when_everything_is_renamed(tenant: Tenant) -> None:
    story, (page, line_page) = issued(tenant)
    reader = signed_in(tenant, "viewer", customer=story.customer)
    before = content(reader.get(page).content.decode())
    with tenant_scope(tenant.pk):
        Customer.objects.update(name="Other GmbH", time_zone="America/New_York")
        Plan.objects.update(name="Renamed")
        Application.objects.filter(pk=story.shop.pk).update(name="renamed")
        Environment.objects.update(name="renamed")
        Tenant.objects.update(name="Renamed")
    assert content(reader.get(page).content.decode()) == before
    assert "Shop-Ltd" in before
    line = content(reader.get(line_page).content.decode())
    assert "shop-ltd-shop" in line
    assert "enamed" not in line


def test_usage_that_came_later_is_named(tenant: Tenant) -> None:
    story, (page, _) = issued(tenant)
    reader: Client = signed_in(tenant, "viewer", customer=story.customer)
    assert "has changed since" not in reader.get(page).content.decode()
    with tenant_scope(tenant.pk):
        # It had no line before.
        use(story.mail, at(10, 6), cpu_us=900 * HOUR_US)
    shown = content(reader.get(page).content.decode()).replace("\u00a0", " ")
    assert "Usage of this period has changed since: +" in shown
    assert "9.00" in shown.partition("has changed since")[2].partition(", not on this invoice")[0]
    staff = signed_in(tenant)
    invoice_id = page.strip("/").split("/")[-1]
    admin = staff.get(reverse("admin:billing_invoice_change", args=[invoice_id]))
    assert "+9.00 EUR, not on this invoice" in admin.content.decode()
