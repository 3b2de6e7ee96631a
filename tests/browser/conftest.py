"""Debian's Chromium, driven over its own WebDriver; nothing is downloaded.

A machine with nothing but Python runs the suite too, so without Chromium these tests say what to
install and are skipped (tests/needs.py).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests import needs
from tests.portal.conftest import own_cache

__all__ = ["own_cache"]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A fresh profile; what the console says is kept for the test to judge."""
    options = ChromeOptions()
    options.binary_location = needs.tool("chromium", package="chromium")
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(needs.tool("chromedriver", package="chromium-driver"))
    driver = Chrome(options, service)
    try:
        yield driver
    finally:
        driver.quit()
