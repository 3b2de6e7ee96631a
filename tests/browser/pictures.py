"""`.venv/bin/python -m tests.browser.pictures`: the README's pictures, of the demo that runs here.

Start it with `python3 manage.py up --reset` first: the pictures show what everybody sees.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from config.runtime import secrets_file
from config.runtime.home import configured_home
from config.runtime.state import read_state

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1_180, "height": 820}


def main() -> int:
    home = configured_home()
    state, chromium = read_state(home), shutil.which("chromium")
    if state is None or chromium is None:
        what = "nothing is running here" if state is None else "chromium is missing"
        print(f"pictures: {what}", file=sys.stderr)
        return 1
    password = secrets_file.read(home.secrets)["HOSTMETER_DEMO_PASSWORD"]
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for email, shoot in (("webshop@demo.example", _portal), ("owner@demo.example", _admin)):
            context = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-GB")
            page = context.new_page()
            _sign_in(page, str(state["portal"]), email, password)
            shoot(page, str(state["portal"]).rstrip("/"))
            context.close()
        browser.close()
    return 0


def _sign_in(page: Page, portal: str, email: str, password: str) -> None:
    page.goto(portal)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.locator("button.primary").click()
    page.wait_for_load_state()


def _portal(page: Page, portal: str) -> None:
    page.goto(f"{portal}/?refresh=off")
    _keep(page, "overview")
    page.goto(f"{portal}/invoices/?kind=invoice")
    page.locator("table tbody a").first.click()
    page.locator("main table a").first.click()
    page.wait_for_load_state()
    _keep(page, "why-this-price")


def _admin(page: Page, portal: str) -> None:
    page.goto(f"{portal}/admin/")
    _keep(page, "dashboard")


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
