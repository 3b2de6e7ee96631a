"""Lines without an application's own usage have pages with their rate and steps as well."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Price
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.agreements import begin_contract, close_next, coded, cpu
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, use


@pytest.fixture
def story(tenant: Tenant) -> Story:
    """Of a plan with a fee, 10% of the usage and a minimum."""
    with tenant_scope(tenant.pk):
        fee = Price(
            label="Base", kind="flat", unit_price=Decimal(9), definition={"timing": "arrears"}
        )
        share = Price(
            label="Support", kind="percentage",
            definition={"percent": "10", "of": ["cpu"], "applies_to": "total", "allowance": "0"},
        )  # fmt: skip
        prices = cpu(), coded(fee, "base"), coded(share, "support")
        story = begin_contract(*prices, minimum="100")
        use(story.shop, at(10, 3), cpu_us=20 * HOUR_US)
        use(story.shop, at(11, 3), cpu_us=20 * HOUR_US)
    return story


def said(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def linked(client: Client, url: str, label: str) -> str:
    """Where the line with the label leads to."""
    page = client.get(url).content.decode()
    found = re.search(rf'<th scope="row"><a href="([^"]+)">{label}<', page)
    assert found is not None, label
    return unescape(found[1])


WORDS = {
    "Base": ("€9.00 per billing period", "in arrears", "all applications together", "Rounded"),
    "Support": ("Price 10% of cpu", "Rounded"),
    "Minimum of the period": ("minimum", "all applications together"),
}


class TestAPage:
    @pytest.mark.parametrize("label", WORDS)
    def test_of_an_issued_line_has_its_rate_and_steps(
        self, tenant: Tenant, story: Story, label: str
    ) -> None:
        with tenant_scope(tenant.pk):
            invoice = close_next(story.subscription, as_of=NOVEMBER, finalize=True)
        reader = signed_in(tenant, "viewer", customer=story.customer)
        url = linked(reader, reverse("portal:invoice", args=[invoice.pk]), label)
        page = said(reader, url)
        for words in ("From usage to amount", *WORDS[label]):
            assert words in page

    def test_of_the_next_invoice_opens_by_a_name_of_the_customers_own(
        self, tenant: Tenant, story: Story
    ) -> None:
        with tenant_scope(tenant.pk):
            other = begin_contract(cpu(), reference="other")
            use(other.shop, at(11, 3), cpu_us=HOUR_US)
        reader = signed_in(tenant, "viewer", customer=story.customer)
        url = linked(reader, reverse("portal:upcoming-invoice"), "Base")
        assert "€9.00 per billing period" in said(reader, url)
        theirs = signed_in(tenant, "viewer", customer=other.customer)
        assert theirs.get(url).status_code == 404
