"""The steps of an operator's day in the admin, each as they would click it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from config.runtime.home import REPOSITORY
from tests.browser.screens import Screen

WAIT_MS = 60_000


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("main, #main").first).to_contain_text("success")


def menu(screen: Screen, name: str) -> None:
    """Go where the entry at the side leads; an icon's name stands before it."""
    screen.press(screen.page.locator("#nav-sidebar a", has_text=re.compile(rf"\b{name}\s*$")))


def row(page: Page, words: str) -> Locator:
    return page.locator("#result_list tbody tr", has_text=words)


def publish_a_policy(screen: Screen, name: str) -> None:
    page = screen.page
    menu(screen, "Policies")
    screen.press("a[href$='/policy/add/']")
    page.get_by_label("Name").first.fill(name)
    save(page)
    screen.press(row(page, name).get_by_role("link"))
    screen.press(page.get_by_role("link", name="Draft the next version"))
    screen.press(page.get_by_role("button", name="Make the draft"))
    page.get_by_label("Memory, bytes").fill("1073741824")
    page.get_by_role("button", name="Save and continue editing").click()
    screen.press(page.get_by_role("link", name="Publish", exact=False).first)
    screen.press(page.get_by_role("button", name="Publish"))
    expect(page.locator("body")).to_contain_text("is published")


def create_an_environment(screen: Screen, name: str, policy: str) -> None:
    page = screen.page
    menu(screen, "Environments")
    screen.press("a[href$='/environment/add/']")
    page.get_by_label("Name").first.fill(name)
    page.get_by_label("Policy").select_option(label=policy)
    save(page)


@contextmanager
def agent_of(command: str, state: Path) -> Iterator[None]:
    """Run the agent with the server and the token of an enrolment's command, until left."""
    words = command.split()
    server, token = (words[words.index(name) + 1] for name in ("--server", "--token"))
    program = [sys.executable, "-m", "hostmeter_agent"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "agent" / "src")}
    options = ["--server", server, "--token", token, "--name", "shop-1", "--state", str(state)]
    subprocess.run([*program, "enrol", *options], env=environment, check=True, timeout=60)
    running = subprocess.Popen(
        [*program, "run", "--unpinned", "--state", str(state)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(timeout=60)


def enrol_a_host(screen: Screen, environment: str, state: Path) -> None:
    page = screen.page
    menu(screen, "Hosts")
    screen.press(page.locator("a[href*='/host/enrol/']"))
    page.get_by_label("Environment").select_option(label=environment)
    page.get_by_role("button", name="Show the command").click()
    expect(page.locator("#enrolment")).to_contain_text("Waiting for the host to enrol")
    with agent_of(screen.text_of("#command"), state):
        expect(page.locator("#enrolment")).to_contain_text("First batch accepted", timeout=WAIT_MS)


def assign_an_application(screen: Screen, environment: str, customer: str) -> None:
    """The first one that the new host has shown."""
    page = screen.page
    menu(screen, "Applications")
    page.locator("input[name=q]").fill(environment)
    page.locator("input[name=q]").press("Enter")
    screen.press(row(page, environment).first.get_by_role("link"))
    screen.press(page.get_by_role("link", name="Assign"))
    page.get_by_label("Customer").first.select_option(label=customer)
    screen.press(page.get_by_role("button", name="Assign"))
    expect(page.locator("body")).to_contain_text(customer)


def publish_a_plan(screen: Screen, name: str) -> None:
    page = screen.page
    menu(screen, "Plans")
    screen.press(row(page, name).get_by_role("link"))
    screen.press(page.get_by_role("link", name="New version"))
    page.get_by_label("Effective from: date").fill("2030-01-01")
    page.get_by_label("Effective from: time").fill("00:00")
    screen.press(page.get_by_role("button", name="Create the draft"))
    screen.press(page.get_by_role("link", name="Backtest and publish"))
    expect(page.locator("body")).to_contain_text("In all, before tax")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("body")).to_contain_text("published")


def begin_to_bill(screen: Screen, customer: str, plan: str, since: str) -> None:
    page = screen.page
    menu(screen, "Customers")
    screen.press("a[href$='/customer/add/']")
    page.get_by_label("Name").first.fill(customer)
    page.get_by_label("Reference").fill(customer.lower().replace(" ", "-"))
    save(page)
    menu(screen, "Subscriptions")
    screen.press("a[href$='/subscription/add/']")
    page.get_by_label("Customer").first.select_option(label=customer)
    page.get_by_label("Plan").first.select_option(label=plan)
    page.get_by_label("Starts at: date").fill(since)
    page.get_by_label("Starts at: time").fill("00:00")
    save(page)


def run_invoices(screen: Screen, customer: str) -> None:
    page = screen.page
    menu(screen, "Billing runs")
    screen.press(page.get_by_role("link", name="Close what is due"))
    screen.press(page.get_by_role("button", name="Begin"))
    expect(page.locator("#result_list")).to_contain_text("100%", timeout=WAIT_MS)
    menu(screen, "Invoices")
    page.locator("input[name=q]").fill(customer)
    page.locator("input[name=q]").press("Enter")
    expect(row(page, customer)).to_contain_text("draft")
    page.get_by_label("Select record").first.check()
    page.locator("[name=action]").select_option(label="Finalize: number them for good")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Finalize").click()
    expect(page.locator("body")).to_contain_text("Finalized: 1,", timeout=WAIT_MS)


def answer_a_dispute(screen: Screen, words: str) -> None:
    page = screen.page
    menu(screen, "Disputes")
    screen.press(page.locator("#result_list tbody tr").first.get_by_role("link"))
    screen.press(page.get_by_role("link", name="Answer"))
    page.locator("textarea").fill(words)
    screen.press(page.get_by_role("button", name="Answer"))
