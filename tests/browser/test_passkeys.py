"""A person signs in with a passkey, in a browser that has one."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.screens import Screen
from tests.conftest import make_tenant
from tests.portal.world import PASSWORD, make_person, make_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

EMAIL = "owner@first.example"
# What Chromium takes for a laptop's own reader of fingers.
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def test_a_passkey_is_added_and_opens_the_portal(screen: Screen, live_server: LiveServer) -> None:
    world = make_world(make_tenant("first-host"))
    make_person(EMAIL, world.tenant, "owner", world.customer)
    page = screen.page
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})

    screen.sign_in(live_server.url, EMAIL, PASSWORD)
    screen.open(live_server.url + reverse("mfa_add_webauthn"))
    # What opens an account is not changed by whoever finds a browser open.
    page.get_by_label("Password").fill(PASSWORD)
    screen.press(page.get_by_role("button", name="Confirm"))
    page.get_by_label("Name").fill("Laptop")
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    # The recovery codes come first; the key stands in the list.
    page.wait_for_url(lambda url: "/add/" not in url)
    screen.open(live_server.url + reverse("mfa_list_webauthn"))
    expect(page.locator("body")).to_contain_text("Laptop")

    page.context.clear_cookies()
    screen.open(live_server.url + reverse("portal:sign-in"))
    screen.press(page.get_by_role("button", name="Sign in with a passkey"))
    expect(page.locator("body")).to_contain_text("Pine Mail")
    screen.check_console("passkeys")
