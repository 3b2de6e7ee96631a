"""An operator's first page and its guide, in a real browser under the admin's own policy."""

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from billing.models import Invoice
from billing.operations.reviews import review_drafts
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.filling import fill
from tests.admin.signing_in import signed_in
from tests.browser.screens import Screen
from tests.conftest import make_tenant
from tests.tenants.test_suspension import suspend

pytestmark = pytest.mark.django_db(transaction=True)


def sign_in(screen: Screen, address: str, tenant: Tenant | None) -> None:
    session = signed_in(tenant).cookies[settings.SESSION_COOKIE_NAME].value
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address}
    screen.page.context.add_cookies([cookie])  # type: ignore[list-item]


@pytest.mark.timeout(300)
def test_shows_what_asks_for_a_look_and_what_is_to_be_done_first(
    each_screen: Screen, live_server: LiveServer
) -> None:
    tenant = make_tenant("first-host")
    fill(tenant, "ours")
    with tenant_scope(tenant.pk):
        review_drafts(as_of=timezone.now())
    screen = each_screen
    sign_in(screen, live_server.url, tenant)
    screen.open(live_server.url + reverse("admin:index"))
    screen.keep("admin-dashboard")
    screen.follow("All steps")
    screen.keep("admin-first-steps")
    for name, page in (("invoices", "billing_invoice"), ("finalizings", "billing_finalizing")):
        screen.open(live_server.url + reverse(f"admin:{page}_changelist"))
        screen.check_width(name)
        screen.picture(f"admin-{name}")
        screen.check_console(name)
    with tenant_scope(tenant.pk):
        draft = Invoice.objects.get()
    screen.open(live_server.url + reverse("admin:billing_invoice_change", args=[draft.pk]))
    screen.check_console("draft")
    screen.picture("admin-draft")


@pytest.mark.timeout(300)
def test_the_installations_owner_watches_tenants(
    each_screen: Screen, live_server: LiveServer
) -> None:
    suspend(make_tenant("first-host"))
    make_tenant("second-host")
    screen = each_screen
    sign_in(screen, live_server.url, None)
    screen.open(live_server.url + reverse("admin:index"))
    screen.keep("admin-installation")
    screen.open(live_server.url + reverse("admin:tenants_tenant_changelist"))
    screen.picture("admin-tenants")
    screen.check_console("tenants")
    screen.open(live_server.url + reverse("admin:tenants_tenant_add"))
    screen.picture("admin-tenant-add")
    screen.check_console("tenant")
