"""Each page of the portal on a phone and on a desktop, in light and in dark, in both languages: it
fits, everyone can use it, and nothing complains. The pictures are kept to be looked at."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from billing.models import PaymentAttempt
from billing.operations.collecting import begin_attempt
from portal.urls import urlpatterns
from tenants.invitations import invite
from tenants.models import EnrolmentToken, Member, User
from tenants.operations import issue_enrolment_token
from tenants.scope import tenant_scope
from tests.browser.screens import DESKTOP, PHONE, Scheme, Screen
from tests.conftest import make_tenant
from tests.portal.test_hosts import environment, host_in
from tests.portal.test_isolation import LISTS, ONES
from tests.portal.test_measured import measured_story
from tests.portal.world import World, make_person, make_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(480)]

SCREENS: tuple[tuple[int, Scheme, str], ...] = (
    (PHONE, "light", "en-GB"),
    (PHONE, "dark", "de-DE"),
    (DESKTOP, "light", "de-DE"),
    (DESKTOP, "dark", "en-GB"),
)
FILES = {
    "brand-logo", "brand-style", "focus-month", "invoice-document", "invoice-proof-bundle",
    "usage-file", "usage-focus", "verifier",
}  # fmt: skip
# What is posted to, or answers with a part of a page.
ACTIONS = {
    "add-payment-method", "change-payment-method", "end-impersonation", "enrol-host",
    "host-enrolment-state",
    "key-revoke", "language", "member-again", "member-role", "pay", "revoke-host-token", "sign-out",
    "withdraw-dispute",
}  # fmt: skip
ACCOUNT = (
    "sessions",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_list_webauthn",
    "account_reauthenticate",
)


@pytest.fixture
def world() -> World:
    """The first customer in both places, so that every address is one of its own."""
    more = ("gunicorn", "celery", "valkey", "image-resizer", "search-indexer-with-a-long-name")
    made = make_world(make_tenant("first-host"), days=24, buckets_a_day=3, more=more)
    measured_story(made)
    return replace(
        made,
        other_customer=made.customer,
        other_application=made.application,
        other_invoice=made.invoice,
    )


def _addresses(world: World) -> Iterator[tuple[str, str]]:
    """(name, address) of every page for those who have signed in."""
    for name in LISTS:
        yield name, reverse(f"portal:{name}")
    for route, (address, _) in ONES.items():
        yield route.removeprefix("portal:"), address(world)
    for name in ("password", "team", "keys", "audit-log", "payment-methods"):
        yield name, reverse(f"portal:{name}")
    with tenant_scope(world.tenant.pk):
        colleague = Member.objects.get(user__email="colleague@first.example")
        yield "member-remove", reverse("portal:member-remove", args=[colleague.pk])
        begin_attempt(world.invoice, PaymentAttempt.Way.CHECKOUT, as_of=timezone.now())
        yield "payment", reverse("portal:payment", args=[world.invoice.pk])
        token = EnrolmentToken.objects.get()
        yield "host-enrolment", reverse("portal:host-enrolment", args=[token.pk])
        host, key = host_in(world, token.environment)
        yield "revoke-host-key", reverse("portal:revoke-host-key", args=[host.pk, key.pk])


def reset_link(person: User) -> str:
    uid = urlsafe_base64_encode(force_bytes(person.pk))
    return reverse("portal:reset", args=[uid, default_token_generator.make_token(person)])


def test_fits_and_can_be_used_by_everyone(
    chromium: Browser, live_server: LiveServer, world: World
) -> None:
    reader = make_person("owner@first.example", world.tenant, "owner", world.customer)
    colleague = make_person("colleague@first.example", world.tenant, "billing", world.customer)
    with tenant_scope(world.tenant.pk):
        invitation = invite(Member(role="viewer"), "new@first.example", as_of=timezone.now())
    open_to_all = {
        "sign-in": reverse("portal:sign-in"),
        "join": reverse("portal:join", args=[invitation]),
        "forgotten": reverse("portal:forgotten"),
        "forgotten-sent": reverse("portal:forgotten-sent"),
        "reset": reset_link(colleague),
        "reset-done": reverse("portal:reset-done"),
    }
    place = environment(world)
    with tenant_scope(world.tenant.pk):
        issue_enrolment_token(place, as_of=timezone.now())
    pages = dict(_addresses(world))
    pages = {name: address for name, address in pages.items() if name not in FILES}
    named = set(pages) | set(open_to_all) | FILES | ACTIONS
    assert named == {pattern.name for pattern in urlpatterns}
    session = Client()
    session.force_login(reader)
    cookie = {
        "name": settings.SESSION_COOKIE_NAME,
        "value": session.cookies[settings.SESSION_COOKIE_NAME].value,
        "url": live_server.url,
    }
    for width, scheme, language in SCREENS:
        with Screen.of(chromium, width, scheme, language) as screen:
            for name, address in open_to_all.items():
                screen.open(live_server.url + address)
                screen.keep(f"page-{name}")
            screen.page.context.add_cookies([cookie])  # type: ignore[list-item]
            for name, address in pages.items():
                screen.open(live_server.url + address)
                screen.keep(f"page-{name}")
            for name in ACCOUNT:
                screen.open(live_server.url + reverse(name))
                screen.keep(f"page-{name}")
