"""A customer finds out, in a real browser, what a charge is made of."""

import pytest
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import url_changes
from selenium.webdriver.support.wait import WebDriverWait

from tenants.models import Member
from tests.browser.screens import DESKTOP, PHONE, Screen
from tests.conftest import make_tenant
from tests.portal.test_measured import measured_story
from tests.portal.world import PASSWORD, World, make_person, make_world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    more = ("gunicorn", "celery", "valkey", "image-resizer", "search-indexer-with-a-long-name")
    return make_world(make_tenant("first-host"), days=24, buckets_a_day=3, more=more)


@pytest.mark.timeout(300)
def test_the_way_from_the_total_to_the_samples(
    browser: Chrome, live_server: LiveServer, world: World
) -> None:
    make_person("viewer@first.example", world.tenant, Member.Role.VIEWER, world.customer)
    for width in (PHONE, DESKTOP):
        for scheme in ("light", "dark"):
            journey(browser, live_server.url, Screen(browser, width, scheme))


@pytest.mark.timeout(300)
def test_what_is_not_billed_is_told_with_its_reason(
    browser: Chrome, live_server: LiveServer, world: World
) -> None:
    line = measured_story(world).line
    make_person("viewer@first.example", world.tenant, Member.Role.VIEWER, world.customer)
    browser.get(f"{live_server.url}/sign-in/")
    browser.find_element(By.NAME, "username").send_keys("viewer@first.example")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    press(browser, By.CSS_SELECTOR, "button.primary")
    for width in (PHONE, DESKTOP):
        for scheme in ("light", "dark"):
            screen = Screen(browser, width, scheme)
            screen.show()
            follow(browser, "Applications")
            follow(browser, "postgres")
            assert "not billed: lower bound" in text_of(browser, "#charges + div")
            assert "agent stopped" in text_of(browser, ".gaps")
            screen.keep("11-application-measured")
            browser.get(f"{live_server.url}{line}")
            assert "not billed: lower bound" in text_of(browser, ".note.warn")
            screen.keep("12-line-measured")
            press(browser, By.CSS_SELECTOR, "main tbody a")
            screen.keep("13-day-measured")
            press(browser, By.XPATH, "//tr[contains(., 'not billed')]//a")
            assert "lower bound" in text_of(browser, "tbody")
            screen.keep("14-samples-measured")


def text_of(browser: Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def journey(browser: Chrome, portal: str, screen: Screen) -> None:
    screen.show()
    browser.get(f"{portal}/?refresh=off")
    assert "/sign-in/" in browser.current_url
    screen.keep("1-sign-in")
    browser.find_element(By.NAME, "username").send_keys("viewer@first.example")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    press(browser, By.CSS_SELECTOR, "button.primary")

    assert browser.find_element(By.CSS_SELECTOR, ".total").text.startswith("€")
    screen.keep("2-overview")
    follow(browser, "Applications")
    screen.keep("3-applications")
    follow(browser, "postgres")
    screen.keep("4-application")
    follow(browser, "Invoices")
    screen.keep("5-invoices")
    follow(browser, "Preview it line by line")
    screen.keep("6-next-invoice")
    follow(browser, "Invoices")
    press(browser, By.CSS_SELECTOR, "table tbody a")
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("Invoice 1")
    screen.keep("7-invoice")
    press(browser, By.XPATH, "//a[contains(., 'Memory of postgres')]")
    screen.keep("8-line")
    assert "= the quantity of this line" in browser.find_element(By.CSS_SELECTOR, ".check").text
    press(browser, By.CSS_SELECTOR, "main tbody a")
    screen.keep("9-day")
    press(browser, By.CSS_SELECTOR, "a[href*='/buckets/']")
    screen.keep("10-samples")
    assert "Sum of 30 samples" in browser.find_element(By.CSS_SELECTOR, ".check").text
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 30
    press(browser, By.XPATH, "//button[.='Sign out']")
    assert "/sign-in/" in browser.current_url


def follow(browser: Chrome, words: str) -> None:
    press(browser, By.LINK_TEXT, words)


def press(browser: Chrome, how: str, what: str) -> None:
    """Click, and go on when the page that it leads to is there.

    The address is asked of the browser, not of the page: a node of a page that is being replaced
    answers at times with an error that is no staleness. The driver itself waits for the load.
    """
    before = browser.current_url
    browser.find_element(how, what).click()
    WebDriverWait(browser, 30).until(url_changes(before))
