"""A page of each kind that the operators' admin has, on a phone and on a desktop: it fits, everyone
can use it, and nothing complains."""

from collections.abc import Iterator

import pytest
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from billing.models import Dispute, Invoice, JournalEntry, Plan, PlanVersion
from billing.operations import draft_next_version
from metering.models import Application, Host
from tenants.models import Customer, Tenant
from tenants.policy_models import PolicyVersion
from tenants.scope import tenant_scope
from tests.admin.filling import fill
from tests.browser.screens import DESKTOP, PHONE, Scheme, Screen
from tests.browser.test_admin_dashboard import sign_in
from tests.conftest import make_tenant

SCREENS: tuple[tuple[int, Scheme], ...] = ((PHONE, "light"), (DESKTOP, "dark"))


def page_of(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def _pages(tenant: Tenant) -> Iterator[tuple[str, str]]:
    """(name, address) of one page of each kind."""
    with tenant_scope(tenant.pk):
        host, shop = Host.objects.order_by("name")[0], Application.objects.order_by("name")[0]
        customer, dispute = Customer.objects.order_by("name")[0], Dispute.objects.get()
        invoice, entry = Invoice.objects.order_by("number")[0], JournalEntry.objects.earliest("pk")
        draft = draft_next_version(Plan.objects.get(), effective_from=timezone.now())
        policy = PolicyVersion.objects.get()
    yield "list", page_of(Host, "changelist")
    yield "list-with-files", page_of(Customer, "changelist")
    yield "list-with-actions", page_of(Invoice, "changelist")
    yield "import", page_of(Customer, "import")
    yield "export", page_of(Customer, "export")
    yield "form-to-add", page_of(Customer, "add")
    yield "form-with-rows", page_of(PlanVersion, "change", draft.pk)
    yield "to-read", page_of(Invoice, "change", invoice.pk)
    yield "journal-entry", page_of(JournalEntry, "change", entry.pk)
    yield "thread", page_of(Dispute, "change", dispute.pk)
    yield "answer", page_of(Dispute, "answer_one", dispute.pk)
    yield "history", page_of(Customer, "history", customer.pk)
    yield "confirmation", page_of(Application, "assign_one", shop.pk)
    yield "host", page_of(Host, "change", host.pk)
    yield "policy-version", page_of(PolicyVersion, "change", policy.pk)
    yield "report", page_of(JournalEntry, "trial_balance")
    yield "backtest", page_of(PlanVersion, "backtest", draft.pk)
    yield "usage-export", reverse("admin-usage-export")


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
def test_fit_and_can_be_used_by_everyone(chromium: Browser, live_server: LiveServer) -> None:
    tenant = make_tenant("first-host")
    fill(tenant, "ours")
    pages = list(_pages(tenant))
    for width, scheme in SCREENS:
        with Screen.of(chromium, width, scheme) as screen:
            sign_in(screen, live_server.url, tenant)
            for name, address in pages:
                screen.open(live_server.url + address)
                screen.picture(f"admin-{name}")
                screen.check_width(name)
                screen.check_console(name)
                screen.check_access(name)
