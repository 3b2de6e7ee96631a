"""Debian's Chromium, driven by Playwright; no browser is downloaded.

A machine with nothing but Python runs the suite too, so without Chromium these tests say what to
install and are skipped (tests/needs.py).
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import needs
from tests.browser.screens import DESKTOP, PHONE, Screen
from tests.portal.conftest import own_cache

__all__ = ["own_cache"]

_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
# Playwright waits for the browser in an event loop; Django takes this thread for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Closed with the last of these tests: what follows would share the machine with it."""
    program = needs.tool("chromium", package="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def screen(chromium: Browser) -> Iterator[Screen]:
    """A desktop's, in light; one profile of its own."""
    with Screen.of(chromium, DESKTOP, "light") as shown:
        yield shown


@pytest.fixture(
    params=[(width, scheme) for width in (PHONE, DESKTOP) for scheme in ("light", "dark")],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def each_screen(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Screen]:
    """A phone's and a desktop's, in light and in dark, one after the other."""
    with Screen.of(chromium, *request.param) as shown:
        yield shown
