"""A customer finds out, in a real browser, what a charge is made of."""

import pytest
from pytest_django.live_server_helper import LiveServer

from tenants.models import Member
from tests.browser.screens import Screen
from tests.conftest import make_tenant
from tests.portal.test_measured import measured_story
from tests.portal.world import PASSWORD, World, make_person, make_world

pytestmark = pytest.mark.django_db(transaction=True)

READER = "viewer@first.example"


@pytest.fixture
def world() -> World:
    more = ("gunicorn", "celery", "valkey", "image-resizer", "search-indexer-with-a-long-name")
    made = make_world(make_tenant("first-host"), days=24, buckets_a_day=3, more=more)
    make_person(READER, made.tenant, Member.Role.VIEWER, made.customer)
    return made


@pytest.mark.timeout(300)
def test_the_way_from_the_total_to_the_samples(
    each_screen: Screen, live_server: LiveServer, world: World
) -> None:
    screen, page = each_screen, each_screen.page
    screen.open(f"{live_server.url}/?refresh=off")
    assert "/sign-in/" in page.url
    screen.keep("1-sign-in")
    screen.sign_in(live_server.url, READER, PASSWORD)

    assert screen.text_of(".total").startswith("€")
    screen.keep("2-overview")
    screen.follow("Applications")
    screen.keep("3-applications")
    screen.follow("postgres")
    screen.keep("4-application")
    screen.follow("Invoices")
    screen.keep("5-invoices")
    screen.follow("Preview it line by line")
    screen.keep("6-next-invoice")
    screen.follow("Invoices")
    screen.press("table tbody a")
    assert screen.text_of("h1").startswith("Invoice 1")
    screen.keep("7-invoice")
    screen.press(page.get_by_role("link", name="Memory · postgres"))
    screen.keep("8-line")
    assert "= the quantity of this line" in screen.text_of(".check")
    screen.press("main tbody a")
    screen.keep("9-day")
    screen.press("a[href*='/buckets/']")
    screen.keep("10-samples")
    assert "Sum of 30 samples" in screen.text_of(".check")
    assert page.locator("tbody tr").count() == 30
    screen.press(page.get_by_role("button", name="Sign out"))
    assert "/sign-in/" in page.url


@pytest.mark.timeout(300)
def test_what_is_not_billed_is_told_with_its_reason(
    each_screen: Screen, live_server: LiveServer, world: World
) -> None:
    line = measured_story(world).line
    screen, page = each_screen, each_screen.page
    screen.sign_in(live_server.url, READER, PASSWORD)
    screen.follow("Applications")
    screen.follow("postgres")
    assert "not billed: lower bound" in screen.text_of("#charges + div")
    assert "agent stopped" in screen.text_of(".gaps")
    screen.keep("11-application-measured")
    screen.open(f"{live_server.url}{line}")
    assert "not billed: lower bound" in screen.text_of(".note.warn")
    screen.keep("12-line-measured")
    screen.press("main tbody a")
    screen.keep("13-day-measured")
    screen.press(page.locator("tr", has_text="not billed").get_by_role("link"))
    assert "lower bound" in screen.text_of("tbody")
    screen.keep("14-samples-measured")
