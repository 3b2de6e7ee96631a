"""The ways that people go, in a real browser against the product as `up` starts it: its workers,
its agent, its fake Stripe."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import operators_way as way
from tests.browser.screens import DESKTOP, PHONE, Screen
from tests.runtime.running import Running, started

pytestmark = pytest.mark.timeout(480)

CUSTOMER = "webshop@demo.example"
OPERATOR = "owner@demo.example"
POLICY, ENVIRONMENT, SHOP = "Small shops", "corner-shops", "Corner Shop"
WAIT_MS = 60_000


class Product:
    """Where it answers, and what its demo's people sign in with."""

    def __init__(self, running: Running) -> None:
        self.portal = str(running.status()["portal"]).rstrip("/")
        secrets = (running.home.folder / "env").read_text()
        self.password = secrets.split("HOSTMETER_DEMO_PASSWORD=")[1].split()[0]

    def enter(self, screen: Screen, email: str) -> Page:
        screen.sign_in(self.portal, email, self.password)
        return screen.page


@pytest.fixture(scope="module")
def product(
    tmp_path_factory: pytest.TempPathFactory, given_servers: dict[str, str]
) -> Iterator[Product]:
    """On servers that are there already; test_up has it bring its own."""
    with started(tmp_path_factory.mktemp("journeys") / "home", given_servers) as running:
        yield Product(running)


def test_a_customer_sees_why_the_bill_rose_sets_a_budget_and_pays(
    product: Product, chromium: Browser
) -> None:
    with Screen.of(chromium, PHONE, "light") as screen:
        page = product.enter(screen, CUSTOMER)
        _find_why_the_bill_rose(screen)
        _set_a_budget(screen)
        _add_a_card(screen)
        number = _pay(screen)
        _download(page, number)
        screen.check_console("the customer's way")


def _find_why_the_bill_rose(screen: Screen) -> None:
    page = screen.page
    changes = page.locator("section", has=page.get_by_role("heading", name="What changed most"))
    assert "more used" in changes.locator("tbody tr").first.inner_text()
    screen.press(changes.locator("tbody a"))
    assert "Compared with" in screen.text_of("main")
    assert page.locator("main section", has_text="What it is made of").locator("tbody tr").count()
    screen.follow("Overview")
    screen.follow("the invoice so far")
    screen.press(page.locator("main").get_by_role("link", name="CPU time"))
    assert "why this price" in screen.text_of("main .eyebrow").lower()
    assert "= the quantity of this line" in screen.text_of(".check")
    screen.press("main a[href*='/days/']")
    screen.press("main a[href*='/buckets/']")
    assert re.search(r"Sum of \d+ samples?:", screen.text_of(".check"))


def _set_a_budget(screen: Screen) -> None:
    page = screen.page
    screen.follow("Budgets")
    screen.follow("Set a budget")
    page.get_by_label("Name").fill("The shop")
    page.get_by_label("Limit a month").fill("50")
    screen.press(page.get_by_role("button", name="Set the budget"))
    # The month has cost more already, which a worker tells within the minute.
    expect(page.locator("main")).to_contain_text("The shop")
    screen.follow("Overview")
    assert "Set a budget" not in screen.text_of("main")


def _add_a_card(screen: Screen) -> None:
    page = screen.page
    screen.follow("Billing details")
    screen.follow("Payment methods")
    page.get_by_role("button", name="Add a payment method").click()
    page.get_by_role("button", name="Save card").click(timeout=WAIT_MS)
    expect(page.locator("main")).to_contain_text("Your payment method is saved.", timeout=WAIT_MS)
    expect(page.locator(".choices")).to_contain_text("4242")


def _pay(screen: Screen) -> str:
    """Pay the dearest open invoice; its number."""
    page = screen.page
    screen.follow("Invoices")
    dearest, total = _invoice(page, max)
    screen.press(dearest)
    number = screen.text_of("h1")
    page.get_by_role("button", name="Pay now").click()
    pay = page.get_by_role("button", name=re.compile(r"^Pay \d+\.\d\d EUR$"))
    expect(pay).to_be_visible(timeout=WAIT_MS)
    asked = Decimal(pay.inner_text().split()[1])
    # A credit note has taken something off.
    assert total - 5 < asked < total
    pay.click()
    expect(page.locator("main")).to_contain_text("Paid. Thank you.", timeout=WAIT_MS)
    screen.follow("To the invoice")
    expect(page.get_by_role("button", name="Pay now")).to_have_count(0)
    return number


def _invoice(page: Page, which: Callable[[list[Decimal]], Decimal]) -> tuple[Locator, Decimal]:
    """One of the listed invoices by its total, and the total: what the demo's come to changes with
    the day that it is made on."""
    rows = page.locator("main tbody tr").filter(has_not_text=re.compile("credit note", re.I))
    found = [re.findall(r"\d+\.\d\d", text)[0] for text in rows.all_inner_texts()]
    totals = [Decimal(each) for each in found]
    total = which(totals)
    return rows.nth(totals.index(total)).get_by_role("link"), total


def _download(page: Page, number: str) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")


def test_an_operator_sets_up_a_host_bills_it_and_answers_a_dispute(
    product: Product, chromium: Browser, tmp_path: Path
) -> None:
    with (
        Screen.of(chromium, PHONE, "dark") as phone,
        Screen.of(chromium, DESKTOP, "light") as screen,
    ):
        product.enter(phone, CUSTOMER)
        line = _dispute_a_line(phone, "We moved the shop away on the 12th.")

        product.enter(screen, OPERATOR)
        screen.open(f"{product.portal}/admin/")
        way.publish_a_policy(screen, POLICY)
        way.create_an_environment(screen, ENVIRONMENT, POLICY)
        way.enrol_a_host(screen, ENVIRONMENT, tmp_path)
        way.begin_to_bill(screen, SHOP, "Managed hosting", since="2026-10-01")
        way.assign_an_application(screen, ENVIRONMENT, SHOP)
        way.publish_a_plan(screen, "Managed hosting")
        way.run_invoices(screen, SHOP)
        way.answer_a_dispute(screen, "It ran on until the 14th; see the samples of that day.")
        screen.check_console("the operator's way")

        phone.open(line)
        expect(phone.page.locator(".thread")).to_contain_text("It ran on until the 14th")


def _dispute_a_line(screen: Screen, words: str) -> str:
    """Where the customer goes on with it."""
    page = screen.page
    screen.follow("Invoices")
    screen.press(_invoice(page, min)[0])
    screen.press(page.locator("main a[href*='/lines/']"))
    screen.press(page.locator("main a[href$='/dispute/']"))
    page.get_by_label("Your message").fill(words)
    page.get_by_role("button", name="Dispute it").click()
    expect(page.locator(".thread")).to_contain_text(words)
    return page.url
