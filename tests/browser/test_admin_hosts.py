"""An operator adds a host and sees, in a real browser and without reloading, that it delivers."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from metering.known_hosts import known_hosts
from metering.models import Host
from tenants.models import Tenant
from tenants.rates import rates
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.browser.screens import Screen
from tests.conftest import make_tenant
from tests.metering.delivering import Agent, batch

pytestmark = pytest.mark.django_db(transaction=True)

LIST = reverse("admin:metering_host_changelist")
ENROL = reverse("admin:metering_host_enrol")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    known_hosts.forget()
    rates.forget()
    yield
    known_hosts.forget()


def sign_in(screen: Screen, address: str, tenant: Tenant) -> None:
    """Give the browser the session of an operator."""
    session = signed_in(tenant, "operator").cookies[settings.SESSION_COOKIE_NAME].value
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address}
    screen.page.context.add_cookies([cookie])  # type: ignore[list-item]


def state_says(screen: Screen, words: str) -> None:
    expect(screen.page.locator("#enrolment")).to_contain_text(words, timeout=30_000)


@pytest.mark.timeout(300)
def test_the_way_from_the_command_to_the_first_batch(
    each_screen: Screen, live_server: LiveServer
) -> None:
    tenant = make_tenant("first-host")
    screen, page = each_screen, each_screen.page
    sign_in(screen, live_server.url, tenant)
    screen.open(live_server.url + LIST)
    assert "Add a host shows one command" in page.content()
    screen.keep("admin-1-no-hosts")
    screen.open(live_server.url + ENROL)
    screen.keep("admin-2-add-a-host")
    page.locator("[name=confirmed]").click()
    state_says(screen, "Waiting for the host to enrol")
    command = screen.text_of("#command")
    screen.keep("admin-3-command")

    agent = Agent(tenant)
    answer = agent.ask_to_enrol(command.split()[-1]).json()
    agent.host, agent.key_id = answer["host"], answer["key_id"]
    state_says(screen, "waiting for its first batch")
    assert agent.deliver(batch()).status_code == 200
    state_says(screen, "First batch accepted")
    assert screen.text_of("#command") == command
    screen.keep("admin-4-delivering")

    screen.open(live_server.url + reverse("admin:metering_host_change", args=[agent.host]))
    screen.keep("admin-5-host")
    with tenant_scope(tenant.pk):
        away = Host.objects.get()
        Host.objects.create(
            name="db-with-a-rather-long-name-1", environment=away.environment,
            retired_at=timezone.now(), last_seen_at=timezone.now() - timedelta(days=3),
        )  # fmt: skip
    screen.open(live_server.url + LIST)
    # The headings of the list's filters are the admin theme's own, and skip a level.
    screen.check_width("admin-6-hosts")
    screen.picture("admin-6-hosts")
    screen.check_console("admin")
