"""An operator adds a host and sees, in a real browser and without reloading, that it delivers."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import text_to_be_present_in_element
from selenium.webdriver.support.wait import WebDriverWait

from metering.known_hosts import known_hosts
from metering.models import Host
from tenants.models import Tenant
from tenants.rates import rates
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.browser.screens import DESKTOP, PHONE, Screen
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


def sign_in(browser: Chrome, address: str, tenant: Tenant) -> None:
    """Give the browser the session of an operator."""
    session = signed_in(tenant, "operator").cookies[settings.SESSION_COOKIE_NAME].value
    browser.get(f"{address}/sign-in/")
    browser.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": session})


def state_says(browser: Chrome, words: str) -> None:
    expected = text_to_be_present_in_element((By.ID, "enrolment"), words)
    WebDriverWait(browser, 30).until(expected)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_from_the_command_to_the_first_batch(
    browser: Chrome, live_server: LiveServer, width: int, scheme: str
) -> None:
    tenant = make_tenant("first-host")
    screen = Screen(browser, width, scheme)
    screen.show()
    sign_in(browser, live_server.url, tenant)
    browser.get(live_server.url + LIST)
    assert "Add a host shows one command" in browser.page_source
    screen.keep("admin-1-no-hosts")
    browser.get(live_server.url + ENROL)
    screen.keep("admin-2-add-a-host")
    browser.find_element(By.NAME, "confirmed").click()
    state_says(browser, "Waiting for the host to enrol")
    command = browser.find_element(By.ID, "command").text
    screen.keep("admin-3-command")

    agent = Agent(tenant)
    answer = agent.ask_to_enrol(command.split()[-1]).json()
    agent.host, agent.key_id = answer["host"], answer["key_id"]
    state_says(browser, "waiting for its first batch")
    assert agent.deliver(batch()).status_code == 200
    state_says(browser, "First batch accepted")
    assert browser.find_element(By.ID, "command").text == command
    screen.keep("admin-4-delivering")

    browser.get(live_server.url + reverse("admin:metering_host_change", args=[agent.host]))
    screen.keep("admin-5-host")
    with tenant_scope(tenant.pk):
        away = Host.objects.get()
        Host.objects.create(
            name="db-with-a-rather-long-name-1", environment=away.environment,
            retired_at=timezone.now(), last_seen_at=timezone.now() - timedelta(days=3),
        )  # fmt: skip
    browser.get(live_server.url + LIST)
    # The headings of the list's filters are the admin theme's own, and skip a level.
    screen.check_width("admin-6-hosts")
    screen.picture("admin-6-hosts")
