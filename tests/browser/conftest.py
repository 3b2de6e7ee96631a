"""Debian's Chromium, driven over its own WebDriver; nothing is downloaded.

A machine with nothing but Python runs the suite too, so without Chromium these tests say what to
install and are skipped; the checks set HOSTMETER_BROWSER=required, and there they fail instead.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

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


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is missing: the browser tests need it (apt-get install {package})"
        if os.environ.get("HOSTMETER_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A fresh profile; what the console says is kept for the test to judge."""
    options = ChromeOptions()
    options.binary_location = _program("chromium", "chromium")
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(_program("chromedriver", "chromium-driver")))
    try:
        yield driver
    finally:
        driver.quit()
